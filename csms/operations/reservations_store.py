"""Set-wise reads and writes of reservations for the engine. Knows the table; decides nothing."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging import models as charging_models
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of
from csms.operations.reservations import AT, BY_COMMAND, CONNECTORS, LOADED, WIRE_IDS, Reservation, cancelled_id
from csms.operations.reservations_models import reservation as table

_ACTIONS = ("ReserveNow", "CancelReservation")
# As the partial indexes say it: what is bound to a parameter would not be known to lie in them.
IS_OPEN = text("reservation.state IN ('active', 'unconfirmed')")
_one, _connector = table.c, charging_models.connector.c
_ROWS = (
    select(*(_one[name] for name in Reservation.__struct_fields__))
    .order_by(_one.command_id)  # the order of the locks
    .with_for_update()
)
_OPEN_AT = _ROWS.where(any_of(_one.charge_point_id, "keys"), IS_OPEN)
_BY_COMMAND = _ROWS.where(any_of(_one.command_id, "keys"))
_NEWEST_OF_ID = (
    select(func.max(_one.command_id))
    .where(any_of(_one.charge_point_id, "at"), any_of(_one.reservation_id, "ids"))
    .group_by(_one.charge_point_id, _one.reservation_id)
)
_STATUSES = select(
    _connector.charge_point_id, _connector.connector_id, _connector.status, _connector.recorded_at
).where(any_of(_connector.charge_point_id, "at"))
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Read the reservations that may be in force where something happens, and those that the inputs name."""
    commands = working_set.commands.values()
    answered = [one for one in commands if one.action in _ACTIONS and (one.state != "queued" or one.attempts)]
    at = names.more.get(AT, set()) | {one.charge_point_id for one in answered}
    command_ids = names.more.get(BY_COMMAND, set()) | {one.command_id for one in answered}
    if not at and not command_ids:
        return
    wire: set[tuple[int, int]] = set(names.more.get(WIRE_IDS, ()))
    wire |= {(one.charge_point_id, number) for one in answered if (number := cancelled_id(one)) is not None}
    if wire:
        keys = {"at": sorted({one for one, _ in wire}), "ids": sorted({one for _, one in wire})}
        command_ids |= set(connection.execute(_NEWEST_OF_ID, keys).scalars())
    found: dict[int, Reservation] = {}
    for statement, numbers in ((_OPEN_AT, at), (_BY_COMMAND, command_ids)):
        for row in connection.execute(statement, {"keys": sorted(numbers)}) if numbers else ():
            found[row[0]] = Reservation(*row)
    working_set.more[LOADED] = found
    if answered:
        rows = connection.execute(_STATUSES, {"at": sorted({one.charge_point_id for one in answered})})
        working_set.more[CONNECTORS] = {(row[0], row[1]): (row[2], row[3]) for row in rows}


def _put(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](table)
    changes = {name: inserted.excluded[name] for name in ("state", "reason", "seen_at", "transaction_id", "ended_at")}
    return inserted.on_conflict_do_update(index_elements=["command_id"], set_=changes)


_PUT = Many(_put, [*Reservation.__struct_fields__, "recorded_at"])
_row = attrgetter(*Reservation.__struct_fields__)


def write(connection: Connection, facts: Sequence[Reservation], now: datetime) -> None:
    """Write what reservations have become, the last word of each, in the order of their keys."""
    last = {one.command_id: one for one in facts}
    _PUT.execute(connection, [(*_row(one), now) for _, one in sorted(last.items())])
