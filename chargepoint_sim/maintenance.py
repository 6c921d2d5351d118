# mypy: disable-error-code="import-untyped"
"""What a station does beside charging: heartbeats, clock-aligned readings, triggered messages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim.answers import HeartbeatAnswer, Nothing
from chargepoint_sim.delivery import meter_value
from chargepoint_sim.errors import LinkLostError, NotAnsweredError
from chargepoint_sim.events import MessageFailed

if TYPE_CHECKING:
    from chargepoint_sim.connector import Connector
    from chargepoint_sim.station import Station

DEFAULT_HEARTBEAT_S = 300


class Maintenance:
    """The routine of one station."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._changed = {"HeartbeatInterval": asyncio.Event(), "ClockAlignedDataInterval": asyncio.Event()}

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

    async def tell(self, payload: object) -> None:
        """Send something that must arrive: after the next reconnect, if the link goes meanwhile."""
        while True:
            await self._station.uplink.online()
            try:
                await self._station.uplink.request(payload, Nothing)
            except LinkLostError:
                continue
            except NotAnsweredError as error:
                self._failed(type(payload).__name__, error)
            return

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
            self._station.clock.take_time()
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
                zero = [self._station.transactions.connectors[0]] if self._station.habits.values_for_zero else []
                back_s = interval_s if self._station.habits.values_begin_interval else 0
                for connector in (*zero, *self._station.acts.outlets):
                    await self._read(connector, "Sample.Clock", "MeterValuesAlignedData", back_s)
                    self._station.transactions.keep_aligned(connector, back_s)

    async def _read(self, connector: Connector, context: str, measurands_key: str, back_s: float = 0.0) -> None:
        """Tell a reading: through the outbox in a transaction, at once outside. The main meter counts all outlets."""
        transactions = self._station.transactions
        transactions.advance(connector)
        if connector.connector_id == 0:
            connector.meter.register_wh = sum(outlet.meter.register_wh for outlet in self._station.acts.outlets)
        if connector.transaction is not None:
            transactions.sample(connector, context, measurands_key, back_s)
            return
        readings = transactions.read(connector, context, measurands_key, back_s)
        if readings and self._station.is_online:
            values = [meter_value(reading) for reading in readings]
            await self._send(call.MeterValues(connector_id=connector.connector_id, meter_value=values))

    async def trigger(self, kind: str, connector_id: int | None, *, extended: bool = False) -> None:
        """Send what TriggerMessage asked for (5.17), or ExtendedTriggerMessage."""
        station = self._station
        connectors = station.transactions.connectors
        chosen = list(connectors.values()) if connector_id is None else [connectors[connector_id]]
        if kind == "BootNotification":
            await station.uplink.boot_again()
        elif kind == "Heartbeat":
            await self._heartbeat()
        elif kind in {"DiagnosticsStatusNotification", "LogStatusNotification"}:
            await self._send(station.uploads.notification(log=extended))
        elif kind == "FirmwareStatusNotification":
            await self._send(station.firmware.notification(signed=extended))
        elif kind == "SignChargePointCertificate":
            await station.sign_certificate()
        elif kind == "StatusNotification":
            for connector in chosen:
                station.delivery.tell_status(connector)
        else:
            for connector in chosen:
                if connector.connector_id or connector_id == 0:
                    await self._read(connector, "Trigger", "MeterValuesSampledData")
