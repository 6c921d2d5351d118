"""What people did besides moving money: who, when, to what and why. Reads only."""

from sqlalchemy import Connection
from starlette.responses import Response

from csms.billing.audits import AuditView, count_audits, list_audits
from csms.web.visit import PageOf, Visit


async def show(visit: Visit) -> Response:
    """List acts, newest first: all, or those on one card, account, transaction or item."""
    subject = visit.query("on")
    subjects = [subject] if subject else None

    def load(connection: Connection) -> tuple[PageOf, list[AuditView]]:
        page = visit.page_of(count_audits(connection, subjects))
        return page, list_audits(connection, subjects, limit=page.size, offset=page.offset)

    page, acts = await visit.read(load)
    return visit.page("accounting/audit.html", pages=page, acts=acts, subject=subject)
