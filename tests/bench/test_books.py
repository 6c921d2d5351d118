"""The books of a run: what the stations completed must be in them, or there is no figure."""

from pathlib import Path

import pytest

from bench import engine_alone, world
from bench.commit_floor import sqlite_floor
from bench.frames import METER_VALUES_PER_SESSION
from bench.processes import BenchError


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return a prepared database with 50 stations and cards."""
    url = f"sqlite:///{tmp_path / 'bench.sqlite3'}"
    world.prepare(url, 50, 50)
    return url


def test_the_engine_alone_issues_the_same_statements_for_one_input_and_for_fifty(url: str) -> None:
    one = {cost.action: cost.statements for cost in engine_alone.measure(url, 1, 0.05)}
    fifty = {cost.action: cost.statements for cost in engine_alone.measure(url, 50, 0.05)}
    assert one == fifty
    assert set(one) == {"Authorize", "StartTransaction", "MeterValues", "StopTransaction"}


def test_sessions_that_nobody_completed_are_missed_in_the_books(url: str) -> None:
    world.check(url, 0)
    engine_alone.measure(url, 2, 0.0)
    books = world.count(url)
    assert (books.charged, books.unfinished, books.readings, books.violations) == (2, 0, 2, 0)
    assert books.readings < books.charged * METER_VALUES_PER_SESSION
    with pytest.raises(BenchError, match="do not fit"):
        world.check(url, 2)


def test_rows_that_wait_for_one_commit_are_cheaper_than_rows_alone(tmp_path: Path) -> None:
    floor = sqlite_floor(tmp_path, 0.1)
    assert 0 < floor.together_us < floor.alone_us
    assert list(tmp_path.iterdir()) == []
