# mypy: disable-error-code="import-untyped"
"""Diagnostics and logs: written, brought to where the central system wants them, told of (5.9; N01).

GetDiagnostics and GetLog differ in the notification that tells of them. Knows no call of the central system;
`calls/files.py` reads them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim.errors import TransferError
from chargepoint_sim.events import Noted
from chargepoint_sim.logbook import DIAGNOSTICS, SECURITY, Span, security_lines
from chargepoint_sim.threads import in_thread
from chargepoint_sim.transfer import Transfer

if TYPE_CHECKING:
    from chargepoint_sim.station import Station

EVER = Span()
IDLE, UPLOADING, UPLOADED = "Idle", "Uploading", "Uploaded"


@dataclass(frozen=True)
class Upload:
    """What the central system asks for. request_id: None for GetDiagnostics.

    attempts: how often it is tried; retry_interval_s: real seconds between two.
    """

    location: str
    kind: str = DIAGNOSTICS
    span: Span = EVER
    attempts: int = 1
    retry_interval_s: int = 0
    request_id: int | None = None


@dataclass(frozen=True)
class Uploaded:
    """A file that has arrived somewhere."""

    name: str
    location: str
    content: bytes


class Uploads:
    """The uploads of one station, one at a time. done: what has arrived."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._running: asyncio.Task[None] | None = None
        self._ordered: Upload | None = None
        self._told: Upload | None = None
        self.status = IDLE
        self.done: list[Uploaded] = []

    @property
    def uploads(self) -> bool:
        """Whether one is under way."""
        return self._running is not None and not self._running.done()

    def order(self, upload: Upload) -> tuple[str | None, bool]:
        """Begin an upload; one that is under way is given up.

        Returns the name of the file, None where there is nothing to bring, and whether another was given up.
        """
        canceled = self.uploads
        if self._running is not None:
            self._running.cancel()
        station, now = self._station, self._station.clock.now()
        lines = self._lines(upload)
        if not lines:
            return None, canceled
        name = station.logbook.file_name(upload.kind, now)
        content = station.logbook.content(lines, station.facts(), now)
        self._ordered = upload
        self._running = station.start(self._upload(upload, name, content))
        return name, canceled

    def _lines(self, upload: Upload) -> list[str]:
        if upload.kind == SECURITY:
            return security_lines(self._station.security_events.log, upload.span)
        return self._station.logbook.lines(upload.span)

    def notification(self, *, log: bool) -> object:
        """The status as it stands, for TriggerMessage and ExtendedTriggerMessage."""
        told = self._told if self.status != IDLE else None
        if log:
            return call.LogStatusNotification(status=self.status, request_id=told.request_id if told else None)
        status = "UploadFailed" if self.status not in {IDLE, UPLOADING, UPLOADED} else self.status
        return call.DiagnosticsStatusNotification(status=status)

    async def _upload(self, upload: Upload, name: str, content: bytes) -> None:
        try:
            await self._tell(upload, UPLOADING)
            await self._tell(upload, await self._outcome(upload, name, content))
        finally:
            if self._ordered is upload:  # a later order may have taken its place
                self.status = IDLE

    async def _outcome(self, upload: Upload, name: str, content: bytes) -> str:
        """Bring the file; the status that tells how it went."""
        status = UPLOADED
        for attempt in range(upload.attempts):
            if attempt:
                await asyncio.sleep(upload.retry_interval_s)
            try:
                await self._attempt(upload, name, content)
            except TransferError as error:
                self._station.stream.emit(Noted(text=f"{name}: {error}"))
                status = error.status
            else:
                self.done.append(Uploaded(name, upload.location, content))
                self._station.stream.emit(Noted(text=f"{name}: {len(content)} bytes uploaded"))
                return UPLOADED
        return status

    async def _attempt(self, upload: Upload, name: str, content: bytes) -> None:
        station = self._station
        if station.habits.transfers_fail:
            message = "files cannot be brought"
            raise TransferError(message)
        transfer = Transfer(station.security.tls())
        try:
            await in_thread(lambda: transfer.upload(upload.location, name, content, station.habits.upload_method))
        finally:
            transfer.given_up.set()

    async def _tell(self, upload: Upload, status: str) -> None:
        self.status, self._told = status, upload
        notification = self.notification(log=upload.request_id is not None)
        if status != UPLOADING:
            self.status = IDLE
        await self._station.maintenance.tell(notification)
