"""Histories in which landing on the credit is hard: `python -m bench.guard_cases`.

Each case is played at stations of all powers, intervals and habits: cars that begin late, pause, or take twice the
power just before the end; stations that refuse to stop, whose clock is wrong or set, whose meter shows tenths of a kWh;
two cars on one account, a top-up in the last second, and every component of a tariff. Deterministic.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import NamedTuple

import msgspec

from bench.guard_parts import Car, Outcome, Station
from bench.guard_session import Session, Stage
from bench.guard_simulation import AC_W, DC_W, INTERVALS_S, SEED, TARIFFS, Class, car_for, spread, station_for
from csms.billing.bands import Band
from csms.billing.tariffs import Tariff

ENERGY = TARIFFS[0]
EACH = 12
_DAYS = tuple(range(7))
_NOON = 720  # the minute of the day at which every session begins


class Played(NamedTuple):
    """One session of a case."""

    case: str
    kind: Class
    outcome: Outcome


class Setting(NamedTuple):
    """What a case begins with."""

    kind: Class
    station: Station
    credit_minor: int
    random: Random

    def car(self) -> Car:
        """Make a car as the campaign has them."""
        return car_for(self.kind, self.random, self.credit_minor)

    def play(self, tariff: Tariff, car: Car | None = None) -> Outcome:
        """Play one session."""
        stage = Stage(tariff, self.credit_minor)
        return Session(self.station, car or self.car(), stage, self.random, guarded=True).play()

    def steady_s(self) -> float:
        """Return how long the credit lasts at maximum power."""
        return self.credit_minor / 40 * 3.6e6 / self.kind.maximum_w


def simulate(each: int = EACH, seed: int = SEED) -> Iterator[Played]:
    """Play every case so many times."""
    kinds = [Class(maximum_w, interval_s) for maximum_w in (*AC_W, *DC_W) for interval_s in INTERVALS_S]
    for name, case in CASES.items():
        for number in range(each):
            random = Random(f"{seed} {name} {number}")
            kind = random.choice(kinds)
            station = station_for(kind, random.randrange(5), random)
            played = case(Setting(kind, station, random.randint(150, 800), random))
            yield Played(name, kind, played)


# --- cars -------------------------------------------------------------------------------------------------------------


def _begins_late(given: Setting) -> Outcome:
    begin_s = given.random.uniform(240, 900)
    knots = [(0.0, 0.0), (begin_s, 0.0), (begin_s + given.random.uniform(3, 60), float(given.kind.maximum_w))]
    return given.play(given.random.choice(TARIFFS), Car(knots))


def _pauses(given: Setting) -> Outcome:
    watts = given.kind.maximum_w * given.random.uniform(0.5, 1.0)
    at, knots = 20.0, [(0.0, 0.0), (20.0, 0.0), (25.0, watts)]
    for _ in range(given.random.randint(1, 4)):
        at += given.random.uniform(0.1, 0.6) * given.steady_s() + 10
        knots.append((at, watts))
        pause_s = given.random.uniform(60, 1200)
        knots += [(at + 2, 0.0), (at + 2 + pause_s, 0.0), (at + 7 + pause_s, watts)]
        at += 7 + pause_s
    return given.play(given.random.choice(TARIFFS), Car(knots))


def _doubles_before_the_end(given: Setting) -> Outcome:
    half_w = given.kind.maximum_w / 2
    left_s = given.random.uniform(0, 60)  # of the credit, at half the power
    step_s = 20 + max(1.0, 2 * given.steady_s() - left_s)
    knots = [(0.0, 0.0), (18.0, 0.0), (20.0, half_w), (step_s, half_w), (step_s + 2, 2 * half_w)]
    return given.play(ENERGY, Car(knots))


# --- stations ---------------------------------------------------------------------------------------------------------


def _ignores_probes(given: Setting) -> Outcome:
    station = replace(given.station, probes="ignores")
    return given._replace(station=station).play(given.random.choice(TARIFFS))


def _refuses_to_stop(given: Setting) -> Outcome:
    station = replace(given.station, stops_refused=given.random.randint(1, 4))
    return given._replace(station=station).play(given.random.choice(TARIFFS))


def _is_minutes_wrong(given: Setting) -> Outcome:
    station = replace(given.station, clock_s=given.random.uniform(-1800, 1800))
    return given._replace(station=station).play(given.random.choice(TARIFFS))


def _is_set_forward(given: Setting) -> Outcome:
    return _is_set(given, given.random.uniform(60, 900))


def _is_set_back(given: Setting) -> Outcome:
    return _is_set(given, -given.random.uniform(60, 900))


def _is_set(given: Setting, by_s: float) -> Outcome:
    set_at = given.random.uniform(0.1, 0.9) * given.steady_s()
    return given._replace(station=replace(given.station, clock_set=((set_at, by_s),))).play(ENERGY)


def _shows_tenths(given: Setting) -> Outcome:
    station = replace(given.station, register_step_wh=100)
    return given._replace(station=station).play(given.random.choice(TARIFFS))


# --- accounts ---------------------------------------------------------------------------------------------------------


def _topped_up_in_the_last_second(given: Setting) -> Outcome:
    stage = Stage(ENERGY, given.credit_minor)
    session = Session(given.station, given.car(), stage, given.random, guarded=True)
    lead_s = 3 * given.station.latency_s + 2.5 + 45_000 / given.kind.maximum_w  # the stop is sent before the last cent
    stage.top_up(session.credit_ends_at() - lead_s - given.random.uniform(0, 1), given.random.randint(50, 300))
    return session.play()


def _two_cars(given: Setting) -> Outcome:
    stage = Stage(ENERGY, given.credit_minor)
    other = station_for(given.kind, given.random.randrange(5), given.random)
    both = [Session(each, given.car(), stage, given.random, guarded=True) for each in (given.station, other)]
    stage.run()
    cost_minor = sum(each.cost_minor() for each in both)
    bound_wh = sum(each.bound_wh() for each in both)
    over_wh = sum(each.energy_wh() for each in both) - given.credit_minor * 10 / float(ENERGY.rate_per_kwh)
    assert over_wh <= bound_wh, f"two cars took {over_wh:.0f} Wh beyond the credit, {bound_wh:.0f} at most"
    probes, stops, looks = (sum(getattr(each, name) for each in both) for name in ("probes", "stops", "looks"))
    return Outcome("two", over_wh, cost_minor - given.credit_minor, probes, stops, 0, bound_wh, looks)


def _taxed_at_top_up(given: Setting) -> Outcome:
    stage = Stage(given.random.choice(TARIFFS), given.credit_minor, Decimal(20))
    return Session(given.station, given.car(), stage, given.random, guarded=True).play()


# --- tariffs ----------------------------------------------------------------------------------------------------------


def _crosses_a_band(given: Setting) -> Outcome:
    border_s = given.random.uniform(0.5, 1.1) * given.steady_s()
    begin = _NOON + max(1, round(border_s / 60))
    rates = given.random.choice([(Decimal("0.20"), Decimal("0.80")), (Decimal("0.80"), Decimal("0.20"))])
    band = Band("other", _DAYS, begin, min(1440, begin + 120), rates[1])
    tariff = msgspec.structs.replace(ENERGY, rate_per_kwh=rates[0], bands=(band,))
    return given._replace(station=replace(given.station, clock_s=given.random.uniform(-5, 5))).play(tariff)


def _stands_full(given: Setting) -> Outcome:
    full_s = 20 + given.random.uniform(0.3, 0.95) * given.steady_s()
    watts = float(given.kind.maximum_w)
    car = Car([(0.0, 0.0), (18.0, 0.0), (20.0, watts), (full_s, watts), (full_s + 5, 0.0)])
    idle = msgspec.structs.replace(ENERGY, rate_per_idle_minute=Decimal("0.10"), idle_grace_s=300)
    return given.play(idle, car)


def _has_free_energy(given: Setting) -> Outcome:
    free = msgspec.structs.replace(given.random.choice(TARIFFS), free_wh=given.random.randint(500, 8000))
    return given.play(free)


def _has_a_minimum(given: Setting) -> Outcome:
    share = given.random.choice([0.5, 0.9, 1.0])
    minimum = msgspec.structs.replace(given.random.choice(TARIFFS), minimum_minor=int(given.credit_minor * share))
    return given.play(minimum)


def _has_a_maximum(given: Setting) -> Outcome:
    """The credit pays for as much as the car wants: the driver ends it."""
    share = given.random.choice([0.5, 0.9, 1.0])
    tariff = msgspec.structs.replace(given.random.choice(TARIFFS), maximum_minor=int(given.credit_minor * share))
    leaves_at = given.random.uniform(3, 8) * given.steady_s()
    stage = Stage(tariff, given.credit_minor)
    session = Session(given.station, given.car(), stage, given.random, guarded=True, leaves_at=leaves_at)
    played = session.play()
    assert not played.stops, "nothing is to be stopped that costs no more"
    return played


CASES: dict[str, Callable[[Setting], Outcome]] = {
    "the car begins late": _begins_late,
    "the car pauses and goes on": _pauses,
    "the power doubles just before the end": _doubles_before_the_end,
    "the station ignores probes": _ignores_probes,
    "the station refuses to stop one to four times": _refuses_to_stop,
    "the station's clock is minutes wrong": _is_minutes_wrong,
    "the station's clock is set forward": _is_set_forward,
    "the station's clock is set back": _is_set_back,
    "the meter shows tenths of a kWh": _shows_tenths,
    "a top-up in the last second": _topped_up_in_the_last_second,
    "two cars on one account": _two_cars,
    "tax at the top-up": _taxed_at_top_up,
    "a band begins near the end": _crosses_a_band,
    "the car is full, idle time costs": _stands_full,
    "free energy": _has_free_energy,
    "a minimum charge": _has_a_minimum,
    "a maximum charge below the credit": _has_a_maximum,
}


# --- the table --------------------------------------------------------------------------------------------------------


def table(found: list[Played]) -> list[str]:
    """Return the Markdown table: a line for each case, and for all."""
    names = list(dict.fromkeys(one.case for one in found))
    return [
        "| case | of them | over Wh | over cents | left cents | dearer than a cent | probes | looks |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(name, [one.outcome for one in found if one.case == name]) for name in names),
    ]


def _line(name: str, found: list[Outcome]) -> str:
    cells = [
        spread([max(0.0, one.over_wh) for one in found]),
        spread([max(0, one.over_minor) for one in found]),
        spread([max(0, -one.over_minor) for one in found]),
        str(sum(one.over_minor > 1 for one in found)),
        f"{sum(one.probes for one in found) / len(found):.1f}",
        f"{sum(one.looks for one in found) / len(found):.0f}",
    ]
    return f"| {name} | {len(found)} | {' | '.join(cells)} |"


def main(each: int = EACH) -> None:
    """Play, and print the table."""
    found = list(simulate(each))
    print("\n".join(table(found)))
    print(f"\n{len(found)} sessions, none beyond maximum power x (interval + both ways of the link)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
