"""Histories that once left the ledger, or what verifies it, inexact: each found by random ones, told here by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from csms.billing import account_groups, models, prepaid, price_lists
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.charging import verification
from csms.charging.credit_guard import GuardDue
from csms.charging.display_messages import ConnectorUnplugged
from csms.charging.doubts import DoubtCharge
from csms.charging.engine import Input
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import charge_point, charging_transaction, review_item
from csms.charging.reviews import Choice, ResolveReview
from csms.charging.stations import AddChargePoint, Boot, StatusNotification
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.config import Settings
from csms.installation import open_installation

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
PLAIN = price_lists.NewTariff("plain", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20))
IDLING = price_lists.NewTariff(
    "idling", Decimal("0.35"), Decimal(0), 0, Decimal(20), rate_per_idle_minute=Decimal("0.10")
)


class Counter:
    """An installation whose time is told, with a station, and cards AA and BB with 20.00 each."""

    def __init__(self, database_url: str) -> None:
        """Open it; there is no tariff yet."""
        self.now = NOON
        self.installation = open_installation(Settings(database_url=database_url, zombie_wait_s=60))
        self.installation.engine._clock = lambda: self.now
        self.run(AddChargePoint("CP1", 0, None, None), AddChargePoint("CP2", 0, None, None))
        self.run(Boot(1, "Acme", "One", "", ""), Boot(2, "Acme", "One", "", ""))
        for tag in ("AA", "BB"):
            limits = self.installation.limits
            self.run(prepaid.IssueCard(tag, tag, 2000, CLEARING_COMMAND_LINE, tag, "test", limits))

    def tariff(self, new: price_lists.NewTariff) -> None:
        """Add a tariff."""
        with self.installation.database.unit_of_work() as connection:
            assert isinstance(price_lists.add_tariff(connection, new, self.now), price_lists.PriceList)

    def wait(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def run(self, *batch: Input) -> list[Any]:
        """Run a batch; all of it is decided."""
        outcomes = self.installation.engine.run(batch).outcomes
        assert not [one for one in outcomes if isinstance(one, Exception)]
        self.wait(seconds=1)
        return outcomes

    def start(self, tag: str = "AA", meter: int = 0, *, station: int = 1, connector: int = 1) -> StartTransaction:
        """Return a start that happens now."""
        return StartTransaction(station, connector, tag, meter, self.now, self.now.isoformat())

    def stop(self, key: int, meter: int, tag: str | None = "AA", *, station: int = 1) -> StopTransaction:
        """Return a stop that happens now."""
        return StopTransaction(station, key, tag, meter, self.now, self.now.isoformat(), None)

    def read(self, key: int | None, register: int) -> MeterValues:
        """Return a reading of now."""
        value = MeterValue(self.now, (Sample(str(register)),), f'[{{"value":"{register}"}}]')
        return MeterValues(1, 1, key, (value,))

    def decide(self, key: str, decision: Choice, energy_wh: int | None = None, tag: str | None = None) -> ResolveReview:
        """Return a person's decision."""
        return ResolveReview(key, decision, "seen on the meter", "test", f"form {key}", energy_wh, tag)

    def queue(self) -> list[Any]:
        """Return what waits for a person."""
        with self.installation.database.reading() as connection:
            waiting = select(review_item).where(review_item.c.resolved_at.is_(None)).order_by(review_item.c.recorded_at)
            return list(connection.execute(waiting).all())

    def transaction(self, key: int) -> Any:
        """Return a transaction's row."""
        with self.installation.database.reading() as connection:
            return connection.execute(select(charging_transaction).where(charging_transaction.c.id == key)).one()

    def balance(self, tag: str = "AA") -> int:
        """Return what an account has."""
        account, card = models.ledger_account.c, models.card.c
        with self.installation.database.reading() as connection:
            joined = select(account.credits_minor - account.debits_minor).join(
                models.card, card.account_id == account.id
            )
            return int(connection.execute(joined.where(card.id_tag == tag)).scalar_one())

    def shows_cost(self) -> None:
        """Give the first station a display."""
        with self.installation.database.unit_of_work() as connection:
            connection.execute(update(charge_point).where(charge_point.c.id == 1).values(shows_cost=True))

    def violations(self) -> list[verification.Violation]:
        """Return what verification finds; all clocks are one."""
        with self.installation.database.reading() as connection:
            return list(verification.verify(connection, self.installation.currency, slack=timedelta(0)))


@pytest.fixture
def counter(database_url: str) -> Iterator[Counter]:
    opened = Counter(database_url)
    yield opened
    opened.installation.database.close()


def test_a_corrected_charge_is_no_violation_where_other_accounts_moved_money(counter: Counter) -> None:
    counter.tariff(PLAIN)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 3000))
    counter.run(counter.stop(1, 4000))
    (item,) = counter.queue()
    counter.run(counter.decide(item.key, "correct", 4000))
    assert counter.violations() == []
    assert (counter.queue(), counter.balance()) == ([], 2000 - 50 - 60 - 140)


