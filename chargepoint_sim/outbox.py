"""The transaction-related messages a station owes the central system, in the order in which things happened.

StartTransaction, MeterValues and StopTransaction wait here until they are answered (OCPP 1.6, 3.7 and 4.1). A message
names its transaction by the station's own number; the central system's transaction id is put in when the message is
sent, because a station that was offline learns it only then. Knows no link: `delivery.py` sends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from chargepoint_sim.meter import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CAPACITY = 5_000
UNKNOWN_TRANSACTION_ID = -1


class Start(msgspec.Struct, frozen=True, tag="StartTransaction"):
    """StartTransaction.req (6.45), still without an answer."""

    message_id: str
    transaction: int
    connector_id: int
    id_tag: str
    meter_start: int
    timestamp: str
    reservation_id: int | None = None


class Values(msgspec.Struct, frozen=True, tag="MeterValues"):
    """MeterValues.req (6.31) that belongs to a transaction."""

    message_id: str
    transaction: int
    connector_id: int
    readings: tuple[Reading, ...]


class Stop(msgspec.Struct, frozen=True, tag="StopTransaction"):
    """StopTransaction.req (6.49)."""

    message_id: str
    transaction: int
    id_tag: str | None
    meter_stop: int
    timestamp: str
    reason: str
    readings: tuple[Reading, ...] = ()
    connector_id: int = 0


Message = Start | Values | Stop


def action_of(message: Message) -> str:
    """The OCPP action of a message."""
    return str(message.__struct_config__.tag)


class Outbox:
    """A queue that loses nothing but, when it is full, the oldest MeterValues.

    `changed` is called after every change, so that the state file follows.
    """

    def __init__(
        self,
        messages: Iterable[Message] = (),
        transaction_ids: Mapping[int, int] | None = None,
        next_transaction: int = 1,
    ) -> None:
        self._messages: deque[Message] = deque(messages)
        self._transaction_ids: dict[int, int] = dict(transaction_ids or {})
        self.next_transaction = next_transaction
        self.changed: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What waits, oldest first."""
        return tuple(self._messages)

    @property
    def transaction_ids(self) -> dict[int, int]:
        """The central system's ids by the station's own numbers."""
        return dict(self._transaction_ids)

    @property
    def head(self) -> Message | None:
        """The message to send next."""
        return self._messages[0] if self._messages else None

    def number_transaction(self) -> int:
        """A new number of the station's own for a transaction."""
        number = self.next_transaction
        self.next_transaction += 1
        return number

    def add(self, message: Message) -> None:
        """Put a message at the end."""
        if len(self._messages) >= CAPACITY:
            # The head may be on its way already; it is never the one to go.
            oldest = (i for i, waiting in enumerate(self._messages) if i and isinstance(waiting, Values))
            place = next(oldest, None)
            if place is not None:
                del self._messages[place]
        self._messages.append(message)
        self.changed()

    def renew_head(self, message_id: str) -> None:
        """Give the head another message id before it is repeated."""
        self._messages[0] = msgspec.structs.replace(self._messages[0], message_id=message_id)
        self.changed()

    def remove_head(self) -> None:
        """Take the head out: it was answered, or it is given up."""
        message = self._messages.popleft()
        if isinstance(message, Stop):
            self._transaction_ids.pop(message.transaction, None)
        self.changed()

    def learn(self, transaction: int, transaction_id: int) -> None:
        """Keep the id the central system gave to a transaction."""
        self._transaction_ids[transaction] = transaction_id
        self.changed()

    def transaction_id(self, transaction: int) -> int | None:
        """The central system's id, None as long as it is not known."""
        return self._transaction_ids.get(transaction)
