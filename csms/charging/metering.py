"""What a meter said: sampled values read as Wh and W, and what a reading means for the transaction it belongs to.
Pure.

A value is a decimal string; the default measurand is Energy.Active.Import.Register in Wh (OCPP 1.6, 7.33 and 7.43).
Samples of one phase or of another location are not the total. What came is stored as it came.
"""

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any

import msgspec

from csms.billing.books import Decision
from csms.charging import station_clocks
from csms.charging.closing import (
    UNHEARD_OF,
    answered,
    is_believable,
    is_clock_in_doubt,
    join,
    most_wh,
    weighed,
    zombie_wait,
)
from csms.charging.command_queue import trigger_command
from csms.charging.credit_guard import ANSWER_TIME, IDLE, follow
from csms.charging.facts import AFTER_THE_END, Policy, Reading, RelativeReadings, Transaction
from csms.charging.forecast import heard_at, set_ahead
from csms.charging.points import IMPLAUSIBLE
from csms.charging.pricing import elapsed_s
from csms.charging.working_set import Names, WorkingSet

_ENERGY = "Energy.Active.Import.Register"
_POWER = "Power.Active.Import"
_FACTOR = {"Wh": 1, "kWh": 1000, "W": 1, "kW": 1000}
_LARGEST = 10**15  # a register beyond 1 PWh is not a register
_LARGEST_POWER_W = 10**9  # nor is a power beyond 1 GW; the column holds 32 bits
_ASKED_FOR = "Trigger"  # the context of a reading that was asked for (OCPP 1.6, 7.35)
RELATIVE = "readings relative to the session"
HEARD_AGAIN = "heard of again"
_CLOSE_S = 3  # an average over less is wrong by a third and more
_HISTORY_AFTER = timedelta(hours=2)
_QUEUED = timedelta(minutes=1)  # more than this between messages, and less between their arrivals: a queue is emptied


class Sample(msgspec.Struct, frozen=True):
    """One sampled value, as text; None where the station left the default."""

    value: str
    measurand: str | None = None
    unit: str | None = None
    phase: str | None = None
    location: str | None = None
    context: str | None = None
    format: str | None = None


class MeterValue(msgspec.Struct, frozen=True):
    """Samples of one moment, with the text they came in; `claimed_at` is what the station said where our time had to
    take its place.
    """

    happened_at: datetime
    samples: tuple[Sample, ...]
    samples_json: str
    flags: str = ""
    claimed_at: datetime | None = None


class MeterValues(msgspec.Struct, frozen=True):
    """Readings of a connector, with or without the transaction they belong to (OCPP 1.6, 4.7)."""

    charge_point_id: int
    connector_id: int
    transaction_id: int | None
    values: tuple[MeterValue, ...]

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        if self.transaction_id is not None and self.transaction_id > 0:
            names.transaction_ids.add(self.transaction_id)
            names.metered[self.transaction_id] = self.charge_point_id
        else:
            names.open_at.add(self.charge_point_id)
        if any(value.claimed_at is not None for value in self.values):
            names.charge_point_ids.add(self.charge_point_id)


class Metered(msgspec.Struct, frozen=True):
    """What became of the readings."""

    transaction_id: int | None
    stop_requested: bool = False


def meter_values(said: MeterValues, working_set: WorkingSet, now: datetime) -> Decision[Metered]:
    """Store readings, move their transaction forward, and let the credit guard see it."""
    one = _transaction_of(said, working_set)
    readings = to_readings(said.charge_point_id, said.connector_id, one, said.values)
    if one is None:
        return Decision(Metered(None), readings)
    moved = one
    if one.state != "ended":  # what was charged stays as it was charged
        is_answer = _is_answer(one, said, now)
        moved, readings = understand(one, readings, working_set.policy, now, is_answer=is_answer)
    if _is_heard_again(one, moved, said, working_set):
        moved = msgspec.structs.replace(moved, state="open", guard_at=now, flags=join(moved.flags, HEARD_AGAIN))
    elif one.state == "orphaned":
        moved = one  # what is drawn since is the next car's: a person sees the reading, and the estimate stays
    if moved.zombie_at is not None and said.transaction_id == one.transaction_id:
        moved = _alive(moved, readings, working_set.policy)
    is_over = _idles_too_long(moved)
    if is_over:
        moved = msgspec.structs.replace(moved, flags=join(moved.flags, IDLE))
    moved, clock = _by_its_clock(moved, said, working_set, now)
    moved, question = _asked(one, moved, working_set, now)
    followed = follow(
        moved,
        working_set,
        now,
        still_draws=_draws(one, readings) or is_over,
        is_history=_is_history(one, readings, now),
    )
    trait = (RelativeReadings(said.charge_point_id),) if RELATIVE in moved.flags and RELATIVE not in one.flags else ()
    return Decision(
        Metered(one.transaction_id, followed.stop_requested),
        (*readings, *trait, *clock, *question, *followed.intents),
    )


