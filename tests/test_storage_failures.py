"""Storage that fails: nothing is answered as done, stations are sent away to queue, and no restart is needed."""

import asyncio
import os
import random
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import make_url

from csms.billing.prepaid import Booked
from csms.charging import models
from csms.config import Settings
from csms.db import Database
from csms.errors import StorageUnavailable
from csms.migration import migrate
from tests.conftest import settings_for
from tests.support.ledger import ledger, violations
from tests.support.postgresql import Cluster, new_folder
from tests.support.stubborn import Stubborn, charge
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

TIMES = [f"2026-05-04T10:{minute:02}:00Z" for minute in range(0, 60, 10)]
READINGS = [1500, 3000, 4500, 6000]


@asynccontextmanager
async def opened(url: str, tmp_path: Path, **changes: object) -> AsyncIterator[World]:
    """Open a world whose statements may take one second."""
    async with open_world(settings_for(url, tmp_path, **({"statement_timeout_s": 1} | changes))) as world:
        yield world


def stubborn(world: World, seed: int = 1, **options: Any) -> Stubborn:
    """Return a station that repeats itself until it is answered."""
    return Stubborn(world.url, "CP1", random.Random(seed), **options)


async def undisturbed(url: str, tmp_path: Path) -> dict[str, Any]:
    """Return the ledger of a whole transaction and a top-up that nothing disturbed."""
    async with opened(url, tmp_path, statement_timeout_s=10) as world, stubborn(world) as station:
        await station.boot()
        await charge(station, CARD, TIMES, 1000, READINGS)
        await world.top_up(CARD, 700, "once")
        assert station.repeats == 0
        return ledger(world.database)


