"""Writes what happened in the unit of work in which it happened, and reads it in the order of the commits.

One row holds all events of a unit of work: it costs one statement, whatever the batch is.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, Text, cast, delete, func, select

from csms.charging.models import connection as connection_table
from csms.charging.working_set import WorkingSet
from csms.db import Instant, any_of, delete_some
from csms.operations.event_models import event_batch
from csms.operations.events import TYPES, happened

_e = event_batch.c
_own_transaction = cast(cast(func.pg_current_xact_id(), Text), BigInteger)
_oldest_running = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
FORGOTTEN_AT_ONCE = 2000
_ENCODER = msgspec.json.Encoder()
_EVENTS = msgspec.json.Decoder(tuple[tuple[str, msgspec.Raw], ...])
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}


class EventBatch(msgspec.Struct, frozen=True):
    """What happened in one unit of work: type and data of each."""

    position: int
    recorded_at: datetime
    events: tuple[tuple[str, dict[str, Any]], ...]


# As text: one row in each unit of work, for which SQLAlchemy's own ways would cost more than the database does. SQLite
# gives a row without a position the number after the highest, under the lock that orders its commits.
_RECORD = {
    "sqlite": "INSERT INTO event_batch (recorded_at, events_json) VALUES (?, ?)",
    "postgresql": "INSERT INTO event_batch (position, recorded_at, events_json) "
    "VALUES (pg_current_xact_id()::text::bigint, %s, %s)",
}
_moment = Instant().bind_processor
_STILL_THERE = select(connection_table.c.charge_point_id).where(any_of(connection_table.c.charge_point_id, "keys"))


def record(connection: Connection, working_set: WorkingSet, now: datetime) -> None:
    """Write what happened in this unit of work, after everything else was written."""
    still: set[int] = set()
    if working_set.gone:
        keys = sorted({one.charge_point_id for one in working_set.gone})
        still = set(connection.execute(_STILL_THERE, {"keys": keys}).scalars())
    events = happened(working_set, still)
    if events:
        dialect = connection.dialect
        written = to_moment(now) if (to_moment := _moment(dialect)) is not None else now
        connection.exec_driver_sql(_RECORD[dialect.name], (written, _ENCODER.encode(events).decode()))


def newest_position(connection: Connection) -> int:
    """Return behind which position what happens from now on is found."""
    statement = select(func.max(_e.position))
    if connection.dialect.name == "postgresql":
        statement = statement.where(_e.position < _oldest_running)
    return connection.execute(statement).scalar() or 0


def oldest_position(connection: Connection) -> int:
    """Return the position of the oldest row that is kept; 0 where there is none."""
    return connection.execute(select(func.min(_e.position))).scalar() or 0


def read_events(connection: Connection, after: int, *, limit: int) -> list[EventBatch]:
    """Return what happened behind a position, in the order of the commits."""
    statement = select(_e.position, _e.recorded_at, _e.events_json).where(_e.position > after)
    if connection.dialect.name == "postgresql":
        statement = statement.where(_e.position < _oldest_running)
    rows = connection.execute(statement.order_by(_e.position).limit(limit))
    return [EventBatch(row.position, row.recorded_at, tuple(_decoded(row.events_json))) for row in rows]


def _decoded(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, data in _EVENTS.decode(text):
        if name in _DECODERS:  # another version may know more
            yield name, msgspec.structs.asdict(_DECODERS[name].decode(data))


def forget_events(connection: Connection, before: datetime, *, limit: int = FORGOTTEN_AT_ONCE) -> bool:
    """Remove some of what is older, from the oldest on; tell whether there may be more of it.

    The newest row stays, since SQLite counts on from it.

    Rows that lie ahead of PostgreSQL's own count came with a dump from another cluster, and would never be in order.
    """
    newest = connection.execute(select(func.max(_e.position))).scalar()
    last = None
    count = 0
    for position, recorded_at in connection.execute(
        select(_e.position, _e.recorded_at).order_by(_e.position).limit(limit)
    ).all():
        if recorded_at >= before or position == newest:
            break
        last = position
        count += 1
    if last is not None:
        connection.execute(delete(event_batch).where(_e.position <= last))
    if connection.dialect.name == "postgresql":
        count = max(count, delete_some(connection, event_batch, _e.position > _own_transaction, limit=limit))
    return count >= limit


def event_id(position: int, index: int) -> str:
    """Return the id under which others know an event."""
    return f"{position}-{index}"


def read_event_id(text: str) -> tuple[int, int] | None:
    """Return position and index of an id, None where it is none."""
    position, separator, index = text.partition("-")
    parts: Sequence[str] = (position, index)
    if not separator or not all(one.isascii() and one.isdigit() and len(one) <= 18 for one in parts):  # noqa: PLR2004
        return None
    return int(position), int(index)
