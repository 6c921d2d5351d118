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
from pathlib import Path
from typing import Any, TypeVar, cast

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
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.sql.elements import ColumnElement

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


class Instant(TypeDecorator[datetime]):
    """An aware moment, kept in UTC: ``timestamptz`` on PostgreSQL, ISO text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive moment is a programmer's mistake."""
        if value is None:
            return None
        assert value.tzinfo is not None, "a moment without a time zone"
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the moment its zone back."""
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.replace(tzinfo=UTC)


class Exact(TypeDecorator[Decimal]):
    """A decimal number kept as text, so that no database turns it into a binary fraction."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's signature
        """Write the number as it is."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - the base's signature
        """Read the number back."""
        return None if value is None else Decimal(value)


class Database:
    """One database: short reads, and units of work that are committed whole or not at all."""

    def __init__(self, url: str, *, statement_timeout_s: int = 10) -> None:
        """Open lazily: the first use connects. `url` is SQLAlchemy's."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._writer = _sqlite_engine(url, "BEGIN IMMEDIATE", statement_timeout_s)
            self._reader = _sqlite_engine(url, "BEGIN", statement_timeout_s)
        else:
            options = f"-c statement_timeout={statement_timeout_s * 1000} -c lock_timeout={statement_timeout_s * 1000}"
            engine = create_engine(url, pool_size=8, connect_args={"options": options})
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
        """Close every pooled connection."""
        self._writer.dispose()
        self._reader.dispose()


def _sqlite_engine(url: str, begin: str, timeout_s: int) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": timeout_s, "check_same_thread": False})

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return ``column IN (:name)``, to be bound to a list of any length; the statement is compiled once."""
    return column.in_(bindparam(name, expanding=True))


def take_ids(connection: Connection, sequence: Sequence, count: int) -> list[int]:
    """Take `count` numbers that nobody else gets. Gaps are possible, repeats are not."""
    if connection.dialect.name == "postgresql":
        statement = select(sequence.next_value()).select_from(func.generate_series(1, count))
        return list(connection.execute(statement).scalars())
    statement_text = text("UPDATE id_sequence SET next_id = next_id + :count WHERE name = :name RETURNING next_id")
    end = cast("int", connection.execute(statement_text, {"count": count, "name": sequence.name}).scalar_one())
    return list(range(end - count, end))


def is_conflict(error: Exception) -> bool:
    """Tell whether another unit of work was in the way, so that loading and deciding again may succeed."""
    if isinstance(error, IntegrityError):
        return True
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code in {"40001", "40P01"}


def is_storage_failure(error: Exception) -> bool:
    """Tell whether the storage itself failed (full, locked, unreachable, read-only) and may come back."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    return isinstance(error, DBAPIError) and (error.connection_invalidated or "readonly" in str(error.orig))


def as_fact(kind: type[Fact], row: Iterable[Any], *more: object) -> Fact:
    """Make a typed fact of a row whose columns were selected in the order of its fields."""
    return kind(*row, *more)
