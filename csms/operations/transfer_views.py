"""What people read of file transfers: lists, one with its history, and which of them time has come for.

Reads only; every list has a limit.
"""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from csms.charging import models
from csms.db import as_fact
from csms.operations.files_models import file_transfer, file_transfer_event, firmware, station_file
from csms.operations.transfers import TransferState

_t, _e, _f, _s = file_transfer.c, file_transfer_event.c, firmware.c, station_file.c
_cp, _command = models.charge_point.c, models.command.c
FIRMWARE_ACTIONS = ("UpdateFirmware", "SignedUpdateFirmware")
UPLOAD_ACTIONS = ("GetDiagnostics", "GetLog")


class TransferView(msgspec.Struct, frozen=True):
    """A transfer as people see it. `command_state` tells a waiting one from one whose command is on its way."""

    command_id: int
    charge_point_id: int
    identity: str
    action: str
    log_type: str
    state: TransferState
    status: str
    reason: str
    location: str
    request_id: int | None
    firmware_id: int | None
    firmware_name: str | None
    campaign_id: int | None
    version_wanted: str
    version_before: str
    version_after: str | None
    file_name: str
    requested_by: str
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    accesses: int
    moved_bytes: int
    firmware_bytes: int | None
    last_access_at: datetime | None
    last_address: str
    is_ours: bool
    files: int
    command_state: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state in {"done", "failed", "rejected", "canceled"}


class TransferEventView(msgspec.Struct, frozen=True):
    """A line of a transfer's history."""

    at: datetime
    status: str
    note: str


_FILES = select(func.count()).select_from(station_file).where(_s.command_id == _t.command_id).scalar_subquery()
_VIEWS: Select[tuple[object, ...]] = (
    select(
        _t.command_id,
        _t.charge_point_id,
        _cp.identity,
        _t.action,
        _t.log_type,
        _t.state,
        _t.status,
        _t.reason,
        _t.location,
        _t.request_id,
        _t.firmware_id,
        _f.name,
        _t.campaign_id,
        _t.version_wanted,
        _t.version_before,
        _t.version_after,
        _t.file_name,
        _t.requested_by,
        _t.created_at,
        _t.changed_at,
        _t.expires_at,
        _t.accesses,
        _t.moved_bytes,
        _f.size_bytes,
        _t.last_access_at,
        _t.last_address,
        _t.token_hash.is_not(None),
        _FILES,
        _command.state,
    )
    .join(models.charge_point, _cp.id == _t.charge_point_id)
    .join(models.command, _command.id == _t.command_id)
    .outerjoin(firmware, _f.id == _t.firmware_id)
)


def list_transfers(
    connection: Connection,
    *,
    limit: int,
    offset: int = 0,
    actions: tuple[str, ...] = (*FIRMWARE_ACTIONS, *UPLOAD_ACTIONS),
    charge_point_id: int | None = None,
    firmware_id: int | None = None,
    before: int | None = None,
) -> list[TransferView]:
    """Return transfers, the newest first."""
    conditions = _conditions(actions, charge_point_id, firmware_id)
    if before is not None:
        conditions.append(_t.command_id < before)
    statement = _VIEWS.where(*conditions).order_by(_t.command_id.desc()).limit(limit).offset(offset)
    return [as_fact(TransferView, row) for row in connection.execute(statement)]


def _conditions(
    actions: tuple[str, ...], charge_point_id: int | None, firmware_id: int | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [_t.action.in_(actions)]
    if charge_point_id is not None:
        conditions.append(_t.charge_point_id == charge_point_id)
    if firmware_id is not None:
        conditions.append(_t.firmware_id == firmware_id)
    return conditions


def find_transfer(connection: Connection, command_id: int) -> TransferView | None:
    """Return a transfer by the number of its command."""
    row = connection.execute(_VIEWS.where(_t.command_id == command_id)).first()
    return None if row is None else as_fact(TransferView, row)


def list_events(connection: Connection, command_id: int, *, limit: int = 200) -> list[TransferEventView]:
    """Return the history of a transfer, oldest first."""
    statement = select(_e.at, _e.status, _e.note).where(_e.command_id == command_id).order_by(_e.id).limit(limit)
    return [as_fact(TransferEventView, row) for row in connection.execute(statement)]


def due(connection: Connection, now: datetime, *, limit: int) -> tuple[tuple[int, ...], frozenset[int]]:
    """Return the transfers to be reviewed, oldest first, and those of them that brought a file."""
    given_up = and_(_t.state == "waiting", _command.state.not_in(("queued", "sent")))
    silent = and_(_t.state == "running", _t.due_at <= now)
    forgotten = and_(_t.state.in_(("stalled", "failed", "done")), _t.expires_at <= now)
    statement = (
        select(_t.command_id, _FILES)
        .join(models.command, _command.id == _t.command_id)
        .where(_t.is_followed, or_(given_up, silent, forgotten))
        .order_by(_t.command_id)
        .limit(limit)
    )
    rows = connection.execute(statement).all()
    return tuple(row[0] for row in rows), frozenset(row[0] for row in rows if row[1])
