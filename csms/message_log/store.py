"""Where the message log lies: its own file on SQLite (made here), the database on PostgreSQL (made by a migration).

Writes rows in batches and deletes the old ones in small steps. What is lost with the power is the last seconds.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, delete, func, select

from csms.db import Database, to_text
from csms.message_log.entries import Entry
from csms.message_log.tables import message

_PURGED_AT_ONCE = 2000
_AT = Entry._fields.index("recorded_at")

# Each version's statements bring the file of the version before to it; `PRAGMA user_version` says which one it has.
_VERSIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE message (
            id INTEGER NOT NULL,
            charge_point_id INTEGER,
            recorded_at VARCHAR(26) NOT NULL,
            is_outgoing BOOLEAN NOT NULL,
            kind VARCHAR(10) NOT NULL,
            action VARCHAR(50) NOT NULL,
            message_id VARCHAR(128) NOT NULL,
            duration_ms INTEGER,
            size_bytes INTEGER NOT NULL,
            text TEXT NOT NULL,
            CONSTRAINT pk_message PRIMARY KEY (id)
        )""",
        "CREATE INDEX ix_message_recorded_at ON message (recorded_at)",
        "CREATE INDEX ix_message_station ON message (charge_point_id, id)",
    ),
)

# Rows of one statement. A statement for each row would hand the interpreter to and fro for each, and the event loop
# waits for it; a few sizes only, so that each statement is prepared once.
_SIZES = (256, 64, 16, 4, 1)


class MessageStore:
    """The storage of the log. Nothing is opened before it is used."""

    def __init__(self, database: Database) -> None:
        """Take the database of the books, beside which the log lies."""
        self.database = Database(_url(database), durable=False)
        self._read_from = self.database if database.is_sqlite else database
        self._is_set_up = not database.is_sqlite

    def set_up(self) -> None:
        """Make the file or bring it to this version, where that was not done yet."""
        if self._is_set_up:
            return
        with self.database.unit_of_work() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            for statements in _VERSIONS[version:]:
                for statement in statements:
                    connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"PRAGMA user_version={max(version, len(_VERSIONS))}")
        self._is_set_up = True

    def reading(self) -> AbstractContextManager[Connection]:
        """A consistent view of the log; on PostgreSQL one of the books' connections serves."""
        self.set_up()
        return self._read_from.reading()

    def write(self, entries: Sequence[Entry]) -> None:
        """Add rows, all or none."""
        self.set_up()
        with self.database.unit_of_work() as connection:
            place = 0
            for size in _SIZES:
                while len(entries) - place >= size:
                    _insert(connection, entries[place : place + size])
                    place += size

    def purge(self, before: datetime, newest_rows: int) -> bool:
        """Delete some of the rows from before then, or beyond so many; tell whether there may be more of them."""
        self.set_up()
        with self.database.unit_of_work() as connection:
            deleted = _delete(connection, message.c.recorded_at < before, message.c.recorded_at)
            newest = connection.execute(select(func.max(message.c.id))).scalar()
            if newest is not None and deleted < _PURGED_AT_ONCE:
                deleted += _delete(connection, message.c.id <= newest - newest_rows, message.c.id)
        return deleted >= _PURGED_AT_ONCE

    def close(self) -> None:
        """Close every connection."""
        self.database.close()


def _insert(connection: Connection, entries: Sequence[Entry]) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    values = [value for entry in entries for value in entry]
    if is_sqlite:
        values[_AT :: len(Entry._fields)] = [to_text(entry.recorded_at) for entry in entries]
    connection.exec_driver_sql(_statement(len(entries), "?" if is_sqlite else "%s"), tuple(values))


@cache
def _statement(rows: int, mark: str) -> str:
    row = f"({', '.join([mark] * len(Entry._fields))})"
    return f"INSERT INTO message ({', '.join(Entry._fields)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names of ours


def _delete(connection: Connection, condition: object, order: object) -> int:
    doomed = select(message.c.id).where(condition).order_by(order).limit(_PURGED_AT_ONCE)  # type: ignore[arg-type]
    if connection.dialect.name == "postgresql":
        doomed = doomed.with_for_update(skip_locked=True)  # another node may be at it
    return connection.execute(delete(message).where(message.c.id.in_(doomed))).rowcount


def _url(database: Database) -> str:
    """Return where the log lies: of csms.sqlite3 in csms-messages.sqlite3."""
    url = database.url
    if database.is_sqlite and url.database:
        stem, dot, ending = url.database.rpartition(".")
        beside = f"{stem}-messages{dot}{ending}" if dot and "/" not in ending else f"{url.database}-messages"
        url = url.set(database=beside)
    return url.render_as_string(hide_password=False)
