"""The editor of a tariff: a new one, or the next version of one; another row, a preview of an example, saving.

One form, told apart by the button that was pressed, so that it works without a script and keeps what was typed.
"""

from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing.price_lists import (
    MOST_BANDS,
    NewTariff,
    PriceList,
    TariffRefused,
    add_tariff,
    find_version,
    newest_version,
    problems,
)
from csms.billing.tariffs import Charge, price
from csms.billing.wall_clock import write_moment
from csms.charging.sites import list_sites
from csms.web.administration.tariff_form import fill, mark, read_example, read_tariff, rows_of
from csms.web.administration.week_picture import Week, draw_week
from csms.web.forms import Form
from csms.web.visit import Visit

_EXAMPLE = {"example_kwh": "20", "example_minutes": "60", "example_idle": "0"}


class Preview(msgspec.Struct, frozen=True):
    """What an example would cost, and when what applies."""

    charge: Charge | None
    week: Week


async def show(visit: Visit) -> Response:
    """Show an empty form, or one filled with a version, for the next one."""
    settings = visit.portal.settings
    fields = {"tax_percent": f"{settings.tax_percent.normalize():f}", "time_zone": settings.time_zone}
    number = visit.query_number("from")
    if number is not None:
        one = await visit.read(lambda connection: find_version(connection, number))
        if one is None:
            raise HTTPException(404, "There is no such tariff.")
        fields = fill(one, visit.portal.currency, visit.now)
    now = write_moment(visit.now, ZoneInfo(settings.time_zone))
    return await _page(visit, Form(fields | _EXAMPLE | {"example_at": now}))


async def _page(visit: Visit, form: Form, *, status: int = 200, preview: Preview | None = None) -> Response:
    name = form.typed("name").strip()

    def load(connection: Connection) -> tuple[PriceList | None, list[str]]:
        return newest_version(connection, name), sorted({one.time_zone for one in list_sites(connection)})

    newest, zones = await visit.read(load)
    known = [visit.portal.settings.time_zone, *zones, form.typed("time_zone"), "UTC"]
    return visit.page(
        "administration/tariff_edit.html",
        status=status,
        form=form,
        rows=rows_of(form),
        newest=newest,
        zones=[zone for zone in dict.fromkeys(known) if zone],
        preview=preview,
        most_bands=MOST_BANDS,
    )


async def edit(visit: Visit) -> Response:
    """Add a row, price the example, or store the tariff, as the button says."""
    fields = {"time_zone": visit.portal.settings.time_zone} | visit.fields
    form = Form(fields)
    act = form.typed("act")
    if act == "add row":
        return await _page(visit, Form(fields | {"rows": str(rows_of(form) + 1)}))
    new = read_tariff(form, visit.portal.currency)
    mark(form, problems(new, _one_tax_percent(visit)))
    if act == "preview":
        preview = _preview(visit, form, new)
        return await _page(visit, form, status=200 if form.valid else 422, preview=preview)
    if form.valid:
        number = form.number("next_version") or 1  # what the button said; by then it may be another one's

        def store(connection: Connection) -> PriceList | TariffRefused:
            return add_tariff(connection, new, visit.now, _one_tax_percent(visit), next_version=number)

        stored = await visit.write(store)
        if isinstance(stored, PriceList):
            return visit.go(f"/tariffs/{stored.tariff_id}", done="added")
        assert isinstance(stored, TariffRefused), "a tariff is stored or refused"
        mark(form, list(stored.problems))
    return await _page(visit, form, status=422)


def _one_tax_percent(visit: Visit) -> Decimal | None:
    settings = visit.portal.settings
    return settings.tax_percent if settings.tax_point == "top-up" else None


def _preview(visit: Visit, form: Form, new: NewTariff) -> Preview | None:
    usage = read_example(form, ZoneInfo(visit.portal.settings.time_zone))
    if not form.valid:
        return None
    charge = None if usage is None else price(new.tariff, usage, visit.portal.currency)
    return Preview(charge, draw_week(new.tariff))
