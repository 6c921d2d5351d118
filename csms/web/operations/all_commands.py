"""Commands over all stations: the list with its filters, and commands to many stations at once with their progress.

Forms and answers of one station are `commands`' matter.
"""

import re

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging.groups import StationGroupView, list_station_groups
from csms.commands.actions import ACTIONS
from csms.commands.history import (
    STATES,
    BatchRow,
    CommandFilter,
    CommandRow,
    count_commands,
    find_batch,
    list_batches,
    list_commands,
)
from csms.commands.targets import Target, every_station, group_target, named_target
from csms.operations.commands import QueueBatch, StopBatch
from csms.web.forms import Form
from csms.web.operations.commands import action_of, changed_form, form_of, form_words, read_wish
from csms.web.visit import PageOf, Visit

_BATCHES = 8
_ALL = "all"
_NOBODY = 0  # the station of the model of a batch
_KEY = re.compile(r"[A-Za-z0-9_-]{16,100}")


async def show_list(visit: Visit) -> Response:
    """List commands of all stations, newest first, narrowed by station, action, state and who asked."""
    wanted = CommandFilter(
        charge_point=visit.query("station"),
        action=visit.query("action") if visit.query("action") in ACTIONS else "",
        state=visit.query("state") if visit.query("state") in STATES else "",
        requested_by=visit.query("by"),
    )

    def load(connection: Connection) -> tuple[PageOf, list[CommandRow], list[BatchRow]]:
        page = visit.page_of(count_commands(connection, wanted))
        rows = list_commands(connection, wanted, limit=page.size, offset=page.offset)
        return page, rows, list_batches(connection, limit=_BATCHES)

    page, rows, batches = await visit.read(load)
    filters = {
        "station": wanted.charge_point,
        "action": wanted.action,
        "state": wanted.state,
        "by": wanted.requested_by,
    }
    return visit.page(
        "operations/commands.html",
        pages=page,
        commands=rows,
        batches=batches,
        filters=filters,
        actions=sorted(ACTIONS),
        states=STATES,
    )


async def show_bulk(visit: Visit) -> Response:
    """Show the form for a command to many stations."""
    name = visit.query("action")
    action = action_of(name) if name else ""
    form = form_of(visit, action) if action else Form()
    for field in ("group", "stations"):
        if visit.query(field):
            form = form.with_value(field, visit.query(field))
    return await _bulk_page(visit, action, form)


async def send_bulk(visit: Visit) -> Response:
    """Queue the command for each station, after it was asked once more."""
    action = action_of(visit.fields.get("action", ""))
    changed = changed_form(visit, action)
    if changed is not None:
        return await _bulk_page(visit, action, changed)
    form = Form(visit.fields)
    target = await visit.read(lambda connection: _target(connection, form))
    wish = read_wish(visit, form, action, _NOBODY, frozenset())
    key = form.typed("key")
    if not _KEY.fullmatch(key):
        form.refuse("form", "This form is too old. Please send it again.")
    if target is None or wish.asked is None or not form.valid:
        return await _bulk_page(visit, action, form, status=422)
    number = len(target.charge_point_ids)
    danger = f"{action} goes to {number} {'station' if number == 1 else 'stations'} ({target.words})."
    danger += f" {wish.danger}" if wish.danger else ""
    if form.typed("confirmed") != danger:
        return await _bulk_page(visit, action, form, danger=danger)
    asked = QueueBatch(key, target.words, target.charge_point_ids, wish.asked)
    batch_id = await visit.portal.engine.submit(asked)
    return visit.go(f"/commands/batches/{batch_id}")


def _target(connection: Connection, form: Form) -> Target | None:
    """Return whom it is for; what is wrong is marked."""
    group, named = form.typed("group"), form.typed("stations").strip()
    target: Target | None = None
    if named:
        target = named_target(connection, re.split(r"[\s,;]+", named))
        if target.unknown:
            form.refuse("stations", f"Not known: {', '.join(target.unknown[:5])}.")
    elif group == _ALL:
        target = every_station(connection)
    elif group.isascii() and group.isdigit():
        target = group_target(connection, int(group[:10]))
    if target is None:
        form.refuse("group", "Please choose a group, or name stations.")
    elif not target.charge_point_ids:
        form.refuse("stations" if named else "group", "There is no station in it.")
    return target


async def _bulk_page(
    visit: Visit, action: str, form: Form, *, status: int = 200, danger: str | None = None
) -> Response:
    groups = await visit.read(list_station_groups)
    return visit.page(
        "operations/bulk.html",
        status=status,
        action=action,
        form=form,
        danger=danger,
        group_choices=_choices(groups),
        key=form.typed("key") or visit.portal.new_token(),
        **form_words(visit, action),
    )


def _choices(groups: list[StationGroupView]) -> list[tuple[str, str]]:
    named = [(str(one.group_id), f"{one.name} ({one.stations})") for one in groups]
    return [("", "Please choose"), *named, (_ALL, "All stations")]


class _BatchPage(msgspec.Struct, frozen=True):
    """A batch and a part of its commands."""

    batch: BatchRow
    pages: PageOf
    commands: tuple[CommandRow, ...]
    state: str


async def show_batch(visit: Visit) -> Response:
    """Show how far a command to many stations is."""
    shown = await _batch(visit)
    return visit.page("operations/batch.html", shown=shown, batch=shown.batch, states=STATES, done=visit.query("done"))


async def live_batch(visit: Visit) -> Response:
    """Return the part of that page that changes."""
    shown = await _batch(visit)
    return visit.page("operations/_batch_live.html", shown=shown, batch=shown.batch, states=STATES)


async def stop_batch(visit: Visit) -> Response:
    """Take what is not sent yet out of the queues."""
    batch_id = visit.path_number("batch_id")
    stopped = await visit.portal.engine.submit(StopBatch(batch_id, visit.staff.actor))
    if stopped is None:
        raise HTTPException(404, "There is no such command to many stations.")
    return visit.go(f"/commands/batches/{batch_id}", done=stopped)


async def _batch(visit: Visit) -> _BatchPage:
    batch_id = visit.path_number("batch_id")
    state = visit.query("state") if visit.query("state") in STATES else ""

    def load(connection: Connection) -> _BatchPage | None:
        batch = find_batch(connection, batch_id)
        if batch is None:
            return None
        wanted = CommandFilter(batch_id=batch_id, state=state)
        pages = visit.page_of(count_commands(connection, wanted))
        rows = list_commands(connection, wanted, limit=pages.size, offset=pages.offset)
        return _BatchPage(batch, pages, tuple(rows), state)

    shown = await visit.read(load)
    if shown is None:
        raise HTTPException(404, "There is no such command to many stations.")
    return shown
