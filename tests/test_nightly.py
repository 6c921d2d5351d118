"""The nightly verification: when it is due, that one node does it, and what it leaves behind."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text

from csms.charging import verification_runs
from csms.charging.models import alarm, verification_run
from csms.config import Settings
from csms.errors import ConfigurationError
from csms.installation import Installation, open_installation
from csms.nightly import Nightly, last_due

SOFIA = ZoneInfo("Europe/Sofia")
NIGHT = datetime(2026, 3, 2, 2, tzinfo=UTC)  # four o'clock in Sofia
DUE = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
BREAK = "UPDATE ledger_account SET held_minor = held_minor + {} WHERE code = '4000'"


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """An installation without transactions."""
    opened = open_installation(settings)
    yield opened
    opened.database.close()


def _nightly(installation: Installation, now: datetime = NIGHT) -> Nightly:
    return Nightly(installation, lambda: now)


def _last(installation: Installation) -> verification_runs.VerificationRun | None:
    with installation.database.reading() as connection:
        return verification_runs.last_run(connection)


def _alarms(installation: Installation) -> list[tuple[str, str, int, bool]]:
    columns = (alarm.c.kind, alarm.c.text, alarm.c.attempts, alarm.c.cleared_at.is_not(None))
    with installation.database.reading() as connection:
        return [(row[0], row[1], row[2], bool(row[3])) for row in connection.execute(select(*columns))]


def _break(installation: Installation, by: int) -> None:
    with installation.database.unit_of_work() as connection:
        connection.execute(text(BREAK.format(by)))


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (NIGHT, DUE),
        (DUE, DUE),
        (DUE - timedelta(seconds=1), DUE - timedelta(days=1)),
        (datetime(2026, 7, 1, 0, 31, tzinfo=UTC), datetime(2026, 7, 1, 0, 30, tzinfo=UTC)),  # summer time
    ],
)
def test_it_is_due_at_the_hour_of_the_installations_time_zone(now: datetime, due: datetime) -> None:
    assert last_due(now, "03:30", SOFIA) == due


def test_the_hours_that_do_not_exist_or_come_twice_are_due_once() -> None:
    spring, autumn = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
    for midnight in (spring, autumn):
        due = {last_due(midnight + timedelta(minutes=10 * step), "03:30", SOFIA) for step in range(144)}
        assert len(due) == 2  # the night's and the one before


def test_a_sound_ledger_is_noted_and_raises_no_alarm(installation: Installation) -> None:
    assert _last(installation) is None
    assert _nightly(installation).verify_if_due()
    run = _last(installation)
    assert run is not None
    assert (run.due_at, run.node, run.violations, run.is_sound) == (DUE, installation.settings.node_name, 0, True)
    assert _alarms(installation) == []


def test_a_violation_raises_the_alarm_and_the_next_sound_night_clears_it(installation: Installation) -> None:
    _break(installation, 1)
    _nightly(installation).verify_if_due()
    run = _last(installation)
    assert run is not None
    assert run.violations == 1
    assert "stored held" in run.first_violation
    assert [(kind, count, cleared) for kind, _, count, cleared in _alarms(installation)] == [
        ("ledger verification failed", 1, False)
    ]
    _nightly(installation, NIGHT + timedelta(days=1)).verify_if_due()
    assert [(count, cleared) for _, _, count, cleared in _alarms(installation)] == [(2, False)]
    _break(installation, -1)
    _nightly(installation, NIGHT + timedelta(days=2)).verify_if_due()
    assert [(count, cleared) for _, _, count, cleared in _alarms(installation)] == [(2, True)]
    run = _last(installation)
    assert run is not None
    assert run.is_sound


def test_a_night_is_verified_once_however_often_it_is_looked_at(installation: Installation) -> None:
    nightly = _nightly(installation)
    assert [nightly.verify_if_due() for _ in range(3)] == [True, False, False]
    assert not _nightly(installation).verify_if_due()  # nor after a restart


def test_of_several_nodes_one_verifies(installation: Installation, make_settings: Callable[..., Settings]) -> None:
    others = [open_installation(make_settings(node=f"node {number}")) for number in range(4)]
    try:
        done: list[bool] = []
        threads = [
            threading.Thread(target=lambda one=one: done.append(_nightly(one).verify_if_due())) for one in others
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done.count(True) == 1
        with installation.database.reading() as connection:
            assert connection.execute(select(func.count()).select_from(verification_run)).scalar_one() == 1
    finally:
        for one in others:
            one.database.close()


def test_what_a_dead_node_left_undone_is_taken_over_later(installation: Installation) -> None:
    with installation.database.unit_of_work() as connection:
        assert verification_runs.claim(connection, DUE, "another", DUE)
    assert not _nightly(installation).verify_if_due()
    assert _last(installation) is None
    assert _nightly(installation, DUE + timedelta(hours=7)).verify_if_due()
    run = _last(installation)
    assert run is not None
    assert run.node == installation.settings.node_name


async def test_it_runs_beside_the_server_and_ends_with_it(installation: Installation) -> None:
    nightly = _nightly(installation)
    task = asyncio.create_task(nightly.run(first_after_s=0, look_every_s=0.01))
    async with asyncio.timeout(60):
        while _last(installation) is None:
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_one_that_is_stopped_midway_gives_its_night_back(installation: Installation) -> None:
    nightly = _nightly(installation)
    nightly.stop()
    nightly.verify_if_due()
    with installation.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(verification_run)).scalar_one() == 0
    assert _nightly(installation).verify_if_due()


@pytest.mark.parametrize("wrong", ["25:00", "3:30", "soon", "03:60"])
def test_an_hour_that_is_none_is_refused_with_the_settings_name(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from csms.config import load_settings

    monkeypatch.setenv("CSMS_VERIFY_AT", wrong)
    with pytest.raises(ConfigurationError, match="CSMS_VERIFY_AT"):
        load_settings()
