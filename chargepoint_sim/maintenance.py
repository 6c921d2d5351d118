# mypy: disable-error-code="import-untyped"
"""What a station does beside charging: heartbeats, clock-aligned readings, triggered messages, updates and diagnostics.

Updates and diagnostics go through their status notifications only; nothing is downloaded, installed, written or
uploaded.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim.answers import HeartbeatAnswer, Nothing
from chargepoint_sim.delivery import meter_value
from chargepoint_sim.errors import NotAnsweredError
from chargepoint_sim.events import MessageFailed

if TYPE_CHECKING:
    from datetime import datetime

    from chargepoint_sim.connector import Connector
    from chargepoint_sim.station import Station

DEFAULT_HEARTBEAT_S = 300


class Maintenance:
    """The routine of one station. pause_s: the real time each stage of an update or an upload takes."""

    def __init__(self, station: Station, pause_s: float) -> None:
        self._station = station
        self._pause_s = pause_s
        self._changed = {"HeartbeatInterval": asyncio.Event(), "ClockAlignedDataInterval": asyncio.Event()}
        self._firmware_status = "Idle"
        self._diagnostics_status = "Idle"

    def configuration_changed(self, name: str) -> None:
        """An interval may have to be waited for anew."""
        if name in self._changed:
            self._changed[name].set()

    async def _passed(self, name: str, seconds: float | None) -> bool:
        """Wait real seconds; False if the key changed meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed[name].wait()
        except TimeoutError:
            return True
        self._changed[name].clear()
        return False

    async def _send(self, payload: object) -> None:
        try:
            await self._station.uplink.request(payload, Nothing)
        except NotAnsweredError as error:
            self._failed(type(payload).__name__, error)

    def _failed(self, action: str, error: NotAnsweredError) -> None:
        station = self._station
        station.stream.emit(MessageFailed(action=action, cause=str(error)))

    async def heartbeats(self) -> None:
        """Send a Heartbeat each HeartbeatInterval (real) seconds, for ever."""
        while True:
            await self._station.uplink.online()
            interval_s = self._station.configuration.number("HeartbeatInterval") or DEFAULT_HEARTBEAT_S
            if await self._passed("HeartbeatInterval", interval_s) and self._station.is_online:
                await self._heartbeat()

    async def _heartbeat(self) -> None:
        try:
            await self._station.uplink.request(call.Heartbeat(), HeartbeatAnswer)
        except NotAnsweredError as error:
            self._failed("Heartbeat", error)

    async def aligned_readings(self) -> None:
        """Take readings at multiples of ClockAlignedDataInterval after midnight UTC, for ever (3.16.2)."""
        while True:
            interval_s = self._station.configuration.number("ClockAlignedDataInterval")
            now = self._station.clock.now()
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            turns = (now - midnight).total_seconds() // interval_s + 1 if interval_s else 0
            ahead_s = self._station.clock.real_s_until(midnight + timedelta(seconds=turns * interval_s))
            if await self._passed("ClockAlignedDataInterval", ahead_s if interval_s else None):
                for connector in self._station.acts.outlets:
                    await self._read(connector, "Sample.Clock", "MeterValuesAlignedData")
                    self._station.transactions.keep_aligned(connector)

    async def _read(self, connector: Connector, context: str, measurands_key: str) -> None:
        """Tell a reading: through the outbox in a transaction, at once outside."""
        transactions = self._station.transactions
        transactions.advance(connector)
        if connector.transaction is not None:
            transactions.sample(connector, context, measurands_key)
            return
        readings = transactions.read(connector, context, measurands_key)
        if readings and self._station.is_online:
            values = [meter_value(reading) for reading in readings]
            await self._send(call.MeterValues(connector_id=connector.connector_id, meter_value=values))

    async def trigger(self, kind: str, connector_id: int | None) -> None:
        """Send what TriggerMessage asked for (5.17)."""
        connectors = self._station.transactions.connectors
        chosen = list(connectors.values()) if connector_id is None else [connectors[connector_id]]
        if kind == "BootNotification":
            await self._station.uplink.boot_again()
        elif kind == "Heartbeat":
            await self._heartbeat()
        elif kind == "DiagnosticsStatusNotification":
            await self._send(call.DiagnosticsStatusNotification(status=self._diagnostics_status))
        elif kind == "FirmwareStatusNotification":
            await self._send(call.FirmwareStatusNotification(status=self._firmware_status))
        elif kind == "StatusNotification":
            for connector in chosen:
                self._station.delivery.report_status(connector)
        else:
            for connector in chosen:
                if connector.connector_id:
                    await self._read(connector, "Trigger", "MeterValuesSampledData")

    async def pretend_diagnostics(self) -> None:
        """The statuses of a diagnostics upload (5.9)."""
        for status in ("Uploading", "UploadFailed" if self._station.habits.transfers_fail else "Uploaded"):
            self._diagnostics_status = status
            await self._send(call.DiagnosticsStatusNotification(status=status))
            await asyncio.sleep(self._pause_s)
        self._diagnostics_status = "Idle"

    async def pretend_update(self, retrieve_at: datetime) -> None:
        """The statuses of a firmware update, with the boot in between (5.19)."""
        await asyncio.sleep(self._station.clock.real_s_until(retrieve_at))
        if self._station.habits.transfers_fail:
            await self._firmware("Downloading", "DownloadFailed")
            return
        await self._firmware("Downloading", "Downloaded", "Installing")
        await self._station.reset(hard=False)
        await self._station.uplink.online()
        await self._firmware("Installed")

    async def _firmware(self, *statuses: str) -> None:
        for status in statuses:
            self._firmware_status = status
            await self._send(call.FirmwareStatusNotification(status=status))
            await asyncio.sleep(self._pause_s)
        if statuses[-1] != "Installing":
            self._firmware_status = "Idle"
