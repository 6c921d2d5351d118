"""Files between us and charge points over the API: updates and requests, how far they are, and what came of them."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from csms.commands.files import (
    FirmwareUpdate,
    LogType,
    Repeats,
    UploadRequest,
    links_of,
    request_upload,
    update_firmware,
)
from csms.commands.requests import CommandInvalid
from csms.operations import firmware_files, station_files, transfer_views
from csms.operations.file_store import UPLOADS
from csms.operations.transfer_views import TransferView
from csms.operations.transfers import QueueTransfer
from csms.web.api.commands import charge_point_exists
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id, Moment, utc

_LOGS: dict[str, LogType | None] = {"diagnostics": None, "log": "DiagnosticsLog", "security-log": "SecurityLog"}
State = Literal["waiting", "running", "done", "failed", "rejected", "canceled", "stalled"]
Tries = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)]
Expiry = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400, description="Not sent any more after so many seconds.")]


class TransferEvent(msgspec.Struct, frozen=True):
    """A line of a transfer's history."""

    at: datetime
    status: str
    note: str


class Transfer(msgspec.Struct, frozen=True):
    """What a charge point fetches or sends; its number is that of its command. `events` stand with one alone."""

    id: int
    charge_point_id: int
    charge_point: str
    action: str
    log_type: str
    state: State
    status: str
    reason: str
    location: str
    request_id: int | None
    firmware_id: int | None
    campaign_id: int | None
    version_before: str
    version_wanted: str
    version_after: str | None
    announced_name: str
    files: int
    moved_bytes: int
    requested_by: str
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    events: tuple[TransferEvent, ...] = ()


class NewUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A firmware of the library for a charge point."""

    firmware_id: Id
    is_signed: Annotated[bool, msgspec.Meta(description="With SignedUpdateFirmware.")] = False
    retrieve_at: Moment | None = None
    install_at: Annotated[Moment, msgspec.Meta(description="Of signed updates only.")] | None = None
    retries: Tries | None = None
    retry_interval_s: Seconds | None = None
    expires_s: Expiry | None = None


class NewFileRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a charge point shall send: diagnostics (GetDiagnostics), or one of two logs (GetLog)."""

    kind: Literal["diagnostics", "log", "security-log"] = "diagnostics"
    over: Literal["http", "ftp"] = "http"
    since: Moment | None = None
    until: Moment | None = None
    retries: Tries | None = None
    retry_interval_s: Seconds | None = None
    expires_s: Expiry | None = None


class TransferFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which transfers of a list."""

    charge_point_id: Id | None = None
    firmware_id: Id | None = None


class StationFile(msgspec.Struct, frozen=True):
    """A file that a charge point sent; its content is at `/files/{id}/content`."""

    id: int
    charge_point_id: int
    charge_point: str
    transfer_id: int
    action: str
    log_type: str
    name: str
    size_bytes: int
    sha256: str
    via: str
    received_at: datetime


class FileFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which files of a list."""

    charge_point_id: Id | None = None


# --- Asking -----------------------------------------------------------------------------------------------------------


async def update(call: ApiCall, wanted: NewUpdate) -> Answer:
    """Queue an update."""
    number = await _charge_point(call)
    firmware = await call.read(lambda c: firmware_files.find_firmware(c, wanted.firmware_id))
    if firmware is None:
        raise Problem("invalid", "There is no such firmware.", field="firmware_id")
    if wanted.is_signed and not firmware.is_signed:
        raise Problem("invalid", "This firmware has no signature.", field="is_signed")
    asked = FirmwareUpdate(
        firmware,
        wanted.is_signed,
        utc(wanted.retrieve_at, "retrieve_at"),
        utc(wanted.install_at, "install_at"),
        Repeats(wanted.retries, wanted.retry_interval_s),
        expires_s=wanted.expires_s,
    )
    portal = call.portal
    try:
        queued = update_firmware(number, asked, links_of(portal.settings), call.actor, call.now, portal.new_token)
    except CommandInvalid as error:
        raise Problem("invalid", str(error)) from None
    return await _queued(call, queued)


async def request(call: ApiCall, wanted: NewFileRequest) -> Answer:
    """Queue a request for diagnostics or a log."""
    number = await _charge_point(call)
    links = links_of(call.portal.settings)
    if wanted.over == "ftp" and links.ftp_port is None:
        raise Problem("invalid", "FTP is switched off here (CSMS_FTP).", field="over")
    asked = UploadRequest(
        _LOGS[wanted.kind],
        utc(wanted.since, "since"),
        utc(wanted.until, "until"),
        Repeats(wanted.retries, wanted.retry_interval_s),
        wanted.over == "ftp",
        wanted.expires_s,
    )
    try:
        queued = request_upload(number, asked, links, call.actor, call.portal.new_token)
    except CommandInvalid as error:
        raise Problem("invalid", str(error)) from None
    return await _queued(call, queued)


async def _charge_point(call: ApiCall) -> int:
    number = call.path_number("charge_point_id")
    if not await call.read(lambda connection: charge_point_exists(connection, number)):
        raise Problem("not-found", "There is no such charge point.")
    return number


