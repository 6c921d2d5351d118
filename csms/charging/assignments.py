"""Where tariffs apply: assignments of tariffs to groups, stations and connectors, and what is in force at a station.

Works on a connection inside somebody else's unit of work. Which one wins is decided by `pricing.tariff_at`, as for a
transaction that begins.
"""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, delete, func, insert, literal, select

from csms.billing.bands import Band, band_at
from csms.billing.models import account_group, installation, tariff
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff
from csms.charging import models, store
from csms.charging.facts import Policy
from csms.charging.pricing import FREE, tariff_at
from csms.charging.working_set import Names

_assignment, _cp, _tx = models.tariff_assignment.c, models.charge_point.c, models.charging_transaction.c
_MOST = 500
COUNTED = 1000  # transactions of a tariff, before it is just "many"


class Scope(msgspec.Struct, frozen=True):
    """Where and for whom a tariff applies: whatever is not None has to fit."""

    account_group_id: int | None = None
    station_group_id: int | None = None
    charge_point_id: int | None = None
    connector_id: int | None = None


class Assignment(msgspec.Struct, frozen=True):
    """A tariff and where it applies, with names for people. Without a number it is the station's own tariff."""

    assignment_id: int | None
    tariff_name: str
    account_group: str | None
    station_group: str | None
    charge_point: str | None
    charge_point_id: int | None
    connector_id: int | None


class InForce(msgspec.Struct, frozen=True):
    """What applies now for an account group (None: for everybody else) at a connector (None: at all the others)."""

    account_group: str | None
    connector_id: int | None
    tariff: Tariff | None
    band: Band | None = None  # of the tariff, at this time of day

    @property
    def rate_per_kwh(self) -> Decimal | None:
        """The price of a kWh now; None without a tariff."""
        rates = self.band or self.tariff
        return None if rates is None else rates.rate_per_kwh


def assign(connection: Connection, tariff_name: str, scope: Scope, now: datetime) -> str | None:
    """Let a tariff apply somewhere, instead of the one that did; return the field that is wrong, None if none is.

    Fields: "tariff_name" (there is no such tariff), "scope" (nothing chosen), "connector_id" (without a station),
    "charge_point_id" (a station and a group of stations).
    """
    if scope == Scope():
        return "scope"
    if scope.connector_id is not None and scope.charge_point_id is None:
        return "connector_id"
    if scope.charge_point_id is not None and scope.station_group_id is not None:
        return "charge_point_id"
    connection.execute(select(installation.c.id).with_for_update())  # one at a time, on PostgreSQL too
    if connection.execute(select(tariff.c.id).where(tariff.c.name == tariff_name).limit(1)).first() is None:
        return "tariff_name"
    unassign(connection, scope)
    row = {"tariff_name": tariff_name, "created_at": now, **msgspec.structs.asdict(scope)}
    connection.execute(insert(models.tariff_assignment), row)
    return None


def unassign(connection: Connection, scope: Scope) -> bool:
    """Take away what was assigned to exactly this scope; False where nothing was."""
    same = [_assignment[name].is_not_distinct_from(value) for name, value in msgspec.structs.asdict(scope).items()]
    found = connection.execute(delete(models.tariff_assignment).where(*same).returning(_assignment.id))
    return bool(found.all())


def remove_assignment(connection: Connection, assignment_id: int) -> bool:
    """Take an assignment away by its number."""
    statement = delete(models.tariff_assignment).where(_assignment.id == assignment_id).returning(_assignment.id)
    return connection.execute(statement).first() is not None


def list_assignments(connection: Connection) -> list[Assignment]:
    """Return where tariffs apply, what wins first."""
    joined = (
        models.tariff_assignment.outerjoin(account_group, account_group.c.id == _assignment.account_group_id)
        .outerjoin(models.station_group, models.station_group.c.id == _assignment.station_group_id)
        .outerjoin(models.charge_point, _cp.id == _assignment.charge_point_id)
    )
    assigned = select(
        _assignment.id,
        _assignment.tariff_name,
        account_group.c.name,
        models.station_group.c.name,
        _cp.identity,
        _cp.id,
        _assignment.connector_id,
    ).select_from(joined)
    own = select(literal(None), tariff.c.name, literal(None), literal(None), _cp.identity, _cp.id, literal(None))
    own = own.join_from(models.charge_point, tariff, tariff.c.id == _cp.tariff_id)
    rows = [*connection.execute(assigned.limit(_MOST)), *connection.execute(own.limit(_MOST))]
    return sorted((Assignment(*row) for row in rows), key=_order)


def _order(one: Assignment) -> tuple[bool, bool, bool, bool, bool, str]:
    return (
        one.account_group is None,
        one.connector_id is None,
        one.charge_point is None,
        one.station_group is None,
        one.assignment_id is not None,
        f"{one.account_group} {one.station_group} {one.charge_point} {one.connector_id}",
    )


def in_force_at(connection: Connection, charge_point_id: int, currency: Currency, now: datetime) -> list[InForce]:
    """Return what applies at a station now: for everybody, then where connectors and account groups differ from it."""
    names = Names(charge_point_ids={charge_point_id}, tariffs=True)
    working_set = store.load(connection, names, currency, Policy(0, 0, 0, 0, 0), now)
    place = working_set.station_group_of(charge_point_id)
    if place is not None and place.is_free:
        return [InForce(None, None, FREE)]

    def shown(group: str | None, connector_id: int | None, applies: Tariff | None) -> InForce:
        band = None if applies is None else band_at(now, applies.bands, ZoneInfo(applies.time_zone))
        return InForce(group, connector_id, applies, band)

    here = [one for one in working_set.assignments if one.charge_point_id in {None, charge_point_id}]
    connectors = sorted({one.connector_id for one in here if one.connector_id is not None})
    group_names = {row.id: row.name for row in connection.execute(select(account_group.c.id, account_group.c.name))}
    groups = sorted({one.account_group_id for one in here if one.account_group_id is not None})
    everybody = tariff_at(charge_point_id, 0, None, now, working_set)
    found = [shown(None, None, everybody)]
    for group_id in (None, *groups):
        for connector_id in (0, *connectors):
            applies = tariff_at(charge_point_id, connector_id, group_id, now, working_set)
            others = tariff_at(charge_point_id, connector_id, None, now, working_set)
            if applies != (everybody if group_id is None else others):
                group = None if group_id is None else group_names[group_id]
                found.append(shown(group, connector_id or None, applies))
    return found


def times_used(connection: Connection, tariff_id: int) -> int:
    """Return how many transactions began with a version of a tariff, counted up to `COUNTED`."""
    some = select(literal(1)).select_from(models.charging_transaction)
    some = some.where(_tx.tariff_id == tariff_id).limit(COUNTED)
    return connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
