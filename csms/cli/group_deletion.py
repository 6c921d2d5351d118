"""`csms group station delete` and `csms group account delete`: a group goes that nothing uses any more.

Who is in it, and what is assigned to it, is taken out before, by a person who knows why.
"""

from typing import Annotated

import typer

from csms.billing.account_groups import find_account_group
from csms.charging.groups import delete_account_group, delete_station_group, find_station_group
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json
from csms.cli.refusals import Refusal

Name = Annotated[str, typer.Argument(metavar="NAME", help="The group.")]


def delete_stations(name: Name, *, as_json: Json = False) -> None:
    """Delete a group of stations that nothing uses: no station, tariff, account group or local list."""
    with opened() as installation, installation.database.unit_of_work() as connection:
        group = find_station_group(connection, name=name)
        if group is None:
            raise Refusal(f"There is no station group {name}; `csms group station list` shows them.")
        uses = delete_station_group(connection, group.group_id)
    _tell(f"station group {name}", uses, name, as_json=as_json)


def delete_accounts(name: Name, *, as_json: Json = False) -> None:
    """Delete a group of accounts that nothing uses: no card, tariff or local list."""
    with opened() as installation, installation.database.unit_of_work() as connection:
        group = find_account_group(connection, name=name)
        if group is None:
            raise Refusal(f"There is no account group {name}; `csms group account list` shows them.")
        uses = delete_account_group(connection, group.group_id)
    _tell(f"account group {name}", uses, name, as_json=as_json)


def _tell(what: str, uses: tuple[str, ...], name: str, *, as_json: bool) -> None:
    if uses:
        raise Refusal(f"The {what} stays: it is used by {', '.join(uses)}. Take them out of it first.")
    if as_json:
        show_json({"name": name, "deleted": True})
        return
    say(f"Deleted the {what}.")