def _is_answer(one: Transaction, said: MeterValues, now: datetime) -> bool:
    """Tell whether readings answer a question, as they say and as they come: they were taken after it."""
    waits = one.probed_at is not None and heard_at(one) <= one.probed_at <= now <= one.probed_at + ANSWER_TIME
    return waits and all(any(each.context == _ASKED_FOR for each in value.samples) for value in said.values)


def _asked(
    before: Transaction, after: Transaction, working_set: WorkingSet, now: datetime
) -> tuple[Transaction, tuple[Any, ...]]:
    """Ask for a reading where one cannot be by its station's clock and can by ours: its time tells about the clock."""
    is_open = after.state == "open" and after.answers_probes is not False
    is_asked = before.probed_at is not None and before.probed_at >= heard_at(before)
    if not is_open or is_asked or is_clock_in_doubt(before) or not is_clock_in_doubt(after):
        return after, ()
    return msgspec.structs.replace(after, probed_at=now), (trigger_command(after, working_set, now),)


def _by_its_clock(
    one: Transaction, said: MeterValues, working_set: WorkingSet, now: datetime
) -> tuple[Transaction, tuple[Any, ...]]:
    """Note that the clock is further ahead than was known; a limit in its time is then due to be told anew."""
    claimed = max((value.claimed_at for value in said.values if value.claimed_at is not None), default=None)
    if claimed is None:
        return one, ()
    clock = station_clocks.set_further_ahead(working_set.charge_points[said.charge_point_id], claimed, now)
    if clock and one.limited_until is not None:
        one = msgspec.structs.replace(one, limited_until=now)
    return one, clock


def to_readings(
    charge_point_id: int,
    connector_id: int,
    one: Transaction | None,
    values: tuple[MeterValue, ...],
) -> tuple[Reading, ...]:
    """Read each meter value. The key is made of where, when, what and of which transaction, so that a repeat is the
    same reading, and one that came before its transaction was known counts when it comes again.
    """
    transaction_id = None if one is None else one.transaction_id
    is_over = one is not None and one.state == "ended"
    was_relative = is_over and one is not None and RELATIVE in one.flags
    return tuple(
        Reading(
            charge_point_id,
            connector_id,
            value.happened_at,
            _digest(value.samples_json, transaction_id, relative=was_relative),
            transaction_id,
            register_wh(value.samples),
            power_w(value.samples),
            value.samples_json,
            join(value.flags, AFTER_THE_END) if is_over else value.flags,
        )
        for value in values
    )


def _digest(samples_json: str, transaction_id: int | None, *, relative: bool = False) -> int:
    """Return what tells readings of one moment apart: what was told, and as what it was understood.

    A register that is only found out to be relative when it is told again is another reading: the price is computed
    from the readings as they are stored.
    """
    told = samples_json if transaction_id is None else f"{transaction_id} {samples_json}"
    told = f"{RELATIVE} {told}" if relative else told
    return int.from_bytes(blake2b(told.encode(), digest_size=8).digest(), signed=True)


