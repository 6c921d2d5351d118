"""Set-wise reads and writes of charging: a batch of any size issues the same statements.

Knows the tables and the working set; decides nothing. Money's rows are read and written by `billing.ledger`, in
between, in the one order in which every process takes its locks: transactions, then accounts, each by id.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection as Sql
from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from csms.billing import ledger
from csms.billing.books import Books
from csms.billing.money import Currency
from csms.charging import models, places, spending
from csms.charging.facts import ChargePoint, Command, Point, Policy, Transaction
from csms.charging.working_set import Names, WorkingSet
from csms.db import Database, any_of, id_sequence, take_ids


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
_TRANSACTIONS_UNFINISHED = _TRANSACTIONS.where(_tx.c.state != "ended", any_of(_tx.c.charge_point_id, "keys"))
_COMMANDS_BY_ID = _COMMANDS.where(any_of(models.command.c.id, "keys"))
_COMMANDS_WAITING = _COMMANDS.where(
    models.command.c.state.in_(("queued", "sent")), any_of(models.command.c.charge_point_id, "keys")
)
_POINTS = (
    select(models.reading.c.transaction_id, models.reading.c.happened_at, models.reading.c.register_wh)
    .where(any_of(models.reading.c.transaction_id, "keys"), models.reading.c.register_wh.is_not(None))
    .order_by(models.reading.c.transaction_id, models.reading.c.happened_at)
)


def load(connection: Sql, names: Names, currency: Currency, policy: Policy, now: datetime) -> WorkingSet:
    """Load what the inputs of a batch name."""
    working_set = WorkingSet(Books(currency), policy)
    _load_charge_points(connection, names, working_set)
    _load_transactions(connection, names, working_set)
    ledger.load_cards(connection, names, working_set.books)
    ledger.load_accounts(connection, names, set(working_set.transactions), working_set.books)
    _load_points(connection, working_set)
    spending.load(connection, names, working_set, now)
    if names.places_of_transactions:
        known = {one.charge_point_id for one in working_set.transactions.values()} - set(working_set.charge_points)
        _take_charge_points(working_set, _rows(connection, _CHARGE_POINTS_BY_ID, known))
        places.load_groups(connection, working_set)
    for statement, keys in ((_COMMANDS_BY_ID, names.command_ids), (_COMMANDS_WAITING, names.commands_at)):
        for row in _rows(connection, statement, keys):
            working_set.commands[row[0]] = Command(*row)
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
        (_TRANSACTIONS_UNFINISHED, names.unfinished_at),
    ):
        for row in _rows(connection, statement, keys):
            one = Transaction(*row)
            working_set.transactions[one.transaction_id] = one
            working_set.natural_keys[one.natural_key] = one.transaction_id
            if one.stop_key is not None:
                working_set.stop_keys[one.stop_key] = one.transaction_id
            if one.account_id is not None:
                names.account_ids.add(one.account_id)
            if one.state == "ended" or keys is names.natural_keys:  # a repeat is answered from the card, too
                names.id_tags.update(tag for tag in (one.id_tag, one.stop_id_tag) if tag is not None)


def _load_points(connection: Sql, working_set: WorkingSet) -> None:
    depending = {
        one.transaction_id for one in working_set.transactions.values() if one.needs_spans and one.state != "ended"
    }
    working_set.points = {transaction_id: [] for transaction_id in depending}
    for transaction_id, at, register_wh in _rows(connection, _POINTS, depending):
        working_set.points[transaction_id].append(Point(at, register_wh))


def _rows(connection: Sql, statement: Any, keys: Iterable[Any]) -> Iterable[Any]:  # noqa: ANN401 - rows of any statement
    ordered = sorted(keys)
    return connection.execute(statement, {"keys": ordered}).all() if ordered else ()


def _change(table: Table, fact: type[msgspec.Struct], id_field: str) -> Any:  # noqa: ANN401 - SQLAlchemy's Update
    changeable = [name for name in fact.__struct_fields__ if name != id_field]
    return (
        update(table)
        .where(table.c.id == bindparam("b_id"))
        .values({name: bindparam(f"b_{name}") for name in changeable})
    )


_CHANGE_TRANSACTION = _change(_tx, Transaction, "transaction_id")
_CHANGE_COMMAND = _change(models.command, Command, "command_id")
# What a station says of itself. Place, tariff and key are the administrator's: a boot at the same time leaves them alone.
_SAID = ("vendor", "model", "serial_number", "firmware_version", "registration", "booted_at")
_CHANGE_CHARGE_POINT = (
    update(_cp)
    .where(_cp.c.id == bindparam("b_id"))
    .values({name: bindparam(f"b_{name}") for name in (*_SAID, "firmware_status", "diagnostics_status")})
)
_CHANGE_KEY = (
    update(_cp)
    .where(_cp.c.id == bindparam("b_charge_point_id"))
    .values({name: bindparam(f"b_{name}") for name in ("security_profile", "key_salt", "key_hash")})
)
_CHANGE_SEEN = update(_cp).where(_cp.c.id == bindparam("b_id")).values(last_seen_at=bindparam("b_at"))
_GONE = delete(models.connection).where(
    models.connection.c.charge_point_id == bindparam("b_charge_point_id"),
    models.connection.c.connection_id == bindparam("b_connection_id"),
)
_FORGET_UNKNOWN = delete(models.unknown_charge_point).where(any_of(models.unknown_charge_point.c.identity, "keys"))


def write(connection: Sql, working_set: WorkingSet, now: datetime) -> set[int]:
    """Write what the working set took; return the charge points for which a command waits now."""
    ringing = _write_commands(connection, working_set)
    _write_stations(connection, working_set, now)
    ledger.write(connection, working_set.books, now)
    _insert(
        connection,
        _tx,
        [working_set.transactions[key] for key in sorted(working_set.new_transactions)],
        "transaction_id",
    )
    changed = sorted(working_set.changed_transactions)
    _update(connection, _CHANGE_TRANSACTION, [working_set.transactions[key] for key in changed], "transaction_id")
    _put_new(connection, models.reading, list(working_set.readings.values()), now)
    _put_new(connection, models.review_item, list(working_set.review_items.values()), now)
    alarms = [
        _row(one) | {"attempts": 1, "first_seen_at": now, "last_at": now, "cleared_at": None}
        for one in working_set.alarms.values()
    ]
    _upsert(connection, models.alarm, alarms)
    return ringing


def _write_commands(connection: Sql, working_set: WorkingSet) -> set[int]:
    unnumbered = working_set.unnumbered_commands
    if unnumbered:
        ids = take_ids(connection, models.command_ids, len(unnumbered))
        for command_id, command in zip(ids, unnumbered, strict=True):
            working_set.commands[command_id] = msgspec.structs.replace(command, command_id=command_id)
            working_set.new_commands.add(command_id)
    new = [working_set.commands[key] for key in sorted(working_set.new_commands)]
    changed = [working_set.commands[key] for key in sorted(working_set.changed_commands)]
    _insert(connection, models.command, new, "command_id")
    _update(connection, _CHANGE_COMMAND, changed, "command_id")
    return {command.charge_point_id for command in (*new, *changed) if command.state == "queued"}


def _write_stations(connection: Sql, working_set: WorkingSet, now: datetime) -> None:
    created = [working_set.charge_points[key] for key in sorted(working_set.new_charge_points)]
    if created:
        connection.execute(
            insert(_cp), [_row(one, "charge_point_id") | {"last_seen_at": None, "created_at": now} for one in created]
        )
        connection.execute(_FORGET_UNKNOWN, {"keys": [one.identity for one in created]})
    changed = working_set.changed_charge_points - working_set.new_charge_points
    _update(
        connection, _CHANGE_CHARGE_POINT, [working_set.charge_points[key] for key in sorted(changed)], "charge_point_id"
    )
    if working_set.key_changes:
        changes = [_row(one) for one in working_set.key_changes]
        connection.execute(_CHANGE_KEY, [{f"b_{key}": value for key, value in row.items()} for row in changes])
    gone = [{f"b_{key}": value for key, value in _row(one).items()} for one in working_set.gone]
    if gone:
        connection.execute(_GONE, gone)
    connections = [_row(one) | {"connected_at": now} for one in working_set.connections.values()]
    _upsert(connection, models.connection, connections)
    statuses = [_row(one) | {"recorded_at": now} for one in working_set.connectors.values()]
    _upsert(connection, models.connector, statuses)
    refusals = [_row(one) | {"attempts": 1, "last_at": now} for one in working_set.refusals.values()]
    _upsert(connection, models.authorization_refusal, refusals)
    unknown = [
        _row(one) | {"attempts": 1, "first_seen_at": now, "last_seen_at": now} for one in working_set.unknown.values()
    ]
    _upsert(connection, models.unknown_charge_point, unknown)
    seen = [{"b_id": one.charge_point_id, "b_at": one.at} for _, one in sorted(working_set.seen.items())]
    if seen:
        connection.execute(_CHANGE_SEEN, seen)


def _row(fact: msgspec.Struct, id_field: str = "") -> dict[str, Any]:
    return {"id" if name == id_field else name: getattr(fact, name) for name in fact.__struct_fields__}


def _insert(connection: Sql, table: Table, facts: list[Any], id_field: str) -> None:
    if facts:
        connection.execute(insert(table), [_row(fact, id_field) for fact in facts])


def _update(connection: Sql, statement: Any, facts: list[Any], id_field: str) -> None:  # noqa: ANN401 - SQLAlchemy's Update
    if facts:
        connection.execute(
            statement, [{f"b_{key}": value for key, value in _row(fact, id_field).items()} for fact in facts]
        )


def _put_new(connection: Sql, table: Table, facts: list[Any], now: datetime) -> None:
    """Insert what is not there; a repeated fact has the key of the first and changes nothing."""
    if facts:
        statement = _put_new_statement(table, connection.dialect.name)
        connection.execute(statement, [_row(fact) | {"recorded_at": now} for fact in facts])


def _upsert(connection: Sql, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        rows.sort(key=lambda row: tuple(str(row[column.name]) for column in table.primary_key))
        connection.execute(_upsert_statement(table, connection.dialect.name), rows)


_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@cache
def _put_new_statement(table: Table, dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    return _INSERTS[dialect](table).on_conflict_do_nothing()


@cache
def _upsert_statement(table: Table, dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    statement = _INSERTS[dialect](table)
    changes = {
        column.name: table.c.attempts + 1 if column.name == "attempts" else statement.excluded[column.name]
        for column in table.columns
        if not column.primary_key and column.name not in {"first_seen_at", "resolved_at"}
    }
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)
