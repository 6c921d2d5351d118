"""How exactly a charge lands on the credit: `python -m bench.guard_simulation`.

Thousands of simulated sessions, each played twice: with the credit guard, and with the rule that stops at the reading
that shows the credit used up. Deterministic: the same seed gives the same figures on every machine.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Literal, NamedTuple

from bench.guard_parts import LAZIEST, Car, Outcome, Station
from bench.guard_session import Session, Stage
from csms.billing.tariffs import Tariff

AC_W = (3_700, 7_400, 11_000, 22_000)
DC_W = (50_000, 100_000, 150_000)
INTERVALS_S = (10, 60, 300)
STATIONS, SESSIONS_EACH, SEED = 20, 3, 20260302
TARIFFS = (
    Tariff(1, "energy", Decimal("0.40"), Decimal(0), 0, Decimal(20)),
    Tariff(2, "energy and time", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20)),
)
_PROBES: tuple[Literal["answers", "refuses", "ignores"], ...] = ("answers", "answers", "answers", "refuses", "ignores")
_SAY_POWER, _HALF, _STEPPED = 0.7, 0.5, 0.35  # shares of the stations, of the cars, of the stretches of a session


class Class(NamedTuple):
    """What stations have in common."""

    maximum_w: int
    interval_s: int

    @property
    def current(self) -> str:
        """AC or DC."""
        return "AC" if self.maximum_w in AC_W else "DC"

    @property
    def name(self) -> str:
        """Current and maximum power."""
        return f"{self.current} {self.maximum_w / 1000:g} kW"


class Pair(NamedTuple):
    """One session, played twice."""

    kind: Class
    guarded: Outcome
    naive: Outcome
    number: int  # of the station's sessions


def simulate(stations: int = STATIONS, seed: int = SEED) -> Iterator[Pair]:
    """Play every class with so many stations, and several sessions at each."""
    for maximum_w in (*AC_W, *DC_W):
        for interval_s in INTERVALS_S:
            for number in range(stations):
                random = Random(f"{seed} {maximum_w} {interval_s} {number}")
                yield from _at_station(Class(maximum_w, interval_s), number, random)


def station_for(kind: Class, number: int, random: Random) -> Station:
    """Make the station with a number of its class; of five, three answer probes."""
    return Station(
        maximum_w=kind.maximum_w,
        interval_s=kind.interval_s,
        latency_s=0.1 * 50 ** random.random(),
        reaction_s=random.uniform(0.2, 3.0) / LAZIEST,
        probes=_PROBES[number % len(_PROBES)],
        says_power=random.random() < _SAY_POWER,
        clock_s=random.uniform(-60, 60),
    )


def _at_station(kind: Class, number: int, random: Random) -> Iterator[Pair]:
    station = station_for(kind, number, random)
    other = replace(station)
    for session in range(SESSIONS_EACH):
        tariff = random.choice(TARIFFS)
        credit_minor = random.randint(150, 800)
        car = car_for(kind, random, credit_minor)
        seed = random.random()
        guarded = Session(station, car, Stage(tariff, credit_minor), Random(seed), guarded=True).play()
        naive = Session(other, car, Stage(tariff, credit_minor), Random(seed), guarded=False).play()
        yield Pair(kind, guarded, naive, session + 1)


def car_for(kind: Class, random: Random, credit_minor: int) -> Car:
    """Make a car that begins some seconds after the start, ramps up, may be stepped by load management, and tapers."""
    top_w = kind.maximum_w * (random.uniform(0.5, 1.0) if random.random() < _HALF else 1.0)
    ramp_s = random.uniform(15, 45) if kind.current == "DC" else random.uniform(1, 4)
    begin_s = random.uniform(3, 25)
    knots = [(0.0, 0.0), (begin_s, 0.0), (begin_s + ramp_s, top_w)]
    at, watts = knots[-1]
    usual_s = credit_minor / 40 * 3.6e6 / top_w  # about how long the credit lasts
    while random.random() < _STEPPED:  # load management gives more or less
        at += random.uniform(0.05, 0.9) * usual_s
        knots.append((at, watts))
        watts = top_w * random.uniform(0.3, 1.0)
        at += random.uniform(1, 5)
        knots.append((at, watts))
    if kind.current == "DC":
        at += random.uniform(0.0, 1.5) * usual_s
        knots.append((at, watts))
        at += random.uniform(900, 2400)
        knots.append((at, watts * random.uniform(0.25, 0.5)))
    return Car(knots)


# --- the tables -------------------------------------------------------------------------------------------------------


def table(pairs: list[Pair]) -> list[str]:
    """Return the Markdown table: a line for each class, for AC and DC, and for all."""
    chosen: dict[str, list[Pair]] = {}
    for one in pairs:
        answers = "answers" if one.guarded.station == "answers" else "does not answer"
        chosen.setdefault(f"{one.kind.current}, {one.kind.interval_s} s, {answers} probes", []).append(one)
    chosen = {name: chosen[name] for name in sorted(chosen, key=lambda name: (name[:2], int(name.split()[1]), name))}
    for one in pairs:
        chosen.setdefault(one.kind.name, []).append(one)
    for number in range(1, SESSIONS_EACH + 1):
        chosen[f"session {number} of a station"] = [one for one in pairs if one.number == number]
    chosen["**all**"] = pairs
    return [
        "| sessions | of them | guard: over Wh | over cents | left cents | naive: over Wh | over cents | probes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(name, some) for name, some in chosen.items()),
    ]


def _line(name: str, pairs: list[Pair]) -> str:
    guarded, naive = [one.guarded for one in pairs], [one.naive for one in pairs]
    cells = [
        spread([max(0.0, one.over_wh) for one in guarded]),
        spread([max(0, one.over_minor) for one in guarded]),
        spread([max(0, -one.over_minor) for one in guarded]),
        spread([max(0.0, one.over_wh) for one in naive]),
        spread([max(0, one.over_minor) for one in naive]),
        f"{sum(one.probes for one in guarded) / len(guarded):.1f}",
    ]
    return f"| {name} | {len(pairs)} | {' | '.join(cells)} |"


def spread(values: list[float] | list[int]) -> str:
    """Return median / p99 / worst."""
    ordered = sorted(values)
    chosen = (ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], ordered[-1])
    return " / ".join(f"{value:.0f}" for value in chosen)


def main(stations: int = STATIONS) -> None:
    """Play, and print the tables."""
    pairs = list(simulate(stations))
    print("\n".join(table(pairs)))
    dear = [one for one in pairs if one.guarded.over_minor > 1]
    print(f"\n{len(pairs)} sessions; with an overshoot of more than a cent: {len(dear)}; the largest is", end=" ")
    share = max(one.guarded.over_wh / one.guarded.bound_wh for one in pairs)
    print(f"{share:.0%} of maximum power x (interval + both ways of the link)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
