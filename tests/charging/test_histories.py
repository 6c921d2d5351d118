"""Random histories of messages, forms, batches and repeats through the engine; the books hold after each commit.

Hypothesis drives the engine as stations and cashiers do: known and unknown cards, mangled transaction ids, registers
that fall, messages sent again in any order, several inputs in one batch, batches that fail at any statement or at the
commit, two engines on one database, tariffs whose price depends on the readings, account groups with limits. `verify`
is what `csms ledger verify` runs.
"""

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, insert, select, update
from sqlalchemy.exc import OperationalError

from csms.billing import prepaid, price_lists
from csms.billing.bands import Band
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.models import account_group, card, ledger_account
from csms.charging import reviews, verification
from csms.charging.authorization import Authorization, Authorize
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Engine, Input
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import review_item, tariff_assignment
from csms.charging.stations import AddChargePoint, Boot, StatusNotification
from csms.charging.transactions import Started, StartTransaction, StopTransaction
from csms.config import Settings
from csms.errors import CsmsError, StorageUnavailable
from csms.installation import Installation, open_installation
from tests.support.ledger import booked_events
from tests.support.world import add_tariff

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CARDS = ("AA", "BB", "CC")
STATIONS = (1, 2)

id_tags = st.sampled_from((*CARDS, "NOBODY", "aa"))
stations = st.sampled_from(STATIONS)
connectors = st.integers(1, 2)
registers = st.integers(-1, 40_000)
minutes = st.integers(0, 600)
amounts = st.integers(-10, 3000)
engines = st.integers(0, 1)

NOON_BAND = Band("noon", tuple(range(7)), 14 * 60, 16 * 60, Decimal("0.60"), Decimal("0.03"))
EVENING = Band("evening", (5, 6), 20 * 60, 24 * 60, Decimal("0.21"))
BY_TIME = price_lists.NewTariff(
    "by time",
    Decimal("0.41"),
    Decimal("0.01"),
    30,
    Decimal(9),
    time_zone="Europe/Sofia",
    bands=(NOON_BAND, EVENING),
    rate_per_idle_minute=Decimal("0.07"),
    idle_grace_s=600,
    free_wh=300,
    minimum_minor=25,
    maximum_minor=900,
)
GROUPS: tuple[dict[str, int | None], ...] = (
    {"minimum_start_credit_minor": 0, "simultaneous_transactions": 3},
    {"minimum_start_credit_minor": 250, "daily_spend_minor": 400, "overdraft_minor": 300},
    {"maximum_balance_minor": 1500, "maximum_top_up_minor": 700, "simultaneous_transactions": 1},
)


def _at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def furnish(installation: Installation) -> None:
    """Add two stations, a plain tariff, one that depends on the readings at every second connector, and groups."""
    add_tariff(installation)
    with installation.database.unit_of_work() as connection:
        price_lists.add_tariff(connection, BY_TIME, NOON - timedelta(days=1))
        row = {"tariff_name": BY_TIME.name, "connector_id": 2, "created_at": NOON}
        connection.execute(insert(tariff_assignment), row)
        for number, limits in enumerate(GROUPS, 1):
            connection.execute(insert(account_group), {"name": f"group {number}", "created_at": NOON} | limits)
    for number in STATIONS:
        installation.engine.execute(AddChargePoint(f"CP{number}", 0, None, None))
        installation.engine.execute(Boot(number, "Acme", "One", "", ""))


@contextmanager
def failing(engine: Engine, after_statements: int | None) -> Iterator[None]:
    """Let the storage fail after so many statements, or at the commit."""
    database = engine._database.engine
    left = [after_statements]

    def fail(*_: Any) -> None:
        raise OperationalError("the power is cut", None, OSError("here"))

    def count_down(*_: Any) -> None:
        if left[0] is not None:
            if left[0] == 0:
                fail()
            left[0] -= 1

    event.listen(database, "before_cursor_execute", count_down)
    event.listen(database, "commit", fail)
    try:
        yield
    finally:
        event.remove(database, "before_cursor_execute", count_down)
        event.remove(database, "commit", fail)


