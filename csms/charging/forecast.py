"""What a running transaction will have cost, and when its credit ends. Pure; whole numbers only.

Knows the latest reading, the power, the tariff and the account. Far from the end it computes with the highest rates of
the tariff, which is cheap and never late; near it, it prices the transaction as it would be charged. Knows nothing of
stations, commands or links.
"""

from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from csms.billing.tariffs import decode_tariff, encode_tariff
from csms.charging.daily_limit import most_minor
from csms.charging.facts import Point, Transaction
from csms.charging.pricing import cost_of
from csms.charging.working_set import WorkingSet

NEAR = timedelta(seconds=120)  # before the credit may end: from here on its end is computed exactly
FAR = timedelta(hours=4)  # beyond it nobody needs to know
_PRECISION = timedelta(milliseconds=50)
_MILLISECOND = timedelta(milliseconds=1)
_MS_PER_HOUR = 3_600_000
_MICRO = 10**6
_JITTER = timedelta(seconds=10)  # by which one message may have been so much slower than another
_DRIFT = 64  # a station's clock that runs slow, or was set back, is caught up with by this part of the time


def heard_at(one: Transaction) -> datetime:
    """Return when the latest reading was taken, by our clock."""
    return one.heard_at or one.recorded_at


def taken_at(one: Transaction, happened_at: datetime, now: datetime) -> datetime:
    """Return when, by our clock, something happened that came just now, from what the latest reading's times were.

    The station's clock may be wrong, but it counts seconds: no message is taken for younger than the fastest one before
    makes it. So one that waited in a queue or met a slow link is not mistaken for fresh.
    """
    passed = happened_at - one.register_at
    return min(now, heard_at(one) + passed + max(passed, timedelta(0)) / _DRIFT)


def set_ahead(one: Transaction, happened_at: datetime, now: datetime) -> timedelta:
    """Return by how much a station's clock was set ahead since the latest reading, as its next one tells.

    By its clock more time has passed than by ours since the fastest message. A start that came out of a queue makes
    that look so, too.
    """
    ahead = heard_at(one) + (happened_at - one.register_at) - now
    return ahead if ahead > _JITTER and "late" not in one.flags else timedelta(0)


def credit_minor(one: Transaction, working_set: WorkingSet) -> int | None:
    """Return what a transaction may cost in all: its hold and what its account has left, within the day's limit.

    None without an account that pays.
    """
    hold = working_set.books.holds.get(one.transaction_id)
    if hold is None or hold.state != "open":
        return None
    account = working_set.books.accounts[hold.account_id]
    credit = hold.amount_minor + account.available_minor
    most = most_minor(one, account, working_set)
    return credit if most is None else min(credit, most)


