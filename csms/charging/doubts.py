"""A person doubts a charge, or that there was none: it goes into the review queue and is decided there. Pure.

So a decision that was wrong is corrected as it was made: with the evidence at hand, a reason, and an entry of its own.
"""

from datetime import datetime
from typing import Literal

import msgspec

from csms.billing.books import Audit, Decision
from csms.charging import closing
from csms.charging.facts import ReviewItem
from csms.charging.working_set import Names, WorkingSet

IN_DOUBT = "charge in doubt"
LONGEST_REASON = 200
_LONGEST_EXPLANATION = 300

NotDoubtedReason = Literal["unknown transaction", "not ended", "waits already", "reason missing", "form used before"]


class DoubtCharge(msgspec.Struct, frozen=True):
    """A person wants to look at the charge of an ended transaction again."""

    transaction_id: int
    reason: str
    actor: str
    form_key: str

    @property
    def key(self) -> str:
        """The key of the review item, so that a form makes one."""
        return closing.key_of(IN_DOUBT, self.transaction_id, self.form_key)

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.transaction_ids.add(self.transaction_id)
        names.review_keys.add(self.key)


class Doubted(msgspec.Struct, frozen=True):
    """It waits under this key."""

    key: str


class NotDoubted(msgspec.Struct, frozen=True):
    """Nothing was changed, and why."""

    reason: NotDoubtedReason


class _Evidence(msgspec.Struct, frozen=True):
    doubted_by: str
    reason: str
    energy_wh: int
    cost_minor: int


def doubt(asked: DoubtCharge, working_set: WorkingSet, _now: datetime) -> Decision[Doubted | NotDoubted]:
    """Put the charge of an ended transaction into the queue, once for each form."""
    one = working_set.transactions.get(asked.transaction_id)
    if one is None:
        return Decision(NotDoubted("unknown transaction"))
    if one.state != "ended":
        return Decision(NotDoubted("not ended"))
    before = working_set.review_items.get(asked.key) or working_set.reviews.get(asked.key)
    if before is not None:
        same = msgspec.json.decode(before.evidence_json, type=_Evidence).reason == asked.reason.strip()
        return Decision(Doubted(asked.key) if same else NotDoubted("form used before"))
    if closing.waits(one):
        return Decision(NotDoubted("waits already"))
    reason = asked.reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        return Decision(NotDoubted("reason missing"))
    said = _Evidence(asked.actor, reason, one.energy_wh, one.cost_minor)
    item = ReviewItem(
        asked.key,
        IN_DOUBT,
        one.charge_point_id,
        one.connector_id,
        one.transaction_id,
        f"Doubted by {asked.actor}: {reason}"[:_LONGEST_EXPLANATION],
        msgspec.json.encode(said).decode(),
    )
    told = Audit("charge doubted", f"transaction {one.transaction_id}", asked.actor, reason)
    return Decision(Doubted(asked.key), (item, told))
