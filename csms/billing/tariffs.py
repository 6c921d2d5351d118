"""Prices: what a transaction's energy and time cost under a tariff.

Pure arithmetic on `Decimal` rates; knows no account, no database and no clock. Every line is rounded half up to the
minor unit, once; the total is the sum of its lines; prices include tax, which is computed on the total.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Literal

import msgspec

from csms.billing.money import Currency, round_half_up, tax_included

Component = Literal["energy", "time", "start"]

_WH_PER_KWH = 1000
_S_PER_MINUTE = 60


class Tariff(msgspec.Struct, frozen=True):
    """A price list, tax included. Rates are in currency units with up to six decimals; the start fee in minor units."""

    tariff_id: int
    name: str
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal


class Usage(msgspec.Struct, frozen=True):
    """What a transaction used so far."""

    energy_wh: int
    duration_s: int


class ChargeLine(msgspec.Struct, frozen=True):
    """One line of a charge: quantity x rate, rounded once."""

    component: Component
    quantity: Decimal
    unit: str
    rate: Decimal
    amount_minor: int


class Charge(msgspec.Struct, frozen=True):
    """The priced result of a transaction: lines, their sum, and the tax included in it."""

    lines: tuple[ChargeLine, ...]
    total_minor: int
    tax_minor: int


def price(tariff: Tariff, usage: Usage, currency: Currency) -> Charge:
    """Price `usage` (Wh and seconds, neither negative). Without any energy nothing is charged, not even the start fee:
    a car that got nothing owes nothing.
    """
    assert usage.energy_wh >= 0, "negative energy is settled before it is priced"
    assert usage.duration_s >= 0, "negative duration is settled before it is priced"
    if not usage.energy_wh:
        return Charge(lines=(), total_minor=0, tax_minor=0)
    lines = []
    if tariff.rate_per_kwh:
        lines.append(_line("energy", Decimal(usage.energy_wh) / _WH_PER_KWH, "kWh", tariff.rate_per_kwh, currency))
    if tariff.rate_per_minute and usage.duration_s:
        # Rounding the quantity for display must not be a second rounding of the amount: the amount is from seconds.
        amount = round_half_up(Decimal(usage.duration_s) * tariff.rate_per_minute * currency.scale / _S_PER_MINUTE)
        minutes = round(Decimal(usage.duration_s) / _S_PER_MINUTE, 4)
        lines.append(ChargeLine("time", minutes, "min", tariff.rate_per_minute, amount))
    if tariff.start_fee_minor:
        fee = Decimal(tariff.start_fee_minor) / currency.scale
        lines.append(ChargeLine("start", Decimal(1), "", fee, tariff.start_fee_minor))
    total = sum(line.amount_minor for line in lines)
    return Charge(tuple(lines), total, tax_included(total, tariff.tax_percent))


def _line(component: Component, quantity: Decimal, unit: str, rate: Decimal, currency: Currency) -> ChargeLine:
    return ChargeLine(component, quantity, unit, rate, round_half_up(quantity * rate * currency.scale))


def encode_tariff(tariff: Tariff) -> str:
    """Write a tariff as the text that is copied into a transaction."""
    return msgspec.json.encode(tariff).decode()


@lru_cache(maxsize=1024)
def decode_tariff(text: str) -> Tariff:
    """Read the tariff that a transaction carries; few differ, so they are kept."""
    return msgspec.json.decode(text, type=Tariff)