def cost_after(one: Transaction, more: timedelta, power_w: int, working_set: WorkingSet) -> int:
    """Return what a transaction will have cost so long after its latest reading, at a power."""
    points = working_set.points.get(one.transaction_id, [])
    if one.needs_spans:
        points = [*points, Point(one.register_at, one.register_wh, one.power_w)]
    drawn_wh = power_w * (more // _MILLISECOND) // _MS_PER_HOUR
    end_wh, end_at = one.register_wh + drawn_wh, one.register_at + more
    return cost_of(one, end_wh, end_at, points, working_set.books.currency)


def is_exhausted(one: Transaction, working_set: WorkingSet) -> bool:
    """Tell whether the cost so far has reached the credit, and would not stay there."""
    credit = credit_minor(one, working_set)
    if credit is None or one.cost_minor <= 0 or one.cost_minor < credit:
        return False
    if one.cost_minor > credit or not one.tariff_json:
        return True
    return not _stays_within(one, credit) and _rising_cost(one, credit, timedelta(0), 0, working_set) >= credit


def ends_at(one: Transaction, power_w: int, working_set: WorkingSet, now: datetime) -> datetime | None:
    """Return when, by our clock, the credit ends at a power; None where that is not in sight.

    A moment further off than `NEAR` may be too early, and is for looking again. A nearer one is exact, however long ago
    the latest reading was taken.
    """
    credit = credit_minor(one, working_set)
    if credit is None or not one.tariff_json:
        return None
    least = _least_time(one, credit, power_w, working_set)
    if least is None:
        return None
    if heard_at(one) + least - now > NEAR:
        return heard_at(one) + least
    exact = _exact_time(one, max(1, credit), power_w, working_set)
    return None if exact is None else heard_at(one) + exact


def ends_not_before(
    one: Transaction, power_w: int, working_set: WorkingSet, *, within: timedelta = FAR
) -> datetime | None:
    """Return a moment before which the credit cannot end at a power; None where that is not in sight. Cheap."""
    credit = credit_minor(one, working_set)
    least = None if credit is None or not one.tariff_json else _least_time(one, credit, power_w, working_set, within)
    return None if least is None else heard_at(one) + least


def _exact_time(one: Transaction, credit: int, power_w: int, working_set: WorkingSet) -> timedelta | None:
    """Return when the price, rounded half up, becomes the credit: half a minor unit before it would be exact. None
    where it does not for long.
    """
    low, high = timedelta(0), NEAR
    while _rising_cost(one, credit, high, power_w, working_set) < credit:
        if high > FAR:
            return None
        low, high = high, 2 * high
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if _rising_cost(one, credit, middle, power_w, working_set) < credit:
            low = middle
        else:
            high = middle
    return low


def _least_time(
    one: Transaction, credit: int, power_w: int, working_set: WorkingSet, within: timedelta = FAR
) -> timedelta | None:
    """Return the time in which the credit cannot end even at the highest rates of the tariff; None: not for long."""
    if _stays_within(one, credit):
        return None
    per_kwh, per_minute, fee_minor = _highest(one.tariff_json)
    per_hour = power_w * per_kwh // 1000 + per_minute * 60  # in millionths of a unit
    cost_minor = one.cost_minor
    if cost_minor and cost_minor == decode_tariff(one.tariff_json).minimum_minor:
        cost_minor = _rising_cost(one, credit, timedelta(0), 0, working_set)
    left_minor = credit - (cost_minor or fee_minor)
    left = max(0, left_minor) * _MICRO // working_set.books.currency.scale
    if per_hour <= 0 or left * 3600 > per_hour * int(within.total_seconds()):
        return None
    return timedelta(milliseconds=left * _MS_PER_HOUR // per_hour)


def _stays_within(one: Transaction, credit: int) -> bool:
    """Tell whether the credit pays for the most that a transaction can cost: then it never ends."""
    maximum_minor = decode_tariff(one.tariff_json).maximum_minor
    return maximum_minor is not None and maximum_minor <= credit


def _rising_cost(one: Transaction, credit: int, more: timedelta, power_w: int, working_set: WorkingSet) -> int:
    """Return what a transaction will have cost, without a minimum charge that the credit pays: who pays it may draw
    what it is for.
    """
    return cost_after(
        msgspec.structs.replace(one, tariff_json=_rising(one.tariff_json, credit)), more, power_w, working_set
    )


@lru_cache(maxsize=1024)
def _rising(tariff_json: str, credit: int) -> str:
    tariff = decode_tariff(tariff_json)
    if not 0 < tariff.minimum_minor <= credit:
        return tariff_json
    return encode_tariff(msgspec.structs.replace(tariff, minimum_minor=0))


@lru_cache(maxsize=1024)
def _highest(tariff_json: str) -> tuple[int, int, int]:
    """Return a tariff's highest price per kWh and per minute, in millionths of a unit, and its fee at the start."""
    tariff = decode_tariff(tariff_json)
    per_kwh = max([tariff.rate_per_kwh, *(band.rate_per_kwh for band in tariff.bands)])
    per_minute = max(
        [tariff.rate_per_minute, tariff.rate_per_idle_minute, *(band.rate_per_minute for band in tariff.bands)]
    )
    return int(per_kwh * _MICRO), int(per_minute * _MICRO), tariff.start_fee_minor
