"""File transfers: what a station fetches from us (firmware) or sends to us (diagnostics, logs), from wish to end. Pure.

UpdateFirmware and GetDiagnostics (OCPP 1.6, 6.19 and 6.1), SignedUpdateFirmware and GetLog (Security Whitepaper). A
command of these that was asked for elsewhere becomes a transfer when it is answered. What the station says of it is
`transfer_progress`' matter; knows neither files nor links, only the hash of a link's token.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from csms.billing.books import Decision
from csms.charging import command_queue
from csms.charging.command_queue import QueueCommand
from csms.charging.facts import Alarm, AlarmOver, Command
from csms.charging.working_set import Names, WorkingSet
from csms.masking import masked_text

TransferState = Literal["waiting", "running", "done", "failed", "rejected", "canceled", "stalled"]
Family = Literal["firmware", "diagnostics", "log"]

FAMILIES: dict[str, Family] = {
    "UpdateFirmware": "firmware",
    "SignedUpdateFirmware": "firmware",
    "GetDiagnostics": "diagnostics",
    "GetLog": "log",
}
AT, BY_COMMAND, CAMPAIGN = "transfers at", "transfers", "campaign stations"  # what `Names.more` and `more` call them
VERSIONS = "firmware versions"  # of stations whose command is of nobody's transfer yet, brought by the loader
LIFETIME = timedelta(days=7)  # of following a transfer whose link is not ours
STALLED_AFTER = timedelta(hours=2)  # without a word
SCHEDULED_AFTER = timedelta(hours=24)  # the same, where the station said that it will go on later
NOTHING = "the station says that it has nothing to send"
ALARM_KIND = "firmware update failed"
_REASON_LENGTH = 300
_WITH_REQUEST_ID = frozenset({"SignedUpdateFirmware", "GetLog"})


class Transfer(msgspec.Struct, frozen=True):
    """One transfer; fields as in the table `file_transfer`."""

    command_id: int
    charge_point_id: int
    action: str
    request_id: int | None
    location: str
    state: TransferState
    requested_by: str
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    due_at: datetime
    status: str = ""
    reason: str = ""
    token_hash: str | None = None
    firmware_id: int | None = None
    campaign_id: int | None = None
    version_wanted: str = ""
    version_before: str = ""
    version_after: str | None = None
    file_name: str = ""
    log_type: str = ""
    is_followed: bool = True

    @property
    def family(self) -> Family:
        """What it is about."""
        return FAMILIES[self.action]


class TransferEvent(msgspec.Struct, frozen=True):
    """A line of a transfer's history."""

    command_id: int
    status: str
    note: str = ""


class CampaignTurn(msgspec.Struct, frozen=True):
    """A station of a campaign, with the campaign's state; fields as in the table `campaign_station`."""

    campaign_id: int
    charge_point_id: int
    command_id: int | None
    attempts: int
    campaign_state: str


class QueueTransfer(msgspec.Struct, frozen=True):
    """Someone wants a file to be fetched or sent. For a campaign it happens once, and only while the campaign runs."""

    command: QueueCommand
    token_hash: str | None
    lifetime_s: int
    firmware_id: int | None = None
    version_wanted: str = ""
    campaign_id: int | None = None
    only_idle: bool = False
    begins_at: datetime | None = None  # retrieveDate, where it lies ahead

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.new_commands += 1
        names.charge_point_ids.add(self.command.charge_point_id)
        if self.only_idle:
            names.open_at.add(self.command.charge_point_id)
        if self.campaign_id is not None:
            names.more.setdefault(CAMPAIGN, set()).add((self.campaign_id, self.command.charge_point_id))


class ReviewTransfers(msgspec.Struct, frozen=True):
    """Transfers whose time has come: did they stall, was their command given up? `with_files` brought something."""

    command_ids: tuple[int, ...]
    with_files: frozenset[int] = frozenset()

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.command_ids.update(self.command_ids)
        names.more.setdefault(BY_COMMAND, set()).update(self.command_ids)


def known(working_set: WorkingSet) -> dict[int, Transfer]:
    """Return the transfers that were loaded, as earlier inputs of the batch left them."""
    found: dict[int, Transfer] = dict(working_set.more.get(BY_COMMAND, {}))
    found.update({one.command_id: one for one in working_set.more_facts.get(Transfer, ())})
    return found


# --- Asking -----------------------------------------------------------------------------------------------------------


