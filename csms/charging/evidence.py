"""Set-wise reads and writes of what a person may have to look at: review items and decisions, meters, traits, alarms.

Knows the tables; decides nothing. A review item names the charge point and the transaction that are loaded with it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from csms.billing.books import normalize_id_tag
from csms.charging import models
from csms.charging.command_queue import GUARD, NOT_WANTED, OF_A_STOP
from csms.charging.facts import Register, Resolution, StoredReview
from csms.charging.unfinished import is_orphaned
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of, as_fact

_item, _register, _command = models.review_item.c, models.connector_register.c, models.command.c
_REVIEWS = (
    select(*(_item[name] for name in StoredReview.__struct_fields__))
    .where(any_of(_item.key, "keys"))
    .order_by(_item.key)
    .with_for_update()
)
_PARKED = select(_item.key).where(any_of(_item.key, "keys"))
_one, _next = models.charging_transaction.alias(), models.charging_transaction.alias()
_NEXT_ID = (
    select(_next.c.id)
    .where(
        _next.c.charge_point_id == _one.c.charge_point_id,
        _next.c.started_at >= _one.c.started_at,
        _next.c.connector_id == _one.c.connector_id,
        _next.c.id > _one.c.id,
    )
    .order_by(_next.c.started_at, _next.c.meter_start_wh, _next.c.id)
    .limit(1)
    .correlate(_one)
    .scalar_subquery()
)
_came = models.charging_transaction.alias()
_OVERTAKEN = (
    select(_one.c.id, _came.c.started_at, _came.c.meter_start_wh)
    .select_from(_one)
    .join(_came, _came.c.id == _NEXT_ID)
    .where(any_of(_one.c.id, "keys"))
)
_orphan = models.charging_transaction.alias().c
_MORE_ORPHANS = exists().where(
    _orphan.charge_point_id == _register.charge_point_id,
    _orphan.connector_id == _register.connector_id,
    is_orphaned(_orphan.state),
    ~any_of(_orphan.id, "loaded"),
)
_REGISTERS = select(*(_register[name] for name in Register.__struct_fields__), _MORE_ORPHANS).where(
    any_of(_register.charge_point_id, "keys")
)
_RESOLVE = Many(
    update(models.review_item)
    .where(_item.key == bindparam("b_key"), _item.resolved_at.is_(None))
    .values(
        decision=bindparam("b_decision"),
        reason=bindparam("b_reason"),
        resolved_by=bindparam("b_actor"),
        form_key=bindparam("b_form_key"),
        transaction_id=bindparam("b_transaction_id"),
        input_hash=bindparam("b_input_hash"),
        resolved_at=bindparam("b_resolved_at"),
    ),
    [f"b_{name}" for name in (*Resolution.__struct_fields__, "resolved_at")],
)


class _Tagged(msgspec.Struct, frozen=True):
    id_tag: str | None = None


_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _put_register(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](models.connector_register)
    changes = {name: inserted.excluded[name] for name in ("register_wh", "happened_at")}
    return inserted.on_conflict_do_update(index_elements=["charge_point_id", "connector_id"], set_=changes)


_PUT_REGISTER = Many(_put_register, Register.__struct_fields__)
_BREAK = delete(models.connector_register).where(any_of(_register.charge_point_id, "keys"))
_RELATIVE = (
    update(models.charge_point).where(any_of(models.charge_point.c.id, "keys")).values(has_relative_readings=True)
)
_SKEW = Many(
    update(models.charge_point)
    .where(models.charge_point.c.id == bindparam("b_key"))
    .values(clock_skew_s=bindparam("b_clock_skew_s")),
    ["b_key", "b_clock_skew_s"],
)
_ALARM_OVER = Many(
    update(models.alarm)
    .where(models.alarm.c.key == bindparam("b_key"), models.alarm.c.cleared_at.is_(None))
    .values(cleared_at=bindparam("b_cleared_at")),
    ["b_key", "b_cleared_at"],
)
_CANCEL = (
    update(models.command)
    .where(
        any_of(_command.transaction_id, "keys"),
        _command.state == "queued",
        _command.action.in_(("RemoteStopTransaction", "TriggerMessage", "UnlockConnector", "SetChargingProfile")),
    )
    .values(state="expired", failure="the transaction ended before it was sent", answered_at=bindparam("now"))
)

_OF_A_STOP = any_of(_command.transaction_id, "keys") & (_command.requested_by == GUARD) & _command.action.in_(OF_A_STOP)
_SPARE = (
    update(models.command)
    .where(_OF_A_STOP, _command.state == "queued")
    .values(state="expired", failure=NOT_WANTED, answered_at=bindparam("now"))
)
_SEND_ONCE = update(models.command).where(_OF_A_STOP, _command.state == "sent").values(repeatable=False)


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Load the review items that the inputs name; an item names its charge point and transaction."""
    if names.review_keys:
        for row in connection.execute(_REVIEWS, {"keys": sorted(names.review_keys)}):
            item = as_fact(StoredReview, row)
            working_set.reviews[item.key] = item
            names.charge_point_ids.add(item.charge_point_id)
            names.registers_at.add(item.charge_point_id)
            if item.transaction_id is not None:
                names.transaction_ids.add(item.transaction_id)
            elif (id_tag := _id_tag(item.evidence_json)) is not None:  # of a stop that a person may still carry out
                names.id_tags.add(id_tag)
    if names.parked_keys:
        working_set.parked.update(connection.execute(_PARKED, {"keys": sorted(names.parked_keys)}).scalars())


