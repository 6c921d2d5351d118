"""Turns what somebody wants of a charge point into a command, or says what is wrong with it. Knows no sockets.

Pages, the API and the command line all ask here; whatever the schema of the action allows can be sent, also what the
charge point will refuse.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from csms.charging.command_queue import QueueCommand
from csms.commands.actions import ACTIONS
from csms.errors import CsmsError
from csms.handlers import wire
from csms.masking import masked

_ENCODER = msgspec.json.Encoder(decimal_format="number")  # limits of charging profiles are decimal numbers


class CommandInvalid(CsmsError):  # noqa: N818 - says what the wish is
    """What was asked for is no call of OCPP 1.6. `field` is the path of the field at fault ("" for the whole)."""

    def __init__(self, field: str, explanation: str) -> None:
        """Keep both; the text is both."""
        super().__init__(f"{field}: {explanation}" if field else explanation)
        self.field = field
        self.explanation = explanation


def ask(
    charge_point_id: int,
    action: str,
    payload: Mapping[str, Any] | msgspec.Struct,
    requested_by: str,
    *,
    expires_s: int | None = None,
) -> QueueCommand:
    """Return the command to be submitted to the engine; CommandInvalid where `payload` is no call of this action.

    A key or password in it is sent, and masked in everything that is shown.
    """
    if action not in ACTIONS:
        raise CommandInvalid("action", f"{action[:50]} is not an action that a central system sends")
    text = _ENCODER.encode(payload)
    try:
        call, _ = wire.read_call(action, text)
    except wire.CallRejected as error:
        field, separator, explanation = error.description.partition(": ")
        raise CommandInvalid(*((field, explanation) if separator else ("", error.description))) from None
    whole = _ENCODER.encode(call).decode()
    shown = masked(whole)
    return QueueCommand(
        charge_point_id,
        action,
        shown,
        requested_by,
        repeatable=ACTIONS[action].repeatable,
        transaction_id=getattr(call, "transaction_id", None) if action == "RemoteStopTransaction" else None,
        expires_s=expires_s,
        secret_json=whole if shown != whole else None,
    )
