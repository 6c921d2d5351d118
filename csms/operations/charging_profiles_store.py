"""Rows of charging profiles: set-wise writers for the engine, its loader, and what pages and the API read.

Decides nothing. A TxProfile is gone with its transaction, and that of a remote start which began none after a while: it
is left out when read, and deleted with a later write.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import Connection as Sql
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging import models
from csms.charging.facts import Transaction
from csms.charging.unfinished import is_open
from csms.charging.working_set import Names, WorkingSet
from csms.db import Instant, Many, any_of, as_fact
from csms.operations.charging_profile_models import composite_schedule, installed_profile, limit_refusal
from csms.operations.charging_profiles import (
    GUARD,
    LOADED,
    CompositeAnswered,
    Installed,
    LimitRefused,
    LimitTaken,
    ProfileInstalled,
    ProfilesCleared,
    read_placed,
)
from csms.operations.profile_schedules import Placed

_installed, _composite, _refusal = installed_profile.c, composite_schedule.c, limit_refusal.c
_tx, _cp, _setting = models.charging_transaction.c, models.charge_point.c, models.station_setting.c
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_CHANGING = frozenset({"SetChargingProfile", "ClearChargingProfile"})
LONGEST_COMPOSITE_S = 7 * 86_400
_NEVER_BEGUN = timedelta(minutes=15)  # a remote start whose transaction has not begun by then begins none
_NEVER_HEARD_OF = timedelta(days=1)  # one that began without a link is told of later; until then its profile is kept

# --- written by the engine --------------------------------------------------------------------------------------------


def _number(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=Integer)


def _word(name: str) -> ColumnElement[str]:
    return bindparam(name, type_=String)


_CLEAR = Many(
    delete(installed_profile).where(
        _installed.charge_point_id == _number("b_at"),
        or_(_number("b_id") == -1, _installed.profile_id == _number("b_id")),
        or_(_number("b_connector") == -1, _installed.connector_id == _number("b_connector")),
        or_(_word("b_purpose") == "", _installed.purpose == _word("b_purpose")),
        or_(_number("b_level") == -1, _installed.stack_level == _number("b_level")),
    ),
    ["b_at", "b_id", "b_connector", "b_purpose", "b_level"],
)
_REPLACE = Many(
    delete(installed_profile).where(
        _installed.charge_point_id == _number("b_at"),
        or_(
            _installed.profile_id == _number("b_id"),
            and_(
                _installed.connector_id == _number("b_connector"),
                _installed.purpose == _word("b_purpose"),
                _installed.stack_level == _number("b_level"),
            ),
        ),
    ),
    ["b_at", "b_id", "b_connector", "b_purpose", "b_level"],
)
_ENDED = select(_tx.id).where(_tx.id == _installed.transaction_id, _tx.state == "ended").exists()
_FORGET_ENDED = Many(
    delete(installed_profile).where(_installed.charge_point_id == _number("b_at"), _ENDED),
    ["b_at"],
)
_FORGET = Many(
    delete(installed_profile).where(
        _installed.charge_point_id == _number("b_at"), _installed.profile_id == _number("b_id")
    ),
    ["b_at", "b_id"],
)
_INSTALL = Many(insert(installed_profile), ProfileInstalled.__struct_fields__)
_row, _composite_row = attrgetter(*ProfileInstalled.__struct_fields__), attrgetter(*CompositeAnswered.__struct_fields__)


def write_cleared(connection: Sql, facts: Sequence[ProfilesCleared], now: datetime) -> None:  # noqa: ARG001 - a writer's signature
    """Delete what stations have no more."""
    rows = [(one.charge_point_id, one.profile_id, one.connector_id, one.purpose, one.stack_level) for one in facts]
    _CLEAR.execute(connection, sorted(rows))


def write_installed(connection: Sql, facts: Sequence[ProfileInstalled], now: datetime) -> None:
    """Put what stations took in the place of what it replaces; of one key the last counts."""
    latest = {(one.charge_point_id, one.profile_id): one for one in facts}
    ordered = [one for _, one in sorted(latest.items())]
    # What a remote start brings lies at no connector yet, and replaces nothing but its own id.
    replaced = [
        (
            one.charge_point_id,
            one.profile_id,
            one.connector_id if one.id_tag is None else -1,
            one.purpose,
            one.stack_level,
        )
        for one in ordered
    ]
    places = sorted({one.charge_point_id for one in ordered})
    _FORGET_ENDED.execute(connection, [(at,) for at in places])
    _forget_remote_starts(connection, places, now)
    _REPLACE.execute(connection, replaced)
    _INSTALL.execute(connection, [_row(one) for one in ordered])


def _forget_remote_starts(connection: Sql, places: list[int], now: datetime) -> None:
    """Delete what came with remote starts that are over, or that began nothing."""
    rows = connection.execute(_OF_REMOTE_STARTS, {"keys": places, "before": now - _NEVER_HEARD_OF})
    over = [(row.charge_point_id, row.profile_id) for row in rows if row.state == "ended" or not _has_begun(row)]
    _FORGET.execute(connection, sorted(over))


def _has_begun(row: Any) -> bool:  # noqa: ANN401 - a row of `_THERE`
    """Tell whether the transaction that was found for a remote start can be its own: the card's next one, a day later,
    is not. In Python, since SQLite cannot add to a moment.
    """
    if row.of is None:
        return False
    waited: timedelta = min(row.started_at, row.recorded_at) - row.installed_at
    return waited < _NEVER_BEGUN


def _upsert_composite(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](composite_schedule)
    names = (*CompositeAnswered.__struct_fields__[2:], "received_at")
    changes = {name: inserted.excluded[name] for name in names}
    return inserted.on_conflict_do_update(index_elements=list(composite_schedule.primary_key), set_=changes)


def _upsert_refusal(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](limit_refusal)
    changes = {name: inserted.excluded[name] for name in ("command_id", "answer", "refused_at")}
    return inserted.on_conflict_do_update(index_elements=list(limit_refusal.primary_key), set_=changes)


_PUT_COMPOSITE = Many(_upsert_composite, [*CompositeAnswered.__struct_fields__, "received_at"])
_PUT_REFUSAL = Many(_upsert_refusal, ["charge_point_id", "command_id", "answer", "refused_at"])
_END_REFUSAL = Many(delete(limit_refusal).where(_refusal.charge_point_id == _number("b_at")), ["b_at"])
_UNLIMITED = Many(
    update(models.charging_transaction).where(_tx.id == _number("b_id")).values(limited_until=None), ["b_id"]
)


def write_composites(connection: Sql, facts: Sequence[CompositeAnswered], now: datetime) -> None:
    """Keep the latest answer of each connector."""
    latest = {(one.charge_point_id, one.connector_id): one for one in facts}
    _PUT_COMPOSITE.execute(connection, [(*_composite_row(one), now) for _, one in sorted(latest.items())])


def write_refusals(connection: Sql, facts: Sequence[LimitRefused], now: datetime) -> None:
    """Remember who refused the guard's limit; the transaction that it was for has none."""
    latest = {one.charge_point_id: one for one in facts}
    rows = [(one.charge_point_id, one.command_id, one.answer, now) for _, one in sorted(latest.items())]
    _PUT_REFUSAL.execute(connection, rows)
    _UNLIMITED.execute(connection, sorted({(one.transaction_id,) for one in facts if one.transaction_id is not None}))


