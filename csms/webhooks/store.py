"""Webhooks and their deliveries as rows: made, listed, changed, taken and answered.

Works on a connection inside somebody else's unit of work; takes times as arguments. Secrets come and go sealed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast

import msgspec
from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, update

from csms.db import as_fact, delete_some
from csms.webhooks.models import webhook, webhook_delivery

WebhookState = Literal["active", "paused", "disabled"]
DeliveryState = Literal["waiting", "delivered", "failed"]
TEST = "test"  # the type of the event that somebody asks for to try a webhook
_FORGOTTEN_AT_ONCE = 2000

_w, _d = webhook.c, webhook_delivery.c


class Webhook(msgspec.Struct, frozen=True):
    """A webhook; `types` none: every event. `secret` is sealed."""

    webhook_id: int
    name: str
    url: str
    types: str
    secret: str
    state: WebhookState
    created_by: str
    created_at: datetime
    position: int
    failing_since: datetime | None
    delivered_at: datetime | None

    @property
    def named_types(self) -> tuple[str, ...]:
        """The types of events that it wants; none: all."""
        return tuple(self.types.split())


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one webhook."""

    delivery_id: int
    webhook_id: int
    event_id: str
    event_type: str
    body: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime
    answered_at: datetime | None
    status: int | None
    error: str


class NewDelivery(msgspec.Struct, frozen=True):
    """An event to be sent."""

    event_id: str
    event_type: str
    body: str


_WEBHOOKS = select(
    _w.id,
    _w.name,
    _w.url,
    _w.types,
    _w.secret,
    _w.state,
    _w.created_by,
    _w.created_at,
    _w.position,
    _w.failing_since,
    _w.delivered_at,
)
_DELIVERIES = select(
    _d.id,
    _d.webhook_id,
    _d.event_id,
    _d.event_type,
    _d.body,
    _d.state,
    _d.attempts,
    _d.created_at,
    _d.due_at,
    _d.answered_at,
    _d.status,
    _d.error,
)


def add_webhook(
    connection: Connection,
    *,
    name: str,
    url: str,
    types: Sequence[str],
    sealed_secret: str,
    created_by: str,
    position: int,
    now: datetime,
) -> int:
    """Make a webhook, active at once, for what happens behind `position`; return its number."""
    row = {
        "name": name,
        "url": url,
        "types": " ".join(types),
        "secret": sealed_secret,
        "state": "active",
        "created_by": created_by,
        "created_at": now,
        "position": position,
    }
    return cast("int", connection.execute(insert(webhook).returning(_w.id), row).scalar_one())


def list_webhooks(connection: Connection, *, state: WebhookState | None = None) -> list[Webhook]:
    """Return the webhooks by number, those of a state where one is given."""
    statement = _WEBHOOKS.order_by(_w.id)
    if state is not None:
        statement = statement.where(_w.state == state)
    return [as_fact(Webhook, row) for row in connection.execute(statement)]


def find_webhook(connection: Connection, webhook_id: int) -> Webhook | None:
    """Return one webhook, or None."""
    row = connection.execute(_WEBHOOKS.where(_w.id == webhook_id)).first()
    return None if row is None else as_fact(Webhook, row)


def change_webhook(connection: Connection, webhook_id: int, values: dict[str, object]) -> None:
    """Change columns of a webhook. One that is active again has not failed yet."""
    if values.get("state") == "active":
        values = {**values, "failing_since": None}
    if values:
        connection.execute(update(webhook).where(_w.id == webhook_id).values(values))


def delete_webhook(connection: Connection, webhook_id: int) -> bool:
    """Remove a webhook with its history; False where there is none."""
    connection.execute(delete(webhook_delivery).where(_d.webhook_id == webhook_id))
    return connection.execute(delete(webhook).where(_w.id == webhook_id)).rowcount == 1


def lease(connection: Connection, webhook_id: int, node: str, now: datetime, until: datetime) -> bool:
    """Take or keep the right to deliver for a webhook; False where another node has it."""
    free = or_(_w.lease_node == node, _w.lease_until.is_(None), _w.lease_until < now)
    statement = update(webhook).where(_w.id == webhook_id, _w.state == "active", free)
    return connection.execute(statement.values(lease_node=node, lease_until=until)).rowcount == 1


