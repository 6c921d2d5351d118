"""The firmware library: files with their signatures, uploaded and deleted; updates of single stations and of groups."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from csms.billing.wall_clock import read_moment
from csms.charging import groups, overview
from csms.commands.files import FirmwareUpdate, Repeats, links_of, update_firmware
from csms.commands.requests import CommandInvalid
from csms.operations import campaign_store, firmware_files, transfer_views
from csms.operations.campaign_store import NewCampaign
from csms.operations.campaigns import Campaign
from csms.operations.file_store import FIRMWARE
from csms.operations.firmware_files import Firmware, FirmwareView
from csms.operations.firmware_signature import check_signature
from csms.web.forms import Form
from csms.web.visit import PageOf, Visit

_RECENT = 10
_UPDATES = 25
_MOST_AT_ONCE, _MOST_FAILURES = 1000, 10_000
_MOST_RETRIES = 100
_GONE = "There is no such firmware."


class FirmwarePage(msgspec.Struct, frozen=True):
    """All that the page of a firmware shows."""

    view: FirmwareView
    in_use: bool
    updates: tuple[transfer_views.TransferView, ...]
    campaigns: tuple[Campaign, ...]
    groups: tuple[groups.StationGroupView, ...]


async def show_list(visit: Visit) -> Response:
    """List the files and the campaigns, with the form that takes another file."""
    return await _list(visit, Form())


async def _list(visit: Visit, form: Form, *, status: int = 200) -> Response:
    def load(connection: Connection) -> tuple[PageOf, list[FirmwareView], list[Campaign]]:
        page = visit.page_of(firmware_files.count_firmware(connection))
        files = firmware_files.list_firmware(connection, limit=page.size, offset=page.offset)
        return page, files, campaign_store.list_campaigns(connection, limit=_RECENT)

    page, files, campaigns = await visit.read(load)
    return visit.page(
        "files/firmware_list.html",
        status=status,
        pages=page,
        files=files,
        campaigns=campaigns,
        form=form,
        most_bytes=visit.portal.settings.max_firmware_bytes,
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Take a file into the library. A signature that does not fit is kept only where that is wanted."""
    form = Form(visit.fields)
    version = form.text("version", longest=50)
    vendor, model = form.text("vendor", longest=50, required=False), form.text("model", longest=50, required=False)
    signature = "".join(form.typed("signature").split())
    certificate = form.typed("certificate").replace("\r\n", "\n").strip()
    if not visit.arrived:
        form.refuse("file", "Please choose a file.")
        return await _list(visit, form, status=422)
    arriving, stored = visit.arrived[0]
    if not stored.size_bytes:
        form.refuse("file", "The file is empty.")
    checked = check_signature(signature, certificate, stored.sha256)
    if checked.state == "wrong" and form.typed("keep_wrong") != "yes":
        form.refuse("signature", checked.note)
    same = await visit.read(lambda c: firmware_files.find_same(c, stored.sha256, signature))
    if same is not None:
        form.refuse("file", f"This file is in the library already, as version {same.version}.")
    if not form.valid:
        return await _list(visit, form, status=422)
    about, signed = (vendor, model, version), (signature, certificate)
    new = firmware_files.entry_of(stored, about, signed, checked, visit.staff.actor, visit.now)
    added = await visit.write(lambda connection: firmware_files.add_firmware(connection, new))
    visit.arrived.remove((arriving, stored))
    return visit.go(f"/firmware/{added.firmware_id}", done="added")


async def show_one(visit: Visit) -> Response:
    """Show a firmware, where it was sent, and the forms that send it."""
    return await _one(visit, Form(), Form())


async def _one(visit: Visit, form: Form, campaign_form: Form, *, status: int = 200) -> Response:
    firmware_id = visit.path_number("firmware_id")

    def load(connection: Connection) -> FirmwarePage | None:
        view = firmware_files.view_firmware(connection, firmware_id)
        if view is None:
            return None
        return FirmwarePage(
            view,
            firmware_files.is_in_use(connection, firmware_id),
            tuple(transfer_views.list_transfers(connection, limit=_UPDATES, firmware_id=firmware_id)),
            tuple(campaign_store.list_campaigns(connection, limit=_RECENT, firmware_id=firmware_id)),
            tuple(groups.list_station_groups(connection)),
        )

    shown = await visit.read(load)
    if shown is None:
        raise HTTPException(404, _GONE)
    return visit.page(
        "files/firmware.html",
        status=status,
        shown=shown,
        firmware=shown.view.firmware,
        form=form,
        campaign_form=campaign_form,
        done=visit.query("done"),
    )


async def _found(visit: Visit) -> Firmware:
    firmware_id = visit.path_number("firmware_id")
    one = await visit.read(lambda connection: firmware_files.find_firmware(connection, firmware_id))
    if one is None:
        raise HTTPException(404, _GONE)
    return one


