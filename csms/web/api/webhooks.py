"""Webhooks over the API: made, changed, paused, tried, deleted, and the history of their deliveries."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Connection

from csms.operations.event_store import newest_position
from csms.operations.webhook_alarms import NoteWebhook
from csms.sealing import Sealer
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.event_views import Event, EventType
from csms.web.api.problems import Problem
from csms.web.visit import Portal
from csms.webhooks import signing, store
from csms.webhooks.addresses import AddressRefused, read_url
from csms.webhooks.store import DeliveryState, NewDelivery, WebhookState

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\s\u0000-\u001f][^\u0000-\u001f]*$")]
Url = Annotated[
    str, msgspec.Meta(min_length=8, max_length=500, pattern="^https?://", examples=["https://example.com/hooks/csms"])
]
Types = Annotated[tuple[EventType, ...], msgspec.Meta(max_length=20, description="Of events; none: all.")]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to send what happens from now on."""

    name: Name
    url: Url
    types: Types = ()


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changes; what is not named stays. An active one is sent what happened while it was paused."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    url: Url | msgspec.UnsetType = msgspec.UNSET
    types: Types | msgspec.UnsetType = msgspec.UNSET
    state: Literal["active", "paused"] | msgspec.UnsetType = msgspec.UNSET


class Webhook(msgspec.Struct, frozen=True):
    """A webhook. One that took nothing for days is disabled."""

    id: int
    name: str
    url: str
    types: tuple[str, ...]
    state: WebhookState
    created_by: str
    created_at: datetime
    failing_since: datetime | None
    delivered_at: datetime | None


class MadeWebhook(msgspec.Struct, frozen=True):
    """A webhook and the secret of its signatures: shown here, once."""

    webhook: Webhook
    secret: str


class Webhooks(msgspec.Struct, frozen=True):
    """Every webhook, by number."""

    items: tuple[Webhook, ...]


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to the webhook; `status` is the receiver's, `error` why it was not taken."""

    id: int
    event_id: str
    event_type: str
    event: Any
    state: DeliveryState
    attempts: int
    created_at: datetime
    due_at: datetime
    answered_at: datetime | None
    status: int | None
    error: str


async def show_list(call: ApiCall) -> Webhooks:
    """List the webhooks."""
    return Webhooks(tuple(_shown(one) for one in await call.read(store.list_webhooks)))


async def show(call: ApiCall) -> Webhook:
    """Show a webhook."""
    return _shown(await _find(call))


async def _find(call: ApiCall) -> store.Webhook:
    number = call.path_number("webhook_id")
    return found(await call.read(lambda connection: store.find_webhook(connection, number)), "webhook")


def _shown(one: store.Webhook) -> Webhook:
    return Webhook(
        one.webhook_id,
        one.name,
        one.url,
        one.named_types,
        one.state,
        one.created_by,
        one.created_at,
        one.failing_since,
        one.delivered_at,
    )


async def create(call: ApiCall, wanted: NewWebhook) -> Answer:
    """Make a webhook and show its secret, once."""
    _check_url(call, wanted.url)
    secret = signing.new_secret()
    number = await make(call.portal, wanted.name, wanted.url, wanted.types, secret, call.actor, call.now)
    one = found(await call.read(lambda connection: store.find_webhook(connection, number)), "webhook")
    return Answer(MadeWebhook(_shown(one), secret), headers={"Location": f"/api/v1/webhooks/{number}"})


async def make(
    portal: Portal, name: str, url: str, types: tuple[str, ...], secret: str, actor: str, now: datetime
) -> int:
    """Store a webhook for what happens from now on and return its number; its address was checked before."""
    sealed = Sealer(portal.settings).seal(secret)

    def write(connection: Connection) -> int:
        position = newest_position(connection)
        return store.add_webhook(
            connection,
            name=name.strip(),
            url=url,
            types=types,
            sealed_secret=sealed,
            created_by=actor,
            position=position,
            now=now,
        )

    return await portal.write(write)


def _check_url(call: ApiCall, url: str) -> None:
    try:
        read_url(url, call.portal.settings.allowed_webhook_hosts)
    except AddressRefused as error:
        raise Problem("invalid", str(error), field="url") from None


async def change(call: ApiCall, wanted: WebhookChange) -> Webhook:
    """Change a webhook. Sending it elsewhere, or more of what happens, is for keys that may see what happens."""
    if wanted.url is not msgspec.UNSET or wanted.types is not msgspec.UNSET:
        call.need("events:read")
    one = await _find(call)
    if wanted.url is not msgspec.UNSET:
        _check_url(call, wanted.url)
    values: dict[str, object] = {
        name: value for name in WebhookChange.__struct_fields__ if (value := getattr(wanted, name)) is not msgspec.UNSET
    }
    if wanted.types is not msgspec.UNSET:
        values["types"] = " ".join(wanted.types)
    await call.write(lambda connection: store.change_webhook(connection, one.webhook_id, values))
    if one.state == "disabled" and wanted.state is not msgspec.UNSET:
        await call.submit(NoteWebhook(one.webhook_id))
    return await show(call)


