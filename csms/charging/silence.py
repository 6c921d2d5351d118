"""Transactions that stand in the way of their card though nothing is heard of them: asked for, or given up. Pure.

A transaction counts until it is over, however long it is silent: its car may be charging where the link is lost. So
that no card is locked out by one that is over, its station is asked for a reading as soon as the card is held up
elsewhere. A reading that names it keeps it; else it is taken for over (`zombies`). Where nobody can be asked it counts
no more in the end: its credit stays on hold, and its stop is charged when it comes.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import PrepaidAccount
from csms.charging import closing
from csms.charging.command_queue import trigger_command
from csms.charging.facts import Running, Transaction
from csms.charging.working_set import WorkingSet

SOONEST = timedelta(minutes=2)  # of silence; readings come each minute or more often
_WITHOUT_READINGS = timedelta(seconds=330)  # of one that no reading came of yet
_LATE_BY = timedelta(seconds=30)
_LONGEST = timedelta(minutes=15)  # of silence, from which on one that did not answer counts no more


def in_the_way(
    id_tag: str, account: PrepaidAccount, gone: Iterable[int], working_set: WorkingSet, now: datetime
) -> list[Running]:
    """Return the transactions that keep a card from beginning another one; none where its limit is not reached: one for
    each card, or what the account's group says for all of its cards.
    """
    group = working_set.books.group_of(account)
    of_group = None if group is None else group.simultaneous_transactions
    counted = [
        one
        for one in working_set.running.get(account.account_id, ())
        if one.transaction_id not in gone
        and not _is_given_up(one, now)
        and (of_group is not None or one.id_tag == id_tag)
    ]
    most = working_set.policy.transactions_per_card if of_group is None else of_group
    return counted if len(counted) >= most else []


def asked(found: Iterable[Running], working_set: WorkingSet, now: datetime) -> tuple[Any, ...]:
    """Ask for a reading of those of which nothing was heard for too long, and say until when it is waited for."""
    intents: list[Any] = []
    for each in found:
        one = working_set.transactions.get(each.transaction_id)
        if one is not None and one.state == "open" and one.zombie_at is None and _is_silent(one, now):
            until = now + closing.zombie_wait(one, working_set.policy)
            intents += [msgspec.structs.replace(one, zombie_at=until), trigger_command(one, working_set, now)]
    return tuple(intents)


def _is_silent(one: Transaction, now: datetime) -> bool:
    often = _WITHOUT_READINGS if one.interval_s is None else timedelta(seconds=2 * one.interval_s) + _LATE_BY
    return now - (one.heard_at or one.recorded_at) >= max(SOONEST, often)


def _is_given_up(one: Running, now: datetime) -> bool:
    """Tell whether a transaction was asked for, and neither it nor its station said anything in all the time."""
    silent = now - (one.heard_at or one.started_at)
    return one.zombie_at is not None and one.zombie_at <= now and silent >= _LONGEST