async def download(visit: Visit) -> Response:
    """Return the file to whoever manages it."""
    one = await _found(visit)
    path = visit.portal.files.path(FIRMWARE, one.stored_name)
    if not await run_in_threadpool(path.is_file):
        raise HTTPException(404, "The file is not on the disk of this server.")
    return FileResponse(path, filename=one.name, media_type="application/octet-stream")


async def delete(visit: Visit) -> Response:
    """Delete a file that no station may still fetch."""
    one = await _found(visit)
    gone = await visit.write(lambda connection: firmware_files.delete_firmware(connection, one.firmware_id, visit.now))
    if gone is None:
        return visit.go(f"/firmware/{one.firmware_id}", done="in use")
    await run_in_threadpool(visit.portal.files.remove, FIRMWARE, gone.stored_name)
    return visit.go("/firmware", done="deleted")


async def update(visit: Visit) -> Response:
    """Send a firmware to one station."""
    one = await _found(visit)
    form = Form(visit.fields)
    identity = form.text("identity", longest=255)
    wanted = _wanted(visit, form, one)
    station = None
    if identity:
        station = await visit.read(lambda connection: overview.find_station(connection, identity))
        if station is None:
            form.refuse("identity", "There is no such station.")
        elif not firmware_files.suits(one, station.vendor, station.model) and form.typed("anyway") != "yes":
            form.refuse(
                "identity", f"The station is {station.vendor} {station.model}, and this firmware is for another make."
            )
    if not form.valid or station is None:
        return await _one(visit, form, Form(), status=422)
    command_id = await send(visit, station.charge_point_id, wanted)
    return visit.go(f"/file-transfers/{command_id}", done="sent")


async def send(visit: Visit, charge_point_id: int, wanted: FirmwareUpdate) -> int:
    """Queue an update for a station and return the number of its command."""
    portal = visit.portal
    try:
        asked = update_firmware(
            charge_point_id, wanted, links_of(portal.settings), visit.staff.actor, visit.now, portal.new_token
        )
    except CommandInvalid as error:
        raise HTTPException(422, f"OCPP does not allow this: {error}.") from None
    command = await portal.engine.submit(asked)
    number: int = command.command_id
    return number


def _wanted(visit: Visit, form: Form, one: Firmware) -> FirmwareUpdate:
    is_signed = form.typed("is_signed") == "yes"
    if is_signed and not one.is_signed:
        form.refuse("is_signed", "This firmware has no signature.")
    retries = limited(form, "retries", most=_MOST_RETRIES)
    return FirmwareUpdate(one, is_signed, moment_of(visit, form, "retrieve_at"), repeats=Repeats(retries))


def moment_of(visit: Visit, form: Form, name: str) -> datetime | None:
    """Return a moment from a form, on the wall clock of the installation; None where the field is empty."""
    typed = form.typed(name).strip()
    if not typed:
        return None
    try:
        return read_moment(typed, ZoneInfo(visit.portal.settings.time_zone))
    except ValueError as error:
        form.refuse(name, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return None


def limited(form: Form, name: str, *, most: int, least: int = 0) -> int | None:
    """Return a whole number within limits, None where the field is empty or marked."""
    number = form.number(name)
    if number is not None and not least <= number <= most:
        form.refuse(name, f"From {least} to {most}.")
    return number


async def begin_campaign(visit: Visit) -> Response:
    """Begin to send a firmware to the stations of a group."""
    one = await _found(visit)
    form = Form(visit.fields)
    group_id = form.number("group_id")
    parallel = limited(form, "parallel", least=1, most=_MOST_AT_ONCE) or 1
    failures = limited(form, "max_failures", least=1, most=_MOST_FAILURES) or 1
    starts_at, wanted = moment_of(visit, form, "starts_at"), _wanted(visit, form, one)
    group = None
    if group_id is not None:
        group = await visit.read(lambda connection: groups.find_station_group(connection, group_id=group_id))
    if group is None:
        form.refuse("group_id", "Please choose a group of stations.")
    if not form.valid or group is None:
        return await _one(visit, Form(), form, status=422)
    new = NewCampaign(
        one,
        group.group_id,
        group.name,
        parallel,
        failures,
        form.typed("only_idle") == "yes",
        wanted.is_signed,
        starts_at,
        wanted.retrieve_at,
        visit.staff.actor,
    )
    made = await visit.write(_adding(new, visit.now))
    if made is None:
        form.refuse("group_id", "No station of this group needs this firmware: none is of its make, or all have it.")
        return await _one(visit, Form(), form, status=422)
    return visit.go(f"/firmware/campaigns/{made.campaign_id}", done="made", left_out=len(made.left_out))


def _adding(new: NewCampaign, now: datetime) -> Callable[[Connection], campaign_store.Made | None]:
    return lambda connection: campaign_store.add_campaign(connection, new, now)
