"""The library of charging profiles: the list, one profile with where it is installed, sending it, removing it."""

from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging import models
from csms.charging.groups import StationGroupView, list_station_groups
from csms.charging.overview import find_station
from csms.commands import profile_sending as sending
from csms.commands.profile_sending import Plan, plan
from csms.operations.charging_profiles_store import InstalledProfile, list_installed
from csms.operations.profile_library import (
    LibraryProfile,
    find_profile,
    library_id_of,
    list_profiles,
    remove_profile,
    wire_ids,
)
from csms.operations.profile_words import limits, when, write_limit, write_span
from csms.web.forms import Form
from csms.web.operations.profile_editor import picture_of
from csms.web.visit import Visit

_LONGEST_KEY = 100
_cp = models.charge_point.c


class Where(msgspec.Struct, frozen=True):
    """A station that has a profile."""

    charge_point: str
    installed: InstalledProfile


class ProfilePage(msgspec.Struct, frozen=True):
    """All that the page of a profile shows."""

    one: LibraryProfile
    where: tuple[Where, ...]
    groups: tuple[StationGroupView, ...]


async def show_list(visit: Visit) -> Response:
    """List the library, with how many stations have what."""

    def load(connection: Connection) -> tuple[list[LibraryProfile], dict[int, int]]:
        counts: dict[int, int] = {}
        for one in list_installed(connection, visit.now, profile_ids=(wire_ids(0)[0], 2**31 - 1)):
            library_id = library_id_of(one.profile_id) or 0
            counts[library_id] = counts.get(library_id, 0) + 1
        return list_profiles(connection), counts

    profiles, counts = await visit.read(load)
    return visit.page(
        "operations/profiles.html",
        profiles=profiles,
        counts=counts,
        when=when,
        limits=limits,
        zone=ZoneInfo,
        done=visit.query("done"),
    )


async def show_one(visit: Visit) -> Response:
    """Show one profile."""
    return await _page(visit, Form(), Plan((), ()))


async def _page(visit: Visit, form: Form, sent: Plan, *, status: int = 200, batch_id: int | None = None) -> Response:
    library_id = visit.path_number("library_id")

    def load(connection: Connection) -> ProfilePage | None:
        one = find_profile(connection, library_id)
        if one is None:
            return None
        installed = list_installed(connection, visit.now, profile_ids=wire_ids(library_id))
        names = select(_cp.id, _cp.identity).where(_cp.id.in_({each.charge_point_id for each in installed}))
        identities = {row.id: row.identity for row in connection.execute(names)}
        where = tuple(Where(identities[each.charge_point_id], each) for each in installed)
        return ProfilePage(one, where, tuple(list_station_groups(connection)))

    shown = await visit.read(load)
    if shown is None:
        raise HTTPException(404, "There is no such profile.")
    zone = ZoneInfo(shown.one.time_zone)
    return visit.page(
        "operations/profile.html",
        status=status,
        shown=shown,
        one=shown.one,
        picture=picture_of(shown.one.name, shown.one.profile, zone),
        form=form,
        key=visit.portal.new_token(),
        sent=sent,
        batch_id=batch_id,
        when=when(shown.one.profile, zone),
        zone=zone,
        write_limit=write_limit,
        write_span=write_span,
        done=visit.query("done"),
    )


async def send(visit: Visit) -> Response:
    """Send a profile to a station, or to the stations of a group; say where it is not sent, and why."""
    library_id = visit.path_number("library_id")
    form = Form(visit.fields)
    typed = form.text("station", longest=255, required=False)
    group_id = form.number("group_id")
    connector_id = form.number("connector_id")
    if group_id is not None and form.typed("purpose") == "TxProfile":
        form.refuse("group_id", "A profile of one transaction is for one connector of one station.")
    if connector_id is None:
        form.refuse("connector_id", "A connector, or 0 for the whole station.")
    if bool(typed) == (group_id is not None):
        form.refuse("station", "A station or a group, one of them.")

    def look(connection: Connection) -> Plan | None:
        one = find_profile(connection, library_id)
        if one is None:
            return None
        ids: list[int] = []
        if group_id is not None:
            statement = select(_cp.id).where(_cp.group_id == group_id).order_by(_cp.identity)
            ids = list(connection.execute(statement).scalars())
            if not ids:
                form.refuse("group_id", "There is no station in this group.")
        else:
            station = find_station(connection, typed)
            if station is None:
                form.refuse("station", "There is no such station.")
            else:
                ids = [station.charge_point_id]
        return plan(connection, one, ids, connector_id or 0, visit.staff.actor, visit.now)

    if not form.valid:
        return await _page(visit, form, Plan((), ()), status=422)
    found = await visit.read(look)
    if found is None:
        raise HTTPException(404, "There is no such profile.")
    group = "" if group_id is None else f"stations of group {group_id}"
    key = form.typed("key")[:_LONGEST_KEY] or visit.portal.new_token()
    sent = await sending.send(visit.portal.engine.submit, found, group, key, as_batch=group_id is not None)
    refused = not form.valid or not found.sendable
    status = 422 if refused else 200
    return await _page(visit, form if refused else Form(), found, status=status, batch_id=sent.batch_id)


async def remove(visit: Visit) -> Response:
    """Take a profile out of the library."""
    library_id = visit.path_number("library_id")
    if not await visit.write(lambda connection: remove_profile(connection, library_id)):
        raise HTTPException(404, "There is no such profile.")
    return visit.go("/charging-profiles", done="removed")
