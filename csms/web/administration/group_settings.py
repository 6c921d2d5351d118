"""The changes of a group of stations to the template of prepaid settings, for all of its stations and for those with
direct current alone, and whether new stations wait for them.
"""

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging.prepaid_settings import (
    DC_ABOVE_W,
    MOST_OTHER_KEYS,
    TEMPLATE,
    problem_of_key,
    problem_of_value,
    template_for,
)
from csms.charging.settings_view import GroupSettings, change_group_settings, find_group_settings
from csms.web.forms import Form
from csms.web.visit import Visit

_MORE = 6  # rows at least for keys that are not in the template
_EMPTY = 2  # of them stay empty
_MOST_TYPED = 600
LEFT_ALONE = "-"  # typed for a key that stays as the station has it
_Changes = dict[str, str | None]


class Row(msgspec.Struct, frozen=True):
    """A key of the template, the names of its fields for all and for DC stations, and what the template wants."""

    field: str
    dc_field: str
    key: str
    template: str
    dc_template: str


ROWS = tuple(
    Row(f"t{n}", f"d{n}", one.key, one.value, dc.value)
    for n, (one, dc) in enumerate(zip(TEMPLATE, template_for(DC_ABOVE_W + 1, {}), strict=True))
)


class _Typed(msgspec.Struct, frozen=True):
    """A key with what was typed for it, and the names of the fields."""

    key_field: str
    field: str
    dc_field: str
    key: str
    value: str
    dc_value: str


async def show(visit: Visit) -> Response:
    """Show the template with the changes of a group."""
    group = await _found(visit)
    return _page(visit, group, _filled(group))


async def change(visit: Visit) -> Response:
    """Store the changes of a group; its stations follow at once."""
    group = await _found(visit)
    form = Form(visit.fields)
    changes, dc_changes = _read(form)
    is_onboarded = form.typed("is_onboarded") == "yes"
    if not form.valid:
        return _page(visit, group, form, status=422)
    await visit.write(
        lambda c: change_group_settings(c, group.group_id, changes, dc_changes, is_onboarded=is_onboarded)
    )
    return visit.go(f"/station-groups/{group.group_id}/settings", done="saved")


def _read(form: Form) -> tuple[_Changes, _Changes]:
    """Return the changes for all stations and for DC stations as typed; empty fields change nothing."""
    changes: _Changes = {}
    dc_changes: _Changes = {}
    seen: set[str] = set()
    for one in _typed(form):
        if not one.value and not one.dc_value:
            continue
        if one.key.casefold() in seen:
            form.refuse(one.field, "This key stands here twice.")
        seen.add(one.key.casefold())
        if problem := problem_of_key(one.key):
            form.refuse(one.key_field, problem)
            continue
        for field, value, into in ((one.field, one.value, changes), (one.dc_field, one.dc_value, dc_changes)):
            if value and value != LEFT_ALONE and (problem := problem_of_value(one.key, value)):
                form.refuse(field, problem)
            if value:
                into[one.key] = None if value == LEFT_ALONE else value
    return changes, dc_changes


def _typed(form: Form) -> list[_Typed]:
    typed = [
        _Typed(row.field, row.field, row.dc_field, row.key, _text(form, row.field), _text(form, row.dc_field))
        for row in ROWS
    ]
    for n in range(MOST_OTHER_KEYS):
        key, value, dc_value = (_text(form, f"{letter}{n}") for letter in "kvw")
        left_alone = LEFT_ALONE if key and not value and not dc_value else ""
        typed.append(_Typed(f"k{n}", f"v{n}", f"w{n}", key, value or left_alone, dc_value))
    return typed


def _text(form: Form, name: str) -> str:
    return form.text(name, longest=_MOST_TYPED, required=False)


def _filled(group: GroupSettings) -> Form:
    """Return the form with what is stored."""
    for_all, for_dc = _shown(group.changes), _shown(group.dc_changes)
    fields = {row.field: for_all.pop(row.key.casefold())[1] for row in ROWS if row.key.casefold() in for_all}
    fields |= {row.dc_field: for_dc.pop(row.key.casefold())[1] for row in ROWS if row.key.casefold() in for_dc}
    names = {**for_dc, **for_all}
    for n, name in enumerate(names):
        fields |= {
            f"k{n}": names[name][0],
            f"v{n}": for_all.get(name, ("", ""))[1],
            f"w{n}": for_dc.get(name, ("", ""))[1],
        }
    if group.is_onboarded:
        fields["is_onboarded"] = "yes"
    return Form(fields)


def _shown(changes: _Changes) -> dict[str, tuple[str, str]]:
    """Return each key and what is typed for it, by the case-folded key."""
    return {key.casefold(): (key, LEFT_ALONE if value is None else value) for key, value in changes.items()}


def _page(visit: Visit, group: GroupSettings, form: Form, *, status: int = 200) -> Response:
    used = [n for n in range(MOST_OTHER_KEYS) if any(form.typed(f"{letter}{n}") for letter in "kvw")]
    more = min(MOST_OTHER_KEYS, max(_MORE, max(used, default=0) + 1 + _EMPTY))
    return visit.page(
        "administration/group_settings.html",
        status=status,
        group=group,
        form=form,
        rows=ROWS,
        more=range(more),
        opens_dc=any(form.typed(row.dc_field) for row in ROWS),
        dc_above_kw=DC_ABOVE_W // 1000,
        done=visit.query("done"),
    )


async def _found(visit: Visit) -> GroupSettings:
    group_id = visit.path_number("group_id")
    group = await visit.read(lambda connection: find_group_settings(connection, group_id))
    if group is None:
        raise HTTPException(404, "There is no such group of stations.")
    return group
