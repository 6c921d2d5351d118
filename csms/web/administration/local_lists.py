"""Local lists: which cards stations start by themselves, where each list belongs, and what the stations have of it.

What is changed here reaches the stations by itself; nothing is sent from the forms but what a button says.
"""

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import account_groups, reports
from csms.charging import groups, overview
from csms.commands.requests import ask
from csms.operations import local_lists_views as views
from csms.operations.local_lists import Entry
from csms.operations.local_lists_keeping import KeepList
from csms.operations.local_lists_views import ListEntryView, LocalListView, StationListView, TargetView
from csms.web.forms import Form
from csms.web.visit import Visit

_STATIONS = 200
_LISTS = 500
_ENTRIES = 500


class ListPage(msgspec.Struct, frozen=True):
    """All that the page of one list shows."""

    local_list: LocalListView
    entries: tuple[ListEntryView, ...]
    targets: tuple[TargetView, ...]
    stations: tuple[StationListView, ...]
    account_groups: tuple[account_groups.AccountGroupView, ...]
    station_groups: tuple[groups.StationGroupView, ...]


async def show(visit: Visit) -> Response:
    """List the lists, and the stations that have one."""
    return await _all(visit, Form())


async def _all(visit: Visit, form: Form, *, status: int = 200) -> Response:
    def load(connection: Connection) -> tuple[list[LocalListView], list[StationListView]]:
        return views.list_lists(connection, limit=_LISTS), views.list_stations(connection, visit.now, limit=_STATIONS)

    lists, stations = await visit.read(load)
    return visit.page(
        "administration/local_lists.html",
        status=status,
        lists=lists,
        stations=stations,
        form=form,
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Add a list and go to it."""
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    number = None
    if form.valid:
        number = await visit.write(lambda c: views.add_list(c, name, None, visit.now, has_staff=False))
        if number is None:
            form.refuse("name", "There is a list with this name already.")
    if number is None:
        return await _all(visit, form, status=422)
    return visit.go(f"/local-lists/{number}")


async def show_one(visit: Visit) -> Response:
    """Show a list with its cards and its stations."""
    return await _one(visit, None, Form(), Form())


async def _one(visit: Visit, form: Form | None, card_form: Form, place_form: Form, *, status: int = 200) -> Response:
    list_id = visit.path_number("list_id")
    shown = await visit.read(lambda connection: _load(connection, visit, list_id))
    if shown is None:
        raise HTTPException(404, "There is no such list.")
    one = shown.local_list
    if form is None:
        group = "" if one.account_group_id is None else str(one.account_group_id)
        form = Form({"name": one.name, "account_group_id": group, "has_staff": "yes" if one.has_staff else ""})
    return visit.page(
        "administration/local_list.html",
        status=status,
        shown=shown,
        one=one,
        form=form,
        card_form=card_form,
        place_form=place_form,
        done=visit.query("done"),
    )


def _load(connection: Connection, visit: Visit, list_id: int) -> ListPage | None:
    one = views.find_list(connection, list_id=list_id)
    if one is None:
        return None
    return ListPage(
        one,
        tuple(views.entries_in(connection, list_id, visit.now)),
        tuple(views.targets_of(connection, list_id)),
        tuple(views.list_stations(connection, visit.now, list_id=list_id, limit=_STATIONS)),
        tuple(account_groups.list_account_groups(connection)),
        tuple(groups.list_station_groups(connection)),
    )


async def change(visit: Visit) -> Response:
    """Change what a list is and whose cards it has."""
    list_id = visit.path_number("list_id")
    form = Form(visit.fields)
    name, group_id = form.text("name", longest=100), form.number("account_group_id")
    has_staff = form.typed("has_staff") == "yes"
    known = {one.group_id for one in await visit.read(account_groups.list_account_groups)}
    if group_id is not None and group_id not in known:
        form.refuse("account_group_id", "There is no such group.")
    if form.valid and not await visit.write(
        lambda c: views.change_list(c, list_id, name, group_id, has_staff=has_staff)
    ):
        form.refuse("name", "There is a list with this name already.")
    if not form.valid:
        return await _one(visit, form, Form(), Form(), status=422)
    return visit.go(f"/local-lists/{list_id}", done="changed")


async def remove(visit: Visit) -> Response:
    """Remove a list; its stations are emptied."""
    list_id = visit.path_number("list_id")
    await visit.write(lambda connection: views.remove_list(connection, list_id))
    return visit.go("/local-lists", done="removed")


async def put_card(visit: Visit) -> Response:
    """Choose a card for a list, or take the choice back."""
    list_id = visit.path_number("list_id")
    form = Form(visit.fields)
    typed = form.text("card", longest=60)
    card = await visit.read(lambda connection: reports.find_card(connection, typed)) if typed else None
    if typed and (card is None or card.account_id is None):
        form.refuse("card", "There is no such card, or it was not sold yet.")
    shown = await visit.read(lambda connection: views.find_list(connection, list_id=list_id))
    if shown is not None and shown.chosen >= views.MOST_CARDS:
        form.refuse("card", f"A list chooses {views.MOST_CARDS} cards at most.")
    if not form.valid or card is None or shown is None:
        return await _one(visit, None, form, Form(), status=422)
    id_tag, chosen = card.id_tag, form.typed("act") != "remove"
    await visit.write(lambda connection: views.put_card(connection, list_id, id_tag, chosen=chosen))
    return visit.go(f"/local-lists/{list_id}", done="card" if chosen else "no-card")


async def put_target(visit: Visit) -> Response:
    """Give a list to a station or a group of stations, or take it away."""
    list_id = visit.path_number("list_id")
    form = Form(visit.fields)
    identity, group_id = form.text("station", longest=255, required=False), form.number("station_group_id")
    station = await visit.read(lambda connection: overview.find_station(connection, identity)) if identity else None
    if identity and station is None:
        form.refuse("station", "There is no such station.")
    known = {one.group_id for one in await visit.read(groups.list_station_groups)}
    if group_id is not None and group_id not in known:
        form.refuse("station_group_id", "There is no such group.")
    if not identity and group_id is None:
        form.refuse("station", "Name a station or choose a group.")
    shown = await visit.read(lambda connection: views.find_list(connection, list_id=list_id))
    if not form.valid or shown is None:
        return await _one(visit, None, Form(), form, status=422)
    given = None if form.typed("act") == "remove" else list_id

    def change(connection: Connection) -> None:
        if station is not None:
            views.put_target(connection, given, charge_point_id=station.charge_point_id)
        if group_id is not None:
            views.put_target(connection, given, group_id=group_id)

    await visit.write(change)
    return visit.go(f"/local-lists/{list_id}", done="place" if given is not None else "no-place")


async def show_station(visit: Visit) -> Response:
    """Show what a station has of its list."""
    one = await _station(visit)
    return visit.page("operations/station_local_list.html", one=one, entries=_entries(one), done=visit.query("done"))


async def live(visit: Visit) -> Response:
    """Return the part of it that changes."""
    one = await _station(visit)
    return visit.page("operations/_station_local_list_live.html", one=one, entries=_entries(one))


def _entries(one: StationListView) -> list[Entry]:
    """Return what a station has, by id tag; of a very long list the beginning."""
    held = one.held.entries or {}
    return [held[tag] for tag in sorted(held)][:_ENTRIES]


async def send(visit: Visit) -> Response:
    """Send a station its whole list now."""
    one = await _station(visit)
    outcome = await visit.portal.engine.submit(KeepList(one.charge_point_id, visit.staff.actor, full=True))
    return visit.go(f"/stations/{one.charge_point_id}/local-list", done=outcome)


async def ask_version(visit: Visit) -> Response:
    """Ask a station for the version of its list."""
    one = await _station(visit)
    await visit.portal.engine.submit(ask(one.charge_point_id, "GetLocalListVersion", {}, visit.staff.actor))
    return visit.go(f"/stations/{one.charge_point_id}/local-list", done="version")


async def _station(visit: Visit) -> StationListView:
    charge_point_id = visit.path_number("charge_point_id")
    found = await visit.read(
        lambda connection: views.list_stations(connection, visit.now, charge_point_id=charge_point_id, limit=1)
    )
    if not found:
        raise HTTPException(404, "There is no such station.")
    return found[0]
