"""Tariffs: the list, a new one or a new version of one, and which is the default.

A version is never edited: a changed price is a new version, and a transaction keeps the one it began with.
"""

from sqlalchemy import Connection, false, select, true, update
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing.models import installation, tariff
from csms.billing.price_lists import NewTariff, add_tariff, list_tariffs
from csms.billing.tariffs import Charge, Tariff, Usage, price
from csms.web.forms import Form
from csms.web.visit import Visit

_EXAMPLE = Usage(energy_wh=20_000, duration_s=3600)
_HUNDRED = 100
_START_FEE_MOST = 1_000


async def show(visit: Visit) -> Response:
    """List the tariffs, with what an example would cost."""
    return await _page(visit, Form({"tax_percent": "20"}))


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    tariffs = await visit.read(list_tariffs)
    examples: dict[int, Charge] = {}
    for one in tariffs:
        priced = Tariff(
            one.tariff_id, one.name, one.rate_per_kwh, one.rate_per_minute, one.start_fee_minor, one.tax_percent
        )
        examples[one.tariff_id] = price(priced, _EXAMPLE, visit.portal.currency)
    newest = {one.name: one.version for one in reversed(tariffs)}
    return visit.page(
        "administration/tariffs.html",
        status=status,
        tariffs=tariffs,
        newest=newest,
        examples=examples,
        example=_EXAMPLE,
        form=form,
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Add a tariff; under a name that exists it is the next version of it."""
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    per_kwh, per_minute = form.rate("rate_per_kwh"), form.rate("rate_per_minute")
    scale = visit.portal.currency.scale
    most_minor = _START_FEE_MOST * scale
    fee_minor = form.amount_minor("start_fee", visit.portal.currency, most_minor=most_minor, least_minor=0)
    tax_percent = form.rate("tax_percent")
    if tax_percent > _HUNDRED:
        form.refuse("tax_percent", "At most 100.")
    if form.valid and not per_kwh and not per_minute:
        form.refuse("rate_per_kwh", "A tariff needs a price per kWh or per minute.")
    if not form.valid:
        return await _page(visit, form, status=422)
    make_default = form.typed("is_default") == "yes"
    new = NewTariff(name, per_kwh, per_minute, fee_minor, tax_percent, make_default)
    await visit.write(lambda connection: add_tariff(connection, new, visit.now))
    return visit.go("/tariffs", done="added")


async def choose_default(visit: Visit) -> Response:
    """Let a tariff apply at every station that has none of its own, from the next transaction on."""
    tariff_id = visit.path_number("tariff_id")
    await visit.write(lambda connection: _make_default(connection, tariff_id))
    return visit.go("/tariffs", done="default")


def _make_default(connection: Connection, tariff_id: int) -> None:
    connection.execute(select(installation.c.id).with_for_update())  # one at a time, on PostgreSQL too
    connection.execute(update(tariff).where(tariff.c.is_default == true()).values(is_default=false()))
    changed = connection.execute(
        update(tariff).where(tariff.c.id == tariff_id).values(is_default=true()).returning(tariff.c.id)
    ).first()
    if changed is None:
        raise HTTPException(404, "There is no such tariff.")  # and the unit of work leaves the default as it was