def _id_tag(evidence_json: str) -> str | None:
    """Return the id tag that a message kept as evidence carries."""
    try:
        id_tag = msgspec.json.decode(evidence_json, type=_Tagged).id_tag
    except msgspec.DecodeError:  # a call that met a defect is no object
        return None
    return None if id_tag is None else normalize_id_tag(id_tag)


def load_meters(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Load the meters that the inputs name, and on which of their connectors there are orphans that are not loaded; and
    when and with what register the next one began on the connector of each orphan that is.
    """
    orphans = sorted(key for key, one in working_set.transactions.items() if one.state == "orphaned")
    if names.registers_at:
        for *row, has_more in connection.execute(_REGISTERS, {"keys": sorted(names.registers_at), "loaded": orphans}):
            one = Register(*row)
            working_set.registers[one.charge_point_id, one.connector_id] = one
            if has_more:
                working_set.orphaned_at.add((one.charge_point_id, one.connector_id))
    if orphans:
        rows = connection.execute(_OVERTAKEN, {"keys": orphans})
        working_set.overtaken = {row[0]: (row[1], row[2]) for row in rows}


def write(connection: Connection, working_set: WorkingSet, now: datetime) -> None:
    """Write decisions, meters, traits and the ends of alarms."""
    resolved = sorted(working_set.resolutions.values(), key=lambda one: one.key)
    _RESOLVE.execute(connection, [(*msgspec.structs.astuple(one), now) for one in resolved])
    if working_set.broken_chains:
        connection.execute(_BREAK, {"keys": sorted(working_set.broken_chains)})
    registers = [working_set.registers[key] for key in sorted(working_set.changed_registers)]
    _PUT_REGISTER.execute(
        connection, [(one.charge_point_id, one.connector_id, one.register_wh, one.happened_at) for one in registers]
    )
    if working_set.relative_readings:
        connection.execute(_RELATIVE, {"keys": sorted(working_set.relative_readings)})
    skews = [(key, one.clock_skew_s) for key, one in sorted(working_set.clock_skews.items())]
    _SKEW.execute(connection, skews)
    _ALARM_OVER.execute(connection, [(key, now) for key in sorted(working_set.alarms_over)])


def cancel_stops(connection: Connection, working_set: WorkingSet, now: datetime) -> None:
    """Cancel what waits to be sent for transactions that end in this batch; and the stops of those that go on after
    all, of which none that is on its way is sent again.
    """
    if working_set.ended:
        connection.execute(_CANCEL, {"keys": sorted(working_set.ended), "now": now})
    if working_set.spared:
        connection.execute(_SPARE, {"keys": sorted(working_set.spared), "now": now})
        connection.execute(_SEND_ONCE, {"keys": sorted(working_set.spared)})
