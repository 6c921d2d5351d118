"""Time-of-day and weekday bands: which price applies at a moment, and how a span of time divides at the borders. Pure.

Borders are wall-clock times of the site's zone, so a day on which the clocks change has 23 or 25 hours and each of its
hours belongs to one band. Energy within a span is spread evenly over its time; nothing is rounded here.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

MINUTES_PER_DAY = 1440
DAYS = range(7)  # Monday is 0


class Band(msgspec.Struct, frozen=True):
    """Prices from `begin_minute` to `end_minute` of the local day (0 to 1440), on `weekdays` (Monday is 0)."""

    name: str
    weekdays: tuple[int, ...]
    begin_minute: int
    end_minute: int
    rate_per_kwh: Decimal
    rate_per_minute: Decimal = Decimal(0)

    def covers(self, weekday: int, minute: int) -> bool:
        """Tell whether this band applies at a minute of a weekday."""
        return weekday in self.weekdays and self.begin_minute <= minute < self.end_minute


class Span(msgspec.Struct, frozen=True):
    """Energy drawn between two moments (aware, UTC), the power that was told at its end (W, 0: none), and whether the
    station itself held back.
    """

    begin: datetime
    end: datetime
    energy_wh: int | Fraction
    power_w: int = 0
    is_held: bool = False


class Piece(msgspec.Struct, frozen=True):
    """The part of a span that lies in one band (None: outside of all), its time in microseconds; exact, unrounded."""

    band: Band | None
    energy_wh: int | Fraction
    ticks: int

    @property
    def seconds(self) -> Fraction:
        """Its time in seconds."""
        return Fraction(self.ticks, 10**6)


def divide(span: Span, bands: tuple[Band, ...], zone: ZoneInfo) -> Iterator[Piece]:
    """Divide a span at the borders of the bands. A span of no duration lies where it begins."""
    begin, place = span.begin, None
    for moment, following in _changes(span, bands, zone) if bands else ():
        if moment > begin:
            if moment >= span.end:
                break
            if following == place:
                continue
            yield _piece(span, None if place is None else bands[place], moment - begin)
            begin = moment
        place = following
    yield _piece(span, None if place is None else bands[place], span.end - begin)


def _piece(span: Span, band: Band | None, duration: timedelta) -> Piece:
    ticks, whole = duration // _TICK, (span.end - span.begin) // _TICK
    energy_wh = span.energy_wh
    return Piece(band, energy_wh if ticks == whole else Fraction(energy_wh * ticks) / whole, ticks)


def band_at(moment: datetime, bands: tuple[Band, ...], zone: ZoneInfo) -> Band | None:
    """Return the band that applies at a moment, or None outside of all."""
    place = _place_at(moment, bands, zone)
    return None if place is None else bands[place]


def _place_at(moment: datetime, bands: tuple[Band, ...], zone: ZoneInfo) -> int | None:
    local = moment.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return next((place for place, band in enumerate(bands) if band.covers(local.weekday(), minute)), None)


def split(band: Band) -> tuple[Band, ...]:
    """Return a band that may run across midnight, as people name it, as bands that each lie within one day.

    What ends at or before it begins ends on the following day: 22:00 to 06:00 on Monday is Monday's from 22:00 and
    Tuesday's to 06:00. One that ends when it begins stays as it is, to be refused.
    """
    if band.end_minute >= band.begin_minute:
        return (band,)
    evening = msgspec.structs.replace(band, end_minute=MINUTES_PER_DAY)
    morning = msgspec.structs.replace(band, begin_minute=0, weekdays=_following(band.weekdays))
    return (evening, morning) if band.end_minute else (evening,)


def joined(bands: tuple[Band, ...]) -> tuple[Band, ...]:
    """Return bands as people name them: the two parts of a night as one that ends before it begins."""
    rest = list(bands)
    found = []
    while rest:
        band = rest.pop(0)
        morning = next((one for one in rest if one.end_minute and split(_night(band, one)) == (band, one)), None)
        if morning is not None:
            rest.remove(morning)
            band = _night(band, morning)
        found.append(band)
    return tuple(found)


def _night(evening: Band, morning: Band) -> Band:
    return msgspec.structs.replace(evening, end_minute=morning.end_minute)


def _following(weekdays: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted((day + 1) % len(DAYS) for day in weekdays))


_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_DAYS_KEPT = 4096  # eleven years of one tariff


def _changes(span: Span, bands: tuple[Band, ...], zone: ZoneInfo) -> Iterator[tuple[datetime, int | None]]:
    """Yield from when on which of the bands applies, in order, on all the days of UTC that a span touches."""
    day, last = span.begin.astimezone(UTC).date(), span.end.astimezone(UTC).date()
    while day <= last:
        yield from _changes_on(day, bands, zone)
        day += _DAY


@lru_cache(maxsize=_DAYS_KEPT)
def _changes_on(day: date, bands: tuple[Band, ...], zone: ZoneInfo) -> tuple[tuple[datetime, int | None], ...]:
    """Return what applies at the begin of a day of UTC, and from each border within it on; most spans share a day.

    By its place: bands that are equal need not be written alike (0.2 and 0.20), and a line shows the rate as written.
    """
    begin = datetime.combine(day, time(), tzinfo=UTC)
    moments = (begin, *_borders(begin, begin + _DAY, bands, zone))
    return tuple((moment, _place_at(moment, bands, zone)) for moment in moments)


def _borders(begin: datetime, end: datetime, bands: tuple[Band, ...], zone: ZoneInfo) -> list[datetime]:
    """Return the moments between two at which another band may begin, in order."""
    minutes = sorted({0} | {edge % MINUTES_PER_DAY for band in bands for edge in (band.begin_minute, band.end_minute)})
    first, last = begin.astimezone(zone).date(), end.astimezone(zone).date()
    found: set[datetime] = set()
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for minute in minutes:
            found.update(_moments(day, minute, zone))
        found.update(_clock_change(day, zone))
    return sorted(moment for moment in found if begin < moment < end)


def _moments(day: date, minute: int, zone: ZoneInfo) -> set[datetime]:
    """Return when the wall clock shows a minute of a day: twice where the clock is set back."""
    wall = datetime.combine(day, time(minute // 60, minute % 60), tzinfo=zone)
    return {wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}


def _clock_change(day: date, zone: ZoneInfo) -> set[datetime]:
    """Return when the clocks change on a day, to the minute: the wall clock jumps over borders then."""
    begin = datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    before = begin.astimezone(zone).utcoffset()
    if before == end.astimezone(zone).utcoffset():
        return set()
    low, high = 0, int((end - begin).total_seconds()) // 60
    while high - low > 1:
        middle = (low + high) // 2
        if (begin + timedelta(minutes=middle)).astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return {begin + timedelta(minutes=high)}


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a band (or two), counted from 1."""

    numbers: tuple[int, ...]
    field: str
    why: str

    def __str__(self) -> str:
        """Say it with the number of the band."""
        return f"band {self.numbers[0]}: {self.why}" if len(self.numbers) == 1 else self.why


def problems(bands: tuple[Band, ...]) -> list[Fault]:
    """Say what is wrong with bands: an impossible time, no day, a negative rate, or two that overlap."""
    found = []
    for number, band in enumerate(bands, 1):
        if not 0 <= band.begin_minute < band.end_minute <= MINUTES_PER_DAY:
            found.append(Fault((number,), "end", "the end must lie after the begin, both within one day"))
        if not band.weekdays or not set(band.weekdays) <= set(DAYS):
            found.append(Fault((number,), "weekdays", "choose at least one weekday"))
        if band.rate_per_kwh < 0 or band.rate_per_minute < 0:
            found.append(Fault((number,), "rate_per_kwh", "a rate cannot be negative"))
    for number, band in enumerate(bands, 1):
        for other_number, other in enumerate(bands[number:], number + 1):
            if set(band.weekdays) & set(other.weekdays) and (
                band.begin_minute < other.end_minute and other.begin_minute < band.end_minute
            ):
                found.append(Fault((number, other_number), "begin", f"bands {number} and {other_number} overlap"))
    return found
