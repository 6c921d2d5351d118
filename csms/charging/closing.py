"""How a transaction ends: what it delivered, whether that can be, what it costs, and what stays for a person. Pure.

Money moves only for energy that the connector can have delivered in the time; beyond that the hold stays open until a
person decides. Used by the station's stop and by a person's decision alike, so both charge in one way.
"""

import re
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from csms.billing.books import Hold
from csms.billing.prepaid import settle, void_hold
from csms.billing.tariffs import Charge
from csms.charging.facts import Alarm, Point, Policy, ReviewItem, Transaction
from csms.charging.points import Turn
from csms.charging.pricing import charge_of, elapsed_s
from csms.charging.working_set import WorkingSet

IMPLAUSIBLE = "implausible energy"
BELOW_START = "meter stop below meter start"
NO_ACCOUNT = "no account"
NO_ENERGY = "no energy"
NO_TARIFF = "no tariff"
NOTHING_TO_CHARGE = "nothing to charge"
MADE_OF_A_STOP = "made of a stop without a transaction"  # the first flag of what a person made; no card was judged
UNHEARD_OF = (
    "no stop, connector free"  # the flag of a transaction that was taken for over because nothing was heard of it
)
OVERLAPS = "energy of the next transaction"
# Reasons why nothing is charged until a person decided; the hold stays open
WAITING = (IMPLAUSIBLE, BELOW_START, OVERLAPS)
JUST_BELOW = "meter stop just below meter start"
LAST_READING_USED = "meter stop below meter start: last reading used"
REVIEWED = "reviewed: "
OTHER_ENERGY = (JUST_BELOW, LAST_READING_USED, REVIEWED)  # flags: the energy is not the difference of the registers
SET_BACK = "clock set back"  # the flag of a transaction of which a register, or the answer to a question, proves it
_DISBELIEVED = "disbelieved from "  # the flag of a register that cannot be, while no better one came
_DISBELIEVED_WH = re.compile(rf"{_DISBELIEVED}(\d+) Wh")
_BY_ITS_CLOCK = " by its clock"  # of such a register: by ours it can be
_HARMLESS_DEFICIT_WH = 10
_CLOCKS = timedelta(minutes=1)  # clocks are set while cars charge
_DRIFT = timedelta(seconds=10)  # clocks that nobody sets differ by less, and times are told in whole seconds
_LONGEST_INTERVAL_S = 900  # between readings, of a station that is not known yet
_MOST_UNSEEN_WH = 150_000  # more than nearly any car takes at once
_ROUNDING_WH = 500  # clocks and registers are rounded, and short transactions feel it most


def waits(one: Transaction) -> bool:
    """Tell whether nothing is charged before a person decides (or a late stop comes)."""
    return one.state == "orphaned" or one.uncharged_reason in WAITING


def most_wh(one: Transaction, at: datetime, now: datetime, policy: Policy) -> int:
    """Return the most that can have been delivered until `at`: maximum power x duration x 1.1 + 500 Wh.

    Where nobody entered the power, or the meter start may be a placeholder, it is no more than cars take.
    """
    most = _most_in(_duration_s(one, at, now), one, policy)
    is_known = one.max_power_w is not None and one.meter_start_wh != 0
    return most if is_known else min(most, _MOST_UNSEEN_WH)


