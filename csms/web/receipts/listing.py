"""The receipts of desks, in the order of their numbers, and the way from a number on paper to its receipt. Reads only.

A receipt of a charge is found by its number, too; it stands in no desk's row.
"""

from sqlalchemy import Connection
from starlette.responses import Response

from csms.billing.desks import DeskView, list_desks
from csms.billing.receipts import ReceiptRow, count_receipts, find_entry_id, list_receipts
from csms.charging.charge_receipts import find_charge_receipt, transaction_of
from csms.web.visit import PageOf, Visit


async def show(visit: Visit) -> Response:
    """List receipts, those of one's own desk first; or go to the one whose number was typed."""
    typed = visit.query("number")
    if typed:
        path = await visit.read(lambda connection: _find(connection, typed))
        if path is not None:
            return visit.go(path)
    desk_id = visit.query_number("desk")
    if desk_id is None and "desk" not in visit.request.query_params:
        desk_id = visit.staff.desk_id

    def load(connection: Connection) -> tuple[PageOf, list[ReceiptRow], list[DeskView]]:
        page = visit.page_of(count_receipts(connection, desk_id=desk_id))
        found = list_receipts(connection, desk_id=desk_id, limit=page.size, offset=page.offset)
        return page, found, list_desks(connection)

    page, found, desks = await visit.read(load)
    return visit.page("receipts/list.html", pages=page, receipts=found, desks=desks, desk_id=desk_id, typed=typed)


def _find(connection: Connection, typed: str) -> str | None:
    entry_id = find_entry_id(connection, typed)
    if entry_id is not None:
        return f"/receipts/{entry_id}"
    transaction_id = transaction_of(typed)
    if transaction_id is None or find_charge_receipt(connection, transaction_id) is None:
        return None
    return f"/transactions/{transaction_id}/receipt"
