"""The thread that writes: it loses nothing while it keeps up, counts what it cannot keep, survives its storage."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from csms import clock
from csms.config import Settings
from csms.db import Database
from csms.message_log import recorder as recording
from csms.message_log.entries import Entry, gap
from csms.message_log.reading import LoggedMessage, MessageReader, Search
from csms.message_log.recorder import Recorder
from csms.message_log.store import MessageStore
from csms.message_log.tables import message

_CALL = b'[2,"%d","Heartbeat",{}]'


@pytest.fixture(autouse=True)
def end_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does not wait for the log for more than seconds; a test does."""
    monkeypatch.setattr(recording, "_LONGEST_END_S", 600)


@pytest.fixture
def store(database: Database) -> Iterator[MessageStore]:
    made = MessageStore(database)
    yield made
    made.close()


@contextmanager
def _recording(store: MessageStore, **changes: object) -> Iterator[Recorder]:
    recorder = Recorder(store, Settings(**changes), clock.now)  # type: ignore[arg-type]
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()


def _all(store: MessageStore) -> list[LoggedMessage]:
    return list(MessageReader(store).stream(Search()))


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_every_frame_is_there_in_order_once_it_was_stopped(store: MessageStore) -> None:
    with _recording(store) as recorder:
        for number in range(5000):
            recorder.note(1, False, _CALL % number)
    assert [one.message_id for one in _all(store)] == [str(number) for number in range(5000)]
    assert recorder.dropped == 0


def test_what_was_noted_can_be_read_while_it_runs_for_which_it_looks_more_than_once_a_second(
    store: MessageStore,
) -> None:
    with _recording(store) as recorder:
        for number in range(3):
            recorder.note(1, False, _CALL % number)
            _until(lambda: len(_all(store)) == number + 1)  # noqa: B023 - called before the next number
    assert recording._EVERY_S < 1


def test_what_it_cannot_keep_up_with_is_counted_and_a_row_says_so(store: MessageStore) -> None:
    recorder = Recorder(store, Settings(message_log_queue_bytes=1000), clock.now)
    for number in range(100):
        recorder.note(1, False, _CALL % number)
    recorder.start()
    recorder.stop()
    kept = _all(store)
    assert recorder.dropped == 100 - (len(kept) - 1) > 50
    assert (kept[-1].kind, kept[-1].text) == ("gap", f"{recorder.dropped} messages were not kept")


def test_it_is_its_own_file_beside_the_books_on_sqlite(store: MessageStore, database: Database) -> None:
    if not database.is_sqlite:
        assert store.database.url.database == database.url.database
        return
    assert database.url.database is not None
    path = Path(database.url.database)
    assert store.database.url.database == str(path.with_name(f"{path.stem}-messages{path.suffix}"))
    store.set_up()
    with store.database.reading() as connection:
        inspector = inspect(connection)
        columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("message")}
        indexes = {index["name"] for index in inspector.get_indexes("message")}
        dialect = connection.dialect
    assert columns == {column.name: column.type.compile(dialect) for column in message.columns}
    assert indexes == {index.name for index in message.indexes}


def test_setting_it_up_again_changes_nothing(store: MessageStore, database: Database) -> None:
    store.write([gap(1, clock.now())])
    again = MessageStore(database)
    again.set_up()
    assert len(_all(again)) == 1
    again.close()


def test_a_lock_on_the_log_delays_nobody_and_loses_nothing(store: MessageStore) -> None:
    store.set_up()
    with _recording(store) as recorder:
        with store.database.unit_of_work() as connection:
            connection.execute(text("DELETE FROM message WHERE id < 0"))
            for number in range(1000):  # who waited here for the lock would wait for itself
                recorder.note(1, False, _CALL % number)
            time.sleep(0.3)
        _until(lambda: len(_all(store)) == 1000)


def test_a_broken_file_costs_the_log_only_and_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "csms-messages.sqlite3").write_bytes(b"this is no database" * 1000)
    broken = MessageStore(Database(f"sqlite:///{tmp_path / 'csms.sqlite3'}"))
    with _recording(broken, message_log_queue_bytes=3000) as recorder:
        for number in range(1000):
            recorder.note(1, False, _CALL % number)
        _until(lambda: recorder._broken)
        assert 0 < recorder.dropped < 1000
    assert capsys.readouterr().out.count("cannot be written") <= 1
    broken.close()


def test_when_the_storage_comes_back_what_waited_is_written_with_the_gap(tmp_path: Path) -> None:
    path = tmp_path / "csms-messages.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    store = MessageStore(Database(f"sqlite:///{tmp_path / 'csms.sqlite3'}"))
    with _recording(store, message_log_queue_bytes=3000) as recorder:
        for number in range(100):
            recorder.note(1, False, _CALL % number)
        _until(lambda: recorder._broken)
        path.unlink()
        _until(lambda: _written(store) > 1)
        _until(lambda: any(one.kind == "gap" for one in _all(store)))
    assert [one.message_id for one in _all(store)][:3] == ["0", "1", "2"]
    store.close()


def _written(store: MessageStore) -> int:
    with suppress(Exception):
        return len(_all(store))
    return 0


def test_old_rows_go_in_small_steps_and_young_ones_stay(store: MessageStore) -> None:
    now = clock.now()
    old = now - timedelta(days=15)
    store.write([Entry(1, old, False, "call", "Heartbeat", str(n), None, 9, "x") for n in range(4500)])
    store.write([Entry(1, now, False, "call", "Heartbeat", "young", None, 9, "x")])
    before = now - timedelta(days=14)
    assert [store.purge(before, 10**9) for _ in range(3)] == [True, True, False]
    assert [one.message_id for one in _all(store)] == ["young"]


def test_beyond_so_many_rows_the_oldest_go(store: MessageStore) -> None:
    now = clock.now()
    store.write([Entry(1, now, False, "call", "Heartbeat", str(n), None, 9, "x") for n in range(50)])
    store.purge(now - timedelta(days=14), 10)
    assert [one.message_id for one in _all(store)] == [str(n) for n in range(40, 50)]


def test_switched_off_it_forgets_what_it_had(store: MessageStore) -> None:
    store.write([gap(1, clock.now())])
    with _recording(store, message_log_days=0):
        _until(lambda: not _all(store))
    assert _all(store) == []


def test_the_thread_ends_with_the_server(store: MessageStore) -> None:
    with _recording(store):
        assert any(one.name == "message log" for one in threading.enumerate())
    assert not any(one.name == "message log" for one in threading.enumerate())


def test_a_row_that_the_database_refuses_costs_no_other(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = store.write

    def refuse_once(entries: list[Entry]) -> None:
        monkeypatch.setattr(store, "write", write)
        raise ValueError(f"{len(entries)} rows")

    monkeypatch.setattr(store, "write", refuse_once)
    with _recording(store) as recorder:
        recorder.note(1, False, _CALL % 1)
        _until(lambda: recorder.dropped == 1)
        recorder.note(1, False, _CALL % 2)
    with store.database.reading() as connection:
        kinds = connection.execute(select(message.c.kind).order_by(message.c.id)).scalars().all()
    assert sorted(kinds) == ["call", "gap"]
