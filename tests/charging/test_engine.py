"""The engine: what a batch costs, who is answered, who suffers from a defect, what several engines do together."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from csms.billing.books import Decision, Hold
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.prepaid import Booked, IssueCard, TopUp
from csms.charging.authorization import Authorize
from csms.charging.engine import DECIDERS, Engine, Input
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.stations import AddChargePoint, Boot, HeardOf
from csms.charging.stations import StatusNotification as Status
from csms.charging.transactions import Started, StartTransaction, StopTransaction
from csms.charging.working_set import ConnectorStatus, Names, Seen
from csms.config import Settings
from csms.db import Database
from csms.errors import DecisionFailed, Overloaded, StorageUnavailable
from csms.installation import Installation, open_installation
from tests.support.ledger import ledger, violations
from tests.support.waiting import until
from tests.support.world import CARD, add_tariff

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CP1 = 1


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings with which only its credit limits a card."""
    return make_settings(transactions_per_card=10_000)


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """An installation with two stations and a card with 900.00; its engine is not started."""
    opened = open_installation(settings.model_copy(update={"transactions_per_card": 10_000}))
    add_tariff(opened)
    for identity in ("CP1", "CP2"):
        opened.engine.execute(AddChargePoint(identity, 0, None, None))
    opened.engine.execute(issue(opened, CARD, 45_000))
    opened.engine.execute(top_up(opened, CARD, 45_000, "first"))
    yield opened
    opened.database.close()


@pytest.fixture
async def engine(installation: Installation) -> AsyncIterator[Engine]:
    """Its engine, started."""
    installation.engine.start()
    yield installation.engine
    await installation.engine.stop()


def issue(installation: Installation, id_tag: str, credit_minor: int) -> IssueCard:
    """Ask for a card with credit."""
    return IssueCard(id_tag, id_tag, credit_minor, CLEARING_COMMAND_LINE, id_tag, "test", installation.limits)


def top_up(installation: Installation, id_tag: str, amount_minor: int, key: str) -> TopUp:
    """Ask for a top-up."""
    return TopUp(id_tag, amount_minor, CLEARING_COMMAND_LINE, key, "test", installation.limits)


def start(connector_id: int, id_tag: str = CARD, charge_point_id: int = CP1) -> StartTransaction:
    """Say that a transaction began."""
    return StartTransaction(charge_point_id, connector_id, id_tag, 0, NOON, NOON.isoformat())


def read(transaction_id: int, connector_id: int) -> MeterValues:
    """Say what a meter showed five minutes later."""
    value = MeterValue(NOON + timedelta(minutes=5), (Sample("100"),), f'[{{"value":"100","n":{connector_id}}}]')
    return MeterValues(CP1, connector_id, transaction_id, (value,))


def stop(transaction_id: int, charge_point_id: int = CP1) -> StopTransaction:
    """Say that a transaction ended ten minutes after it began, with 200 Wh."""
    end = NOON + timedelta(minutes=10)
    return StopTransaction(charge_point_id, transaction_id, CARD, 200, end, end.isoformat(), None)


def status(connector_id: int) -> Status:
    """Say that a connector is available."""
    return Status(ConnectorStatus(CP1, connector_id, "Available", "NoError", "", "", NOON))


def statuses(database: Database) -> set[int]:
    """Return the connectors that are stored."""
    with database.reading() as connection:
        return set(connection.exec_driver_sql("SELECT connector_id FROM connector").scalars())


