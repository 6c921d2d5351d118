"""Staff: who may log in, as what, at which desk; one-time links for new people and forgotten passwords; switching off.

A link is shown once and stored as a hash. Nobody switches off the last administrator who can log in.
"""

import re

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.web import staff
from csms.web.administration.choices import load_choices
from csms.web.forms import Form
from csms.web.permissions import ROLES
from csms.web.visit import Visit

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")


async def show(visit: Visit) -> Response:
    """List everyone who has, or had, a login."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200, problem: str = "") -> Response:
    people = await visit.read(staff.staff_list)
    choices = await visit.read(load_choices)
    return visit.page(
        "administration/people.html",
        status=status,
        people=people,
        desks=choices.desks,
        roles=ROLES,
        form=form,
        problem=problem,
        done=visit.query("done"),
    )


async def add(visit: Visit) -> Response:
    """Add a person and show the one-time link, once."""
    form = Form(visit.fields)
    username = staff.normalize_username(form.text("username", longest=60))
    if username and not _USERNAME.fullmatch(username):
        form.refuse("username", "Small letters, digits and . _ @ -, beginning with a letter or digit.")
    name = form.text("name", longest=100)
    role = form.choice("role", ROLES)
    desk_id = form.number("desk_id")
    desks = (await visit.read(load_choices)).desks
    if desk_id is not None and desk_id not in {one.desk_id for one in desks}:
        form.refuse("desk_id", "There is no such desk.")
    if role == "cashier" and not desk_id:
        form.refuse("desk_id", "A cashier needs a desk: its till is where the money goes.")
    if not form.valid:
        return await _page(visit, form, status=422)
    token = visit.portal.new_token()

    def change(connection: Connection) -> bool:
        staff_id = staff.add_staff(connection, username=username, name=name, role=role, desk_id=desk_id, now=visit.now)
        if staff_id is None:
            return False
        _link(connection, visit, staff_id, token)
        return True

    if not await visit.write(change):
        form.refuse("username", "This username is taken.")
        return await _page(visit, form, status=422)
    return _show_link(visit, name, username, token)


async def new_link(visit: Visit) -> Response:
    """Make a new one-time link, for whoever forgot a password or lost the first link."""
    staff_id = visit.path_number("staff_id")
    token = visit.portal.new_token()

    def change(connection: Connection) -> staff.StaffMember | None:
        member = staff.find_staff(connection, staff_id=staff_id)
        if member is not None and member.active:
            _link(connection, visit, staff_id, token)
        return member

    member = await visit.write(change)
    if member is None:
        raise HTTPException(404, "There is no such person.")
    if not member.active:
        return await _page(visit, Form(), status=422, problem="off")
    return _show_link(visit, member.name, member.username, token)


def _link(connection: Connection, visit: Visit, staff_id: int, token: str) -> None:
    staff.new_login_link(
        connection,
        staff_id=staff_id,
        now=visit.now,
        lifetime_s=visit.portal.settings.login_link_lifetime_s,
        token=token,
    )


def _show_link(visit: Visit, name: str, username: str, token: str) -> Response:
    settings = visit.portal.settings
    return visit.page(
        "administration/link_made.html",
        name=name,
        username=username,
        url=staff.login_link_url(settings, token) if settings.portal_url else f"{_origin(visit)}/login/link/{token}",
        hours=settings.login_link_lifetime_s // 3600,
    )


def _origin(visit: Visit) -> str:
    """Return how this browser reaches the portal: without a setting that is the best guess for the link."""
    return f"{visit.request.url.scheme}://{visit.request.url.netloc}"


async def move(visit: Visit) -> Response:
    """Say at which desk a person works, or at none."""
    form = Form(visit.fields)
    staff_id, desk_id = visit.path_number("staff_id"), form.number("desk_id")
    known = {one.desk_id for one in (await visit.read(load_choices)).desks}
    if not form.valid or (desk_id is not None and desk_id not in known):
        raise HTTPException(422, "There is no such desk. Nothing was changed.")

    def change(connection: Connection) -> bool:
        member = staff.find_staff(connection, staff_id=staff_id)
        return member is not None and staff.set_desk(connection, member.username, desk_id)

    if not await visit.write(change):
        raise HTTPException(404, "There is no such person.")
    return visit.go("/staff", done="desk")


async def switch(visit: Visit) -> Response:
    """Switch a person off, which ends every login at once, or on again."""
    staff_id = visit.path_number("staff_id")
    on = Form(visit.fields).typed("active") == "yes"
    if staff_id == visit.staff.staff_id:
        return await _page(visit, Form(), status=422, problem="yourself")

    def change(connection: Connection) -> bool:
        member = staff.find_staff(connection, staff_id=staff_id)
        return member is not None and staff.set_active(connection, member.username, on)

    if not await visit.write(change):
        raise HTTPException(404, "There is no such person.")
    return visit.go("/staff", done="on" if on else "off")
