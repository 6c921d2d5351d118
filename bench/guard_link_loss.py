"""What a lost link costs: `python -m bench.guard_link_loss`.

The link of each simulated session is lost at a random moment before the credit ends, and does not come back: the car
goes on until it is full, or until the station's TxProfile ends. The same sessions once with the limit and once
without; beside it what the limit does to sessions whose link holds. Deterministic.
"""

import sys
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from bench.guard_parts import Outcome, Station
from bench.guard_session import Session, Stage
from bench.guard_simulation import (
    AC_W,
    DC_W,
    INTERVALS_S,
    SEED,
    STATIONS,
    TARIFFS,
    Class,
    car_for,
    spread,
    station_for,
)

SESSIONS_EACH = 3


class Lost(NamedTuple):
    """One session: what was delivered beyond the credit once its link was lost, and its end where the link holds."""

    kind: Class
    came_in_time: bool  # the first profile, before the link was lost
    limited_wh: float
    unlimited_wh: float
    held: Outcome


def simulate(stations: int = STATIONS, seed: int = SEED) -> Iterator[Lost]:
    """Play every class with so many stations, and several sessions at each."""
    for maximum_w in (*AC_W, *DC_W):
        for interval_s in INTERVALS_S:
            for number in range(stations):
                kind, random = Class(maximum_w, interval_s), Random(f"{seed} lost {maximum_w} {interval_s} {number}")
                station = station_for(kind, number, random)
                for _ in range(SESSIONS_EACH):
                    yield _session(kind, station, random)


def _session(kind: Class, station: Station, random: Random) -> Lost:
    tariff, credit_minor = random.choice(TARIFFS), random.randint(150, 800)
    car, seed = car_for(kind, random, credit_minor), random.random()

    def session() -> Session:
        return Session(station, car, Stage(tariff, credit_minor), Random(seed), guarded=True, limited=True)

    lost = session()
    credit_wh = lost.credit_wh()
    full_wh = credit_wh + random.uniform(5_000, 60_000)  # so much more the battery takes
    cut_at = lost.play_until_lost(random.uniform(0.05, 0.98) * lost.credit_ends_at())
    taken_wh = full_wh if cut_at is None else min(full_wh, car.energy_wh(cut_at))
    return Lost(kind, cut_at is not None, max(0.0, taken_wh - credit_wh), full_wh - credit_wh, session().play())


def table(found: list[Lost]) -> list[str]:
    """Return the Markdown table: a line for each power, and for all."""
    lines = [
        "| sessions | of them | lost, limited: over Wh | lost: over Wh | held: over cents | left cents | profiles |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for interval_s in INTERVALS_S:
        for current in ("AC", "DC"):
            name = f"{current}, {interval_s} s"
            chosen = [one for one in found if one.kind.interval_s == interval_s and one.kind.current == current]
            lines.append(_line(name, chosen))
    for maximum_w in (*AC_W, *DC_W):
        kind = Class(maximum_w, 0)
        lines.append(_line(kind.name, [one for one in found if one.kind.maximum_w == maximum_w]))
    return [*lines, _line("**all**", found)]


def _line(name: str, found: list[Lost]) -> str:
    cells = [
        spread([one.limited_wh for one in found]),
        spread([one.unlimited_wh for one in found]),
        spread([max(0, one.held.over_minor) for one in found]),
        spread([max(0, -one.held.over_minor) for one in found]),
        f"{sum(one.held.limits for one in found) / len(found):.1f}",
    ]
    return f"| {name} | {len(found)} | {' | '.join(cells)} |"


def main(stations: int = STATIONS) -> None:
    """Play, and print the table."""
    found = list(simulate(stations))
    without = [one for one in found if not one.came_in_time]
    print("\n".join(table([one for one in found if one.came_in_time])))
    print(f"\n{len(found)} sessions; lost before the first profile came: {len(without)}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
