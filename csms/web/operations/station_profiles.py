"""One station's charging profiles: what it has, what that allows at each connector, and what the station says it does.

Our own composite schedule is computed from what the station accepted; beside it stands its answer to
GetCompositeSchedule, and where both differ.
"""

from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.charging import models
from csms.commands.profile_sending import NotSent, Plan, plan, plan_start, running_at
from csms.commands.profiles import ask_composite, clear_profiles
from csms.operations.charging_profiles_store import (
    CompositeView,
    InstalledProfile,
    RefusalView,
    find_refusal,
    list_composites,
    list_installed,
)
from csms.operations.composite_answers import Answer, Difference, begin_of, differences, read_answer
from csms.operations.profile_library import (
    LibraryProfile,
    Place,
    find_place,
    library_id_of,
    list_profiles,
)
from csms.operations.profile_schedules import PURPOSES, Placed, Unit, composite
from csms.operations.profile_words import limits, when, write_limit
from csms.web.forms import Form
from csms.web.operations.step_picture import Series, StepPicture, draw_steps
from csms.web.visit import Visit

_LOOK_AHEAD_S = 86_400
_LONGEST_S = 7 * 86_400
_tx = models.charging_transaction.c


class Told(msgspec.Struct, frozen=True):
    """A station's answer, read, and where it differs from what we compute."""

    view: CompositeView
    answer: Answer
    differences: tuple[Difference, ...]
    is_older: bool  # profiles were changed since


class ConnectorView(msgspec.Struct, frozen=True):
    """One connector: what is allowed, drawn, and what the station said."""

    connector_id: int
    transaction_id: int | None
    picture: StepPicture
    unit: Unit
    is_limited: bool
    is_ours: bool  # a profile that we know of limits it
    told: Told | None


class Shown(msgspec.Struct, frozen=True):
    """All that the page shows."""

    place: Place
    installed: tuple[InstalledProfile, ...]
    connectors: tuple[ConnectorView, ...]
    library: tuple[LibraryProfile, ...]
    refusal: RefusalView | None
    time_zone: str


async def show(visit: Visit) -> Response:
    """Show a station's profiles."""
    return await _page(visit, Form(), ())


async def _page(visit: Visit, form: Form, reasons: tuple[str, ...], *, status: int = 200) -> Response:
    charge_point_id = visit.path_number("charge_point_id")
    shown = await visit.read(lambda connection: _load(connection, visit, charge_point_id))
    if shown is None:
        raise HTTPException(404, "There is no such station.")
    zone = ZoneInfo(shown.time_zone)
    return visit.page(
        "operations/station_profiles.html",
        status=status,
        shown=shown,
        place=shown.place,
        zone=zone,
        names={one.library_id: one.name for one in shown.library},
        library_id_of=library_id_of,
        when=when,
        limits=limits,
        write_limit=write_limit,
        at=lambda begin, offset_s: f"{(begin + timedelta(seconds=offset_s)).astimezone(zone):%a %H:%M}",
        purposes=PURPOSES,
        form=form,
        reasons=reasons,
        done=visit.query("done"),
    )


def _load(connection: Connection, visit: Visit, charge_point_id: int) -> Shown | None:
    place = find_place(connection, charge_point_id)
    if place is None:
        return None
    at = models.charge_point.join(models.site, models.site.c.id == models.charge_point.c.site_id)
    zone = select(models.site.c.time_zone).select_from(at).where(models.charge_point.c.id == charge_point_id)
    time_zone = connection.execute(zone).scalar() or visit.portal.settings.time_zone
    installed = list_installed(connection, visit.now, charge_point_id=charge_point_id)
    answers = {one.connector_id: one for one in list_composites(connection, charge_point_id)}
    numbers = {0, *place.connectors, *answers, *(one.connector_id for one in installed)}
    return Shown(
        place,
        tuple(installed),
        tuple(
            _connector(connection, visit, place, number, installed, answers.get(number), ZoneInfo(time_zone))
            for number in sorted(numbers, key=lambda one: one or 1000)
        ),
        tuple(list_profiles(connection)),
        find_refusal(connection, charge_point_id),
        time_zone,
    )


