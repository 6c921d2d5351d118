# mypy: disable-error-code="import-untyped", disallow-untyped-decorators=False
"""The calls about certificates, and ExtendedTriggerMessage (Security Whitepaper, A02, M03 to M05)."""

from __future__ import annotations

import msgspec
from ocpp.routing import on
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from chargepoint_sim.calls.answering import Answering
from chargepoint_sim.certificates import CENTRAL_SYSTEM, HashData
from chargepoint_sim.errors import CertificateError

TRIGGERS = (
    "BootNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SignChargePointCertificate",
    "StatusNotification",
)


class SecurityCalls(Answering):
    """Handlers of what the Security Whitepaper adds."""

    @on(Action.certificate_signed)
    def on_certificate_signed(self, certificate_chain: str) -> object:
        """A02: a certificate that does not hold is refused, and told of as a security event."""
        try:
            self._station.take_certificate(certificate_chain)
        except CertificateError as error:
            self._station.security_events.happened("InvalidChargePointCertificate", str(error))
            status = "Rejected"
        else:
            status = "Accepted"
            self.later(self._station.use_new_certificate())
        return call_result.CertificateSigned(status=self._note("CertificateSigned", status))

    @on(Action.delete_certificate)
    def on_delete_certificate(self, certificate_hash_data: dict[str, object]) -> object:
        """M04."""
        status = self._station.delete_certificate(msgspec.convert(certificate_hash_data, HashData))
        return call_result.DeleteCertificate(status=self._note("DeleteCertificate", status))

    @on(Action.extended_trigger_message)
    def on_extended_trigger_message(self, requested_message: str, connector_id: int | None = None) -> object:
        """The Remote Trigger of the whitepaper: its notifications are those with a requestId."""
        if requested_message not in TRIGGERS:
            status = "NotImplemented"
        elif connector_id is not None and connector_id not in self._transactions.connectors:
            status = "Rejected"
        else:
            status = "Accepted"
            self.later(self._station.maintenance.trigger(requested_message, connector_id, extended=True))
        self._note(f"ExtendedTriggerMessage {requested_message}", status)
        return call_result.ExtendedTriggerMessage(status=status)

    @on(Action.get_installed_certificate_ids)
    def on_get_installed_certificate_ids(self, certificate_type: str) -> object:
        """M03."""
        ids = self._station.certificates.ids(certificate_type, self._manners.hash_algorithm)
        status = "Accepted" if ids else "NotFound"
        self._note(f"GetInstalledCertificateIds {certificate_type}", f"{status}, {len(ids)} certificates")
        shown = [msgspec.to_builtins(one) for one in ids]
        return call_result.GetInstalledCertificateIds(status=status, certificate_hash_data=shown or None)

    @on(Action.install_certificate)
    def on_install_certificate(self, certificate_type: str, certificate: str) -> object:
        """M05: a root that does not hold is refused, and told of as a security event."""
        station = self._station
        try:
            status = station.certificates.install(certificate_type, certificate, station.clock.now())
        except CertificateError as error:
            status = "Rejected"
            if certificate_type == CENTRAL_SYSTEM:
                station.security_events.happened("InvalidCentralSystemCertificate", str(error))
        station.save()
        return call_result.InstallCertificate(status=self._note(f"InstallCertificate {certificate_type}", status))
