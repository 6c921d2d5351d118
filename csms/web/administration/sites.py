"""Sites and the desks at them. A desk gets its cash account in the ledger when it is added.

Nothing is deleted here: money was taken at a desk, and its account stays. Names may change.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms import clock
from csms.billing import reports
from csms.billing.desks import DeskView, set_reader_format
from csms.billing.desks import add_desk as add_desk_row
from csms.billing.desks import rename_desk as rename_desk_row
from csms.billing.reader_formats import READER_FORMATS, ReaderFormat, id_tag_of
from csms.charging import sites
from csms.web.administration.choices import load_choices
from csms.web.forms import Form
from csms.web.visit import Visit


async def show(visit: Visit, *, refused: str = "") -> Response:
    """List sites and desks; where a new name was refused, say why."""
    empty = Form({"time_zone": visit.portal.settings.time_zone})
    return await _page(visit, empty, Form(), status=422 if refused else 200, refused=refused)


async def _page(visit: Visit, site_form: Form, desk_form: Form, *, status: int = 200, refused: str = "") -> Response:
    choices = await visit.read(load_choices)
    sample = visit.query("sample")
    samples = await visit.read(lambda connection: _samples(connection, sample)) if sample else ()
    return visit.page(
        "administration/sites.html",
        status=status,
        choices=choices,
        site_form=site_form,
        desk_form=desk_form,
        zones=_zones_to_choose(),
        done=visit.query("done"),
        refused=refused,
        formats=READER_FORMATS,
        sample=sample,
        samples=samples,
    )


def _zones_to_choose() -> list[str]:
    return sorted(zone for zone in clock.time_zones() if "/" in zone and not zone.startswith("Etc/"))


class Sample(msgspec.Struct, frozen=True):
    """What a sample from a reader means in one format, and the card that it would be."""

    reader_format: ReaderFormat
    id_tag: str | None
    card: reports.CardView | None


def _samples(connection: Connection, typed: str) -> tuple[Sample, ...]:
    found = []
    for one in READER_FORMATS:
        tag = id_tag_of(typed, one)
        card = None if tag is None else reports.find_card(connection, tag)
        found.append(Sample(one, tag, card if card is not None and card.id_tag == tag else None))
    return tuple(found)


async def add_site(visit: Visit) -> Response:
    """Add a site."""
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    time_zone = form.text("time_zone", longest=50)
    if time_zone and time_zone not in clock.time_zones():
        form.refuse("time_zone", "A name of the tz database, such as Europe/Sofia.")

    if form.valid and not await visit.write(lambda c: sites.add_site(c, name=name, time_zone=time_zone)):
        form.refuse("name", "There is a site with this name already.")
    if not form.valid:
        return await _page(visit, form, Form(), status=422)
    return visit.go("/sites", done="site")


async def add_desk(visit: Visit) -> Response:
    """Add a desk with its cash account."""
    form = Form(visit.fields)
    name = form.text("desk_name", longest=80)
    site_id = form.number("site_id")
    known = {one.site_id for one in (await visit.read(load_choices)).sites}
    if site_id is not None and site_id not in known:
        form.refuse("site_id", "There is no such site.")
    currency, now = visit.portal.currency, visit.now

    def change(connection: Connection) -> DeskView | None:
        return add_desk_row(connection, name=name, site_id=site_id, currency=currency, now=now)

    if form.valid and not await visit.write(change):
        form.refuse("desk_name", "There is a desk with this name already.")
    if not form.valid:
        return await _page(visit, Form({"time_zone": visit.portal.settings.time_zone}), form, status=422)
    return visit.go("/sites", done="desk")


async def rename_site(visit: Visit) -> Response:
    """Give a site another name."""
    site_id = visit.path_number("site_id")
    return await _rename(visit, "site", lambda connection, name: sites.rename_site(connection, site_id, name))


async def set_zone(visit: Visit) -> Response:
    """Say in which time zone a site is."""
    form = Form(visit.fields)
    site_id, zone = visit.path_number("site_id"), form.choice("time_zone", tuple(clock.time_zones()))
    if not form.valid:
        raise HTTPException(422, "The form could not be read. Nothing was changed.")
    if not await visit.write(lambda connection: sites.set_time_zone(connection, site_id, zone)):
        raise HTTPException(404, "There is no such site.")
    return visit.go("/sites", done="zone")


async def rename_desk(visit: Visit) -> Response:
    """Give a desk and its cash account another name."""
    desk_id = visit.path_number("desk_id")
    return await _rename(visit, "desk", lambda connection, name: rename_desk_row(connection, desk_id, name))


async def _rename(visit: Visit, what: str, rename: Callable[[Connection, str], bool]) -> Response:
    form = Form(visit.fields)
    name = form.text("new_name", longest=80)
    if form.valid and not await visit.write(lambda connection: rename(connection, name)):
        form.refuse("new_name", f"There is a {what} with this name already.")
    if not form.valid:
        return await show(visit, refused=form.error("new_name"))
    return visit.go("/sites", done="renamed")


async def set_reader(visit: Visit) -> Response:
    """Say what the card reader of a desk types, from the next card on."""
    form = Form(visit.fields)
    desk_id = visit.path_number("desk_id")
    reader_format = form.choice("reader_format", READER_FORMATS)
    if not form.valid:
        raise HTTPException(422, "The form could not be read. Nothing was changed.")
    if not await visit.write(lambda connection: set_reader_format(connection, desk_id, reader_format)):
        raise HTTPException(404, "There is no such desk.")
    return visit.go("/sites", done="reader")