async def _queued(call: ApiCall, asked: QueueTransfer) -> Answer:
    command = await call.submit(asked)
    shown = found(await call.read(lambda c: _load(c, command.command_id)), "transfer")
    return Answer(shown, 201, {"Location": f"/api/v1/file-transfers/{command.command_id}"})


# --- Transfers --------------------------------------------------------------------------------------------------------


def _load(connection: Connection, command_id: int) -> Transfer | None:
    view = transfer_views.find_transfer(connection, command_id)
    if view is None:
        return None
    events = transfer_views.list_events(connection, command_id)
    return _shown(view, tuple(TransferEvent(one.at, one.status, one.note) for one in events))


def _shown(view: TransferView, events: tuple[TransferEvent, ...] = ()) -> Transfer:
    return Transfer(
        view.command_id,
        view.charge_point_id,
        view.identity,
        view.action,
        view.log_type,
        view.state,
        view.status,
        view.reason,
        view.location,
        view.request_id,
        view.firmware_id,
        view.campaign_id,
        view.version_before,
        view.version_wanted,
        view.version_after,
        view.file_name,
        view.files,
        view.moved_bytes,
        view.requested_by,
        view.created_at,
        view.changed_at,
        view.expires_at,
        events,
    )


async def list_transfers(call: ApiCall, query: TransferFilter) -> Page[Transfer]:
    """List transfers, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    rows = await call.read(
        lambda connection: transfer_views.list_transfers(
            connection,
            limit=query.limit + 1,
            charge_point_id=query.charge_point_id,
            firmware_id=query.firmware_id,
            before=None if before is None else before[0],
        )
    )
    return page_of([_shown(one) for one in rows], query.limit, lambda one: (one.id,))


async def show_transfer(call: ApiCall) -> Transfer:
    """Show a transfer with its history."""
    number = call.path_number("transfer_id")
    return found(await call.read(lambda connection: _load(connection, number)), "transfer")


# --- Files ------------------------------------------------------------------------------------------------------------


def _file(one: station_files.StationFile) -> StationFile:
    return StationFile(
        one.file_id,
        one.charge_point_id,
        one.identity,
        one.command_id,
        one.action,
        one.log_type,
        one.name,
        one.size_bytes,
        one.sha256,
        one.via,
        one.received_at,
    )


async def list_files(call: ApiCall, query: FileFilter) -> Page[StationFile]:
    """List files, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    rows = await call.read(
        lambda connection: station_files.list_files(
            connection,
            limit=query.limit + 1,
            charge_point_id=query.charge_point_id,
            before=None if before is None else before[0],
        )
    )
    return page_of([_file(one) for one in rows], query.limit, lambda one: (one.id,))


async def show_file(call: ApiCall) -> StationFile:
    """Show what is known of a file."""
    number = call.path_number("file_id")
    return _file(found(await call.read(lambda c: station_files.find_file(c, number)), "file"))


async def content(call: ApiCall) -> FileResponse:
    """Return the file itself."""
    number = call.path_number("file_id")
    one = found(await call.read(lambda c: station_files.find_file(c, number)), "file")
    path = call.portal.files.path(UPLOADS, one.stored_name)
    if not await run_in_threadpool(path.is_file):
        raise Problem("not-found", "The file is not on the disk of this server.")
    return FileResponse(path, filename=one.name, media_type="application/octet-stream")


async def delete_file(call: ApiCall) -> None:
    """Delete a file."""
    number = call.path_number("file_id")
    one = found(await call.write(lambda c: station_files.delete_file(c, number)), "file")
    await run_in_threadpool(call.portal.files.remove, UPLOADS, one.stored_name)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/charge-points/{charge_point_id:int}/firmware-updates",
        update,
        "files:write",
        "Update a charge point's firmware",
        Transfer,
        "files",
        status=201,
        request=NewUpdate,
        description="The charge point fetches the file over a one-time link, which is shown to nobody else.",
        problems=("not-found",),
    ),
    Endpoint(
        "POST",
        "/charge-points/{charge_point_id:int}/file-requests",
        request,
        "files:write",
        "Ask a charge point for diagnostics or a log",
        Transfer,
        "files",
        status=201,
        request=NewFileRequest,
        description="It sends the file to a one-time address of ours, over HTTP or, where that is switched on, FTP.",
        example={"kind": "diagnostics"},
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        "/file-transfers",
        list_transfers,
        "files:read",
        "List updates and requests for files",
        Page[Transfer],
        "files",
        query=TransferFilter,
    ),
    Endpoint(
        "GET",
        "/file-transfers/{transfer_id:int}",
        show_transfer,
        "files:read",
        "Show an update or a request for files",
        Transfer,
        "files",
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        "/files",
        list_files,
        "files:read",
        "List files of charge points",
        Page[StationFile],
        "files",
        query=FileFilter,
    ),
    Endpoint(
        "GET",
        "/files/{file_id:int}",
        show_file,
        "files:read",
        "Show a file",
        StationFile,
        "files",
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        "/files/{file_id:int}/content",
        content,
        "files:read",
        "Download a file",
        bytes,
        "files",
        media_type="application/octet-stream",
        problems=("not-found",),
    ),
    Endpoint(
        "DELETE",
        "/files/{file_id:int}",
        delete_file,
        "files:write",
        "Delete a file",
        None,
        "files",
        status=204,
        problems=("not-found",),
    ),
)
