"""Transactions that may be over without a stop: their connector says Available, or their station booted. Pure.

Neither sign proves it: statuses overtake queued messages, and some stations go on with a transaction after a boot. So
a reading is asked for and time given; a reading that names the transaction keeps it alive. Otherwise it is taken for
over at its last good reading, as an orphan: a late stop still ends it, else a person decides.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision
from csms.charging import closing, credit_guard
from csms.charging.command_queue import trigger_command
from csms.charging.credit_guard import GuardDue
from csms.charging.facts import ConnectorStatus, Transaction
from csms.charging.points import status_reading
from csms.charging.working_set import WorkingSet

_AWAY = timedelta(minutes=1)
_IN_USE = frozenset({"Charging", "SuspendedEV", "SuspendedEVSE"})


def said_status(said: ConnectorStatus, working_set: WorkingSet, now: datetime) -> tuple[Any, ...]:
    """Return what a connector's status means for the open transactions on it."""
    status, intents = said.status, list[Any]()
    for one in working_set.unfinished(said.charge_point_id):
        if one.state != "open" or one.connector_id != said.connector_id:
            continue
        intents += status_reading(one, said)
        if status == "Available" and one.zombie_at is None:
            intents += _suspect(one, working_set, now)
        elif status in _IN_USE:
            changed = _in_use(one, status)
            intents += [changed] if changed != one else []
    return tuple(intents)


def said_boot(charge_point_id: int, working_set: WorkingSet, now: datetime) -> tuple[Any, ...]:
    """Return what a boot means for the open transactions of a station."""
    intents: list[Any] = []
    for one in working_set.unfinished(charge_point_id):
        if one.state == "open" and one.zombie_at is None:
            intents += _suspect(one, working_set, now)
    return tuple(intents)


def _suspect(one: Transaction, working_set: WorkingSet, now: datetime) -> tuple[Any, ...]:
    zombie_at = now + closing.zombie_wait(one, working_set.policy)
    return (msgspec.structs.replace(one, zombie_at=zombie_at), trigger_command(one, working_set, now))


def _in_use(one: Transaction, status: str) -> Transaction:
    """A car is there. While the station itself holds back, the time without current does not count."""
    is_suspended = status == "SuspendedEVSE"
    idle_since = None if is_suspended or one.is_suspended else one.idle_since
    return msgspec.structs.replace(one, zombie_at=None, is_suspended=is_suspended, idle_since=idle_since)


def due(asked: GuardDue, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Take a transaction for over whose time is up; else let the credit guard look at it."""
    one = working_set.transactions.get(asked.transaction_id)
    if one is None or one.state != "open" or one.zombie_at is None or one.zombie_at > now:
        return credit_guard.due(asked, working_set, now)
    if now - one.zombie_at > _AWAY:  # its station was away, and could not answer
        return Decision(True, _suspect(one, working_set, now))
    energy_wh = closing.estimate_wh(one)
    evidence = {"last_register_wh": one.register_wh, "estimate_wh": energy_wh, "suspected_until": one.zombie_at}
    explanation = "The connector or the whole station was free again, and nothing more was heard of this transaction."
    over = closing.orphaned(one, energy_wh, closing.UNHEARD_OF, explanation, evidence)
    hold = working_set.books.holds.get(one.transaction_id)
    if hold is not None and hold.state == "open" and hold.amount_minor > one.cost_minor:
        over = (*over, msgspec.structs.replace(hold, amount_minor=one.cost_minor))  # the rest is free for the next car
    return Decision(False, (*over, closing.alarm_of(over[1])))
