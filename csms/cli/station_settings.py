"""`csms station settings`: what a station's configuration is and shall be; a check on demand.

The check is a command in the station's queue, so the running server carries it out.
"""

from typing import Annotated

import typer
from sqlalchemy import Connection, select

from csms.charging import models
from csms.charging.settings_plan import CheckSettings
from csms.charging.settings_view import SettingsView, find_settings
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal

Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]


def show_settings(
    identity: Identity,
    check: Annotated[bool, typer.Option("--check", help="Let the server ask the station and correct it.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also keys of which nothing is wanted.")] = False,
    *,
    as_json: Json = False,
) -> None:
    """Show what a charge point is set to and what is wanted of it."""
    with opened() as installation:
        with installation.database.reading() as connection:
            shown = _find(connection, identity)
        begun = (
            bool(installation.engine.execute(CheckSettings(shown.charge_point_id, "command line"))) if check else None
        )
        if as_json:
            show_json(_as_json(shown, begun))
            return
        zone = installation.settings.time_zone
        facts = [("last check", moment(shown.checked_at, zone)), ("next check", moment(shown.due_at, zone))]
        show_facts([("charge point", shown.identity), ("group", shown.group), *facts])
        listed = shown.settings if show_all else (*shown.wanted, *shown.unknown)
        rows = [(one.key, one.state, one.wanted_value, one.reported_value, one.settled_value or "") for one in listed]
        show_table(("key", "state", "wanted", "reported", "taken of the list"), rows)
        if begun is not None:
            say("The station is being asked." if begun else "A check of this station is on its way already.")


def _find(connection: Connection, identity: str) -> SettingsView:
    statement = select(models.charge_point.c.id).where(models.charge_point.c.identity == identity)
    found = find_settings(connection, connection.execute(statement).scalar() or 0)
    if found is None:
        raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
    return found


def _as_json(shown: SettingsView, begun: bool | None) -> dict[str, object]:
    settings = [
        {
            "key": one.key,
            "state": one.state,
            "wanted_value": one.wanted_value,
            "reported_value": one.reported_value,
            "settled_value": one.settled_value,
            "is_readonly": one.is_readonly,
            "checked_at": one.checked_at,
            "drifted_at": one.drifted_at,
        }
        for one in shown.settings
    ]
    return {
        "identity": shown.identity,
        "group": shown.group,
        "checked_at": shown.checked_at,
        "due_at": shown.due_at,
        "onboarded_at": shown.onboarded_at,
        "check_begun": begun,
        "settings": settings,
    }
