# mypy: disable-error-code="import-untyped"
"""What a station does about its own certificate and about those it trusts, step by step (A02, M04).

The rules are in `security.py` and `certificates.py`; here they meet the link, the log and the state file.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim.answers import StatusAnswer
from chargepoint_sim.errors import (
    LinkError,
    NotAnsweredError,
    PasswordRefusedError,
    TlsRefusedError,
    UntrustedError,
)
from chargepoint_sim.events import MessageFailed, Noted
from chargepoint_sim.parts import Parts
from chargepoint_sim.security import TLS_BASIC, TLS_CERTIFICATE

if TYPE_CHECKING:
    from chargepoint_sim.certificates import HashData

REFUSALS: dict[type[LinkError], str] = {
    PasswordRefusedError: "FailedToAuthenticateAtCentralSystem",
    UntrustedError: "InvalidCentralSystemCertificate",
}


class Proofs(Parts):
    """The methods of a station about certificates and passwords."""

    _refusal: str | None = None

    async def sign_certificate(self) -> bool:
        """Ask for a certificate (SignCertificate). Returns whether the central system will have it signed."""
        request = self.security.request_certificate(self.nameplate.serial(self.identity))
        self.save()
        try:
            answer = await self.uplink.request(call.SignCertificate(csr=request), StatusAnswer)
        except NotAnsweredError as error:
            self.stream.emit(MessageFailed(action="SignCertificate", cause=str(error)))
            return False
        self.stream.emit(Noted(text=f"the request for a certificate was {answer.status}"))
        return answer.status == "Accepted"

    def take_certificate(self, chain_pem: str) -> None:
        """Take a certificate that was signed. Raises CertificateError."""
        self.security.take_certificate(chain_pem, {self.identity, self.nameplate.serial(self.identity)})
        self.save()

    async def use_new_certificate(self) -> None:
        """Connect anew, so that the new certificate is shown where certificates are."""
        self.stream.emit(Noted(text="a new certificate is in use"))
        if self.security.profile == TLS_CERTIFICATE:
            await self.uplink.reconnect()

    async def use_new_password(self) -> None:
        """Connect anew with the password that has been changed (A01)."""
        self.stream.emit(Noted(text="a new password is in use"))
        await asyncio.sleep(self.timing.reconnect_first_s)  # the answer that accepted it goes first
        if self.security.profile != TLS_CERTIFICATE:
            await self.uplink.reconnect()

    def delete_certificate(self, wanted: HashData) -> str:
        """DeleteCertificate (M04). Returns the DeleteCertificateStatus."""
        found = self.security.store.find(wanted)
        if found is None or self.habits.delete_not_found:
            return "NotFound"
        if self.security.needs(found):
            return "Failed"
        self.security.store.delete(found)
        self.save()
        return "Accepted"

    def link_refused(self, error: LinkError) -> None:
        """An attempt to connect has failed: note why once, and fall back where a new profile does not work."""
        kind = error.event if isinstance(error, TlsRefusedError) else REFUSALS.get(type(error))
        if kind is not None and kind != self._refusal:
            self.security_events.happened(kind, str(error))
        self._refusal = kind
        fallback = self.security.failed()
        if fallback is not None:
            self.stream.emit(Noted(text=f"back to security profile {fallback}"))
            self.save()

    def link_accepted(self, *, booted: bool) -> None:
        """A connection stands and the station was accepted."""
        self._refusal = None
        self.security.succeeded()
        if booted:
            told = self.security.profile >= TLS_BASIC
            self.security_events.happened("StartupOfTheDevice", f"firmware {self.firmware.version}", told=told)
