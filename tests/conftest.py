"""What all tests share: real databases made by the migrations, an engine, and a central system on a real socket."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers
from sqlalchemy import create_engine, text

from csms.config import Settings
from csms.db import Database
from csms.migration import migrate
from tests.support.postgresql import Cluster, new_folder
from tests.support.world import World, open_world

_numbers = count(1)

# The same examples every time: a failure can be repeated, and a green run stays green.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("exploring", derandomize=False, database=None, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")  # it knows no --hypothesis-seed
# It also draws the constants of the modules that it finds loaded: what is explored would change with the tests that ran
# before in the same process, and so by chance.
providers._get_local_constants = providers.Constants


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a long run explore more than the usual one."""
    say = "random histories per database (default 15); others each time with --hypothesis-profile=exploring"
    parser.addoption("--histories", type=int, default=15, help=say)


# Pages and commands stand on rules that are tested on both databases every time, and what the guards wait for passes in
# real time: they run on SQLite, and on PostgreSQL too in `./run.sh test-all`. Benchmarks and a station that goes
# through all 26 calls take minutes.
_ON_SQLITE_FIRST = (
    "tests/web/",
    "tests/cli/",
    "tests/charging/test_guards.py",
    "tests/charging/test_offline_limit.py",
)
_LONG = ("tests/bench/test_scenarios.py", "tests/end_to_end/test_simulated_station.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long run what the usual one need not repeat each time."""
    for item in items:
        again = item.nodeid.startswith(_ON_SQLITE_FIRST) and "postgresql" in item.name
        if again or item.nodeid.startswith(_LONG):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def histories(request: pytest.FixtureRequest) -> int:
    """How many random histories to explore."""
    number: int = request.config.getoption("--histories")
    return number


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"
    database = Database(f"sqlite:///{path}")
    migrate(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    database.close()
    return path


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """A cluster of this worker, with a migrated database to be copied."""
    cluster = Cluster(new_folder())
    try:
        _administer(cluster, "CREATE DATABASE template_csms")
        database = Database(cluster.url("template_csms"))
        migrate(database)
        database.close()
        yield cluster
    finally:
        cluster.stop()


def _administer(cluster: Cluster, statement: str) -> None:
    engine = create_engine(cluster.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def fresh_postgresql_url(postgresql_cluster: Cluster) -> Iterator[Callable[[], str]]:
    """A maker of URLs of fresh, migrated PostgreSQL databases, for tests that need several."""
    made: list[str] = []

    def make() -> str:
        made.append(f"csms_{next(_numbers)}")
        _administer(postgresql_cluster, f"CREATE DATABASE {made[-1]} TEMPLATE template_csms")
        return postgresql_cluster.url(made[-1])

    yield make
    for name in made:
        _administer(postgresql_cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database; every test that takes it runs on both."""
    if request.param == "sqlite":
        path = tmp_path / "csms.sqlite3"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    cluster: Cluster = request.getfixturevalue("postgresql_cluster")
    name = f"csms_{next(_numbers)}"
    _administer(cluster, f"CREATE DATABASE {name} TEMPLATE template_csms")
    yield cluster.url(name)
    _administer(cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite database, for what no database can change."""
    path = tmp_path / "csms.sqlite3"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings for a test: any free port, the test's database."""
    return settings_for(database_url, tmp_path)


def settings_for(database_url: str, tmp_path: Path, **changes: object) -> Settings:
    """Return settings on any free port of loopback, changed as a test needs it."""
    values: dict[str, object] = {
        "data_dir": tmp_path,
        "database_url": database_url,
        "host": "127.0.0.1",
        "ocpp_port": 0,
        "portal_port": 0,
        "command_poll_s": 0.1,
        "settings_check_interval_s": 0,  # tests that look at the settings of stations switch it on
        "statement_timeout_s": 60,  # a busy machine takes its time; tests of a database that fails say a second
        "max_calls_per_s": 100_000,
        "max_failed_handshakes_per_min": 1000,
        "minimum_security_profile": 0,  # tests of the security of the link raise it
    }
    return Settings(**(values | changes))


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    """A small world: an engine, a central system on a real socket, a tariff, a station CP1 and a card with credit."""
    async with open_world(settings) as opened:
        yield opened


@pytest.fixture
def make_settings(database_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Return a maker of settings that differ from the test's usual ones."""
    return lambda **changes: settings_for(database_url, tmp_path, **changes)