def understand(
    one: Transaction, readings: tuple[Reading, ...], policy: Policy, now: datetime, *, is_answer: bool = False
) -> tuple[Transaction, tuple[Reading, ...]]:
    """Move a transaction to its latest good reading, and return the readings as they are to be read.

    Good is what is not before the last one, not below the meter start, and not more than the connector can have
    delivered. A register that counts from the start of the session is turned into the connector's own. Registers only
    rise: one that is higher at an earlier time is later, by a clock that was set back; an answer may prove that, too.
    """
    before, understood = one, list[Reading]()
    for each in readings:
        reading, before_it = each, one
        if reading.register_wh is not None and _is_relative(one, reading.register_wh, reading.happened_at, policy, now):
            register = one.meter_start_wh + reading.register_wh
            digest = _digest(reading.samples_json, reading.transaction_id, relative=True)
            flags = join(reading.flags, RELATIVE)
            reading = msgspec.structs.replace(reading, register_wh=register, digest=digest, flags=flags)
            flags = one.flags if RELATIVE in one.flags else join(one.flags, RELATIVE)
            one = msgspec.structs.replace(one, flags=flags)
        register_ = reading.register_wh
        if register_ is not None and is_answer:
            one = answered(one, register_, reading.happened_at, now, policy)
        if register_ is not None and not is_believable(one, register_, reading.happened_at, now, policy):
            digest = _digest(f"{IMPLAUSIBLE} {reading.samples_json}", reading.transaction_id)
            reading = msgspec.structs.replace(reading, digest=digest, flags=join(reading.flags, IMPLAUSIBLE))
        else:
            is_next = one.register_at == before.register_at
            one = _moved(one, reading, set_ahead(before, reading.happened_at, now) if is_next else timedelta(0))
        is_good = IMPLAUSIBLE not in reading.flags
        one = weighed(before_it, one, register_, reading.happened_at, now, policy, is_good=is_good)
        understood.append(reading)
    return one, tuple(understood)


def _is_relative(one: Transaction, register_wh: int, at: datetime, policy: Policy, now: datetime) -> bool:
    """Tell whether a register counts from the start of the session though the meter start does not.

    Recognised by the first reading, below the meter start and as much as can have been delivered; it then holds for
    the whole transaction. A register that falls later has been reset, and tells nothing.
    """
    if RELATIVE in one.flags:
        return True
    is_first = one.register_wh == one.meter_start_wh
    return is_first and 0 < register_wh < one.meter_start_wh and register_wh <= most_wh(one, at, now, policy)


def _moved(one: Transaction, reading: Reading, ahead: timedelta) -> Transaction:
    register = reading.register_wh
    if register is None or register < one.register_wh:
        return one
    if register == one.register_wh and reading.happened_at < one.register_at:
        return one
    power_w = reading.power_w if reading.power_w is not None else _average_power_w(one, reading, ahead)
    return msgspec.structs.replace(
        one,
        register_wh=register,
        register_at=reading.happened_at,
        power_w=power_w,
        energy_wh=register - one.meter_start_wh,
        idle_since=_idle_since(one, power_w, reading.happened_at),
    )


def _idle_since(one: Transaction, power_w: int | None, at: datetime) -> datetime | None:
    """Return since when less power is drawn than counts; what the station itself holds back is not the car's wish."""
    if one.stop_below_w is None or one.is_suspended or power_w is None or power_w >= one.stop_below_w:
        return None
    return one.idle_since or at


def _idles_too_long(one: Transaction) -> bool:
    """Tell whether the end of charge has come: OCPP has no word for it, SuspendedEV may resume (1.6, 4.9)."""
    if one.state != "open" or one.idle_since is None or one.stop_after_s is None or one.stop_requested_at is not None:
        return False
    return elapsed_s(one.idle_since, one.register_at) >= one.stop_after_s


def _is_heard_again(before: Transaction, after: Transaction, said: MeterValues, working_set: WorkingSet) -> bool:
    """Tell whether a transaction that was taken for over draws on: its station names it, and its register rises."""
    if before.state != "orphaned" or UNHEARD_OF not in before.flags or said.transaction_id != before.transaction_id:
        return False
    is_taken = any(
        one.state == "open" and one.connector_id == before.connector_id
        for one in working_set.transactions.values()
        if one.charge_point_id == before.charge_point_id and one.transaction_id > before.transaction_id
    )
    is_overtaken = is_taken or before.transaction_id in working_set.overtaken
    return after.register_wh > before.register_wh and not is_overtaken


