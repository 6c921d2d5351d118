"""What happened at a station, as frozen facts, and the stream in which others read them.

Knows nothing of how things happen. Each event says itself in one sentence (`str`) and as plain data (`as_data`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from chargepoint_sim.clock import written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

STREAM_LIMIT = 10_000


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """Something that happened at a station; `str` says it in a sentence."""


class LinkOpened(Event, frozen=True):
    """A WebSocket connection stands."""

    uri: str

    def __str__(self) -> str:
        return f"connected to {self.uri}"


class LinkRefused(Event, frozen=True):
    """A connection attempt failed; the next follows after a pause."""

    cause: str
    next_try_s: float | None

    def __str__(self) -> str:
        return self.cause + (f"; next try in {self.next_try_s:.1f} s" if self.next_try_s is not None else "")


class LinkClosed(Event, frozen=True):
    """The connection ended."""

    cause: str

    def __str__(self) -> str:
        return f"offline: {self.cause}"


class BootAnswered(Event, frozen=True):
    """The central system answered a BootNotification."""

    status: str
    interval_s: int

    def __str__(self) -> str:
        return f"boot {self.status}, interval {self.interval_s} s"


class StatusChanged(Event, frozen=True):
    """A connector, or with 0 the whole charge point, changed its status."""

    connector_id: int
    status: str
    error_code: str

    def __str__(self) -> str:
        error = "" if self.error_code == "NoError" else f" ({self.error_code})"
        return f"connector {self.connector_id}: {self.status}{error}"


class CardAnswered(Event, frozen=True):
    """A card was held to the reader, or named remotely, and was let in or not. source: who decided."""

    connector_id: int
    id_tag: str
    status: str
    source: str

    def __str__(self) -> str:
        return f"connector {self.connector_id}: card {self.id_tag} {self.status} by {self.source}"


class TransactionStarted(Event, frozen=True):
    """Energy may flow; the central system has not necessarily answered yet."""

    connector_id: int
    id_tag: str
    meter_start_wh: int

    def __str__(self) -> str:
        return f"connector {self.connector_id}: transaction begins for {self.id_tag} at {self.meter_start_wh} Wh"


class TransactionAnswered(Event, frozen=True):
    """The central system answered StartTransaction."""

    connector_id: int
    transaction_id: int
    status: str

    def __str__(self) -> str:
        return f"connector {self.connector_id}: transaction {self.transaction_id} {self.status}"


class MeterRead(Event, frozen=True):
    """A periodic reading was taken. energy_wh: since the transaction began."""

    connector_id: int
    transaction_id: int | None
    register_wh: int
    energy_wh: int
    power_w: int
    soc_percent: int | None

    def __str__(self) -> str:
        soc = "" if self.soc_percent is None else f", battery {self.soc_percent} %"
        return (
            f"connector {self.connector_id}: {self.energy_wh / 1000:.2f} kWh, {self.power_w / 1000:.1f} kW{soc}"
            f" (register {self.register_wh} Wh)"
        )


class TransactionStopped(Event, frozen=True):
    """Energy flows no more; StopTransaction waits in the outbox or is on its way."""

    connector_id: int
    transaction_id: int | None
    id_tag: str
    reason: str
    meter_stop_wh: int
    energy_wh: int

    def __str__(self) -> str:
        return f"connector {self.connector_id}: transaction ends, {self.energy_wh / 1000:.3f} kWh, reason {self.reason}"


class MessageDelivered(Event, frozen=True):
    """A transaction-related message got its call result. waiting: what is still in the outbox."""

    action: str
    waiting: int

    def __str__(self) -> str:
        return f"{self.action} delivered, {self.waiting} waiting"


class MessageDropped(Event, frozen=True):
    """A transaction-related message was given up (TransactionMessageAttempts)."""

    action: str
    cause: str

    def __str__(self) -> str:
        return f"{self.action} given up: {self.cause}"


class MessageFailed(Event, frozen=True):
    """A call got no call result."""

    action: str
    cause: str

    def __str__(self) -> str:
        return self.cause


class CallAnswered(Event, frozen=True):
    """The central system called and the station answered."""

    action: str
    answer: str

    def __str__(self) -> str:
        return f"the central system calls {self.action}: {self.answer}"


class Noted(Event, frozen=True):
    """Anything else worth a line."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Record:
    """An event with its station and its moment."""

    at: datetime
    identity: str
    event: Event

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.identity} {self.event}"

    def as_data(self) -> dict[str, object]:
        """Plain values for JSON; `event` names the kind."""
        told: dict[str, object] = msgspec.to_builtins(self.event)
        return {"at": written(self.at), "identity": self.identity, **told}


class EventStream:
    """Hands each event to every reader. A reader that falls behind by STREAM_LIMIT events loses the oldest."""

    def __init__(self, identity: str, now: Callable[[], datetime]) -> None:
        self._identity = identity
        self._now = now
        self._readers: list[tuple[deque[Record], asyncio.Event]] = []
        self._listeners: list[Callable[[Record], None]] = []
        self._changed: asyncio.Future[None] | None = None
        self._ended = False

    def listen(self, listener: Callable[[Record], None]) -> None:
        """Call a function with each record from now on."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Give an event to all who read."""
        record = Record(self._now(), self._identity, event)
        for listener in self._listeners:
            listener(record)
        for waiting, arrived in self._readers:
            waiting.append(record)
            arrived.set()
        self.wake()

    def wake(self) -> None:
        """Let those who wait for a condition look again."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    def end(self) -> None:
        """Let every reader's loop come to its end."""
        self._ended = True
        for _, arrived in self._readers:
            arrived.set()
        self.wake()

    async def changed(self) -> None:
        """Wait until anything happens."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def read(self) -> AsyncIterator[Record]:
        """The events from this call on, until the station ends."""
        waiting: deque[Record] = deque(maxlen=STREAM_LIMIT)
        arrived = asyncio.Event()
        self._readers.append((waiting, arrived))
        return self._iterate(waiting, arrived)

    async def _iterate(self, waiting: deque[Record], arrived: asyncio.Event) -> AsyncIterator[Record]:
        while True:
            while waiting:
                yield waiting.popleft()
            if self._ended:
                return
            arrived.clear()
            await arrived.wait()
