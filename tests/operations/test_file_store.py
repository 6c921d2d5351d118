"""Files on disk: limits, the quota, names, what is left of what broke off, and what is swept away."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from csms import clock
from csms.charging.stations import AddChargePoint
from csms.commands.file_work import FileWork
from csms.commands.files import Links, UploadRequest, request_upload
from csms.config import Settings
from csms.installation import open_installation
from csms.operations.file_store import FIRMWARE, UPLOADS, FileRefused, FileStore
from csms.operations.files_models import station_file
from csms.operations.links import safe_name
from csms.operations.station_files import NewStationFile, keep_file
from tests.conftest import settings_for
from tests.support.world import add_tariff

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A store with room for 100 bytes of stations."""
    return FileStore(tmp_path / "files", quota_bytes=100)


def _all(store: FileStore, kind: str = UPLOADS) -> list[Path]:
    folder = store.folder(kind)
    return list(folder.iterdir()) if folder.is_dir() else []


def test_a_file_is_whole_under_a_name_of_ours(store: FileStore) -> None:
    arriving = store.begin(UPLOADS, "../../etc/passwd", 100)
    for piece in (b"one ", b"", b"two"):
        arriving.write(piece)
    stored = arriving.finish()
    arriving.release()
    assert (stored.name, stored.size_bytes, stored.sha256) == ("passwd", 7, sha256(b"one two").hexdigest())
    assert _all(store) == [store.path(UPLOADS, stored.stored_name)]
    assert store.path(UPLOADS, stored.stored_name).read_bytes() == b"one two"
    store.remove(UPLOADS, stored.stored_name)
    store.remove(UPLOADS, stored.stored_name)  # again is no mistake
    assert _all(store) == []


def test_a_file_beyond_its_limit_is_refused_and_leaves_nothing(store: FileStore) -> None:
    arriving = store.begin(UPLOADS, "a", 10)
    arriving.write(b"x" * 10)
    with pytest.raises(FileRefused) as refused:
        arriving.write(b"x")
    assert refused.value.kind == "too large"
    arriving.discard()
    assert _all(store) == []


def test_what_is_stored_and_what_arrives_share_the_quota(store: FileStore) -> None:
    first = store.begin(UPLOADS, "a", 100, used_bytes=40)
    first.write(b"x" * 50)
    second = store.begin(UPLOADS, "b", 100, used_bytes=40)
    with pytest.raises(FileRefused) as refused:
        second.write(b"x" * 11)
    assert refused.value.kind == "no room"
    first.discard()
    second.write(b"x" * 11)
    second.discard()
    other = store.begin(FIRMWARE, "a", 1000)  # firmware is not of stations
    other.write(b"x" * 1000)
    other.discard()


def test_a_discarded_file_is_gone_even_when_it_was_finished(store: FileStore) -> None:
    arriving = store.begin(UPLOADS, "a", 100)
    arriving.write(b"abc")
    arriving.finish()
    arriving.discard()
    assert _all(store) == []


def test_what_no_row_knows_is_swept_away_after_a_day(store: FileStore) -> None:
    names = []
    for age_h in (0, 23, 25, 25):
        arriving = store.begin(UPLOADS, "a", 100)
        arriving.write(b"a")
        names.append(arriving.finish().stored_name)
        arriving.release()
        at = (NOW - timedelta(hours=age_h)).timestamp()
        os.utime(store.path(UPLOADS, names[-1]), (at, at))
    half = store.folder(UPLOADS) / "half.part"
    half.write_bytes(b"x")
    os.utime(half, (0, 0))
    assert store.sweep(UPLOADS, {names[2]}, NOW) == 2
    assert {path.name for path in _all(store)} == set(names[:3])
    assert store.sweep(FIRMWARE, set(), NOW) == 0


@given(st.text(max_size=300))
def test_every_name_becomes_a_safe_one(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe) <= 100
    assert safe.isascii()
    assert not safe.startswith((".", "-"))
    assert not set(safe) & set('/\\:*?"<>|\0 \n\r%;')
    assert safe_name(safe) == safe


def test_two_nodes_do_not_exceed_the_quota_together(settings: Settings) -> None:
    first, second = open_installation(settings), open_installation(settings)
    try:
        add_tariff(first)
        first.engine.execute(AddChargePoint("CP1", 0, None, None))
        links = Links("http://csms.example.org", 60)
        command = first.engine.execute(request_upload(1, UploadRequest(), links, "test", lambda: "t" * 43))
        new = NewStationFile(1, command.command_id, "a", 60, "a" * 64, "a" * 32, "HTTP", "192.0.2.1", clock.now())
        other = msgspec.structs.replace(new, name="b", stored_name="b" * 32)

        def keep() -> None:
            with second.database.unit_of_work() as connection:
                keep_file(connection, other, quota_bytes=100)

        with ThreadPoolExecutor(1) as pool:
            with first.database.unit_of_work() as connection:
                assert keep_file(connection, new, quota_bytes=100)
                keeping = pool.submit(keep)
                with pytest.raises(TimeoutError):
                    keeping.result(0.3)
            with pytest.raises(FileRefused):
                keeping.result(30)
    finally:
        first.database.close()
        second.database.close()


def test_old_files_are_deleted_after_the_days_that_the_settings_say(settings: Settings, tmp_path: Path) -> None:
    settings = settings_for(settings.database_url, tmp_path, station_files_keep_days=30)
    installation = open_installation(settings)
    try:
        add_tariff(installation)
        now = clock.now()
        installation.engine.execute(AddChargePoint("CP1", 0, None, None))
        links = Links("http://csms.example.org", 60)
        command = installation.engine.execute(request_upload(1, UploadRequest(), links, "test", lambda: "t" * 43))
        store = FileStore(settings.files_folder, quota_bytes=1000)
        for days in (29, 31):
            arriving = store.begin(UPLOADS, f"{days}.log", 100)
            arriving.write(b"%d" % days)
            stored = arriving.finish()
            at = now - timedelta(days=days)
            new = NewStationFile(
                1, command.command_id, stored.name, 2, stored.sha256, stored.stored_name, "HTTP", "192.0.2.1", at
            )
            with installation.database.unit_of_work() as connection:
                keep_file(connection, new, quota_bytes=1_000_000)
        work = FileWork(installation, lambda: now)
        assert [work.tidy(), work.tidy()] == [1, 0]  # once an hour
        with installation.database.reading() as connection:
            assert list(connection.execute(select(station_file.c.name)).scalars()) == ["29.log"]
        assert len(_all(store)) == 1
    finally:
        installation.database.close()