def _alive(one: Transaction, readings: tuple[Reading, ...], policy: Policy) -> Transaction:
    """A reading that names the transaction, taken since the sign that it is over: the station goes on with it."""
    assert one.zombie_at is not None, "the caller checked it"
    suspected_at = one.zombie_at - zombie_wait(one, policy)
    if any(reading.happened_at >= suspected_at.replace(microsecond=0) for reading in readings):
        return msgspec.structs.replace(one, zombie_at=None)
    return one


def _is_history(one: Transaction, readings: tuple[Reading, ...], now: datetime) -> bool:
    """Tell whether readings come out of a queue, long after: the stop may stand right behind them.

    A clock that is behind makes readings look old, too, but they then arrive as far apart as they were taken.
    """
    seen = now - one.recorded_at
    return bool(readings) and all(
        now - reading.happened_at > _HISTORY_AFTER and reading.happened_at - one.started_at > seen + _QUEUED
        for reading in readings
    )


def register_wh(samples: tuple[Sample, ...]) -> int | None:
    """Return the cumulative register in whole Wh (a started Wh is not delivered), or None without a readable one."""
    return _read(samples, _ENERGY, ("Wh", "kWh"))


def power_w(samples: tuple[Sample, ...]) -> int | None:
    """Return the imported active power in W, or None where the station does not say."""
    power = _read(samples, _POWER, ("W", "kW"))
    return power if power is None or power <= _LARGEST_POWER_W else None


def _read(samples: tuple[Sample, ...], measurand: str, units: tuple[str, str]) -> int | None:
    found = None
    for sample in samples:
        is_total = sample.phase is None and sample.location in {None, "Outlet"} and sample.format in {None, "Raw"}
        unit = sample.unit or units[0]
        if not is_total or (sample.measurand or _ENERGY) != measurand or unit not in units:
            continue
        number = _number(sample.value)
        if number is not None:
            found = int(number * _FACTOR[unit])
    return found


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < _LARGEST else None


def _average_power_w(one: Transaction, reading: Reading, ahead: timedelta) -> int | None:
    """Return the power since the reading before. Times are told in whole seconds and registers in whole Wh: between
    readings that are close together the average says little, and a power that fits both is kept. Time by which the
    clock was set `ahead` did not pass, where the connector can give so much in the rest.
    """
    seconds = int((reading.happened_at - one.register_at).total_seconds())
    assert reading.register_wh is not None, "the caller checked it"
    drawn_wh = reading.register_wh - one.register_wh
    rest_s = seconds - int(ahead.total_seconds())
    if ahead and drawn_wh * 3600 <= (one.max_power_w or 0) * rest_s:
        seconds = rest_s
    if seconds <= 0:
        return one.power_w
    average_w = min(drawn_wh * 3600 // seconds, _LARGEST_POWER_W)
    if one.power_w is None or not drawn_wh:
        return average_w
    if one.max_power_w is not None and average_w * 10 > one.max_power_w * 11:
        return one.power_w  # it was not drawn in this time: the clock was set back
    if seconds > _CLOSE_S:
        return average_w
    least_w = (drawn_wh - 1) * 3600 // (seconds + 1)
    most_w = (drawn_wh + 1) * 3600 // (seconds - 1) if seconds > 1 else _LARGEST_POWER_W
    return min(max(one.power_w, least_w), most_w, _LARGEST_POWER_W)


def _transaction_of(said: MeterValues, working_set: WorkingSet) -> Transaction | None:
    if said.transaction_id is not None and said.transaction_id > 0:
        named = working_set.transactions.get(said.transaction_id)
        if named is not None:
            return named if named.charge_point_id == said.charge_point_id else None
    begun = min((value.happened_at for value in said.values), default=None)
    here = [
        one
        for one in working_set.unfinished(said.charge_point_id)
        if one.connector_id == said.connector_id
        and one.state == "open"
        and (begun is None or begun >= one.started_at or said.transaction_id is None)
    ]
    return here[0] if len(here) == 1 else None


def _draws(one: Transaction, readings: tuple[Reading, ...]) -> bool:
    """Tell whether an ended transaction still delivers energy: a reading after its end, above its meter stop."""
    if one.state != "ended" or one.ended_at is None or one.meter_stop_wh is None:
        return False
    return any(
        reading.register_wh is not None
        and reading.register_wh > one.meter_stop_wh
        and reading.happened_at > one.ended_at
        for reading in readings
    )