def test_a_hold_that_was_lowered_for_a_zombie_explains_why_the_next_start_was_accepted(counter: Counter) -> None:
    counter.tariff(PLAIN)
    with counter.installation.database.unit_of_work() as connection:
        limits = account_groups.AccountLimits(minimum_start_credit_minor=1500, simultaneous_transactions=2)
        account_groups.add_account_group(connection, "residents", limits, counter.now)
        connection.execute(
            update(models.ledger_account).where(models.ledger_account.c.kind == "liability").values(group_id=1)
        )
    first, status = counter.start(), ConnectorStatus(1, 1, "Available", "NoError", "", "", counter.now)
    counter.run(first)
    counter.run(StatusNotification(status, counter.now))
    counter.wait(minutes=1)
    counter.run(GuardDue(1, 100))
    assert counter.transaction(1).state == "orphaned"
    (second,) = counter.run(counter.start(connector=2))
    assert second.authorization.status == "Accepted"
    assert counter.violations() == []


def test_a_reading_that_is_understood_only_when_it_comes_again_is_stored_as_it_is_charged(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start(meter=100_000))
    early = counter.read(1, 60_000)  # more than can have been delivered by now
    counter.run(early)
    counter.wait(hours=1)
    counter.run(early, counter.stop(1, 160_050))
    assert counter.violations() == []


def test_a_reading_after_the_end_plays_no_part_in_a_decision_of_the_same_batch(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=10)
    late = counter.read(1, 9000)
    counter.wait(minutes=20)
    counter.run(counter.read(1, 9000))
    counter.wait(hours=1)
    counter.run(counter.stop(1, 10_000_000))
    (item,) = counter.queue()
    counter.run(late, counter.decide(item.key, "accept"))
    assert counter.violations() == []
    assert counter.transaction(1).cost_minor == 315 + 550  # nobody is idle for less than five minutes


def test_a_car_that_went_before_somebody_was_found_to_pay_owes_nothing_for_the_time_after_it(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start("NOBODY"))
    counter.wait(minutes=30)
    counter.run(counter.read(1, 9000))
    gone = counter.now
    counter.wait(hours=3)
    counter.run(counter.stop(1, 9000, "NOBODY"))
    counter.run(ConnectorUnplugged(1, 1, gone))
    (item,) = counter.queue()
    counter.run(counter.decide(item.key, "assign", tag="AA"))
    assert (counter.balance(), counter.violations()) == (2000 - 315, [])


def test_a_station_with_a_display_may_charge_where_no_tariff_applies(counter: Counter) -> None:
    counter.shows_cost()
    counter.run(counter.start())
    counter.wait(minutes=3)
    counter.run(counter.read(1, 900))
    counter.run(counter.stop(1, 1900))
    assert counter.transaction(1).energy_wh == 1900
    assert counter.violations() == []


def test_a_start_at_a_display_just_before_the_first_price_began_is_stored(counter: Counter) -> None:
    counter.shows_cost()
    before = counter.start()
    counter.wait(minutes=1)
    counter.tariff(msgspec.structs.replace(PLAIN, valid_from=counter.now))
    (started,) = counter.run(before)
    counter.run(counter.stop(started.transaction_id, 1900))
    assert counter.transaction(started.transaction_id).cost_minor == 67 + 2 + 50
    assert counter.violations() == []


@pytest.mark.parametrize("was_free", [False, True])
def test_an_unplugging_that_is_told_after_a_correction_is_a_persons_matter(counter: Counter, *, was_free: bool) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 9000))
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 0 if was_free else 9000))
    counter.run(DoubtCharge(1, "stood longer", "test", "doubt"))
    counter.wait(hours=2)
    (item,) = counter.queue()
    counter.run(ResolveReview(item.key, "correct", "seen", "test", "form", 9000, ended_at=counter.now))
    balance = counter.balance()
    counter.run(ConnectorUnplugged(1, 1, counter.now - timedelta(hours=1)))
    assert (counter.balance(), counter.violations()) == (balance, [])
    assert [one.kind for one in counter.queue()] == ["unplugged before the stop"]


