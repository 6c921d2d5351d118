"""What a station says of its file transfers: status notifications, and the boot in the middle of an update. Pure.

FirmwareStatusNotification and DiagnosticsStatusNotification (OCPP 1.6, 4.5 and 4.4) name no request: the latest that
was sent is meant. Those of the Security Whitepaper name it; one that nobody knows is kept for the station alone.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from csms.billing.books import Decision
from csms.charging.facts import AlarmOver
from csms.charging.stations import Boot, Booted
from csms.charging.working_set import Names, WorkingSet
from csms.operations.transfers import (
    AT,
    FAMILIES,
    SCHEDULED_AFTER,
    STALLED_AFTER,
    Family,
    Transfer,
    TransferEvent,
    TransferState,
    alarm_key,
    alarm_of,
    known,
    of_command,
)

_DONE = frozenset({"Installed", "Uploaded"})
_FAILED = frozenset(
    {
        "DownloadFailed",
        "InstallationFailed",
        "InstallVerificationFailed",
        "InvalidSignature",
        "UploadFailed",
        "UploadFailure",
        "BadMessage",
        "NotSupportedOperation",
        "PermissionDenied",
    }
)
_LATER = frozenset({"DownloadScheduled", "DownloadPaused", "InstallScheduled"})
_IDLE = "Idle"
_DEAF = frozenset({"canceled", "rejected"})


class TransferStatus(msgspec.Struct, frozen=True):
    """A status notification about firmware, diagnostics or a log."""

    charge_point_id: int
    family: Family
    status: str
    request_id: int | None = None

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)
        names.commands_at.add(self.charge_point_id)
        names.more.setdefault(AT, set()).add(self.charge_point_id)


def said_status(said: TransferStatus, working_set: WorkingSet, now: datetime) -> Decision[int | None]:
    """Store what a station says and what it means for the transfer that it is about; return that one's number."""
    station = working_set.charge_points[said.charge_point_id]
    changed = (
        replace(station, firmware_status=said.status)
        if said.family == "firmware"
        else replace(station, diagnostics_status=said.status)
    )
    before = _meant(said, working_set, now)
    if before is None or said.status == _IDLE:
        return Decision(None, (changed,) if changed != station else ())
    return Decision(before.command_id, (changed, *_moved(before, said.status, now)))


def _moved(before: Transfer, status: str, now: datetime) -> tuple[object, ...]:
    if before.status == status and before.state not in {"waiting", "stalled"}:
        return ()  # repeated
    state: TransferState = "done" if status in _DONE else "failed" if status in _FAILED else "running"
    if before.state == "done" and state == "running":
        return ()  # a message that was overtaken
    due_at = now + (SCHEDULED_AFTER if status in _LATER else STALLED_AFTER)
    after = replace(
        before,
        status=status,
        state=state,
        reason="",
        changed_at=now,
        due_at=max(before.due_at, due_at),
        is_followed=state != "done" or (before.family == "firmware" and before.version_after is None),
    )
    over = (AlarmOver(alarm_key(after.charge_point_id)),) if _is_fine(after) else ()
    return after, TransferEvent(after.command_id, status), *over, *alarm_of(after)


def _is_fine(after: Transfer) -> bool:
    return after.family == "firmware" and after.state in {"done", "running"}


def _meant(said: TransferStatus, working_set: WorkingSet, now: datetime) -> Transfer | None:
    """Find the transfer that a notification is about: by its request id, else the latest that can have been heard of.

    One whose command's answer is not recorded yet counts too: what is said of it may be handled first.
    """
    transfers = known(working_set)
    found = [
        one
        for one in transfers.values()
        if one.charge_point_id == said.charge_point_id and one.family == said.family and one.state not in _DEAF
    ]
    sent = [
        command
        for command in working_set.commands.values()
        if command.charge_point_id == said.charge_point_id and FAMILIES.get(command.action) == said.family
    ]
    queued = {command.command_id for command in sent if command.state == "queued"}
    found += [
        of_command(command, working_set, now)
        for command in sent
        if command.state == "sent" and command.command_id not in transfers
    ]
    if said.request_id is not None:
        found = [one for one in found if one.request_id == said.request_id]
    latest = sorted((one for one in found if one.command_id not in queued), key=lambda one: one.command_id)
    return latest[-1] if latest else None


# --- A boot -----------------------------------------------------------------------------------------------------------

_BOOTS_IN = frozenset({"Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "InstallScheduled"})


def watching_boots(said: Boot, decision: Decision[Booted], working_set: WorkingSet, now: datetime) -> Decision[Booted]:
    """Let a boot go on with the firmware updates of the station."""
    return Decision(decision.outcome, (*decision.intents, *after_boot(said, working_set, now)))


def after_boot(said: Boot, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Return what a boot says of the updates of a station: which version came of them, and that it is alive."""
    intents: list[object] = []
    for one in known(working_set).values():
        if one.charge_point_id != said.charge_point_id or one.family != "firmware" or not one.is_followed:
            continue
        note = f"version {said.firmware_version}" if said.firmware_version else ""
        if one.state == "done" and one.version_after is None:
            intents += [replace(one, version_after=said.firmware_version, is_followed=False, changed_at=now)]
            intents += [TransferEvent(one.command_id, "boot", note)]
        elif one.state in {"running", "stalled"} and one.status in _BOOTS_IN:
            intents += [_restarted(one, said.firmware_version, now), TransferEvent(one.command_id, "boot", note)]
    return tuple(intents)


def _restarted(one: Transfer, version: str, now: datetime) -> Transfer:
    """A station that comes back with the wanted version has installed it, even if it does not say so. Another version
    than before is noted in any case: `Installed` may follow.
    """
    alive = replace(one, state="running", reason="", due_at=max(one.due_at, now + STALLED_AFTER), changed_at=now)
    is_new = version not in {"", one.version_before}
    if not is_new:
        return alive
    if version == one.version_wanted or (not one.version_wanted and one.version_before):
        return replace(alive, state="done", version_after=version, reason="seen at the boot")
    return replace(alive, version_after=version)
