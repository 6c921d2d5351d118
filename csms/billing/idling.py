"""Idle time: for how long a car charged, and for how long it stood so that the idle price applies. Pure.

What was drawn is held against 100 W: each Wh stands for 36 s of charging. The grace is an account of seconds. It is
full at the start; time in which nothing was drawn takes from it, what is drawn beyond 100 W refills it, and when it is
empty, time costs. So more energy never makes more idle time, and a register that nobody told never does either.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from fractions import Fraction

import msgspec

from csms.billing.bands import Span

CHARGING_W = 100  # what a car's electronics and its trickle take is less
LEAST_GRACE_S = 300  # meters count in steps, and stations tell by the minute: nobody stands for less
_TICK = timedelta(microseconds=1)
_PER_WH = 3600 * 10**6  # in W x microseconds
_PER_S = CHARGING_W * 10**6


class Stay(msgspec.Struct, frozen=True):
    """A span, the part of its time in which the car charged (0 to 1), and the seconds that cost the idle price. What
    is left is grace.
    """

    span: Span
    charging_share: int | Fraction
    idle_s: int | Fraction


def grace_of(idle_grace_s: int) -> int:
    """Return the grace that a tariff gives, in seconds: never less than what a meter may need to show a step."""
    return max(idle_grace_s, LEAST_GRACE_S)


def stays(spans: Iterable[Span], idle_grace_s: int) -> Iterator[Stay]:
    """Say of each of a transaction's spans, in order, how it was spent. While the station held back nobody charges,
    nobody is idle, and the grace stays as it is. A power that was told counts where the register lags behind it.
    """
    grace = grace_of(idle_grace_s) * _PER_S
    left: int | Fraction = grace
    for span in spans:
        ticks = (span.end - span.begin) // _TICK
        passed = 0 if span.is_held else ticks * CHARGING_W
        drawn = span.energy_wh * _PER_WH
        if span.power_w >= CHARGING_W:
            drawn = max(drawn, span.power_w * (0 if span.is_held else ticks))
        balance = left + drawn - passed
        left = min(grace, max(0, balance))
        yield Stay(span, _quotient(min(drawn, passed), ticks * CHARGING_W), _quotient(max(0, -balance), _PER_S))


def _quotient(part: int | Fraction, whole: int) -> int | Fraction:
    """Divide exactly; nothing and a whole, which most are, stay integers: those are a tenth of the work."""
    if not part:
        return 0
    return 1 if part == whole else Fraction(part) / whole
