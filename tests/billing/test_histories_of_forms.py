"""Random histories of what a cash desk, an office or a script does, while cars charge; the books hold after each step.

Hypothesis sells cards, new or from stock, tops up, replaces, imports deliveries, changes states, expiries, groups and
customers, doubts and corrects charges, sends forms again with the same and with other content, to two engines, one of
which loses its storage at any statement, or meets the other one in the middle of its unit of work. At both tax points.
What the books should say is added up in plain arithmetic (`plain_books`), beside what `csms ledger verify` says.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from csms import clock
from csms.billing import account_groups, customers, models, prepaid, stock_file
from csms.billing.cards import ImportCards, JoinCard, SetExpiry
from csms.billing.chart_of_accounts import CLEARING_API, CLEARING_COMMAND_LINE
from csms.billing.desks import add_desk
from csms.billing.receipts import note_print
from csms.charging import doubts, reviews, verification
from csms.charging.engine import Engine, Input
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import review_item
from csms.charging.transactions import Started, StartTransaction, StopTransaction
from csms.config import Settings
from csms.errors import CsmsError, StorageUnavailable
from csms.installation import open_installation
from tests.charging.test_histories import failing, furnish
from tests.support.ledger import booked_events
from tests.support.meeting import met
from tests.support.plain_books import PlainBooks, content_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAGS = ("AA", "BB", "CC", "DD")
tags = st.sampled_from((*TAGS, *TAGS, *TAGS, "NOBODY", "aa", "", "X" * 21))
numbers = st.sampled_from(("1", "2", "3", "4", "5", ""))
keys = st.integers(1, 9).map(lambda number: f"form {number}")  # few: they come again, also with other content
amounts = st.one_of(st.integers(1, 3000), st.sampled_from((-5, 0, 50_000, 50_001, 10**12)))
sources = st.integers(0, 3)
engines = st.integers(0, 1)
places = st.integers(0, 40)  # in a list, whose length may depend on who came first
expiries = st.sampled_from((None, None, timedelta(days=-1), timedelta(days=1)))
states = st.sampled_from(("in stock", "active", "active", "blocked", "lost", "expired", "retired"))
acts = st.tuples(states, expiries)
decisions = st.sampled_from((*reviews.CHOICES, "correct", "correct"))
files = st.lists(st.tuples(tags, numbers, st.sampled_from(("", "2020-01-01", "2099-12-31", "never"))), max_size=4)
limits = st.sampled_from((None, None, 0, 700, 1500))


class Forms(RuleBasedStateMachine):
    """One database, two engines, what was sent, and what was booked under which key."""

    events: ClassVar[set[str]]  # what was booked in all histories of a machine

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Input] = []
        self.waiting: list[Input] = []
        self.refused: list[Input] = []
        self.transactions = [(-1, 1)]  # with their stations
        self.booked: dict[str, tuple[Any, int]] = {}  # by key: the form, and the balance that was answered
        self.accounts: dict[str, int] = {}  # by card, once it has one

    def url(self) -> str:
        """Return the address of a fresh database."""
        raise AssertionError("said by the machine of a database")

    @initialize(tax_point=st.sampled_from(("consumption", "top-up")))
    def begin(self, tax_point: Any) -> None:
        """Open it, with tariffs, stations, groups, two desks and a card in stock."""
        told = Settings(database_url=self.url(), zombie_wait_s=0, tax_point=tax_point)
        self.told = told
        self.installation, self.other = open_installation(told), open_installation(told)
        furnish(self.installation)
        self.sources = [CLEARING_COMMAND_LINE, CLEARING_API]
        for name in ("Hall", "Kiosk", "Hall"):
            self._add_desk(name)
        self._do(self._sale("AA", "1", 1000, self.sources[2], "form 0"))
        self._do(self._sale("BB", "2", 0, self.sources[3], "form 00"))
        self.take_delivery([("CC", "3", "")])

    def _add_desk(self, name: str) -> None:
        currency = self.installation.currency
        with self.installation.database.unit_of_work() as connection:
            desk = add_desk(connection, name=name, site_id=None, currency=currency, now=clock.now())
        if desk is not None:
            self.sources.append(desk.cash_account_id)

    def _sale(
        self, tag: str, number: str, credit: int, source: int, key: str, lasts: timedelta | None = None
    ) -> prepaid.IssueCard:
        expires = None if lasts is None else clock.now() + lasts
        return prepaid.IssueCard(tag, number, credit, source, key, "staff x", self.installation.limits, expires)

    def _do(self, asked: Input) -> None:
        self.sent.append(asked)
        self.waiting.append(asked)

    @rule(tag=tags, number=numbers, amount=amounts, source=sources, key=keys, lasts=expiries)
    def sell(self, tag: str, number: str, amount: int, source: int, key: str, lasts: timedelta | None) -> None:
        """A card is sold, new or from stock, with credit or without."""
        self._do(self._sale(tag, number, amount, self.sources[source], key, lasts))

    @rule(tag=tags, amount=amounts, source=sources, key=keys)
    def top_up(self, tag: str, amount: int, source: int, key: str) -> None:
        """Somebody pays, at a desk or elsewhere."""
        self._do(prepaid.TopUp(tag, amount, self.sources[source], key, "staff x", self.installation.limits))

    @rule(act=st.sampled_from(("state", "expiry", "join", "replace")), tag=tags, new=tags, number=numbers, data=acts)
    def handle_card(self, act: str, tag: str, new: str, number: str, data: tuple[Any, timedelta | None]) -> None:
        """A card gets another state or expiry, a lost one is replaced, an account gets a further card."""
        state, lasts = data
        asked: dict[str, Input] = {
            "state": prepaid.ChangeCardState(tag, state, "staff x", "asked for"),
            "expiry": SetExpiry(tag, None if lasts is None else clock.now() + lasts, "staff x"),
            "join": JoinCard(tag, new, number, replaces=False, actor="staff x"),
            "replace": JoinCard(tag, new, number, replaces=True, actor="staff x"),
        }
        self.waiting.append(asked[act])

    @rule(lines=files)
    def take_delivery(self, lines: list[tuple[str, str, str]]) -> None:
        """A file of cards is imported, unless it is wrong."""
        text = "\n".join(("id_tag;printed_number;expires", *(";".join(line) for line in lines)))
        stock = stock_file.read(text, ZoneInfo("Europe/Sofia"))
        if not stock.problems:
            self.waiting.append(ImportCards(stock.cards, "staff x"))

    @rule(tag=st.sampled_from(TAGS), erased=st.booleans(), group=st.integers(1, 3), limit=limits)
    def administer(self, tag: str, group: int, limit: int | None, *, erased: bool) -> None:
        """A desk is opened, a group gets other limits and the account, a customer is entered or erased."""
        self._add_desk("Garage")
        account_id = self.accounts.get(tag)
        new = account_groups.AccountLimits(0, limit, limit, limit, 3)
        with self.installation.database.unit_of_work() as connection:
            account_groups.change_account_group(connection, group, f"group {group}", new)
            if account_id is None:
                return
            account_groups.put_account(connection, account_id, group)
            if erased:
                customers.erase_customer(connection, account_id, actor="staff x", reason="", now=clock.now())
            else:
                one = customers.Customer("Maria", language="bg")
                customers.set_customer(connection, account_id, one, actor="staff x", now=clock.now())

    @rule(engine=engines, connector=st.integers(1, 2), tag=tags, minute=st.integers(0, 600), whole=st.booleans())
    def charge(self, engine: int, connector: int, tag: str, minute: int, *, whole: bool) -> None:
        """A car begins to charge, after all that came before, and perhaps ends."""
        at = NOON + timedelta(minutes=minute)
        self._do(StartTransaction(1, connector, tag, 0, at, str(minute)))
        self.commit(engine)
        if whole:
            self.read(-1, 7_000, stops=True)

    @rule(which=places, register=st.one_of(st.integers(0, 20_000), st.just(9_000_000)), stops=st.booleans())
    def read(self, which: int, register: int, *, stops: bool) -> None:
        """A car goes on charging, or ends."""
        transaction_id, station = self.transactions[which % len(self.transactions)]
        at = NOON + timedelta(hours=11, minutes=register % 20)
        if stops:
            self._do(StopTransaction(station, transaction_id, None, register, at, str(at), None))
            return
        signed = Sample("AP//", format="SignedData") if register % 2 else Sample(str(register))
        said = f'[{{"value":"{signed.value}","format":"{signed.format}"}}]'
        self._do(MeterValues(station, 1, transaction_id, (MeterValue(at, (signed,), said),)))

    @rule(which=places, decision=decisions, energy_wh=st.integers(0, 9000), key=keys, tag=tags)
    def decide(self, which: int, decision: reviews.Choice, energy_wh: int, key: str, tag: str) -> None:
        """Somebody doubts a charge, and decides about something that waits for a person: this too moves money."""
        transaction_id, _ = self.transactions[which % len(self.transactions)]
        self._do(doubts.DoubtCharge(transaction_id, "seen", "staff x", key))
        with self.installation.database.reading() as connection:
            found = list(connection.execute(select(review_item.c.key).order_by(review_item.c.key)).scalars())
        if found:
            energy = energy_wh if decision in {"correct", "assign"} else None
            card = tag if decision == "assign" else None
            item = found[which % len(found)]
            self._do(reviews.ResolveReview(item, decision, "seen", "staff x", key, energy, card))

    @rule(which=places)
    def print_receipt(self, which: int) -> None:
        """A receipt is printed once more; that is counted, and changes no number."""
        with self.installation.database.unit_of_work() as connection:
            found = list(connection.execute(select(models.receipt.c.entry_id)).scalars())
            if found:
                note_print(connection, found[which % len(found)])

    @rule(which=places)
    def repeat(self, which: int) -> None:
        """A form or a message comes again."""
        self.waiting.append(self.sent[which % len(self.sent)])

    @rule(engine=engines)
    def commit(self, engine: int) -> None:
        """Everything that arrived meanwhile is one batch."""
        self._take(self.waiting, self._engine(engine).run(self.waiting).outcomes)
        self.waiting = []
        self.the_books_hold()

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines, after_statements=st.one_of(st.none(), st.integers(0, 25)))
    def crash(self, engine: int, after_statements: int | None) -> None:
        """The storage fails, at the latest at the commit: nothing of the batch is there."""
        before, crashing = self._totals(), self._engine(engine)
        with failing(crashing, after_statements):
            outcomes = crashing.run(self.waiting).outcomes
        assert all(isinstance(one, StorageUnavailable) for one in outcomes)
        assert self._totals() == before
        self.the_books_hold()

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines, after_statements=st.integers(0, 25), cut=st.integers(0, 6))
    def meet(self, engine: int, after_statements: int, cut: int) -> None:
        """Another node takes some of it in the middle of this one's unit of work."""
        mine, others, found = self.waiting, self.waiting[cut:], list[Any]()
        here, there = self._engine(engine), self._engine(1 - engine)
        with met(here, after_statements, lambda: found.extend(there.run(others).outcomes)):
            outcomes = here.run(mine).outcomes
        self._take([*mine, *others[: len(found)]], [*outcomes, *found])
        self.waiting = []
        self.the_books_hold()

    @precondition(lambda self: not self.waiting)
    @rule()
    def replay(self) -> None:
        """Every form and message once more changes nothing, but for those that were refused before."""
        before = self._totals()
        again = [one for one in self.sent if one not in self.refused]
        self._take(again, self.installation.engine.run(again).outcomes)
        assert self._totals() == before

    def _engine(self, number: int) -> Engine:
        return (self.installation, self.other)[number].engine

    def _take(self, asked: list[Input], outcomes: list[Any]) -> None:
        """Compare what was answered with what is known of each key, in whichever order; keep what is new."""
        first: dict[str, tuple[Any, int]] = {}
        for one, outcome in zip(asked, outcomes, strict=True):
            assert not isinstance(outcome, CsmsError), (one, outcome)
            if isinstance(outcome, prepaid.Refused | reviews.NotResolved | doubts.NotDoubted):
                self.refused.append(one)
            if isinstance(outcome, Started) and (outcome.transaction_id, one.charge_point_id) not in self.transactions:
                self.transactions.append((outcome.transaction_id, one.charge_point_id))
            if isinstance(outcome, prepaid.Booked) and not outcome.repeated:
                assert one.entry_key not in {*self.booked, *first}, "a form is booked once"
                first[one.entry_key] = (one, outcome.balance_minor)
        self.booked |= first
        for one, outcome in zip(asked, outcomes, strict=True):
            if isinstance(outcome, prepaid.Booked):
                assert content_of(self.booked[one.entry_key][0]) == content_of(one), "with other content it is refused"

    def _totals(self) -> list[Any]:
        table, desk = models.ledger_account.c, models.desk.c
        totals = select(table.id, table.debits_minor, table.credits_minor).order_by(table.id)
        with self.installation.database.reading() as connection:
            numbers_given = connection.execute(select(desk.id, desk.last_receipt_number).order_by(desk.id)).all()
            return [*connection.execute(totals), *numbers_given]

    def the_books_hold(self) -> None:
        """What `csms ledger verify` finds is nothing, and so is what is added up beside it."""
        with self.installation.database.reading() as connection:
            found = list(verification.verify(connection, self.installation.currency, slack=timedelta(0)))
            assert found == []
            self.events.update(booked_events(connection))
            self.accounts = PlainBooks(connection, self.told, self.booked).check(self.accounts)

    def teardown(self) -> None:
        """Commit what is left, and close."""
        if hasattr(self, "other"):
            self.commit(0)
            self.installation.database.close()
            self.other.database.close()


@pytest.mark.timeout(1200)
def test_no_form_whatever_leaves_a_wrong_cent_on_sqlite(sqlite_template: Path, tmp_path: Path, histories: int) -> None:
    names = count()

    class OnSqlite(Forms):
        events: ClassVar[set[str]] = set()

        def url(self) -> str:
            path = tmp_path / f"{next(names)}.sqlite3"
            shutil.copy(sqlite_template, path)
            return f"sqlite:///{path}"

    _explore(OnSqlite, histories)
    assert OnSqlite.events >= {"card issued", "top up", "settle"}


@pytest.mark.timeout(1200)
def test_no_form_whatever_leaves_a_wrong_cent_on_postgresql(
    fresh_postgresql_url: Callable[[], str], histories: int
) -> None:
    class OnPostgresql(Forms):
        events: ClassVar[set[str]] = set()

        def url(self) -> str:
            return fresh_postgresql_url()

    _explore(OnPostgresql, max(15, histories // 3))
    assert OnPostgresql.events >= {"card issued", "top up", "settle"}


def _explore(machine: type[Forms], examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=options)
