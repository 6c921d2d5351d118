# mypy: disable-error-code="import-untyped"
"""Firmware: fetched at its time, checked, installed when nobody charges, told of at each step (5.19; L01, L02).

UpdateFirmware and SignedUpdateFirmware differ in the notification that tells of them and in the signature. Knows no
call of the central system; `calls/files.py` reads them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim import signatures
from chargepoint_sim.certificates import MANUFACTURER
from chargepoint_sim.errors import CertificateError, TransferError
from chargepoint_sim.events import Noted
from chargepoint_sim.threads import in_thread
from chargepoint_sim.transfer import Transfer

if TYPE_CHECKING:
    from datetime import datetime

    from chargepoint_sim.station import Station

IDLE = "Idle"
UNSIGNED_STATUSES = (
    *("Downloaded", "DownloadFailed", "Downloading", IDLE),
    *("InstallationFailed", "Installing", "Installed"),
)
FINAL_STATUSES = ("DownloadFailed", "InvalidSignature", "InstallationFailed", "Installed")
PROGRESS_STEP_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Update:
    """What the central system asks for. request_id: None for UpdateFirmware, which is not signed.

    attempts: how often it is tried; retry_interval_s: real seconds between two.
    """

    location: str
    retrieve_at: datetime
    attempts: int = 1
    retry_interval_s: int = 0
    request_id: int | None = None
    install_at: datetime | None = None
    signature: str = ""
    certificate_pem: str = ""


class Firmware:
    """The firmware of one station. pause_s: the real time that installing takes."""

    def __init__(self, station: Station, version: str, pause_s: float) -> None:
        self._station = station
        self._pause_s = pause_s
        self._running: asyncio.Task[None] | None = None
        self._ordered: Update | None = None
        self._told: Update | None = None
        self.version = version
        self.status = IDLE

    @property
    def installs(self) -> bool:
        """Whether an update is under way."""
        return self._running is not None and not self._running.done()

    def check(self, update: Update) -> None:
        """Raise CertificateError for an update signed by somebody who may not."""
        station = self._station
        roots = station.certificates.roots(MANUFACTURER)
        try:
            signatures.check_signer(update.certificate_pem, roots, station.clock.now())
        except CertificateError as error:
            station.security_events.happened("InvalidFirmwareSigningCertificate", str(error))
            raise

    def order(self, update: Update) -> bool:
        """Begin an update; one that is under way is given up. Returns whether there was one."""
        canceled = self.installs
        if self._running is not None:
            self._running.cancel()
        self._ordered = update
        self._running = self._station.start(self._update(update))
        return canceled

    def notification(self, *, signed: bool) -> object:
        """The status as it stands, for TriggerMessage and ExtendedTriggerMessage."""
        if not signed:
            status = self.status if self.status in UNSIGNED_STATUSES else IDLE
            return call.FirmwareStatusNotification(status=status)
        request_id = self._told.request_id if self._told and self.status != IDLE else None
        return call.SignedFirmwareStatusNotification(status=self.status, request_id=request_id)

    async def _update(self, update: Update) -> None:
        try:
            await self._steps(update)
        finally:
            if self._ordered is update:  # a later order may have taken its place
                self.status = IDLE
                self._keep_free(held=False)

    async def _steps(self, update: Update) -> None:
        await self._wait_for(update, update.retrieve_at, "DownloadScheduled")
        await self._tell(update, "Downloading")
        content = await self._fetch(update)
        if content is None:
            await self._tell(update, "DownloadFailed")
            return
        await self._tell(update, "Downloaded")
        if update.request_id is not None and not await self._verified(update, content):
            return
        if update.install_at is not None:
            await self._wait_for(update, update.install_at, "InstallScheduled")
        await self._wait_for_drivers(update)
        await self._install(update, content)

    async def _wait_for(self, update: Update, moment: datetime, status: str) -> None:
        """Wait for a time; only signed updates have words for it."""
        seconds = self._station.clock.real_s_until(moment)
        if seconds and update.request_id is not None:
            await self._tell(update, status)
        await asyncio.sleep(seconds)

    async def _fetch(self, update: Update) -> bytes | None:
        """Download; None when every attempt has failed."""
        for attempt in range(update.attempts):
            if attempt:
                await asyncio.sleep(update.retry_interval_s)
            try:
                return await self._attempt(update.location)
            except TransferError as error:
                self._note(f"firmware: {error}")
        return None

    async def _attempt(self, location: str) -> bytes:
        station = self._station
        if station.habits.transfers_fail:
            await asyncio.sleep(self._pause_s)
            message = "files cannot be fetched"
            raise TransferError(message)
        transfer = Transfer(station.security.tls())
        loop, shown = asyncio.get_running_loop(), 0

        def progress(moved_bytes: int) -> None:
            nonlocal shown
            if moved_bytes >= shown + PROGRESS_STEP_BYTES:
                shown = moved_bytes
                loop.call_soon_threadsafe(self._note, f"firmware: {moved_bytes} bytes so far")

        try:
            content = await in_thread(lambda: transfer.download(location, progress))
        finally:
            transfer.given_up.set()
        self._note(f"firmware: {len(content)} bytes fetched")
        return content

    async def _verified(self, update: Update, content: bytes) -> bool:
        if signatures.is_signed(content, update.signature, update.certificate_pem):
            await self._tell(update, "SignatureVerified")
            return True
        self._station.security_events.happened("InvalidFirmwareSignature", update.location)
        await self._tell(update, "InvalidSignature")
        return False

    async def _wait_for_drivers(self, update: Update) -> None:
        """Let transactions end; nobody may begin another meanwhile."""
        station = self._station
        self._keep_free(held=True)
        if any(one.transaction is not None for one in station.acts.outlets):
            self._note("firmware: waits until nobody charges")
            if update.request_id is not None:
                await self._tell(update, "InstallScheduled")
        await station.wait_until(lambda: all(one.transaction is None for one in station.acts.outlets))

    async def _install(self, update: Update, content: bytes) -> None:
        station = self._station
        await self._tell(update, "Installing")
        await asyncio.sleep(self._pause_s)
        fails = station.habits.install_fails
        if update.request_id is not None and not fails:
            await self._tell(update, "InstallRebooting")
        if not fails:
            before, self.version = self.version, signatures.version_of(content, update.location)
            self._note(f"firmware: {self.version} instead of {before}")
            station.security_events.happened("FirmwareUpdated", f"{before} to {self.version}")
        await station.reset(hard=False)
        await station.uplink.online()
        await self._tell(update, "InstallationFailed" if fails else "Installed")

    def _keep_free(self, *, held: bool) -> None:
        """Take connectors out of use while firmware is installed, or give them back."""
        for connector in self._station.transactions.connectors.values():
            connector.updating = held
            self._station.transactions.refresh(connector)

    async def _tell(self, update: Update, status: str) -> None:
        self.status, self._told = status, update
        notification = self.notification(signed=update.request_id is not None)
        if status in FINAL_STATUSES:
            self.status = IDLE
        await self._station.maintenance.tell(notification)

    def _note(self, text: str) -> None:
        self._station.stream.emit(Noted(text=text))