async def remove(call: ApiCall) -> None:
    """Delete a webhook with its history."""
    one = await _find(call)
    await call.write(lambda connection: store.delete_webhook(connection, one.webhook_id))
    if one.state == "disabled":
        await call.submit(NoteWebhook(one.webhook_id))


async def try_it(call: ApiCall) -> Answer:
    """Send a test event to a webhook; the delivery is shown, and is answered soon."""
    one = await _find(call)
    if one.state != "active":
        raise Problem("refused", f"The webhook is {one.state}.", reason=one.state)
    await queue_test(call.portal, one, call.actor, call.now)
    [newest] = await call.read(lambda connection: store.list_deliveries(connection, one.webhook_id, limit=1))
    return Answer(_delivery(newest))


async def queue_test(portal: Portal, one: store.Webhook, actor: str, now: datetime) -> None:
    """Queue an event that says nothing but who asked for it."""
    event = Event(f"test-{portal.new_token()[:20]}", store.TEST, now, {"requested_by": actor})
    wanted = NewDelivery(event.id, event.type, msgspec.json.encode(event).decode())
    await portal.write(lambda connection: store.add_deliveries(connection, one.webhook_id, [wanted], None, now))


async def show_deliveries(call: ApiCall, query: Paging) -> Page[Delivery]:
    """List the deliveries of a webhook, the newest first."""
    one = await _find(call)
    before = read_cursor(query.cursor, tuple[int])
    behind = None if before is None else before[0]
    rows = await call.read(
        lambda connection: store.list_deliveries(connection, one.webhook_id, limit=query.limit + 1, before=behind)
    )
    return page_of([_delivery(row) for row in rows], query.limit, lambda row: (row.id,))


def _delivery(one: store.Delivery) -> Delivery:
    return Delivery(
        one.delivery_id,
        one.event_id,
        one.event_type,
        msgspec.json.decode(one.body),
        one.state,
        one.attempts,
        one.created_at,
        one.due_at,
        one.answered_at,
        one.status,
        one.error,
    )


_TAG = "webhooks"
ENDPOINTS = (
    Endpoint("GET", "/webhooks", show_list, "webhooks:read", "List webhooks", Webhooks, _TAG),
    Endpoint(
        "POST",
        "/webhooks",
        create,
        "webhooks:write",
        "Make a webhook",
        MadeWebhook,
        _TAG,
        status=201,
        request=NewWebhook,
        description=(
            "Every event is posted as JSON, as the stream of events sends it, signed as Standard Webhooks says: "
            "`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `webhook-id.webhook-timestamp.body`, with "
            "the secret behind `whsec_` decoded. An answer of 2xx takes it; else it is sent again, after 5 s at first "
            "and every hour at last. An event may come twice and later than a newer one: its id tells. "
            "The secret is in this answer and nowhere else."
        ),
        example={"name": "Accounting", "url": "https://example.com/hooks/csms", "types": ["transaction.ended"]},
        also="events:read",
    ),
    Endpoint("GET", "/webhooks/{webhook_id:int}", show, "webhooks:read", "Show a webhook", Webhook, _TAG),
    Endpoint(
        "PATCH",
        "/webhooks/{webhook_id:int}",
        change,
        "webhooks:write",
        "Change, pause or resume a webhook",
        Webhook,
        _TAG,
        request=WebhookChange,
        description="To change `url` or `types` the key needs the scope `events:read`, too.",
        example={"state": "paused"},
        repeatable=True,
    ),
    Endpoint(
        "DELETE",
        "/webhooks/{webhook_id:int}",
        remove,
        "webhooks:write",
        "Delete a webhook with its history",
        None,
        _TAG,
        status=204,
    ),
    Endpoint(
        "POST",
        "/webhooks/{webhook_id:int}/test",
        try_it,
        "webhooks:write",
        "Send a test event",
        Delivery,
        _TAG,
        status=202,
        problems=("refused",),
    ),
    Endpoint(
        "GET",
        "/webhooks/{webhook_id:int}/deliveries",
        show_deliveries,
        "webhooks:read",
        "List the deliveries of a webhook",
        Page[Delivery],
        _TAG,
        query=Paging,
        description="The newest first; those that are over are kept for a week.",
        also="events:read",
    ),
)
