"""A card charges one car at a time, also where nothing is heard of it; and is not locked out by one that is over."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from csms.charging import models
from csms.charging.authorization import Authorize
from csms.charging.stations import Open
from csms.charging.transactions import StartTransaction
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, NOON, Evening
from tests.support.ledger import violations
from tests.support.world import CARD, add_tariff

READING = "TriggerMessage"


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """One card, of one car at a time, that began at CP1 at noon and was read five times, each minute."""
    installation = open_installation(settings)
    add_tariff(installation, rate_per_kwh="0.36", rate_per_minute=0, start_fee_minor=0)
    made = Evening(installation)
    made.engine._policy = installation.engine._policy
    made.issue(2000)
    made.start()
    for minute in range(1, 6):
        _pass(made, minute)
        made.read(_first(made), 100 * minute, 6 * KW)
    yield made
    assert violations(made.database, installation.currency) == []
    installation.database.close()


def _first(evening: Evening) -> int:
    with evening.database.reading() as connection:
        return int(connection.execute(select(func.min(models.charging_transaction.c.id))).scalar_one())


def _pass(evening: Evening, minutes: float) -> None:
    evening.now = NOON + timedelta(minutes=minutes)


def _starts(evening: Evening, minutes: float) -> str:
    """Start at the other station so long after noon; the message is repeated."""
    _pass(evening, minutes)
    said = StartTransaction(2, 1, CARD, 0, evening.now, evening.now.isoformat())
    statuses = {evening.engine.execute(said).authorization.status for _ in range(2)}
    assert len(statuses) == 1
    return str(statuses.pop())


def _asked(evening: Evening) -> int:
    """Return how often the first station was asked for a reading."""
    table = models.command.c
    with evening.database.reading() as connection:
        found = select(table.id).where(table.action == READING, table.charge_point_id == 1)
        return len(connection.execute(found).all())


def test_a_card_whose_car_is_silent_for_a_quarter_of_an_hour_begins_no_second_one_unasked(evening: Evening) -> None:
    before = _asked(evening)
    assert _starts(evening, 35) == "ConcurrentTx"
    assert _asked(evening) == before + 1
    assert evening.row(_first(evening)).zombie_at == evening.now + timedelta(seconds=180)


def test_a_reading_that_answers_keeps_the_card_from_beginning_a_second_one(evening: Evening) -> None:
    assert _starts(evening, 35) == "ConcurrentTx"
    _pass(evening, 35.1)
    evening.read(_first(evening), 3_400, 6 * KW)
    assert evening.row(_first(evening)).zombie_at is None
    for minutes in (36, 39):  # silent again, and asked again
        assert _starts(evening, minutes) == "ConcurrentTx"
    assert evening.row(_first(evening)).state == "open"


def test_one_that_does_not_answer_is_taken_for_over_and_the_card_begins_at_once(evening: Evening) -> None:
    assert _starts(evening, 9) == "ConcurrentTx"  # four minutes after its last reading
    _pass(evening, 12)
    evening.look(_first(evening))
    assert evening.row(_first(evening)).state == "orphaned"
    assert _starts(evening, 12.1) == "Accepted"


def test_holding_the_card_up_elsewhere_asks_before_it_begins_there(evening: Evening) -> None:
    before = _asked(evening)
    _pass(evening, 20)
    for charge_point_id, asked in ((1, 0), (2, 1), (2, 1)):  # at its own station it may have come to stop
        assert evening.engine.execute(Authorize(charge_point_id, CARD)).status == "Accepted"
        assert _asked(evening) == before + asked
    _pass(evening, 23)
    evening.look(_first(evening))
    assert _starts(evening, 24) == "Accepted"


def test_one_that_is_heard_of_each_minute_is_not_asked(evening: Evening) -> None:
    before = _asked(evening)
    assert _starts(evening, 6) == "ConcurrentTx"
    assert (_asked(evening), evening.row(_first(evening)).zombie_at) == (before, None)


def test_one_whose_station_is_away_counts_no_more_after_a_quarter_of_an_hour_and_keeps_its_credit(
    evening: Evening,
) -> None:
    assert _starts(evening, 9) == "ConcurrentTx"
    assert _starts(evening, 19) == "ConcurrentTx"
    held = evening.held_minor()
    assert _starts(evening, 21) == "Accepted"
    first = evening.row(_first(evening))
    assert (first.state, evening.held_minor() - held) == ("open", 100)
    _pass(evening, 60)  # its station is back: it is asked now, and not taken for over before it could answer
    evening.engine.execute(Open(1, "c1", "node", "", ""))
    before = _asked(evening)
    evening.look(_first(evening))
    assert (evening.row(_first(evening)).state, _asked(evening)) == ("open", before + 1)
    evening.stop(_first(evening), 1_000, at=NOON + timedelta(minutes=10))
    assert evening.row(_first(evening)).cost_minor == 36


def test_a_start_that_was_refused_does_not_count(evening: Evening) -> None:
    assert _starts(evening, 6) == "ConcurrentTx"
    _pass(evening, 7)
    evening.stop(_first(evening), 700)
    assert _starts(evening, 8) == "Accepted"
