"""The editor of a charging profile: a new one, or a stored one; another row, the picture, saving.

One form, told apart by the button that was pressed, so that it works without a script and keeps what was typed.
"""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging.sites import list_sites
from csms.operations.profile_library import (
    MOST_PERIODS,
    LibraryProfile,
    Refused,
    find_profile,
    problems,
    store_profile,
)
from csms.operations.profile_schedules import Profile
from csms.operations.profile_words import shape
from csms.web.forms import Form
from csms.web.operations.profile_form import fill, mark, read_profile, rows_of, zone_of
from csms.web.operations.step_picture import Series, StepPicture, draw_steps
from csms.web.visit import Visit

_FIRST = {
    "purpose": "TxDefaultProfile",
    "kind": "Recurring",
    "recurrency_kind": "Daily",
    "stack_level": "0",
    "unit": "A",
    "period_1_start": "0:00",
}


async def show(visit: Visit) -> Response:
    """Show an empty form, or one filled with a stored profile: to change it, or as the beginning of another."""
    fields = _FIRST | {"time_zone": visit.portal.settings.time_zone}
    one = None
    number = visit.query_number("from") or visit.query_number("change")
    if number is not None:
        one = await visit.read(lambda connection: find_profile(connection, number))
        if one is None:
            raise HTTPException(404, "There is no such profile.")
        fields = fill(one)
        if visit.query("from"):
            fields["name"] = ""
            one = None
    return await _page(visit, Form(fields), one)


async def _page(
    visit: Visit, form: Form, one: LibraryProfile | None, *, status: int = 200, picture: StepPicture | None = None
) -> Response:
    zones = await visit.read(lambda connection: sorted({site.time_zone for site in list_sites(connection)}))
    known = [visit.portal.settings.time_zone, *zones, form.typed("time_zone"), "UTC"]
    return visit.page(
        "operations/profile_edit.html",
        status=status,
        form=form,
        one=one,
        rows=rows_of(form),
        zones=[zone for zone in dict.fromkeys(known) if zone],
        picture=picture,
        most_rows=MOST_PERIODS,
    )


async def edit(visit: Visit) -> Response:
    """Add a row, draw the picture, or store the profile, as the button says."""
    form = Form({"time_zone": visit.portal.settings.time_zone} | visit.fields)
    number = form.number("change")
    one = None
    if number is not None:
        one = await visit.read(lambda connection: find_profile(connection, number))
        if one is None:
            raise HTTPException(404, "There is no such profile any more.")
    act = form.typed("act")
    if act == "add row":
        return await _page(visit, Form(visit.fields | {"rows": str(rows_of(form) + 1)}), one)
    name, profile = read_profile(form)
    mark(form, problems(name, profile))
    if act == "preview":
        picture = picture_of(name, profile, zone_of(form)) if form.valid else None
        return await _page(visit, form, one, status=200 if form.valid else 422, picture=picture)
    if form.valid:

        def store(connection: Connection) -> LibraryProfile | Refused:
            zone = form.typed("time_zone").strip()
            return store_profile(
                connection, name=name, time_zone=zone, profile=profile, now=visit.now, library_id=number
            )

        stored = await visit.write(store)
        if isinstance(stored, LibraryProfile):
            return visit.go(f"/charging-profiles/{stored.library_id}", done="stored")
        mark(form, list(stored.problems))
    return await _page(visit, form, one, status=422)


def picture_of(name: str, profile: Profile, zone: ZoneInfo) -> StepPicture:
    """Draw a profile by itself, on the wall clock where it has one."""
    steps, span_s = shape(profile)
    begin = profile.charging_schedule.start_schedule
    return draw_steps(
        [Series(name or "This profile", steps)], span_s, profile.charging_schedule.charging_rate_unit, begin, zone
    )
