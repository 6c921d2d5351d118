"""Set-wise reads and writes of reservations for the engine. Knows the table; decides nothing."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, func, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging import models as charging_models
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of
from csms.operations.reservations import AT, BY_COMMAND, CONNECTORS, LOADED, WIRE_IDS, Reservation
from csms.operations.reservations_models import reservation as table

_ACTIONS = ("ReserveNow", "CancelReservation")
_IS_OPEN = "state IN ('active', 'unconfirmed')"  # as the index says it
_one, _connector = table.c, charging_models.connector.c
_NEWEST_OF_ID = (
    select(func.max(_one.command_id))
    .where(any_of(_one.charge_point_id, "wire_at"), any_of(_one.reservation_id, "wire_ids"))
    .group_by(_one.charge_point_id, _one.reservation_id)
)
_RESERVATIONS = (
    select(*(_one[name] for name in Reservation.__struct_fields__))
    .where(
        or_(
            any_of(_one.charge_point_id, "at") & text(_IS_OPEN),
            any_of(_one.command_id, "command_ids"),
            _one.command_id.in_(_NEWEST_OF_ID),
        )
    )
    .order_by(_one.command_id)  # the order of the locks
    .with_for_update()
)
_RESERVED = select(_connector.charge_point_id, _connector.connector_id).where(
    any_of(_connector.charge_point_id, "at"), _connector.status == "Reserved"
)
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Read the reservations that may be in force where something happens, and those that the inputs name."""
    commands = working_set.commands.values()
    answered = [one for one in commands if one.action in _ACTIONS and (one.state != "queued" or one.attempts)]
    at = names.more.get(AT, set()) | {one.charge_point_id for one in answered}
    command_ids = names.more.get(BY_COMMAND, set()) | {one.command_id for one in answered}
    if not at and not command_ids:
        return
    wire: set[tuple[int, int]] = names.more.get(WIRE_IDS, set())
    keys = {
        "at": sorted(at),
        "command_ids": sorted(command_ids),
        "wire_at": sorted({charge_point_id for charge_point_id, _ in wire}),
        "wire_ids": sorted({reservation_id for _, reservation_id in wire}),
    }
    found = (Reservation(*row) for row in connection.execute(_RESERVATIONS, keys))
    working_set.more[LOADED] = {one.command_id: one for one in found}
    if answered:
        reserved = connection.execute(_RESERVED, {"at": sorted({one.charge_point_id for one in answered})})
        working_set.more[CONNECTORS] = {(row.charge_point_id, row.connector_id): True for row in reserved}


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
