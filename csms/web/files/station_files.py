"""Files that stations sent, what was asked of them and how far each transfer is; asking for more."""

from typing import Literal

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from csms.charging.overview import StationView
from csms.commands.files import FirmwareUpdate, LogType, Repeats, UploadRequest, links_of, request_upload
from csms.commands.requests import CommandInvalid
from csms.operations import firmware_files, station_files, transfer_views
from csms.operations.file_store import UPLOADS
from csms.operations.station_files import StationFile
from csms.operations.transfer_views import FIRMWARE_ACTIONS, UPLOAD_ACTIONS, TransferEventView, TransferView
from csms.web.command_rights import right_for
from csms.web.files.firmware import limited, moment_of, send
from csms.web.forms import Form
from csms.web.operations.stations import find_by_id
from csms.web.visit import PageOf, Visit

_SHOWN = 10
_LATEST = 3  # on the station's own page
_MOST_RETRIES = 100
_KINDS: dict[str, LogType | None] = {"diagnostics": None, "log": "DiagnosticsLog", "security": "SecurityLog"}
_WAYS: tuple[Literal["http", "ftp"], ...] = ("http", "ftp")


class StationFilesPage(msgspec.Struct, frozen=True):
    """All that the page about a station's files shows."""

    station: StationView
    updates: tuple[TransferView, ...]
    uploads: tuple[TransferView, ...]
    files: tuple[StationFile, ...]
    firmware: tuple[firmware_files.Firmware, ...]


async def show_list(visit: Visit) -> Response:
    """List the files of all stations, and what was asked for lately."""
    search = visit.query("search")

    def load(connection: Connection) -> tuple[PageOf, list[StationFile], list[TransferView], int]:
        page = visit.page_of(station_files.count_files(connection, search=search))
        files = station_files.list_files(connection, search=search, limit=page.size, offset=page.offset)
        recent = transfer_views.list_transfers(connection, limit=_SHOWN, actions=UPLOAD_ACTIONS)
        return page, files, recent, station_files.used_bytes(connection)

    page, files, recent, used = await visit.read(load)
    return visit.page(
        "files/station_files.html",
        pages=page,
        files=files,
        transfers=recent,
        search=search,
        used_bytes=used,
        settings=visit.portal.settings,
        done=visit.query("done"),
    )


async def download(visit: Visit) -> Response:
    """Return a file as an attachment: what a station sent is never shown as a page."""
    one = await _file(visit)
    path = visit.portal.files.path(UPLOADS, one.stored_name)
    if not await run_in_threadpool(path.is_file):
        raise HTTPException(404, "The file is not on the disk of this server.")
    return FileResponse(path, filename=one.name, media_type="application/octet-stream")


async def delete(visit: Visit) -> Response:
    """Delete a file."""
    one = await _file(visit)
    await visit.write(lambda connection: station_files.delete_file(connection, one.file_id))
    await run_in_threadpool(visit.portal.files.remove, UPLOADS, one.stored_name)
    return visit.go("/files", done="deleted")


async def _file(visit: Visit) -> StationFile:
    file_id = visit.path_number("file_id")
    one = await visit.read(lambda connection: station_files.find_file(connection, file_id))
    if one is None:
        raise HTTPException(404, "There is no such file.")
    return one


# --- One station ------------------------------------------------------------------------------------------------------


async def show_station(visit: Visit) -> Response:
    """Show the updates, uploads and files of a station, with the forms that ask for more."""
    return await _station(visit, Form())


async def latest(visit: Visit) -> Response:
    """Return the part of the station's own page that tells of its files."""
    number = visit.path_number("charge_point_id")

    def load(connection: Connection) -> tuple[list[TransferView], list[StationFile]]:
        transfers = transfer_views.list_transfers(connection, limit=_LATEST, charge_point_id=number)
        return transfers, station_files.list_files(connection, limit=_LATEST, charge_point_id=number)

    transfers, files = await visit.read(load)
    return visit.page("files/_latest.html", transfers=transfers, files=files)


