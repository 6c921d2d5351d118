# mypy: disable-error-code="import-untyped"
"""Sends what waits: transaction-related messages from the outbox, and statuses.

The outbox is emptied in order, one message at a time; a message that fails is repeated (TransactionMessageAttempts,
TransactionMessageRetryInterval times the number of failures, in real seconds), and one whose answer was lost with the
link is repeated after the next connection and not counted. Statuses are not queued while offline: after a reconnect the
current one is told where it differs from the last one told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from ocpp.v16 import call

from chargepoint_sim.answers import Nothing, StartAnswer, StopAnswer
from chargepoint_sim.clock import written
from chargepoint_sim.errors import LinkLostError, NotAnsweredError
from chargepoint_sim.events import MessageDelivered, MessageDropped, MessageFailed
from chargepoint_sim.outbox import UNKNOWN_TRANSACTION_ID, Message, Start, Stop, Values, action_of

if TYPE_CHECKING:
    from chargepoint_sim.connector import Connector
    from chargepoint_sim.habits import Habits
    from chargepoint_sim.meter import Reading
    from chargepoint_sim.transactions import Tools, Transactions

Answer = TypeVar("Answer", bound=msgspec.Struct)


class Line(Protocol):
    """Where messages go."""

    async def online(self) -> None:
        """Wait until the central system may be spoken to."""

    async def request(self, payload: object, answer: type[Answer], message_id: str | None = None) -> Answer:
        """Send a call. Raises NotAnsweredError."""


class Delivery:
    """The two senders of one station. settle_s: how long queued messages wait after a reconnect, if that is a habit."""

    def __init__(self, line: Line, tools: Tools, transactions: Transactions, habits: Habits, settle_s: float) -> None:
        self._line = line
        self._tools = tools
        self._transactions = transactions
        self._habits = habits
        self._settle_s = settle_s
        self._settling = False
        self._filled = asyncio.Event()
        self._statuses: asyncio.Queue[tuple[Connector, object, tuple[str, str]]] = asyncio.Queue()

    def look(self) -> None:
        """The outbox has changed."""
        self._filled.set()

    async def empty_outbox(self) -> None:
        """Send transaction-related messages for ever."""
        failures = 0
        while True:
            await self._line.online()
            if self._settling:
                self._settling = False
                await asyncio.sleep(self._settle_s)
                continue
            message = self._tools.outbox.head
            if message is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                await self._deliver(message)
            except LinkLostError as error:
                self._failed(message, error)
                self._after_loss(message, error)
                continue
            except NotAnsweredError as error:
                failures += 1
                self._failed(message, error)
                failures = await self._after_failure(message, error, failures)
                continue
            failures = 0

    async def _after_failure(self, message: Message, error: NotAnsweredError, failures: int) -> int:
        """Wait, or give the message up. Returns the failures to count on from."""
        configuration = self._tools.configuration
        if isinstance(message, Start):
            self._transactions.start_failed(message.transaction)
        if failures >= configuration.number("TransactionMessageAttempts"):
            self._drop(message, error)
            return 0
        await asyncio.sleep(configuration.number("TransactionMessageRetryInterval") * failures)
        self._renew(message)
        return failures

    def _after_loss(self, message: Message, error: NotAnsweredError) -> None:
        """The link went before the answer: repeat the message after the next connection, or forget it by habit."""
        if self._habits.never_repeats and self._tools.outbox.head is message:
            self._drop(message, error)
        else:
            self._renew(message)

    def _drop(self, message: Message, error: NotAnsweredError) -> None:
        self._tools.outbox.remove_head()
        self._tools.events.emit(MessageDropped(action=action_of(message), cause=str(error)))

    def _renew(self, message: Message) -> None:
        if self._habits.new_ids and self._tools.outbox.head is message:
            self._tools.outbox.renew_head(self._tools.new_id())

    def _failed(self, message: Message, error: NotAnsweredError) -> None:
        self._tools.events.emit(
            MessageFailed(
                action=action_of(message),
                cause=str(error),
            )
        )

    async def _deliver(self, message: Message) -> None:
        known = self._tools.outbox.transaction_id(message.transaction)
        if isinstance(message, Start):
            await self.statuses_told()
            started = await self._line.request(_start_call(message), StartAnswer, message.message_id)
            self._tools.outbox.remove_head()
            self._transactions.start_answered(message.transaction, started.transaction_id, started.id_tag_info)
        elif isinstance(message, Values):
            await self._line.request(_values_call(message, known), Nothing, message.message_id)
            self._tools.outbox.remove_head()
        else:
            stopped = await self._line.request(_stop_call(message, known), StopAnswer, message.message_id)
            self._tools.outbox.remove_head()
            await self._after_stop(message, known)
            if message.id_tag is not None and stopped.id_tag_info is not None:
                self._tools.authorizer.remember(message.id_tag, stopped.id_tag_info)
        self._tools.events.emit(
            MessageDelivered(
                action=action_of(message),
                waiting=len(self._tools.outbox),
            )
        )

    async def _after_stop(self, message: Stop, known: int | None) -> None:
        """What some stations send of a transaction that has ended."""
        try:
            if self._habits.late_values and message.readings:
                late = Values("", message.transaction, message.connector_id, message.readings[-1:])
                await self._line.request(_values_call(late, known), Nothing)
            if self._habits.stops_twice:
                await self._line.request(_stop_call(message, known), StopAnswer)
        except NotAnsweredError as error:
            self._failed(message, error)

    def report_status(self, connector: Connector) -> None:
        """Tell a status if the central system can be told now, and it lasts MinimumStatusDuration (real) seconds."""
        if not self._tools.online():
            return
        minimum_s = self._tools.configuration.number("MinimumStatusDuration")
        if minimum_s:
            self._tools.spawn(self._report_lasting(connector, connector.status, minimum_s))
        else:
            self.tell_status(connector)

    async def _report_lasting(self, connector: Connector, status: str, minimum_s: int) -> None:
        await asyncio.sleep(minimum_s)
        if connector.status == status and connector.reported != (status, connector.error_code):
            self.tell_status(connector)

    def tell_status(self, connector: Connector) -> None:
        """Tell the status as it is now, whether or not it was told before."""
        told = (connector.status, connector.error_code)
        notification = call.StatusNotification(
            connector_id=connector.connector_id,
            status=told[0],
            error_code=told[1],
            timestamp=written(self._tools.clock.now()),
        )
        self._statuses.put_nowait((connector, notification, told))

    def report_all(self, *, again: bool) -> None:
        """After a boot (again) every status; after a mere reconnect those that changed meanwhile."""
        self._settling = self._habits.statuses_overtake
        while not self._statuses.empty():
            self._statuses.get_nowait()
            self._statuses.task_done()
        for connector in self._transactions.connectors.values():
            if again or connector.reported != (connector.status, connector.error_code):
                self.tell_status(connector)

    async def send_statuses(self) -> None:
        """Send statuses for ever."""
        while True:
            connector, notification, told = await self._statuses.get()
            if self._habits.several_in_flight:
                self._tools.spawn(self._send_status(connector, notification, told))
            else:
                await self._send_status(connector, notification, told)

    async def _send_status(self, connector: Connector, notification: object, told: tuple[str, str]) -> None:
        try:
            await self._line.request(notification, Nothing)
        except NotAnsweredError as error:
            self._tools.events.emit(MessageFailed(action="StatusNotification", cause=str(error)))
        else:
            connector.reported = told
        finally:
            self._statuses.task_done()

    async def statuses_told(self) -> None:
        """Wait until no status is waiting, so that Preparing goes before Authorize and StartTransaction."""
        await self._statuses.join()


def meter_value(reading: Reading) -> dict[str, object]:
    """A MeterValue (7.33) as the `ocpp` package takes it."""
    samples = [msgspec.to_builtins(sample) for sample in reading.samples]
    return {"timestamp": reading.timestamp, "sampledValue": samples}


def _start_call(message: Start) -> object:
    return call.StartTransaction(
        connector_id=message.connector_id,
        id_tag=message.id_tag,
        meter_start=message.meter_start,
        timestamp=message.timestamp,
        reservation_id=message.reservation_id,
    )


def _values_call(message: Values, transaction_id: int | None) -> object:
    return call.MeterValues(
        connector_id=message.connector_id,
        transaction_id=transaction_id,
        meter_value=[meter_value(reading) for reading in message.readings],
    )


def _stop_call(message: Stop, transaction_id: int | None) -> object:
    """StopTransaction; without an id of the central system it carries -1 (OCPP 1.6 errata, 3.18)."""
    return call.StopTransaction(
        meter_stop=message.meter_stop,
        timestamp=message.timestamp,
        transaction_id=UNKNOWN_TRANSACTION_ID if transaction_id is None else transaction_id,
        reason=message.reason,
        id_tag=message.id_tag,
        transaction_data=[meter_value(reading) for reading in message.readings] or None,
    )
