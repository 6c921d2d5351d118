"""What happens, as it happens: a stream of server-sent events that goes on where a listener was interrupted."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from csms.operations.event_store import read_event_id
from csms.web.api.endpoint import ApiCall, Endpoint
from csms.web.api.event_views import EVENT_TYPES, shown
from csms.web.api.feed import Feed, TooManyListeners
from csms.web.api.keys import key_holds
from csms.web.api.problems import Problem

_HEARTBEAT_S = 15
_RETRY_MS = 3000
_LONGEST_ID = 60

_WHICH = f"Only these types, separated by commas: {', '.join(EVENT_TYPES)}."


class Listening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to listen to, and where to go on."""

    types: Annotated[str, msgspec.Meta(max_length=400, description=_WHICH)] | None = None
    after: (
        Annotated[
            str, msgspec.Meta(max_length=_LONGEST_ID, description="The id behind which to go on, as Last-Event-ID.")
        ]
        | None
    ) = None


async def listen(call: ApiCall, query: Listening) -> Response:
    """Send what happens from now on, or from behind Last-Event-ID."""
    types = read_types(query.types.split(",")) if query.types is not None else ()
    last = call.request.headers.get("last-event-id") or query.after
    begin = None
    if last is not None:
        begin = read_event_id(last)
        if begin is None:
            raise Problem("invalid", "This is no id of an event.", field="after")
    feed: Feed = call.portal.feed
    try:
        feed.enter(call.key.key_id)
    except TooManyListeners:
        raise Problem("too-many-requests", "Too many listen already.", wait_s=30) from None
    stream = _stream(call, feed, types, begin)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, headers=headers, media_type="text/event-stream")


def read_types(names: list[str], field: str = "types") -> tuple[str, ...]:
    """Return types of events; `Problem` names one that there is not."""
    named = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in named:
        if name not in EVENT_TYPES:
            raise Problem("invalid", f"There is no type {name[:40]} of events.", field=field)
    return named


async def _stream(
    call: ApiCall, feed: Feed, types: tuple[str, ...], begin: tuple[int, int] | None
) -> AsyncIterator[bytes]:
    try:
        yield f"retry: {_RETRY_MS}\n\n".encode()
        if begin is None:
            position, index = await feed.newest(), -1
        else:
            position, index = begin[0] - 1, begin[1]
            if position + 1 < await feed.oldest():
                yield b'event: events.lost\ndata: {"type":"events.lost"}\n\n'
        while True:
            batches = await feed.after(position, _HEARTBEAT_S)
            for batch in batches:
                behind = index if begin is not None and batch.position == begin[0] else -1
                for event in shown(batch, call.portal.currency, types, behind):
                    yield b"id: %b\nevent: %b\ndata: %b\n\n" % (
                        event.id.encode(),
                        event.type.encode(),
                        msgspec.json.encode(event),
                    )
                position = batch.position
            if not batches:
                if not await call.read(lambda connection: key_holds(connection, call.key.key_id, call.portal.clock())):
                    return
                yield b": still here\n\n"
    finally:
        feed.leave(call.key.key_id)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/events",
        listen,
        "events:read",
        "Follow what happens",
        str,
        "events",
        query=Listening,
        description=(
            "Server-sent events: `id`, `event` (the type) and `data` (the event as JSON, as webhooks send it). A "
            "listener that lost its connection sends the last id as Last-Event-ID, as browsers do by themselves, and "
            "gets what it missed. `events.lost` says that some of it is not kept any more. A comment comes every 15 "
            "seconds."
        ),
        media_type="text/event-stream",
    ),
)
