"""The database: its metadata, its column types and the unit of work, which is the only place that commits.

Knows SQLite and PostgreSQL, and nothing of charging or money. On SQLite a unit of work takes the write lock at once
(``BEGIN IMMEDIATE``), so that what it loads cannot change before it writes; on PostgreSQL rows are locked by the
SELECTs.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import to_builtins
from msgspec.json import encode as encode_json
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    Sequence,
    String,
    Table,
    TypeDecorator,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    select,
    tuple_,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

Fact = TypeVar("Fact")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    },
)


# SQLite has no sequences; there the next numbers stand in a row, taken under the write lock.
id_sequence = Table(
    "id_sequence",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("next_id", BigInteger, nullable=False),
)


def to_text(value: datetime | None) -> str | None:
    """Write an aware moment as SQLite keeps it, sortable text in UTC; a naive one is a programmer's mistake."""
    if value is None:
        return None
    assert value.tzinfo is not None, "a moment without a time zone"
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    written = str(to_builtins(utc))  # a moment's own isoformat takes thirty times as long
    return f"{written[:10]} {written[11:26] if utc.microsecond else f'{written[11:19]}.000000'}"


def _from_text(value: str | None) -> datetime | None:
    """Give the moment its zone back; much faster with the text than by replacing the zone afterwards."""
    return None if value is None else datetime.fromisoformat(value + "+00:00")


