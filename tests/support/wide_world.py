"""The world of the wide random histories: places, groups, tariffs, cards, two engines whose clocks go on together.

Collects what arrives into batches, lets them fail, lose their answers or come again, and has the accountant look after
each commit. What stations and people do in it is the tests' matter.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import insert, select, update

from csms.billing import account_groups, models, prepaid, price_lists
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.charging import assignments, groups, reviews, verification
from csms.charging.doubts import NotDoubted
from csms.charging.engine import Input
from csms.charging.models import account_group_station_group, charge_point
from csms.charging.stations import AddChargePoint, Boot
from csms.charging.transactions import Started, StartTransaction, Stopped, StopTransaction
from csms.config import Settings
from csms.errors import CsmsError, StorageUnavailable
from csms.installation import Installation, open_installation
from tests.charging.test_histories import BY_TIME, failing
from tests.support import accountant
from tests.support.ledger import booked_events

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)  # the clocks of Sofia change in the night after it
TAX = Decimal(20)
CARDS = ("AA", "BB", "CC")
Said = Callable[[datetime], Input]  # a message that is read when it arrives
engines = st.integers(0, 1)
LIMITS = (
    account_groups.AccountLimits(minimum_start_credit_minor=0, simultaneous_transactions=3),
    account_groups.AccountLimits(
        minimum_start_credit_minor=250, daily_spend_minor=400, simultaneous_transactions=2, overdraft_minor=300
    ),
    account_groups.AccountLimits(maximum_balance_minor=1500, maximum_top_up_minor=700, is_staff=True),
)
PLACES = (
    groups.StationPolicy(stop_below_w=500, stop_after_s=60, unlock_when_stop_fails=True),
    groups.StationPolicy(is_free=True),
    groups.StationPolicy(is_staff_only=True),
)


class WideWorld(RuleBasedStateMachine):
    """One database, two engines whose clocks go on together, and everything that was ever sent."""

    url: str

    events: ClassVar[set[str]]  # what was booked in all histories of a machine

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.sent: list[Said] = []
        self.waiting: list[tuple[Said, Input]] = []
        self.gathers = 1  # so many that arrive are one batch
        self.refused: set[Said] = set()
        self.starts: dict[str, StartTransaction] = {}
        self.stops: dict[str, StopTransaction] = {}
        self.running: dict[int, tuple[StartTransaction, int]] = {}  # and the register that was told last
        self.meters: dict[tuple[int, int], int] = {}  # where those of the connectors stand
        self.ids = [-1, 0, 3, 9_999_999]
        self.forms = count(1)
        self.overdrafts = {number: limits.overdraft_minor for number, limits in enumerate(LIMITS, 1)}
        self.groups: dict[int, int | None] = {}  # by account
        self.allowed: dict[int, dict[int, int]] = {}  # by transaction: the overdraft of each account when it began
        self.is_changed = False

    @initialize(at_top_up=st.booleans())
    def begin(self, *, at_top_up: bool) -> None:
        """Open a database with places, groups, tariffs, two stations (one with a display) and three cards."""
        self.tax = TAX if at_top_up else None
        told = Settings(
            database_url=self.url,
            zombie_wait_s=60,
            tax_point="top-up" if at_top_up else "consumption",
            minimum_start_credit=Decimal("0.50"),
            settings_check_interval_s=0,
        )
        self.nodes: list[Installation] = [open_installation(told), open_installation(told)]
        for node in self.nodes:
            node.engine._clock = lambda: self.now
        with self.nodes[0].database.unit_of_work() as connection:
            by_time = msgspec.structs.replace(BY_TIME, tax_percent=TAX)
            plain = price_lists.NewTariff("plain", Decimal("0.35"), Decimal("0.02"), 50, TAX, make_default=True)
            young = price_lists.NewTariff("young", Decimal("0.5"), Decimal(0), 0, TAX, valid_from=NOON, free_wh=200)
            for new in (plain, by_time, young):
                assert isinstance(price_lists.add_tariff(connection, new, self.now, self.tax), price_lists.PriceList)
            for number, limits in enumerate(LIMITS, 1):
                account_groups.add_account_group(connection, f"group {number}", limits, self.now)
            for number, policy in enumerate(PLACES, 1):
                groups.add_station_group(connection, f"place {number}", policy, self.now)
            connection.execute(insert(account_group_station_group), {"account_group_id": 2, "station_group_id": 1})
        for number in (1, 2):
            self._do(lambda _, number=number: AddChargePoint(f"CP{number}", 0, None, None))
            self._do(lambda _, number=number: Boot(number, "Acme", "One", "", ""))
        with self.nodes[0].database.unit_of_work() as connection:
            groups.put_station(connection, "CP1", 1)
            connection.execute(update(charge_point).where(charge_point.c.id == 1).values(shows_cost=True))
            connection.execute(update(charge_point).where(charge_point.c.id == 2).values(max_power_w=22_000))
            assignments.assign(connection, "by time", assignments.Scope(charge_point_id=1, connector_id=2), self.now)
        limits_ = self.nodes[0].limits
        for number, tag in enumerate(CARDS):
            issue = prepaid.IssueCard(tag, tag, number * 400, CLEARING_COMMAND_LINE, f"sale-{tag}", "test", limits_)
            self._do(lambda _, issue=issue: issue)

    @property
    def has_begun(self) -> bool:
        """Tell whether a car has come: much is of no interest before."""
        return bool(self.starts or self.stops)

    # --- the engine ---------------------------------------------------------------------------------------------------

    def _do(self, said: Said) -> None:
        self.sent.append(said)
        self._arrive(said)

    def _wish(self, asked: Input, *, again: bool = False) -> None:
        def said(_: datetime) -> Input:
            return asked

        self._do(said) if again else self._arrive(said)

    def _arrive(self, said: Said) -> None:
        asked = said(self.now)
        if isinstance(asked, StartTransaction):
            self.starts.setdefault(asked.natural_key, asked)
        elif isinstance(asked, StopTransaction):
            self.stops.setdefault(asked.stop_key, asked)
        self.waiting.append((said, asked))
        if len(self.waiting) >= self.gathers:
            self._run(len(self.sent) % 2)

    @rule(seconds_=st.sampled_from([1, 15, 90, 700, 3600, 50_000]))
    def wait(self, seconds_: int) -> None:
        """Time goes on."""
        self.now += timedelta(seconds=seconds_)

    @precondition(lambda self: self.gathers == 1)
    @rule(size=st.integers(2, 5))
    def gather(self, size: int) -> None:
        """What arrives from now on is one batch."""
        self.gathers = size

    @precondition(lambda self: self.has_begun)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Something that was sent before is sent again, now or much later."""
        self._arrive(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines)
    def commit(self, engine: int) -> None:
        """Everything that arrived meanwhile is one batch, on one of the engines."""
        self._run(engine)

    @precondition(lambda self: bool(self.waiting))
    @rule(engine=engines, after_statements=st.none() | st.integers(0, 25))
    def crash(self, engine: int, after_statements: int | None) -> None:
        """The batch fails somewhere: nobody is answered, and nothing of it is there."""
        before = self._balances()
        with failing(self.nodes[engine].engine, after_statements):
            outcomes = self.nodes[engine].engine.run([asked for _, asked in self.waiting]).outcomes
        assert all(isinstance(one, StorageUnavailable) for one in outcomes)
        assert self._balances() == before

    @precondition(lambda self: bool(self.waiting))
    @rule()
    def lose_the_answers(self) -> None:
        """The batch is committed, and the process dies before it answers: all of it is sent again."""
        waiting, self.waiting = self.waiting, []
        self._take(waiting, self.nodes[0].engine.run([asked for _, asked in waiting]).outcomes)
        self.now += timedelta(seconds=30)
        for said, _ in waiting:
            self.waiting.append((said, said(self.now)))
        self._run(1)

    @precondition(lambda self: self.has_begun and not self.waiting)
    @rule(later=st.sampled_from([1, 100_000]))
    def replay(self, later: int) -> None:
        """The whole history once more changes no money. A form that was refused may be booked when it is sent again."""
        before = self._balances()
        self.now += timedelta(seconds=later)
        again = [said(self.now) for said in self.sent if said not in self.refused]
        assert not [one for one in self.nodes[0].engine.run(again).outcomes if isinstance(one, CsmsError)]
        assert self._balances() == before
        self.now += timedelta(seconds=1)
        self.is_changed = True

    def _run(self, engine: int) -> None:
        waiting, self.waiting, self.gathers = self.waiting, [], 1
        if waiting:
            self._take(waiting, self.nodes[engine].engine.run([asked for _, asked in waiting]).outcomes)
            self.now += timedelta(seconds=1)

    def _take(self, waiting: list[tuple[Said, Input]], outcomes: list[Any]) -> None:
        self.is_changed = True
        for (said, asked), outcome in zip(waiting, outcomes, strict=True):
            assert not isinstance(outcome, CsmsError), (asked, outcome)
            if isinstance(outcome, prepaid.Refused | reviews.NotResolved | NotDoubted):
                self.refused.add(said)
            if (
                isinstance(outcome, Started)
                and outcome.transaction_id not in self.ids
                and isinstance(asked, StartTransaction)
            ):
                self.ids.append(outcome.transaction_id)
                self.allowed[outcome.transaction_id] = self._overdrafts()
                self.running[outcome.transaction_id] = asked, asked.meter_start_wh
            elif isinstance(outcome, Stopped) and outcome.transaction_id is not None:
                self.running.pop(outcome.transaction_id, None)

    def _overdrafts(self) -> dict[int, int]:
        """Return what each account is allowed now, as far as it is in a group."""
        return {account: self.overdrafts[group] for account, group in self.groups.items() if group is not None}

    # --- the accountant -----------------------------------------------------------------------------------------------

    def _balances(self) -> list[tuple[Any, ...]]:
        account = models.ledger_account.c
        with self.nodes[0].database.reading() as connection:
            rows = connection.execute(select(account.id, account.debits_minor, account.credits_minor))
            return sorted(tuple(row) for row in rows)

    @invariant()
    def the_books_hold(self) -> None:
        """Whatever was committed so far, nothing is wrong with it."""
        if not self.is_changed:
            return
        self.is_changed = False
        with self.nodes[0].database.reading() as connection:
            assert list(verification.verify(connection, self.nodes[0].currency, slack=timedelta(0))) == []
            self.events.update(booked_events(connection))
            accountant.look(connection, self.starts, self.stops)
            accountant.look_at_overdrafts(connection, self.allowed, self._overdrafts())

    def teardown(self) -> None:
        """Commit what is left, look once more, and close."""
        if hasattr(self, "nodes"):
            self._run(0)
            self.the_books_hold()
            for node in self.nodes:
                node.database.close()
