"""The limit of the disk: durable commits of one row, one after the other, and as a set when 50 wait for one commit.

Plain drivers, no SQLAlchemy; SQLite as `csms.db` opens it, PostgreSQL as it comes. The files lie where the server's
database lies, because another disk would be another limit.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg

WAITING = 50
_TABLE = "CREATE TABLE floor (id BIGINT PRIMARY KEY, text VARCHAR(100) NOT NULL)"
_ROW = "a row of about the length that a transaction of a station has in its index"
Rows = list[tuple[int, str]]


class Floor(msgspec.Struct, frozen=True):
    """Microseconds per row, by the clock."""

    alone_us: float
    together_us: float


def sqlite_floor(folder: Path, seconds: float) -> Floor:
    """Measure in a file of its own in `folder`."""
    connection = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_TABLE)

    def commit(rows: Rows) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO floor VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    try:
        return _floor(commit, seconds)
    finally:
        connection.close()
        for file in folder.glob("floor.sqlite3*"):
            file.unlink()


def postgresql_floor(conninfo: str, seconds: float) -> Floor:
    """Measure in a table of its own in the database that `conninfo` names."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS floor")
        connection.execute(_TABLE)

        def commit(rows: Rows) -> None:
            ids, texts = [row[0] for row in rows], [row[1] for row in rows]
            connection.execute("INSERT INTO floor SELECT unnest(%s::bigint[]), unnest(%s::text[])", (ids, texts))

        return _floor(commit, seconds)


def _floor(commit: Callable[[Rows], None], seconds: float) -> Floor:
    numbers = iter(range(10**12))
    return Floor(*(_us_per_row(commit, numbers, size, seconds) for size in (1, WAITING)))


def _us_per_row(commit: Callable[[Rows], None], numbers: Iterator[int], size: int, seconds: float) -> float:
    took: list[float] = []
    end = time.perf_counter() + seconds
    while not took or time.perf_counter() < end:
        rows = [(next(numbers), _ROW) for _ in range(size)]
        began = time.perf_counter()
        commit(rows)
        took.append(time.perf_counter() - began)
    return sum(took) / len(took) / size * 1e6