# --- What a batch costs -----------------------------------------------------------------------------------------------


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Collect the statements that are executed."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(" ".join(statement.split()).partition(" IN (")[0][:100])  # a list of any length is one statement

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def cost(installation: Installation, inputs: Sequence[Input]) -> tuple[Counter[str], list[Any]]:
    """Run inputs as one batch; return its statements and outcomes."""
    with counted(installation.database) as statements:
        outcomes = installation.engine.run(inputs).outcomes
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    return Counter(statements), outcomes


def test_a_batch_of_500_issues_as_many_statements_as_a_batch_of_one(installation: Installation) -> None:
    installation.engine.execute(start(999))  # one is running already: that costs a SELECT of its hold
    one, (first,) = cost(installation, [start(1000)])
    many, started = cost(installation, [start(n) for n in range(1, 501)])
    assert many == one
    assert {answer.authorization.status for answer in started} == {"Accepted"}
    assert 5 < sum(one.values()) < 25
    ids = [answer.transaction_id for answer in started]
    assert len(set(ids)) == 500

    one, _ = cost(installation, [read(first.transaction_id, 1000)])
    many, _ = cost(installation, [read(key, n) for n, key in enumerate(ids, 1)])
    assert many == one

    one, _ = cost(installation, [stop(first.transaction_id)])
    many, stopped = cost(installation, [stop(key) for key in ids])
    assert many == one
    assert [answer.transaction_id for answer in stopped] == ids
    assert violations(installation.database, installation.currency) == []


def test_a_mixed_batch_issues_as_many_statements_whatever_its_size(installation: Installation) -> None:
    started = installation.engine.run([start(n) for n in range(1, 202)]).outcomes

    def mixed(of: Sequence[int]) -> list[Input]:
        found: list[Input] = []
        for n in of:
            running, ending = started[2 * n].transaction_id, started[2 * n + 1].transaction_id
            found += [start(1000 + n), read(running, 2 * n + 1), stop(ending), status(n), Authorize(CP1, CARD)]
            found += [top_up(installation, CARD, 1, f"mixed {n}"), Boot(CP1, "a", "b", "", "")]
            found += [HeardOf((Seen(CP1, NOON),)), issue(installation, f"NEW{n}", 100), Authorize(CP1, f"NOBODY{n}")]
        return found

    one, _ = cost(installation, mixed([0]))
    many, _ = cost(installation, mixed(range(1, 100)))
    assert many == one


def test_a_batch_of_authorizations_writes_nothing_for_cards_that_are_accepted(installation: Installation) -> None:
    statements, _ = cost(installation, [Authorize(CP1, CARD)] * 50)
    assert [text for text in statements if text.startswith(("INSERT", "UPDATE", "DELETE"))] == []


async def test_whatever_waits_while_a_batch_is_committed_is_one_batch(
    installation: Installation, engine: Engine
) -> None:
    commits = []
    event.listen(installation.database.engine, "commit", lambda _: commits.append(1))
    async with held(engine):
        waiting = [asyncio.ensure_future(engine.submit(status(n))) for n in range(100)]
        await until(lambda: engine.waiting == 100)
    await asyncio.gather(*waiting)
    assert len(commits) == 2
    assert statuses(installation.database) == set(range(100))


class Slow(msgspec.Struct, frozen=True):
    """An input that takes its time to be loaded."""

    taken: threading.Event
    go_on: threading.Event

    def name(self, _names: Names) -> None:
        """Hold the engine's thread."""
        self.taken.set()
        assert self.go_on.wait(20)


@asynccontextmanager
async def held(engine: Engine) -> AsyncIterator[None]:
    """Keep the engine's thread busy inside, so that what is submitted waits."""
    slow = Slow(threading.Event(), threading.Event())
    future = asyncio.ensure_future(engine.submit(slow))
    await until(slow.taken.is_set)
    try:
        yield
    finally:
        slow.go_on.set()
    await asyncio.gather(future, return_exceptions=True)


@pytest.fixture(autouse=True)
def _rules_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECIDERS, Slow, lambda *_: Decision(None))
    monkeypatch.setitem(DECIDERS, Faulty, lambda asked, *_: 1 // 0 or asked)
    monkeypatch.setitem(DECIDERS, Contradictory, contradict)


# --- Who is answered --------------------------------------------------------------------------------------------------


@contextmanager
def commits_failing(database: Database) -> Iterator[None]:
    """Let every commit fail."""
    failing = True

    def fail(_connection: Any) -> None:
        if failing:
            raise OperationalError("COMMIT", {}, Exception("the disk is full"))

    event.listen(database.engine, "commit", fail)
    try:
        yield
    finally:
        failing = False


async def test_a_failed_commit_answers_nobody_and_stores_nothing(installation: Installation, engine: Engine) -> None:
    heard: list[bool] = []
    engine.on_availability = heard.append
    before = ledger(installation.database)
    inputs: list[Input] = [top_up(installation, CARD, 100, "k"), start(1), status(1), Authorize(CP1, CARD)]
    with commits_failing(installation.database):
        answers = await asyncio.gather(*map(engine.submit, inputs), return_exceptions=True)
        assert [type(one) for one in answers] == [StorageUnavailable] * 4
        assert not engine.available
        with pytest.raises(StorageUnavailable):
            await engine.submit(status(2))
        await until(lambda: heard == [False])
    await until(lambda: heard == [False, True])
    assert ledger(installation.database) == before
    assert statuses(installation.database) == set()
    booked, started, *_ = await asyncio.gather(*map(engine.submit, inputs))
    assert not booked.repeated
    assert not started.repeated


async def test_what_waits_behind_a_failed_commit_is_refused_with_it(installation: Installation, engine: Engine) -> None:
    with commits_failing(installation.database):
        async with held(engine):
            waiting = [asyncio.ensure_future(engine.submit(status(n))) for n in range(20)]
            await until(lambda: engine.waiting == 20)
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in found} == {StorageUnavailable}


