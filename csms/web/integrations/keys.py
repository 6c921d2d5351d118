"""Keys of the API: made with scopes, shown once, revoked. Knows no endpoint."""

from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.web.api import keys
from csms.web.api.scopes import MEANINGS, SCOPES
from csms.web.forms import Form
from csms.web.visit import Visit

Lifetime = Literal["", "30", "90", "365"]
_LIFETIMES: tuple[Lifetime, ...] = ("", "30", "90", "365")


async def show(visit: Visit) -> Response:
    """List the keys and offer to make one."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    listed = await visit.read(keys.list_keys)
    return visit.page(
        "integrations/keys.html",
        status=status,
        listed=listed,
        form=form,
        scopes=[(scope, MEANINGS[scope]) for scope in SCOPES],
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Make a key and show it, once."""
    form = Form(visit.fields)
    name = form.text("name", longest=keys.LONGEST_NAME)
    days = form.choice("days", _LIFETIMES)
    chosen = [scope for scope in SCOPES if form.typed(scope) == "yes"]
    if not chosen:
        form.refuse("scopes", "Choose at least one thing that the key may do.")
    if not form.valid:
        return await _page(visit, form, status=422)
    secret = keys.new_secret()
    expires_at: datetime | None = visit.now + timedelta(days=int(days)) if days else None

    def change(connection: Connection) -> None:
        keys.add_key(
            connection,
            name=name,
            secret=secret,
            scopes=chosen,
            created_by=visit.staff.actor,
            now=visit.now,
            expires_at=expires_at,
        )

    await visit.write(change)
    return visit.page("integrations/key_made.html", name=name, secret=secret, expires_at=expires_at)


async def revoke(visit: Visit) -> Response:
    """End a key at once and for good."""
    key_id = visit.path_number("key_id")
    if not await visit.write(lambda connection: keys.revoke_key(connection, key_id, visit.now)):
        raise HTTPException(404, "There is no such key, or it was revoked before.")
    return visit.go("/api-keys", done="revoked")
