"""One charging session in simulated time: a car, a station and a link around the real decisions of the central system.

The decisions are those that the engine calls, on a working set that is kept between inputs instead of being loaded.
What is simulated is what no decision knows: the power that a car takes, how long a message travels, how a station
reacts. All chance comes from the session's own seeded generator.
"""

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal

import msgspec

from csms.billing.books import Books, Card, PrepaidAccount
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import DECIDERS
from csms.charging.facts import ChargePoint, Command, Policy, SmartCharging, TariffVersion
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.charging.working_set import WorkingSet
from csms.connections import Link

CURRENCY = Currency("EUR", 2)
EPOCH = datetime(2026, 3, 2, 12, tzinfo=UTC)
_POLICY = Policy(100, 300, 3600, 300, 60)
_LONGEST_S = 60 * 3600.0
_CALL_TIMEOUT_S = 60.0
_SERVER_S = 0.005  # from a message to the commit of what it means
_TAG = "04A1B2C3D4"
_SLOWEST = 1.5  # times the latency at best
LAZIEST = 1.2  # times the usual reaction


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
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        """The link has been there for a while: it was pinged."""
        self.link = _link(2 * self.latency_s * (1 + _SLOWEST) / 2)


class Outcome(msgspec.Struct, frozen=True):
    """How a session ended, beside what the credit could buy. Overshoot is positive, credit left is negative."""

    station: str
    over_wh: float
    over_minor: int
    probes: int
    stops: int
    limits: int
    bound_wh: float  # maximum power x (interval + both ways of the link + reaction of the station)


def _link(ping_s: float) -> Link:
    async def nothing(*_: object) -> None:
        """No socket: messages are events here."""

    return Link(1, "CP1", "1", accepted=True, heard_at=EPOCH, send=nothing, close=nothing, ping_s=lambda: ping_s)


