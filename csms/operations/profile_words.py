"""Charging profiles as people write them: times into a schedule, limits, periods; read and written. Pure.

Every reader raises ValueError with a sentence that says what is allowed.
"""

import re
from decimal import Decimal
from zoneinfo import ZoneInfo

from csms.billing.wall_clock import write_moment
from csms.operations.profile_schedules import Period, Profile, Step, Unit

_SPAN = re.compile(r"([0-9]{1,5}):([0-5][0-9])(?::([0-5][0-9]))?")
_LIMIT = re.compile(r"[0-9]{1,7}([.,][0-9])?")
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60
_SHORTEST_S = 3600  # that a picture shows


def read_span(text: str) -> int:
    """Read "8:00", "26:30" or "0:00:30" (hours, minutes, seconds) as seconds."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text.strip()[:20]!r} is no time in hours and minutes, such as 8:00 or 26:30")
    return int(found[1]) * _HOUR_S + int(found[2]) * _MINUTE_S + int(found[3] or 0)


def write_span(seconds: int) -> str:
    """Write seconds as "8:00", with seconds only where there are any."""
    hours, rest = divmod(seconds, _HOUR_S)
    minutes, left = divmod(rest, _MINUTE_S)
    return f"{hours}:{minutes:02}:{left:02}" if left else f"{hours}:{minutes:02}"


def read_limit(text: str) -> Decimal:
    """Read a limit with at most one decimal, as OCPP allows it (1.6, 7.14)."""
    if not _LIMIT.fullmatch(text.strip()):
        raise ValueError(f"{text.strip()[:20]!r} is no limit: a number from 0 with at most one decimal, such as 16")
    return Decimal(text.strip().replace(",", "."))


def read_period(text: str) -> Period:
    """Read "8:00=16" or "8:00=16/1" (time into the schedule, limit, number of phases) as a period."""
    start, equals, rest = text.partition("=")
    limit, slash, phases = rest.partition("/")
    if not equals or (slash and phases.strip() not in {"1", "2", "3"}):
        raise ValueError(f"{text.strip()[:30]!r} is no period, such as 0:00=16, or 8:00=10/1 for one phase")
    return Period(read_span(start), read_limit(limit), int(phases) if slash else None)


def write_limit(limit: Decimal, unit: str) -> str:
    """Write a limit with its unit, without needless zeros."""
    return f"{limit.normalize():f} {unit}"


def write_period(one: Period, unit: Unit) -> str:
    """Write a period as it is read."""
    phases = "" if one.number_phases is None else f"/{one.number_phases}"
    return f"{write_span(one.start_period)}={one.limit.normalize():f}{phases} {unit}"


def when(profile: Profile, zone: ZoneInfo) -> str:
    """Say when a profile runs: its kind, its begin, how long."""
    schedule = profile.charging_schedule
    start = schedule.start_schedule
    begin = "" if start is None else write_moment(start, zone)
    words = {
        "Absolute": f"from {begin}" if begin else "from when charging begins",
        "Recurring": f"{(profile.recurrency_kind or '').lower()} from {begin}".strip(),
        "Relative": "from when charging begins",
    }[profile.charging_profile_kind]
    return words if schedule.duration is None else f"{words}, for {write_span(schedule.duration)} h"


def limits(profile: Profile) -> str:
    """Say in one line what a profile allows."""
    schedule = profile.charging_schedule
    unit = schedule.charging_rate_unit
    first, *more = schedule.charging_schedule_period
    text = write_limit(first.limit, unit)
    later = [f"{write_limit(one.limit, unit)} after {write_span(one.start_period)} h" for one in more]
    shown = ", ".join([text, *later[:2]])
    return shown if len(later) < 3 else f"{shown} and {len(later) - 2} more"  # noqa: PLR2004 - that a line holds


def shape(profile: Profile) -> tuple[tuple[Step, ...], int]:
    """Return the steps of a profile by itself, and over how many seconds they are worth looking at."""
    schedule = profile.charging_schedule
    steps = [Step(one.start_period, one.limit, one.number_phases) for one in schedule.charging_schedule_period]
    if profile.charging_profile_kind == "Recurring":
        span_s = 7 * _DAY_S if profile.recurrency_kind == "Weekly" else _DAY_S
    elif schedule.duration is not None:
        span_s = schedule.duration
    else:
        span_s = max(_SHORTEST_S, max((one.offset_s for one in steps), default=0) * 5 // 4)
    if schedule.duration is not None and schedule.duration < span_s:
        steps.append(Step(schedule.duration, None))
    return tuple(steps), max(1, span_s)