def _most_in(seconds: int, one: Transaction, policy: Policy) -> int:
    power_w = one.max_power_w or policy.maximum_power_w
    rounding_wh = max(_ROUNDING_WH, power_w // 3600)  # most stations tell whole seconds
    return power_w * seconds * 11 // (10 * 3600) + rounding_wh


def _duration_s(one: Transaction, at: datetime, now: datetime) -> int:
    """Return how long a transaction took by its station's clock: that a message waited in a queue adds nothing.

    Where that clock was provably set back, ours counts: until the latest reading, and what may pass between two.
    """
    theirs_s = elapsed_s(one.started_at, at)
    if SET_BACK not in one.flags:
        return theirs_s
    heard_at = one.heard_at or one.recorded_at
    between_s = 2 * one.interval_s if one.interval_s else _LONGEST_INTERVAL_S
    return max(theirs_s, elapsed_s(one.recorded_at, heard_at) + min(elapsed_s(heard_at, now), between_s))


def is_believable(one: Transaction, register_wh: int, at: datetime, now: datetime, policy: Policy) -> bool:
    """Tell whether a register can be: so much can have been delivered, and it agrees with none that could not be."""
    found = _DISBELIEVED_WH.search(one.flags)
    if found is not None and register_wh >= int(found[1]):
        return False
    return register_wh - one.meter_start_wh <= most_wh(_clocked(one, register_wh, at, now, policy), at, now, policy)


def weighed(
    before: Transaction,
    after: Transaction,
    register_wh: int | None,
    at: datetime,
    now: datetime,
    policy: Policy,
    *,
    is_good: bool,
) -> Transaction:
    """Return a transaction that remembers what a reading tells of its station: that the clock was set back, or that
    the register is none to believe. The next good one shows that this was a slip of the meter.
    """
    if register_wh is None:
        return after
    if is_good and after.register_at != before.register_at:
        flags = [flag for flag in after.flags.split("; ") if not flag.startswith(_DISBELIEVED)]
        flags += [SET_BACK] * (_clocked(before, register_wh, at, now, policy) is not before)
        return after if after.flags == join(*flags) else msgspec.structs.replace(after, flags=join(*flags))
    is_news = at > before.register_at or before.register_wh == before.meter_start_wh
    if is_good or not is_news or _DISBELIEVED in after.flags:
        return after
    by_ours = _BY_ITS_CLOCK if _can_be_by_ours(before, register_wh, at, now, policy) else ""
    return msgspec.structs.replace(after, flags=join(after.flags, f"{_DISBELIEVED}{register_wh} Wh{by_ours}"))


def is_clock_in_doubt(one: Transaction) -> bool:
    """Tell whether a register is disbelieved for its station's clock alone: a question tells how that goes."""
    return any(flag.startswith(_DISBELIEVED) and flag.endswith(_BY_ITS_CLOCK) for flag in one.flags.split("; "))


def answered(one: Transaction, register_wh: int, at: datetime, now: datetime, policy: Policy) -> Transaction:
    """Note that the clock was set back where the answer to a question proves it: it was taken after the question, and
    by its time before. Only where a register is in doubt for that clock alone, which it is not any more then.
    """
    assert one.probed_at is not None, "there is an answer"
    was_set_back = at - one.started_at < one.probed_at - one.recorded_at - _DRIFT
    is_new = register_wh > one.register_wh  # and no earlier answer that is told again
    is_first = _DISBELIEVED not in one.flags and not is_believable(one, register_wh, at, now, policy)
    if SET_BACK in one.flags or not was_set_back or not is_new or not (is_first or is_clock_in_doubt(one)):
        return one
    flags = [flag for flag in one.flags.split("; ") if not flag.startswith(_DISBELIEVED)]
    known = msgspec.structs.replace(one, flags=join(*flags, SET_BACK), heard_at=one.probed_at)
    return known if is_believable(known, register_wh, at, now, policy) else one


def _clocked(one: Transaction, register_wh: int, at: datetime, now: datetime, policy: Policy) -> Transaction:
    """Note that the clock was set back where a register proves it: higher than the latest, and of an earlier time; by
    no more than can have been drawn since that came, or else it is a slip of the meter that is told late or again.
    """
    is_proof = register_wh > one.register_wh and at < one.register_at - _CLOCKS
    if not is_proof or SET_BACK in one.flags or not _is_drawn_since(one, register_wh, now, policy):
        return one
    return msgspec.structs.replace(one, flags=join(one.flags, SET_BACK))


def _can_be_by_ours(one: Transaction, register_wh: int, at: datetime, now: datetime, policy: Policy) -> bool:
    """Tell whether a register can be if its station's clock was set back."""
    set_back = msgspec.structs.replace(one, flags=join(one.flags, SET_BACK))
    can_be = register_wh - one.meter_start_wh <= most_wh(set_back, at, now, policy)
    return can_be and _is_drawn_since(one, register_wh, now, policy)


def _is_drawn_since(one: Transaction, register_wh: int, now: datetime, policy: Policy) -> bool:
    """Tell whether so much can have been drawn since the latest reading, by our clock."""
    return register_wh - one.register_wh <= _most_in(elapsed_s(one.heard_at or one.recorded_at, now), one, policy)


def zombie_wait(one: Transaction, policy: Policy) -> timedelta:
    """Return how long a transaction that may be over is waited for: one that is read seldom gets more time."""
    return timedelta(seconds=max(policy.zombie_wait_s, 2 * (one.interval_s or 0)))


def delivered_wh(one: Transaction, meter_stop_wh: int) -> tuple[int | None, str]:
    """Return the energy between start and stop, and what was odd; None where no register can be trusted.

    A deficit of up to 10 Wh is a rounding of the station. Beyond it the last good reading counts.
    """
    energy_wh = meter_stop_wh - one.meter_start_wh
    if energy_wh >= 0:
        return energy_wh, ""
    if energy_wh >= -_HARMLESS_DEFICIT_WH:
        return 0, JUST_BELOW
    if one.register_wh > one.meter_start_wh:
        return one.register_wh - one.meter_start_wh, LAST_READING_USED
    return None, BELOW_START


def estimate_wh(one: Transaction) -> int:
    """Return the energy up to the latest good reading."""
    return max(0, one.register_wh - one.meter_start_wh)


def next_start(one: Transaction, working_set: WorkingSet) -> tuple[datetime | None, int | None]:
    """Return when and with what register the next transaction began on the connector of one that was taken for over.

    No register where its meter counts from there each time, or was reset: it tells nothing then.
    """
    begun = [
        (each.started_at, each.meter_start_wh)
        for each in working_set.transactions.values()
        if (each.charge_point_id, each.connector_id) == (one.charge_point_id, one.connector_id)
        and each.transaction_id > one.transaction_id
        and each.started_at >= one.started_at
    ]
    if one.transaction_id in working_set.overtaken:
        begun.append(working_set.overtaken[one.transaction_id])
    begun_at, begun_wh = min(begun, default=(None, 0))
    return begun_at, begun_wh if begun_wh and begun_wh >= one.meter_start_wh else None


def doubt(
    one: Transaction, energy_wh: int | None, meter_stop_wh: int, working_set: WorkingSet, now: datetime
) -> tuple[str, str] | None:
    """Return why nobody may charge what a stop told, as a reason and in words; None where it can be charged."""
    assert one.ended_at is not None, "a stop says when"
    if energy_wh is None:
        return BELOW_START, f"The meter stop ({meter_stop_wh} Wh) is below the meter start ({one.meter_start_wh} Wh)."
    register_wh, policy = one.meter_start_wh + energy_wh, working_set.policy
    if not is_believable(one, register_wh, one.ended_at, now, policy):
        most = most_wh(_clocked(one, register_wh, one.ended_at, now, policy), one.ended_at, now, policy)
        if energy_wh > most:
            return IMPLAUSIBLE, f"{energy_wh} Wh were told, and at most {most} Wh can have been delivered in the time."
        return (
            IMPLAUSIBLE,
            f"{energy_wh} Wh were told, like readings that cannot be, and no better one came after them.",
        )
    begun_at, begun_wh = next_start(one, working_set)
    if begun_wh is not None and one.meter_start_wh + energy_wh > begun_wh + _HARMLESS_DEFICIT_WH:
        return OVERLAPS, f"The meter stop ({meter_stop_wh} Wh) is above {begun_wh} Wh, where the next one began."
    if begun_at is not None and one.ended_at > begun_at + _CLOCKS:
        return OVERLAPS, "By the time of its stop it went on after the next one had begun on the connector."
    return None


def kept(one: Transaction, reason: str, working_set: WorkingSet) -> Transaction:
    """Return a transaction whose stop nobody may charge: with the estimate, until a person decides.

    Neither its energy nor its time reaches into the transaction that came next on its connector.
    """
    begun_at, begun_wh = next_start(one, working_set)
    last_wh = one.register_wh if begun_wh is None else min(one.register_wh, begun_wh)
    assert one.ended_at is not None, "a stop says when"
    ended_at = one.ended_at if begun_at is None else min(one.ended_at, begun_at)
    energy_wh = max(0, last_wh - one.meter_start_wh)
    return msgspec.structs.replace(one, energy_wh=energy_wh, ended_at=ended_at, uncharged_reason=reason)


def charge(
    one: Transaction, points: list[Point | Turn], working_set: WorkingSet, now: datetime, actor: str
) -> tuple[Transaction, tuple[Any, ...]]:
    """Price an ended transaction by its `energy_wh` and settle its hold, or say why nothing is charged."""
    hold = working_set.books.holds.get(one.transaction_id)
    return charge_with(one, hold, points, working_set, now, actor)


def charge_with(
    one: Transaction,
    hold: Hold | None,
    points: list[Point | Turn],
    working_set: WorkingSet,
    now: datetime,
    actor: str,
) -> tuple[Transaction, tuple[Any, ...]]:
    """Do the same with a hold that is placed by the same decision."""
    reason = _why_uncharged(one)
    total = Charge((), 0, 0)
    assert one.ended_at is not None, "only an ended transaction is charged"
    if reason is None:
        total = charge_of(one, one.meter_start_wh + one.energy_wh, one.ended_at, points, working_set.books.currency)
        if not total.total_minor:
            reason = NOTHING_TO_CHARGE
    one = msgspec.structs.replace(one, cost_minor=total.total_minor, uncharged_reason=reason)
    if hold is None or hold.state != "open":
        return one, ()
    if reason is not None or one.ended_at is None:
        return one, (void_hold(hold, now),)
    return one, settle(hold, total, one.ended_at, now, actor, working_set.books)


def _why_uncharged(one: Transaction) -> str | None:
    if not one.energy_wh:
        return NO_ENERGY
    if one.account_id is None:
        return NO_ACCOUNT
    return None if one.tariff_json else NO_TARIFF


def alarm_of(item: ReviewItem) -> Alarm:
    """Return the alarm that goes with a review item; it is over when somebody has decided."""
    return Alarm(alarm_key(item.key), item.kind, item.charge_point_id, item.transaction_id, item.explanation[:300])


def alarm_key(review_key: str) -> str:
    """Return the key of the alarm that goes with a review item."""
    return f"review: {review_key}"


def orphan_key(transaction_id: int) -> str:
    """Return the key of the review item of a transaction whose stop was not told."""
    return key_of("orphan", transaction_id)


def orphaned(one: Transaction, energy_wh: int, why: str, explanation: str, evidence: object) -> tuple[Any, ...]:
    """Take a transaction for over whose stop was never told. Its credit stays on hold until its stop comes or a person
    decides.
    """
    over = msgspec.structs.replace(
        one, state="orphaned", energy_wh=energy_wh, guard_at=None, zombie_at=None, flags=join(one.flags, why)
    )
    item = ReviewItem(
        orphan_key(one.transaction_id),
        "orphaned transaction",
        one.charge_point_id,
        one.connector_id,
        one.transaction_id,
        explanation,
        msgspec.json.encode(evidence).decode(),
    )
    return (over, item)


def overtaken(one: Transaction, next_meter_start_wh: int) -> tuple[Any, ...]:
    """Take a transaction for over whose connector began another one before its stop was told."""
    end_wh = min(max(next_meter_start_wh, one.meter_start_wh), max(one.register_wh, one.meter_start_wh))
    energy_wh = end_wh - one.meter_start_wh
    evidence = {"next_meter_start_wh": next_meter_start_wh, "last_register_wh": one.register_wh}
    explanation = "Another transaction began on the connector before this one was stopped."
    return orphaned(one, energy_wh, "no stop before the next start", explanation, evidence | {"estimate_wh": energy_wh})


def key_of(*facts: object) -> str:
    """Return a key that comes from the facts."""
    return blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def join(*flags: str) -> str:
    """Return flags as they are stored."""
    return "; ".join(flag for flag in flags if flag)
