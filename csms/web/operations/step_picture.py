"""Draws charging schedules as steps over time. Pure arithmetic for an SVG.

Knows the size of the picture, not its colours: they stand in the style sheet. Coordinates are whole pixels. Where
nothing limits, the line runs dashed along the top.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from csms.operations.profile_schedules import Step
from csms.operations.profile_words import write_limit, write_span

_LEFT, _RIGHT, _TOP, _BOTTOM, _FREE = 62, 16, 34, 28, 12
_WIDTH, _HEIGHT = 640, 218
_STEPS = tuple(Decimal(digit).scaleb(power) for power in range(8) for digit in (1, 2, 5))
_TIMES_S = (300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800)
_MOST_TIMES, _MOST_LIMITS = 8, 4
_TWO_DAYS_S = 172_800


class Series(msgspec.Struct, frozen=True):
    """One schedule of a picture."""

    name: str
    steps: Sequence[Step]


class Line(msgspec.Struct, frozen=True):
    """Its lines: where a limit holds, and where none does."""

    name: str
    path: str
    free_path: str


class Tick(msgspec.Struct, frozen=True):
    """A mark of an axis, and what stands there."""

    at: int
    text: str


class StepPicture(msgspec.Struct, frozen=True):
    """The whole picture, and the same in words for each series."""

    lines: tuple[Line, ...]
    limit_ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]
    words: tuple[str, ...]
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    bottom: int = _HEIGHT - _BOTTOM
    free: int = _FREE


def draw_steps(
    series: Sequence[Series], duration_s: int, unit: str, begin: datetime | None = None, zone: ZoneInfo | None = None
) -> StepPicture:
    """Draw schedules over a duration; the time axis is the wall clock from `begin` on, or time since the begin."""
    limits = [one.limit for each in series for one in each.steps if one.limit is not None]
    highest = max([*limits, Decimal(1)])
    step = next((one for one in _STEPS if one * _MOST_LIMITS >= highest), _STEPS[-1])
    count = int(highest // step) + bool(highest % step)
    top = step * count
    ticks = tuple(Tick(_y(step * number, top), write_limit(step * number, unit)) for number in range(count + 1))
    return StepPicture(
        tuple(_line(one, duration_s, top) for one in series),
        ticks,
        tuple(_time_ticks(duration_s, begin, zone)),
        tuple(f"{one.name}: {describe(one.steps, duration_s, unit, begin, zone)}" for one in series),
    )


def describe(
    steps: Sequence[Step], duration_s: int, unit: str, begin: datetime | None = None, zone: ZoneInfo | None = None
) -> str:
    """Say a schedule in words."""
    shown = [one for one in steps if one.offset_s < duration_s]
    parts = []
    for one in shown:
        at = _label(one.offset_s, duration_s, begin, zone)
        limit = "no limit" if one.limit is None else write_limit(one.limit, unit)
        phases = f" on {one.number_phases} phases" if one.number_phases not in {None, 1, 3} else ""
        phases = " on 1 phase" if one.number_phases == 1 else phases
        parts.append(f"{limit}{phases}" if len(shown) == 1 else f"{at} {limit}{phases}")
    return ", ".join(parts)


def _x(offset_s: int, duration_s: int) -> int:
    return _LEFT + min(max(0, offset_s), duration_s) * (_WIDTH - _LEFT - _RIGHT) // max(1, duration_s)


def _y(limit: Decimal, top: Decimal) -> int:
    return _HEIGHT - _BOTTOM - int(limit * (_HEIGHT - _TOP - _BOTTOM) / top)


def _line(one: Series, duration_s: int, top: Decimal) -> Line:
    path, free = "", ""
    before: int | None = None
    ends = [*(each.offset_s for each in one.steps[1:]), duration_s]
    for each, end in zip(one.steps, ends, strict=True):
        x, until = _x(each.offset_s, duration_s), _x(end, duration_s)
        if until <= x and end > each.offset_s:
            until = x + 1
        if each.limit is None:
            free += f"M{x} {_FREE} H{until} "
            before = None
            continue
        y = _y(each.limit, top)
        path += f"M{x} {y} H{until} " if before is None else f"V{y} H{until} "
        before = y
    return Line(one.name, path.strip(), free.strip())


def _time_ticks(duration_s: int, begin: datetime | None, zone: ZoneInfo | None) -> list[Tick]:
    step_s = next((one for one in _TIMES_S if one * _MOST_TIMES >= duration_s), None)
    step_s = step_s or -(-duration_s // _MOST_TIMES // 604_800) * 604_800
    first = 0
    if begin is not None and zone is not None:
        local = begin.astimezone(zone)
        since_midnight = local.hour * 3600 + local.minute * 60 + local.second
        first = -since_midnight % min(step_s, 86_400)
    offsets = range(first, duration_s + 1, step_s)
    return [Tick(_x(each, duration_s), _label(each, duration_s, begin, zone)) for each in offsets]


def _label(offset_s: int, duration_s: int, begin: datetime | None, zone: ZoneInfo | None) -> str:
    if begin is None or zone is None:
        return f"+{write_span(offset_s)}"
    local = (begin + timedelta(seconds=offset_s)).astimezone(zone)
    return f"{local:%a %H:%M}" if duration_s >= _TWO_DAYS_S else f"{local:%H:%M}"
