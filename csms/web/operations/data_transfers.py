"""Messages of vendors: which vendors are registered and how their messages are answered, and what stations sent."""

import re

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging import display_messages
from csms.operations.core_store import (
    KEPT_PER_STATION,
    TransferView,
    VendorView,
    count_transfers,
    list_transfers,
    list_vendors,
    register_vendor,
    remove_vendor,
)
from csms.operations.data_transfers import vendor_key
from csms.web.forms import Form
from csms.web.visit import PageOf, Visit

_LONGEST_VENDOR, _LONGEST_MESSAGE, _MOST_MESSAGES = 255, 50, 50  # OCPP 1.6, 6.13


async def show(visit: Visit) -> Response:
    """List the vendors and what stations sent; a link may bring the name of a vendor to be registered."""
    return await _page(visit, Form({"vendor_id": visit.query("vendor")}))


async def register(visit: Visit) -> Response:
    """Register a vendor, or change how it is registered."""
    form = Form(visit.fields)
    vendor_id = form.text("vendor_id", longest=_LONGEST_VENDOR)
    status = form.choice("status", ("Accepted", "Rejected"))
    message_ids = [one for one in re.split(r"[\s,;]+", form.typed("message_ids")) if one]
    if len(message_ids) > _MOST_MESSAGES or any(len(one) > _LONGEST_MESSAGE for one in message_ids):
        form.refuse("message_ids", f"At most {_MOST_MESSAGES} messages of at most {_LONGEST_MESSAGE} characters.")
    if vendor_key(vendor_id) == display_messages.VENDOR:
        form.refuse("vendor_id", "The messages of displays are built in.")
    if not form.valid:
        return await _page(visit, form, status=422)
    keeps_data = form.typed("keeps_data") == "yes"
    await visit.write(
        lambda connection: register_vendor(connection, vendor_id, message_ids, status, visit.now, keeps_data=keeps_data)
    )
    return visit.go("/data-transfers", done="registered")


async def remove(visit: Visit) -> Response:
    """Forget a vendor."""
    vendor_row_id = visit.path_number("vendor_row_id")
    if not await visit.write(lambda connection: remove_vendor(connection, vendor_row_id)):
        raise HTTPException(404, "There is no such vendor.")
    return visit.go("/data-transfers", done="removed")


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    station = visit.query_number("station")

    def load(connection: Connection) -> tuple[PageOf, list[VendorView], list[TransferView]]:
        pages = visit.page_of(count_transfers(connection, charge_point_id=station))
        rows = list_transfers(connection, charge_point_id=station, limit=pages.size, offset=pages.offset)
        return pages, list_vendors(connection), rows

    pages, vendors, rows = await visit.read(load)
    return visit.page(
        "operations/data_transfers.html",
        status=status,
        form=form,
        pages=pages,
        vendors=vendors,
        known={vendor_key(one.vendor_id) for one in vendors},
        transfers=rows,
        station=station,
        kept=KEPT_PER_STATION,
        done=visit.query("done"),
    )
