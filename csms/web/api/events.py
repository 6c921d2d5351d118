"""What happens, as it happens: a stream of server-sent events that goes on where a listener was interrupted."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from csms.clock import monotonic_s
from csms.operations.event_store import read_event_id
from csms.web.api.endpoint import ApiCall, Endpoint
from csms.web.api.event_views import EVENT_TYPES, Event, shown
from csms.web.api.feed import TooManyListeners
from csms.web.api.keys import key_holds
from csms.web.api.problems import Problem

_HEARTBEAT_S = 15
_RETRY_MS = 3000
_LONGEST_ID = 60
_EVERY = 2**31  # a higher index than any event of a unit of work has

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
    feed = call.portal.feed
    try:
        feed.enter(call.key.key_id)
    except TooManyListeners:
        raise Problem("too-many-requests", "Too many listen already.", wait_s=30) from None
    try:  # before the answer begins: whoever has its head misses nothing from then on
        oldest = await feed.oldest() if begin is not None else 0
        place = begin or (await feed.newest(), _EVERY)
    except BaseException:
        feed.leave(call.key.key_id)
        raise
    return _Stream(call, _events(call, types, place, is_lost=place[0] < oldest))


class _Stream(StreamingResponse):
    """The stream of one listener, who is counted out when it ends, however it ends."""

    def __init__(self, call: ApiCall, events: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, until the listener or the server ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._call.portal.feed.leave(self._call.key.key_id)


def read_types(names: list[str], field: str = "types") -> tuple[str, ...]:
    """Return types of events; `Problem` names one that there is not."""
    named = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for name in named:
        if name not in EVENT_TYPES:
            raise Problem("invalid", f"There is no type {name[:40]} of events.", field=field)
    return named


async def _events(
    call: ApiCall, types: tuple[str, ...], place: tuple[int, int], *, is_lost: bool
) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    if is_lost:
        yield b'event: events.lost\ndata: {"type":"events.lost"}\n\n'
    position, looked_s = place[0] - 1, monotonic_s()
    while True:
        batches = await call.portal.feed.after(position, _HEARTBEAT_S)
        for batch in batches:
            behind = place[1] if batch.position == place[0] else -1
            for event in shown(batch, call.portal.currency, types, behind):
                yield _written(event)
            position = batch.position
        if not batches or monotonic_s() - looked_s >= _HEARTBEAT_S:  # also where something happens all the time
            if not await call.read(lambda connection: key_holds(connection, call.key.key_id, call.portal.clock())):
                return
            looked_s = monotonic_s()
            yield b": still here\n\n"


def _written(event: Event) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.type.encode(), msgspec.json.encode(event))


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
