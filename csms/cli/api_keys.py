"""`csms api-key`: add, list, revoke, scopes."""

import getpass
from datetime import timedelta
from typing import Annotated, Any

import typer

from csms import clock
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.web.api import keys
from csms.web.api.scopes import MEANINGS, SCOPES

commands = typer.Typer()

_READING = tuple(scope for scope in SCOPES if scope.endswith(":read"))


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the program that will use it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help='May be given several times; "read" is all that only reads.')
    ] = None,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0: never.")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Make a key of the API and print it, once.

    \b
    csms api-key add "Supermarket till" --scope cards:read --scope top-ups:write
    csms api-key add Dashboard --scope read --days 365
    """  # noqa: D301 - typer's own mark for lines that stay lines
    called = arguments.name(name, "key")
    scopes = _scopes(scope or [])
    secret, now = keys.new_secret(), clock.now()
    expires_at = now + timedelta(days=days) if days else None
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            number = keys.add_key(
                connection,
                name=called[: keys.LONGEST_NAME],
                secret=secret,
                scopes=scopes,
                created_by=f"command line ({getpass.getuser()})"[:100],
                now=now,
                expires_at=expires_at,
            )
        if as_json:
            show_json({"key_id": number, "name": called, "key": secret, "scopes": scopes, "expires_at": expires_at})
            return
        say(f"Made key {number} for {called}. It is shown only now.")
        show_facts((("key", secret), ("may", " ".join(scopes))))


def _scopes(named: list[str]) -> list[str]:
    wanted = [one for name in named for one in (_READING if name == "read" else (name,))]
    if not wanted:
        raise WrongArgument("Say what the key may do, such as --scope read; `csms api-key scopes` lists them.")
    for one in wanted:
        if one not in SCOPES:
            raise WrongArgument(f"There is no scope {one!r}; `csms api-key scopes` lists them.")
    return list(dict.fromkeys(wanted))


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List the keys; what is secret of them is stored nowhere."""
    with opened() as installation:
        with installation.database.reading() as connection:
            listed = keys.list_keys(connection)
        if as_json:
            show_json(listed)
            return
        zone, now = installation.settings.time_zone, clock.now()
        rows: list[tuple[Any, ...]] = [
            (
                one.key_id,
                one.name,
                f"{one.prefix}...",
                "active" if one.holds(now) else "revoked" if one.revoked_at else "expired",
                moment(one.last_used_at, zone) or "never",
                " ".join(one.scopes),
            )
            for one in listed
        ]
        show_table(("number", "name", "begins with", "state", "last used", "may"), rows, right=("number",))


@commands.command()
def revoke(number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `csms api-key list` shows it.")]) -> None:
    """End a key at once and for good."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            is_done = keys.revoke_key(connection, number, clock.now())
        if not is_done:
            raise Refusal(f"There is no key {number}, or it was revoked before; `csms api-key list` shows the keys.")
        say(f"Revoked key {number}.")


@commands.command()
def scopes(*, as_json: Json = False) -> None:
    """List what keys may be allowed to do."""
    if as_json:
        show_json(MEANINGS)
        return
    show_table(("scope", "the key may"), list(MEANINGS.items()))
