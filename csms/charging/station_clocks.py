"""How far the clock of a station is off, from the statuses it sends. Pure.

A status is usually sent at once, so its timestamp tells the station's time now. One that waited in a queue looks as if
the clock were behind; the next one will not look so by the same amount. A clock that is ahead cannot be explained away.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from csms.charging.facts import Alarm, AlarmOver, ChargePoint, ClockSkew

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)  # a clock that was never set counts from 1970 or 2000
AHEAD = timedelta(minutes=10)  # a clock may run ahead of ours by this much; beyond it our time takes its place
_TOLERATED_S = 120
_SAME_S = 60  # two samples that differ by less agree
_CHANGED_S = 5  # what differs by less is not worth writing
_LARGEST_S = 2**31 - 1


def measured(charge_point: ChargePoint, claimed_at: datetime | None, now: datetime) -> tuple[Any, ...]:
    """Return the skew to be stored, and the alarm that begins or ends with it."""
    if claimed_at is None:
        return ()
    skew_s = _skew_s(claimed_at, now)
    known_s = charge_point.clock_skew_s
    intents: list[Any] = []
    if known_s is None or abs(skew_s - known_s) >= _CHANGED_S:
        intents.append(ClockSkew(charge_point.charge_point_id, skew_s))
    key = f"clock: {charge_point.charge_point_id}"
    agrees = known_s is not None and abs(skew_s - known_s) < _SAME_S
    if skew_s > _TOLERATED_S or (skew_s < -_TOLERATED_S and agrees):
        side = "ahead of" if skew_s > 0 else "behind"
        text = f"The clock of {charge_point.identity[:100]} is {abs(skew_s)} s {side} ours."
        intents.append(Alarm(key, "clock of a station is wrong", charge_point.charge_point_id, None, text))
    elif known_s is not None and abs(known_s) > _TOLERATED_S and abs(skew_s) <= _TOLERATED_S:
        intents.append(AlarmOver(key))
    return tuple(intents)


def set_further_ahead(charge_point: ChargePoint, claimed_at: datetime, now: datetime) -> tuple[ClockSkew, ...]:
    """Return the skew of a clock that is further ahead than was known: nothing but a clock that was set explains it."""
    skew_s, known_s = _skew_s(claimed_at, now), charge_point.clock_skew_s
    if known_s is not None and skew_s < known_s + _SAME_S:
        return ()
    return (ClockSkew(charge_point.charge_point_id, skew_s),)


def by_its_clock(charge_point: ChargePoint, told: datetime, at: datetime) -> datetime:
    """Return what a station's own clock showed when it `told` a time, `at` by ours: what it told, or where that could
    not be right and ours took its place, ours with the skew.
    """
    theirs = at + timedelta(seconds=charge_point.clock_skew_s or 0)
    return told if theirs >= EARLIEST and theirs - at <= AHEAD else theirs


def _skew_s(claimed_at: datetime, now: datetime) -> int:
    return max(-_LARGEST_S, min(_LARGEST_S, (claimed_at - now) // timedelta(seconds=1)))
