"""Charging sessions in simulated time: cars, stations and links around the real decisions of the central system.

The decisions are those that the engine calls, on a working set that is kept between inputs instead of being loaded.
What is simulated is what no decision knows: the power that a car takes, how long a message travels, how a station
reacts. All chance comes from each session's own seeded generator. Sessions on one stage share an account.
"""

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from bench.guard_parts import CURRENCY, EPOCH, LAZIEST, SLOWEST, Car, Outcome, Station, price_of
from csms.billing.books import Books, Card, PrepaidAccount
from csms.billing.tariffs import Tariff
from csms.charging.command_queue import AnswerCommand, ClaimCommand, take_back
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import DECIDERS
from csms.charging.facts import ChargePoint, Command, Policy, SmartCharging, TariffVersion, Transaction
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.charging.working_set import WorkingSet

_POLICY = Policy(100, 300, 3600, 300, 60)
_LONGEST_S = 60 * 3600.0
_CALL_TIMEOUT_S = 60.0
_SERVER_S = 0.005  # from a message to the commit of what it means
_ACCOUNT = 1000


class Stage:
    """Simulated time, and an account with the cards that charge on it."""

    def __init__(self, tariff: Tariff, credit_minor: int, tax_at_top_up_percent: Decimal | None = None) -> None:
        """Nothing happens before a session is added and `run` is called."""
        self.now = 0.0
        self.tariff, self.credit_minor = tariff, credit_minor
        self.sessions: list[Session] = []
        self.world = _world(tariff, credit_minor, tax_at_top_up_percent)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happening))

    def run(self, until: float = _LONGEST_S) -> None:
        """Let happen what is to happen before a moment."""
        while self._events and self._events[0][0] < until:
            self.now, _, happening = heapq.heappop(self._events)
            happening()

    def top_up(self, at: float, amount_minor: int) -> None:
        """Let somebody pay at a moment."""

        def paid() -> None:
            account = self.world.books.accounts[_ACCOUNT]
            credits_minor = account.credits_minor + amount_minor
            self.world.books.accounts[_ACCOUNT] = msgspec.structs.replace(account, credits_minor=credits_minor)
            self.credit_minor += amount_minor
            self.changed(None)

        self.after(at - self.now, paid)

    def changed(self, by: "Session | None") -> None:
        """The account changed: its other transactions are looked at at once, as `Guards` does."""
        for one in self.sessions:
            if one is not by:
                self.after(_SERVER_S, one.look)


