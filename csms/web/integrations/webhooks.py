"""Webhooks in the portal: made, tried, paused, deleted, and what became of each delivery."""

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.operations.webhook_alarms import NoteWebhook
from csms.web.api.event_views import EVENT_TYPES
from csms.web.api.webhooks import make, queue_test
from csms.web.forms import Form
from csms.web.visit import Visit
from csms.webhooks import signing, store
from csms.webhooks.addresses import LONGEST_URL, AddressRefused, read_url

_LONGEST_NAME = 60


async def show(visit: Visit) -> Response:
    """List the webhooks and offer to make one."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    listed = await visit.read(store.list_webhooks)
    return visit.page(
        "integrations/webhooks.html",
        status=status,
        listed=listed,
        form=form,
        types=EVENT_TYPES,
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Make a webhook and show its secret, once."""
    form = Form(visit.fields)
    name = form.text("name", longest=_LONGEST_NAME)
    url = form.text("url", longest=LONGEST_URL)
    types = tuple(one for one in EVENT_TYPES if form.typed(one) == "yes")
    if url:
        try:
            read_url(url, visit.portal.settings.allowed_webhook_hosts)
        except AddressRefused as error:
            form.refuse("url", str(error))
    if not types:
        form.refuse("types", "Choose at least one event.")
    if not form.valid:
        return await _page(visit, form, status=422)
    secret = signing.new_secret()
    wanted = () if len(types) == len(EVENT_TYPES) else types
    number = await make(visit.portal, name, url, wanted, secret, visit.staff.actor, visit.now)
    return visit.page("integrations/webhook_made.html", name=name, url=url, secret=secret, number=number)


async def show_one(visit: Visit) -> Response:
    """Show a webhook and its deliveries."""
    one = await _find(visit)

    def load(connection: Connection) -> int:
        return store.count_deliveries(connection, one.webhook_id)

    pages = visit.page_of(await visit.read(load))
    deliveries = await visit.read(
        lambda connection: store.list_deliveries(connection, one.webhook_id, limit=pages.size, offset=pages.offset)
    )
    return visit.page(
        "integrations/webhook.html", one=one, pages=pages, deliveries=deliveries, done=visit.query("done")
    )


async def _find(visit: Visit) -> store.Webhook:
    number = visit.path_number("webhook_id")
    one = await visit.read(lambda connection: store.find_webhook(connection, number))
    if one is None:
        raise HTTPException(404, "There is no such webhook.")
    return one


async def try_it(visit: Visit) -> Response:
    """Send a test event."""
    one = await _find(visit)
    if one.state != "active":
        return visit.go(f"/webhooks/{one.webhook_id}", done="not active")
    await queue_test(visit.portal, one, visit.staff.actor, visit.now)
    return visit.go(f"/webhooks/{one.webhook_id}", done="test")


async def switch(visit: Visit) -> Response:
    """Pause a webhook, or let it go on."""
    one = await _find(visit)
    state: store.WebhookState = Form(visit.fields).choice("state", ("active", "paused"))
    await visit.write(lambda connection: store.change_webhook(connection, one.webhook_id, {"state": state}))
    if one.state == "disabled":
        await visit.portal.engine.submit(NoteWebhook(one.webhook_id))
    return visit.go(f"/webhooks/{one.webhook_id}", done=state)


async def send_again(visit: Visit) -> Response:
    """Try a delivery again at once."""
    one = await _find(visit)
    delivery_id = visit.path_number("delivery_id")

    def change(connection: Connection) -> bool:
        delivery = store.find_delivery(connection, delivery_id)
        if delivery is None or delivery.webhook_id != one.webhook_id:
            return False
        store.send_again(connection, delivery_id, visit.now)
        return True

    if not await visit.write(change):
        raise HTTPException(404, "There is no such delivery.")
    return visit.go(f"/webhooks/{one.webhook_id}", done="again")


async def delete(visit: Visit) -> Response:
    """Delete a webhook with its history."""
    one = await _find(visit)
    await visit.write(lambda connection: store.delete_webhook(connection, one.webhook_id))
    if one.state == "disabled":
        await visit.portal.engine.submit(NoteWebhook(one.webhook_id))
    return visit.go("/webhooks", done="deleted")
