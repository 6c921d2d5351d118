"""What an account spends in a day, and what its group leaves of it. Pure.

A day goes from midnight to midnight in the time zone of the settings. A transaction that runs over midnight counts
with what it costs beyond what it had cost at midnight, by the readings around it; what a person corrected counts as it
was corrected. Knows neither the tables nor who asks.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from csms.billing.books import PrepaidAccount
from csms.charging.facts import Point, Transaction
from csms.charging.pricing import cost_of
from csms.charging.working_set import WorkingSet


def left_minor(account: PrepaidAccount, working_set: WorkingSet) -> int | None:
    """Return what an account may still spend today, running transactions counted; None without a daily limit."""
    return _left_beside(None, account, working_set)


def most_minor(one: Transaction, account: PrepaidAccount, working_set: WorkingSet) -> int | None:
    """Return what a transaction may cost in all, from its start, until its account has spent what it may today."""
    left = _left_beside(one.transaction_id, account, working_set)
    return None if left is None else _before_minor(one, working_set) + max(0, left)


def _left_beside(transaction_id: int | None, account: PrepaidAccount, working_set: WorkingSet) -> int | None:
    group = working_set.books.group_of(account)
    if group is None or group.daily_spend_minor is None:
        return None
    stored = {each.transaction_id: each for each in working_set.todays.get(account.account_id, ())}
    known = {key: each for key, each in working_set.transactions.items() if each.account_id == account.account_id}
    counted = [each for key, each in (stored | known).items() if key != transaction_id]
    return group.daily_spend_minor - sum(_spent_minor(each, working_set) for each in counted)


def _spent_minor(one: Transaction, working_set: WorkingSet) -> int:
    """Return what a transaction cost since midnight."""
    return _cost_minor(one, working_set) - _before_minor(one, working_set)


def _cost_minor(one: Transaction, working_set: WorkingSet) -> int:
    billed = working_set.books.billed.get(one.transaction_id)
    return one.cost_minor if billed is None or one.corrected_ended_at is None else billed.net_minor + billed.tax_minor


def _before_minor(one: Transaction, working_set: WorkingSet) -> int:
    """Return what a transaction had cost at midnight."""
    midnight = working_set.midnight
    if midnight is None or one.started_at >= midnight or not one.tariff_json:
        return 0
    cost_minor, end = _cost_minor(one, working_set), last_point(one)
    if end.at <= midnight:
        return cost_minor
    points = working_set.points_at_midnight.get(one.transaction_id, ())
    registers = [point for point in points if isinstance(point, Point)]
    end_wh = _register_at(midnight, [Point(one.started_at, one.meter_start_wh), *registers, end])
    return min(cost_minor, cost_of(one, end_wh, midnight, points, working_set.books.currency))


def last_point(one: Transaction) -> Point:
    """Return until when, and up to which register, a transaction cost something so far."""
    energy_wh = one.energy_wh if one.corrected_energy_wh is None else one.corrected_energy_wh
    at = one.corrected_ended_at or one.ended_at or one.register_at
    return Point(at, one.meter_start_wh + energy_wh)


def _register_at(moment: datetime, points: Sequence[Point]) -> int:
    """Return the register at a moment, the energy between two readings spread evenly over the time between them."""
    rising = sorted(points, key=lambda each: (each.at, each.register_wh))
    for before, after in pairwise(rising):
        if before.at <= moment < after.at:
            drawn_wh = max(0, after.register_wh - before.register_wh)
            return before.register_wh + drawn_wh * (moment - before.at) // (after.at - before.at)
    return rising[-1].register_wh
