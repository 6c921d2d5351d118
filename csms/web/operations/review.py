"""What a rule could not decide alone and a person has to look at, with the message as evidence. Reads only."""

from sqlalchemy import Connection, func, select
from starlette.responses import Response

from csms.charging import models, overview
from csms.web.visit import PageOf, Visit


async def show(visit: Visit) -> Response:
    """List review items, newest first."""

    def load(connection: Connection) -> tuple[PageOf, list[overview.ReviewView]]:
        total = connection.execute(select(func.count()).select_from(models.review_item)).scalar_one()
        page = visit.page_of(total)
        return page, overview.list_review_items(connection, limit=page.size, offset=page.offset)

    page, items = await visit.read(load)
    return visit.page("operations/review.html", pages=page, items=items)
