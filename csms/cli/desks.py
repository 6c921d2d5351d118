"""`csms desk`: add, list, rename, reader."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from csms import clock
from csms.billing.desks import DeskView, add_desk, list_desks, rename_desk, set_reader_format
from csms.billing.money import Currency, format_amount
from csms.billing.reader_formats import ReaderFormat
from csms.charging.sites import find_site, list_sites
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal

commands = typer.Typer()


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help='Such as "Main hall".')],
    site: Annotated[str, typer.Option(help="The name of the site it belongs to.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Add a cash desk; it gets a cash account in the ledger."""
    called = arguments.name(name, "desk")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            place = find_site(connection, site) if site else None
            if site and place is None:
                raise Refusal(f"There is no site {site}. Add it first: csms site add {site!r}")
            site_id = None if place is None else place.site_id
            added = add_desk(connection, name=called, site_id=site_id, currency=installation.currency, now=clock.now())
        if added is None:
            raise Refusal(f"There is a desk {called} already; `csms desk list` shows the desks.")
        if as_json:
            show_json(_as_json(added, None if place is None else place.name, installation.currency))
            return
        say(f"Added the desk {called}; its cash is ledger account {added.cash_account_code}.")


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List the desks with the cash that is in each according to the ledger."""
    with opened() as installation:
        with installation.database.reading() as connection:
            desks = list_desks(connection)
            sites = {one.site_id: one.name for one in list_sites(connection)}
        places = [None if one.site_id is None else sites.get(one.site_id) for one in desks]
        currency = installation.currency
        if as_json:
            show_json([_as_json(one, place, currency) for one, place in zip(desks, places, strict=True)])
            return
        rows = [
            (one.name, place, one.reader_format, one.cash_account_code, format_amount(one.cash_minor, currency))
            for one, place in zip(desks, places, strict=True)
        ]
        show_table(("name", "site", "reader types", "account", "cash"), rows, right=("cash",))


@commands.command()
def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The desk.")],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="How it is called from now on.")],
    *,
    as_json: Json = False,
) -> None:
    """Give a desk and its cash account another name; its receipts are numbered on."""
    called = arguments.name(new_name, "desk")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            desk = find_desk(connection, name)
            if not rename_desk(connection, desk.desk_id, called):
                raise Refusal(f"There is another desk {called}.")
        if as_json:
            show_json({"desk_id": desk.desk_id, "name": called})
            return
        say(f"The desk {name} is called {called} now.")


@commands.command()
def reader(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The desk.")],
    types: Annotated[
        ReaderFormat, typer.Argument(metavar="FORMAT", help="hex, hex reversed, decimal, decimal reversed.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Say what the card reader of a desk types, so that it becomes the id tag that stations send."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            desk = find_desk(connection, name)
            set_reader_format(connection, desk.desk_id, types)
        if as_json:
            show_json({"desk_id": desk.desk_id, "name": desk.name, "reader_format": types})
            return
        say(f"The reader at the desk {name} types {types}.")


def find_desk(connection: Connection, name: str) -> DeskView:
    """Return a desk by its name."""
    desk = next((one for one in list_desks(connection) if one.name == name), None)
    if desk is None:
        raise Refusal(f"There is no desk {name}; `csms desk list` shows the desks.")
    return desk


def _as_json(one: DeskView, site: str | None, currency: Currency) -> dict[str, object]:
    return {
        "desk_id": one.desk_id,
        "name": one.name,
        "site": site,
        "cash_account": one.cash_account_code,
        "cash": format_amount(one.cash_minor, currency),
        "reader_format": one.reader_format,
    }
