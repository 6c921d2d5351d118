"""A call that met a defect of ours: it is kept as it came, for a person to look at. Pure.

The charge point is answered InternalError and may discard the message, and the money with it: this is all that is left.
"""

from datetime import datetime

import msgspec

from csms.billing.books import Decision
from csms.charging import closing
from csms.charging.facts import ReviewItem
from csms.charging.working_set import Names, WorkingSet

DEFECT = "defect"
_LONGEST_EXPLANATION = 300


class KeepDefect(msgspec.Struct, frozen=True):
    """A call could not be handled. `frame` is its text without secrets; `payload` tells it from others, whatever its
    message id.
    """

    charge_point_id: int
    action: str
    payload: bytes
    frame: str

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


def keep(asked: KeepDefect, _working_set: WorkingSet, _now: datetime) -> Decision[str]:
    """Put the message into the review queue, once however often it is sent; return the item's key."""
    key = closing.key_of(DEFECT, asked.charge_point_id, asked.action, asked.payload)
    explanation = (
        f"{asked.action} met a defect of the central system and had no effect. The charge point may have discarded it: "
        "see to its effect by hand, and report the defect."
    )
    item = ReviewItem(key, DEFECT, asked.charge_point_id, None, None, explanation[:_LONGEST_EXPLANATION], asked.frame)
    return Decision(key, (item, closing.alarm_of(item)))