class Histories(RuleBasedStateMachine):
    """One database, two engines, and everything that was ever sent."""

    installation: Installation
    other: Installation
    events: ClassVar[set[str]]  # what was booked in all histories of a machine

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Input] = []
        self.waiting: list[Input] = []
        self.refused: list[Input] = []
        self.transaction_ids = [-1, 0, 9_999_999]
        self.begun: dict[int, StartTransaction] = {}
        self.authorized: list[tuple[str, Authorization]] = []
        self.forms = 0

    @initialize()
    def begin(self) -> None:
        """Open a database with tariffs, two stations and three cards."""
        furnish(self.installation)
        for number, tag in enumerate(CARDS):
            self._do(
                prepaid.IssueCard(
                    tag,
                    f"{number}",
                    number * 300,
                    CLEARING_COMMAND_LINE,
                    f"sale-{tag}",
                    "test",
                    self.installation.limits,
                )
            )

    def _do(self, asked: Input) -> None:
        self.sent.append(asked)
        self.waiting.append(asked)

    @rule(station=stations, connector=connectors, id_tag=id_tags, meter=registers, minute=minutes)
    def start(self, station: int, connector: int, id_tag: str, meter: int, minute: int) -> None:
        """A transaction begins, perhaps while another is open."""
        self._do(StartTransaction(station, connector, id_tag, meter, _at(minute), str(minute)))

    @rule(station=stations, connector=connectors, data=st.data(), register=registers, minute=minutes)
    def read(self, station: int, connector: int, data: st.DataObject, register: int, minute: int) -> None:
        """Readings come, for any transaction or for none."""
        transaction_id = data.draw(st.sampled_from([*self.transaction_ids, None]))
        value = MeterValue(_at(minute), (Sample(str(register)),), f'[{{"value":"{register}"}}]')
        self._do(MeterValues(station, connector, transaction_id, (value,)))

    @rule(
        station=stations,
        data=st.data(),
        id_tag=st.one_of(st.none(), id_tags),
        meter=registers,
        minute=minutes,
        ending=st.booleans(),
    )
    def stop(
        self, station: int, data: st.DataObject, id_tag: str | None, meter: int, minute: int, *, ending: bool
    ) -> None:
        """A transaction ends: a known one, an unknown one, another station's, or one that ended before."""
        transaction_id = data.draw(st.sampled_from(self.transaction_ids))
        values = (
            (MeterValue(_at(minute), (Sample(str(meter + 5), context="Transaction.End"),), "[]"),) if ending else ()
        )
        self._do(StopTransaction(station, transaction_id, id_tag, meter, _at(minute), str(minute), None, values))

    @precondition(lambda self: bool(self.begun))
    @rule(data=st.data(), energy_wh=st.integers(0, 5000), minutes=st.integers(30, 120))
    def finish(self, data: st.DataObject, energy_wh: int, minutes: int) -> None:
        """A transaction ends as it should, perhaps after it ended otherwise."""
        key = data.draw(st.sampled_from(sorted(self.begun)))
        one = self.begun[key]
        at = one.happened_at + timedelta(minutes=minutes)
        meter_stop_wh = one.meter_start_wh + energy_wh
        self._do(StopTransaction(one.charge_point_id, key, None, meter_stop_wh, at, str(at), None))

    @rule(tag=st.sampled_from(CARDS), amount=amounts)
    def top_up(self, tag: str, amount: int) -> None:
        """A cashier books what was typed, sense or nonsense."""
        self.forms += 1
        key = f"form-{self.forms}"
        self._do(prepaid.TopUp(tag, amount, CLEARING_COMMAND_LINE, key, "test", self.installation.limits))

    @rule(
        data=st.data(),
        decision=st.sampled_from(reviews.CHOICES),
        energy_wh=st.one_of(st.none(), st.integers(-5, 30_000)),
        tag=st.one_of(st.none(), id_tags),
    )
    def resolve(self, data: st.DataObject, decision: reviews.Choice, energy_wh: int | None, tag: str | None) -> None:
        """A person decides about something in the queue, sense or nonsense, resolved or not."""
        with self.installation.database.reading() as connection:
            keys = list(connection.execute(select(review_item.c.key).order_by(review_item.c.key)).scalars())
        if not keys:
            return
        self.forms += 1
        reason = data.draw(st.sampled_from(["seen on the meter", " "]))
        key = data.draw(st.sampled_from(keys))
        self._do(reviews.ResolveReview(key, decision, reason, "test", f"form-{self.forms}", energy_wh, tag))

    @rule(station=stations, connector=connectors, minute=minutes, status=st.sampled_from(["Available", "Charging"]))
    def notify(self, station: int, connector: int, minute: int, status: str) -> None:
        """A connector says what it is, in the middle of anything."""
        said = ConnectorStatus(station, connector, status, "NoError", "", "", _at(minute))
        self._do(StatusNotification(said, _at(minute)))

    @rule(transaction_id=st.integers(1, 12))
    def look(self, transaction_id: int) -> None:
        """The alarm clock rings, and what was suspected to be over is taken for over."""
        self.waiting.append(GuardDue(transaction_id, 100))

    @rule(tag=st.sampled_from(CARDS), state=st.sampled_from(["active", "blocked", "lost"]))
    def change_card(self, tag: str, state: Any) -> None:
        """A card is blocked, or unblocked."""
        self.waiting.append(prepaid.ChangeCardState(tag, state, "test"))

    @rule(tag=st.sampled_from(CARDS), group=st.sampled_from([None, 1, 2, 3]))
    def put_into_group(self, tag: str, group: int | None) -> None:
        """An account gets other limits, in the middle of anything."""
        account = select(card.c.account_id).where(card.c.id_tag == tag).scalar_subquery()
        with self.installation.database.unit_of_work() as connection:
            connection.execute(update(ledger_account).where(ledger_account.c.id == account).values(group_id=group))

    @rule(group=st.integers(1, 3), overdraft=st.sampled_from([0, 1, 120, 2500]))
    def allow(self, group: int, overdraft: int) -> None:
        """A group allows more or less overdraft, in the middle of anything."""
        changed = update(account_group).where(account_group.c.id == group).values(overdraft_minor=overdraft)
        with self.installation.database.unit_of_work() as connection:
            connection.execute(changed)

    @rule(station=stations, id_tag=id_tags)
    def authorize(self, station: int, id_tag: str) -> None:
        """A card is held up."""
        self.waiting.append(Authorize(station, id_tag))

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Something that was sent before is sent again, now or much later."""
        self.waiting.append(data.draw(st.sampled_from(self.sent)))

    @rule(engine=engines)
    def commit(self, engine: int) -> None:
        """Everything that arrived meanwhile is one batch, on one of the engines."""
        self._run(engine)

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines, after_statements=st.one_of(st.none(), st.integers(0, 25)))
    def crash(self, engine: int, after_statements: int | None) -> None:
        """The batch fails somewhere, at the latest at its commit: nobody is answered, and nothing of it is there."""
        before = self._balances()
        crashing = self._engine(engine)
        with failing(crashing, after_statements):
            outcomes = crashing.run(self.waiting).outcomes
        assert all(isinstance(one, StorageUnavailable) for one in outcomes)
        assert self._balances() == before
        self.the_books_hold()

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines)
    def lose_the_answers(self, engine: int) -> None:
        """The batch is committed, and the process dies before it answers: all of it is sent again."""
        lost, waiting = self._engine(engine).run(self.waiting).outcomes, self.waiting
        self._run(1 - engine)
        for asked, outcome in zip(waiting, lost, strict=True):
            assert not isinstance(outcome, CsmsError), outcome
            if isinstance(outcome, prepaid.Refused | reviews.NotResolved) and asked not in self.refused:
                self.refused.append(asked)

    @precondition(lambda self: bool(self.sent) and not self.waiting)
    @rule()
    def replay(self) -> None:
        """The whole history once more changes no money. A form that was refused may be booked when it is sent again."""
        before = self._balances()
        outcomes = self.installation.engine.run([one for one in self.sent if one not in self.refused]).outcomes
        assert not [one for one in outcomes if isinstance(one, CsmsError)]
        assert self._balances() == before

    def _engine(self, number: int) -> Engine:
        return (self.installation, self.other)[number].engine

    def _run(self, engine: int = 0) -> None:
        if not self.waiting:
            return
        outcomes = self._engine(engine).run(self.waiting).outcomes
        for asked, outcome in zip(self.waiting, outcomes, strict=True):
            if isinstance(outcome, prepaid.Refused | reviews.NotResolved):
                self.refused.append(asked)
            assert not isinstance(outcome, CsmsError), outcome
            if isinstance(outcome, Started) and outcome.transaction_id not in self.transaction_ids:
                self.transaction_ids.append(outcome.transaction_id)
                self.begun[outcome.transaction_id] = asked
        self.waiting = []
        self.the_books_hold()

    def _balances(self) -> list[tuple[Any, ...]]:
        table = ledger_account.c
        with self.installation.database.reading() as connection:
            rows = connection.execute(select(table.id, table.debits_minor, table.credits_minor).order_by(table.id))
            return [tuple(row) for row in rows]

    def the_books_hold(self) -> None:
        """Whatever was committed so far, nothing is wrong with it."""
        with self.installation.database.reading() as connection:
            found = list(verification.verify(connection, self.installation.currency, slack=timedelta(0)))
            self.events.update(booked_events(connection))
        assert found == []

    def teardown(self) -> None:
        """Commit what is left, look once more, and close."""
        self._run()
        self.installation.database.close()
        self.other.database.close()


@pytest.mark.timeout(1200)
def test_no_history_whatever_leaves_a_wrong_cent_on_sqlite(
    sqlite_template: Path, tmp_path: Path, histories: int
) -> None:
    numbers = count()

    class OnSqlite(Histories):
        events: ClassVar[set[str]] = set()

        def __init__(self) -> None:
            super().__init__()
            path = tmp_path / f"{next(numbers)}.sqlite3"
            shutil.copy(sqlite_template, path)
            told = Settings(database_url=f"sqlite:///{path}", zombie_wait_s=0)
            self.installation, self.other = open_installation(told), open_installation(told)

    _explore(OnSqlite, histories)
    assert OnSqlite.events >= {"card issued", "top up", "settle"}


@pytest.mark.timeout(1200)
def test_no_history_whatever_leaves_a_wrong_cent_on_postgresql(
    fresh_postgresql_url: Callable[[], str], histories: int
) -> None:
    class OnPostgresql(Histories):
        events: ClassVar[set[str]] = set()

        def __init__(self) -> None:
            super().__init__()
            told = Settings(database_url=fresh_postgresql_url(), zombie_wait_s=0)
            self.installation, self.other = open_installation(told), open_installation(told)

    _explore(OnPostgresql, max(15, histories // 3))
    assert OnPostgresql.events >= {"card issued", "top up", "settle"}


def _explore(machine: type[Histories], examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=options)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_engines_that_write_at_once_never_spend_the_same_credit_twice(database_url: str, seed: int) -> None:
    told = Settings(database_url=database_url, zombie_wait_s=0)
    nodes = [open_installation(told), open_installation(told)]
    try:
        furnish(nodes[0])
        for tag in CARDS:
            issue = prepaid.IssueCard(tag, tag, 130, CLEARING_COMMAND_LINE, tag, "test", nodes[0].limits)
            assert isinstance(nodes[0].engine.execute(issue), prepaid.Booked)
        failed: list[Any] = []
        both = [_Node(node, number, random.Random(seed * 10 + number), failed) for number, node in enumerate(nodes)]
        threads = [threading.Thread(target=one.work) for one in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        with verification.snapshot(nodes[0].database) as connection:
            assert list(verification.verify(connection, nodes[0].currency)) == []
            balances = connection.execute(select(ledger_account.c.held_minor)).scalars().all()
        assert all(held >= 0 for held in balances)
    finally:
        for node in nodes:
            node.database.close()


class _Node:
    """One of several processes: it starts, reads and stops at a station of its own, with cards that all share."""

    def __init__(self, node: Installation, number: int, chance: random.Random, failed: list[Any]) -> None:
        self._node = node
        self._station = STATIONS[number]
        self._chance = chance
        self._failed = failed
        self._running: list[tuple[int, str, int]] = []

    def work(self) -> None:
        """Run a few batches; keep what went wrong for the test to see."""
        for round_ in range(12):
            batch = self._batch(round_)
            outcomes = self._node.engine.run(batch).outcomes
            self._failed += [one for one in outcomes if isinstance(one, Exception)]
            started = [one for one in zip(batch, outcomes, strict=True) if isinstance(one[1], Started)]
            self._running = [(one.transaction_id, asked.id_tag, asked.connector_id) for asked, one in started]

    def _batch(self, round_: int) -> list[Any]:
        chance, minute = self._chance, round_ * 20
        batch: list[Any] = []
        for transaction_id, tag, connector in self._running:
            register = chance.randrange(3000)
            value = MeterValue(_at(minute + 5), (Sample(str(register)),), f"[{register}]")
            batch.append(MeterValues(self._station, connector, transaction_id, (value,)))
            if chance.random() < 0.8:
                at = _at(minute + 9)
                batch.append(StopTransaction(self._station, transaction_id, tag, register, at, str(at), None))
        for connector in (1, 2):
            at = _at(minute + 10 + connector)
            batch.append(StartTransaction(self._station, connector, chance.choice(CARDS), 0, at, str(at)))
        if chance.random() < 0.5:
            key = f"{self._station}-{round_}"
            batch.append(prepaid.TopUp(chance.choice(CARDS), 40, CLEARING_COMMAND_LINE, key, "test", self._node.limits))
        return batch
