"""`csms tariff assign`, `unassign` and `assignments`: which tariff applies where, and for whom."""

from typing import Annotated

import typer
from sqlalchemy import Connection

from csms import clock
from csms.billing.account_groups import find_account_group
from csms.charging import assignments
from csms.charging.assignments import Scope
from csms.charging.groups import find_station_group
from csms.charging.overview import find_station
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument

StationGroup = Annotated[str, typer.Option(help="A group of stations.")]
Station = Annotated[str, typer.Option(help="One station, by its identity.")]
Connector = Annotated[int, typer.Option(min=0, help="One connector of --station, from 1.")]
AccountGroup = Annotated[str, typer.Option(help="Only for the accounts of this group.")]
_REASONS = {
    "scope": "Say where it applies: --station-group, --station or --account-group.",
    "connector_id": "--connector is the number of a connector of --station: name the station too.",
    "charge_point_id": "--station and --station-group exclude each other: name one of them.",
}


def assign(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tariff.")],
    station_group: StationGroup = "",
    station: Station = "",
    connector: Connector = 0,
    account_group: AccountGroup = "",
    *,
    as_json: Json = False,
) -> None:
    """Let a tariff apply at a group of stations, a station or a connector, or for a group of accounts.

    The narrowest assignment wins: an account group's own, then a connector's, a station's, a station group's, and at
    last the default tariff. What was assigned to the same place before is replaced.
    """
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            scope = _scope(connection, station_group, station, connector, account_group)
            wrong = assignments.assign(connection, name, scope, clock.now())
        if wrong == "tariff_name":
            raise Refusal(f"There is no tariff {name}; `csms tariff list` shows the tariffs.")
        if wrong is not None:
            raise WrongArgument(_REASONS[wrong])
        if as_json:
            show_json({"tariff": name, **_words(station_group, station, connector, account_group)})
            return
        say(f"{name} applies there from the next transaction on.")


def unassign(
    station_group: StationGroup = "",
    station: Station = "",
    connector: Connector = 0,
    account_group: AccountGroup = "",
    *,
    as_json: Json = False,
) -> None:
    """Take away the tariff that was assigned to exactly this place or group."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            scope = _scope(connection, station_group, station, connector, account_group)
            found = assignments.unassign(connection, scope)
        if not found:
            raise Refusal("No tariff was assigned to exactly that; `csms tariff assignments` shows what is.")
        if as_json:
            show_json({"tariff": None, **_words(station_group, station, connector, account_group)})
            return
        say("What is assigned more widely applies there from the next transaction on.")


def show_list(*, as_json: Json = False) -> None:
    """List which tariff applies where, what wins first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            found = assignments.list_assignments(connection)
        if as_json:
            show_json(found)
            return
        rows = [
            (one.tariff_name, one.account_group, one.station_group, one.charge_point, one.connector_id) for one in found
        ]
        show_table(("tariff", "account group", "station group", "station", "connector"), rows)


def _scope(connection: Connection, station_group: str, station: str, connector: int, account_group: str) -> Scope:
    group_id = charge_point_id = account_group_id = None
    if station_group:
        place = find_station_group(connection, name=station_group)
        if place is None:
            raise Refusal(f"There is no station group {station_group}; `csms group station list` shows them.")
        group_id = place.group_id
    if station:
        found = find_station(connection, station)
        if found is None:
            raise Refusal(f"There is no charge point {station}; `csms station list` shows them.")
        charge_point_id = found.charge_point_id
    if account_group:
        group = find_account_group(connection, name=account_group)
        if group is None:
            raise Refusal(f"There is no account group {account_group}; `csms group account list` shows them.")
        account_group_id = group.group_id
    return Scope(account_group_id, group_id, charge_point_id, connector or None)


def _words(station_group: str, station: str, connector: int, account_group: str) -> dict[str, object]:
    return {
        "station_group": station_group or None,
        "station": station or None,
        "connector": connector or None,
        "account_group": account_group or None,
    }
