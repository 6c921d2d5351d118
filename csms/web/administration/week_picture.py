"""Draws the week of a tariff: a row for each weekday, from midnight to midnight, with what applies when. Pure.

Knows the size of the picture, not its colours: they stand in the style sheet. Coordinates are whole pixels.
"""

from decimal import Decimal

import msgspec

from csms.billing.bands import DAYS, MINUTES_PER_DAY, Band, joined
from csms.billing.tariffs import Tariff
from csms.billing.wall_clock import WEEKDAYS, write_clock, write_weekdays

_COLOURS = 6
_LEFT, _TOP, _ROW, _GAP, _MINUTES_PER_PIXEL = 44, 4, 24, 4, 2
_HOURS = range(0, 25, 3)
_SHORTEST_NAMED = 60  # pixels that a name needs
_LETTER = 7


class Block(msgspec.Struct, frozen=True):
    """A rectangle of the picture: the time of one band on one day."""

    x: int
    y: int
    width: int
    height: int
    colour: int
    name: str
    title: str


class Mark(msgspec.Struct, frozen=True):
    """A text at a place of an axis."""

    at: int
    text: str


class LegendLine(msgspec.Struct, frozen=True):
    """What a colour means; colour 0 is the time outside of the bands."""

    colour: int
    name: str
    when: str
    rate_per_kwh: Decimal
    rate_per_minute: Decimal


class Week(msgspec.Struct, frozen=True):
    """The whole picture."""

    blocks: tuple[Block, ...]
    days: tuple[Mark, ...]
    hours: tuple[Mark, ...]
    legend: tuple[LegendLine, ...]
    left: int = _LEFT
    right: int = _LEFT + MINUTES_PER_DAY // _MINUTES_PER_PIXEL
    bottom: int = _TOP + len(DAYS) * (_ROW + _GAP)
    width: int = _LEFT + MINUTES_PER_DAY // _MINUTES_PER_PIXEL + 20
    height: int = _TOP + len(DAYS) * (_ROW + _GAP) + 20


def draw_week(tariff: Tariff) -> Week:
    """Draw what applies in a week on the wall clock of the tariff's zone; bands that make no sense are left out."""
    blocks = [_block(day, 0, MINUTES_PER_DAY, 0, "") for day in DAYS]
    legend = [LegendLine(0, "Otherwise", "", tariff.rate_per_kwh, tariff.rate_per_minute)]
    bands = tuple(one for one in tariff.bands if 0 <= one.begin_minute < one.end_minute <= MINUTES_PER_DAY)
    names = list(dict.fromkeys(band.name for band in bands))
    colours = {name: 1 + number % _COLOURS for number, name in enumerate(names)}
    for band in bands:
        blocks += [
            _block(day, band.begin_minute, band.end_minute, colours[band.name], band.name) for day in band.weekdays
        ]
    for band in joined(bands):  # a night in two parts is one night, as it was typed
        line = LegendLine(colours[band.name], band.name, _when(band), band.rate_per_kwh, band.rate_per_minute)
        legend.append(line)
    return Week(
        tuple(blocks),
        tuple(Mark(_top(day) + _ROW - 7, WEEKDAYS[day].capitalize()) for day in DAYS),
        tuple(Mark(_LEFT + hour * 60 // _MINUTES_PER_PIXEL, f"{hour:02}") for hour in _HOURS),
        tuple(legend),
    )


def _when(band: Band) -> str:
    days = write_weekdays(band.weekdays).replace("-", "\N{EN DASH}").replace(",", ", ").title()
    return f"{days} {write_clock(band.begin_minute)}\N{EN DASH}{write_clock(band.end_minute)}"


def _top(day: int) -> int:
    return _TOP + day * (_ROW + _GAP)


def _block(day: int, begin_minute: int, end_minute: int, colour: int, name: str) -> Block:
    x, width = _LEFT + begin_minute // _MINUTES_PER_PIXEL, (end_minute - begin_minute) // _MINUTES_PER_PIXEL
    fits = name[: width // _LETTER] if width >= _SHORTEST_NAMED else ""
    title = f"{name or 'Otherwise'}, {WEEKDAYS[day].capitalize()} {write_clock(begin_minute)}-{write_clock(end_minute)}"
    return Block(x, _top(day), max(1, width), _ROW, colour, fits, title)