class Session:
    """Plays one session to its end."""

    def __init__(
        self,
        station: Station,
        car: Car,
        stage: Stage,
        random: Random,
        *,
        guarded: bool,
        limited: bool = False,
        leaves_at: float | None = None,
    ) -> None:
        """Without a guard only the reading that shows the credit used up stops the transaction.

        `limited`: the station has Smart Charging, and gives no power after the end of its profile. `leaves_at`: when
        the driver ends it, if nothing did before.
        """
        stage.sessions.append(self)
        self._station, self._car, self._random, self._stage = station, car, random, stage
        self._number = len(stage.sessions)  # of the station, its card and its transaction
        self._tag = f"CARD{self._number}"
        self._guarded = guarded
        self._cut_at: float | None = None  # by the profile in force
        self._off: list[tuple[float, float]] = []  # when a profile cut the power though the link held
        self._arrived = {"up": 0.0, "down": 0.0}  # a link keeps the order of its messages
        self._outstanding: Command | None = None
        self._sent_s = 0.0
        self._transaction_id: int | None = None
        self._ended_at: float | None = None
        self._stopping = False
        self._refused_at: list[float] = []
        self._guard_at: datetime | None = None
        self.probes = self.stops = self.limits = self.looks = 0
        self._world = stage.world
        _join(self._world, self._number, self._tag, station)
        if limited:
            self._world.smart_charging[self._number] = SmartCharging(self._number, in_watts=True, stack_level=0)
        self._after(0.0, self._start)
        if leaves_at is not None:
            self._after(leaves_at, self._leave)

    # --- time ---------------------------------------------------------------------------------------------------------

    def play(self) -> Outcome:
        """Run to the end and measure."""
        self._stage.run()
        return self.outcome()

    def outcome(self) -> Outcome:
        """Return how it ended, once the stage has run."""
        assert self._ended_at is not None, "a session ends"
        one = self._one()
        assert one is not None and one.state == "ended", "its stop arrived"  # noqa: PT018 - one thing
        learned = self._world.stop_lags.get(self._number)
        if learned is not None:
            self._station.stop_lag_ms = learned.stop_lag_ms
        over_wh, bound_wh = self.energy_wh() - self.credit_wh(), self.bound_wh()
        assert over_wh <= bound_wh or not self._guarded, f"{over_wh:.0f} Wh beyond the credit, {bound_wh:.0f} at most"
        return Outcome(
            f"{self._station.probes}",
            over_wh,
            one.cost_minor - self._stage.credit_minor,
            self.probes,
            self.stops,
            self.limits,
            bound_wh,
            self.looks,
        )

    def bound_wh(self) -> float:
        """Return what the guard may deliver beyond the credit at most: maximum power x (interval + both ways of the
        link), what the meter does not show, and what the station gave after it refused to stop.
        """
        assert self._ended_at is not None, "a session ends"
        refused_s = self._ended_at - self._refused_at[0] if self._refused_at else 0.0
        away_s = self._station.interval_s + 2 * self._station.latency_s * SLOWEST + refused_s
        return self._station.maximum_w * away_s / 3600 + self._station.register_step_wh

    def play_until_lost(self, lost_at: float) -> float | None:
        """Run until the link is lost; return when the station then ends the energy by itself, or None."""
        self._stage.run(lost_at)
        return self._cut_at if self._ended_at is None else self._ended_at

    def energy_wh(self) -> float:
        """Return what the car got, once the session has ended."""
        assert self._ended_at is not None, "a session ends"
        return self._energy_wh(self._ended_at)

    def cost_minor(self) -> int:
        """Return what it was charged."""
        one = self._one()
        return 0 if one is None else one.cost_minor

    def credit_wh(self) -> float:
        """Return the energy that the credit pays for, if the car is never held back."""
        return self._car.energy_wh(self.credit_ends_at())

    def _after(self, seconds: float, happening: Callable[[], None]) -> None:
        self._stage.after(seconds, happening)

    def _one(self) -> Transaction | None:
        return None if self._transaction_id is None else self._world.transactions.get(self._transaction_id)

    @property
    def _now(self) -> float:
        return self._stage.now

    def _moment(self, at: float) -> datetime:
        return EPOCH + timedelta(seconds=at)

    def credit_ends_at(self) -> float:
        """Return when the price, exact, reaches the credit: unrounded where it depends on sums alone."""
        low, high = 0.0, _LONGEST_S
        if self._stage.tariff.needs_spans:  # whose price takes the longer to compute the later it is
            high = 600.0
            while self._true_cost(high) <= self._stage.credit_minor and high < _LONGEST_S:
                low, high = high, 2 * high
        for _ in range(20 if self._stage.tariff.needs_spans else 60):
            middle = (low + high) / 2
            if self._true_cost(middle) <= self._stage.credit_minor:
                low = middle
            else:
                high = middle
        return low

    def _true_cost(self, at: float) -> float:
        """Return what the session costs until a moment, by the car instead of by readings."""
        tariff, energy_wh = self._stage.tariff, self._car.energy_wh(at)
        if tariff.needs_spans:
            return price_of(tariff, self._car, at, self._moment)
        if energy_wh <= 0:
            return 0.0
        cost = float(tariff.rate_per_kwh) * max(0.0, energy_wh - tariff.free_wh) / 1000
        cost += float(tariff.rate_per_minute) * at / 60
        minor = max(tariff.minimum_minor, tariff.start_fee_minor + 100 * cost)
        return minor if tariff.maximum_minor is None else min(minor, tariff.maximum_minor)

    # --- the link -----------------------------------------------------------------------------------------------------

    def _travel(self, way: str, arrival: Callable[[], None]) -> None:
        latency = self._station.latency_s * self._random.triangular(1.0, SLOWEST, 1.0)
        at = max(self._arrived[way], self._now + latency)
        self._arrived[way] = at
        self._after(at - self._now, arrival)

    # --- the station --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        said = StartTransaction(self._number, 1, self._tag, 0, self._clock(), self._clock().isoformat())
        self._travel("up", lambda: self._decide(said))
        self._after(self._station.interval_s, self._read_regularly)

    def _clock(self) -> datetime:
        """Return what the station's clock shows: whole seconds."""
        set_s = sum(by for at, by in self._station.clock_set if at <= self._now)
        return self._moment(self._now + self._station.clock_s + set_s).replace(microsecond=0)

    def _read_regularly(self) -> None:
        if self._ended_at is None:
            self._read()
            self._after(self._station.interval_s, self._read_regularly)

    def _read(self, context: str | None = None) -> None:
        if self._ended_at is not None:
            return
        samples = [Sample(str(self._register_wh()), context=context)]
        if self._station.says_power:
            is_off = self._cut_at is not None and self._cut_at <= self._now
            watts = 0 if is_off else round(self._car.power_w(self._now))
            samples.append(Sample(str(watts), "Power.Active.Import", "W"))
        value = MeterValue(self._clock(), tuple(samples), f"[{self._now}]")
        self._travel("up", lambda: self._decide(MeterValues(self._number, 1, self._transaction_id, (value,))))

    def _register_wh(self) -> int:
        step = self._station.register_step_wh
        return int(self._energy_wh(self._now)) // step * step

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
        if command.action == "RemoteStopTransaction" and len(self._refused_at) < self._station.stops_refused:
            self._refused_at.append(self._now)
            refused = True
        state: Any = "rejected" if refused else "accepted"
        self._after(0.05, lambda: self._travel("up", lambda: self._answered(command, state)))
        if command.action == "TriggerMessage" and not refused:
            self._after(0.3, lambda: self._read("Trigger"))
        if command.action == "SetChargingProfile":
            self._limited(command)
        if command.action == "RemoteStopTransaction" and not refused and not self._stopping:
            self._stopping = True
            self._after(self._station.reaction_s * self._random.uniform(0.8, LAZIEST), self._stop)

    def _leave(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._stop()

    def _stop(self) -> None:
        self._ended_at = self._now
        number, clock = self._transaction_id or -1, self._clock()
        said = StopTransaction(self._number, number, None, self._register_wh(), clock, clock.isoformat(), "Remote")
        self._after(0.2, lambda: self._travel("up", lambda: self._decide(said)))

    # --- the central system -------------------------------------------------------------------------------------------

    def _decide(self, asked: Any) -> Any:  # noqa: ANN401 - any outcome
        world, now = self._world, self._moment(self._now + _SERVER_S)
        available_minor = world.books.accounts[_ACCOUNT].available_minor
        decision = DECIDERS[type(asked)](asked, world, now)
        world.take(decision.intents)
        for command in world.unnumbered_commands:
            number = len(world.commands) + 1
            world.commands[number] = msgspec.structs.replace(command, command_id=number)
            self.probes += command.action == "TriggerMessage"
            self.stops += command.action == "RemoteStopTransaction"
            self.limits += command.action == "SetChargingProfile"
        world.unnumbered_commands.clear()
        for transaction_id in world.spared:  # what `evidence.cancel_stops` does to the rows
            found = take_back(self._number, {transaction_id}, world, now)
            world.commands |= {key: one for key, one in found.items() if world.commands[key].state == "queued"}
        world.spared.clear()
        if isinstance(asked, StartTransaction):
            self._transaction_id = decision.outcome.transaction_id
        self._after(_SERVER_S, self._send_next)
        self._set_guard()
        if world.books.accounts[_ACCOUNT].available_minor != available_minor:
            self._stage.changed(self)
        return decision.outcome

    def _set_guard(self) -> None:
        one = self._one()
        if not self._guarded or one is None or one.state != "open" or one.guard_at in {None, self._guard_at}:
            return
        at = self._guard_at = one.guard_at
        assert at is not None, "checked above"
        self._after(max(0.0, (at - self._moment(self._now)).total_seconds()), lambda: self._look(at))

    def _look(self, at: datetime) -> None:
        if self._guard_at == at:  # else it was put off, or brought forward
            self._guard_at = None
            self.look()

    def look(self) -> None:
        """Let the guard look now."""
        if self._guarded and self._transaction_id is not None:
            self.looks += 1
            self._decide(GuardDue(self._transaction_id, self._station.link.lag_ms))

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
        decision = DECIDERS[ClaimCommand](ClaimCommand(self._number), world, now)
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


def _world(tariff: Tariff, credit_minor: int, tax_at_top_up_percent: Decimal | None) -> WorkingSet:
    books = Books(CURRENCY, tax_at_top_up_percent)
    books.accounts[_ACCOUNT] = PrepaidAccount(_ACCOUNT, 0, credit_minor, 0)
    world = WorkingSet(books, _POLICY)
    world.tariffs = {tariff.name: [TariffVersion(1, tariff, None, None)]}
    world.default_tariff = tariff.name
    return world


def _join(world: WorkingSet, number: int, id_tag: str, station: Station) -> None:
    """Add a station, a card of the account, and the transaction id that it will get."""
    world.books.cards[id_tag] = Card(id_tag, id_tag, _ACCOUNT, "active", None)
    power, lag = station.maximum_w, station.stop_lag_ms
    world.charge_points[number] = ChargePoint(
        number, f"CP{number}", 0, None, None, "Accepted", None, max_power_w=power, stop_lag_ms=lag
    )
    world.free_transaction_ids.append(number)
