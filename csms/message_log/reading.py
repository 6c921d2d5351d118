"""Searches the message log: pages backwards in time, what is new since, and everything oldest first. Reads only.

One page looks through so many rows at most, however rare what is asked for is: it then says how far it looked, and the
next page goes on from there.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, and_, func, select, true
from sqlalchemy.exc import SQLAlchemyError

from csms.db import as_fact
from csms.errors import StorageUnavailable
from csms.message_log.entries import Kind
from csms.message_log.store import MessageStore
from csms.message_log.tables import message

Result = TypeVar("Result")

_LOOKED_THROUGH = 100_000
_SLACK = 10_000  # rows: several nodes write side by side, so numbers and times may differ in order by a little
_AT_ONCE = 1000

_m = message.c


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; nothing narrows by default. `text` is found anywhere, without regard to case."""

    charge_point_id: int | None = None
    kind: Kind | None = None
    action: str = ""
    message_id: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None  # exclusive


class LoggedMessage(msgspec.Struct, frozen=True):
    """One frame as it was kept. `number` grows with time; `size_bytes` is of the whole frame."""

    number: int
    charge_point_id: int | None
    recorded_at: datetime
    is_outgoing: bool
    kind: Kind
    action: str
    message_id: str
    duration_ms: int | None
    size_bytes: int
    text: str


class Found(msgspec.Struct, frozen=True):
    """A page, newest first. `next_before`: where the next one begins, None at the end; `looked_until`: how far back
    this one looked, where it is not full.
    """

    messages: tuple[LoggedMessage, ...]
    next_before: int | None
    looked_until: datetime | None


_COLUMNS = (
    _m.id,
    _m.charge_point_id,
    _m.recorded_at,
    _m.is_outgoing,
    _m.kind,
    _m.action,
    _m.message_id,
    _m.duration_ms,
    _m.size_bytes,
    _m.text,
)


class MessageReader:
    """The log's reading side; each call is a short read of its own."""

    def __init__(self, store: MessageStore) -> None:
        """Nothing is opened before it is used."""
        self._store = store

    def page(
        self, search: Search, *, limit: int, before: int | None = None, looked_through: int = _LOOKED_THROUGH
    ) -> Found:
        """Return what fits, newest first, from below `before`; StorageUnavailable where it cannot be read."""
        return self._read(lambda connection: _page(connection, search, limit, before, looked_through))

    def newer(self, search: Search, *, than: int, limit: int) -> tuple[LoggedMessage, ...]:
        """Return the newest of what fits and came after the number `than`, newest first."""
        statement = select(*_COLUMNS).where(_m.id > than, _fits(search)).order_by(_m.id.desc()).limit(limit)
        return self._read(lambda connection: _all(connection, statement))

    def newest(self) -> int:
        """Return the number of the newest row, 0 where there is none."""
        return self._read(lambda connection: connection.execute(select(func.max(_m.id))).scalar() or 0)

    def stream(self, search: Search, *, most: int | None = None) -> Iterator[LoggedMessage]:
        """Yield what fits, oldest first, in short reads, so that a slow reader holds nothing up."""
        after, last = self._read(lambda connection: (_floor(connection, search), _last(connection)))
        left = most
        while after < last and (left is None or left > 0):
            rows, after = self._read(partial(_chunk, search=search, after=after))
            rows = rows[:left]
            yield from rows
            left = None if left is None else left - len(rows)

    def _read(self, query: Callable[[Connection], Result]) -> Result:
        try:
            with self._store.reading() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            raise StorageUnavailable("the message log cannot be read at the moment") from error


def _page(connection: Connection, search: Search, limit: int, before: int | None, looked_through: int) -> Found:
    candidates = _candidates(connection, search, before).order_by(_m.id.desc()).limit(looked_through).subquery()
    statement = select(candidates).where(_fits(search, candidates.c)).order_by(candidates.c.id.desc()).limit(limit)
    found = _all(connection, statement)
    if len(found) == limit:
        return Found(found, found[-1].number, None)
    bounds = select(func.count(), func.min(candidates.c.id), func.min(candidates.c.recorded_at))
    count, lowest, earliest = connection.execute(bounds.select_from(candidates)).one()
    return Found(found, lowest, earliest) if count == looked_through else Found(found, None, None)


def _candidates(connection: Connection, search: Search, before: int | None) -> Select[Any]:
    """Choose by what an index finds: the station and the numbers of the time."""
    conditions: list[Any] = [true()]
    if search.charge_point_id is not None:
        conditions.append(_m.charge_point_id == search.charge_point_id)
    if before is not None:
        conditions.append(_m.id < before)
    floor, ceiling = _floor(connection, search), _ceiling(connection, search)
    if floor:
        conditions.append(_m.id > floor)
    if ceiling is not None:
        conditions.append(_m.id < ceiling)
    return select(*_COLUMNS).where(and_(*conditions))


def _floor(connection: Connection, search: Search) -> int:
    """Return a number below all that is asked for."""
    if search.since is None:
        return 0
    first = select(_m.id).where(_m.recorded_at >= search.since).order_by(_m.recorded_at).limit(1)
    found = connection.execute(first).scalar()
    return _last(connection) if found is None else max(0, found - 1 - _SLACK)


def _ceiling(connection: Connection, search: Search) -> int | None:
    """Return a number above all that is asked for, None where there is no bound."""
    if search.until is None:
        return None
    first = select(_m.id).where(_m.recorded_at >= search.until).order_by(_m.recorded_at).limit(1)
    found = connection.execute(first).scalar()
    return None if found is None else found + _SLACK


def _last(connection: Connection) -> int:
    return connection.execute(select(func.max(_m.id))).scalar() or 0


def _chunk(connection: Connection, *, search: Search, after: int) -> tuple[tuple[LoggedMessage, ...], int]:
    """Return what fits among the next rows, and how far that is; the ceiling ends it where time is bounded."""
    ceiling = _ceiling(connection, search)
    rows = select(_m.id).where(_m.id > after, true() if ceiling is None else _m.id < ceiling)
    if search.charge_point_id is not None:
        rows = rows.where(_m.charge_point_id == search.charge_point_id)
    numbers = rows.order_by(_m.id).limit(_AT_ONCE).subquery()
    count, end = connection.execute(select(func.count(), func.max(numbers.c.id)).select_from(numbers)).one()
    if not count:
        return (), _last(connection) + 1
    statement = select(*_COLUMNS).where(_m.id > after, _m.id <= end, _fits(search)).order_by(_m.id)
    return _all(connection, statement), end


def _fits(search: Search, c: Any = _m) -> Any:  # noqa: ANN401 - a condition over any columns of these names
    conditions: list[Any] = [true()]
    if search.charge_point_id is not None:
        conditions.append(c.charge_point_id == search.charge_point_id)
    if search.kind is not None:
        conditions.append(c.kind == search.kind)
    if search.action:
        conditions.append(c.action == search.action)
    if search.message_id:
        conditions.append(c.message_id == search.message_id)
    if search.text:
        conditions.append(c.text.icontains(search.text, autoescape=True))
    if search.since is not None:
        conditions.append(c.recorded_at >= search.since)
    if search.until is not None:
        conditions.append(c.recorded_at < search.until)
    return and_(*conditions)


def _all(connection: Connection, statement: Select[Any]) -> tuple[LoggedMessage, ...]:
    return tuple(as_fact(LoggedMessage, row) for row in connection.execute(statement))
