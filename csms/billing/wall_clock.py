"""Times as people write them: "22:00", "mon-fri", "2026-12-01 06:00" in a site's time zone, read and written. Pure.

Every reader raises ValueError with a sentence that says what is allowed. Knows no price.
"""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from csms.billing.bands import DAYS, MINUTES_PER_DAY

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2})(?::00)?)?")
_MINUTES_PER_HOUR = 60


def read_clock(text: str) -> int:
    """Read "22:00" as minutes since midnight, 0 to 1440 ("24:00" is the end of the day)."""
    found = _CLOCK.fullmatch(text.strip())
    minute = int(found[1]) * _MINUTES_PER_HOUR + int(found[2]) if found else MINUTES_PER_DAY + 1
    if found is None or int(found[2]) >= _MINUTES_PER_HOUR or minute > MINUTES_PER_DAY:
        raise ValueError(f"{text.strip()[:20]!r} is no time of day from 00:00 to 24:00, such as 22:00")
    return minute


def write_clock(minute: int) -> str:
    """Write minutes since midnight as "22:00"."""
    return f"{minute // _MINUTES_PER_HOUR:02}:{minute % _MINUTES_PER_HOUR:02}"


def read_weekdays(text: str) -> tuple[int, ...]:
    """Read "mon-fri,sun" as weekdays (Monday is 0), in order."""
    found: set[int] = set()
    for part in text.strip().lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            raise ValueError(f"{text.strip()[:40]!r} names no weekdays, such as mon-fri or sat,sun")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last if dash else first)
        found.update(range(begin, end + 1) if begin <= end else {*range(begin, len(DAYS)), *range(end + 1)})
    return tuple(sorted(found))


def write_weekdays(weekdays: tuple[int, ...]) -> str:
    """Write weekdays as "mon-fri,sun"."""
    parts: list[str] = []
    days = sorted(weekdays)
    while days:
        run = [days.pop(0)]
        while days and days[0] == run[-1] + 1:
            run.append(days.pop(0))
        first, last = WEEKDAYS[run[0]], WEEKDAYS[run[-1]]
        parts.append(first if first == last else f"{first}-{last}")
    return ",".join(parts)


def read_moment(text: str, zone: ZoneInfo) -> datetime:
    """Read "2026-12-01" or "2026-12-01 06:00" on the wall clock of a zone; return it in UTC."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text.strip()[:30]!r} is no date, such as 2026-12-01 or 2026-12-01 06:00")
    try:
        wall = datetime.fromisoformat(f"{found[1]}T{found[2] or '00:00'}").replace(tzinfo=zone)
    except ValueError:
        raise ValueError(f"{text.strip()!r} is not in the calendar or not on the clock") from None
    moment = wall.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
        raise ValueError(f"{text.strip()!r} does not happen in {zone.key}: the clocks are set forward then")
    return moment


def write_moment(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment as the wall clock of a zone shows it, to the minute."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"