async def _station(visit: Visit, form: Form, *, status: int = 200) -> Response:
    number = visit.path_number("charge_point_id")

    def load(connection: Connection) -> StationFilesPage | None:
        station = find_by_id(connection, number)
        if station is None:
            return None
        library = [one.firmware for one in firmware_files.list_firmware(connection, limit=200)]
        suited = [one for one in library if firmware_files.suits(one, station.vendor, station.model)]
        return StationFilesPage(
            station,
            tuple(_transfers(connection, number, FIRMWARE_ACTIONS)),
            tuple(_transfers(connection, number, UPLOAD_ACTIONS)),
            tuple(station_files.list_files(connection, limit=_SHOWN, charge_point_id=number)),
            tuple(suited),
        )

    shown = await visit.read(load)
    if shown is None:
        raise HTTPException(404, "There is no such station.")
    settings = visit.portal.settings
    return visit.page(
        "files/station.html", status=status, shown=shown, station=shown.station, form=form, has_ftp=settings.ftp
    )


def _transfers(connection: Connection, charge_point_id: int, actions: tuple[str, ...]) -> list[TransferView]:
    return transfer_views.list_transfers(connection, limit=_SHOWN, actions=actions, charge_point_id=charge_point_id)


async def ask_station(visit: Visit) -> Response:
    """Ask a station for its diagnostics or a log."""
    number = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    kind = form.choice("kind", tuple(_KINDS))
    way = form.choice("way", _WAYS)
    since, until = moment_of(visit, form, "since"), moment_of(visit, form, "until")
    retries = limited(form, "retries", most=_MOST_RETRIES)
    if way == "ftp" and not visit.portal.settings.ftp:
        form.refuse("way", "FTP is switched off (CSMS_FTP).")
    if not form.valid or await visit.read(lambda connection: find_by_id(connection, number)) is None:
        return await _station(visit, form, status=422)
    wanted = UploadRequest(_KINDS[kind], since, until, Repeats(retries), way == "ftp")
    return visit.go(f"/file-transfers/{await _ask(visit, number, wanted)}", done="sent")


async def _ask(visit: Visit, charge_point_id: int, wanted: UploadRequest) -> int:
    portal = visit.portal
    try:
        asked = request_upload(charge_point_id, wanted, links_of(portal.settings), visit.staff.actor, portal.new_token)
    except CommandInvalid as error:
        raise HTTPException(422, f"OCPP does not allow this: {error}.") from None
    command = await portal.engine.submit(asked)
    number: int = command.command_id
    return number


# --- One transfer -----------------------------------------------------------------------------------------------------


async def show_transfer(visit: Visit) -> Response:
    """Show a transfer with its history."""
    one, events, files = await _transfer(visit)
    return visit.page("files/transfer.html", one=one, events=events, files=files, done=visit.query("done"))


async def live_transfer(visit: Visit) -> Response:
    """Return the part of a transfer's page that changes."""
    one, events, files = await _transfer(visit)
    return visit.page("files/_transfer_live.html", one=one, events=events, files=files)


async def _transfer(visit: Visit) -> tuple[TransferView, list[TransferEventView], list[StationFile]]:
    number = visit.path_number("command_id")

    def load(
        connection: Connection,
    ) -> tuple[TransferView | None, list[TransferEventView], list[StationFile]]:
        one = transfer_views.find_transfer(connection, number)
        return one, transfer_views.list_events(connection, number), station_files.files_of(connection, number)

    one, events, files = await visit.read(load)
    if one is None:
        raise HTTPException(404, "There is no such transfer.")
    return one, events, files


async def retry(visit: Visit) -> Response:
    """Ask again for what failed, with a fresh link."""
    one, _, _ = await _transfer(visit)
    if one.firmware_id is None:
        if one.action not in UPLOAD_ACTIONS:
            raise HTTPException(409, "This firmware is not in the library; the command has to be sent again.")
        log_type = next((kind for kind in _KINDS.values() if kind is not None and kind == one.log_type), None)
        over_ftp = one.location.startswith("ftp") and visit.portal.settings.ftp
        number = await _ask(visit, one.charge_point_id, UploadRequest(log_type, over_ftp=over_ftp))
        return visit.go(f"/file-transfers/{number}", done="sent")
    if not visit.may(right_for(one.action, {}).permission):
        raise HTTPException(403)
    firmware_id = one.firmware_id
    firmware = await visit.read(lambda connection: firmware_files.find_firmware(connection, firmware_id))
    if firmware is None:
        raise HTTPException(409, "This firmware was deleted from the library.")
    wanted = FirmwareUpdate(firmware, one.action == "SignedUpdateFirmware")
    return visit.go(f"/file-transfers/{await send(visit, one.charge_point_id, wanted)}", done="sent")
