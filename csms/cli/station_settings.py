"""`csms station settings`: what a station's configuration is and shall be, a check on demand; what is wrong anywhere.

The check is a command in the station's queue, so the running server carries it out.
"""

from typing import Annotated

import typer
from sqlalchemy import Connection, select

from csms.charging import models
from csms.charging.setting_facts import Setting
from csms.charging.settings_plan import CheckSettings
from csms.charging.settings_view import WHAT_TO_DO, SettingsView, WrongSetting, find_settings, list_drifted, list_wrong
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument

Identity = Annotated[
    str, typer.Argument(metavar="[IDENTITY]", help="Such as CP-1. Without it: what is wrong at any station.")
]
_MOST = 1000
_NEEDED = "--check and --all are about one charge point: name it."


def show_settings(
    identity: Identity = "",
    check: Annotated[bool, typer.Option("--check", help="Let the server ask the station and correct it.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also keys of which nothing is wanted.")] = False,
    *,
    as_json: Json = False,
) -> None:
    """Show what a charge point is set to and what is wanted of it, or what is not as wanted at any."""
    if not identity:
        if check or show_all:
            raise WrongArgument(_NEEDED)
        _show_wrong(as_json=as_json)
        return
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
        current = ("values for", "DC" if shown.is_dc else "AC")
        show_facts([("charge point", shown.identity), ("group", shown.group), current, *facts])
        listed = shown.settings if show_all else (*shown.wanted, *shown.unknown)
        rows = [
            (
                one.key,
                one.state,
                one.wanted_value,
                one.reported_value,
                ", ".join(one.not_taken),
                moment(one.drifted_at, zone),
            )
            for one in listed
        ]
        show_table(("key", "state", "wanted", "reported", "not taken", "changed by itself"), rows)
        for state in sorted({one.state for one in shown.wrong}):
            say(f"{state}: {WHAT_TO_DO[state]}")
        if begun is not None:
            say("The station is being asked." if begun else "A check of this station is on its way already.")


def _show_wrong(*, as_json: bool) -> None:
    """Show what is not as wanted at any charge point, and what changed by itself."""
    with opened() as installation:
        with installation.database.reading() as connection:
            wrong = list_wrong(connection, limit=_MOST)
            drifted = list_drifted(connection, limit=_MOST)
        if as_json:
            show_json({"wrong": [_of_one(one) for one in wrong], "drifted": [_of_one(one) for one in drifted]})
            return
        zone = installation.settings.time_zone
        if not wrong and not drifted:
            say("Every charge point that was asked is set as wanted, and none has changed a setting by itself.")
            return
        say("Not as wanted:")
        columns = ("charge point", "key", "state", "wanted", "reported", "what to do")
        rows = [
            (*_facts(one), one.setting.wanted_value, one.setting.reported_value, WHAT_TO_DO.get(one.setting.state, ""))
            for one in wrong
        ]
        show_table(columns, rows)
        say("Changed by themselves:")
        found = [(*_facts(one), moment(one.setting.drifted_at, zone)) for one in drifted]
        show_table(("charge point", "key", "state now", "found"), found)


def _facts(one: WrongSetting) -> tuple[str, str, str]:
    return one.identity, one.setting.key, one.setting.state


def _of_one(one: WrongSetting) -> dict[str, object]:
    return {"identity": one.identity, **_setting_as_json(one.setting)}


def _find(connection: Connection, identity: str) -> SettingsView:
    statement = select(models.charge_point.c.id).where(models.charge_point.c.identity == identity)
    found = find_settings(connection, connection.execute(statement).scalar() or 0)
    if found is None:
        raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
    return found


def _as_json(shown: SettingsView, begun: bool | None) -> dict[str, object]:
    return {
        "identity": shown.identity,
        "group": shown.group,
        "checked_at": shown.checked_at,
        "due_at": shown.due_at,
        "onboarded_at": shown.onboarded_at,
        "check_begun": begun,
        "settings": [_setting_as_json(one) for one in shown.settings],
    }


def _setting_as_json(one: Setting) -> dict[str, object]:
    return {
        "key": one.key,
        "state": one.state,
        "wanted_value": one.wanted_value,
        "reported_value": one.reported_value,
        "settled_value": one.settled_value,
        "not_taken": one.not_taken,
        "is_readonly": one.is_readonly,
        "checked_at": one.checked_at,
        "drifted_at": one.drifted_at,
    }
