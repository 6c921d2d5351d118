"""Random histories of messages, forms, batches and repeats through the engine; the books hold after each commit.

Hypothesis drives the engine as stations and cashiers do: known and unknown cards, mangled transaction ids, registers
that fall, messages sent again in any order, several inputs in one batch. `verify` is what `csms ledger verify` runs.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

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
from sqlalchemy import select

from csms.billing import prepaid
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.models import ledger_account
from csms.charging import reviews, verification
from csms.charging.authorization import Authorization, Authorize
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Input
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import review_item
from csms.charging.stations import AddChargePoint, Boot, StatusNotification
from csms.charging.transactions import Started, StartTransaction, StopTransaction
from csms.config import Settings
from csms.errors import CsmsError
from csms.installation import Installation, open_installation
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


def _at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


class Histories(RuleBasedStateMachine):
    """One database, one engine, and everything that was ever sent."""

    installation: Installation

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Input] = []
        self.waiting: list[Input] = []
        self.refused: list[Input] = []
        self.transaction_ids = [-1, 0, 9_999_999]
        self.authorized: list[tuple[str, Authorization]] = []
        self.forms = 0

    @initialize()
    def furnish(self) -> None:
        """Open a database with a tariff, two stations and three cards."""
        add_tariff(self.installation)
        for number in STATIONS:
            self.installation.engine.execute(AddChargePoint(f"CP{number}", 0, None, None))
            self.installation.engine.execute(Boot(number, "Acme", "One", "", ""))
        for number, card in enumerate(CARDS):
            self._do(
                prepaid.IssueCard(
                    card,
                    f"{number}",
                    number * 300,
                    CLEARING_COMMAND_LINE,
                    f"sale-{card}",
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

    @rule(card=st.sampled_from(CARDS), amount=amounts)
    def top_up(self, card: str, amount: int) -> None:
        """A cashier books what was typed, sense or nonsense."""
        self.forms += 1
        key = f"form-{self.forms}"
        self._do(prepaid.TopUp(card, amount, CLEARING_COMMAND_LINE, key, "test", self.installation.limits))

    @rule(
        data=st.data(),
        decision=st.sampled_from(reviews.CHOICES),
        energy_wh=st.one_of(st.none(), st.integers(-5, 30_000)),
        card=st.one_of(st.none(), id_tags),
    )
    def resolve(self, data: st.DataObject, decision: reviews.Choice, energy_wh: int | None, card: str | None) -> None:
        """A person decides about something in the queue, sense or nonsense, resolved or not."""
        with self.installation.database.reading() as connection:
            keys = list(connection.execute(select(review_item.c.key).order_by(review_item.c.key)).scalars())
        if not keys:
            return
        self.forms += 1
        reason = data.draw(st.sampled_from(["seen on the meter", " "]))
        key = data.draw(st.sampled_from(keys))
        self._do(reviews.ResolveReview(key, decision, reason, "test", f"form-{self.forms}", energy_wh, card))

    @rule(station=stations, connector=connectors, minute=minutes, status=st.sampled_from(["Available", "Charging"]))
    def notify(self, station: int, connector: int, minute: int, status: str) -> None:
        """A connector says what it is, in the middle of anything."""
        said = ConnectorStatus(station, connector, status, "NoError", "", "", _at(minute))
        self._do(StatusNotification(said, _at(minute)))

    @rule(transaction_id=st.integers(1, 12))
    def look(self, transaction_id: int) -> None:
        """The alarm clock rings, and what was suspected to be over is taken for over."""
        self.waiting.append(GuardDue(transaction_id, 100))

    @rule(card=st.sampled_from(CARDS), state=st.sampled_from(["active", "blocked", "lost"]))
    def change_card(self, card: str, state: Any) -> None:
        """A card is blocked, or unblocked."""
        self.waiting.append(prepaid.ChangeCardState(card, state, "test"))

    @rule(station=stations, id_tag=id_tags)
    def authorize(self, station: int, id_tag: str) -> None:
        """A card is held up."""
        self.waiting.append(Authorize(station, id_tag))

    @precondition(lambda self: bool(self.sent))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Something that was sent before is sent again, now or much later."""
        self.waiting.append(data.draw(st.sampled_from(self.sent)))

    @rule()
    def commit(self) -> None:
        """Everything that arrived meanwhile is one batch."""
        self._run()

    @precondition(lambda self: bool(self.sent) and not self.waiting)
    @rule()
    def replay(self) -> None:
        """The whole history once more changes no money. A form that was refused may be booked when it is sent again."""
        before = self._balances()
        outcomes = self.installation.engine.run([one for one in self.sent if one not in self.refused]).outcomes
        assert not [one for one in outcomes if isinstance(one, CsmsError)]
        assert self._balances() == before

    def _run(self) -> None:
        if not self.waiting:
            return
        outcomes = self.installation.engine.run(self.waiting).outcomes
        for asked, outcome in zip(self.waiting, outcomes, strict=True):
            if isinstance(outcome, prepaid.Refused | reviews.NotResolved):
                self.refused.append(asked)
            assert not isinstance(outcome, CsmsError), outcome
            if isinstance(outcome, Started) and outcome.transaction_id not in self.transaction_ids:
                self.transaction_ids.append(outcome.transaction_id)
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
        assert found == []

    def teardown(self) -> None:
        """Commit what is left, look once more, and close."""
        self._run()
        self.installation.database.close()


@pytest.mark.timeout(600)
def test_no_history_whatever_leaves_a_wrong_cent_on_sqlite(
    sqlite_template: Path, tmp_path: Path, histories: int
) -> None:
    numbers = count()

    class OnSqlite(Histories):
        def __init__(self) -> None:
            super().__init__()
            path = tmp_path / f"{next(numbers)}.sqlite3"
            shutil.copy(sqlite_template, path)
            self.installation = open_installation(Settings(database_url=f"sqlite:///{path}", zombie_wait_s=0))

    _explore(OnSqlite, histories)


@pytest.mark.timeout(600)
def test_no_history_whatever_leaves_a_wrong_cent_on_postgresql(
    fresh_postgresql_url: Callable[[], str], histories: int
) -> None:
    class OnPostgresql(Histories):
        def __init__(self) -> None:
            super().__init__()
            self.installation = open_installation(Settings(database_url=fresh_postgresql_url(), zombie_wait_s=0))

    _explore(OnPostgresql, max(5, histories // 3))


def _explore(machine: type[Histories], examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=options)
