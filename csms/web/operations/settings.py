"""The prepaid settings of stations: those of one, those that are wrong anywhere, and a check on demand."""

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging.settings_plan import CheckSettings
from csms.charging.settings_view import (
    WHAT_TO_DO,
    SettingsView,
    WrongSetting,
    count_wrong,
    find_settings,
    list_drifted,
    list_wrong,
)
from csms.web.visit import PageOf, Visit

_DRIFTED = 20


async def show_list(visit: Visit) -> Response:
    """List the settings that are not what is wanted, and those that changed by themselves."""

    def load(connection: Connection) -> tuple[PageOf, list[WrongSetting], list[WrongSetting]]:
        page = visit.page_of(count_wrong(connection))
        wrong = list_wrong(connection, limit=page.size, offset=page.offset)
        return page, wrong, list_drifted(connection, limit=_DRIFTED)

    page, wrong, drifted = await visit.read(load)
    return visit.page(
        "operations/settings.html",
        pages=page,
        wrong=wrong,
        drifted=drifted,
        what_to_do=WHAT_TO_DO,
    )


async def show_one(visit: Visit) -> Response:
    """Show the settings of one station."""
    shown = await _found(visit)
    return visit.page(
        "operations/station_settings.html",
        shown=shown,
        what_to_do=WHAT_TO_DO,
        done=visit.query("done"),
    )


async def check(visit: Visit) -> Response:
    """Read the settings of a station now, and correct them; refused ones are tried again."""
    shown = await _found(visit)
    begun = await visit.portal.engine.submit(CheckSettings(shown.charge_point_id, visit.staff.actor))
    return visit.go(f"/stations/{shown.charge_point_id}/settings", done="check" if begun else "running")


async def _found(visit: Visit) -> SettingsView:
    charge_point_id = visit.path_number("charge_point_id")
    shown = await visit.read(lambda connection: find_settings(connection, charge_point_id))
    if shown is None:
        raise HTTPException(404, "There is no such station.")
    return shown
