"""How the work of `csms ledger verify` grows with the ledger, counted in SQLite's own steps and not by a clock."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from bench import long_ledger, world
from csms.charging import verification
from csms.db import Database

_STEPS = 100  # between two counts


def _work(folder: Path, transactions: int) -> int:
    """Return how many hundreds of steps a sound ledger of so many transactions takes."""
    url = f"sqlite:///{folder / str(transactions)}"
    world.prepare(url, long_ledger.STATIONS, long_ledger.cards_for(transactions))
    long_ledger.fill(url, transactions)
    database = Database(url)
    counted: Counter[str] = Counter()
    try:
        with verification.snapshot(database) as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.set_progress_handler(lambda: counted.update(("",)), _STEPS)
            assert list(verification.verify(connection, world.EURO)) == []
            driver.set_progress_handler(None, 0)
    finally:
        database.close()
    return counted.total()


def test_a_ledger_four_times_as_long_takes_four_times_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_TRANSACTIONS_AT_ONCE", "_ENTRIES_AT_ONCE"):
        monkeypatch.setattr(verification, name, 50)
    short, long = (_work(tmp_path, transactions) for transactions in (500, 2000))
    assert 3 * short < long < 4.4 * short