def add_deliveries(
    connection: Connection, webhook_id: int, wanted: Sequence[NewDelivery], position: int | None, now: datetime
) -> None:
    """Queue deliveries and note, in the same unit of work, behind which position to go on."""
    if wanted:
        connection.execute(
            insert(webhook_delivery),
            [
                {**msgspec.structs.asdict(one), "webhook_id": webhook_id, "state": "waiting", "created_at": now}
                | {"due_at": now}
                for one in wanted
            ],
        )
    if position is not None:
        connection.execute(update(webhook).where(_w.id == webhook_id).values(position=position))


def count_waiting(connection: Connection, webhook_id: int) -> int:
    """Return how many deliveries wait."""
    waiting = and_(_d.webhook_id == webhook_id, _d.state == "waiting")
    return connection.execute(select(func.count()).select_from(webhook_delivery).where(waiting)).scalar_one()


def due_deliveries(connection: Connection, webhook_id: int, now: datetime, *, limit: int) -> list[Delivery]:
    """Return deliveries that are due, the oldest first."""
    statement = _DELIVERIES.where(_d.webhook_id == webhook_id, _d.state == "waiting", _d.due_at <= now)
    return [as_fact(Delivery, row) for row in connection.execute(statement.order_by(_d.id).limit(limit))]


def note_delivery(
    connection: Connection,
    delivery_id: int,
    *,
    state: DeliveryState,
    due_at: datetime,
    status: int | None,
    error: str,
    now: datetime,
) -> None:
    """Note what came of an attempt."""
    connection.execute(
        update(webhook_delivery)
        .where(_d.id == delivery_id)
        .values(state=state, attempts=_d.attempts + 1, due_at=due_at, answered_at=now, status=status, error=error[:300])
    )


def note_standing(connection: Connection, webhook_id: int, now: datetime, *, is_taken: bool) -> None:
    """Note whether a webhook takes what it is sent."""
    statement = update(webhook).where(_w.id == webhook_id)
    if is_taken:
        connection.execute(statement.values(delivered_at=now, failing_since=None))
    else:
        first = case((_w.failing_since.is_(None), now), else_=_w.failing_since)
        connection.execute(statement.values(failing_since=first))


def list_deliveries(
    connection: Connection, webhook_id: int, *, limit: int, before: int | None = None, offset: int = 0
) -> list[Delivery]:
    """Return the deliveries of a webhook, the newest first."""
    statement = _DELIVERIES.where(_d.webhook_id == webhook_id)
    if before is not None:
        statement = statement.where(_d.id < before)
    rows = connection.execute(statement.order_by(_d.id.desc()).limit(limit).offset(offset))
    return [as_fact(Delivery, row) for row in rows]


def count_deliveries(connection: Connection, webhook_id: int) -> int:
    """Return how many deliveries `list_deliveries` would list in all."""
    statement = select(func.count()).select_from(webhook_delivery).where(_d.webhook_id == webhook_id)
    return connection.execute(statement).scalar_one()


def find_delivery(connection: Connection, delivery_id: int) -> Delivery | None:
    """Return one delivery, or None."""
    row = connection.execute(_DELIVERIES.where(_d.id == delivery_id)).first()
    return None if row is None else as_fact(Delivery, row)


def send_again(connection: Connection, delivery_id: int, now: datetime) -> None:
    """Let a delivery be tried again at once."""
    statement = update(webhook_delivery).where(_d.id == delivery_id)
    connection.execute(statement.values(state="waiting", due_at=now))


def forget_deliveries(connection: Connection, before: datetime, *, limit: int = _FORGOTTEN_AT_ONCE) -> bool:
    """Remove some deliveries that are over and older; tell whether there may be more of them."""
    over = and_(_d.state != "waiting", _d.created_at < before)
    return delete_some(connection, webhook_delivery, over, limit=limit) >= limit
