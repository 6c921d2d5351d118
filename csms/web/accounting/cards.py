"""All cards, with what is on them; the way from here goes to the card's page. Reads only."""

from sqlalchemy import Connection
from starlette.responses import Response

from csms.billing import reports
from csms.web.visit import PageOf, Visit


async def show(visit: Visit) -> Response:
    """List cards by printed number, narrowed by a search."""
    search = visit.query("search")
    by_customer = visit.may("manage customers")

    def load(connection: Connection) -> tuple[PageOf, list[reports.CardView]]:
        page = visit.page_of(reports.count_cards(connection, search=search, by_customer=by_customer))
        return page, reports.list_cards(
            connection, search=search, by_customer=by_customer, limit=page.size, offset=page.offset
        )

    page, cards = await visit.read(load)
    return visit.page(
        "accounting/cards.html", pages=page, cards=cards, search=search, imported=visit.query_number("imported")
    )
