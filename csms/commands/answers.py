"""What a charge point's answer means for the command that asked. Pure; knows frames, not sockets."""

from csms.charging.command_queue import AnswerCommand
from csms.charging.facts import Command
from csms.errors import CsmsError
from csms.handlers import wire

_CODE_LENGTH, _DESCRIPTION_LENGTH = 100, 2000  # of a call error that are kept; 1.6 names no limit
# Every status of a call result that means that the charge point will do it, or has done it.
_DONE = frozenset({"Accepted", "AcceptedCanceled", "Unlocked", "RebootRequired", "Scheduled"})


class CommandUnsendable(CsmsError):  # noqa: N818 - says what the command is
    """The payload of a command is not a call that OCPP knows; the argument says why."""


def write_call(command: Command, message_id: str) -> bytes:
    """Write the frame of a command. The payload was validated when it was asked for; whoever stored another is told."""
    try:
        call, _ = wire.read_call(command.action, command.payload_json.encode())
    except wire.CallRejected as error:
        raise CommandUnsendable(error.description) from None
    return wire.encode_call(message_id, call)


def judge(command: Command, answer: wire.CallResult | wire.CallError) -> AnswerCommand:
    """Turn an answer into what is recorded: accepted or rejected by its status, failed where it is a call error."""
    sending = command.command_id, command.attempts
    if isinstance(answer, wire.CallError):
        failure = f"{answer.code}: {answer.description}"[:300]
        details = bytes(answer.details).decode(errors="replace")
        code, description = answer.code[:_CODE_LENGTH], answer.description[:_DESCRIPTION_LENGTH]
        return AnswerCommand(*sending, "failed", details, failure, code, description)
    text = bytes(answer.payload).decode(errors="replace")
    try:
        result = wire.read_result(command.action, answer.payload)
    except wire.ResultUnreadable as error:
        return AnswerCommand(*sending, "failed", text, f"the answer cannot be read: {error}"[:300])
    status = getattr(result, "status", None)
    accepted = status is None or status in _DONE
    return AnswerCommand(*sending, "accepted" if accepted else "rejected", text)
