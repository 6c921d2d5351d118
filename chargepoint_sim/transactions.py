"""Transactions at the connectors: begin, let energy flow, take readings, end.

Moves the cars and the meters on, and puts what must be told into the outbox. Knows no link; whether the station is
online, and what the central system answered, is told to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from chargepoint_sim import car as cars
from chargepoint_sim.clock import written
from chargepoint_sim.connector import NO_ERROR, Connector, Transaction
from chargepoint_sim.events import (
    MeterRead,
    Noted,
    StatusChanged,
    TransactionAnswered,
    TransactionStarted,
    TransactionStopped,
)
from chargepoint_sim.outbox import Start, Stop, Values
from chargepoint_sim.profiles import Installed, Moment, install, limit_w

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chargepoint_sim.authorization import Authorizer
    from chargepoint_sim.clock import Clock
    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.connector import Permit
    from chargepoint_sim.events import EventStream
    from chargepoint_sim.local_list import IdTagInfo
    from chargepoint_sim.meter import Reading
    from chargepoint_sim.outbox import Outbox

SUBSTEP_S = 10.0
ALIGNED_READINGS_LIMIT = 100


@dataclass(frozen=True)
class Tools:
    """What the parts of one station share. sample_gap_s: the least real time between two readings."""

    clock: Clock
    configuration: Configuration
    outbox: Outbox
    events: EventStream
    authorizer: Authorizer
    online: Callable[[], bool]
    new_id: Callable[[], str]
    spawn: Callable[[Coroutine[object, object, None]], None]
    report_status: Callable[[Connector], None]
    save: Callable[[], None]
    sample_gap_s: float
    stops_when_full: bool


class Transactions:
    """The transactions of one station."""

    def __init__(self, tools: Tools, connectors: dict[int, Connector]) -> None:
        self._tools = tools
        self.connectors = connectors
        self.profiles: tuple[Installed, ...] = ()

    def changed(self) -> None:
        """The profiles are others now: keep them, and let what they limit show."""
        self._tools.save()
        for connector in self.connectors.values():
            self.refresh(connector)

    def refresh(self, connector: Connector) -> None:
        """Tell the new status of a connector if it has one."""
        if connector.status == connector.shown:
            return
        connector.shown = connector.status
        self._tools.events.emit(
            StatusChanged(
                connector_id=connector.connector_id,
                status=connector.shown,
                error_code=connector.error_code,
            )
        )
        self._tools.report_status(connector)

    def begin(self, connector: Connector, permit: Permit) -> None:
        """Begin a transaction for an accepted card whose cable is in (4.8)."""
        now, elapsed_s = written(self._tools.clock.now()), self._tools.clock.elapsed_s()
        number, meter_start = self._tools.outbox.number_transaction(), connector.meter.whole_wh
        transaction = Transaction(
            number, permit.id_tag, permit.parent_id_tag, meter_start, elapsed_s, elapsed_s, sampled_s=elapsed_s
        )
        reservation = connector.reservation or self.connectors[0].reservation
        used = reservation if reservation and reservation.admits(permit.id_tag, permit.parent_id_tag) else None
        if used is not None:
            self.connectors[used.connector_id].reservation = None
        connector.permit, connector.finishing, connector.transaction = None, False, transaction
        if permit.profile is not None:
            self.profiles = install(self.profiles, connector.connector_id, permit.profile)
        transaction.readings += self._read(connector, "Transaction.Begin", "StopTxnSampledData", now)
        self._tools.outbox.add(
            Start(
                message_id=self._tools.new_id(),
                transaction=number,
                connector_id=connector.connector_id,
                id_tag=permit.id_tag,
                meter_start=meter_start,
                timestamp=now,
                reservation_id=used.reservation_id if used else None,
            )
        )
        self._tools.events.emit(
            TransactionStarted(
                connector_id=connector.connector_id,
                id_tag=permit.id_tag,
                meter_start_wh=meter_start,
            )
        )
        if not self._tools.online():
            transaction.go.set()
        self._tools.spawn(self._run(connector, transaction))

    async def _run(self, connector: Connector, transaction: Transaction) -> None:
        """Wait for the answer, or until none is to be had; then let energy flow until the transaction ends."""
        await transaction.go.wait()
        if connector.transaction is not transaction:
            return
        clock = self._tools.clock
        transaction.energised = True
        transaction.began_s = transaction.advanced_s = transaction.sampled_s = clock.elapsed_s()
        connector.meter.offered_w = self._offered_w(connector, transaction, transaction.began_s)
        self.refresh(connector)
        while connector.transaction is transaction:
            await clock.sleep(self._pause_s(transaction))
            if connector.transaction is not transaction:
                return
            self.advance(connector)
            self._sample_when_due(connector, transaction)
            self.refresh(connector)
            self._tools.events.wake()
            if self._tools.stops_when_full and connector.car is not None and connector.car.full:
                self.stop(connector, "Other")

    def _interval_s(self) -> float:
        interval_s = self._tools.configuration.number("MeterValueSampleInterval")
        return max(interval_s, self._tools.sample_gap_s * self._tools.clock.speed) if interval_s else 0.0

    def _pause_s(self, transaction: Transaction) -> float:
        """Simulated seconds to the next look: a tick, or less when a reading is due before."""
        tick_s = self._tools.clock.tick_s * self._tools.clock.speed
        interval_s = self._interval_s()
        if not interval_s:
            return tick_s
        return min(tick_s, max(0.0, transaction.sampled_s + interval_s - self._tools.clock.elapsed_s()))

    def _sample_when_due(self, connector: Connector, transaction: Transaction) -> None:
        interval_s, elapsed_s = self._interval_s(), self._tools.clock.elapsed_s()
        if not interval_s or elapsed_s < transaction.sampled_s + interval_s:
            return
        transaction.sampled_s += ((elapsed_s - transaction.sampled_s) // interval_s) * interval_s
        self.sample(connector, "Sample.Periodic", "MeterValuesSampledData")

    def sample(self, connector: Connector, context: str, measurands_key: str, back_s: float = 0.0) -> None:
        """Take a reading of a running transaction and put it into the outbox. back_s: how old its stamp is."""
        transaction = connector.transaction
        readings = self.read(connector, context, measurands_key, back_s)
        if transaction is None or not readings:
            return
        self._tools.outbox.add(
            Values(self._tools.new_id(), transaction.number, connector.connector_id, tuple(readings))
        )
        self._tools.events.emit(
            MeterRead(
                connector_id=connector.connector_id,
                transaction_id=transaction.transaction_id,
                register_wh=connector.meter.whole_wh,
                energy_wh=connector.meter.whole_wh - transaction.meter_start,
                power_w=round(connector.meter.power_w),
                soc_percent=round(connector.car.soc * 100) if connector.car else None,
            )
        )

    def keep_aligned(self, connector: Connector, back_s: float = 0.0) -> None:
        """Keep a clock-aligned reading for StopTransaction (StopTxnAlignedData)."""
        transaction = connector.transaction
        if transaction is not None and len(transaction.readings) < ALIGNED_READINGS_LIMIT:
            transaction.readings += self.read(connector, "Sample.Clock", "StopTxnAlignedData", back_s)

    def read(self, connector: Connector, context: str, measurands_key: str, back_s: float = 0.0) -> list[Reading]:
        """A reading as of now, stamped some seconds back."""
        stamp = self._tools.clock.now() - timedelta(seconds=back_s)
        return self._read(connector, context, measurands_key, written(stamp))

    def _read(self, connector: Connector, context: str, measurands_key: str, timestamp: str) -> list[Reading]:
        measurands = self._tools.configuration.measurands(measurands_key)
        soc = connector.car.soc if connector.car is not None and connector.spec.current == "DC" else None
        reading = connector.meter.read(timestamp, context, measurands, soc)
        return [reading] if reading.samples else []

    def advance(self, connector: Connector) -> None:
        """Let the energy flow that has flowed since the last look."""
        transaction, elapsed_s = connector.transaction, self._tools.clock.elapsed_s()
        if transaction is None or not transaction.energised:
            return
        while transaction.advanced_s < elapsed_s:
            seconds = min(SUBSTEP_S, elapsed_s - transaction.advanced_s)
            offered_w = self._offered_w(connector, transaction, transaction.advanced_s)
            transaction.advanced_s += seconds
            connector.meter.offered_w = offered_w
            if connector.car is None or connector.error_code != NO_ERROR:
                connector.meter.flow(0.0, 0.0)
                continue
            step = cars.charge(connector.car, connector.spec.current, offered_w, seconds)
            energy_wh = step.energy_wh
            if transaction.allowance_wh is not None:
                energy_wh = min(energy_wh, transaction.allowance_wh)
                transaction.allowance_wh -= energy_wh
            connector.car = step.car
            connector.meter.flow(energy_wh, step.power_w)

    def _offered_w(self, connector: Connector, transaction: Transaction, at_s: float) -> float:
        if transaction.allowance_wh is not None and transaction.allowance_wh <= 0:
            return 0.0
        moment = Moment(self._tools.clock.now(), at_s - transaction.began_s)
        sharers = sum(one.draws for one in self.connectors.values())
        return limit_w(self.profiles, connector.spec.outlet, moment, sharers)

    def stop(self, connector: Connector, reason: str, id_tag: str | None = None) -> None:
        """End a transaction (4.10). id_tag: of the card that ended it. Does nothing where none runs."""
        self.advance(connector)
        transaction = connector.transaction
        if transaction is None:
            return
        now, meter_stop = written(self._tools.clock.now()), connector.meter.whole_wh
        connector.meter.power_w = connector.meter.offered_w = 0.0
        end = self._read(connector, "Transaction.End", "StopTxnSampledData", now)
        connector.transaction, connector.finishing = None, True
        transaction.go.set()
        self.profiles = tuple(
            one
            for one in self.profiles
            if one.connector_id != connector.connector_id or one.profile.charging_profile_purpose != "TxProfile"
        )
        self._tools.outbox.add(
            Stop(
                message_id=self._tools.new_id(),
                transaction=transaction.number,
                id_tag=id_tag,
                meter_stop=meter_stop,
                timestamp=now,
                reason=reason,
                readings=(*transaction.readings, *end),
                connector_id=connector.connector_id,
            )
        )
        self._tools.events.emit(
            TransactionStopped(
                connector_id=connector.connector_id,
                transaction_id=transaction.transaction_id,
                id_tag=transaction.id_tag,
                reason=reason,
                meter_stop_wh=meter_stop,
                energy_wh=meter_stop - transaction.meter_start,
            )
        )
        if connector.becomes_operative is not None:
            connector.operative, connector.becomes_operative = connector.becomes_operative, None
        self._tools.save()
        self.refresh(connector)

    def start_answered(self, number: int, transaction_id: int, info: IdTagInfo) -> None:
        """Take in StartTransaction.conf: the id, and whether the card is still welcome (4.8)."""
        self._tools.outbox.learn(number, transaction_id)
        connector = self._running(number)
        if connector is None or connector.transaction is None:
            return
        transaction = connector.transaction
        transaction.transaction_id, transaction.parent_id_tag = transaction_id, info.parent_id_tag
        self._tools.events.emit(
            TransactionAnswered(
                connector_id=connector.connector_id,
                transaction_id=transaction_id,
                status=info.status,
            )
        )
        self._tools.authorizer.remember(transaction.id_tag, info)
        if info.status != "Accepted":
            self._refused(connector, transaction)
        transaction.go.set()

    def _refused(self, connector: Connector, transaction: Transaction) -> None:
        if self._tools.configuration.flag("StopTransactionOnInvalidId"):
            self.stop(connector, "DeAuthorized")
            return
        transaction.allowance_wh = float(self._tools.configuration.number("MaxEnergyOnInvalidId"))
        text = f"connector {connector.connector_id}: at most {transaction.allowance_wh:.0f} Wh more for a refused card"
        self._tools.events.emit(Noted(text=text))

    def start_failed(self, number: int) -> None:
        """StartTransaction got no answer: let energy flow as if the station were offline."""
        connector = self._running(number)
        if connector is not None and connector.transaction is not None:
            connector.transaction.go.set()

    def went_offline(self) -> None:
        """Nobody will answer now; cards that were let in may charge."""
        for connector in self.connectors.values():
            if connector.transaction is not None:
                connector.transaction.go.set()

    def _running(self, number: int) -> Connector | None:
        running = (one for one in self.connectors.values() if one.transaction and one.transaction.number == number)
        return next(running, None)

    def by_transaction_id(self, transaction_id: int) -> Connector | None:
        """The connector on which a transaction of the central system runs."""
        for connector in self.connectors.values():
            if connector.transaction is not None and connector.transaction.transaction_id == transaction_id:
                return connector
        return None
