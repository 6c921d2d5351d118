"""Prices: what a transaction's energy and time cost under a tariff.

Pure arithmetic on `Decimal` rates; knows no account, no database and no clock. Every line is rounded half up to the
minor unit, once; the total is the sum of its lines; prices include tax, which is computed on the total.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from csms.billing.bands import Band, Span, divide
from csms.billing.bands import problems as band_problems
from csms.billing.idling import Stay, stays
from csms.billing.money import Currency, tax_included

Component = Literal["energy", "time", "idle", "start", "free energy", "minimum", "maximum"]

_WH_PER_KWH = 1000
_S_PER_MINUTE = 60
_TICKS_PER_S = 10**6  # microseconds
_HUNDRED = 100
_MICRO = 10**6  # rates have up to six decimals
_SHOWN = 10**4


class Tariff(msgspec.Struct, frozen=True):
    """A price list, tax included. Rates are in currency units with up to six decimals; fees and limits in minor units.

    The rates apply outside of the bands. `rate_per_minute` is for each minute from the start to the end; where
    `rate_per_idle_minute` is set, it is for those alone in which the car charged, and idle time costs that, after a
    grace that costs nothing (`idling`). `free_wh` of each transaction, its first, are free.
    """

    tariff_id: int
    name: str
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal
    time_zone: str = "UTC"
    bands: tuple[Band, ...] = ()
    rate_per_idle_minute: Decimal = Decimal(0)
    idle_grace_s: int = 0
    free_wh: int = 0
    minimum_minor: int = 0
    maximum_minor: int | None = None

    @property
    def needs_spans(self) -> bool:
        """Whether the price depends on when the energy was drawn, and not only on how much."""
        return bool(self.bands or self.rate_per_idle_minute)

    @property
    def least_minor(self) -> int:
        """What any charge costs at least, if energy was delivered: whoever has less cannot pay for any."""
        return max(self.start_fee_minor, self.minimum_minor)


class Usage(msgspec.Struct, frozen=True):
    """What a transaction used so far; `spans` says when, in order and without gaps, for a tariff that needs it."""

    energy_wh: int
    duration_s: int
    spans: tuple[Span, ...] = ()


def example(energy_wh: int, charging_s: int, idle_s: int, begin: datetime) -> Usage:
    """Return what a car uses that draws `energy_wh` evenly over `charging_s` and then stands for `idle_s`."""
    idle_from = begin + timedelta(seconds=charging_s)
    spans = [Span(begin, idle_from, energy_wh)]
    if idle_s:
        spans.append(Span(idle_from, idle_from + timedelta(seconds=idle_s), 0))
    return Usage(energy_wh, charging_s + idle_s, tuple(spans))


class ChargeLine(msgspec.Struct, frozen=True):
    """One line of a charge: quantity x rate, rounded once. Only a cut to the maximum is negative."""

    component: Component
    quantity: Decimal
    unit: str
    rate: Decimal
    amount_minor: int
    band: str = ""


class Charge(msgspec.Struct, frozen=True):
    """The priced result of a transaction: lines, their sum, and the tax included in it."""

    lines: tuple[ChargeLine, ...]
    total_minor: int
    tax_minor: int


class _Bucket:
    """Exact energy and time of one band."""

    __slots__ = ("band", "energy_wh", "ticks")

    def __init__(self, band: Band | None) -> None:
        self.band = band
        self.energy_wh: int | Fraction = 0
        self.ticks: int | Fraction = 0


def price(tariff: Tariff, usage: Usage, currency: Currency) -> Charge:
    """Price `usage` (Wh and seconds, neither negative). Without any energy nothing is charged, not even the start fee:
    a car that got nothing owes nothing.
    """
    assert usage.energy_wh >= 0, "negative energy is settled before it is priced"
    assert usage.duration_s >= 0, "negative duration is settled before it is priced"
    if not usage.energy_wh:
        return Charge(lines=(), total_minor=0, tax_minor=0)
    if tariff.needs_spans:
        lines = list(_lines_by_band(tariff, usage, currency))
    else:
        energy_wh = max(0, usage.energy_wh - tariff.free_wh)
        lines = list(_lines(tariff, None, energy_wh, usage.duration_s * _TICKS_PER_S, currency))
    if tariff.start_fee_minor:
        lines.append(_start_line(tariff.start_fee_minor, currency.scale))
    if tariff.free_wh:
        free = Decimal(min(tariff.free_wh, usage.energy_wh)) / _WH_PER_KWH
        lines.append(ChargeLine("free energy", free, "kWh", Decimal(0), 0))
    total = sum([line.amount_minor for line in lines])
    for line in _limit(tariff, total, currency):
        lines.append(line)
        total += line.amount_minor
    return Charge(tuple(lines), total, tax_included(total, tariff.tax_percent))


def total(tariff: Tariff, usage: Usage, currency: Currency) -> int:
    """Return the total of `price` alone, in minor units: what each reading asks for, at a quarter of the cost."""
    if tariff.needs_spans or not usage.energy_wh:
        return price(tariff, usage, currency).total_minor
    sum_minor = tariff.start_fee_minor
    if tariff.rate_per_kwh:
        energy_wh = max(0, usage.energy_wh - tariff.free_wh)
        sum_minor += _amount(energy_wh, 1, _WH_PER_KWH, tariff.rate_per_kwh, currency)
    if tariff.rate_per_minute:
        sum_minor += _amount(usage.duration_s, 1, _S_PER_MINUTE, tariff.rate_per_minute, currency)
    sum_minor = max(sum_minor, tariff.minimum_minor)
    return sum_minor if tariff.maximum_minor is None else min(sum_minor, tariff.maximum_minor)


def _amount(used: int, parts: int, per_unit: int, rate: Decimal, currency: Currency) -> int:
    """Return the amount of `used` over `parts`, `per_unit` of which make a unit: rounded once, half up, in integers."""
    divisor = parts * per_unit * _MICRO
    return (2 * used * _millionths(rate) * currency.scale + divisor) // (2 * divisor)


@lru_cache(maxsize=1024)
def _millionths(rate: Decimal) -> int:
    return int(rate * _MICRO)


@lru_cache(maxsize=1024)
def _start_line(fee_minor: int, scale: int) -> ChargeLine:
    return ChargeLine("start", Decimal(1), "", Decimal(fee_minor) / scale, fee_minor)


def _limit(tariff: Tariff, sum_minor: int, currency: Currency) -> Iterator[ChargeLine]:
    if sum_minor < tariff.minimum_minor:
        difference = tariff.minimum_minor - sum_minor
        yield ChargeLine("minimum", Decimal(1), "", Decimal(difference) / currency.scale, difference)
    if tariff.maximum_minor is not None and sum_minor > tariff.maximum_minor:
        difference = tariff.maximum_minor - sum_minor
        yield ChargeLine("maximum", Decimal(1), "", Decimal(difference) / currency.scale, difference)


def _lines(
    tariff: Tariff, band: Band | None, energy_wh: Fraction | int, ticks: Fraction | int, currency: Currency
) -> Iterator[ChargeLine]:
    """Yield the lines of energy and time (microseconds) at the rates of a band."""
    rates = tariff if band is None else band
    name = "" if band is None else band.name
    if rates.rate_per_kwh and energy_wh:
        yield _line("energy", energy_wh, _WH_PER_KWH, "kWh", rates.rate_per_kwh, currency, name)
    if rates.rate_per_minute and ticks:
        yield _line("time", ticks, _S_PER_MINUTE * _TICKS_PER_S, "min", rates.rate_per_minute, currency, name)


def _line(
    component: Component,
    used: Fraction | int,
    per_unit: int,
    unit: str,
    rate: Decimal,
    currency: Currency,
    band: str,
) -> ChargeLine:
    """Price `used`, of which `per_unit` make a unit.

    The quantity is rounded to four decimals for people to read; the amount does not depend on that.
    """
    divisor = used.denominator * per_unit
    amount_minor = _amount(used.numerator, used.denominator, per_unit, rate, currency)
    shown = (2 * used.numerator * _SHOWN + divisor) // (2 * divisor)
    return ChargeLine(component, Decimal(shown) / _SHOWN, unit, rate, amount_minor, band)


def _lines_by_band(tariff: Tariff, usage: Usage, currency: Currency) -> Iterator[ChargeLine]:
    """Divide the spans at the borders of the bands, add up per band, and yield a line for each."""
    zone = ZoneInfo(tariff.time_zone)
    buckets: dict[Band | None, _Bucket] = {}
    free_wh: int | Fraction = tariff.free_wh
    idle_s: int | Fraction = 0
    for stay in _stays(tariff, usage):
        idle_s += stay.idle_s
        for piece in divide(stay.span, tariff.bands, zone):
            bucket = buckets.setdefault(piece.band, _Bucket(piece.band))
            given = min(free_wh, piece.energy_wh)
            free_wh -= given
            bucket.energy_wh += piece.energy_wh - given
            bucket.ticks += piece.ticks * stay.charging_share
    for bucket in buckets.values():
        yield from _lines(tariff, bucket.band, bucket.energy_wh, bucket.ticks, currency)
    if idle_s:
        yield _line("idle", idle_s, _S_PER_MINUTE, "min", tariff.rate_per_idle_minute, currency, "")


def _stays(tariff: Tariff, usage: Usage) -> Iterable[Stay]:
    """Return how the spans were spent: where idle time has no price, each minute is one of charging."""
    if tariff.rate_per_idle_minute:
        return stays(usage.spans, tariff.idle_grace_s)
    return (Stay(span, 1, 0) for span in usage.spans)


def problems(tariff: Tariff) -> list[str]:
    """Say what is wrong with a tariff, each with the name of its field; an empty list for a good one."""
    rates = ("rate_per_kwh", "rate_per_minute", "rate_per_idle_minute", "tax_percent")
    found = [f"{name}: cannot be negative" for name in rates if getattr(tariff, name) < 0]
    amounts = ("start_fee_minor", "idle_grace_s", "free_wh", "minimum_minor")
    found += [f"{name}: cannot be negative" for name in amounts if getattr(tariff, name) < 0]
    if tariff.tax_percent > _HUNDRED:
        found.append("tax_percent: at most 100")
    if tariff.maximum_minor is not None and tariff.maximum_minor < tariff.minimum_minor:
        found.append("maximum_minor: cannot be less than the minimum")
    return found + [f"bands: {problem}" for problem in band_problems(tariff.bands)]


def encode_tariff(tariff: Tariff) -> str:
    """Write a tariff as the text that is copied into a transaction."""
    return msgspec.json.encode(tariff).decode()


@lru_cache(maxsize=1024)
def decode_tariff(text: str) -> Tariff:
    """Read the tariff that a transaction carries; few differ, so they are kept."""
    return msgspec.json.decode(text, type=Tariff)
