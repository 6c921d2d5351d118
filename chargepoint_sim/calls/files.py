# mypy: disable-error-code="import-untyped", disallow-untyped-decorators=False
"""The calls that move files: firmware to the station, diagnostics and logs from it (5.9, 5.19; L01, N01)."""

from __future__ import annotations

import msgspec
from ocpp.routing import on
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from chargepoint_sim.calls.answering import Answering
from chargepoint_sim.clock import read
from chargepoint_sim.errors import CertificateError
from chargepoint_sim.firmware import Update
from chargepoint_sim.logbook import Span
from chargepoint_sim.uploads import Upload

FIRMWARE = "FirmwareManagement"


class LogParameters(msgspec.Struct, frozen=True):
    """LogParametersType."""

    remote_location: str
    oldest_timestamp: str | None = None
    latest_timestamp: str | None = None


class SignedFirmware(msgspec.Struct, frozen=True):
    """FirmwareType."""

    location: str
    retrieve_date_time: str
    signing_certificate: str
    signature: str
    install_date_time: str | None = None


class FileCalls(Answering):
    """Handlers of the Firmware Management profile and of its secure counterpart."""

    @on(Action.get_diagnostics)
    def on_get_diagnostics(
        self,
        location: str,
        retries: int | None = None,
        retry_interval: int | None = None,
        start_time: str | None = None,
        stop_time: str | None = None,
    ) -> object:
        """5.9: without a file name where nothing was written down in that time."""
        self._must_have(FIRMWARE, "GetDiagnostics")
        span = _span(start_time, stop_time)
        upload = Upload(location, span=span, attempts=_attempts(retries), retry_interval_s=_seconds(retry_interval))
        name, _ = self._station.uploads.order(upload)
        self._note("GetDiagnostics", name or "nothing to bring")
        return call_result.GetDiagnostics(file_name=name)

    @on(Action.update_firmware)
    def on_update_firmware(
        self, location: str, retrieve_date: str, retries: int | None = None, retry_interval: int | None = None
    ) -> object:
        """5.19."""
        self._must_have(FIRMWARE, "UpdateFirmware")
        self._note("UpdateFirmware", location)
        update = Update(
            location, read(retrieve_date), attempts=_attempts(retries), retry_interval_s=_seconds(retry_interval)
        )
        self._station.firmware.order(update)
        return call_result.UpdateFirmware()

    @on(Action.get_log)
    def on_get_log(
        self,
        log: dict[str, object],
        log_type: str,
        request_id: int,
        retries: int | None = None,
        retry_interval: int | None = None,
    ) -> object:
        """N01: an upload that is under way is given up for this one."""
        wanted = msgspec.convert(log, LogParameters)
        upload = Upload(
            wanted.remote_location,
            log_type,
            _span(wanted.oldest_timestamp, wanted.latest_timestamp),
            _attempts(retries),
            _seconds(retry_interval),
            request_id,
        )
        name, canceled = self._station.uploads.order(upload)
        status = self._note(f"GetLog {log_type}", "AcceptedCanceled" if canceled else "Accepted")
        return call_result.GetLog(status=status, filename=name)

    @on(Action.signed_update_firmware)
    def on_signed_update_firmware(
        self,
        request_id: int,
        firmware: dict[str, object],
        retries: int | None = None,
        retry_interval: int | None = None,
    ) -> object:
        """L01: the signing certificate is checked before anything is fetched."""
        wanted = msgspec.convert(firmware, SignedFirmware)
        update = Update(
            wanted.location,
            read(wanted.retrieve_date_time),
            _attempts(retries),
            _seconds(retry_interval),
            request_id,
            None if wanted.install_date_time is None else read(wanted.install_date_time),
            wanted.signature,
            wanted.signing_certificate,
        )
        try:
            self._station.firmware.check(update)
        except CertificateError:
            status = "InvalidCertificate"
        else:
            status = "AcceptedCanceled" if self._station.firmware.order(update) else "Accepted"
        return call_result.SignedUpdateFirmware(status=self._note("SignedUpdateFirmware", status))


def _span(begin: str | None, end: str | None) -> Span:
    return Span(None if begin is None else read(begin), None if end is None else read(end))


def _attempts(retries: int | None) -> int:
    """How often it is tried: the field counts attempts, and one is made in any case."""
    return max(1, retries or 1)


def _seconds(interval: int | None) -> int:
    return max(0, interval or 0)
