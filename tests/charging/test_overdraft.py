"""The overdraft that an account group allows: what may be spent below zero wherever credit counts, and no cent more."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from csms.billing import models as money_models
from csms.billing import prepaid, reports
from csms.billing.account_groups import AccountLimits, nobody_could_start, put_account
from csms.billing.books import PrepaidAccount, available
from csms.billing.cards import JoinCard
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.charging import alarms, groups, overview
from csms.charging.authorization import Authorization, Authorize
from csms.charging.facts import Watch
from csms.charging.guards import Guards
from csms.charging.transactions import StartTransaction
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, NOON, Evening
from tests.support.ledger import violations
from tests.support.world import CARD

MINOR = st.integers(-100_000, 100_000)


def card(evening: Evening, id_tag: str = CARD) -> reports.CardView:
    """Return a card as people see it."""
    with evening.database.reading() as connection:
        found = reports.find_card(connection, id_tag)
    assert found is not None
    return found


def authorized(evening: Evening, id_tag: str = CARD) -> Authorization:
    """Hold a card up."""
    answer = evening.engine.execute(Authorize(2, id_tag))
    assert isinstance(answer, Authorization)
    return answer


def alarms_of(evening: Evening) -> list[str]:
    """Return the texts of the alarms that hold."""
    with evening.database.reading() as connection:
        return [one.text for one in alarms.list_alarms(connection, limit=10)]


def charge_late_for(evening: Evening, cost_minor: int) -> int:
    """Charge a car for so much, three hours ago; its station tells it only now."""
    evening.pass_s(1)
    at = evening.now - timedelta(hours=3)
    one = evening.start(at=at)
    evening.stop(one, -(-cost_minor * 1000 // 36), at + timedelta(hours=1))
    return one


def ends(evening: Evening, one: int, watts: int = 10 * KW) -> None:
    """Let a car charge until it is stopped, and end it there."""
    stopped = evening.charge({one: watts}, interval_s=60)[one]
    evening.stop(one, int((stopped - NOON).total_seconds() * watts / 3600))


def books_hold(evening: Evening) -> None:
    """Nothing is wrong with what is stored."""
    assert violations(evening.database, evening.installation.currency) == []


# --- what is available ------------------------------------------------------------------------------------------------


@given(balance=MINOR, held=st.integers(0, 100_000), overdraft=st.integers(0, 100_000), wanted=MINOR, more=MINOR)
def test_a_hold_takes_no_more_than_the_balance_and_the_overdraft_leave(
    balance: int, held: int, overdraft: int, wanted: int, more: int
) -> None:
    account = PrepaidAccount(1, max(0, -balance), max(0, balance), held, 1, overdraft)
    assert account.available_minor == balance - held + overdraft == available(balance, held, overdraft)
    hold = prepaid.place_hold(1, 1, min(wanted, account.available_minor), NOON, account.overdraft_minor)
    grown = prepaid.extend_hold(hold, more, account.available_minor - hold.amount_minor)
    for one in (hold, grown):
        assert 0 <= one.amount_minor <= max(0, balance + overdraft - held)
        assert one.overdraft_minor == overdraft


@pytest.mark.parametrize("overdraft_minor", [0, 1, 300])
def test_everybody_who_asks_for_the_available_credit_is_told_the_same(evening: Evening, overdraft_minor: int) -> None:
    evening.issue(200)
    evening.allow(overdraft_minor)
    one = evening.start()
    shown = card(evening)
    assert (shown.balance_minor, shown.held_minor, shown.overdraft_minor) == (200, 100, overdraft_minor)
    assert shown.available_minor == 100 + overdraft_minor
    with evening.database.reading() as connection:
        seen = overview.find_transaction(connection, one)
        (listed,) = overview.list_transactions(connection, limit=10)
    assert seen == listed
    assert (seen.available_minor, seen.credit_minor) == (100 + overdraft_minor, 200 + overdraft_minor)
    limits = evening.installation.limits
    told = evening.engine.execute(prepaid.TopUp(CARD, 50, CLEARING_COMMAND_LINE, "form", "test", limits))
    again = evening.engine.execute(prepaid.TopUp(CARD, 50, CLEARING_COMMAND_LINE, "form", "test", limits))
    assert (told.balance_minor, told.available_minor) == (250, 150 + overdraft_minor)
    assert (again.balance_minor, again.available_minor) == (250, 150 + overdraft_minor)


def test_without_a_group_or_a_limit_of_it_there_is_no_overdraft(evening: Evening) -> None:
    evening.issue(0)
    assert authorized(evening).reason == "no credit"
    evening.allow(0)
    assert authorized(evening).reason == "no credit"
    evening.allow(99)  # a start asks for 1.00
    assert authorized(evening).reason == "no credit"
    evening.allow(100)
    assert authorized(evening).status == "Accepted"


def test_an_overdraft_is_no_balance_and_leaves_its_maximum_as_it_is(evening: Evening) -> None:
    evening.issue(0)
    evening.allow(5000)
    limits = prepaid.Limits(maximum_top_up_minor=10_000, maximum_balance_minor=1000)
    assert evening.engine.execute(
        prepaid.TopUp(CARD, 1001, CLEARING_COMMAND_LINE, "a", "test", limits)
    ) == prepaid.Refused("balance above the limit")
    assert isinstance(
        evening.engine.execute(prepaid.TopUp(CARD, 1000, CLEARING_COMMAND_LINE, "b", "test", limits)), prepaid.Booked
    )
    assert card(evening).balance_minor == 1000


@pytest.mark.parametrize(("overdraft_minor", "nobody"), [(0, True), (499, True), (500, False)])
def test_a_start_may_ask_for_what_a_balance_and_the_overdraft_can_be_together(
    overdraft_minor: int, *, nobody: bool
) -> None:
    limits = AccountLimits(1500, 1000, overdraft_minor=overdraft_minor)
    assert nobody_could_start(limits, 10_000) == nobody


# --- the credit guard -------------------------------------------------------------------------------------------------


def test_a_card_without_credit_is_stopped_at_minus_its_overdraft(evening: Evening) -> None:
    evening.issue(0)
    evening.allow(300)
    one = evening.start()
    assert (evening.row(one).authorization_status, evening.held_minor()) == ("Accepted", 100)
    ends(evening, one)
    with evening.database.reading() as connection:
        assert groups.charging_accounts(connection, 1) == set()
    assert -300 <= card(evening).balance_minor <= -299
    assert alarms_of(evening) == []
    assert authorized(evening).reason == "no credit"
    evening.top_up(100)
    assert authorized(evening).status == "Accepted"
    books_hold(evening)


def test_credit_and_overdraft_are_spent_one_after_the_other(evening: Evening) -> None:
    evening.issue(120)
    evening.allow(180)
    ends(evening, evening.start())
    assert -180 <= card(evening).balance_minor <= -179
    books_hold(evening)


@pytest.mark.parametrize("watts", [(10 * KW, 10 * KW), (4 * KW, 20 * KW)])
def test_two_cards_of_one_account_together_stop_at_minus_its_overdraft(
    evening: Evening, watts: tuple[int, int]
) -> None:
    evening.issue(100)
    evening.engine.execute(JoinCard(CARD, "SECOND", "SECOND", replaces=False, actor="test"))
    evening.allow(200)
    ids = evening.start(1), evening.start(2, "SECOND")
    assert [evening.row(one).authorization_status for one in ids] == ["Accepted", "Accepted"]
    stopped = evening.charge(dict(zip(ids, watts, strict=True)), interval_s=60)
    for one, power in zip(ids, watts, strict=True):
        evening.stop(one, int((stopped[one] - NOON).total_seconds() * power / 3600))
    assert -200 <= card(evening).balance_minor <= -190
    books_hold(evening)


def test_two_starts_at_two_nodes_never_spend_the_same_overdraft(evening: Evening, settings: Settings) -> None:
    evening.issue(0)
    evening.allow(100)
    other = Evening.__new__(Evening)
    other.__dict__ |= evening.__dict__
    node = open_installation(settings)
    try:
        other.engine = node.engine
        assert evening.row(evening.start(1)).authorization_status == "Accepted"
        late = other.start(2)
        assert (evening.row(late).authorization_status, evening.row(late).refusal) == ("Blocked", "no credit")
    finally:
        node.database.close()
    assert evening.held_minor() == 100
    books_hold(evening)


def test_two_starts_and_a_top_up_of_one_batch_count_the_same_overdraft(evening: Evening) -> None:
    evening.issue(0)
    evening.allow(150)
    starts = [StartTransaction(one, 1, CARD, 0, NOON, str(NOON)) for one in (1, 2)]
    limits = evening.installation.limits
    paid = prepaid.TopUp(CARD, 30, CLEARING_COMMAND_LINE, "form", "test", limits)
    first, booked, second = evening.run(starts[0], paid, starts[1])
    assert (first.authorization.status, second.authorization.reason) == ("Accepted", "no credit")
    assert (booked.balance_minor, booked.available_minor) == (30, 80)
    with evening.database.reading() as connection:
        holds = select(money_models.hold.c.amount_minor, money_models.hold.c.overdraft_minor)
        assert sorted(tuple(row) for row in connection.execute(holds)) == [(0, 150), (100, 150)]
    books_hold(evening)


# --- a limit that is changed meanwhile --------------------------------------------------------------------------------


def test_a_lowered_overdraft_stops_what_it_no_longer_pays_for(evening: Evening) -> None:
    evening.issue(100)
    evening.allow(500)
    one = evening.start()
    evening.pass_s(1500)
    evening.read(one, 4166, 10 * KW)  # 1.50
    assert evening.row(one).stop_requested_at is None
    evening.allow(100)
    evening.look(one)
    assert evening.row(one).stop_requested_at is None  # 0.50 are left: more than eight minutes
    assert evening.row(one).guard_at < evening.now + timedelta(seconds=500)
    evening.allow(0)
    evening.look(one)
    assert evening.row(one).stop_requested_at == evening.now
    evening.stop(one, 4200)
    assert card(evening).balance_minor == 100 - 151
    assert alarms_of(evening) == []  # it was allowed when the car began
    assert authorized(evening).reason == "no credit"
    books_hold(evening)


def test_a_raised_overdraft_takes_back_a_stop_that_was_not_sent(evening: Evening) -> None:
    evening.issue(100)
    evening.allow(0)
    one = evening.start()
    evening.pass_s(1000)
    evening.read(one, 2777, 10 * KW)
    assert evening.row(one).stop_requested_at is not None
    evening.allow(400)
    evening.look(one)
    assert evening.row(one).stop_requested_at is None
    ends(evening, one)
    assert -400 <= card(evening).balance_minor <= -399
    books_hold(evening)


def test_an_account_that_is_moved_to_a_group_with_less_has_what_that_one_allows(evening: Evening) -> None:
    evening.issue(0)
    evening.allow(500)
    one = evening.start()
    evening.pass_s(720)
    evening.read(one, 2000, 10 * KW)  # 0.72
    with evening.database.unit_of_work() as connection:
        assert groups.charging_accounts(connection, 1) == {1000}
        put_account(connection, 1000, None)
        assert groups.charging_accounts(connection, 1) == set()
    evening.allowed_minor = 0
    assert card(evening).available_minor == -evening.held_minor()
    evening.look(one)
    assert evening.row(one).stop_requested_at == evening.now
    evening.stop(one, 2000)
    assert card(evening).balance_minor == -72
    books_hold(evening)


async def test_what_charges_on_accounts_whose_limits_changed_is_looked_at_at_once(evening: Evening) -> None:
    guards = Guards(evening.engine, lambda: evening.now, lambda _: 100)
    evening.engine.on_watches = guards.watch
    later = evening.now + timedelta(hours=1)
    guards.watch({1: Watch(1, 1000, later), 2: Watch(2, 1001, later)})
    evening.engine.look_again({1000, 7})
    assert guards._take_due() == [1]
    assert guards._take_due() == []


# --- debts ------------------------------------------------------------------------------------------------------------


def test_only_what_is_owed_beyond_the_overdraft_is_a_debt_and_over_once_it_is_within(evening: Evening) -> None:
    evening.issue(100)
    evening.allow(200)
    charge_late_for(evening, 300)
    assert (card(evening).balance_minor, alarms_of(evening)) == (-200, [])
    late = charge_late_for(evening, 1)
    assert card(evening).balance_minor == -201
    owed = f"The account of card {CARD} owes 2.01 EUR (2.00 is allowed) since transaction {late}."
    assert alarms_of(evening) == [owed]
    evening.top_up(1)
    assert alarms_of(evening) == []
    charge_late_for(evening, 2)
    assert len(alarms_of(evening)) == 1
    evening.allow(300)  # the debt is allowed now: whatever is paid ends the alarm
    evening.top_up(1)
    assert (card(evening).balance_minor, alarms_of(evening)) == (-201, [])
    books_hold(evening)


def test_a_lowered_overdraft_raises_no_alarm_for_what_was_charged_within_it(evening: Evening) -> None:
    tags = ("FIRST", "SECOND")
    for tag in tags:
        evening.issue(0, tag)
    evening.allow(500)
    ids = [evening.start(station, tag) for station, tag in enumerate(tags, 1)]
    evening.allow(0)
    evening.pass_s(3600)
    for one in ids:
        evening.stop(one, 10_000)
    assert [card(evening, tag).balance_minor for tag in tags] == [-360, -360]
    assert alarms_of(evening) == []
    assert {authorized(evening, tag).reason for tag in tags} == {"no credit"}
    books_hold(evening)


# --- looking back -----------------------------------------------------------------------------------------------------


def test_a_start_is_proven_by_the_overdraft_of_its_moment_whatever_the_limit_became(evening: Evening) -> None:
    evening.issue(0)
    evening.allow(300)
    one = evening.start()
    evening.allow(0)
    books_hold(evening)
    with evening.database.unit_of_work() as connection:
        assert connection.execute(select(money_models.hold.c.overdraft_minor)).scalars().all() == [300]
        connection.execute(text(f"DROP TRIGGER hold_no_update{'' if evening.database.is_sqlite else ' ON hold'}"))
        connection.execute(text("UPDATE hold SET overdraft_minor = 99"))
    (found,) = violations(evening.database, evening.installation.currency)
    told: dict[str, Any] = {"transaction": one, "account": 1000, "balance minor": 0, "held minor": 0}
    told |= {"overdraft minor": 99, "needed minor": 100}
    assert ", ".join(f"{name} {value}" for name, value in told.items()) in found
