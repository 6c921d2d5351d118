"""The tax point: at consumption, or at the top-up; on both databases, through a real station."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms import clock
from csms.billing import prepaid, price_lists, reports
from csms.billing.books import Books, Card, PrepaidAccount
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE, VAT_ON_PREPAYMENTS
from csms.billing.money import Currency, tax_included
from csms.billing.price_lists import NewTariff, TariffRefused
from csms.billing.tariffs import Charge
from csms.config import Settings
from csms.errors import ConfigurationError
from csms.installation import open_installation
from tests.support.ledger import violations
from tests.support.world import CARD, World, open_world


def _balances(world: World) -> dict[str, int]:
    with world.database.reading() as connection:
        return {one.code: one.balance_minor for one in reports.trial_balance(connection)}


async def _charge(world: World, energy_wh: int) -> None:
    async with world.station() as peer:
        number = (await peer.start(CARD, 0, world.at(0)))["transactionId"]
        await peer.stop(number, energy_wh, world.at(30))


async def test_at_the_top_up_its_tax_is_payable_and_a_charge_uses_it_up(make_settings: Callable[..., Settings]) -> None:
    async with open_world(make_settings(tax_point="top-up", minimum_start_credit=0)) as world:
        await world.top_up(CARD, 1200)
        (top_up,) = world.entries("top up")
        assert [(one.debit_code, one.credit_code, one.amount_minor) for one in top_up.transfers[1:]] == [
            ("1300", "2300", 200)
        ]
        assert top_up.transfers[0].amount_minor == 1200
        before = _balances(world)
        assert (before["1300"], before["2300"]) == (333 + 200, 333 + 200)  # the card was issued with 20.00
        await _charge(world, 60_000)  # 21.00 + 0.60 + 0.50 = 22.10
        (settle,) = world.entries("settle")
        assert [(one.credit_code, one.amount_minor) for one in settle.transfers] == [("4000", 1842), ("1300", 368)]
        after = _balances(world)
        assert (after["1300"], after["2300"]) == (533 - 368, 533)
        assert world.card().balance_minor == 3200 - 2210
        assert violations(world.database, world.installation.currency) == []


async def test_at_consumption_a_top_up_moves_no_tax(world: World) -> None:
    await world.top_up(CARD, 1200)
    assert [len(one.transfers) for one in world.entries("top up")] == [1]
    await _charge(world, 10_000)
    balances = _balances(world)
    assert (balances["1300"], balances["2300"]) == (0, 77)


async def test_a_repeated_top_up_books_its_tax_once(make_settings: Callable[..., Settings]) -> None:
    async with open_world(make_settings(tax_point="top-up")) as world:
        for _ in range(3):
            await world.top_up(CARD, 1200, "the same key")
        assert _balances(world)["2300"] == 533


def test_the_tax_point_is_fixed_at_the_first_start(make_settings: Callable[..., Settings]) -> None:
    open_installation(make_settings(tax_point="top-up")).database.close()
    with pytest.raises(ConfigurationError, match="CSMS_TAX_POINT is consumption"):
        open_installation(make_settings())


def test_the_rate_of_tax_that_is_payable_at_the_top_up_is_fixed_at_the_first_start(
    make_settings: Callable[..., Settings],
) -> None:
    open_installation(make_settings(tax_point="top-up", tax_percent=20)).database.close()
    with pytest.raises(ConfigurationError, match="CSMS_TAX_PERCENT is 9"):
        open_installation(make_settings(tax_point="top-up", tax_percent=9))
    open_installation(make_settings(tax_point="top-up", tax_percent="20.0")).database.close()


async def test_little_top_ups_that_charges_use_up_leave_no_tax_behind(make_settings: Callable[..., Settings]) -> None:
    async with open_world(make_settings(tax_point="top-up", minimum_start_credit=0)) as world:
        await _charge(world, 55_428)  # 19.40 + 0.60 + 0.50: more than the 20.00 that the card was issued with
        assert (world.card().balance_minor, _balances(world)["1300"]) == (-50, -8)
        for _ in range(36):
            await world.top_up(CARD, 10)
        assert (world.card().balance_minor, _balances(world)["1300"]) == (310, 52)
        async with world.station() as peer:
            number = (await peer.start(CARD, 55_428, world.at(30)))["transactionId"]
            await peer.stop(number, 55_428 + 5714, world.at(60))  # 2.00 + 0.60 + 0.50
        assert world.card().balance_minor == 0
        assert (_balances(world)["1300"], _balances(world)["2300"]) == (0, 333 + 60)
        assert violations(world.database, world.installation.currency) == []


@given(
    st.sampled_from((Decimal(20), Decimal(9), Decimal("5.5"), Decimal("25.5"), Decimal(0))),
    st.lists(st.integers(-3000, 3000).filter(bool), max_size=60),
)
def test_the_tax_that_is_booked_is_that_in_the_unused_credit_whatever_happens(rate: Decimal, moves: list[int]) -> None:
    books = Books(Currency("EUR", 2), rate, accounts={1000: PrepaidAccount(1000, 0, 0, 0)})
    books.cards["AA"] = Card("AA", "1", 1000, "active", None)
    limits, now = prepaid.Limits(10**6, 10**6), clock.now()
    for number, amount in enumerate(moves):
        if amount > 0:
            asked = prepaid.TopUp("AA", amount, CLEARING_COMMAND_LINE, f"{number}", "test", limits)
            intents = prepaid.top_up(asked, books, now).intents
        else:
            hold = prepaid.place_hold(number, 1000, 0, now)
            books.take(hold)
            charge = Charge((), -amount, tax_included(-amount, rate))
            intents = prepaid.settle(hold, charge, now, now, "test", books)
        for intent in intents:
            books.take(intent)
        balance = books.accounts[1000].balance_minor
        assert balance == sum(moves[: number + 1])
        booked = books.debits.get(VAT_ON_PREPAYMENTS, 0) - books.credits.get(VAT_ON_PREPAYMENTS, 0)
        exact = Fraction(balance) * Fraction(rate) / (100 + Fraction(rate))
        assert abs(booked - exact) <= Fraction(1, 2)
        assert balance or not booked


def test_with_the_tax_payable_at_the_top_up_a_tariff_has_that_one_rate(make_settings: Callable[..., Settings]) -> None:
    installation = open_installation(make_settings(tax_point="top-up", tax_percent=9))
    new = NewTariff("Day", Decimal("0.35"), Decimal(0), 0, Decimal(20))
    with installation.database.unit_of_work() as connection:
        refused = price_lists.add_tariff(connection, new, clock.now(), installation.settings.tax_percent)
    installation.database.close()
    assert isinstance(refused, TariffRefused)
    assert [one.field for one in refused.problems] == ["tax_percent"]
