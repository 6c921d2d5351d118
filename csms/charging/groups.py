"""Groups of stations: who may charge there, what ends a charge, which stations belong, and which accounts may come;
and what keeps a group of either kind from being deleted.

Works on a connection inside somebody else's unit of work. Which tariff a group has is `assignments`' matter.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from csms.billing.models import account_group, ledger_account
from csms.billing.naming import alike
from csms.charging import models
from csms.charging.unfinished import is_open
from csms.db import as_fact, tables_that_refer

_group, _cp, _allowed = models.station_group.c, models.charge_point.c, models.account_group_station_group.c
_tx = models.charging_transaction.c


class StationPolicy(msgspec.Struct, frozen=True):
    """What holds at the stations of a group; fields as in the table `station_group`."""

    is_free: bool = False
    is_staff_only: bool = False
    stop_below_w: int | None = None
    stop_after_s: int | None = None
    unlock_when_stop_fails: bool = False
    limits_offline: bool = True


class StationGroupView(msgspec.Struct, frozen=True):
    """A group with its policy, and how many stations are in it."""

    group_id: int
    name: str
    policy: StationPolicy
    stations: int


class StationMember(msgspec.Struct, frozen=True):
    """A station of a group."""

    charge_point_id: int
    identity: str


class Place(msgspec.Struct, frozen=True):
    """What the administrator says of a station: its group, and the power of its strongest connector."""

    group_id: int | None
    group: str | None
    max_power_w: int | None


_STATIONS = select(func.count()).select_from(models.charge_point).where(_cp.group_id == _group.id).scalar_subquery()
_GROUPS = select(
    _group.id,
    _group.name,
    _group.is_free,
    _group.is_staff_only,
    _group.stop_below_w,
    _group.stop_after_s,
    _group.unlock_when_stop_fails,
    _group.limits_offline,
    _STATIONS,
).order_by(_group.name)


def list_station_groups(connection: Connection) -> list[StationGroupView]:
    """Return the groups by name."""
    return [_view(row) for row in connection.execute(_GROUPS).all()]


def find_station_group(
    connection: Connection, *, group_id: int | None = None, name: str | None = None
) -> StationGroupView | None:
    """Return a group by its number or its name."""
    condition = _group.id == group_id if group_id is not None else _group.name == name
    row = connection.execute(_GROUPS.where(condition)).first()
    return None if row is None else _view(row)


def _view(row: Sequence[Any]) -> StationGroupView:
    group_id, name, *policy, stations = row
    return StationGroupView(group_id, name, StationPolicy(*policy), stations)


def add_station_group(connection: Connection, name: str, policy: StationPolicy, now: datetime) -> int | None:
    """Add a group and return its number, None where the name is taken."""
    if alike(name, connection.execute(select(_group.name)).scalars()) is not None:
        return None
    row = {"name": name, "created_at": now, **msgspec.structs.asdict(policy)}
    number: int = connection.execute(insert(models.station_group).returning(_group.id), row).scalar_one()
    return number


def change_station_group(connection: Connection, group_id: int, name: str, policy: StationPolicy) -> bool:
    """Change a group; False where another one has the name."""
    others = select(_group.name).where(_group.id != group_id)
    if alike(name, connection.execute(others).scalars()) is not None:
        return False
    values = {"name": name, **msgspec.structs.asdict(policy)}
    connection.execute(update(models.station_group).where(_group.id == group_id).values(values))
    return True


def charging_accounts(connection: Connection, account_group_id: int) -> set[int]:
    """Return the accounts of a group of accounts on which a car charges now."""
    statement = (
        select(_tx.account_id)
        .join_from(models.charging_transaction, ledger_account, ledger_account.c.id == _tx.account_id)
        .where(is_open(_tx.state), ledger_account.c.group_id == account_group_id)
    )
    return set(connection.execute(statement.distinct()).scalars())


_USES = {
    "charge_point": "stations",
    "ledger_account": "cards",
    "local_list": "local lists",
    "tariff_assignment": "tariffs",
    "account_group_station_group": "account groups",
    "local_list_target": "local lists",
}


def delete_station_group(connection: Connection, group_id: int) -> tuple[str, ...]:
    """Delete a group that nothing uses and return (); else return what uses it, in words, and keep it."""
    uses = tables_that_refer(connection, models.station_group, group_id)
    if not uses:
        connection.execute(delete(models.station_group).where(_group.id == group_id))
    return tuple(sorted(_USES[one] for one in uses))


def put_station(connection: Connection, identity: str, group_id: int | None) -> bool:
    """Put a station into a group, or into none; False where there is no such station."""
    statement = update(models.charge_point).where(_cp.identity == identity).values(group_id=group_id)
    return connection.execute(statement.returning(_cp.id)).first() is not None


def station_members(connection: Connection, group_id: int, *, limit: int) -> list[StationMember]:
    """Return the stations of a group by identity."""
    statement = select(_cp.id, _cp.identity).where(_cp.group_id == group_id).order_by(_cp.identity).limit(limit)
    return [as_fact(StationMember, row) for row in connection.execute(statement)]


def place_of(connection: Connection, charge_point_id: int) -> Place | None:
    """Return the group and the power of a station, None where there is no such station."""
    statement = (
        select(_cp.group_id, _group.name, _cp.max_power_w)
        .select_from(models.charge_point.outerjoin(models.station_group, _group.id == _cp.group_id))
        .where(_cp.id == charge_point_id)
    )
    row = connection.execute(statement).first()
    return None if row is None else as_fact(Place, row)


def allowed_groups(connection: Connection, account_group_id: int) -> set[int]:
    """Return the station groups that an account group is limited to; none: it may use all."""
    statement = select(_allowed.station_group_id).where(_allowed.account_group_id == account_group_id)
    return set(connection.execute(statement).scalars())


def delete_account_group(connection: Connection, group_id: int) -> tuple[str, ...]:
    """Delete a group of accounts that nothing uses, with its limits to stations, and return (); else what uses it."""
    uses = tables_that_refer(connection, account_group, group_id) - {models.account_group_station_group.name}
    if not uses:
        allow_groups(connection, group_id, set())
        connection.execute(delete(account_group).where(account_group.c.id == group_id))
    return tuple(sorted(_USES[one] for one in uses))


def allow_groups(connection: Connection, account_group_id: int, station_group_ids: set[int]) -> None:
    """Limit an account group to station groups; an empty set lets it use all."""
    table = models.account_group_station_group
    connection.execute(delete(table).where(_allowed.account_group_id == account_group_id))
    rows = [{"account_group_id": account_group_id, "station_group_id": one} for one in sorted(station_group_ids)]
    if rows:
        connection.execute(insert(table), rows)
