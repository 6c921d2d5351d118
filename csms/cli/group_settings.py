"""`csms group station settings`: what a group of stations changes in the template of prepaid settings.

What is not named stays as it is. The running server asks the stations of the group soon after a change.
"""

from typing import Annotated

import msgspec
import typer

from csms.charging import groups
from csms.charging.prepaid_settings import DC_ABOVE_W, TEMPLATE, Wish, changed_for, problem_of, template_for
from csms.charging.settings_view import GroupSettings, change_group_settings, find_group_settings
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument

Name = Annotated[str, typer.Argument(metavar="NAME", help='Such as "Harbour".')]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Want this; may be repeated.")]
Leave = Annotated[list[str] | None, typer.Option("--leave", metavar="KEY", help="Leave it as the station has it.")]
Template = Annotated[list[str] | None, typer.Option("--template", metavar="KEY", help="As in the template again.")]
OnlyDc = Annotated[
    bool, typer.Option("--dc", help=f"What is named is for stations with more than {DC_ABOVE_W // 1000} kW alone.")
]
Onboard = Annotated[
    bool | None, typer.Option("--onboard/--no-onboard", help="A new station waits for its key and these settings.")
]


def group_settings(
    name: Name,
    set_: Set = None,
    leave: Leave = None,
    template: Template = None,
    dc: OnlyDc = False,
    onboard: Onboard = None,
    *,
    as_json: Json = False,
) -> None:
    """Show or change what the stations of a group are set to, all of them or (--dc) those with direct current."""
    named = _named(set_, leave, template)
    if dc and not named:
        raise WrongArgument("--dc says for which stations --set, --leave or --template are; name one of them.")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            group = groups.find_station_group(connection, name=name)
            before = None if group is None else find_group_settings(connection, group.group_id)
            if before is None:
                raise Refusal(f"There is no station group {name}; `csms group station list` shows them.")
            after = _changed(before, named, dc=dc, onboard=onboard)
            if after != before:
                change_group_settings(
                    connection, after.group_id, after.changes, after.dc_changes, is_onboarded=after.is_onboarded
                )
        if as_json:
            show_json(_as_json(after))
            return
        columns = ("key", "template", "template, DC", "this group", "this group, DC")
        show_table(columns, _rows(after))
        say(f"A new station {'waits until it has' if after.is_onboarded else 'does not wait for'} these settings.")


class _Named(msgspec.Struct, frozen=True):
    """A key as it was named: it is changed to a value, or left alone (None), or as in the template again."""

    key: str
    value: str | None = None
    is_changed: bool = True


def _named(set_: list[str] | None, leave: list[str] | None, template: list[str] | None) -> list[_Named]:
    named = [_pair(one) for one in set_ or ()]
    named += [_Named(one) for one in leave or ()]
    named += [_Named(one, is_changed=False) for one in template or ()]
    keys = [one.key.casefold() for one in named]
    twice = next((one.key for one in named if keys.count(one.key.casefold()) > 1), None)
    if twice is not None:
        raise WrongArgument(f"{twice} stands here twice.")
    return named


def _pair(text: str) -> _Named:
    key, sign, value = text.partition("=")
    if not sign or not value:
        raise WrongArgument(f"--set {text!r}: KEY=VALUE, such as MeterValueSampleInterval=30.")
    return _Named(key, value)


def _changed(before: GroupSettings, named: list[_Named], *, dc: bool, onboard: bool | None) -> GroupSettings:
    """Return the changes of a group after what was named."""
    gone = {one.key.casefold() for one in named}
    present = before.dc_changes if dc else before.changes
    usual = {one.key.casefold(): one.key for one in TEMPLATE}
    kept = {key: value for key, value in present.items() if key.casefold() not in gone}
    after = kept | {usual.get(one.key.casefold(), one.key): one.value for one in named if one.is_changed}
    changes, dc_changes = (before.changes, after) if dc else (after, before.dc_changes)
    problem = problem_of(after) or problem_of({**changes, **dc_changes})
    if problem is not None:
        raise WrongArgument(problem)
    return msgspec.structs.replace(
        before,
        changes=changes,
        dc_changes=dc_changes,
        is_onboarded=before.is_onboarded if onboard is None else onboard,
    )


def _rows(group: GroupSettings) -> list[tuple[object, ...]]:
    """Return every key of the template or of the group, with what is wanted of AC and of DC stations."""
    usual, usual_dc = _by_key(template_for(None, {})), _by_key(template_for(DC_ABOVE_W + 1, {}))
    wanted = _words(group.changes)
    wanted_dc = _words(changed_for(group.changes, group.dc_changes))
    names = {key.casefold(): key for key in (*group.dc_changes, *group.changes)} | {
        key: one.key for key, one in usual.items()
    }
    return [
        (
            names[key],
            usual[key].value if key in usual else "",
            usual_dc[key].value if key in usual_dc else "",
            wanted.get(key, ""),
            wanted_dc.get(key, ""),
        )
        for key in (*usual, *sorted(set(names) - set(usual)))
    ]


def _by_key(wishes: tuple[Wish, ...]) -> dict[str, Wish]:
    return {one.key.casefold(): one for one in wishes}


def _words(changes: dict[str, str | None]) -> dict[str, str]:
    return {key.casefold(): "left alone" if value is None else value for key, value in changes.items()}


def _as_json(group: GroupSettings) -> dict[str, object]:
    return {
        "name": group.name,
        "changes": group.changes,
        "dc_changes": group.dc_changes,
        "is_onboarded": group.is_onboarded,
    }
