"""The alarm that a firmware campaign was paused by a defect, and its end. Pure; knows no campaign."""

from datetime import datetime

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import Alarm, AlarmOver
from csms.charging.working_set import Names, WorkingSet


class NoteCampaign(msgspec.Struct, frozen=True):
    """Why a campaign cannot go on; nothing: it goes on."""

    campaign_id: int
    text: str = ""

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


def note(said: NoteCampaign, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes these
    """Raise the alarm, or end it."""
    key = f"campaign:{said.campaign_id}"
    return Decision(None, (Alarm(key, "campaign paused", None, None, said.text) if said.text else AlarmOver(key),))
