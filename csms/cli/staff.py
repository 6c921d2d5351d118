"""`csms staff`: add, list, link, desk, disable, enable.

Nobody gets a password here: a one-time link lets a person choose one.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Annotated

import typer

from csms import clock
from csms.billing.desks import list_desks
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation
from csms.web.permissions import Role
from csms.web.staff import (
    add_staff,
    find_staff,
    login_link_url,
    new_login_link,
    normalize_username,
    set_active,
    set_desk,
    staff_list,
)

commands = typer.Typer()

_TOKEN_BYTES = 32
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,59}")

Username = Annotated[str, typer.Argument(metavar="USERNAME", help="What the person logs in with.")]


@commands.command()
def add(
    username: Username,
    role: Annotated[Role, typer.Option(help="What the person may do.")] = "cashier",
    name: Annotated[str, typer.Option(help="The person's name; without it the username.")] = "",
    desk: Annotated[str, typer.Option(help="The name of the desk where a cashier works.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Add a person and print a one-time link to choose a password."""
    login = normalize_username(username)
    if not _USERNAME.fullmatch(login):
        raise WrongArgument(f"{username!r} is no username: 1 to 60 of the letters a-z, digits and . _ @ -")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            desk_id = _desk_id(installation, desk) if desk else None
            called = arguments.name(name or username, "person")
            added = add_staff(connection, username=login, name=called, role=role, desk_id=desk_id, now=clock.now())
        if added is None:
            raise Refusal(f"There is a person {login} already. For a new login link: csms staff link {login}")
        _tell_link(installation, added, login, f"Added {login} ({role}).", as_json=as_json)


@commands.command()
def link(username: Username, *, as_json: Json = False) -> None:
    """Print a new one-time link, for a person who lost the password or the first link."""
    with opened() as installation:
        with installation.database.reading() as connection:
            member = find_staff(connection, username=username)
        if member is None:
            raise Refusal(_unknown(username))
        if not member.active:
            raise Refusal(f"{member.username} is disabled. First: csms staff enable {member.username}")
        done = f"A new link for {member.username}; earlier unused ones no longer work."
        _tell_link(installation, member.staff_id, member.username, done, as_json=as_json)


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List everyone who has or had access to the portal."""
    with opened() as installation:
        with installation.database.reading() as connection:
            members = staff_list(connection)
        if as_json:
            show_json(
                [
                    {
                        "username": one.username,
                        "name": one.name,
                        "role": one.role,
                        "active": one.active,
                        "has_password": one.has_password,
                        "desk": one.desk_name,
                        "created_at": one.created_at,
                    }
                    for one in members
                ],
            )
            return
        columns = ("username", "name", "role", "desk", "active", "password chosen", "since")
        time_zone = installation.settings.time_zone
        rows = [
            (
                one.username,
                one.name,
                one.role,
                one.desk_name,
                one.active,
                one.has_password,
                moment(one.created_at, time_zone),
            )
            for one in members
        ]
        show_table(columns, rows)


@commands.command()
def desk(
    username: Username,
    name: Annotated[str, typer.Argument(metavar="[DESK]", help="The name of the desk; without it none.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Say at which desk a person works, from now on."""
    with opened() as installation:
        desk_id = _desk_id(installation, name) if name else None
        with installation.database.unit_of_work() as connection:
            known = set_desk(connection, username, desk_id)
        if not known:
            raise Refusal(_unknown(username))
        login = normalize_username(username)
        if as_json:
            show_json({"username": login, "desk": name or None})
            return
        say(f"{login} works at the desk {name}." if name else f"{login} works at no desk.")


@commands.command()
def disable(username: Username, *, as_json: Json = False) -> None:
    """Take a person's access away; every login of theirs ends at once."""
    _set_active(username, active=False, as_json=as_json)


@commands.command()
def enable(username: Username, *, as_json: Json = False) -> None:
    """Give a disabled person access again."""
    _set_active(username, active=True, as_json=as_json)


def make_link(installation: Installation, staff_id: int) -> tuple[str, datetime]:
    """Make a one-time link for a person and return its address and when it ends."""
    now, token = clock.now(), secrets.token_urlsafe(_TOKEN_BYTES)
    lifetime_s = installation.settings.login_link_lifetime_s
    with installation.database.unit_of_work() as connection:
        new_login_link(connection, staff_id=staff_id, now=now, lifetime_s=lifetime_s, token=token)
    return login_link_url(installation.settings, token), now + timedelta(seconds=lifetime_s)


def _tell_link(installation: Installation, staff_id: int, username: str, done: str, *, as_json: bool) -> None:
    url, ends_at = make_link(installation, staff_id)
    if as_json:
        show_json({"username": username, "login_link": url, "expires_at": ends_at})
        return
    say(f"{done} To log in and choose a password, open once, until {moment(ends_at, installation.settings.time_zone)}:")
    say(f"  {url}")


def _set_active(username: str, *, active: bool, as_json: bool) -> None:
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            known = set_active(connection, username, active)
        if not known:
            raise Refusal(_unknown(username))
        login = normalize_username(username)
        if as_json:
            show_json({"username": login, "active": active})
            return
        say(f"{login} may log in again." if active else f"{login} may not log in any more.")


def _desk_id(installation: Installation, name: str) -> int:
    with installation.database.reading() as connection:
        found = next((one.desk_id for one in list_desks(connection) if one.name == name), None)
    if found is None:
        raise Refusal(f"There is no desk {name}. Add it first: csms desk add {name!r}")
    return found


def _unknown(username: str) -> str:
    return f"There is nobody called {username}; `csms staff list` shows everyone."
