"""A price by pencil and paper, minute by minute: for tariffs that look at when energy was drawn. Knows no rule's code.

Works on a tariff as it is stored and on rows of readings. The time is cut at each reading, each status and, where there
are bands, each minute of the clock; every cut is looked at by itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

Row = tuple[datetime, int | None, int | None, str]  # moment, Wh, W, flags
_HALF = Fraction(1, 2)
_NO_PART = ("after the end", "implausible")
_TURNS = {"held back by the station": True, "not held back": False}


def rounded(amount: Fraction) -> int:
    """Round half up."""
    return (amount + _HALF).__floor__()


@lru_cache(maxsize=4096)
def cost(tariff_json: str, begin: datetime, begin_wh: int, energy_wh: int, end: datetime, rows: tuple[Row, ...]) -> int:
    """Return what a transaction costs, in hundredths."""
    if not energy_wh:
        return 0
    tariff = msgspec.json.decode(tariff_json)
    end = begin + timedelta(seconds=max(0, (end - begin) // timedelta(seconds=1)))
    per_idle_minute = Fraction(tariff["rate_per_idle_minute"])
    grace = left = Fraction(max(300, tariff["idle_grace_s"]))
    free, idle = Fraction(tariff["free_wh"]), Fraction(0)
    drawn: dict[int, Fraction] = defaultdict(Fraction)
    charging: dict[int, Fraction] = defaultdict(Fraction)
    for at, seconds, wh, power_w, is_held in _cuts(tariff, begin, begin_wh, energy_wh, end, rows):
        band = _band(tariff, at)
        given = min(free, wh)
        free -= given
        drawn[band] += wh - given
        if not per_idle_minute:
            charging[band] += seconds
            continue
        passing = Fraction(0) if is_held else seconds
        worth = max(wh * 36, passing * power_w / 100 if power_w >= 100 else Fraction(0))
        charging[band] += min(passing, worth)
        left += worth - passing
        idle += max(Fraction(0), -left)
        left = min(grace, max(Fraction(0), left))
    sum_minor = tariff["start_fee_minor"] + rounded(idle * per_idle_minute * 100 / 60)
    for band in {*drawn, *charging}:
        rates = tariff if band < 0 else tariff["bands"][band]
        sum_minor += rounded(drawn[band] * Fraction(rates["rate_per_kwh"]) / 10)
        sum_minor += rounded(charging[band] * Fraction(rates["rate_per_minute"]) * 100 / 60)
    sum_minor = max(sum_minor, tariff["minimum_minor"])
    return sum_minor if tariff["maximum_minor"] is None else min(sum_minor, tariff["maximum_minor"])


def depends_on_the_time(tariff: dict[str, Any]) -> bool:
    """Tell whether a tariff looks at when energy was drawn."""
    return bool(tariff["bands"]) or Decimal(tariff["rate_per_idle_minute"]) > 0


def _cuts(
    tariff: dict[str, Any], begin: datetime, begin_wh: int, energy_wh: int, end: datetime, rows: Sequence[Row]
) -> Iterator[tuple[datetime, Fraction, Fraction, int, bool]]:
    """Yield when each cut begins, its seconds and Wh, the power that was told at its end, and whether it was held."""
    turns = sorted((at, _TURNS[flags]) for at, _, _, flags in rows if flags in _TURNS)
    for (since, low, _), (until, high, power_w) in pairwise(_curve(begin, begin_wh, energy_wh, end, rows)):
        moments = {since, until, *(at for at, _ in turns if since < at < until)}
        if tariff["bands"]:
            minute = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
            while minute < until:
                moments.add(minute)
                minute += timedelta(minutes=1)
        cuts = [(a, _seconds(a, b), _is_held(a, turns)) for a, b in pairwise(sorted(moments))]
        if not cuts:
            yield since, Fraction(0), Fraction(high - low), power_w, False
            continue
        free_s = sum((seconds for _, seconds, is_held in cuts if not is_held), Fraction(0))
        all_s = _seconds(since, until)
        for at, seconds, is_held in cuts:
            share = seconds / all_s if not free_s else Fraction(0) if is_held else seconds / free_s
            yield at, seconds, (high - low) * share, power_w, is_held


def _curve(
    begin: datetime, begin_wh: int, energy_wh: int, end: datetime, rows: Sequence[Row]
) -> list[tuple[datetime, int, int]]:
    """Return what counts of the readings, from the start to the end: registers that rise as time goes on."""
    end_wh = begin_wh + energy_wh
    told = sorted(
        (at, register, power_w or 0)
        for at, register, power_w, flags in rows
        if register is not None and not any(flag in flags for flag in _NO_PART)
    )
    curve = [(begin, begin_wh, 0)]
    for one in told:
        if curve[-1][0] < one[0] < end and curve[-1][1] <= one[1] <= end_wh:
            curve.append(one)
    return [*curve, (end, end_wh, 0)]


def _seconds(since: datetime, until: datetime) -> Fraction:
    return Fraction((until - since) // timedelta(microseconds=1), 10**6)


def _is_held(at: datetime, turns: Sequence[tuple[datetime, bool]]) -> bool:
    before = [turn for turn in turns if turn[0] <= at]
    return bool(before) and max(before)[1]


def _band(tariff: dict[str, Any], at: datetime) -> int:
    local = at.astimezone(ZoneInfo(tariff["time_zone"]))
    minute = local.hour * 60 + local.minute
    for number, band in enumerate(tariff["bands"]):
        if local.weekday() in band["weekdays"] and band["begin_minute"] <= minute < band["end_minute"]:
            return number
    return -1