def write_taken(connection: Sql, facts: Sequence[LimitTaken], now: datetime) -> None:  # noqa: ARG001 - a writer's signature
    """Forget refusals of stations that take limits after all."""
    _END_REFUSAL.execute(connection, sorted({(one.charge_point_id,) for one in facts}))


# --- loaded for the engine --------------------------------------------------------------------------------------------

_REFUSED = (
    select(_refusal.charge_point_id)
    .join(models.charge_point, _cp.id == _refusal.charge_point_id)
    .where(any_of(_refusal.charge_point_id, "keys"), or_(_cp.booted_at.is_(None), _cp.booted_at <= _refusal.refused_at))
)
# A profile that came with a remote start is that of the first transaction that its card began since.
_begun = models.charging_transaction.alias("begun")
_FIRST = (
    select(func.min(_begun.c.id))
    .where(
        _begun.c.charge_point_id == _installed.charge_point_id,
        _begun.c.id_tag == _installed.id_tag,
        _begun.c.recorded_at >= _installed.installed_at,
        or_(_installed.connector_id == 0, _begun.c.connector_id == _installed.connector_id),
    )
    .scalar_subquery()
)
_there = select(*installed_profile.c, func.coalesce(_installed.transaction_id, _FIRST).label("of")).subquery("there")
_THERE = _there.outerjoin(models.charging_transaction, _tx.id == _there.c.of)
_HOLDS = or_(_tx.state.is_(None), _tx.state != "ended")
_BEGUN = (_there.c.of, _there.c.installed_at, _tx.started_at, _tx.recorded_at)  # what `_has_begun` looks at
_OF_REMOTE_STARTS = (
    select(_there.c.charge_point_id, _there.c.profile_id, _tx.state, *_BEGUN)
    .select_from(_THERE)
    .where(
        any_of(_there.c.charge_point_id, "keys"),
        _there.c.id_tag.is_not(None),
        _there.c.installed_at <= bindparam("before", type_=Instant),
    )
)
_PLACED = (
    select(_there.c.charge_point_id, _there.c.connector_id, _there.c.profile_json, _there.c.id_tag, *_BEGUN)
    .select_from(_THERE)
    .where(any_of(_there.c.charge_point_id, "keys"), _there.c.requested_by != GUARD, _HOLDS)
)
_MOST_PERIODS = select(_setting.charge_point_id, _setting.reported_value).where(
    any_of(_setting.charge_point_id, "keys"), func.lower(_setting.key) == "chargingschedulemaxperiods"
)
_LIMITED = (
    select(*(_tx.id if name == "transaction_id" else _tx[name] for name in Transaction.__struct_fields__))
    .where(any_of(_tx.charge_point_id, "keys"), is_open(_tx.state), _tx.limited_until.is_not(None))
    .order_by(_tx.id)
    .with_for_update()
)


