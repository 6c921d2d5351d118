"""What follows from the answers of the core and trigger families beside configuration: availability, locks, resets,
caches, triggers and messages of vendors. Pure.

Of each only the latest is kept, for the page of the charge point; the whole history is that of its commands.
"""

from datetime import datetime

import msgspec

from csms.charging.command_queue import DISPLAY, is_of_plan
from csms.charging.facts import Alarm, AlarmOver, Command
from csms.charging.working_set import WorkingSet

_GUARD = "credit guard"
_OUTCOME_LENGTH = 100


class WantedAvailability(msgspec.Struct, frozen=True):
    """Whether a connector shall serve, and what was said to it; fields as in the table `wanted_availability`."""

    charge_point_id: int
    connector_id: int
    availability: str
    answer: str
    command_id: int
    requested_by: str
    answered_at: datetime


class AvailabilityOfAll(msgspec.Struct, frozen=True):
    """The whole charge point was switched: what was wanted of single connectors before does not hold any more."""

    charge_point_id: int


class Outcome(msgspec.Struct, frozen=True):
    """What an act came to last; fields as in the table `station_outcome`."""

    charge_point_id: int
    action: str
    subject: str
    outcome: str
    remark: str
    command_id: int
    requested_by: str
    answered_at: datetime


class _Payload(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that these rules read of the calls of the core and trigger families."""

    connector_id: int | None = None
    type: str = ""
    requested_message: str = ""
    vendor_id: str = ""
    message_id: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    status: str = ""


def after_availability(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Keep what was wanted of a connector (0: of all) and what the charge point said (OCPP 1.6, 5.2)."""
    payload = _payload(command)
    if payload.connector_id is None or payload.type not in {"Operative", "Inoperative"}:
        return ()
    answer = _status(command)
    wanted = WantedAvailability(
        command.charge_point_id,
        payload.connector_id,
        payload.type,
        answer[:15],
        command.command_id,
        command.requested_by,
        now,
    )
    switches_all = payload.connector_id == 0 and answer in {"Accepted", "Scheduled"}
    return (AvailabilityOfAll(command.charge_point_id), wanted) if switches_all else (wanted,)


def after_unlock(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Keep what became of a lock (OCPP 1.6, 5.18); a cable that cannot be taken out is an alarm until it can."""
    connector_id = _payload(command).connector_id
    outcome = _outcome(command, f"connector {connector_id}", now)
    key = f"lock {command.charge_point_id} {connector_id}"
    if outcome.outcome == "Unlocked":
        return outcome, AlarmOver(key)
    if outcome.outcome != "UnlockFailed":
        return (outcome,)
    charge_point = working_set.charge_points.get(command.charge_point_id)
    name = charge_point.identity[:60] if charge_point is not None else f"station {command.charge_point_id}"
    text = f"Connector {connector_id} of {name} could not be unlocked: a cable may be locked in."
    return outcome, Alarm(key, "lock failure", command.charge_point_id, None, text)


def after_act(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Keep what became of Reset and ClearCache, whoever asked."""
    return (_outcome(command, _payload(command).type, now),)


def after_trigger(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Keep whether a message was to be had that an operator asked for; the message itself comes as a call."""
    if is_of_plan(command) or command.requested_by == _GUARD:
        return ()
    payload = _payload(command)
    at = "" if payload.connector_id is None else f" of connector {payload.connector_id}"
    return (_outcome(command, f"{payload.requested_message}{at}", now),)


def after_data_transfer(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Keep what a charge point said to a message of a vendor; what displays show is not an operator's."""
    if command.requested_by == DISPLAY:
        return ()
    payload = _payload(command)
    subject = f"{payload.vendor_id} {payload.message_id or ''}".strip()
    return (_outcome(command, subject[:80], now),)


def _outcome(command: Command, subject: str, now: datetime) -> Outcome:
    return Outcome(
        command.charge_point_id,
        command.action,
        subject[:80],
        _status(command),
        command.remark or command.failure or "",
        command.command_id,
        command.requested_by,
        now,
    )


def _payload(command: Command) -> _Payload:
    return msgspec.json.decode(command.payload_json.encode(), type=_Payload)


def _status(command: Command) -> str:
    """Return what the charge point said, or else what became of the command."""
    if command.error_code is not None:
        return command.error_code[:_OUTCOME_LENGTH]
    try:
        said = msgspec.json.decode((command.answer_json or "{}").encode(), type=_Answer).status
    except msgspec.MsgspecError:
        said = ""
    return (said or command.state)[:_OUTCOME_LENGTH]
