"""The order of events: it is that of the commits, and a reader passes nothing that may still come."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from csms.db import Database
from csms.operations import event_store
from csms.operations.event_models import event_batch

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def _record(connection: Connection, now: datetime = NOW) -> None:
    written: object = now
    if connection.dialect.name == "sqlite":
        written = now.isoformat(" ", "microseconds")[:26]
    events = '[["charge_point.disconnected",[7,"c"]],["nobody.knows",[1]]]'
    connection.exec_driver_sql(event_store._RECORD[connection.dialect.name], (written, events))


def _read(database: Database, after: int = 0) -> list[event_store.EventBatch]:
    with database.reading() as connection:
        return event_store.read_events(connection, after, limit=100)


def test_events_are_read_in_the_order_in_which_they_were_written(database: Database) -> None:
    for minute in range(3):
        with database.unit_of_work() as connection:
            _record(connection, NOW + timedelta(minutes=minute))
    batches = _read(database)
    assert [one.recorded_at.minute for one in batches] == [30, 31, 32]
    assert [one.recorded_at.minute for one in _read(database, batches[0].position)] == [31, 32]
    with database.reading() as connection:
        assert event_store.newest_position(connection) == batches[-1].position
        assert event_store.oldest_position(connection) == batches[0].position


def test_an_event_that_this_version_does_not_know_is_left_out(database: Database) -> None:
    with database.unit_of_work() as connection:
        _record(connection)
    [batch] = _read(database)
    assert batch.events == (("charge_point.disconnected", {"charge_point_id": 7, "connection_id": "c"}),)


def test_a_reader_waits_for_a_unit_of_work_that_began_before_one_that_is_committed(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    with database.engine.connect() as slow, database.engine.connect() as fast:
        _record(slow)
        _record(fast)
        fast.commit()
        assert _read(database) == []
        with database.reading() as connection:
            assert event_store.newest_position(connection) == 0
        slow.commit()
    first, second = _read(database)
    assert first.position < second.position


def test_a_unit_of_work_that_failed_leaves_no_event(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.unit_of_work() as connection:
        _fail(connection)
    assert _read(database) == []


def _fail(connection: Connection) -> None:
    _record(connection)
    raise ZeroDivisionError


def test_old_events_are_forgotten_and_positions_go_on(database: Database) -> None:
    for hours in (80, 75, 10):
        with database.unit_of_work() as connection:
            _record(connection, NOW - timedelta(hours=hours))
    before = _read(database)
    with database.unit_of_work() as connection:
        event_store.forget_events(connection, NOW - timedelta(hours=72))
    assert _read(database) == before[2:]
    with database.unit_of_work() as connection:
        event_store.forget_events(connection, NOW)
    assert _read(database) == before[2:]  # the newest stays
    with database.unit_of_work() as connection:
        _record(connection)
    assert _read(database)[-1].position > before[-1].position


def test_positions_of_another_cluster_are_removed(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite's positions are the file's own")
    with database.unit_of_work() as connection:
        _record(connection)
        row = {"position": 2**40, "recorded_at": NOW, "events_json": "[]"}
        connection.execute(event_batch.insert(), row)
    with database.unit_of_work() as connection:
        event_store.forget_events(connection, NOW - timedelta(days=1))
    assert len(_read(database)) == 1
    with database.reading() as connection:
        assert connection.execute(event_batch.select()).all()[-1].position < 2**40


@pytest.mark.parametrize(("text", "place"), [("7-0", (7, 0)), ("12-345", (12, 345))])
def test_an_id_is_a_place(text: str, place: tuple[int, int]) -> None:
    assert event_store.read_event_id(text) == place
    assert event_store.event_id(*place) == text


@pytest.mark.parametrize("text", ["", "7", "-", "7-", "-7", "7-x", "7-0-0", "٣-0", "9" * 19 + "-0", "7--1"])
def test_what_is_no_id_is_none(text: str) -> None:
    assert event_store.read_event_id(text) is None