def _connector(  # what a connector has, and what is drawn of it
    connection: Connection,
    visit: Visit,
    place: Place,
    connector_id: int,
    installed: list[InstalledProfile],
    view: CompositeView | None,
    zone: ZoneInfo,
) -> ConnectorView:
    placed = [one.placed for one in installed]
    known = [one for one in placed if one is not None]
    running = running_at(connection, place.charge_point_id, connector_id) if connector_id else None
    begun_at = None
    if running is not None:
        begun_at = connection.execute(select(_tx.started_at).where(_tx.id == running)).scalar()
    answer = None
    if view is not None:
        answer = read_answer(view.state, view.answer_json, view.failure, view.received_at, view.duration_s, view.unit)
    unit: Unit = answer.unit if answer is not None and answer.steps else _unit(place, known)
    begin = answer.begin if answer is not None else begin_of(visit.now)
    duration_s = answer.duration_s if answer is not None and answer.steps else _LOOK_AHEAD_S
    ours = composite(
        known,
        connector_id,
        begin,
        min(duration_s, _LONGEST_S),
        unit,
        transaction_id=running,
        begun_at=begun_at,
        connectors=place.connectors,
    )
    series = [Series("We compute", ours)]
    told = None
    if view is not None and answer is not None:
        if answer.steps is not None:
            series.append(Series("The station says", answer.steps))
        most = Decimal(place.max_power_w) if place.max_power_w and connector_id and unit == "W" else None
        found = () if answer.steps is None else differences(answer.steps, ours, duration_s, most)
        told = Told(view, answer, found, any(one.installed_at > view.received_at for one in installed))
    picture = draw_steps(series, min(duration_s, _LONGEST_S), unit, begin, zone)
    is_limited = any(one.limit is not None for each in series for one in each.steps)
    is_ours = any(one.limit is not None for one in ours)
    return ConnectorView(connector_id, running, picture, unit, is_limited, is_ours, told)


def _unit(place: Place, placed: list[Placed]) -> Unit:
    """Return the unit to draw in: that of the profiles, else the station's."""
    units = {one.profile.charging_schedule.charging_rate_unit for one in placed}
    if len(units) == 1:
        return units.pop()
    return "W" if place.units == frozenset({"W"}) else "A"


# --- acts -------------------------------------------------------------------------------------------------------------


async def send(visit: Visit) -> Response:
    """Send a profile of the library to a connector, alone or with a remote start."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    library_id, connector_id = form.number("library_id"), form.number("connector_id")
    starts = form.typed("act") == "start"
    if library_id is None:
        form.refuse("library_id", "Choose a profile.")
    if connector_id is None and not starts:
        form.refuse("connector_id", "A connector, or 0 for the whole station.")
    typed = form.text("id_tag", longest=40) if starts else ""
    if not form.valid:
        return await _page(visit, form, (), status=422)

    def look(connection: Connection) -> Plan | NotSent | object | None:
        one = next((each for each in list_profiles(connection) if each.library_id == library_id), None)
        if one is None:
            form.refuse("library_id", "There is no such profile any more.")
            return None
        if not starts:
            return plan(connection, one, [charge_point_id], connector_id or 0, visit.staff.actor, visit.now)
        card = reports.find_card(connection, typed)
        if card is None:
            form.refuse("id_tag", "There is no such card.")
            return None
        return plan_start(
            connection, one, charge_point_id, connector_id or None, card.id_tag, visit.staff.actor, visit.now
        )

    found = await visit.read(look)
    if isinstance(found, Plan):
        found = found.sendable[0] if found.sendable else next(iter(found.not_sent), None)
    if not form.valid or isinstance(found, NotSent) or found is None:
        return await _page(visit, form, found.reasons if isinstance(found, NotSent) else (), status=422)
    await visit.portal.engine.submit(found.command)  # type: ignore[attr-defined]
    return visit.go(f"/stations/{charge_point_id}/profiles", done="start" if starts else "sent")


async def clear(visit: Visit) -> Response:
    """Ask a station to clear one profile, or those that fit."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    purpose = form.choice("purpose", ("", *PURPOSES))
    wanted = {name: form.number(name) for name in ("profile_id", "connector_id", "stack_level")}
    if not form.valid:
        return await _page(visit, form, (), status=422)
    await _require(visit, charge_point_id)
    asked = clear_profiles(charge_point_id, visit.staff.actor, purpose=purpose or None, **wanted)
    await visit.portal.engine.submit(asked)
    return visit.go(f"/stations/{charge_point_id}/profiles", done="cleared")


async def ask(visit: Visit) -> Response:
    """Ask a station for its composite schedule of a connector."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    connector_id, hours = form.number("connector_id"), form.number("hours")
    unit = form.choice("unit", ("", "A", "W"))
    duration = timedelta(hours=min(hours if hours is not None else 24, _LONGEST_S // 3600))
    if connector_id is None:
        form.refuse("connector_id", "A connector, or 0 for the whole station.")
    if not duration:
        form.refuse("hours", "1 to 168.")
    if not form.valid:
        return await _page(visit, form, (), status=422)
    await _require(visit, charge_point_id)
    seconds = int(duration.total_seconds())
    asked = ask_composite(charge_point_id, connector_id or 0, seconds, unit or None, visit.staff.actor)
    await visit.portal.engine.submit(asked)
    return visit.go(f"/stations/{charge_point_id}/profiles", done="asked")


async def _require(visit: Visit, charge_point_id: int) -> None:
    if await visit.read(lambda connection: find_place(connection, charge_point_id)) is None:
        raise HTTPException(404, "There is no such station.")
