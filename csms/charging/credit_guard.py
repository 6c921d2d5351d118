"""The credit guard: extends holds ahead of consumption and stops a transaction so that its charge lands on the credit.

Pure. It looks at a transaction on the way to the end of its credit (`guard_at` in the row, so another process can take
over), asks the station for a fresh reading there (a probe), claims the credit until the next look, and sends the stop
so much earlier as the link and the station need. Commands are written in the unit of work of the decision. A reading
that already shows the credit used up stops at once.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision, Hold
from csms.billing.prepaid import extend_hold
from csms.charging.closing import SET_BACK
from csms.charging.command_queue import GUARD, stop_command, trigger_command, unlock_command
from csms.charging.facts import Alarm, AlarmOver, StopLag, Transaction
from csms.charging.forecast import (
    cost_after,
    credit_minor,
    ends_at,
    ends_not_before,
    heard_at,
    is_exhausted,
    set_ahead,
    taken_at,
)
from csms.charging.offline_limit import limit, renewed_at
from csms.charging.pricing import elapsed_s
from csms.charging.working_set import Names, WorkingSet

IDLE = "stopped: no current drawn"  # the flag of a stop that credit has nothing to do with
_LONGEST_INTERVAL_S = 900
_UNKNOWN_POWER_W = 22_000  # of a station whose maximum power nobody entered
_QUEUE_TIME = timedelta(seconds=30)  # so long a station takes to tell what it had queued
_FIRST_LOOK = timedelta(seconds=10)  # finds out early how fast the station is and whether it answers probes
_FIRST_LIMIT = timedelta(seconds=2)  # once the station knows the transaction's id
_YOUNG = timedelta(minutes=5)  # so long a car may still go from nothing to full power
_STEP = (3, 5)  # how much of the way to the stop is waited before the next look
_SOONEST = timedelta(seconds=3)  # between two looks
_SOONEST_SILENT = timedelta(seconds=60)
_RARELY = timedelta(seconds=50)  # of which a look takes the usual part: probes half a minute apart
_FINAL = timedelta(seconds=2)  # nearer than this, and both ways of the link, no other reading would come in time
_AT_ONCE = timedelta(seconds=30)  # so near the end a reading is looked at with the link's lag, which it does not know
_SPARED = timedelta(seconds=15)  # of maximum power that there must be credit for to take a stop back
ANSWER_TIME = timedelta(seconds=20)  # a reading within it is taken for the answer of a probe
_OFTEN_S = 15  # readings that come so often need no probes
_SILENT_AFTER_S = 330  # without an interval to judge by
_USUAL_WAIT_S = 20  # from a start until a car draws: less than most need, so that no credit is left for it
_S_PER_H = 3600
_USUAL_REACTION = timedelta(milliseconds=1500)  # of a station that never was stopped by us
_LONGEST_LAG = timedelta(seconds=60)


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


def first_look(charge_point_id: int, working_set: WorkingSet, now: datetime) -> datetime:
    """Return when to look at a transaction that begins: soon where its station can be told a limit."""
    return now + (_FIRST_LIMIT if charge_point_id in working_set.smart_charging else _FIRST_LOOK)


def late_look(now: datetime) -> datetime:
    """Return when to look at a transaction that is told out of a queue: once the rest of the queue is through."""
    return now + _QUEUE_TIME


def follow(
    one: Transaction,
    working_set: WorkingSet,
    now: datetime,
    *,
    still_draws: bool = False,
    is_history: bool = False,
) -> Followed:
    """Price a transaction that was moved to its latest reading, extend its hold, stop it if it must be, else say when
    to look again.

    A reading that is history stops nothing: what comes out of a station's queue may have its stop right behind it.
    """
    before = working_set.transactions[one.transaction_id]
    is_new = one.register_at != before.register_at or one.register_wh != before.register_wh
    if is_new:
        one = _heard(one, before, working_set, now)
    must_stop = still_draws
    if one.state == "open":
        refused = one.authorization_status != "Accepted" and one.energy_wh > before.energy_wh
        if one.tariff_json:
            one = msgspec.structs.replace(one, cost_minor=cost_after(one, timedelta(0), 0, working_set))
        must_stop = must_stop or refused or is_exhausted(one, working_set)
    may_stop = one.stop_requested_at is None or _told_long_ago(one, working_set, now)
    stops = must_stop and may_stop and not is_history
    intents: list[Any] = []
    if stops:
        one, commands = _stop(one, working_set, now)
        intents += commands
    elif is_new and one.state == "open" and one.stop_requested_at is None and one.account_id is not None:
        look_at = late_look(now) if is_history else _look_after_reading(one, working_set, now)
        one = msgspec.structs.replace(one, guard_at=look_at)
    if is_new and one.state == "open":
        next_at = heard_at(one) + timedelta(seconds=one.interval_s) if one.interval_s else one.guard_at or now
        intents += _claim(one, next_at, working_set)
    if one != before:
        intents.append(one)
    return Followed(tuple(intents), stops)


def due(asked: GuardDue, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Stop a transaction if its credit ends within the lag, else ask for a reading and look again later. Return whether
    it still has to be watched.

    Before its moment it is looked at because its account changed: then it is looked at again sooner, if need be.
    """
    one = working_set.transactions.get(asked.transaction_id)
    if one is None or one.state != "open":
        return Decision(False)
    is_due = one.guard_at is not None and one.guard_at <= now
    if one.stop_requested_at is not None:
        freed = spared(one, working_set, now)
        if freed is not None:
            return Decision(True, (freed, *end_alarm(one, working_set)))
        return _insist(one, working_set, now) if is_due else Decision(True)
    round_trip = timedelta(milliseconds=asked.lag_ms)
    lead = _lead(one, round_trip, working_set)
    ends = ends_at(one, _assumed_power_w(one, now), working_set, now)
    if ends is not None and ends - lead <= now:
        one, commands = _stop(one, working_set, now)
        return Decision(True, (one, *commands))
    stop_at = _foreseen(one, None if ends is None else ends - lead, lead, working_set, now)
    look_at = _next_look(one, stop_at, round_trip, now)
    if not is_due:
        sooner = one.guard_at is None or look_at < one.guard_at
        return Decision(True, (msgspec.structs.replace(one, guard_at=look_at),) if sooner else ())
    intents: list[Any] = []
    if _should_probe(one, stop_at, round_trip, now):
        one = msgspec.structs.replace(one, probed_at=now)
        intents.append(trigger_command(one, working_set, now))
    if one.answers_probes is None and one.probed_at is not None and now < one.probed_at + ANSWER_TIME:
        look_at = min(look_at, max(one.probed_at + ANSWER_TIME, now + _SOONEST))  # find out whether it does
    one, limits = limit(one, ends, working_set, now)
    renewed = renewed_at(one)
    if renewed is not None and renewed > now:
        look_at = min(look_at, renewed)
    one = msgspec.structs.replace(one, guard_at=look_at)
    hold = _claim(one, look_at + lead, working_set)
    return Decision(True, (one, *intents, *limits, *hold))


