"""A car was unplugged before its transaction ended, and its station told so: time after that costs nothing. Pure.

What is told before the charge counts in it. What is told after it corrects the charge by the difference, in an entry of
its own, so that the same messages come to the same amount in whatever order they arrive. Where readings or a person's
decision contradict it, nothing is booked and a person is told. Knows no display.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from csms.billing.books import Audit
from csms.billing.prepaid import adjust
from csms.charging import closing
from csms.charging.facts import Point, ReviewItem, Transaction
from csms.charging.points import Turn
from csms.charging.pricing import charge_of, elapsed_s
from csms.charging.setting_facts import Unplugged
from csms.charging.working_set import WorkingSet

TOLD_LATE = "unplugged before the stop, told after it"  # the flag of a charge that was corrected for it
_STATION = "charge point"
_ROUNDING_WH = 10  # registers are rounded
_S_PER_MINUTE = 60


def review_key(transaction_id: int) -> str:
    """Return the key of what is told too late to be certain; and of the entry that corrects."""
    return closing.key_of("unplugged", transaction_id)


def unplugged_at(
    one: Transaction, at: datetime, evidence: object, working_set: WorkingSet, now: datetime
) -> tuple[Any, ...]:
    """Return what follows from the moment at which the car of a transaction was unplugged. The first message counts."""
    if one.unplugged_at is not None or TOLD_LATE in one.flags:
        return ()
    charged_until = max(filter(None, (one.ended_at, one.corrected_ended_at)), default=at)
    is_charged = bool(one.cost_minor) or one.corrected_ended_at is not None
    if closing.waits(one) or at >= charged_until or not is_charged:
        return (Unplugged(one.transaction_id, one.charge_point_id, at),)  # nothing was charged yet that it changes
    points = working_set.points.get(one.transaction_id, [])
    if one.corrected_ended_at is not None or at < one.started_at or _draws_after(one, at, points):
        return (_doubted(one, at, evidence),)
    return _corrected(one, at, points, working_set, now)


def _draws_after(one: Transaction, at: datetime, points: Iterable[Point | Turn]) -> bool:
    """Tell whether readings say that energy was drawn when the car is said to have been gone."""
    after = [point.register_wh for point in points if isinstance(point, Point) and at < point.at]
    return bool(after) and one.meter_start_wh + one.energy_wh - min(after) > _ROUNDING_WH


def _corrected(
    one: Transaction, at: datetime, points: Iterable[Point | Turn], working_set: WorkingSet, now: datetime
) -> tuple[Any, ...]:
    """Give back what time after the moment cost. Where another end costs no less, nothing is due."""
    assert one.account_id is not None, "what was charged has an account"
    charge = charge_of(one, one.meter_start_wh + one.energy_wh, at, points, working_set.books.currency)
    if charge.total_minor >= one.cost_minor:
        return ()
    key = review_key(one.transaction_id)
    entries = adjust(one.transaction_id, one.account_id, charge, key, now, _STATION, working_set.books)
    words = f"The car was unplugged at {at:%Y-%m-%d %H:%M:%S} UTC, told after the charge."
    after = msgspec.structs.replace(
        one,
        corrected_energy_wh=one.energy_wh,
        corrected_ended_at=at,
        flags=closing.join(one.flags, TOLD_LATE),
    )
    return after, *entries, Audit("charge corrected", f"transaction {one.transaction_id}", _STATION, words)


def _doubted(one: Transaction, at: datetime, evidence: object) -> ReviewItem:
    assert one.ended_at is not None, "the caller checked it"
    minutes = max(1, elapsed_s(at, one.ended_at) // _S_PER_MINUTE)
    why = (
        "a person has corrected the charge already"
        if one.corrected_ended_at is not None
        else "that is before the start"
        if at < one.started_at
        else "readings say that it drew energy afterwards"
    )
    return ReviewItem(
        review_key(one.transaction_id),
        "unplugged before the stop",
        one.charge_point_id,
        one.connector_id,
        one.transaction_id,
        f"After the charge the station told that the car was unplugged {minutes} min before the stop, but {why}.",
        msgspec.json.encode(evidence).decode(),
    )