@pytest.mark.parametrize("is_zombie", [False, True])
def test_what_the_next_car_draws_is_not_added_to_the_estimate_of_the_one_before(
    counter: Counter, *, is_zombie: bool
) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 1000))
    if is_zombie:
        status = ConnectorStatus(1, 1, "Available", "NoError", "", "", counter.now)
        counter.run(StatusNotification(status, counter.now))
        counter.wait(hours=2)
        counter.run(GuardDue(1, 100))
    counter.run(counter.start("BB", 1000))
    counter.wait(minutes=30)
    counter.run(counter.read(1, 5000))  # its station still names the first one
    counter.run(counter.stop(2, 5000, "BB"))
    (item,) = counter.queue()
    counter.run(counter.decide(item.key, "accept"))
    assert (counter.balance("AA"), counter.balance("BB")) == (2000 - 35, 2000 - 140)
    assert counter.violations() == []


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_late_stop_charges_nothing_of_what_the_next_transaction_began_with(
    counter: Counter, *, has_ended: bool
) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 1000))
    counter.run(counter.start("BB", 1200))
    counter.wait(minutes=30)
    if has_ended:
        counter.run(counter.stop(2, 5000, "BB"))
    late = counter.stop(1, 3000)
    counter.run(late)
    counter.run(late)
    (item,) = counter.queue()
    assert (item.kind, counter.balance("AA")) == ("energy of the next transaction", 2000)
    assert counter.transaction(1).energy_wh == 1000
    counter.run(counter.decide(item.key, "accept"))
    if not has_ended:
        counter.run(counter.stop(2, 5000, "BB"))
    assert (counter.balance("AA"), counter.balance("BB")) == (2000 - 35, 2000 - 133)
    assert counter.violations() == []


def test_a_late_stop_costs_no_time_in_which_the_next_car_charged(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 1000))
    counter.run(counter.start("BB", 1000))
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 1000))
    (item,) = counter.queue()
    assert (item.kind, counter.balance("AA")) == ("energy of the next transaction", 2000)
    counter.run(counter.decide(item.key, "accept"))
    assert counter.balance("AA") == 2000 - 35
    assert counter.violations() == []


def test_a_meter_that_counts_from_nothing_each_time_says_nothing_of_a_late_stop(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    late = counter.stop(1, 3000)
    counter.run(counter.start("BB", 0))
    counter.wait(minutes=30)
    counter.run(late)
    assert (counter.queue(), counter.balance("AA")) == ([], 2000 - 105)
    assert counter.violations() == []


def test_a_zombie_stays_over_when_the_next_transaction_has_ended_already(counter: Counter) -> None:
    counter.tariff(IDLING)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 1000))
    counter.run(StatusNotification(ConnectorStatus(1, 1, "Available", "NoError", "", "", counter.now), counter.now))
    counter.wait(hours=2)
    counter.run(GuardDue(1, 100))
    counter.run(counter.start("BB", 1000))
    counter.wait(minutes=30)
    counter.run(counter.stop(2, 5000, "BB"))
    counter.run(counter.read(1, 5000))
    assert (counter.transaction(1).state, counter.transaction(1).energy_wh) == ("orphaned", 1000)
    assert counter.violations() == []


def test_a_start_from_before_any_price_costs_what_it_costs_when_it_is_told(counter: Counter) -> None:
    counter.tariff(msgspec.structs.replace(IDLING, valid_from=counter.now))
    counter.wait(minutes=5)
    behind = timedelta(days=900)
    said = msgspec.structs.replace(counter.start(), happened_at=counter.now - behind)
    (started,) = counter.run(said)
    assert started.authorization.status == "Accepted"
    counter.wait(minutes=30)
    counter.run(msgspec.structs.replace(counter.stop(1, 2000), happened_at=counter.now - behind))
    assert counter.balance() == 2000 - 70
    assert "no price at its time" in counter.transaction(1).flags
    assert counter.violations() == []


@pytest.mark.parametrize("stop_comes", [True, False])
def test_a_queued_start_from_before_the_one_that_goes_on_takes_nobody_over(
    counter: Counter, *, stop_comes: bool
) -> None:
    counter.tariff(PLAIN)
    queued = counter.start("BB", 0)
    counter.wait(hours=1)
    its_stop = counter.stop(2, 2500, "BB")
    counter.wait(hours=1)
    counter.run(counter.start("AA", 3000))
    counter.wait(minutes=5)
    counter.run(counter.read(1, 4000))
    counter.run(queued)
    counter.run(queued)
    assert (counter.transaction(1).state, counter.transaction(2).state) == ("open", "orphaned")
    if stop_comes:
        counter.run(its_stop)
        assert counter.queue() == []
    counter.wait(minutes=5)
    counter.run(counter.read(1, 5000))
    one = counter.transaction(1)
    assert (one.energy_wh, one.guard_at is None) == (2000, False), "it is guarded as before"
    counter.run(counter.stop(1, 5500))
    assert counter.balance("AA") == 2000 - 50 - 88 - 20
    if not stop_comes:
        (item,) = counter.queue()
        counter.run(counter.decide(item.key, "correct", 2500))
    assert counter.balance("BB") == 2000 - 50 - 88 - (120 if stop_comes else 0)
    assert (counter.queue(), counter.violations()) == ([], [])


def test_a_start_by_a_clock_that_was_set_back_takes_over_the_one_before_it(counter: Counter) -> None:
    counter.tariff(PLAIN)
    counter.run(counter.start("AA", 1000))
    counter.wait(minutes=30)
    counter.run(counter.read(1, 3000))
    set_back = msgspec.structs.replace(counter.start("BB", 3000), happened_at=counter.now - timedelta(hours=1))
    counter.run(set_back)
    assert (counter.transaction(1).state, counter.transaction(2).state) == ("orphaned", "open")