def spared(one: Transaction, working_set: WorkingSet, now: datetime) -> Transaction | None:
    """Return a transaction whose stop is not wanted any more, since there is credit again; None where it is.

    What has not reached the station is taken back with it. A station that was told already ends it all the same.
    """
    is_for_credit = one.state == "open" and one.authorization_status == "Accepted" and IDLE not in one.flags
    if one.stop_requested_at is None or not is_for_credit or credit_minor(one, working_set) is None:
        return None
    soonest = ends_not_before(one, _maximum_power_w(one), working_set)
    if soonest is not None and soonest - now < _SPARED:
        return None
    return msgspec.structs.replace(one, stop_requested_at=None, stop_attempts=0, guard_at=now)


def end_alarm(one: Transaction, working_set: WorkingSet) -> tuple[AlarmOver, ...]:
    """End the alarm of a transaction that did not stop: it has, now."""
    return (AlarmOver(_alarm_key(one)),) if one.stop_attempts >= working_set.policy.alarm_after_attempts else ()


def _alarm_key(one: Transaction) -> str:
    return f"not stopped: {one.transaction_id}"


def learn(before: Transaction, ended_at: datetime, working_set: WorkingSet, now: datetime) -> tuple[StopLag, ...]:
    """Learn from a transaction that ended at our first wish how long its station takes; quickly up, slowly down."""
    if before.stop_requested_at is None or before.stop_attempts != 1:
        return ()
    took = taken_at(before, ended_at, now) - before.stop_requested_at
    if not timedelta(0) < took < _LONGEST_LAG:
        return ()
    took_ms = took // timedelta(milliseconds=1)
    known_ms = working_set.charge_points[before.charge_point_id].stop_lag_ms
    if known_ms is not None:
        took_ms = known_ms + (took_ms - known_ms) // (2 if took_ms > known_ms else 8)
    return (StopLag(before.charge_point_id, took_ms),)


