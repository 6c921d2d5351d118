"""`csms site`: add, list, rename, zone."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from csms import clock
from csms.charging.sites import Site, add_site, find_site, list_sites, rename_site, set_time_zone
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument

commands = typer.Typer()


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help='Such as "Harbour".')],
    time_zone: Annotated[str, typer.Option(help="Such as Europe/Sofia; without it CSMS_TIME_ZONE.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Add a site."""
    called = arguments.name(name, "site")
    if time_zone:
        _check_zone("--time-zone", time_zone)
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            added = add_site(connection, name=called, time_zone=time_zone or installation.settings.time_zone)
        if added is None:
            raise Refusal(f"There is a site {called} already; `csms site list` shows the sites.")
        if as_json:
            show_json(added)
            return
        say(f"Added the site {called} ({added.time_zone}).")


@commands.command()
def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The site.")],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="How it is called from now on.")],
    *,
    as_json: Json = False,
) -> None:
    """Give a site another name."""
    called = arguments.name(new_name, "site")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            site = _site_called(connection, name)
            if not rename_site(connection, site.site_id, called):
                raise Refusal(f"There is another site {called}.")
        if as_json:
            show_json({"site_id": site.site_id, "name": called, "time_zone": site.time_zone})
            return
        say(f"The site {name} is called {called} now.")


@commands.command()
def zone(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The site.")],
    time_zone: Annotated[str, typer.Argument(metavar="TIME_ZONE", help="Such as Europe/Sofia.")],
    *,
    as_json: Json = False,
) -> None:
    """Say in which time zone a site is. Tariffs and limits per day keep the zones that they have."""
    _check_zone("TIME_ZONE", time_zone)
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            site = _site_called(connection, name)
            set_time_zone(connection, site.site_id, time_zone)
        if as_json:
            show_json({"site_id": site.site_id, "name": site.name, "time_zone": time_zone})
            return
        say(f"The site {site.name} is in {time_zone} now. Tariffs and limits per day keep the zones that they have.")


def _site_called(connection: Connection, name: str) -> Site:
    site = find_site(connection, name)
    if site is None:
        raise Refusal(f"There is no site {name}; `csms site list` shows the sites.")
    return site


def _check_zone(what: str, time_zone: str) -> None:
    if time_zone not in clock.time_zones():
        raise WrongArgument(f"{what} is {time_zone!r}: it must be a name of the tz database, such as Europe/Sofia.")


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List the sites."""
    with opened() as installation:
        with installation.database.reading() as connection:
            sites = list_sites(connection)
        if as_json:
            show_json(sites)
            return
        show_table(("name", "time zone"), [(one.name, one.time_zone) for one in sites])