class Session:
    """Plays one session to its end."""

    def __init__(
        self,
        station: Station,
        car: Car,
        tariff: Tariff,
        credit_minor: int,
        random: Random,
        *,
        guarded: bool,
        limited: bool = False,
    ) -> None:
        """Without a guard only the reading that shows the credit used up stops the transaction.

        `limited`: the station has Smart Charging, and gives no power after the end of its profile.
        """
        self._station, self._car, self._random = station, car, random
        self._guarded = guarded
        self._cut_at: float | None = None  # by the profile in force
        self._off: list[tuple[float, float]] = []  # when a profile cut the power though the link held
        self._credit_minor, self._tariff = credit_minor, tariff
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0
        self._arrived = {"up": 0.0, "down": 0.0}  # a link keeps the order of its messages
        self._outstanding: Command | None = None
        self._sent_s = 0.0
        self._transaction_id: int | None = None
        self._ended_at: float | None = None
        self._stopping = False
        self._guard_at: datetime | None = None
        self.probes = self.stops = self.limits = 0
        self._world = _world(station, tariff, credit_minor)
        if limited:
            self._world.smart_charging[1] = SmartCharging(1, in_watts=True, stack_level=0)

    # --- time ---------------------------------------------------------------------------------------------------------

    def play(self) -> Outcome:
        """Run to the end and measure."""
        self._after(0.0, self._start)
        while self._events and self._now < _LONGEST_S:
            self._now, _, happening = heapq.heappop(self._events)
            happening()
        assert self._ended_at is not None, "a session ends"
        one = self._world.transactions[1]
        assert one.state == "ended", "its stop arrived"
        learned = self._world.stop_lags.get(1)
        if learned is not None:
            self._station.stop_lag_ms = learned.stop_lag_ms
        over_wh = self._energy_wh(self._ended_at) - self.credit_wh()
        away_s = self._station.interval_s + 2 * self._station.latency_s * _SLOWEST + self._station.reaction_s * LAZIEST
        return Outcome(
            f"{self._station.probes}",
            over_wh,
            one.cost_minor - self._credit_minor,
            self.probes,
            self.stops,
            self.limits,
            self._station.maximum_w * away_s / 3600,
        )

    def play_until_lost(self, lost_at: float) -> float | None:
        """Run until the link is lost; return when the station then ends the energy by itself, or None."""
        self._after(0.0, self._start)
        while self._events and self._events[0][0] < lost_at:
            self._now, _, happening = heapq.heappop(self._events)
            happening()
        return self._cut_at if self._ended_at is None else self._ended_at

    def credit_wh(self) -> float:
        """Return the energy that the credit pays for, if the car is never held back."""
        return self._car.energy_wh(self.credit_ends_at())

    def _after(self, seconds: float, happening: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self._now + seconds, next(self._order), happening))

    def _moment(self, at: float) -> datetime:
        return EPOCH + timedelta(seconds=at)

    def credit_ends_at(self) -> float:
        """Return when the price, exact and unrounded, reaches the credit."""
        low, high = 0.0, _LONGEST_S
        for _ in range(60):
            middle = (low + high) / 2
            cost = float(self._tariff.rate_per_kwh) * self._car.energy_wh(middle) / 1000
            cost += float(self._tariff.rate_per_minute) * middle / 60
            if self._tariff.start_fee_minor + 100 * cost <= self._credit_minor:
                low = middle
            else:
                high = middle
        return low

    # --- the link -----------------------------------------------------------------------------------------------------

    def _travel(self, way: str, arrival: Callable[[], None]) -> None:
        latency = self._station.latency_s * self._random.triangular(1.0, _SLOWEST, 1.0)
        at = max(self._arrived[way], self._now + latency)
        self._arrived[way] = at
        self._after(at - self._now, arrival)

    # --- the station --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        said = StartTransaction(1, 1, _TAG, 0, self._clock(), self._clock().isoformat())
        self._travel("up", lambda: self._decide(said))
        self._after(self._station.interval_s, self._read_regularly)

    def _clock(self) -> datetime:
        """Return what the station's clock shows: whole seconds."""
        return self._moment(self._now + self._station.clock_s).replace(microsecond=0)

    def _read_regularly(self) -> None:
        if self._ended_at is None:
            self._read()
            self._after(self._station.interval_s, self._read_regularly)

    def _read(self) -> None:
        if self._ended_at is not None:
            return
        samples = [Sample(str(int(self._energy_wh(self._now))))]
        if self._station.says_power:
            is_off = self._cut_at is not None and self._cut_at <= self._now
            watts = 0 if is_off else round(self._car.power_w(self._now))
            samples.append(Sample(str(watts), "Power.Active.Import", "W"))
        value = MeterValue(self._clock(), tuple(samples), f"[{self._now}]")
        self._travel("up", lambda: self._decide(MeterValues(1, 1, self._transaction_id, (value,))))

    def _energy_wh(self, at: float) -> float:
        """Return the energy given until a moment: what the car would take, without what profiles cut off."""
        off = [*self._off, (at if self._cut_at is None else min(at, self._cut_at), at)]
        return self._car.energy_wh(at) - sum(
            self._car.energy_wh(end) - self._car.energy_wh(begin) for begin, end in off
        )

    def _limited(self, command: Command) -> None:
        """Take a profile: from here on its end counts."""
        if self._cut_at is not None and self._cut_at < self._now:
            self._off.append((self._cut_at, self._now))
        schedule = msgspec.json.decode(command.payload_json)["csChargingProfiles"]["chargingSchedule"]
        first, last = schedule["chargingSchedulePeriod"]
        assert (first["startPeriod"], last["limit"]) == (0, 0), "power, and then none"
        begin = datetime.fromisoformat(schedule["startSchedule"]) - EPOCH
        self._cut_at = begin.total_seconds() - self._station.clock_s + last["startPeriod"]

    def _commanded(self, command: Command) -> None:
        if command.action == "TriggerMessage" and self._station.probes == "ignores":
            return
        refused = command.action == "TriggerMessage" and self._station.probes == "refuses"
        state: Any = "rejected" if refused else "accepted"
        self._after(0.05, lambda: self._travel("up", lambda: self._answered(command, state)))
        if command.action == "TriggerMessage" and not refused:
            self._after(0.3, self._read)
        if command.action == "SetChargingProfile":
            self._limited(command)
        if command.action == "RemoteStopTransaction" and not self._stopping:
            self._stopping = True
            self._after(self._station.reaction_s * self._random.uniform(0.8, LAZIEST), self._stop)

    def _stop(self) -> None:
        self._ended_at = self._now
        wh = int(self._energy_wh(self._now))
        said = StopTransaction(1, 1, None, wh, self._clock(), self._clock().isoformat(), "Remote")
        self._after(0.2, lambda: self._travel("up", lambda: self._decide(said)))

    # --- the central system -------------------------------------------------------------------------------------------

    def _decide(self, asked: Any) -> Any:  # noqa: ANN401 - any outcome
        world, now = self._world, self._moment(self._now + _SERVER_S)
        decision = DECIDERS[type(asked)](asked, world, now)
        world.take(decision.intents)
        for command in world.unnumbered_commands:
            number = len(world.commands) + 1
            world.commands[number] = msgspec.structs.replace(command, command_id=number)
            self.probes += command.action == "TriggerMessage"
            self.stops += command.action == "RemoteStopTransaction"
            self.limits += command.action == "SetChargingProfile"
        world.unnumbered_commands.clear()
        self._transaction_id = 1 if world.transactions else None
        self._after(_SERVER_S, self._send_next)
        self._set_guard()
        return decision.outcome

    def _set_guard(self) -> None:
        one = self._world.transactions.get(1)
        if not self._guarded or one is None or one.state != "open" or one.guard_at in {None, self._guard_at}:
            return
        at = self._guard_at = one.guard_at
        assert at is not None, "checked above"
        self._after(max(0.0, (at - self._moment(self._now)).total_seconds()), lambda: self._look(at))

    def _look(self, at: datetime) -> None:
        if self._guard_at == at:  # else it was put off, or brought forward
            self._guard_at = None
            self._decide(GuardDue(1, self._station.link.lag_ms))

    def _send_next(self) -> None:
        if self._outstanding is not None:
            return
        command: Command | None = self._claim()
        if command is None:
            return
        self._outstanding, self._sent_s = command, self._now
        assert command.sent_at is not None, "it was claimed"
        lifetime_s = max(5.0, (command.expires_at - command.sent_at).total_seconds())
        self._travel("down", lambda: self._commanded(command))
        self._after(min(_CALL_TIMEOUT_S, lifetime_s), lambda: self._timed_out(command))

    def _claim(self) -> Command | None:
        world, now = self._world, self._moment(self._now)
        decision = DECIDERS[ClaimCommand](ClaimCommand(1), world, now)
        world.take(decision.intents)
        claimed: Command | None = decision.outcome
        return claimed

    def _answered(self, command: Command, state: Any) -> None:  # noqa: ANN401 - a command's state
        if self._outstanding is command:
            self._station.link.note_lag(round((self._now - self._sent_s) * 1000))
            self._done(command, state)

    def _timed_out(self, command: Command) -> None:
        if self._outstanding is command:
            self._done(command, "timed out")

    def _done(self, command: Command, state: Any) -> None:  # noqa: ANN401 - a command's state
        self._outstanding = None
        self._decide(AnswerCommand(command.command_id, command.attempts, state))


def _world(station: Station, tariff: Tariff, credit_minor: int) -> WorkingSet:
    books = Books(CURRENCY)
    books.accounts[1000] = PrepaidAccount(1000, 0, credit_minor, 0)
    books.cards[_TAG] = Card(_TAG, "1", 1000, "active", None)
    world = WorkingSet(books, _POLICY)
    world.charge_points[1] = ChargePoint(
        1, "CP1", 0, None, None, "Accepted", None, max_power_w=station.maximum_w, stop_lag_ms=station.stop_lag_ms
    )
    world.tariffs = {tariff.name: [TariffVersion(1, tariff, None, None)]}
    world.default_tariff = tariff.name
    world.free_transaction_ids = [1]
    if tariff.needs_spans:
        world.points[1] = []
    return world
