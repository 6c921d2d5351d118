"""The message log: what was said and answered, narrowed as people look for it, live, and as a file of JSON lines.

Reads the log's own storage only; identities come from the books. Knows no message's meaning.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing.wall_clock import read_moment
from csms.charging import lookups
from csms.commands.actions import ACTIONS
from csms.errors import StorageUnavailable
from csms.handlers import HANDLERS
from csms.message_log.entries import KINDS
from csms.message_log.export import write_lines
from csms.message_log.reading import Found, MessageReader, Search
from csms.web.exports import Export
from csms.web.visit import Visit

Result = TypeVar("Result")

_ACTIONS = tuple(sorted({*HANDLERS, *ACTIONS}))
_FILTERS = ("station", "kind", "action", "id", "text", "since", "until")
_AROUND = timedelta(minutes=1)  # before and after a transaction
_NOBODY = -1  # no charge point has this number
_LARGEST_ROW = 2**63 - 1


class Asked(msgspec.Struct, frozen=True):
    """What a person asks for: as typed, as it is looked for, and what was wrong with it."""

    typed: dict[str, str]
    search: Search
    wrong: str


class Shown(msgspec.Struct, frozen=True):
    """What was found; None where the log cannot be read. `identities` names the charge points."""

    found: Found | None
    identities: dict[int, str]

    @property
    def newest(self) -> int:
        """The number of the newest row that is shown."""
        return self.found.messages[0].number if self.found is not None and self.found.messages else 0


async def show(visit: Visit) -> Response:
    """Show a page of the log, newest first; on the first one new messages appear by themselves."""
    asked = await _asked(visit)
    before = _row_number(visit, "before")
    shown = await _load(visit, asked, before)
    return visit.page(
        "operations/messages.html",
        asked=asked,
        shown=shown,
        actions=_ACTIONS,
        kinds=KINDS,
        before=before,
        live=visit.query("live") == "yes" and before is None and not asked.wrong,
        days=visit.portal.settings.message_log_days,
    )


async def live(visit: Visit) -> Response:
    """Return the newest page, or nothing where nothing came since."""
    asked = await _asked(visit)
    newest = _row_number(visit, "newest") or 0
    try:
        news = await _in_thread(visit, lambda reader: reader.newer(asked.search, than=newest, limit=1))
    except StorageUnavailable:
        return Response(status_code=204)
    if not news:
        return Response(status_code=204)
    return visit.page("operations/_messages_rows.html", asked=asked, shown=await _load(visit, asked, None))


async def export(visit: Visit) -> Response:
    """Send everything that fits as JSON lines, oldest first."""
    if visit.portal.exports.is_full:
        raise HTTPException(429, "Several exports are under way. Please try again when one of them has ended.")
    asked = await _asked(visit)
    if asked.wrong:
        raise HTTPException(422, asked.wrong)
    names = await visit.read(lookups.identities)
    lines = write_lines(visit.portal.messages.stream(asked.search), names)
    headers = {"Content-Disposition": 'attachment; filename="messages.jsonl"'}
    return Export(visit.portal.exports, lines, "application/jsonl", headers)


async def _asked(visit: Visit) -> Asked:
    typed = {name: visit.query(name) for name in _FILTERS} | {"transaction": ""}
    zone = ZoneInfo(visit.portal.settings.time_zone)
    station = None
    if typed["station"]:
        found = await visit.read(lambda connection: lookups.number_of(connection, typed["station"]))
        station = _NOBODY if found is None else found
    since = until = None
    wrong = "" if station != _NOBODY else "There is no station with this identity."
    transaction_id = visit.query_number("transaction")
    try:
        since = read_moment(typed["since"], zone) if typed["since"] else None
        until = read_moment(typed["until"], zone) if typed["until"] else None
    except ValueError as error:
        wrong = f"{error}."
    if transaction_id is not None:
        station, since, until = await _span(visit, transaction_id)
        typed["transaction"] = str(transaction_id)
    search = Search(
        charge_point_id=station,
        kind=next((kind for kind in KINDS if kind == typed["kind"]), None),
        action=typed["action"],
        message_id=typed["id"],
        text=typed["text"],
        since=since,
        until=until,
    )
    return Asked(typed, search, wrong)


async def _span(visit: Visit, transaction_id: int) -> tuple[int, datetime, datetime | None]:
    """Return the station of a transaction and the time in which its messages came, by our clock."""
    one = await visit.read(lambda connection: lookups.span_of(connection, transaction_id))
    if one is None:
        raise HTTPException(404, "There is no such transaction.")
    return one.charge_point_id, one.since - _AROUND, None if one.until is None else one.until + _AROUND


async def _load(visit: Visit, asked: Asked, before: int | None) -> Shown:
    limit = visit.portal.settings.page_size
    try:
        found = await _in_thread(visit, lambda reader: reader.page(asked.search, limit=limit, before=before))
    except StorageUnavailable:
        return Shown(None, {})
    numbers = {one.charge_point_id for one in found.messages if one.charge_point_id is not None}

    def names(connection: Connection) -> dict[int, str]:
        return lookups.identities(connection, numbers)

    return Shown(found, await visit.read(names) if numbers else {})


async def _in_thread(visit: Visit, query: Callable[[MessageReader], Result]) -> Result:
    return await run_in_threadpool(query, visit.portal.messages)


def _row_number(visit: Visit, name: str) -> int | None:
    text = visit.query(name)
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _LARGEST_ROW else None
