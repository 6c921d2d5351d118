"""Money's arithmetic: exact, rounded once, half up."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.billing.money import Currency, format_amount, parse_amount, round_half_up, tax_included, to_minor
from csms.billing.tariffs import Tariff, Usage, decode_tariff, encode_tariff, price, total

EUR, YEN, DINAR = Currency("EUR", 2), Currency("JPY", 0), Currency("BHD", 3)

rates = st.decimals(min_value=0, max_value=10, places=6)
tariffs = st.builds(
    Tariff,
    tariff_id=st.integers(1, 9),
    name=st.text(max_size=20),
    rate_per_kwh=rates,
    rate_per_minute=rates,
    start_fee_minor=st.integers(0, 10_000),
    tax_percent=st.decimals(min_value=0, max_value=50, places=2),
)
usages = st.builds(Usage, energy_wh=st.integers(0, 10**7), duration_s=st.integers(0, 10**6))
currencies = st.sampled_from([EUR, YEN, DINAR])


@pytest.mark.parametrize(
    ("value", "rounded"), [("0.5", 1), ("0.4999999", 0), ("1.5", 2), ("2.5", 3), ("-0.5", -1), ("-0.4", 0)]
)
def test_halves_are_rounded_away_from_zero(value: str, rounded: int) -> None:
    assert round_half_up(Decimal(value)) == rounded


@pytest.mark.parametrize(
    ("typed", "minor"), [("20", 2000), ("20.00", 2000), ("20,5", 2050), (" 0.01 ", 1), ("-3", -300)]
)
def test_amounts_are_read_as_people_type_them(typed: str, minor: int) -> None:
    assert parse_amount(typed, EUR) == minor


@pytest.mark.parametrize(
    "typed", ["", "abc", "1e3", "NaN", "inf", "1.234", "1 000", "0x10", "--1", "1.", "9" * 13, "٢٠"]
)
def test_what_is_no_amount_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|has more than"):
        parse_amount(typed, EUR)


@given(st.integers(-(10**12), 10**12), currencies)
def test_an_amount_written_and_read_is_the_same(amount_minor: int, currency: Currency) -> None:
    assert to_minor(Decimal(format_amount(amount_minor, currency)), currency) == amount_minor


@given(st.integers(0, 10**9), st.decimals(min_value=0, max_value=100, places=2))
def test_tax_lies_between_nothing_and_the_total(total_minor: int, tax_percent: Decimal) -> None:
    assert 0 <= tax_included(total_minor, tax_percent) <= total_minor


@given(tariffs, usages, currencies)
def test_a_charge_is_the_sum_of_its_lines(tariff: Tariff, usage: Usage, currency: Currency) -> None:
    charge = price(tariff, usage, currency)
    assert charge.total_minor == sum(line.amount_minor for line in charge.lines)
    assert all(line.amount_minor >= 0 for line in charge.lines)


@given(tariffs, usages, st.integers(0, 10**6), st.integers(0, 10**5), currencies)
def test_more_energy_or_time_never_costs_less(
    tariff: Tariff, usage: Usage, more_wh: int, more_s: int, currency: Currency
) -> None:
    more = Usage(usage.energy_wh + more_wh, usage.duration_s + more_s)
    assert price(tariff, more, currency).total_minor >= price(tariff, usage, currency).total_minor


@given(tariffs, usages, st.integers(0, 10**5), st.integers(0, 2000), st.none() | st.integers(2000, 9000), currencies)
def test_the_total_alone_is_the_total_of_the_charge(
    tariff: Tariff, usage: Usage, free_wh: int, minimum: int, maximum: int | None, currency: Currency
) -> None:
    limited = msgspec.structs.replace(tariff, free_wh=free_wh, minimum_minor=minimum, maximum_minor=maximum)
    for one in (tariff, limited):
        assert total(one, usage, currency) == price(one, usage, currency).total_minor


@given(tariffs, usages, currencies)
def test_each_line_differs_from_the_exact_amount_by_at_most_half_a_minor_unit(
    tariff: Tariff, usage: Usage, currency: Currency
) -> None:
    exact = {
        "energy": Decimal(usage.energy_wh) * tariff.rate_per_kwh * currency.scale / 1000,
        "time": Decimal(usage.duration_s) * tariff.rate_per_minute * currency.scale / 60,
        "start": Decimal(tariff.start_fee_minor),
    }
    for line in price(tariff, usage, currency).lines:
        assert abs(line.amount_minor - exact[line.component]) <= Decimal("0.5")


@given(tariffs, st.integers(0, 10**6), currencies)
def test_without_energy_nothing_is_charged(tariff: Tariff, duration_s: int, currency: Currency) -> None:
    assert price(tariff, Usage(0, duration_s), currency).total_minor == 0


@given(tariffs)
def test_a_tariff_survives_the_copy_into_a_transaction(tariff: Tariff) -> None:
    assert decode_tariff(encode_tariff(tariff)) == tariff


def test_a_charge_by_hand() -> None:
    tariff = Tariff(1, "day", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20))
    charge = price(tariff, Usage(7_123, 2_730), EUR)
    # 7.123 x 0.35 = 2.49305 -> 2.49; 45.5 x 0.02 = 0.91; 0.50 to start; 3.90 x 20 / 120 = 0.65
    assert [(line.component, line.amount_minor) for line in charge.lines] == [
        ("energy", 249),
        ("time", 91),
        ("start", 50),
    ]
    assert (charge.total_minor, charge.tax_minor) == (390, 65)