async def status_of_a_handshake(world: World) -> int:
    """Return the HTTP status that a station gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.central_system.port)
    writer.write(
        b"GET /ocpp/CP1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    line = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    return int(line.split()[1])


async def outage(world: World, failing: Callable[[], Any]) -> dict[str, Any]:
    """Play a transaction while `failing()` breaks the storage in its middle, and return the ledger."""
    async with stubborn(world) as station, world.station("CP2", boot=False) as idle:
        await station.boot()
        await charge_up_to_the_middle(station)
        before = ledger(world.database)
        with failing():
            going_on = asyncio.ensure_future(charge(station, CARD, TIMES, 1000, READINGS))
            await asyncio.wait_for(idle.socket.wait_closed(), 60)  # though it did not ask for anything
            assert idle.socket.close_code == 1013
            assert await status_of_a_handshake(world) == 503
            with pytest.raises(StorageUnavailable):
                await world.top_up(CARD, 700, "once")
            assert not going_on.done()
            assert not world.engine.available
        await going_on
        assert before["transactions"][0][4] == "open"
        assert 1013 in station.close_codes
        await booked(world)
        assert (await booked(world)).repeated
    assert violations(world.database, world.installation.currency) == []
    await until(lambda: connections(world) == 0)
    return ledger(world.database)


async def booked(world: World) -> Booked:
    """Top the card up under the same key until it is booked: a statement that took longer than a second is repeated."""
    while True:
        with suppress(StorageUnavailable):
            outcome = await world.top_up(CARD, 700, "once")
            assert isinstance(outcome, Booked)
            return outcome
        await until(lambda: world.engine.available)


async def charge_up_to_the_middle(station: Stubborn) -> None:
    """Begin the transaction that `charge` repeats from its beginning: every message of it comes twice."""
    payload = {"connectorId": 1, "idTag": CARD, "meterStart": 1000, "timestamp": TIMES[0]}
    await station.call("StartTransaction", payload)


def connections(world: World) -> int:
    """Return how many stored connections there are."""
    with world.database.reading() as connection:
        return len(connection.execute(select(models.connection.c.charge_point_id)).all())


# --- SQLite -----------------------------------------------------------------------------------------------------------


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the write lock as another program would."""
    other = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def read_only(database: Database) -> Iterator[None]:
    """Let every write fail as it does in a file that may only be read."""
    forbidden = True

    def forbid(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA query_only={int(forbidden)}")

    event.listen(database.engine, "checkout", forbid)
    try:
        yield
    finally:
        forbidden = False


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Let every write beyond a file's present pages fail; what a quota does, and what nobody has to be root for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk_full(folder: Path) -> Iterator[None]:
    """Fill the disk to its last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of our own that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted by root only; the quota of another test is what is left")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_database_locked_for_too_long_loses_and_doubles_nothing(
    sqlite_url: str, tmp_path: Path, other_sqlite_url: str
) -> None:
    expected = await undisturbed(other_sqlite_url, tmp_path)
    async with opened(sqlite_url, tmp_path) as world:
        await prepare(world)
        assert await outage(world, lambda: locked(sqlite_url)) == expected


async def test_a_read_only_database_loses_and_doubles_nothing(
    sqlite_url: str, tmp_path: Path, other_sqlite_url: str
) -> None:
    expected = await undisturbed(other_sqlite_url, tmp_path)
    async with opened(sqlite_url, tmp_path) as world:
        await prepare(world)
        assert await outage(world, lambda: read_only(world.database)) == expected


async def test_a_quota_that_is_used_up_loses_and_doubles_nothing(
    sqlite_url: str, tmp_path: Path, other_sqlite_url: str
) -> None:
    expected = await undisturbed(other_sqlite_url, tmp_path)
    async with opened(sqlite_url, tmp_path) as world:
        await prepare(world)
        assert await outage(world, no_file_may_grow) == expected


async def test_a_full_disk_loses_and_doubles_nothing(small_disk: Path, tmp_path: Path, other_sqlite_url: str) -> None:
    expected = await undisturbed(other_sqlite_url, tmp_path)
    url = f"sqlite:///{small_disk}/csms.sqlite3"
    database = Database(url)
    migrate(database)
    database.close()
    async with opened(url, tmp_path) as world:
        await prepare(world)
        assert await outage(world, lambda: disk_full(small_disk)) == expected


@pytest.fixture
def other_sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a second fresh database, for the run that nothing disturbs."""
    path = tmp_path / "undisturbed.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


async def prepare(world: World) -> None:
    """Add the station that only listens."""
    await world.add_station("CP2")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that the tests may halt."""
    made = Cluster(new_folder(), survives_halt=True)
    yield made
    made.stop()


def fresh(cluster: Cluster) -> str:
    """Return the URL of the cluster's own database, migrated anew."""
    url = cluster.url("postgres")
    database = Database(url)
    with database.unit_of_work() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    migrate(database)
    database.close()
    return url


@contextmanager
def halted(cluster: Cluster) -> Iterator[None]:
    """Kill the server and start it again."""
    cluster.halt()
    try:
        yield
    finally:
        cluster.start()


async def test_a_postgresql_that_dies_and_comes_back_loses_and_doubles_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    expected = await undisturbed(fresh(cluster), tmp_path)
    async with opened(fresh(cluster), tmp_path) as world:
        await prepare(world)
        assert await outage(world, lambda: halted(cluster)) == expected


async def test_a_postgresql_that_freezes_answers_nothing_and_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    expected = await undisturbed(fresh(cluster), tmp_path)
    async with opened(fresh(cluster), tmp_path) as world, stubborn(world) as station:
        await station.boot()
        cluster.freeze()
        try:
            going_on = asyncio.ensure_future(charge(station, CARD, TIMES, 1000, READINGS))
            topping_up = asyncio.ensure_future(world.top_up(CARD, 700, "once"))
            await asyncio.wait({going_on, topping_up}, timeout=1.5)
            assert not going_on.done()
            assert not topping_up.done() or isinstance(topping_up.exception(), StorageUnavailable)
            await until(lambda: not world.engine.available)  # it does not wait for ever
            assert isinstance((await asyncio.gather(topping_up, return_exceptions=True))[0], StorageUnavailable)
            with pytest.raises(StorageUnavailable):
                await world.top_up(CARD, 700, "meanwhile")
        finally:
            cluster.thaw()
        await until(lambda: world.engine.available)
        await going_on
        await asyncio.gather(topping_up, return_exceptions=True)
        await booked(world)
        assert ledger(world.database) == expected


# --- The answer of the database is lost -------------------------------------------------------------------------------


@contextmanager
def answers_of_commits_lost(database: Database) -> Iterator[None]:
    """Let every commit succeed and then fail: what a link cut at the wrong moment looks like."""
    dialect: Any = database.engine.dialect
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        commit(connection)
        raise dialect.loaded_dbapi.OperationalError("the connection was lost")

    dialect.do_commit = do_commit
    try:
        yield
    finally:
        del dialect.do_commit


async def test_a_top_up_whose_answer_was_lost_books_once_when_it_is_repeated(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_world(make_settings()) as world:
        with answers_of_commits_lost(world.database), pytest.raises(StorageUnavailable):
            await world.top_up(CARD, 700, "once")
        await until(lambda: world.engine.available)
        again = await world.top_up(CARD, 700, "once")
        assert isinstance(again, Booked)
        assert again.repeated
        assert world.card().balance_minor == 2700
        assert len(world.entries("top up")) == 1


async def test_a_transaction_all_of_whose_answers_were_lost_is_charged_once(
    make_settings: Callable[..., Settings], database_url: str, tmp_path: Path
) -> None:
    async with open_world(make_settings()) as world, stubborn(world) as station:
        await station.boot()
        started = await charge(station, CARD, TIMES, 1000, READINGS)
        assert station.repeats == 0
        before = ledger(world.database)
        with answers_of_commits_lost(world.database):
            going_on = asyncio.ensure_future(charge(station, CARD, TIMES, 1000, READINGS))
            await until(lambda: station.repeats)
        assert await going_on == started | {"idTagInfo": (await going_on)["idTagInfo"]}
        assert ledger(world.database) == before
        assert violations(world.database, world.installation.currency) == []


async def test_a_station_that_stays_away_after_an_outage_does_not_look_connected(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with opened(sqlite_url, tmp_path) as world, world.station() as peer:
        await until(lambda: connections(world) == 1)
        with locked(sqlite_url):
            with pytest.raises(StorageUnavailable):
                await world.top_up(CARD, 1)
            await asyncio.wait_for(peer.socket.wait_closed(), 60)
        await until(lambda: connections(world) == 0)


# --- The end of the database's use ------------------------------------------------------------------------------------


def test_a_connection_that_somebody_still_uses_at_the_end_is_closed_as_soon_as_it_is_given_back(
    database_url: str,
) -> None:
    database = Database(database_url)
    with database.reading() as connection:
        driver: Any = connection.connection.dbapi_connection
        database.close()
        assert connection.scalar(select(1)) == 1
    with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError), match="closed"):
        driver.cursor().execute("SELECT 1")