async def test_stopping_lets_what_waits_be_stored_and_answered(installation: Installation) -> None:
    engine = installation.engine
    engine.start()
    async with held(engine):
        waiting = [asyncio.ensure_future(engine.submit(status(n))) for n in range(700)]
        await until(lambda: engine.waiting == 700)
        stopping = asyncio.ensure_future(engine.stop())
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable):
            await engine.submit(status(9999))
    await asyncio.gather(stopping, *waiting)
    assert statuses(installation.database) == set(range(700))


async def test_more_than_the_queue_holds_is_refused_and_the_rest_is_stored(
    make_settings: Callable[..., Settings],
) -> None:
    installation = open_installation(make_settings(engine_queue_max=5))
    installation.engine.execute(AddChargePoint("CP1", 0, None, None))
    installation.engine.start()
    async with held(installation.engine):
        waiting = [asyncio.ensure_future(installation.engine.submit(status(n))) for n in range(8)]
        await until(lambda: sum(one.done() for one in waiting) == 3)
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [type(None)] * 5 + [Overloaded] * 3
    assert statuses(installation.database) == set(range(5))
    await installation.engine.stop()
    installation.database.close()


async def test_whoever_gives_up_waiting_does_not_disturb_the_others(installation: Installation, engine: Engine) -> None:
    async with held(engine):
        waiting = [asyncio.ensure_future(engine.submit(status(n))) for n in range(3)]
        await until(lambda: engine.waiting == 3)
        waiting[1].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [type(None), asyncio.CancelledError, type(None)]
    assert statuses(installation.database) == {0, 1, 2}


# --- Who suffers from a defect ----------------------------------------------------------------------------------------


class Faulty(msgspec.Struct, frozen=True):
    """An input whose rule has a defect."""

    def name(self, _names: Names) -> None:
        """Nothing has to be loaded."""


class Contradictory(msgspec.Struct, frozen=True):
    """An input whose rule wants what the books do not allow."""

    def name(self, _names: Names) -> None:
        """Nothing has to be loaded."""


def contradict(*_: object) -> Decision[None]:
    """Resolve a hold and then resolve it again."""
    settled = Hold(1, 1, 0, "settled", NOON, NOON)
    return Decision(None, (settled, settled))


def overlong() -> Status:
    """Return what no database can store: a connector of 70 bits."""
    return status(2**70)


@pytest.mark.parametrize("bad", [Faulty(), Contradictory(), overlong()])
def test_an_input_that_cannot_be_decided_or_stored_fails_alone(installation: Installation, bad: Input) -> None:
    inputs: list[Input] = [status(1), bad, top_up(installation, CARD, 100, "k"), bad, status(2), start(1)]
    outcomes = installation.engine.run(inputs).outcomes
    assert [type(one) for one in outcomes] == [type(None), DecisionFailed, Booked, DecisionFailed, type(None), Started]
    assert statuses(installation.database) == {1, 2}
    again = installation.engine.run(inputs).outcomes
    assert (again[2].repeated, again[5].repeated) == (True, True)
    assert violations(installation.database, installation.currency) == []


def test_a_storage_failure_in_the_middle_of_one_by_one_ends_the_batch(installation: Installation) -> None:
    engine = installation.engine
    seen = 0

    def fail_later(_connection: Any) -> None:
        nonlocal seen
        seen += 1
        if seen >= 3:
            raise OperationalError("BEGIN", {}, Exception("locked"))

    event.listen(installation.database.engine, "begin", fail_later)
    outcomes = engine.run([status(1), overlong(), status(2), status(3), status(4)]).outcomes
    assert [type(one) for one in outcomes] == [type(None), *[StorageUnavailable] * 4]
    assert seen == 3


# --- Order ------------------------------------------------------------------------------------------------------------


def test_the_order_of_arrival_is_kept_within_a_batch(installation: Installation) -> None:
    run = installation.engine.run
    run([issue(installation, "EARLY", 0), issue(installation, "LATE", 0)])
    booked, early = run([top_up(installation, "EARLY", 500, "a"), start(1, "EARLY")]).outcomes
    late, booked_after = run([start(2, "LATE"), top_up(installation, "LATE", 500, "b")]).outcomes
    assert (early.authorization.status, late.authorization.status) == ("Accepted", "Blocked")
    assert isinstance(booked, Booked)
    assert isinstance(booked_after, Booked)


