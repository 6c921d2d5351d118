"""Alarms: what holds, what is over, and a person who says that one was seen."""

from sqlalchemy import Connection
from starlette.responses import Response

from csms.charging import alarms
from csms.web.forms import Form
from csms.web.visit import PageOf, Visit

_STATES: dict[str, bool | None] = {"open": True, "over": False, "all": None}


async def show(visit: Visit) -> Response:
    """List alarms, the latest first; those that hold, unless others are asked for."""
    state = visit.query("state") if visit.query("state") in _STATES else "open"
    holds = _STATES[state]

    def load(connection: Connection) -> tuple[PageOf, list[alarms.AlarmView]]:
        page = visit.page_of(alarms.count_alarms(connection, holds=holds))
        return page, alarms.list_alarms(connection, holds=holds, limit=page.size, offset=page.offset)

    page, rows = await visit.read(load)
    return visit.page("operations/alarms.html", pages=page, rows=rows, state=state, done=visit.query("done"))


async def acknowledge(visit: Visit) -> Response:
    """End an alarm that was seen; pressing twice changes nothing more."""
    form = Form(visit.fields)
    key = form.typed("key")[:100]
    ended = await visit.write(lambda connection: alarms.acknowledge(connection, key, visit.staff.actor, "", visit.now))
    return visit.go("/alarms", done="yes" if ended else "over")