def _heard(one: Transaction, before: Transaction, working_set: WorkingSet, now: datetime) -> Transaction:
    """Note when a reading was taken, how often readings come by themselves, and whether this one answers a probe.

    A limit in the time of a clock that was set since is due to be told anew.
    """
    probed_at, answers = before.probed_at, before.answers_probes
    ahead, is_set_back = set_ahead(before, one.register_at, now), _is_set_back(one, before, working_set)
    is_off = before.limited_until is not None and (ahead or is_set_back)
    waits = probed_at is not None and probed_at >= heard_at(before)
    if waits and probed_at is not None:
        answers = now - probed_at <= ANSWER_TIME
    return msgspec.structs.replace(
        one,
        heard_at=now if is_set_back else taken_at(before, one.register_at, now),
        interval_s=before.interval_s if waits and answers else _interval_s(one, before, ahead),
        limited_until=now if is_off else one.limited_until,
        answers_probes=answers,
    )


def _is_set_back(one: Transaction, before: Transaction, working_set: WorkingSet) -> bool:
    """Tell whether the station's clock was set back: that was just proved, or more was drawn than can be in the time
    that it says has passed. Such a reading did not wait in a queue, though its time looks like that.
    """
    if SET_BACK in one.flags and SET_BACK not in before.flags:
        return True
    passed_s = max(0, (one.register_at - before.register_at) // timedelta(seconds=1) + 1)
    most_w = (one.max_power_w or working_set.policy.maximum_power_w) * 11 // 10
    return (one.register_wh - before.register_wh - 1) * 3600 > most_w * passed_s


def _interval_s(one: Transaction, before: Transaction, ahead: timedelta) -> int | None:
    """Return how often readings come by themselves, after one more did: the first one since the start, the others since
    the reading before. Since a probe's answer it is only a part.
    """
    known_s = before.interval_s
    since = before.started_at if known_s is None else before.register_at
    passed_s = min(_LONGEST_INTERVAL_S, elapsed_s(since, one.register_at - ahead))
    is_part = before.probed_at is not None and abs(heard_at(before) - before.probed_at) <= ANSWER_TIME
    if known_s is None or passed_s > known_s:
        return passed_s or None
    return known_s if is_part else (known_s + passed_s) // 2


def _claim(one: Transaction, until: datetime, working_set: WorkingSet) -> tuple[Hold, ...]:
    """Claim the credit that is used until then, so that another transaction of the account does not spend it."""
    hold = working_set.books.holds.get(one.transaction_id)
    if hold is None or hold.state != "open" or not one.tariff_json:
        return ()
    wanted = cost_after(one, max(timedelta(0), until - heard_at(one)), one.power_w or 0, working_set)
    extended = extend_hold(hold, wanted, working_set.books.accounts[hold.account_id].available_minor)
    return () if extended == hold else (extended,)


# --- when to look, and when to stop -----------------------------------------------------------------------------------


def _look_after_reading(one: Transaction, working_set: WorkingSet, now: datetime) -> datetime:
    """Return when to look after a reading. Of its station nothing is known here, so near the end that is at once."""
    overdue_s = _SILENT_AFTER_S if one.interval_s is None else one.interval_s * 5 // 4 + _OFTEN_S
    look_at = heard_at(one) + timedelta(seconds=overdue_s)  # to claim more credit, should the next one be late
    ends = ends_at(one, _present_power_w(one), working_set, now)
    if ends is not None and ends - now <= _AT_ONCE:
        return now
    ends = _foreseen(one, ends, timedelta(0), working_set, now)
    if ends is not None:
        look_at = min(look_at, now + (ends - now) * _STEP[0] / _STEP[1])
    if one.guard_at is not None and now - one.recorded_at < _YOUNG:
        look_at = min(look_at, one.guard_at)  # the first looks are not put off
    renewed = renewed_at(one)
    return max(now, look_at if renewed is None else min(look_at, renewed))


def _foreseen(
    one: Transaction, stop_at: datetime | None, lead: timedelta, working_set: WorkingSet, now: datetime
) -> datetime | None:
    """Return when the stop may have to be sent, should the car take all the power there is from now on.

    Only where a probe can tell in time: then it is worth a look each half minute, and more while the car is young.
    """
    if one.answers_probes is False:
        return stop_at
    soonest = ends_not_before(one, _maximum_power_w(one), working_set)
    if soonest is None:
        return stop_at
    if now - one.recorded_at >= _YOUNG:
        soonest = max(soonest, now + lead + _RARELY)
    if soonest - lead - now < _SOONEST or (stop_at is not None and stop_at < soonest - lead):
        return stop_at
    return soonest - lead


def _next_look(one: Transaction, stop_at: datetime | None, round_trip: timedelta, now: datetime) -> datetime:
    """Return when to look again: part of the way to the stop, or at the stop itself when it is close."""
    look_at = max(_silent_at(one), now + _SOONEST_SILENT)
    if stop_at is None:
        return look_at
    left = stop_at - now
    if left <= _FINAL + round_trip:
        return max(stop_at, now + _SOONEST / 10)
    return min(look_at, stop_at, now + max(_SOONEST, left * _STEP[0] / _STEP[1]))


def _should_probe(one: Transaction, stop_at: datetime | None, round_trip: timedelta, now: datetime) -> bool:
    """Tell whether a fresh reading is worth a command: not so late that it would keep the stop waiting, and not where
    the last one is fresh or the next one comes soon enough by itself.
    """
    if one.answers_probes is False or (one.probed_at is not None and one.probed_at >= heard_at(one)):
        return False  # one question for each reading
    if stop_at is None or one.probed_at is None or now >= _silent_at(one):
        return stop_at is not None  # the first one finds out whether it answers, and how fast
    left = stop_at - now
    if left <= round_trip + (_FINAL if one.answers_probes else ANSWER_TIME):
        return False
    interval_s = _LONGEST_INTERVAL_S if one.interval_s is None else one.interval_s
    comes_soon = now < heard_at(one) + timedelta(seconds=interval_s) <= now + left * _STEP[0] / _STEP[1]
    return interval_s > _OFTEN_S and now - heard_at(one) > left / 5 and not comes_soon


def _lead(one: Transaction, round_trip: timedelta, working_set: WorkingSet) -> timedelta:
    """Return how long before the end of the credit the stop must be sent."""
    known_ms = working_set.charge_points[one.charge_point_id].stop_lag_ms
    if known_ms is None:
        return round_trip + _USUAL_REACTION
    return max(round_trip, timedelta(milliseconds=known_ms))


def _silent_at(one: Transaction) -> datetime:
    """Return from when on no reading for so long is odd."""
    silent_s = _SILENT_AFTER_S if one.interval_s is None else 2 * one.interval_s + 30
    return heard_at(one) + timedelta(seconds=silent_s)


def _assumed_power_w(one: Transaction, now: datetime) -> int:
    """Return the power to predict with: the latest one, or all that the station can give while it says nothing."""
    asked = one.probed_at is not None and one.probed_at >= heard_at(one)
    in_vain = one.answers_probes is False or (
        asked and one.probed_at is not None and now - one.probed_at >= ANSWER_TIME
    )
    if in_vain and (one.heard_at is None or now >= _silent_at(one)):
        return max(one.power_w or 0, _maximum_power_w(one))
    return _present_power_w(one)


def _present_power_w(one: Transaction) -> int:
    """Return the latest power. Where that is the average since the start, it includes the time before the car began."""
    power_w, seconds = one.power_w or 0, elapsed_s(one.started_at, one.register_at)
    if not seconds or power_w != one.energy_wh * _S_PER_H // seconds:
        return power_w
    began_w = one.energy_wh * _S_PER_H // max(seconds - _USUAL_WAIT_S, seconds // 2, 1)
    return max(power_w, min(began_w, _maximum_power_w(one)))


def _maximum_power_w(one: Transaction) -> int:
    return one.max_power_w or _UNKNOWN_POWER_W


# --- stopping ---------------------------------------------------------------------------------------------------------


def _insist(one: Transaction, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """It was told to stop and goes on: ask again, each time later; unlock it where that is allowed; raise the alarm."""
    one, commands = _stop(one, working_set, now)
    policy, group = working_set.policy, working_set.station_group_of(one.charge_point_id)
    intents: list[Any] = [one, *commands]
    if one.stop_attempts >= policy.unlock_after_attempts and group is not None and group.unlock_when_stop_fails:
        intents.append(unlock_command(one, working_set, now))
    if one.stop_attempts >= policy.alarm_after_attempts:
        text = f"Transaction {one.transaction_id} was told to stop {one.stop_attempts} times and goes on."
        intents.append(
            Alarm(_alarm_key(one), "transaction does not stop", one.charge_point_id, one.transaction_id, text)
        )
    return Decision(True, tuple(intents))


def _told_long_ago(one: Transaction, working_set: WorkingSet, now: datetime) -> bool:
    """An ended transaction that still draws has no guard: each reading may ask again, after a pause."""
    pause = timedelta(seconds=working_set.policy.stop_retry_s)
    return one.state == "ended" and now - (one.stop_requested_at or now) > pause


def _stop(one: Transaction, working_set: WorkingSet, now: datetime) -> tuple[Transaction, list[Any]]:
    attempts = one.stop_attempts + 1
    policy = working_set.policy
    again_s = min(policy.stop_retry_max_s, policy.stop_retry_s * 2 ** min(attempts - 1, 10))
    stopped = msgspec.structs.replace(
        one,
        stop_requested_at=now,
        stop_attempts=attempts,
        guard_at=now + timedelta(seconds=again_s) if one.state == "open" else None,
    )
    return stopped, [stop_command(one, working_set, GUARD, now)]