def test_a_repeat_in_the_same_batch_is_recognised(installation: Installation) -> None:
    first, again, booked, booked_again = installation.engine.run(
        [start(1), start(1), top_up(installation, CARD, 100, "k"), top_up(installation, CARD, 100, "k")]
    ).outcomes
    assert (first.transaction_id, first.repeated, again.repeated) == (again.transaction_id, False, True)
    assert (booked.repeated, booked_again.repeated) == (False, True)
    ended, ended_again = installation.engine.run([stop(first.transaction_id), stop(first.transaction_id)]).outcomes
    assert (ended.transaction_id, ended.repeated, ended_again.repeated) == (first.transaction_id, False, True)
    assert violations(installation.database, installation.currency) == []


def test_a_whole_transaction_in_one_batch_is_charged_once(installation: Installation) -> None:
    started = installation.engine.execute(start(1))
    key = started.transaction_id
    installation.engine.run([start(1), read(key, 1), stop(key), read(key, 1), stop(key), start(1)])
    assert violations(installation.database, installation.currency) == []
    settled = [one for one in ledger(installation.database)["entries"] if one[0] == "settle"]
    assert len(settled) == 1


# --- Several engines on one database ----------------------------------------------------------------------------------


@pytest.fixture
async def engines(settings: Settings, installation: Installation, engine: Engine) -> AsyncIterator[list[Engine]]:
    """Two engines on one database, as two processes have them."""
    other = open_installation(settings.model_copy(update={"transactions_per_card": 10_000}))
    other.engine.start()
    yield [engine, other.engine]
    await other.engine.stop()
    other.database.close()


async def test_two_engines_never_give_more_credit_than_there_is(
    installation: Installation, engines: list[Engine]
) -> None:
    await engines[0].submit(issue(installation, "SHARED", 1050))
    asked = [engines[n % 2].submit(start(n, "SHARED", 1 + n // 2 % 2)) for n in range(40)]
    found = await asyncio.gather(*asked)
    assert Counter(one.authorization.status for one in found) == {"Accepted": 10, "Blocked": 30}
    assert violations(installation.database, installation.currency) == []


async def test_two_engines_never_let_a_card_charge_more_often_than_it_may(
    installation: Installation, make_settings: Callable[..., Settings]
) -> None:
    strict = [open_installation(make_settings(transactions_per_card=2)) for _ in range(2)]
    for each in strict:
        each.engine.start()
    for n in range(5):
        await strict[0].engine.submit(issue(installation, f"C{n}", 5000))
        asked = (start(n * 10 + k, f"C{n}", 1 + k // 2 % 2) for k in range(8))
        found = await asyncio.gather(*(strict[k % 2].engine.submit(one) for k, one in enumerate(asked)))
        assert Counter(one.authorization.status for one in found) == {"Accepted": 2, "ConcurrentTx": 6}
    for each in strict:
        await each.engine.stop()
        each.database.close()


async def test_the_same_start_and_stop_at_two_engines_are_one_transaction(
    installation: Installation, engines: list[Engine]
) -> None:
    for n in range(15):
        one, other = await asyncio.gather(*(each.submit(start(n)) for each in engines))
        assert one.transaction_id == other.transaction_id
        assert one.authorization.status == other.authorization.status == "Accepted"
        assert sorted([one.repeated, other.repeated]) == [False, True]
        ended = await asyncio.gather(*(each.submit(stop(one.transaction_id)) for each in engines))
        assert sorted(each.repeated for each in ended) == [False, True]
        booked = await asyncio.gather(*(each.submit(top_up(installation, CARD, 100, f"k{n}")) for each in engines))
        assert sorted(each.repeated for each in booked) == [False, True]
    assert len([one for one in ledger(installation.database)["entries"] if one[0] == "settle"]) == 15
    assert violations(installation.database, installation.currency) == []


async def test_two_engines_in_every_order_lose_nothing_and_block_nobody_for_good(
    installation: Installation, engines: list[Engine]
) -> None:
    chance = random.Random(7)
    cards = [f"CARD{n}" for n in range(6)]
    await asyncio.gather(*(engines[0].submit(issue(installation, card, 2000)) for card in cards))
    begun = await asyncio.gather(*(engines[n % 2].submit(start(n, cards[n % 6], 1 + n % 2)) for n in range(24)))
    acts: list[Input] = [top_up(installation, cards[n % 6], 10, f"k{n}") for n in range(60)] * 2
    acts += [stop(one.transaction_id, 1 + n % 2) for n, one in enumerate(begun)] * 2
    acts += [start(100 + n, cards[n % 6], 1 + n % 2) for n in range(24)] * 2
    chance.shuffle(acts)
    async with asyncio.timeout(60):
        found = await asyncio.gather(*(chance.choice(engines).submit(act) for act in acts))
    assert len(found) == len(acts)
    entries = Counter(event for event, *_ in ledger(installation.database)["entries"])
    assert (entries["top up"], entries["settle"]) == (61, 24)
    assert violations(installation.database, installation.currency) == []
