"""Sites and the desks at them. A desk gets its cash account in the ledger when it is added.

Nothing is deleted here: money was taken at a desk, and its account stays.
"""

from zoneinfo import available_timezones

from sqlalchemy import Connection, insert, select
from starlette.responses import Response

from csms.billing.chart_of_accounts import desk_code
from csms.billing.models import desk, ledger_account, ledger_account_ids
from csms.charging.models import site
from csms.db import take_ids
from csms.web.administration.choices import load_choices
from csms.web.forms import Form
from csms.web.visit import Visit


async def show(visit: Visit) -> Response:
    """List sites and desks."""
    return await _page(visit, Form({"time_zone": visit.portal.settings.time_zone}), Form())


async def _page(visit: Visit, site_form: Form, desk_form: Form, *, status: int = 200) -> Response:
    choices = await visit.read(load_choices)
    return visit.page(
        "administration/sites.html",
        status=status,
        choices=choices,
        site_form=site_form,
        desk_form=desk_form,
        zones=sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")),
        done=visit.query("done"),
    )


async def add_site(visit: Visit) -> Response:
    """Add a site."""
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    time_zone = form.text("time_zone", longest=50)
    if time_zone and time_zone not in available_timezones():
        form.refuse("time_zone", "A name of the tz database, such as Europe/Sofia.")

    def change(connection: Connection) -> bool:
        if connection.execute(select(site.c.id).where(site.c.name == name)).first() is not None:
            return False
        connection.execute(insert(site), {"name": name, "time_zone": time_zone})
        return True

    if form.valid and not await visit.write(change):
        form.refuse("name", "There is a site with this name already.")
    if not form.valid:
        return await _page(visit, form, Form(), status=422)
    return visit.go("/sites", done="site")


async def add_desk(visit: Visit) -> Response:
    """Add a desk with its cash account."""
    form = Form(visit.fields)
    name = form.text("desk_name", longest=80)
    site_id = form.number("site_id")
    sites = (await visit.read(load_choices)).sites
    if site_id is not None and site_id not in {one.site_id for one in sites}:
        form.refuse("site_id", "There is no such site.")
    if form.valid and not await visit.write(lambda connection: create_desk(connection, visit, name, site_id)):
        form.refuse("desk_name", "There is a desk with this name already.")
    if not form.valid:
        return await _page(visit, Form({"time_zone": visit.portal.settings.time_zone}), form, status=422)
    return visit.go("/sites", done="desk")


def create_desk(connection: Connection, visit: Visit, name: str, site_id: int | None) -> bool:
    """Open the cash account and the desk over it; False where the name is taken."""
    if connection.execute(select(desk.c.id).where(desk.c.name == name)).first() is not None:
        return False
    account_id = take_ids(connection, ledger_account_ids, 1)[0]
    account = {
        "id": account_id,
        "code": desk_code(account_id),
        "kind": "asset",
        "name": f"Cash: {name}",
        "currency": visit.portal.currency.code,
        "created_at": visit.now,
    }
    connection.execute(insert(ledger_account), account)
    row = {"name": name, "site_id": site_id, "cash_account_id": account_id, "created_at": visit.now}
    connection.execute(insert(desk), row)
    return True
