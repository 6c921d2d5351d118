"""The changes of a group of stations to the template of prepaid settings, and whether new stations wait for them."""

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging.prepaid_settings import TEMPLATE, problem_of_key, problem_of_value
from csms.charging.settings_view import GroupSettings, change_group_settings, find_group_settings
from csms.web.forms import Form
from csms.web.visit import Visit

_MORE = 6  # rows for keys that are not in the template
_MOST_TYPED = 600
LEFT_ALONE = "-"  # typed for a key that stays as the station has it


class Row(msgspec.Struct, frozen=True):
    """A key of the template and the names of its field; what the template wants."""

    field: str
    key: str
    template: str


ROWS = tuple(Row(f"t{n}", one.key, one.value) for n, one in enumerate(TEMPLATE))


async def show(visit: Visit) -> Response:
    """Show the template with the changes of a group."""
    group = await _found(visit)
    return _page(visit, group, _filled(group))


async def change(visit: Visit) -> Response:
    """Store the changes of a group; its stations follow at once."""
    group = await _found(visit)
    form = Form(visit.fields)
    changes = _read(form)
    is_onboarded = form.typed("is_onboarded") == "yes"
    if not form.valid:
        return _page(visit, group, form, status=422)
    await visit.write(lambda c: change_group_settings(c, group.group_id, changes, is_onboarded=is_onboarded))
    return visit.go(f"/station-groups/{group.group_id}/settings", done="saved")


def _read(form: Form) -> dict[str, str | None]:
    """Return the changes as typed; empty fields change nothing."""
    changes: dict[str, str | None] = {}
    typed = [(row.field, row.key, form.text(row.field, longest=_MOST_TYPED, required=False)) for row in ROWS]
    for n in range(_MORE):
        key = form.text(f"k{n}", longest=_MOST_TYPED, required=False)
        value = form.text(f"v{n}", longest=_MOST_TYPED, required=False)
        if key or value:
            typed.append((f"v{n}", key, value or LEFT_ALONE))
    seen: set[str] = set()
    for field, key, value in typed:
        if not value:
            continue
        if key.casefold() in seen:
            form.refuse(field, "This key stands here twice.")
        seen.add(key.casefold())
        if problem := problem_of_key(key):
            form.refuse(field.replace("v", "k"), problem)
        elif value != LEFT_ALONE and (problem := problem_of_value(key, value)):
            form.refuse(field, problem)
        changes[key] = None if value == LEFT_ALONE else value
    return changes


def _filled(group: GroupSettings) -> Form:
    """Return the form with what is stored."""
    by_key = {key.casefold(): (key, LEFT_ALONE if value is None else value) for key, value in group.changes.items()}
    fields = {row.field: by_key.pop(row.key.casefold())[1] for row in ROWS if row.key.casefold() in by_key}
    for n, (key, value) in enumerate(list(by_key.values())[:_MORE]):
        fields |= {f"k{n}": key, f"v{n}": value}
    if group.is_onboarded:
        fields["is_onboarded"] = "yes"
    return Form(fields)


def _page(visit: Visit, group: GroupSettings, form: Form, *, status: int = 200) -> Response:
    return visit.page(
        "administration/group_settings.html",
        status=status,
        group=group,
        form=form,
        rows=ROWS,
        more=range(_MORE),
        done=visit.query("done"),
    )


async def _found(visit: Visit) -> GroupSettings:
    group_id = visit.path_number("group_id")
    group = await visit.read(lambda connection: find_group_settings(connection, group_id))
    if group is None:
        raise HTTPException(404, "There is no such group of stations.")
    return group