def queue_transfer(asked: QueueTransfer, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Queue the command and begin to follow it; None where a campaign does not want it now."""
    wanted = asked.command
    turn: CampaignTurn | None = None
    if asked.campaign_id is not None:
        turn = _turns(working_set).get((asked.campaign_id, wanted.charge_point_id))
        if turn is None or turn.command_id is not None or turn.campaign_state != "running":
            return Decision(None)
    if asked.only_idle and any(one.state == "open" for one in working_set.unfinished(wanted.charge_point_id)):
        return Decision(None)
    if wanted.action in _WITH_REQUEST_ID:  # the number of the command is a request id that is never used twice
        wanted = _numbered(wanted, working_set.free_command_ids[len(working_set.new_commands)])
    queueing = command_queue.queue(wanted, working_set, now)
    queued = queueing.outcome
    begins_at = max(now, asked.begins_at or now)
    transfer = replace(
        of_command(queued, working_set, now),
        token_hash=asked.token_hash,
        expires_at=begins_at + timedelta(seconds=asked.lifetime_s),
        due_at=begins_at + STALLED_AFTER,
        firmware_id=asked.firmware_id,
        campaign_id=asked.campaign_id,
        version_wanted=asked.version_wanted,
    )
    intents: tuple[object, ...] = (
        *queueing.intents,
        transfer,
        TransferEvent(queued.command_id, "asked for", wanted.requested_by),
    )
    if turn is not None:
        intents += (replace(turn, command_id=queued.command_id, attempts=turn.attempts + 1),)
    return Decision(queued, intents)


def _turns(working_set: WorkingSet) -> dict[tuple[int, int], CampaignTurn]:
    """Return the turns that were loaded, as earlier inputs of the batch left them."""
    taken = {(one.campaign_id, one.charge_point_id): one for one in working_set.more_facts.get(CampaignTurn, ())}
    return {**working_set.more.get(CAMPAIGN, {}), **taken}


def _numbered(wanted: QueueCommand, request_id: int) -> QueueCommand:
    """Put the request id into a payload, and into the one that is kept apart because of its link."""
    payload = msgspec.json.encode({**_object(wanted.payload_json), "requestId": request_id}).decode()
    if wanted.secret_json is None:
        return replace(wanted, payload_json=payload)
    secret = msgspec.json.encode({**_object(wanted.secret_json), "requestId": request_id}).decode()
    return replace(wanted, payload_json=payload, secret_json=secret)


def of_command(command: Command, working_set: WorkingSet, now: datetime) -> Transfer:
    """Return the transfer that a command is the beginning of, whoever asked for it."""
    payload = _payload(command)
    parts = {**payload, **_part(payload, "firmware"), **_part(payload, "log")}
    location = str(parts.get("location") or parts.get("remoteLocation") or "")
    station = working_set.charge_points.get(command.charge_point_id)
    loaded = working_set.more.get(VERSIONS, {}).get(command.charge_point_id, "")
    request_id = payload.get("requestId")
    return Transfer(
        command.command_id,
        command.charge_point_id,
        command.action,
        request_id if isinstance(request_id, int) else None,
        masked_text(location),
        "waiting",
        command.requested_by,
        command.created_at,
        now,
        now + LIFETIME,
        now + STALLED_AFTER,
        version_before=loaded if station is None else station.firmware_version,
        log_type=str(payload.get("logType", "")),
    )


def _payload(command: Command) -> dict[str, Any]:
    return _object(command.payload_json)


def _part(payload: dict[str, Any], name: str) -> dict[str, Any]:
    part = payload.get(name)
    return part if isinstance(part, dict) else {}


def _object(text: str | None) -> dict[str, Any]:
    """Read a JSON object; what is none, because a station wrote it, is empty."""
    try:
        value = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


# --- The answer -------------------------------------------------------------------------------------------------------


def answered(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Return what the end of a command means for its transfer and for older ones of the same family."""
    transfers = known(working_set)
    before = transfers.get(command.command_id) or of_command(command, working_set, now)
    return (
        *settled(before, command, now),
        *(_replaced(before, transfers, now) if _is_taken(command) else ()),
    )


def settled(before: Transfer, command: Command, now: datetime) -> tuple[object, ...]:
    """Return what a final state of the command makes of its transfer, unless the station was quicker with its word."""
    answer = _object(command.answer_json)
    said = str(answer.get("status", ""))[:30]
    name = str(answer.get("fileName") or answer.get("filename") or "")[:255]
    is_open = before.state == "waiting" or (before.state == "stalled" and not before.status)  # answered late
    if not is_open:
        return (replace(before, file_name=name or before.file_name),)
    due_at = max(before.due_at, now + STALLED_AFTER)
    after = replace(before, changed_at=now, due_at=due_at)
    if _is_taken(command):
        nothing = NOTHING if command.action == "GetDiagnostics" and not name else ""
        after = replace(after, state="running", file_name=name, reason=nothing)
        return after, TransferEvent(after.command_id, "accepted", said or nothing)
    failure = (command.failure or "")[:_REASON_LENGTH]
    if command.state == "rejected":
        reason = f"the station answered {said}" if said else failure
        after = replace(after, state="rejected", reason=reason, is_followed=False)
    elif command.state == "expired" and failure.startswith("cancelled"):
        after = replace(after, state="canceled", reason=failure, is_followed=False)
    elif command.state == "expired" or command.answer_json:  # it was never sent, or refused with a call error
        after = replace(after, state="failed", reason=failure, is_followed=False)
    else:  # the answer was lost: perhaps the station has it, and goes on
        after = replace(after, state="stalled", reason=failure)
    return after, TransferEvent(after.command_id, after.state, after.reason), *alarm_of(after)


def _is_taken(command: Command) -> bool:
    return command.state == "accepted"


def _replaced(newer: Transfer, transfers: dict[int, Transfer], now: datetime) -> tuple[object, ...]:
    """End what a newer request takes the place of: a station follows one at a time, and says so of signed ones."""
    intents: list[object] = []
    for one in transfers.values():
        is_older = one.charge_point_id == newer.charge_point_id and one.command_id < newer.command_id
        if not is_older or one.family != newer.family or not one.is_followed:
            continue
        ends = one.state in {"running", "stalled"}
        reason = f"a newer request took its place (command {newer.command_id})" if ends else one.reason
        state: TransferState = "canceled" if ends else one.state
        intents.append(replace(one, state=state, reason=reason, changed_at=now, is_followed=one.state == "waiting"))
        if ends:
            intents.append(TransferEvent(one.command_id, "canceled", reason))
    if newer.family == "firmware":
        intents.append(AlarmOver(alarm_key(newer.charge_point_id)))
    return tuple(intents)


# --- Time -------------------------------------------------------------------------------------------------------------


def review(asked: ReviewTransfers, working_set: WorkingSet, now: datetime) -> Decision[int]:
    """Settle transfers whose command was given up, and those of which nothing was heard; return how many changed."""
    transfers = known(working_set)
    intents: list[object] = []
    for command_id in asked.command_ids:
        before = transfers.get(command_id)
        if before is None:
            continue
        command = working_set.commands.get(command_id)
        if before.state == "waiting" and command is not None and command.state not in {"queued", "sent"}:
            intents += settled(before, command, now)
        elif before.state == "running" and before.due_at <= now:
            intents += _silent(before, now, has_file=command_id in asked.with_files)
        elif before.is_followed and before.expires_at <= now and before.state in {"stalled", "failed", "done"}:
            state: TransferState = "failed" if before.state == "stalled" else before.state
            intents.append(replace(before, state=state, is_followed=False, changed_at=now))
    return Decision(sum(1 for one in intents if isinstance(one, Transfer)), tuple(intents))


def _silent(before: Transfer, now: datetime, *, has_file: bool) -> tuple[object, ...]:
    if before.family != "firmware" and (has_file or before.reason == NOTHING):
        after = replace(before, state="done", changed_at=now)
        return after, TransferEvent(after.command_id, "done", "" if has_file else NOTHING)
    heard = f"after {before.status}" if before.status else "since the request was accepted"
    after = replace(before, state="stalled", reason=f"nothing was heard {heard}", changed_at=now)
    return after, TransferEvent(after.command_id, "stalled", after.reason), *alarm_of(after)


def alarm_key(charge_point_id: int) -> str:
    """Return the key of the alarm about a station's firmware."""
    return f"firmware {charge_point_id}"


def alarm_of(after: Transfer) -> tuple[Alarm, ...]:
    """Return the alarm that a failed update of firmware raises."""
    if after.family != "firmware" or after.state not in {"failed", "stalled", "rejected"}:
        return ()
    version = f" to {after.version_wanted}" if after.version_wanted else ""
    why = after.reason or after.status
    text = f"The update of the firmware{version} {_PAST[after.state]}: {why}."[:_REASON_LENGTH]
    return (Alarm(alarm_key(after.charge_point_id), ALARM_KIND, after.charge_point_id, None, text),)


_PAST = {"failed": "failed", "stalled": "does not go on", "rejected": "was refused"}
