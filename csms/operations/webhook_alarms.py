"""The alarm that a webhook takes nothing any more, and its end. Pure; knows no webhook."""

from datetime import datetime

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import Alarm, AlarmOver
from csms.charging.working_set import Names, WorkingSet


class NoteWebhook(msgspec.Struct, frozen=True):
    """What is wrong with a webhook; nothing: it is in order again."""

    webhook_id: int
    text: str = ""

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


def note(said: NoteWebhook, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes these
    """Raise the alarm, or end it."""
    key = f"webhook:{said.webhook_id}"
    return Decision(None, (Alarm(key, "webhook disabled", None, None, said.text) if said.text else AlarmOver(key),))
