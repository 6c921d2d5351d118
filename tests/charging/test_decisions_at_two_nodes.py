"""Two administrators on two nodes, or one of them and a station, at the same moment: one of them decides, and once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from csms.billing import reports
from csms.billing.audits import list_audits
from csms.charging.doubts import DoubtCharge
from csms.charging.reviews import NotResolved, Resolved, ResolveReview
from csms.charging.transactions import Stopped, StopTransaction
from csms.config import Settings
from csms.installation import Installation, open_installation
from tests.charging.test_exactness import PLAIN, Counter, counter
from tests.support.meeting import met

__all__ = ["counter"]

STATEMENTS = range(0, 20, 2)  # of the unit of work in which the other one acts
COSTS = {"accept": 215, "waive": 0, "keep": 215, "correct": 180}  # of 3 kWh, and of 2, in half an hour


@pytest.fixture
def other(counter: Counter, database_url: str) -> Iterator[Installation]:
    """Another node on the same database, by the same clock."""
    opened = open_installation(Settings(database_url=database_url, zombie_wait_s=60))
    opened.engine._clock = lambda: counter.now
    yield opened
    opened.database.close()


def _ended(counter: Counter, connector: int, meter: int) -> int:
    """Let a car charge 3 kWh in half an hour; return the transaction's number."""
    begun = counter.now
    (started,) = counter.run(counter.start(connector=connector))
    key: int = started.transaction_id
    at = begun + timedelta(minutes=30)
    counter.wait(minutes=31)
    counter.run(counter.read(key, 3000))
    counter.run(StopTransaction(1, key, None, meter, at, at.isoformat(), None))
    return key


def _acts(counter: Counter, key: int) -> list[str]:
    with counter.installation.database.reading() as connection:
        return [one.act for one in list_audits(connection, [f"transaction {key}"], limit=10)]


def _entries(counter: Counter, key: int) -> int:
    with counter.installation.database.reading() as connection:
        return reports.count_entries(connection, reference=key)


def _at_once(counter: Counter, other: Installation, after: int, here: Any, there: Any) -> tuple[Any, Any]:
    """Let one node act in the middle of the other's unit of work; return what each was answered."""
    found: list[Any] = []
    with met(counter.installation.engine, after, lambda: found.append(other.engine.execute(there))):
        (mine,) = counter.run(here)
    return mine, found[0] if found else other.engine.execute(there)


def _decision(key: str, decision: Any, who: str) -> ResolveReview:
    energy_wh = 2000 if decision == "correct" else None
    return ResolveReview(key, decision, "seen", f"staff {who}", f"form of {who}", energy_wh)


@pytest.mark.parametrize(("first", "second"), [("accept", "waive"), ("correct", "accept"), ("waive", "correct")])
def test_of_two_who_decide_at_once_about_what_waits_one_decides(
    counter: Counter, other: Installation, first: str, second: str
) -> None:
    counter.tariff(PLAIN)
    for connector, after in enumerate(STATEMENTS, 1):
        before, key = counter.balance(), _ended(counter, connector, 910_000)
        (item,) = counter.queue()
        decisions = _decision(item.key, first, "eva"), _decision(item.key, second, "ben")
        outcomes = _at_once(counter, other, after, *decisions)
        (decided,) = [one for one in outcomes if isinstance(one, Resolved)]
        assert NotResolved("resolved already") in outcomes
        assert before - counter.balance() == COSTS[decided.decision] == decided.cost_minor
        assert (len(_acts(counter, key)), _entries(counter, key)) == (1, decided.decision != "waive")
        _give_back(counter, key)
    assert (counter.queue(), counter.violations()) == ([], [])


def test_of_two_who_correct_a_charge_at_once_one_does(counter: Counter, other: Installation) -> None:
    counter.tariff(PLAIN)
    for connector, after in enumerate(STATEMENTS, 1):
        before, key = counter.balance(), _ended(counter, connector, 3000)
        (doubted,) = counter.run(DoubtCharge(key, "too much", "staff eva", "form"))
        first = _decision(doubted.key, "correct", "eva")
        second = msgspec.structs.replace(first, energy_wh=1000, actor="staff ben", form_key="form of ben")
        outcomes = _at_once(counter, other, after, first, second)
        (decided,) = [one for one in outcomes if isinstance(one, Resolved)]
        assert before - counter.balance() == decided.cost_minor
        assert decided.cost_minor in {180, 145}
        assert (_acts(counter, key), _entries(counter, key)) == (["charge corrected", "charge doubted"], 2)
        _give_back(counter, key)
    assert (counter.queue(), counter.violations()) == ([], [])


@pytest.mark.parametrize("decision", ["accept", "waive"])
@pytest.mark.parametrize("stop_is_first", [True, False])
def test_a_stop_that_comes_while_a_person_decides_about_its_orphan_is_charged_once(
    counter: Counter, other: Installation, decision: str, *, stop_is_first: bool
) -> None:
    counter.tariff(PLAIN)
    for connector, after in enumerate(STATEMENTS, 1):
        before, begun = counter.balance(), counter.now
        (started,) = counter.run(counter.start(connector=connector))
        key: int = started.transaction_id
        counter.wait(minutes=30)
        counter.run(msgspec.structs.replace(counter.read(key, 3000), connector_id=connector))
        (following,) = counter.run(counter.start("NOBODY", 3500, connector=connector))
        counter.run(counter.stop(following.transaction_id, 3500, None))
        (item,) = counter.queue()
        at = begun + timedelta(minutes=29)
        late = StopTransaction(1, key, None, 3400, at, at.isoformat(), None)
        asked = _decision(item.key, decision, "eva")
        outcomes = _at_once(counter, other, after, *((late, asked) if stop_is_first else (asked, late)))
        stopped, decided = outcomes if stop_is_first else outcomes[::-1]
        assert isinstance(stopped, Stopped)
        by_person = isinstance(decided, Resolved)
        assert by_person == stopped.repeated
        in_all = COSTS[decision] if by_person else 119 + 58 + 50
        assert before - counter.balance() == in_all
        assert _entries(counter, key) == (not by_person or decision == "accept")
        assert len(_acts(counter, key)) == by_person
        assert [one.kind for one in counter.queue()] == (["conflicting stop"] if by_person else [])
        for waiting in counter.queue():
            counter.run(counter.decide(waiting.key, "keep"))
        _give_back(counter, key)
    assert (counter.queue(), counter.violations()) == ([], [])


def _give_back(counter: Counter, key: int) -> None:
    """Correct a charge to nothing, so that the card can begin again."""
    (doubted,) = counter.run(DoubtCharge(key, "a test", "test", "back"))
    counter.run(msgspec.structs.replace(_decision(doubted.key, "correct", "test"), energy_wh=0))
