"""What sessions of the guard's simulations are made of: the power that a car takes, what a station and its link are
like, how a session ended.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from csms.billing.bands import Span
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, Usage, total
from csms.connections import Link

CURRENCY = Currency("EUR", 2)
EPOCH = datetime(2026, 3, 2, 12, tzinfo=UTC)
SLOWEST = 1.5  # times the latency at best
LAZIEST = 1.2  # times the usual reaction
_SPAN_S = 30.0  # in which a true price is computed where it depends on when energy is drawn


class Car:
    """Power over time as a line through knots (seconds, watts), and the energy under it."""

    def __init__(self, knots: list[tuple[float, float]]) -> None:
        """Take knots in order of time; after the last one the power stays."""
        self._times = [at for at, _ in knots]
        self._watts = [watts for _, watts in knots]
        self._sums = [0.0]
        for (a, p), (b, q) in itertools.pairwise(knots):
            self._sums.append(self._sums[-1] + (b - a) * (p + q) / 2)

    def power_w(self, at: float) -> float:
        """Return the power at a moment."""
        return self._at(at)[0]

    def energy_wh(self, at: float) -> float:
        """Return the energy taken until a moment."""
        return self._at(at)[1] / 3600

    def _at(self, at: float) -> tuple[float, float]:
        index = max(0, bisect_right(self._times, at) - 1)
        begin, watts, joules = self._times[index], self._watts[index], self._sums[index]
        if index + 1 == len(self._times):
            return watts, joules + (at - begin) * watts
        slope = (self._watts[index + 1] - watts) / (self._times[index + 1] - begin)
        now = watts + slope * (at - begin)
        return now, joules + (at - begin) * (watts + now) / 2


@dataclass
class Station:
    """What a station is like, and what the central system learned of it in its earlier sessions."""

    maximum_w: int
    interval_s: int
    latency_s: float  # of one way, at best
    reaction_s: float
    probes: Literal["answers", "refuses", "ignores"]
    says_power: bool
    clock_s: float  # how far its clock is ahead
    stop_lag_ms: int | None = None
    stops_refused: int = 0  # so many wishes to stop are answered Rejected before one is obeyed
    register_step_wh: int = 1  # what the meter shows is rounded down to this
    clock_set: tuple[tuple[float, float], ...] = ()  # when its clock is set, and by how many seconds
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        """The link has been there for a while: it was pinged."""
        self.link = _link(2 * self.latency_s * (1 + SLOWEST) / 2)


class Outcome(msgspec.Struct, frozen=True):
    """How a session ended, beside what the credit could buy. Overshoot is positive, credit left is negative."""

    station: str
    over_wh: float
    over_minor: int
    probes: int
    stops: int
    limits: int
    bound_wh: float  # maximum power x (interval + both ways of the link), and what no wish to stop could prevent
    looks: int


def _link(ping_s: float) -> Link:
    async def nothing(*_: object) -> None:
        """No socket: messages are events here."""

    return Link(1, "CP1", "1", accepted=True, heard_at=EPOCH, send=nothing, close=nothing, ping_s=lambda: ping_s)


def price_of(tariff: Tariff, car: Car, at: float, moment: Callable[[float], datetime]) -> float:
    """Return what a car costs until a moment where the price depends on when energy is drawn: in short spans."""
    moments = [*(index * _SPAN_S for index in range(int(at / _SPAN_S) + 1)), at]
    spans = []
    for begin, end in itertools.pairwise(moments):
        drawn_wh = int(car.energy_wh(end)) - int(car.energy_wh(begin))
        spans.append(Span(moment(begin), moment(end), drawn_wh))
    return float(total(tariff, Usage(int(car.energy_wh(at)), int(at), tuple(spans)), CURRENCY))
