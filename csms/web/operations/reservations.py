"""Reservations: those in force and what became of the others, a connector reserved for a card, one cancelled.

Acts on stations only by queueing commands. A card that could not charge is refused here; programs may reserve for it.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.wall_clock import read_moment
from csms.charging import overview
from csms.commands.reservations import cancel as cancel_reservation
from csms.commands.reservations import reserve as ask_to_reserve
from csms.operations import reservations_views
from csms.operations.reservations_views import ComingReservation, ReservationView, Shown
from csms.web.forms import Form
from csms.web.operations.stations import find_by_id
from csms.web.texts import words
from csms.web.visit import PageOf, Visit

_COMING = 50
_OF_STATION = 20
_USUAL = timedelta(minutes=30)
_LONGEST = timedelta(days=7)
_STATES: tuple[Shown, ...] = ("active", "ended", "all")


class _Wish(msgspec.Struct, frozen=True):
    """A reservation as it was typed, read and found possible."""

    card: reports.CardView
    connector_id: int
    until: datetime
    with_account: bool
    is_low: bool


async def show(visit: Visit) -> Response:
    """List reservations: those in force, unless others are asked for."""
    asked = visit.query("state")
    state: Shown = next((one for one in _STATES if one == asked), "active")
    search = visit.query("search")

    def load(connection: Connection) -> tuple[PageOf, list[ReservationView], list[ComingReservation]]:
        page = visit.page_of(reservations_views.count_reservations(connection, visit.now, state=state, search=search))
        found = reservations_views.list_reservations(
            connection, visit.now, state=state, search=search, limit=page.size, offset=page.offset
        )
        return page, found, reservations_views.list_coming(connection, limit=_COMING)

    page, found, coming = await visit.read(load)
    return visit.page(
        "operations/reservations.html",
        pages=page,
        reservations=found,
        coming=coming,
        state=state,
        search=search,
        done=visit.query("done"),
    )


async def show_station(visit: Visit) -> Response:
    """Show the reservations of a station, and the form for another one."""
    connector = visit.query_number("connector")
    typed = {"id_tag": visit.query("card"), "connector_id": "" if connector is None else str(connector)}
    return await _station_page(visit, Form(typed))


async def live(visit: Visit) -> Response:
    """Return the part of a station's page of reservations that changes."""
    station = await _station(visit)
    reservations, coming = await visit.read(lambda connection: _of_station(connection, visit, station))
    return visit.page(
        "operations/_station_reservations_live.html", station=station, reservations=reservations, coming=coming
    )


async def reserve(visit: Visit) -> Response:
    """Ask a station to keep a connector for a card."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    zone = ZoneInfo(_zone_of(visit, await _station(visit)))
    wish = await _read(visit, form, zone)
    if wish is None:
        return await _station_page(visit, form, status=422)
    reservation_id = await visit.write(reservations_views.next_reservation_id)
    parent = f"A{wish.card.account_id}" if wish.with_account else None
    asked = ask_to_reserve(
        charge_point_id,
        wish.connector_id,
        wish.card.id_tag,
        reservation_id,
        wish.until,
        visit.now,
        visit.staff.actor,
        parent_id_tag=parent,
    )
    await visit.portal.engine.submit(asked)
    done = "low" if wish.is_low else "reserve"
    return visit.go(f"/stations/{charge_point_id}/reservations", done=done)


async def _read(visit: Visit, form: Form, zone: ZoneInfo) -> _Wish | None:
    typed, connector_id = form.text("id_tag", longest=60), form.number("connector_id")
    until = _read_until(visit, form, zone)
    if connector_id is None:
        form.refuse("connector_id", "Please choose a connector.")
    card = await visit.read(lambda connection: reports.find_card(connection, typed)) if typed else None
    if typed and card is None:
        form.refuse("id_tag", "There is no such card.")
    why = "" if card is None else reservations_views.refusal_of(card, visit.now)
    if why:
        form.refuse("id_tag", f"{words(why)}, so it could not charge.")
    if not form.valid or card is None or connector_id is None or until is None:
        return None
    is_low = await visit.read(lambda connection: _is_low(connection, visit, card))
    return _Wish(card, connector_id, until, form.typed("with_account") == "yes", is_low)


def _read_until(visit: Visit, form: Form, zone: ZoneInfo) -> datetime | None:
    text = form.text("until", longest=30)
    if not text:
        return None
    try:
        until = read_moment(text, zone)
    except ValueError as error:
        form.refuse("until", f"{error}.")
        return None
    if not visit.now < until <= visit.now + _LONGEST:
        form.refuse("until", "It must lie ahead, by seven days at most.")
        return None
    return until


def _is_low(connection: Connection, visit: Visit, card: reports.CardView) -> bool:
    """Tell whether a card has less credit than a start needs. A reservation holds none, so this only warns."""
    usual_minor = int(visit.portal.settings.minimum_start_credit * visit.portal.currency.scale)
    return reservations_views.lacks_credit(connection, card, usual_minor)


async def _station_page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    station = await _station(visit)
    zone = ZoneInfo(_zone_of(visit, station))
    until = (visit.now + _USUAL).astimezone(zone)
    found, coming = await visit.read(lambda connection: _of_station(connection, visit, station))
    return visit.page(
        "operations/station_reservations.html",
        status=status,
        station=station,
        reservations=found,
        coming=coming,
        form=form,
        until=form.typed("until") or f"{until:%Y-%m-%dT%H:%M}",
        zone=zone.key,
        done=visit.query("done"),
    )


def _of_station(
    connection: Connection, visit: Visit, station: overview.StationView
) -> tuple[list[ReservationView], list[ComingReservation]]:
    here = station.charge_point_id
    found = reservations_views.list_reservations(
        connection, visit.now, state="all", charge_point_id=here, limit=_OF_STATION
    )
    return found, reservations_views.list_coming(connection, charge_point_id=here, limit=_OF_STATION)


async def cancel(visit: Visit) -> Response:
    """Ask a station to end a reservation."""
    command_id = visit.path_number("command_id")
    one = await visit.read(lambda connection: reservations_views.find_reservation(connection, command_id, visit.now))
    if one is None:
        raise HTTPException(404, "There is no such reservation.")
    back = f"/stations/{one.charge_point_id}/reservations" if visit.fields.get("back") else "/reservations"
    if one.state not in {"active", "unconfirmed"}:
        return visit.go(back, done="over")
    asked = cancel_reservation(one.charge_point_id, one.reservation_id, visit.staff.actor)
    await visit.portal.engine.submit(asked)
    return visit.go(back, done="cancel")


async def _station(visit: Visit) -> overview.StationView:
    charge_point_id = visit.path_number("charge_point_id")
    station = await visit.read(lambda connection: find_by_id(connection, charge_point_id))
    if station is None:
        raise HTTPException(404, "There is no such station.")
    return station


def _zone_of(visit: Visit, station: overview.StationView) -> str:
    return station.time_zone or visit.portal.settings.time_zone
