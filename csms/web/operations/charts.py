"""Draws a transaction's readings: energy as an area, power as a line, over time. Pure arithmetic for an SVG.

Knows the size of the picture, not its colours: they stand in the style sheet. Coordinates are whole pixels.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from csms.charging.overview import ReadingView

WIDTH, HEIGHT = 600, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 40, 12, 30
_MOST_POINTS = 400
_STEPS_WH: tuple[int, ...] = tuple(digit * 10**power for power in range(2, 16) for digit in (1, 2, 5))
_STEPS_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 604_800)
_TICKS = 4


class Tick(msgspec.Struct, frozen=True):
    """A mark of an axis: where, and what value stands there (Wh, W)."""

    at: int
    value: int


class TimeTick(msgspec.Struct, frozen=True):
    """A mark of the time axis."""

    at: int
    moment: datetime


class Chart(msgspec.Struct, frozen=True):
    """Paths and marks of the picture; `power_path` is empty where no power was measured."""

    energy_path: str
    energy_area: str
    power_path: str
    energy_ticks: tuple[Tick, ...]
    power_ticks: tuple[Tick, ...]
    time_ticks: tuple[TimeTick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def draw(readings: Sequence[ReadingView], meter_start_wh: int, started_at: datetime) -> Chart | None:
    """Draw readings in the order of time; None where fewer than two points would be shown."""
    energies = [(started_at, 0)]
    energies += [
        (one.happened_at, one.register_wh - meter_start_wh)
        for one in readings
        if one.register_wh is not None and one.register_wh >= meter_start_wh and one.happened_at > started_at
    ]
    powers = [(one.happened_at, one.power_w) for one in readings if one.power_w is not None and one.power_w >= 0]
    if len(energies) < 2:  # noqa: PLR2004 - a line needs two points
        return None
    begin, end = energies[0][0], max(energies[-1][0], powers[-1][0] if powers else energies[-1][0])
    span_s = max(1, int((end - begin).total_seconds()))
    top_wh = _ceiling(max(value for _, value in energies))
    top_w = _ceiling(max((value for _, value in powers), default=0))
    energy = [(_x(at, begin, span_s), _y(value, top_wh)) for at, value in _thin(energies)]
    power = [(_x(at, begin, span_s), _y(value, top_w)) for at, value in _thin(powers) if at >= begin]
    floor = HEIGHT - _BOTTOM
    return Chart(
        energy_path=_path(energy),
        energy_area=f"{_path(energy)} L{energy[-1][0]} {floor} L{energy[0][0]} {floor} Z",
        power_path=_path(power) if len(power) > 1 else "",
        energy_ticks=_ticks(top_wh),
        power_ticks=_ticks(top_w) if len(power) > 1 else (),
        time_ticks=_time_ticks(begin, span_s),
    )


def _thin(points: list[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Keep at most `_MOST_POINTS`, the last one among them."""
    step = -(-len(points) // _MOST_POINTS) or 1
    kept = points[::step]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def _x(at: datetime, begin: datetime, span_s: int) -> int:
    inside_s = min(span_s, max(0, int((at - begin).total_seconds())))
    return _LEFT + inside_s * (WIDTH - _LEFT - _RIGHT) // span_s


def _y(value: int, top: int) -> int:
    return HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM) // top


def _path(points: list[tuple[int, int]]) -> str:
    return "M" + " L".join(f"{x} {y}" for x, y in points) if points else ""


def _step(highest: int) -> int:
    return next((step for step in _STEPS_WH if step * _TICKS >= highest), _STEPS_WH[-1])


def _ceiling(highest: int) -> int:
    step = _step(highest)
    return max(step, -(-highest // step) * step)


def _ticks(top: int) -> tuple[Tick, ...]:
    return tuple(Tick(_y(value, top), value) for value in range(0, top + 1, _step(top)))


def _time_ticks(begin: datetime, span_s: int) -> tuple[TimeTick, ...]:
    step_s = next((step for step in _STEPS_S if step * (_TICKS + 2) >= span_s), _STEPS_S[-1])
    first_s = -int(begin.timestamp()) % step_s
    moments = (begin + timedelta(seconds=offset) for offset in range(first_s, span_s + 1, step_s))
    return tuple(TimeTick(_x(moment, begin, span_s), moment) for moment in moments)
