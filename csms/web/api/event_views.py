"""Events as others see them: an id, a type, a moment, and data whose money carries its currency."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec

from csms.billing.money import Currency, format_amount
from csms.operations.event_store import EventBatch, event_id
from csms.webhooks.store import NewDelivery

EventType = Literal[
    "charge_point.connected",
    "charge_point.disconnected",
    "connector.status",
    "transaction.started",
    "transaction.reading",
    "transaction.ended",
    "account.paid_in",
    "alarm.raised",
    "command.decided",
    "security.event",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
_MINOR = "_minor"
_JSON = "_json"


class Event(msgspec.Struct, frozen=True):
    """Something that happened. `id` tells its place in the order of everything that happened."""

    id: str
    type: str
    recorded_at: datetime
    data: dict[str, Any]


def shown(batch: EventBatch, currency: Currency, types: Collection[str] = (), after: int = -1) -> Iterator[Event]:
    """Return the events of a batch behind the index `after`, of these types (none named: of all)."""
    for index, (kind, data) in enumerate(batch.events):
        if index > after and (not types or kind in types):
            yield Event(event_id(batch.position, index), kind, batch.recorded_at, _data(data, currency))


def deliveries(batch: EventBatch, types: Collection[str], currency: Currency) -> list[NewDelivery]:
    """Return the events of a batch as webhooks send them."""
    return [
        NewDelivery(event.id, event.type, msgspec.json.encode(event).decode())
        for event in shown(batch, currency, types)
    ]


def _data(data: dict[str, Any], currency: Currency) -> dict[str, Any]:
    """Write amounts with their currency, and JSON that was kept as text as what it is."""
    written: dict[str, Any] = {}
    for name, value in data.items():
        if name.endswith(_MINOR):
            written[name.removesuffix(_MINOR)] = {"amount": format_amount(value, currency), "currency": currency.code}
        elif name.endswith(_JSON):
            written[name.removesuffix(_JSON)] = _decoded(value)
        else:
            written[name] = value
    return written


def _decoded(text: str | None) -> Any:  # noqa: ANN401 - whatever JSON is
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
