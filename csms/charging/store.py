"""Set-wise reads and writes of charging: a batch of any size issues the same statements.

Knows the tables and the working set; decides nothing. Money's rows are read and written by `billing.ledger`, in
between, in the one order in which every process takes its locks: transactions, then accounts, each by id.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection as Sql
from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from csms.billing import ledger
from csms.billing.books import Books
from csms.billing.money import Currency
from csms.charging import evidence, models, places, settings_store, spending, unfinished
from csms.charging.command_queue import drives_settings, is_key_change
from csms.charging.facts import (
    Alarm,
    AuthorizationRefusal,
    ChargePoint,
    Command,
    Connection,
    ConnectionGone,
    ConnectorStatus,
    KeyChange,
    Policy,
    Reading,
    ReviewItem,
    StopLag,
    Transaction,
    UnknownChargePoint,
)
from csms.charging.points import points_of
from csms.charging.working_set import Names, WorkingSet
from csms.db import Database, Many, any_of, id_sequence, take_ids

# What rules beside charging's own need to be loaded, and how the facts that they return are written, all of a kind at
# once.
Loader = Callable[[Sql, Names, WorkingSet], None]
Writer = Callable[[Sql, Sequence[Any], datetime], None]
Recorder = Callable[[Sql, WorkingSet, datetime], None]


def _columns(table: Table, fact: type[msgspec.Struct], id_field: str) -> list[Any]:
    return [table.c.id if name == id_field else table.c[name] for name in fact.__struct_fields__]


_cp = models.charge_point
_tx = models.charging_transaction
_CHARGE_POINTS = select(*_columns(_cp, ChargePoint, "charge_point_id"))
_TRANSACTIONS = select(*_columns(_tx, Transaction, "transaction_id")).order_by(_tx.c.id).with_for_update()
_COMMANDS = select(*_columns(models.command, Command, "command_id")).order_by(models.command.c.id).with_for_update()
_CHARGE_POINTS_BY_ID = _CHARGE_POINTS.where(any_of(_cp.c.id, "keys"))
_CHARGE_POINTS_BY_IDENTITY = _CHARGE_POINTS.where(any_of(_cp.c.identity, "keys"))
_TRANSACTIONS_BY_ID = _TRANSACTIONS.where(any_of(_tx.c.id, "keys"))
_TRANSACTIONS_BY_NATURAL_KEY = _TRANSACTIONS.where(any_of(_tx.c.natural_key, "keys"))
_TRANSACTIONS_BY_STOP_KEY = _TRANSACTIONS.where(any_of(_tx.c.stop_key, "keys"))
_TRANSACTIONS_OPEN = _TRANSACTIONS.where(unfinished.is_open(_tx.c.state), any_of(_tx.c.charge_point_id, "keys"))
_COMMANDS_BY_ID = _COMMANDS.where(any_of(models.command.c.id, "keys"))
_COMMANDS_WAITING = _COMMANDS.where(
    models.command.c.state.in_(("queued", "sent")), any_of(models.command.c.charge_point_id, "keys")
)
_reading = models.reading.c
_POINTS = (
    select(_reading.transaction_id, _reading.happened_at, _reading.register_wh, _reading.power_w, _reading.flags)
    .where(any_of(_reading.transaction_id, "keys"))
    .order_by(_reading.transaction_id, _reading.happened_at)
)


def load(
    connection: Sql,
    names: Names,
    currency: Currency,
    policy: Policy,
    now: datetime,
    loaders: Sequence[Loader] = (),
) -> WorkingSet:
    """Load what the inputs of a batch name."""
    working_set = WorkingSet(Books(currency, policy.tax_at_top_up_percent), policy)
    evidence.load(connection, names, working_set)
    _load_charge_points(connection, names, working_set)
    _load_transactions(connection, names, working_set)
    evidence.load_meters(connection, names, working_set)
    ledger.load_cards(connection, names, working_set.books)
    ledger.load_accounts(connection, names, set(working_set.transactions), working_set.books)
    if names.review_keys:
        ledger.load_billed(connection, set(working_set.transactions), working_set.books)
    _load_points(connection, names, working_set)
    spending.load(connection, names, working_set, now)
    if names.places_of_transactions:
        known = {one.charge_point_id for one in working_set.transactions.values()} - set(working_set.charge_points)
        _take_charge_points(working_set, _rows(connection, _CHARGE_POINTS_BY_ID, known))
        places.load_groups(connection, working_set)
        places.load_smart_charging(connection, working_set)
    for statement, keys in ((_COMMANDS_BY_ID, names.command_ids), (_COMMANDS_WAITING, names.commands_at)):
        for row in _rows(connection, statement, keys):
            working_set.commands[row[0]] = Command(*row)
    names.settings_at.update(one.charge_point_id for one in working_set.commands.values() if drives_settings(one))
    keyed = {one.charge_point_id for one in working_set.commands.values() if is_key_change(one)}
    unloaded = (names.settings_at | keyed) - set(working_set.charge_points)
    _take_charge_points(working_set, _rows(connection, _CHARGE_POINTS_BY_ID, unloaded))
    for row in _rows(connection, _COMMANDS_WAITING, names.settings_at - names.commands_at):
        working_set.commands.setdefault(row[0], Command(*row))
    settings_store.load(connection, names, working_set)
    displays = settings_store.load_displays(connection, names, working_set)
    for row in _rows(connection, _COMMANDS_WAITING, displays - names.commands_at - names.settings_at):
        working_set.commands.setdefault(row[0], Command(*row))
    for loader in loaders:
        loader(connection, names, working_set)
    if names.new_transactions:
        working_set.free_transaction_ids = take_ids(connection, models.transaction_ids, names.new_transactions)
    if names.new_commands:
        working_set.free_command_ids = take_ids(connection, models.command_ids, names.new_commands)
    if names.new_charge_points:
        working_set.free_charge_point_ids = take_ids(connection, models.charge_point_ids, names.new_charge_points)
    return working_set


def forget_connections(connection: Sql, node: str) -> None:
    """Forget the connections that this node held before it started: those sockets are gone."""
    connection.execute(delete(models.connection).where(models.connection.c.node == node))


def probe(database: Database, now: datetime) -> bool:
    """Tell whether the database takes a durable write again."""
    try:
        with database.unit_of_work() as connection:
            statement = update(id_sequence).where(id_sequence.c.name == "probe").values(next_id=int(now.timestamp()))
            connection.execute(statement)
    except SQLAlchemyError:
        return False
    return True


def _load_charge_points(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    by_id, by_identity = (_CHARGE_POINTS_BY_ID, names.charge_point_ids), (_CHARGE_POINTS_BY_IDENTITY, names.identities)
    for statement, keys in (by_id, by_identity):
        _take_charge_points(working_set, _rows(connection, statement, keys))
    if names.tariffs:
        places.load(connection, working_set)


def _take_charge_points(working_set: WorkingSet, rows: Iterable[Any]) -> None:
    for row in rows:
        charge_point = ChargePoint(*row)
        working_set.charge_points[charge_point.charge_point_id] = charge_point
        working_set.identities[charge_point.identity] = charge_point.charge_point_id


def _load_transactions(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    for statement, keys in (
        (_TRANSACTIONS_BY_ID, names.transaction_ids),
        (_TRANSACTIONS_BY_NATURAL_KEY, names.natural_keys),
        (_TRANSACTIONS_BY_STOP_KEY, names.stop_keys),
        (_TRANSACTIONS_OPEN, names.open_at),
    ):
        for one in _take_transactions(_rows(connection, statement, keys), names, working_set):
            if one.state == "ended" or keys is names.natural_keys:  # a repeat is answered from the card, too
                names.id_tags.update(tag for tag in (one.id_tag, one.stop_id_tag) if tag is not None)
    more_open_at = unfinished.open_meant_at(names, working_set)
    _take_transactions(_rows(connection, _TRANSACTIONS_OPEN, more_open_at), names, working_set)
    orphans = unfinished.orphans_meant(connection, names, working_set)
    _take_transactions(_rows(connection, _TRANSACTIONS_BY_ID, orphans), names, working_set)


def _take_transactions(rows: Iterable[Any], names: Names, working_set: WorkingSet) -> list[Transaction]:
    taken = [Transaction(*row) for row in rows]
    for one in taken:
        working_set.transactions[one.transaction_id] = one
        working_set.natural_keys[one.natural_key] = one.transaction_id
        if one.stop_key is not None:
            working_set.stop_keys[one.stop_key] = one.transaction_id
        if one.account_id is not None:
            names.account_ids.add(one.account_id)
    return taken


def _load_points(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    depending = {
        one.transaction_id
        for one in working_set.transactions.values()
        if (one.needs_spans and one.state != "ended") or names.review_keys
    }
    working_set.points = {transaction_id: [] for transaction_id in depending}
    for transaction_id, *told in _rows(connection, _POINTS, depending):
        working_set.points[transaction_id] += points_of([told])


def _rows(connection: Sql, statement: Any, keys: Iterable[Any]) -> Iterable[Any]:  # noqa: ANN401 - rows of any statement
    ordered = sorted(keys)
    return connection.execute(statement, {"keys": ordered}).all() if ordered else ()


def _write_all(table: Table, fact: type[msgspec.Struct], id_field: str) -> Many:
    return Many(insert(table), ["id" if name == id_field else name for name in fact.__struct_fields__])


def _change(table: Table, key: str, names: Iterable[str]) -> Many:
    """Change columns of the row whose key column has the first value."""
    changed = list(names)
    statement = update(table).where(table.c[key] == bindparam("b_key"))
    return Many(statement.values({name: bindparam(f"b_{name}") for name in changed}), _bound("key", *changed))


def _bound(*names: str) -> list[str]:
    return [f"b_{name}" for name in names]


def _getter(fact: type[msgspec.Struct], *names: str) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(names or fact.__struct_fields__))


def _all_but(fact: type[msgspec.Struct], id_field: str) -> list[str]:
    return [name for name in fact.__struct_fields__ if name != id_field]


# What a reading changes. Most of what is written is this, and to write all columns costs a quarter of a call.
_MOVING = (
    "register_wh",
    "register_at",
    "power_w",
    "energy_wh",
    "cost_minor",
    "stop_requested_at",
    "idle_since",
    "heard_at",
    "guard_at",
    "stop_attempts",
    "interval_s",
    "probed_at",
    "answers_probes",
    "limited_until",
    "is_suspended",
    "zombie_at",
    "flags",
)
_ENDING = _all_but(Transaction, "transaction_id")
_NEW_TRANSACTION = _write_all(_tx, Transaction, "transaction_id")
_MOVE_TRANSACTION = _change(_tx, "id", _MOVING)
_END_TRANSACTION = _change(_tx, "id", _ENDING)
_transaction_row = _getter(Transaction)
_moving_row = _getter(Transaction, "transaction_id", *_MOVING)
_ending_row = _getter(Transaction, "transaction_id", *_ENDING)

_NEW_COMMAND = _write_all(models.command, Command, "command_id")
_CHANGE_COMMAND = _change(models.command, "id", _all_but(Command, "command_id"))
_command_row = _getter(Command)

# What a station says of itself. Place, tariff and key are the administrator's: a boot meanwhile leaves them alone.
_SAID = (
    "vendor",
    "model",
    "serial_number",
    "firmware_version",
    "registration",
    "booted_at",
    "firmware_status",
    "diagnostics_status",
    "meter_serial_number",
)
_NEW_CHARGE_POINT = Many(insert(_cp), ["id", *_all_but(ChargePoint, "charge_point_id"), "created_at"])
_CHANGE_CHARGE_POINT = _change(_cp, "id", _SAID)
_CHANGE_KEY = _change(_cp, "id", _all_but(KeyChange, "charge_point_id"))
_CHANGE_SEEN = _change(_cp, "id", ["last_seen_at"])
_CHANGE_STOP_LAG = _change(_cp, "id", _all_but(StopLag, "charge_point_id"))
_charge_point_row = _getter(ChargePoint)
_said_row = _getter(ChargePoint, "charge_point_id", *_SAID)
_GONE = Many(
    delete(models.connection).where(
        models.connection.c.charge_point_id == bindparam("b_charge_point_id"),
        models.connection.c.connection_id == bindparam("b_connection_id"),
    ),
    _bound("charge_point_id", "connection_id"),
)
_FORGET_UNKNOWN = delete(models.unknown_charge_point).where(any_of(models.unknown_charge_point.c.identity, "keys"))


def write(
    connection: Sql, working_set: WorkingSet, now: datetime, writers: Mapping[type, Writer] | None = None
) -> set[int]:
    """Write what the working set took; return the charge points for which a command waits now."""
    ringing = _write_commands(connection, working_set, now)
    _write_stations(connection, working_set, now)
    ledger.write(connection, working_set.books, now)
    new = [working_set.transactions[key] for key in sorted(working_set.new_transactions)]
    changed = [working_set.transactions[key] for key in sorted(working_set.changed_transactions)]
    _NEW_TRANSACTION.execute(connection, map(_transaction_row, new))
    whole = {one.transaction_id for one in changed if one.state != "open"} | working_set.revived
    _MOVE_TRANSACTION.execute(connection, [_moving_row(one) for one in changed if one.transaction_id not in whole])
    _END_TRANSACTION.execute(connection, [_ending_row(one) for one in changed if one.transaction_id in whole])
    _PUT_READING.execute(connection, [(*_reading_row(one), now) for one in working_set.readings.values()])
    _PUT_REVIEW.execute(connection, [(*_review_row(one), now) for one in working_set.review_items.values()])
    evidence.write(connection, working_set, now)
    for kind, writer in (writers or {}).items():
        if kind in working_set.more_facts:
            writer(connection, working_set.more_facts[kind], now)
    raised = [(*_alarm_row(one), 1, now, now, None) for one in working_set.alarms.values()]
    _UPSERT_ALARM.execute(connection, sorted(raised, key=_first))
    return ringing


def _write_commands(connection: Sql, working_set: WorkingSet, now: datetime) -> set[int]:
    unnumbered = working_set.unnumbered_commands
    if unnumbered:
        ids = take_ids(connection, models.command_ids, len(unnumbered))
        for command_id, command in zip(ids, unnumbered, strict=True):
            working_set.commands[command_id] = msgspec.structs.replace(command, command_id=command_id)
            working_set.new_commands.add(command_id)
    evidence.cancel_stops(connection, working_set, now)
    new = [working_set.commands[key] for key in sorted(working_set.new_commands)]
    changed = [working_set.commands[key] for key in sorted(working_set.changed_commands)]
    _NEW_COMMAND.execute(connection, map(_command_row, new))
    _CHANGE_COMMAND.execute(connection, map(_command_row, changed))
    return {command.charge_point_id for command in (*new, *changed) if command.state == "queued"}


def _write_stations(connection: Sql, working_set: WorkingSet, now: datetime) -> None:
    created = [working_set.charge_points[key] for key in sorted(working_set.new_charge_points)]
    _NEW_CHARGE_POINT.execute(connection, [(*_charge_point_row(one), now) for one in created])
    if created:
        connection.execute(_FORGET_UNKNOWN, {"keys": [one.identity for one in created]})
    changed = sorted(working_set.changed_charge_points - working_set.new_charge_points)
    _CHANGE_CHARGE_POINT.execute(connection, [_said_row(working_set.charge_points[key]) for key in changed])
    _CHANGE_KEY.execute(connection, map(_getter(KeyChange), working_set.key_changes))
    settings_store.write(connection, working_set)
    _GONE.execute(connection, map(_getter(ConnectionGone), working_set.gone))
    # Rows are written in the order of their keys: two processes then wait for each other, and never in a circle.
    connections = [(*_connection_row(one), now) for _, one in sorted(working_set.connections.items())]
    _UPSERT_CONNECTION.execute(connection, connections)
    statuses = [(*_status_row(one), now) for _, one in sorted(working_set.connectors.items())]
    _UPSERT_STATUS.execute(connection, statuses)
    refusals = [(*_refusal_row(one), 1, now) for _, one in sorted(working_set.refusals.items())]
    _UPSERT_REFUSAL.execute(connection, refusals)
    unknown = [(*_unknown_row(one), 1, now, now) for _, one in sorted(working_set.unknown.items())]
    _UPSERT_UNKNOWN.execute(connection, unknown)
    _CHANGE_SEEN.execute(connection, [(one.charge_point_id, one.at) for _, one in sorted(working_set.seen.items())])
    _CHANGE_STOP_LAG.execute(connection, [(key, one.stop_lag_ms) for key, one in sorted(working_set.stop_lags.items())])


_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _put_new(table: Table, fact: type[msgspec.Struct], *more: str) -> Many:
    """Insert what is not there; a repeated fact has the key of the first and changes nothing."""
    return Many(lambda dialect: _INSERTS[dialect](table).on_conflict_do_nothing(), [*fact.__struct_fields__, *more])


def _upsert(table: Table, fact: type[msgspec.Struct], *more: str) -> Many:
    """Insert, or change the row that is there; `attempts` are counted, what was seen first stays."""

    def statement(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
        inserted = _INSERTS[dialect](table)
        changes = {
            name: table.c.attempts + 1 if name == "attempts" else inserted.excluded[name]
            for name in (*fact.__struct_fields__, *more)
            if not table.c[name].primary_key and name != "first_seen_at"
        }
        return inserted.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)

    return Many(statement, [*fact.__struct_fields__, *more])


_PUT_READING = _put_new(models.reading, Reading, "recorded_at")
_PUT_REVIEW = _put_new(models.review_item, ReviewItem, "recorded_at")
_UPSERT_ALARM = _upsert(models.alarm, Alarm, "attempts", "first_seen_at", "last_at", "cleared_at")
_UPSERT_CONNECTION = _upsert(models.connection, Connection, "connected_at")
_UPSERT_STATUS = _upsert(models.connector, ConnectorStatus, "recorded_at")
_UPSERT_REFUSAL = _upsert(models.authorization_refusal, AuthorizationRefusal, "attempts", "last_at")
_UPSERT_UNKNOWN = _upsert(models.unknown_charge_point, UnknownChargePoint, "attempts", "first_seen_at", "last_seen_at")
_reading_row, _review_row, _alarm_row = _getter(Reading), _getter(ReviewItem), _getter(Alarm)
_connection_row, _status_row = _getter(Connection), _getter(ConnectorStatus)
_refusal_row, _unknown_row = _getter(AuthorizationRefusal), _getter(UnknownChargePoint)
_first = itemgetter(0)