def load(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    """Read who refuses the guard's limits, what bounds them, and the transactions whose limit an answer changes."""
    limited = working_set.smart_charging
    if limited:
        for charge_point_id in connection.execute(_REFUSED, {"keys": sorted(limited)}).scalars().all():
            del limited[charge_point_id]
    if limited and names.places_of_transactions:
        keys = {"keys": sorted(limited)}
        placed: dict[int, list[Placed]] = {}
        for row in connection.execute(_PLACED, keys):
            one = read_placed(row.connector_id, row.profile_json)
            if one is not None and row.id_tag is not None:  # only now it is known whose it is
                whose = msgspec.structs.replace(one.profile, transaction_id=row.of if _has_begun(row) else 0)
                one = Placed(one.connector_id, whose)
            placed.setdefault(row.charge_point_id, []).extend(() if one is None else (one,))
        if placed:
            most = {row.charge_point_id: row.reported_value for row in connection.execute(_MOST_PERIODS, keys)}
            working_set.more[LOADED] = {
                at: Installed(tuple(found), _whole(most.get(at))) for at, found in placed.items()
            }
    changing = {
        one.charge_point_id
        for one in working_set.commands.values()
        if one.command_id in names.command_ids and one.action in _CHANGING and one.requested_by != GUARD
    }
    if changing:
        for row in connection.execute(_LIMITED, {"keys": sorted(changing)}):
            one_limited = as_fact(Transaction, row)
            working_set.transactions.setdefault(one_limited.transaction_id, one_limited)


def _whole(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 10 else None  # noqa: PLR2004 - digits


# --- read by pages ----------------------------------------------------------------------------------------------------


class InstalledProfile(ProfileInstalled, frozen=True):
    """A profile at a station, as far as we know."""

    @property
    def is_of_guard(self) -> bool:
        """Whether it is the credit guard's limit."""
        return self.requested_by == GUARD

    @property
    def placed(self) -> Placed | None:
        """The profile itself."""
        return read_placed(self.connector_id, self.profile_json)


class CompositeView(msgspec.Struct, frozen=True):
    """What a station said its schedule is."""

    connector_id: int
    command_id: int
    duration_s: int
    unit: str
    state: str
    answer_json: str | None
    failure: str | None
    received_at: datetime


class RefusalView(msgspec.Struct, frozen=True):
    """That a station refused the guard's limit since it booted."""

    answer: str
    refused_at: datetime
    command_id: int


def list_installed(
    connection: Sql, now: datetime, *, charge_point_id: int | None = None, profile_ids: tuple[int, int] | None = None
) -> list[InstalledProfile]:
    """Return what stations have, without what ended with its transaction; of one station, or of a range of ids."""
    columns = [_there.c[name] for name in InstalledProfile.__struct_fields__]
    more = (_there.c.of, _tx.connector_id.label("where"), _tx.started_at, _tx.recorded_at)
    statement = select(*columns, *more).select_from(_THERE).where(_HOLDS)
    if charge_point_id is not None:
        statement = statement.where(_there.c.charge_point_id == charge_point_id)
    if profile_ids is not None:
        statement = statement.where(_there.c.profile_id.between(*profile_ids))
    ordered = statement.order_by(
        _there.c.charge_point_id, _there.c.connector_id, _there.c.purpose, _there.c.stack_level.desc()
    )
    found = []
    for row in connection.execute(ordered):
        one = as_fact(InstalledProfile, row[: -len(more)])
        if one.id_tag is not None and _has_begun(row):
            one = msgspec.structs.replace(one, transaction_id=row.of, connector_id=row.where)
        elif one.id_tag is not None and now - one.installed_at >= _NEVER_BEGUN:
            continue  # its card began nothing
        found.append(one)
    return found


def list_composites(connection: Sql, charge_point_id: int) -> list[CompositeView]:
    """Return the latest answers of a station, by connector."""
    statement = select(*(_composite[name] for name in CompositeView.__struct_fields__))
    rows = connection.execute(
        statement.where(_composite.charge_point_id == charge_point_id).order_by(_composite.connector_id)
    )
    return [as_fact(CompositeView, row) for row in rows]


def find_refusal(connection: Sql, charge_point_id: int) -> RefusalView | None:
    """Return that a station refuses the guard's limits; None where it does not, or has booted since."""
    statement = (
        select(_refusal.answer, _refusal.refused_at, _refusal.command_id)
        .join(models.charge_point, _cp.id == _refusal.charge_point_id)
        .where(
            _refusal.charge_point_id == charge_point_id,
            or_(_cp.booted_at.is_(None), _cp.booted_at <= _refusal.refused_at),
        )
    )
    row = connection.execute(statement).first()
    return None if row is None else as_fact(RefusalView, row)
