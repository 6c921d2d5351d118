"""Links to files while they live, and the files that stations sent: found by a token, noted, listed, deleted.

Works on a connection inside somebody else's unit of work; knows rows, not disks. A link lives as long as its transfer
goes on, and not beyond its day. The quota is kept here, over all processes; elsewhere, what arrives is stopped early.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, update

from csms.charging import models
from csms.db import alone_in, as_fact
from csms.operations.file_store import NO_ROOM, FileRefused
from csms.operations.files_models import file_transfer, firmware, station_file
from csms.operations.links import hash_token

_t, _f, _s, _cp = file_transfer.c, firmware.c, station_file.c, models.charge_point.c
_LIVE = ("waiting", "running", "stalled")


class Link(msgspec.Struct, frozen=True):
    """What a live token opens: a download where it names a file, else an upload. `files` came over it already."""

    command_id: int
    charge_point_id: int
    identity: str
    announced_name: str
    action: str
    files: int
    stored_name: str | None = None
    name: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None


class StationFile(msgspec.Struct, frozen=True):
    """A file that a station sent."""

    file_id: int
    charge_point_id: int
    identity: str
    command_id: int
    action: str
    log_type: str
    name: str
    size_bytes: int
    sha256: str
    stored_name: str
    via: str
    address: str
    received_at: datetime


class NewStationFile(msgspec.Struct, frozen=True):
    """A file that was received whole."""

    charge_point_id: int
    command_id: int
    name: str
    size_bytes: int
    sha256: str
    stored_name: str
    via: str
    address: str
    received_at: datetime


_FILES_OF = select(func.count()).select_from(station_file).where(_s.command_id == _t.command_id).scalar_subquery()
_LINKS = (
    select(
        _t.command_id,
        _t.charge_point_id,
        _cp.identity,
        _t.file_name,
        _t.action,
        _FILES_OF,
        _f.stored_name,
        _f.name,
        _f.size_bytes,
        _f.sha256,
    )
    .join(models.charge_point, _cp.id == _t.charge_point_id)
    .outerjoin(firmware, (_f.id == _t.firmware_id) & _f.deleted_at.is_(None))
)


def find_link(connection: Connection, token: str, now: datetime) -> Link | None:
    """Return what a token opens now, None where it opens nothing (any more)."""
    live = (_t.token_hash == hash_token(token), _t.state.in_(_LIVE), _t.expires_at > now)
    row = connection.execute(_LINKS.where(*live)).first()
    return None if row is None else as_fact(Link, row)


def note_access(connection: Connection, command_id: int, moved_bytes: int, address: str, now: datetime) -> None:
    """Count one use of a link and the bytes that went over it."""
    changes = {
        "accesses": _t.accesses + 1,
        "moved_bytes": _t.moved_bytes + moved_bytes,
        "last_access_at": now,
        "last_address": address[:60],
    }
    connection.execute(update(file_transfer).where(_t.command_id == command_id).values(changes))


def used_bytes(connection: Connection) -> int:
    """Return how much the files of all stations take."""
    return int(connection.execute(select(func.coalesce(func.sum(_s.size_bytes), 0))).scalar_one())


def keep_file(connection: Connection, new: NewStationFile, *, quota_bytes: int) -> bool:
    """Note a file that lies on disk; False where the station repeated itself, and the same is there already.

    FileRefused where all files of stations would then have more than `quota_bytes`.
    """
    alone_in(connection, station_file)
    note_access(connection, new.command_id, new.size_bytes, new.address, new.received_at)
    same = (_s.command_id == new.command_id, _s.name == new.name, _s.sha256 == new.sha256)
    if connection.execute(select(_s.id).where(*same)).first() is not None:
        return False
    if used_bytes(connection) + new.size_bytes > quota_bytes:
        raise FileRefused("no room", NO_ROOM)
    connection.execute(insert(station_file), msgspec.structs.asdict(new))
    return True


_VIEWS: Select[tuple[object, ...]] = (
    select(
        _s.id,
        _s.charge_point_id,
        _cp.identity,
        _s.command_id,
        _t.action,
        _t.log_type,
        _s.name,
        _s.size_bytes,
        _s.sha256,
        _s.stored_name,
        _s.via,
        _s.address,
        _s.received_at,
    )
    .join(models.charge_point, _cp.id == _s.charge_point_id)
    .join(file_transfer, _t.command_id == _s.command_id)
)


def list_files(
    connection: Connection,
    *,
    limit: int,
    offset: int = 0,
    search: str = "",
    charge_point_id: int | None = None,
    before: int | None = None,
) -> list[StationFile]:
    """Return files of stations, the newest first; `search` is part of an identity or a file's name."""
    conditions = _conditions(search, charge_point_id)
    if before is not None:
        conditions.append(_s.id < before)
    statement = _VIEWS.where(*conditions).order_by(_s.id.desc()).limit(limit).offset(offset)
    return [as_fact(StationFile, row) for row in connection.execute(statement)]


def count_files(connection: Connection, *, search: str = "", charge_point_id: int | None = None) -> int:
    """Return how many files that are."""
    statement = select(func.count()).select_from(station_file.join(models.charge_point, _cp.id == _s.charge_point_id))
    return int(connection.execute(statement.where(*_conditions(search, charge_point_id))).scalar_one())


def _conditions(search: str, charge_point_id: int | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if search:
        conditions.append(_cp.identity.icontains(search, autoescape=True) | _s.name.icontains(search, autoescape=True))
    if charge_point_id is not None:
        conditions.append(_s.charge_point_id == charge_point_id)
    return conditions


def find_file(connection: Connection, file_id: int) -> StationFile | None:
    """Return a file by its number."""
    row = connection.execute(_VIEWS.where(_s.id == file_id)).first()
    return None if row is None else as_fact(StationFile, row)


def delete_file(connection: Connection, file_id: int) -> StationFile | None:
    """Forget a file and return it, so that the disk can follow."""
    one = find_file(connection, file_id)
    if one is not None:
        connection.execute(delete(station_file).where(_s.id == file_id))
    return one


def delete_older(connection: Connection, before: datetime, *, limit: int) -> list[str]:
    """Forget files that were received before a moment; return the names under which they lie."""
    statement = select(_s.id, _s.stored_name).where(_s.received_at < before).order_by(_s.id).limit(limit)
    found: Sequence[tuple[int, str]] = [(row[0], row[1]) for row in connection.execute(statement)]
    if found:
        connection.execute(delete(station_file).where(_s.id.in_([number for number, _ in found])))
    return [name for _, name in found]


def stored_names(connection: Connection) -> set[str]:
    """Return the names on disk of all files."""
    return set(connection.execute(select(_s.stored_name)).scalars())


def files_of(connection: Connection, command_id: int) -> list[StationFile]:
    """Return the files that one request brought, oldest first."""
    statement = _VIEWS.where(_s.command_id == command_id).order_by(_s.id).limit(100)
    return [as_fact(StationFile, row) for row in connection.execute(statement)]
