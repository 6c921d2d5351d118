"""One station, one transaction: plug in, present a card, charge to a goal, stop, and say how it went.

Knows no terminal: the caller prints the events and the summary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargepoint_sim.errors import SimulatorError
from chargepoint_sim.events import Event, MessageDropped, TransactionAnswered, TransactionStopped

if TYPE_CHECKING:
    from chargepoint_sim.car import Car
    from chargepoint_sim.events import Record
    from chargepoint_sim.station import Station

DELIVERY_S = 30.0


class Summary(Event, frozen=True, tag="Summary"):
    """How a session ended. reason: of the StopTransaction. ok: it was charged and every message was delivered."""

    ok: bool
    text: str
    transaction_id: int | None = None
    id_tag: str | None = None
    reason: str | None = None
    energy_wh: int = 0
    meter_stop_wh: int | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Goal:
    """When the driver stops: after energy, after simulated minutes, or (both None) with a full car."""

    energy_wh: float | None = None
    minutes: float | None = None


class Session:
    """One session at one connector of a station that runs already."""

    def __init__(self, station: Station, connector_id: int, id_tag: str, car: Car, goal: Goal) -> None:
        self._station = station
        self._connector_id = connector_id
        self._id_tag = id_tag
        self._car = car
        self._goal = goal
        self._transaction_id: int | None = None
        self._refusal: str | None = None
        self._stopped: TransactionStopped | None = None
        self._dropped: str | None = None

    def _heard(self, record: Record) -> None:
        event = record.event
        if isinstance(event, TransactionAnswered):
            self._transaction_id = event.transaction_id
            self._refusal = None if event.status == "Accepted" else event.status
        elif isinstance(event, TransactionStopped):
            self._stopped = event
        elif isinstance(event, MessageDropped):
            self._dropped = f"{event.action}: {event.cause}"

    async def run(self, connect_timeout_s: float) -> Summary:
        """Run it. Raises SimulatorError or TimeoutError if the station does not come online."""
        station = self._station
        station.stream.listen(self._heard)
        await station.wait_online(connect_timeout_s)
        station.plug_in(self._connector_id, self._car)
        verdict = await station.present_card(self._connector_id, self._id_tag)
        if not verdict.accepted:
            station.unplug(self._connector_id)
            text = f"no charging: card {self._id_tag} was refused with {verdict.info.status} by the {verdict.source}"
            return Summary(ok=False, text=text, id_tag=self._id_tag)
        began_s = station.clock.elapsed_s()
        if self._goal.minutes is not None:
            station.spawn(self._wake_after(self._goal.minutes))
        await station.wait_until(lambda: self._done(began_s))
        if self._stopped is None:
            await station.present_card(self._connector_id, self._id_tag)
        undelivered = await self._deliver()
        if station.connector(self._connector_id).plugged:
            station.unplug(self._connector_id)
            await station.delivery.statuses_told()
        return self._summary(undelivered)

    async def _wake_after(self, minutes: float) -> None:
        await self._station.clock.sleep(minutes * 60)
        self._station.stream.wake()

    def _done(self, began_s: float) -> bool:
        if self._stopped is not None:
            return True
        view = self._station.connector(self._connector_id)
        if self._goal.energy_wh is not None and view.energy_wh >= self._goal.energy_wh:
            return True
        if self._goal.minutes is not None and self._station.clock.elapsed_s() - began_s >= self._goal.minutes * 60:
            return True
        return view.status == "SuspendedEV"

    async def _deliver(self) -> str | None:
        """Wait for the outbox. Returns what could not be delivered."""
        try:
            await self._station.wait_delivered(DELIVERY_S)
        except (TimeoutError, SimulatorError):
            return f"{len(self._station.outbox)} messages were not delivered"
        return self._dropped

    def _summary(self, undelivered: str | None) -> Summary:
        stopped = self._stopped
        if stopped is None:
            return Summary(ok=False, text="the transaction did not end", id_tag=self._id_tag)
        ok = self._refusal is None and undelivered is None
        parts = [
            f"{stopped.energy_wh / 1000:.3f} kWh for {stopped.id_tag}",
            f"transaction {self._transaction_id}",
            f"meter stop {stopped.meter_stop_wh} Wh",
            f"reason {stopped.reason}",
        ]
        parts += [f"refused with {self._refusal}"] if self._refusal else []
        parts += [undelivered] if undelivered else []
        return Summary(
            ok=ok,
            text=("charged " if ok else "failed: ") + ", ".join(parts),
            transaction_id=self._transaction_id,
            id_tag=stopped.id_tag,
            reason=stopped.reason,
            energy_wh=stopped.energy_wh,
            meter_stop_wh=stopped.meter_stop_wh,
        )
