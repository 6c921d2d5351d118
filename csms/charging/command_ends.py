"""How commands end without their answer, or get it when nobody waits for it any more. Pure.

An operator cancels what is still queued; what nobody could be told in time expires, whether its station comes back or
not; an answer that comes late still counts; a boot answers a reset.
"""

from datetime import datetime, timedelta

import msgspec

from csms.billing.books import Decision
from csms.charging.command_queue import AnswerCommand, as_said, expired, may_repeat
from csms.charging.facts import Command
from csms.charging.working_set import Names, WorkingSet

_BOOTS_WITHIN = timedelta(minutes=15)  # of a reset that it answers
_UNANSWERED = frozenset({"failed", "timed out", "expired"})


class CancelCommand(msgspec.Struct, frozen=True):
    """Somebody does not want a command any more."""

    command_id: int
    cancelled_by: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.command_ids.add(self.command_id)


class ExpireCommands(msgspec.Struct, frozen=True):
    """The time of these commands is up, or they were sent before `sent_before` and no process waits for an answer."""

    command_ids: tuple[int, ...]
    sent_before: datetime

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.command_ids.update(self.command_ids)


def cancel(asked: CancelCommand, working_set: WorkingSet, now: datetime) -> Decision[bool | None]:
    """Take a command out of the queue; False where it is on its way or decided, None where there is none."""
    command = working_set.commands.get(asked.command_id)
    if command is None:
        return Decision(None)
    if command.state != "queued":
        return Decision(False)
    return Decision(True, (expired(command, f"cancelled by {asked.cancelled_by}", now),))


def expire(asked: ExpireCommands, working_set: WorkingSet, now: datetime) -> Decision[int]:
    """Decide what was not sent in time, and what was sent and left without an answer; return how many."""
    found = (working_set.commands.get(command_id) for command_id in asked.command_ids)
    changed = [after for one in found if one is not None and (after := _over(one, asked.sent_before, now)) is not None]
    return Decision(len(changed), tuple(changed))


def _over(command: Command, sent_before: datetime, now: datetime) -> Command | None:
    if command.state == "queued" and command.expires_at <= now:
        return expired(command, "the charge point was not there in time", now)
    if command.state != "sent" or command.sent_at is None or command.sent_at > sent_before:
        return None
    failure = "no answer, and the connection is gone"
    if may_repeat(command, now):
        return msgspec.structs.replace(command, state="queued", failure=failure)
    return msgspec.structs.replace(command, state="timed out", answered_at=now, failure=failure)


def answered_late(said: AnswerCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Take an answer that was not waited for any more: it says what became of the command, unless another attempt is
    on its way or was answered. Then it is only remarked.
    """
    command = working_set.commands.get(said.command_id)
    if command is None or said.attempt > command.attempts:
        return Decision(command)
    if _is_unanswered(command):
        changed = as_said(command, said, now)
        changed = msgspec.structs.replace(changed, remark=f"answered late{_after(command, now)}")
    elif command.state == "sent" and said.attempt < command.attempts:
        changed = msgspec.structs.replace(command, remark=f"attempt {said.attempt} was answered late: {said.state}")
    else:
        return Decision(command)
    return Decision(changed, (changed,))


def _is_unanswered(command: Command) -> bool:
    return command.answer_json is None and (command.state in _UNANSWERED or command.state == "queued")


def rebooted(charge_point_id: int, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    """Return the resets that a boot answers: they were sent, and the charge point went before it said so."""
    return tuple(
        msgspec.structs.replace(
            command,
            state="accepted",
            answered_at=now,
            failure=None,
            remark=f"no answer came; the charge point booted{_after(command, now)}",
        )
        for command in working_set.commands.values()
        if command.charge_point_id == charge_point_id and command.action == "Reset" and _may_have_reset(command, now)
    )


def _may_have_reset(command: Command, now: datetime) -> bool:
    if command.answer_json is not None:
        return False
    is_recent = command.sent_at is not None and command.sent_at > now - _BOOTS_WITHIN
    return is_recent and command.state in {"sent", "failed", "timed out"}


def _after(command: Command, now: datetime) -> str:
    if command.sent_at is None:
        return ""
    return f", {(now - command.sent_at) // timedelta(seconds=1)} s after it was sent"
