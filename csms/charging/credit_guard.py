"""The credit guard: extends holds ahead of consumption and stops a transaction so that its charge lands on the credit.

Pure. Knows a transaction's latest reading and power, its tariff and what its account can still give. It predicts when
the credit ends, looks again on the way there (each look asks the station for a fresh reading), and sends the stop so
much earlier as the link needs. A look is a moment in the row (`guard_at`), so another process can take over; commands
are written in the unit of work of the decision. A reading that already shows the credit used up stops at once.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision, Hold
from csms.billing.prepaid import extend_hold
from csms.billing.tariffs import Tariff, decode_tariff
from csms.charging.command_queue import stop_command, trigger_command, unlock_command
from csms.charging.facts import Alarm, Point, Transaction
from csms.charging.pricing import charge_of, elapsed_s
from csms.charging.working_set import Names, WorkingSet

_LONGEST_INTERVAL_S = 900  # the next interval is guessed from the last one, within this bound
_NEAR = timedelta(seconds=120)  # from here on the end of the credit is computed exactly, and looked for often
_FAR = timedelta(hours=12)
_FINAL = timedelta(seconds=6)  # nearer than this to the stop, no other reading would come in time
_STEP = (3, 5)  # how much of the way to the stop is waited before the next look
_FIRST_RETRY = timedelta(seconds=15)
_LAST_RETRY = timedelta(minutes=5)
_UNLOCK_AT, _ALARM_AT = 3, 4  # attempts to stop


class GuardDue(msgspec.Struct, frozen=True):
    """It is time to look at a transaction again. `lag_ms` is how long its station takes to answer a command."""

    transaction_id: int
    lag_ms: int

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.transaction_ids.add(self.transaction_id)
        names.places_of_transactions = True


class Followed(msgspec.Struct, frozen=True):
    """What following a reading led to."""

    intents: tuple[Any, ...]
    stop_requested: bool


def follow(one: Transaction, working_set: WorkingSet, now: datetime, *, still_draws: bool = False) -> Followed:
    """Price a transaction that was moved to its latest reading, extend its hold, stop it if it must be, else say when
    to look again.
    """
    before = working_set.transactions[one.transaction_id]
    hold = working_set.books.holds.get(one.transaction_id)
    if one.register_at != before.register_at or one.register_wh != before.register_wh:
        one = msgspec.structs.replace(one, heard_at=now)
    extended, must_stop = hold, still_draws
    if one.state == "open":
        refused = one.authorization_status != "Accepted" and one.energy_wh > before.energy_wh
        if one.tariff_json:
            one, extended = _price(one, before, hold, working_set)
        must_stop = must_stop or refused or is_exhausted(one, working_set)
    intents: list[Any] = [] if extended is None or extended == hold else [extended]
    stops = must_stop and (one.stop_requested_at is None or _told_long_ago(one, now))
    if stops:
        one, commands = _stop(one, working_set, now)
        intents += commands
    elif one.state == "open" and one.stop_requested_at is None:
        one = msgspec.structs.replace(one, guard_at=_next_look(one, working_set, now, timedelta(0)))
    if one != before:
        intents.append(one)
    return Followed(tuple(intents), stops)


def due(asked: GuardDue, working_set: WorkingSet, now: datetime) -> Decision[datetime | None]:
    """Stop a transaction if its credit ends within the lag, else ask for a reading; return when to look again."""
    one = working_set.transactions.get(asked.transaction_id)
    if one is None or one.state != "open":
        return Decision(None)
    if one.stop_requested_at is not None:
        return _insist(one, working_set, now)
    lag = timedelta(milliseconds=asked.lag_ms)
    stop_at = _stop_at(one, working_set, lag)
    if stop_at is not None and stop_at <= now:
        one, commands = _stop(one, working_set, now)
        return Decision(one.guard_at, (one, *commands))
    intents: tuple[Any, ...] = ()
    if stop_at is not None and stop_at - now > _FINAL + lag:
        intents = (trigger_command(one, working_set, now),)
    one = msgspec.structs.replace(one, guard_at=_next_look(one, working_set, now, lag))
    return Decision(one.guard_at, (one, *intents))


def credit_minor(one: Transaction, working_set: WorkingSet) -> int | None:
    """Return what a transaction may cost in all: its hold and what its account has left. None without an account."""
    hold = working_set.books.holds.get(one.transaction_id)
    if hold is None or hold.state != "open":
        return None
    return hold.amount_minor + working_set.books.accounts[hold.account_id].available_minor


def is_exhausted(one: Transaction, working_set: WorkingSet) -> bool:
    """Tell whether the cost so far has reached the credit."""
    credit = credit_minor(one, working_set)
    return credit is not None and one.cost_minor > 0 and one.cost_minor >= credit


def _insist(one: Transaction, working_set: WorkingSet, now: datetime) -> Decision[datetime | None]:
    """It was told to stop and goes on: ask again, each time later; unlock it where that is allowed; raise the alarm."""
    one, commands = _stop(one, working_set, now)
    group = working_set.station_group_of(one.charge_point_id)
    intents: list[Any] = [one, *commands]
    if one.stop_attempts >= _UNLOCK_AT and group is not None and group.unlock_when_stop_fails:
        intents.append(unlock_command(one, working_set, now))
    if one.stop_attempts >= _ALARM_AT:
        text = f"Transaction {one.transaction_id} was told to stop {one.stop_attempts} times and goes on."
        key = f"not stopped: {one.transaction_id}"
        intents.append(Alarm(key, "transaction does not stop", one.charge_point_id, one.transaction_id, text))
    return Decision(one.guard_at, tuple(intents))


def _told_long_ago(one: Transaction, now: datetime) -> bool:
    """An ended transaction that still draws has no guard: each reading may ask again, after a pause."""
    return one.state == "ended" and now - (one.stop_requested_at or now) > _FIRST_RETRY


def _stop(one: Transaction, working_set: WorkingSet, now: datetime) -> tuple[Transaction, list[Any]]:
    attempts = one.stop_attempts + 1
    again = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(attempts - 1, 10))
    stopped = msgspec.structs.replace(
        one,
        stop_requested_at=now,
        stop_attempts=attempts,
        guard_at=now + again if one.state == "open" else None,
    )
    return stopped, [stop_command(one, working_set, "credit guard", now)]


def _price(
    one: Transaction,
    before: Transaction,
    hold: Hold | None,
    working_set: WorkingSet,
) -> tuple[Transaction, Hold | None]:
    """Return the transaction with its cost so far, and its hold extended to the cost at the next reading."""
    cost_minor = _cost_after(one, timedelta(0), working_set)
    one = msgspec.structs.replace(one, cost_minor=cost_minor)
    if hold is None or hold.state != "open":
        return one, hold
    interval_s = min(_LONGEST_INTERVAL_S, elapsed_s(before.register_at, one.register_at))
    ahead = _cost_after(one, timedelta(seconds=interval_s), working_set) if interval_s else cost_minor
    return one, extend_hold(hold, ahead, working_set.books.accounts[hold.account_id].available_minor)


def _cost_after(one: Transaction, more: timedelta, working_set: WorkingSet) -> int:
    """Return what a transaction will have cost so long after its latest reading, at its present power."""
    points = working_set.points.get(one.transaction_id, [])
    if one.needs_spans:
        points = [*points, Point(one.register_at, one.register_wh)]
    drawn_wh = (one.power_w or 0) * (more // _MILLISECOND) // _MS_PER_HOUR
    end_wh, end_at = one.register_wh + drawn_wh, one.register_at + more
    return charge_of(one, end_wh, end_at, points, working_set.books.currency).total_minor


_MILLISECOND = timedelta(milliseconds=1)
_MS_PER_HOUR = 3_600_000


def _stop_at(one: Transaction, working_set: WorkingSet, lag: timedelta) -> datetime | None:
    """Return when the stop must be sent (by our clock), or None where no end of the credit is in sight."""
    credit = credit_minor(one, working_set)
    if credit is None or not one.tariff_json:
        return None
    heard_at = one.heard_at or one.recorded_at
    least = _least_time(decode_tariff(one.tariff_json), one, credit, working_set)
    if least is None:
        return None
    if least > _NEAR:
        return heard_at + least - lag
    low, high = timedelta(0), _NEAR * 8
    if _cost_after(one, high, working_set) <= credit:
        return heard_at + high - lag
    while high - low > _MILLISECOND * 100:
        middle = (low + high) / 2
        if _cost_after(one, middle, working_set) <= credit:
            low = middle
        else:
            high = middle
    return heard_at + low - lag


def _least_time(tariff: Tariff, one: Transaction, credit: int, working_set: WorkingSet) -> timedelta | None:
    """Return the time in which the credit cannot end even at the highest rates of the tariff; None: it never ends."""
    scale = working_set.books.currency.scale
    per_kwh = max([tariff.rate_per_kwh, *(band.rate_per_kwh for band in tariff.bands)])
    per_minute = max(
        [tariff.rate_per_minute, tariff.rate_per_idle_minute, *(band.rate_per_minute for band in tariff.bands)]
    )
    per_hour_minor = ((one.power_w or 0) * per_kwh / 1000 + per_minute * 60) * scale
    left_minor = credit - one.cost_minor
    if per_hour_minor <= 0 or left_minor * 3600 > per_hour_minor * int(_FAR.total_seconds()):
        return None
    return timedelta(milliseconds=int(left_minor * _MS_PER_HOUR / per_hour_minor))


def _next_look(one: Transaction, working_set: WorkingSet, now: datetime, lag: timedelta) -> datetime | None:
    """Return when to look again: part of the way to the stop, or at the stop itself when it is close."""
    stop_at = _stop_at(one, working_set, lag)
    if stop_at is None:
        return None
    left = stop_at - now
    if left <= _FINAL + lag:
        return max(now, stop_at)
    return now + max(_FINAL / 2, left * _STEP[0] / _STEP[1])
