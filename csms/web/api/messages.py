"""The message log over the API: searched from the newest back, and exported as JSON lines. Without secrets."""

from typing import Annotated

import msgspec
from starlette.concurrency import run_in_threadpool

from csms.charging import lookups
from csms.message_log.entries import Kind
from csms.message_log.export import MessageLine, line_of, write_lines
from csms.message_log.reading import Search
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, read_cursor, write_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id, Moment, utc
from csms.web.exports import WAIT_S, Export

_Text = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\u0000]*$")]


class MessageSearch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which messages. `text` is found anywhere in a message, without regard to case; `until` is exclusive."""

    charge_point_id: Id | None = None
    kind: Kind | None = None
    action: _Text = ""
    message_id: _Text = ""
    text: _Text = ""
    since: Moment | None = None
    until: Moment | None = None


class MessageFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same, page by page."""

    charge_point_id: Id | None = None
    kind: Kind | None = None
    action: _Text = ""
    message_id: _Text = ""
    text: _Text = ""
    since: Moment | None = None
    until: Moment | None = None


async def show_list(call: ApiCall, query: MessageFilter) -> Page[MessageLine]:
    """List messages, the newest first."""
    before = read_cursor(query.cursor, tuple[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]])
    reader, search = call.portal.messages, _search(query)
    found = await run_in_threadpool(
        reader.page, search, limit=query.limit, before=None if before is None else before[0]
    )
    numbers = {one.charge_point_id for one in found.messages if one.charge_point_id is not None}
    names = await call.read(lambda connection: lookups.identities(connection, numbers)) if numbers else {}
    lines = tuple(line_of(one, names.get(one.charge_point_id or 0)) for one in found.messages)
    return Page(lines, None if found.next_before is None else write_cursor(found.next_before))


async def export(call: ApiCall, query: MessageSearch) -> Export:
    """Send all that fits, the oldest first, one JSON object a line."""
    exports = call.portal.exports
    if exports.is_full:
        raise Problem("too-many-requests", "Several exports are under way; wait for one of them.", wait_s=WAIT_S)
    names = await call.read(lookups.identities)
    lines = write_lines(call.portal.messages.stream(_search(query)), names)
    return Export(exports, lines, "application/jsonl", {})


def _search(query: MessageFilter | MessageSearch) -> Search:
    return Search(
        charge_point_id=query.charge_point_id,
        kind=query.kind,
        action=query.action,
        message_id=query.message_id,
        text=query.text,
        since=utc(query.since, "since"),
        until=utc(query.until, "until"),
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/messages",
        show_list,
        "messages:read",
        "Search the message log",
        Page[MessageLine],
        "messages",
        query=MessageFilter,
        description=(
            "Every frame of the last days, both ways, newest first; keys and passwords are not in it. One request "
            "looks through a bounded number of messages: a part may hold fewer than `limit`, even none, and "
            "`next_cursor` then goes on with older ones."
        ),
    ),
    Endpoint(
        "GET",
        "/messages/export",
        export,
        "messages:read",
        "Export the message log as JSON lines",
        bytes,
        "messages",
        query=MessageSearch,
        description="Everything that fits, oldest first: one object as in the list on each line.",
        media_type="application/jsonl",
    ),
)