class Instant(TypeDecorator[datetime]):
    """An aware moment, kept in UTC: ``timestamptz`` on PostgreSQL, sortable ISO text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep text on SQLite: the generic way through the driver costs several times as much."""
        return dialect.type_descriptor(String(26) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401 - text or a moment
        """Convert to UTC; a naive moment is a programmer's mistake."""
        if dialect.name == "sqlite":
            return to_text(value)
        assert value is None or value.tzinfo is not None, "a moment without a time zone"
        return value

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ANN401 - the base's signature
        """Hand SQLite's function out as it is: most of what is written are moments."""
        return to_text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ANN401 - the base's signature
        """Hand SQLite's function out as it is."""
        return _from_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401 - text or a moment
        """Give the moment its zone back."""
        if dialect.name == "sqlite":
            return _from_text(value)
        return None if value is None else cast("datetime", value).astimezone(UTC)


def _to_decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


class Exact(TypeDecorator[Decimal]):
    """A decimal number kept as text, so that no database turns it into a binary fraction."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's signature
        """Write the number as it is."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the base's signature
        """Read the number back."""
        return _to_decimal(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ANN401, ARG002 - the base's signature
        """Hand the function out as it is: a verification reads every rate and quantity there is."""
        return _to_decimal


_DURABLE = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536")  # KiB of cache
_NOT_DURABLE = ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4096")


class Database:
    """One database: short reads, and units of work that are committed whole or not at all."""

    def __init__(self, url: str, *, statement_timeout_s: int = 10, durable: bool = True) -> None:
        """Open lazily: the first use connects. `url` is SQLAlchemy's. What is not `durable` may lose its last seconds
        with the power, and never its consistency.
        """
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            pragmas = _DURABLE if durable else _NOT_DURABLE
            self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", statement_timeout_s, pragmas)
            self._reader = _sqlite_engine(url, "BEGIN", statement_timeout_s, pragmas)
        else:
            options = f"-c statement_timeout={statement_timeout_s * 1000} -c lock_timeout={statement_timeout_s * 1000}"
            options += "" if durable else " -c synchronous_commit=off"
            engine = create_engine(url, pool_size=8 if durable else 2, connect_args={"options": options})
            self._writer = self._reader = engine

    @property
    def engine(self) -> Engine:
        """The engine that writes; for migrations and for tests that count statements."""
        return self._writer

    @contextmanager
    def unit_of_work(self) -> Iterator[Connection]:
        """Everything inside is committed at the end, or nothing is."""
        with self._writer.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view that changes nothing."""
        with self._reader.connect() as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    def close(self) -> None:
        """Close every pooled connection now, and what a thread still uses for somebody who is gone when it is done."""
        for engine in {self._writer, self._reader}:
            event.listen(engine, "checkin", lambda _connection, record: record.invalidate())
            engine.dispose()


def _sqlite_engine(url: str, begin: str, timeout_s: int, pragmas: tuple[str, ...]) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": timeout_s, "check_same_thread": False},
    )

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return what tells whether a column is in a list, of any length, that is bound to `name`.

    The list is one parameter: the text of the statement stays the same, and both drivers have it prepared.
    """
    return cast("ColumnElement[bool]", _IsIn(column, bindparam(name, type_=_Keys())))


class _Keys(UserDefinedType[Any]):
    """A list as one parameter: JSON on SQLite, an array on PostgreSQL."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ANN401 - the base's signature
        return (lambda keys: encode_json(list(keys)).decode()) if dialect.name == "sqlite" else list


class _IsIn(FunctionElement[Any]):
    """A column, and the list that it may be in."""

    inherit_cache = True


@compiles(_IsIn, "sqlite")
def _in_json(element: _IsIn, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler's own
    column, keys = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({keys}))"  # noqa: S608 - of compiled parts


@compiles(_IsIn, "postgresql")
def _in_array(element: _IsIn, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler's own
    column, keys = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({keys})"


class Many:
    """A statement for many rows, compiled once per dialect and handed to the driver's own ``executemany``.

    SQLAlchemy would process each row for itself, which costs more than the database does. `keys` name the values of a
    row in their order, as columns of an INSERT or as bound parameters.
    """

    def __init__(self, statement: Any, keys: Iterable[str]) -> None:  # noqa: ANN401 - any dialect's INSERT or UPDATE
        """`statement` may also be a function that makes it for a dialect's name."""
        self._statement = statement
        self._keys = tuple(keys)
        self._prepared: dict[str, _Prepared] = {}

    def execute(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute the statement for each row; nothing happens for none."""
        columns = list(zip(*rows, strict=True))
        if not columns:
            return
        dialect = connection.dialect
        prepared = self._prepared.get(dialect.name) or self._prepare(dialect)
        count = len(columns[0])
        values = [
            repeat(value, count)
            if place is None
            else columns[place]
            if process is None
            else map(process, columns[place])
            for place, value, process in prepared.parts
        ]
        parameters: Any = list(zip(*values, strict=True))
        if not prepared.positional:
            parameters = [dict(zip(prepared.names, row, strict=True)) for row in parameters]
        connection.exec_driver_sql(prepared.sql, parameters)

    def _prepare(self, dialect: Dialect) -> "_Prepared":
        statement = self._statement(dialect.name) if callable(self._statement) else self._statement
        compiled = statement.compile(dialect=dialect, column_keys=list(self._keys))
        names = list(compiled.positiontup) if compiled.positional else list(compiled.binds)
        parts = []
        for name in names:
            place = self._keys.index(name) if name in self._keys else None
            process = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            constant = compiled.params.get(name) if place is None else None
            parts.append((place, constant if process is None or place is not None else process(constant), process))
        prepared = self._prepared[dialect.name] = _Prepared(str(compiled), names, parts, positional=compiled.positional)
        return prepared


class _Prepared:
    """The text for one dialect, and where each of its parameters comes from: a place in the row, or a constant."""

    def __init__(
        self, sql: str, names: list[str], parts: list[tuple[int | None, Any, Any]], *, positional: bool
    ) -> None:
        self.sql = sql
        self.names = names
        self.parts = parts
        self.positional = positional


_TAKE_IDS = "UPDATE id_sequence SET next_id = next_id + ? WHERE name = ? RETURNING next_id"  # SQLite's own


def take_ids(connection: Connection, sequence: Sequence, count: int) -> list[int]:
    """Take `count` numbers that nobody else gets. Gaps are possible, repeats are not."""
    if connection.dialect.name == "postgresql":
        statement = select(sequence.next_value()).select_from(func.generate_series(1, count))
        return list(connection.execute(statement).scalars())
    end = cast("int", connection.exec_driver_sql(_TAKE_IDS, (count, sequence.name)).scalar_one())
    return list(range(end - count, end))


def alone_in(connection: Connection, table: Table) -> None:
    """Wait until nobody else changes a table, and keep them waiting until the end of the unit of work.

    On SQLite every unit of work is alone.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")


def delete_some(connection: Connection, table: Table, condition: ColumnElement[bool], *, limit: int) -> int:
    """Delete at most so many rows that meet a condition, and none that another node is at; return how many went."""
    keys = list(table.primary_key)
    doomed = select(*keys).where(condition).limit(limit)
    if connection.dialect.name == "postgresql":
        doomed = doomed.with_for_update(skip_locked=True, of=table)
    return connection.execute(delete(table).where(tuple_(*keys).in_(doomed))).rowcount


def notify(connection: Connection, channel: str, text: str) -> None:
    """Tell whoever listens, once the unit of work is committed. Only PostgreSQL has such a bell."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (channel, text))


def is_conflict(error: Exception) -> bool:
    """Tell whether another unit of work was in the way, so that loading and deciding again may succeed."""
    if isinstance(error, IntegrityError):
        return True
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code in {"40001", "40P01"}


# SQLite's primary result codes for what is wrong with a statement or its values, and not with the storage.
_SQLITE_DEFECTS = frozenset({1, 19, 20, 25})
# PostgreSQL's classes for a lost connection, missing resources, a held lock, a shutdown, a failed disk, read-only.
_POSTGRESQL_FAILURES = ("08", "25006", "53", "55", "57", "58", "XX")


def is_storage_failure(error: Exception) -> bool:
    """Tell whether the storage itself failed (full, locked, unreachable, read-only) and may come back."""
    if not isinstance(error, (OperationalError, InterfaceError, DBAPIError)):
        return False
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return sqlite_code & 0xFF not in _SQLITE_DEFECTS
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return bool(sqlstate.startswith(_POSTGRESQL_FAILURES))
    return isinstance(error, (OperationalError, InterfaceError))


def as_fact(kind: type[Fact], row: Iterable[Any], *more: object) -> Fact:
    """Make a typed fact of a row whose columns were selected in the order of its fields."""
    return kind(*row, *more)


def tables_that_refer(connection: Connection, table: Table, row_id: int) -> set[str]:
    """Return the names of the tables in which a row refers by a foreign key to the row of `table` with this id."""
    refers = (
        (other, column)
        for other in metadata.tables.values()
        for column in other.columns
        if any(key.column is table.c.id for key in column.foreign_keys)
    )
    return {
        other.name
        for other, column in refers
        if connection.execute(select(column).where(column == row_id).limit(1)).first() is not None
    }
