"""The stations: the list with those that ask to be adopted, one station live, and remote start and stop.

Acts on stations only by queueing commands; what a station answers shows in its list of commands.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.books import normalize_id_tag
from csms.charging import models, overview
from csms.charging.settings_view import SettingsView, find_settings
from csms.commands.field_words import ABOUT
from csms.commands.history import CommandFilter, CommandRow, list_commands
from csms.commands.remote import remote_start, remote_stop
from csms.operations.core import WantedAvailability
from csms.operations.core_store import wanted_of
from csms.operations.reservations_views import ReservationView, list_reservations
from csms.web.administration.choices import Choices, load_choices
from csms.web.command_rights import offered
from csms.web.forms import Form
from csms.web.operations.standing import load_standing
from csms.web.visit import PageOf, Visit

_UNKNOWN = 20
_RUNNING = 20
_RECENT = 8
_COMMANDS = 8
_REFUSALS = 5


class StationPage(msgspec.Struct, frozen=True):
    """All that the station page shows."""

    station: overview.StationView
    running: tuple[overview.TransactionView, ...]
    recent: tuple[overview.TransactionView, ...]
    commands: tuple[CommandRow, ...]
    reservations: tuple[ReservationView, ...] = ()
    wanted: Mapping[int, WantedAvailability] = {}


async def show_list(visit: Visit) -> Response:
    """List stations, and the identities that asked to connect and are not known."""
    search = visit.query("search")

    def load(
        connection: Connection,
    ) -> tuple[PageOf, list[overview.StationView], list[overview.UnknownStationView]]:
        page = visit.page_of(overview.count_stations(connection, search=search))
        stations = overview.list_stations(connection, search=search, limit=page.size, offset=page.offset)
        return page, stations, overview.list_unknown_stations(connection, limit=_UNKNOWN)

    page, stations, unknown = await visit.read(load)
    return visit.page("operations/stations.html", pages=page, stations=stations, unknown=unknown, search=search)


async def show_one(visit: Visit) -> Response:
    """Show one station."""
    return await station_page(visit, Form())


async def live(visit: Visit) -> Response:
    """Return the part of a station's page that changes."""
    charge_point_id = visit.path_number("charge_point_id")
    shown = await visit.read(lambda connection: _load(connection, charge_point_id, visit.now))
    return visit.page("operations/_station_live.html", shown=_found(shown), station=_found(shown).station)


async def station_page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    """Render a station's page with its forms, marked where something is wrong."""
    charge_point_id = visit.path_number("charge_point_id")

    def load(connection: Connection) -> tuple[StationPage | None, SettingsView | None, Choices]:
        return (
            _load(connection, charge_point_id, visit.now),
            find_settings(connection, charge_point_id),
            load_choices(connection),
        )

    shown, settings, choices = await visit.read(load)
    station = _found(shown).station
    return visit.page(
        "operations/station.html",
        status=status,
        shown=_found(shown),
        standing=await visit.read(lambda connection: load_standing(connection, visit, station)),
        station=_found(shown).station,
        choices=choices,
        settings=settings,
        form=form,
        families=offered(visit.may),
        about=ABOUT,
        done=visit.query("done"),
    )


def _found(shown: StationPage | None) -> StationPage:
    if shown is None:
        raise HTTPException(404, "There is no such station.")
    return shown


def find_by_id(connection: Connection, charge_point_id: int) -> overview.StationView | None:
    """Return a station by its number, None where there is none."""
    identity = connection.execute(
        select(models.charge_point.c.identity).where(models.charge_point.c.id == charge_point_id)
    ).scalar()
    return None if identity is None else overview.find_station(connection, identity)


def _load(connection: Connection, charge_point_id: int, now: datetime) -> StationPage | None:
    station = find_by_id(connection, charge_point_id)
    if station is None:
        return None
    running = overview.list_transactions(connection, state="open", charge_point_id=charge_point_id, limit=_RUNNING)
    recent = overview.list_transactions(connection, charge_point_id=charge_point_id, limit=_RECENT + len(running))
    commands = list_commands(connection, CommandFilter(charge_point_id=charge_point_id), limit=_COMMANDS)
    ended = [one for one in recent if one.state != "open"]
    reserved = list_reservations(connection, now, charge_point_id=charge_point_id, limit=_RUNNING)
    wanted = wanted_of(connection, charge_point_id)
    return StationPage(station, tuple(running), tuple(ended[:_RECENT]), tuple(commands), tuple(reserved), wanted)


async def start(visit: Visit) -> Response:
    """Ask a station to start for a card."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    typed = form.text("id_tag", longest=40)
    connector_id = form.number("connector_id")
    if connector_id == 0:
        form.refuse("connector_id", "Connectors are numbered from 1.")
    card = None
    if form.valid:
        card = await visit.read(lambda connection: reports.find_card(connection, typed))
        if card is None:
            form.refuse("id_tag", "There is no such card.")
    if not form.valid or card is None:
        return await station_page(visit, form, status=422)
    await _require(visit, charge_point_id)
    id_tag = normalize_id_tag(card.id_tag)
    await visit.portal.engine.submit(remote_start(charge_point_id, id_tag, connector_id, visit.staff.actor))
    return visit.go(f"/stations/{charge_point_id}", done="start")


async def stop(visit: Visit) -> Response:
    """Ask a station to stop a transaction of its own that still runs."""
    charge_point_id = visit.path_number("charge_point_id")
    transaction_id = Form(visit.fields).number("transaction_id")
    one = None
    if transaction_id is not None:
        one = await visit.read(lambda connection: overview.find_transaction(connection, transaction_id))
    if one is None or one.charge_point_id != charge_point_id:
        raise HTTPException(404, "There is no such transaction at this station.")
    if one.state == "ended":
        return visit.go(f"/stations/{charge_point_id}", done="ended")
    asked = remote_stop(charge_point_id, one.transaction_id, visit.staff.actor)
    await visit.portal.engine.submit(asked)
    return visit.go(f"/stations/{charge_point_id}", done="stop")


async def _require(visit: Visit, charge_point_id: int) -> None:
    if await visit.read(lambda connection: find_by_id(connection, charge_point_id)) is None:
        raise HTTPException(404, "There is no such station.")
