"""How exactly a charge lands on the credit for real: `python -m bench.guard_for_real`.

A server process, a database, simulated stations and slow links between them, all in real time: cars charge until their
credit ends, while clocks jump, links break, stations refuse to stop, cards are topped up in the last second and servers
are killed. Each case is played at four powers with readings each 10 and 60 s, one half on SQLite and one on PostgreSQL.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import psycopg

from bench.guard_real_server import Charged, Place, RealServer
from bench.guard_simulation import spread
from bench.postgres import own_cluster
from bench.processes import BenchError
from bench.slow_link import SlowLink
from chargepoint_sim import Car, Clock, Habits, Station, Timing, ac, dc
from chargepoint_sim.clock import utc_now
from chargepoint_sim.configuration import FEATURE_PROFILES

POWERS_W, INTERVALS_S = (11_000, 22_000, 50_000, 150_000), (10, 60)
DC_FROM_W = 50_000
AC_RATE, DC_RATE = Decimal("4.00"), Decimal("0.40")  # so that a minute or two of AC costs a credit, too
KILLED = "the server is killed"
_LASTS_S = {10: (80, 130), 60: (110, 170)}  # so long the credit lasts
_KILLED_LASTS_S = (100, 112)
_AWAY_S, _BACK_S = 20.0, 4.0  # how long a link is lost, and how long stations wait at most before they connect again
_RAMP_S = 9  # by which a car that ramps up for 20 s is behind one that does not
_PATIENCE_S = 300.0
_SETTINGS_S = 15.0  # until the stations have their settings
_JUMP_S = (60, 3600)
_REAL_S = 2.0  # what a machine that has other work may be late


@dataclass(frozen=True)
class Case:
    """What is unusual at the stations of a case."""

    each: int = 1
    latency_s: float | None = None  # one way; None: some 20 to 300 ms
    clock_s: float = 0.0
    jumps: int = 0  # the clock: ahead (1) or back (-1)
    limited: bool = True  # the station has Smart Charging
    habits: Habits = field(default_factory=Habits)
    loses_link: bool = False
    stalls: bool = False
    topped_up: bool = False


CASES = {
    "nothing unusual": Case(each=3),
    "a second each way": Case(latency_s=1.0),
    "no TriggerMessage": Case(habits=Habits(call_errors=frozenset({"TriggerMessage"}))),
    "clock an hour ahead": Case(clock_s=3600),
    "clock an hour behind": Case(clock_s=-3600),
    "clock is set ahead": Case(jumps=1),
    "clock is set back": Case(jumps=-1),
    "a top-up in the last seconds": Case(topped_up=True, each=2),
    "the stop refused twice": Case(habits=Habits(stops_refused=2)),
    "link lost for 20 s, with a limit": Case(loses_link=True),
    "link lost for 20 s, without": Case(loses_link=True, limited=False),
    "link stalls for 20 s": Case(stalls=True),
    KILLED: Case(each=2),
}


@dataclass
class Watch:
    """A clock on the wall of a station."""

    ahead: timedelta

    def now(self) -> datetime:
        """What it shows."""
        return utc_now() + self.ahead


@dataclass(frozen=True)
class Plan:
    """One session before it begins."""

    name: str
    case: Case
    place: Place
    latency_s: float
    stop_s: float
    random: Random

    @property
    def credit_wh(self) -> float:
        """What the credit pays for."""
        return self.place.credit_minor * 10 / float(self.place.rate)


@dataclass
class Ended:
    """One session afterwards. `away_s` is how long nobody could reach or stop the station in the end."""

    plan: Plan
    charged: Charged
    credit_minor: int
    away_s: float
    note: str

    @property
    def over_wh(self) -> float:
        """What was delivered beyond the credit; negative: not used."""
        return self.charged.energy_wh - self.credit_minor * 10 / float(self.plan.place.rate)

    @property
    def over_minor(self) -> int:
        """What was charged beyond the credit; negative: not used."""
        return self.charged.cost_minor - self.credit_minor

    @property
    def bound_wh(self) -> float:
        """Maximum power x (interval + both ways of the link), and what nobody could prevent."""
        place, plan = self.plan.place, self.plan
        return place.max_power_w * (place.interval_s + 2 * plan.latency_s + _REAL_S + self.away_s) / 3600 + 1


def plans(names: Iterable[str], each: int, seed: int, part: int, parts: int) -> list[Plan]:
    """Return the sessions of some cases; of several parts, each has every power and every interval."""
    found: list[Plan] = []
    for name in names:
        for row, power_w in enumerate(POWERS_W):
            for column, interval_s in enumerate(INTERVALS_S):
                for number in range(CASES[name].each * each):
                    random = Random(f"{seed} {name} {power_w} {interval_s} {number}")
                    if (row + column + number) % parts == part:
                        found.append(_plan(name, power_w, interval_s, len(found), random))
    return found


def _plan(name: str, power_w: int, interval_s: int, number: int, random: Random) -> Plan:
    case = CASES[name]
    lasts_s = random.uniform(*(_KILLED_LASTS_S if name == KILLED else _LASTS_S[interval_s])) - _RAMP_S
    rate = DC_RATE if power_w >= DC_FROM_W else AC_RATE
    credit_minor = round(power_w * lasts_s / 3600 * float(rate) / 10)
    latency_s = case.latency_s or random.uniform(0.02, 0.3)
    place = Place(f"CP{number}", f"CARD{number}", credit_minor, power_w, rate, interval_s)
    return Plan(name, case, place, latency_s, random.uniform(0.2, 2.5), random)


class Visit:
    """A car at a station until its credit ends."""

    def __init__(self, plan: Plan, server: RealServer, begin: asyncio.Event) -> None:
        """Nothing happens before `play`."""
        self._plan, self._server, self._begin = plan, server, begin
        self._place, self._case = plan.place, plan.case
        self._watch = Watch(timedelta(seconds=plan.case.clock_s))
        self._link = SlowLink(server.port, plan.latency_s)
        self._credit_minor = plan.place.credit_minor
        self._away_s = 0.0
        self._note = ""

    async def play(self) -> Ended:
        """Charge; return once the server has the end of it."""
        async with self._link.opened(), self._station() as station:
            await station.wait_online(_PATIENCE_S)
            await self._begin.wait()
            station.plug_in(1, Car(battery_wh=90_000, soc=0.2, max_ac_w=22_000, max_dc_w=150_000))
            verdict = await station.present_card(1, self._place.id_tag)
            if not verdict.accepted:
                raise BenchError(f"{self._place.identity} refused its card: {verdict.info.status}.")
            beside = asyncio.create_task(self._disturb(station))
            await self._wait_for_stop(station)
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            self._link.resume()
            station.restore_link()
            await station.wait_delivered(_PATIENCE_S)
        return await self._ended()

    async def _wait_for_stop(self, station: Station) -> None:
        """Wait until the transaction is over; the driver ends one that nobody stops."""
        connector = station.transactions.connectors[1]
        try:
            await station.wait_until(lambda: connector.transaction is None, _PATIENCE_S, "no stop")
        except TimeoutError:
            self._note += f" ended by the driver after {_PATIENCE_S:.0f} s, {connector.status}"
            await station.present_card(1, self._place.id_tag)

    def _station(self) -> Station:
        power_w = self._place.max_power_w
        profiles = FEATURE_PROFILES if self._case.limited else FEATURE_PROFILES.replace("SmartCharging,", "")
        return Station(
            self._place.identity,
            f"ws://127.0.0.1:{self._link.port}/ocpp",
            connectors=[dc(1, power_w) if power_w >= DC_FROM_W else ac(1, power_w)],
            clock=Clock(wall=self._watch.now),
            habits=self._case.habits,
            timing=Timing(reconnect_max_s=_BACK_S, stop_s=self._plan.stop_s),
            configuration={
                "MeterValueSampleInterval": str(self._place.interval_s),
                "SupportedFeatureProfiles": profiles,
            },
        )

    async def _ended(self) -> Ended:
        for _ in range(100):
            charged = await asyncio.to_thread(self._server.charged, self._place.id_tag)
            if charged.state == "ended":
                break
            await asyncio.sleep(0.1)
        else:
            raise BenchError(f"the transaction of {self._place.id_tag} did not end: {charged}.")
        if charged.stop_attempts > 1 and charged.stop_requested_at is not None:
            self._away_s += 15.0 * (2 ** (charged.stop_attempts - 1) - 1)
        return Ended(self._plan, charged, self._credit_minor, self._away_s, self._note)

    async def _disturb(self, station: Station) -> None:
        """Let happen what is unusual, at a moment drawn by chance."""
        random, case = self._plan.random, self._case
        if case.jumps:
            await self._wait_for_end(station, random.uniform(3, 60))
            jump_s = case.jumps * random.uniform(*_JUMP_S)
            self._watch.ahead += timedelta(seconds=jump_s)
            self._note = f"clock set by {jump_s:.0f} s"
        elif case.topped_up:
            left_s = await self._wait_for_end(station, random.uniform(0, 6))
            more = random.randint(20, 100)
            await self._server.top_up(self._place.id_tag, more)
            self._credit_minor += more
            self._note = f"{more} more, {left_s:.1f} s before the end"
        elif case.loses_link:
            left_s = await self._wait_for_end(station, random.uniform(1, 18))
            self._away_s, self._note = _AWAY_S + _BACK_S, f"lost {left_s:.1f} s before the end"
            station.cut_link()
            await asyncio.sleep(_AWAY_S)
            station.restore_link()
        elif case.stalls:
            left_s = await self._wait_for_end(station, random.uniform(1, 18))
            self._away_s, self._note = _AWAY_S, f"stalled {left_s:.1f} s before the end"
            await self._link.stall(_AWAY_S)
        elif self._plan.name == KILLED:
            await self._server.restarted.wait()
            self._away_s = self._server.away_s + _BACK_S
            self._note = f"away for {self._away_s:.1f} s"

    async def _wait_for_end(self, station: Station, left_s: float) -> float:
        """Return when the first credit lasts no longer than that at the present power."""
        while True:
            view = station.connector(1)
            lasts_s = (self._plan.credit_wh - view.energy_wh) * 3600 / max(view.power_w, 1.0)
            if lasts_s <= left_s:
                return lasts_s
            await asyncio.sleep(0.02)


async def on_database(url: str, folder: Path, chosen: list[Plan], random: Random) -> list[Ended]:
    """Play sessions on one server; where they are those of a killed one, kill it when they are about to end."""
    server = RealServer(url, folder, [one.place for one in chosen])
    begin = asyncio.Event()
    async with server.running():
        visits = [asyncio.create_task(Visit(one, server, begin).play()) for one in chosen]
        try:
            await asyncio.sleep(_SETTINGS_S + len(chosen) / 20)
            begin.set()
            if any(one.name == KILLED for one in chosen):
                await asyncio.sleep(_KILLED_LASTS_S[0] + random.uniform(-2, 8))
                await server.restart()
            return list(await asyncio.gather(*visits))
        finally:
            for one in visits:
                one.cancel()


async def play(urls: dict[str, str], folder: Path, names: list[str], each: int, seed: int) -> dict[str, list[Ended]]:
    """Play all cases on all databases at once: the kills on a server of their own."""
    calm, killed = [name for name in names if name != KILLED], [name for name in names if name == KILLED]
    runs = {}
    for part, (database, url) in enumerate(urls.items()):
        for number, some in enumerate((calm, killed)):
            if some:
                where = folder / f"{database}-{number}"
                where.mkdir(parents=True)
                chosen = plans(some, each, seed, part, len(urls))
                runs[database, number] = on_database(
                    url.format(number=number), where, chosen, Random(f"{seed} {database}")
                )
    found = await asyncio.gather(*runs.values())
    played: dict[str, list[Ended]] = {}
    for (database, _), some_ended in zip(runs, found, strict=True):
        played.setdefault(database, []).extend(some_ended)
    return played


@contextlib.contextmanager
def databases(count: int) -> Iterator[str]:
    """Run a PostgreSQL cluster while inside; yields the URL of its databases, with a place for their number."""
    with own_cluster(None) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for number in range(count):
                connection.execute(f"CREATE DATABASE guard{number}")
        yield url.replace("postgresql:", "postgresql+psycopg:").removesuffix("/postgres") + "/guard{number}"


# --- the report -------------------------------------------------------------------------------------------------------


def table(played: dict[str, list[Ended]]) -> list[str]:
    """Return the Markdown table: a line for each case, each power, each database, and for all."""
    everything = [one for some in played.values() for one in some]
    chosen = {name: [one for one in everything if one.plan.name == name] for name in CASES}
    usual = chosen["nothing unusual"]
    for power_w in POWERS_W:
        name = f"nothing unusual, {'DC' if power_w >= DC_FROM_W else 'AC'} {power_w // 1000} kW"
        chosen[name] = [one for one in usual if one.plan.place.max_power_w == power_w]
    chosen |= {f"all on {database}": some for database, some in played.items()}
    return [
        "| case | of them | over Wh | over cents | left cents | dearer than a cent |",
        "|---|---:|---:|---:|---:|---:|",
        *(_line(name, some) for name, some in chosen.items() if some),
    ]


def _line(name: str, found: list[Ended]) -> str:
    cells = [
        spread([max(0.0, one.over_wh) for one in found]),
        spread([max(0, one.over_minor) for one in found]),
        spread([max(0, -one.over_minor) for one in found]),
        str(sum(one.over_minor > 1 for one in found)),
    ]
    return f"| {name} | {len(found)} | {' | '.join(cells)} |"


def remarkable(played: dict[str, list[Ended]], most: int) -> list[str]:
    """Return those that are furthest off, with what is known of them."""
    everything = [(database, one) for database, some in played.items() for one in some]
    everything.sort(key=lambda pair: -abs(pair[1].over_minor))
    return [_about(*pair) for pair in everything[:most] if abs(pair[1].over_minor) > 1]


def _about(database: str, one: Ended) -> str:
    place, charged = one.plan.place, one.charged
    asked = "never" if charged.stop_requested_at is None else f"{charged.stop_requested_at:%H:%M:%S.%f}"[:-3]
    return (
        f"{one.over_minor:+d} cents, {one.over_wh:+.0f} Wh: {one.plan.name}, {place.identity} on {database},"
        f" {place.max_power_w // 1000} kW, each {place.interval_s} s, {one.plan.latency_s:.2f} s one way,"
        f" stops in {one.plan.stop_s:.1f} s; stop asked {asked}, {charged.stop_attempts} times;"
        f" ended {charged.ended_at:%H:%M:%S}; {one.note}"
    )


def main() -> None:
    """Play, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard_for_real", description=__doc__)
    parser.add_argument("--each", type=int, default=1, help="so many times the sessions")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; repeatable")
    parser.add_argument("--sqlite-only", action="store_true", help="leave PostgreSQL out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder to keep SQLite's databases and the servers' logs in")
    given = parser.parse_args()
    began_s, load = time.monotonic(), os.getloadavg()[0]
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guard-")))
        urls = {"SQLite": f"sqlite:///{folder}/SQLite-{{number}}/csms.sqlite3"}
        if not given.sqlite_only:
            urls["PostgreSQL"] = stack.enter_context(databases(2))
        played = asyncio.run(play(urls, folder, given.case or list(CASES), given.each, given.seed))
    print("\n".join(table(played)))
    print("\n".join(["", *remarkable(played, 40)]))
    took_s = time.monotonic() - began_s
    print(
        f"\n{sum(map(len, played.values()))} sessions in {took_s:.0f} s;"
        f" load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    beyond = [_about(database, one) for database, some in played.items() for one in some if one.over_wh > one.bound_wh]
    if beyond:
        sys.exit("\n".join(["beyond maximum power x (interval + link + outage):", *beyond]))


if __name__ == "__main__":
    main()
