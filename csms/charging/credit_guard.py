"""The credit guard: extends the hold ahead of consumption and stops a transaction whose cost reaches the credit. Pure.

Knows a transaction's latest reading, its tariff and what its account can still give; sends nothing: a stop is a
command row among the intents, written in the same unit of work as the reading that shows it.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Hold
from csms.billing.prepaid import extend_hold
from csms.charging.command_queue import stop_command
from csms.charging.pricing import charge_of, elapsed_s
from csms.charging.working_set import Point, Transaction, WorkingSet

_ASK_AGAIN_AFTER = timedelta(seconds=30)
_LONGEST_INTERVAL_S = 900  # the next interval is guessed from the last one, within this bound


class Followed(msgspec.Struct, frozen=True):
    """What following a reading led to."""

    intents: tuple[Any, ...]
    stop_requested: bool


def follow(one: Transaction, working_set: WorkingSet, now: datetime, *, still_draws: bool = False) -> Followed:
    """Price what a transaction (already moved to its latest reading) used, extend its hold, and stop it if it must
    be.
    """
    before = working_set.transactions[one.transaction_id]
    hold = working_set.books.holds.get(one.transaction_id)
    extended = hold
    must_stop = still_draws
    if one.state == "open":
        must_stop = one.authorization_status != "Accepted" and one.energy_wh > before.energy_wh
        if one.tariff_json:
            one, extended, exhausted = _price(one, before, hold, working_set)
            must_stop = must_stop or exhausted
    intents: list[Any] = [] if extended is None or extended == hold else [extended]
    asked_lately = one.stop_requested_at is not None and now - one.stop_requested_at < _ASK_AGAIN_AFTER
    if must_stop and not asked_lately:
        one = msgspec.structs.replace(one, stop_requested_at=now)
        intents.append(stop_command(one, working_set, "credit guard", now))
    if one != before:
        intents.append(one)
    return Followed(tuple(intents), must_stop and not asked_lately)


def _price(
    one: Transaction,
    before: Transaction,
    hold: Hold | None,
    working_set: WorkingSet,
) -> tuple[Transaction, Hold | None, bool]:
    """Return the transaction with its cost so far, its hold extended ahead of consumption, and whether credit is used
    up.
    """
    currency = working_set.books.currency
    points = working_set.points.get(one.transaction_id, [])
    points = [*points, Point(one.register_at, one.register_wh)] if one.needs_spans else points
    cost_minor = charge_of(one, one.register_wh, one.register_at, points, currency).total_minor
    one = msgspec.structs.replace(one, cost_minor=cost_minor)
    if hold is None or hold.state != "open":
        return one, hold, False
    available_minor = working_set.books.accounts[hold.account_id].available_minor
    interval_s = min(_LONGEST_INTERVAL_S, elapsed_s(before.register_at, one.register_at))
    next_wh = (one.power_w or 0) * interval_s // 3600
    then = one.register_at + timedelta(seconds=interval_s)
    ahead = charge_of(one, one.register_wh + next_wh, then, points, currency).total_minor
    extended = extend_hold(hold, ahead, available_minor)
    credit_minor = hold.amount_minor + available_minor
    return one, extended, cost_minor >= credit_minor and cost_minor > 0
