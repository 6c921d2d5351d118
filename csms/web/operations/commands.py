"""A station's commands: a form for any action, its answer beside it, what was asked for before, and cancelling.

One form, told apart by the button that was pressed, so that it works without a script and keeps what was typed.
"""

from typing import Any

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging import overview
from csms.charging.command_ends import CancelCommand
from csms.charging.command_queue import QueueCommand
from csms.charging.prepaid_settings import Reported
from csms.commands.actions import ACTIONS
from csms.commands.dangers import danger_of
from csms.commands.field_words import ABOUT
from csms.commands.fields import Field, fields_of
from csms.commands.history import CommandFilter, CommandRow, count_commands, find_command, list_commands
from csms.commands.requests import CommandInvalid, ask
from csms.operations.core import Outcome, WantedAvailability
from csms.operations.core_store import outcomes_of, wanted_of
from csms.web.command_rights import offered, right_for
from csms.web.forms import Form
from csms.web.operations import command_form
from csms.web.operations.command_form import PREFIX
from csms.web.operations.stations import find_by_id
from csms.web.visit import PageOf, Visit

_MOST_RUNNING = 50
_PAYLOAD = msgspec.json.Decoder()


class _Report(msgspec.Struct, frozen=True):
    configuration_key: tuple[Reported, ...] | None = msgspec.field(default=(), name="configurationKey")


class Wish(msgspec.Struct, frozen=True):
    """What somebody typed: the call, or None where it has to be shown again; and why to think twice about it."""

    asked: QueueCommand | None
    danger: str | None = None


def action_of(name: str) -> str:
    """Return the name of an action; there is no page for another."""
    if name not in ACTIONS:
        raise HTTPException(404, "There is no such action.")
    return name


def form_of(visit: Visit, action: str) -> Form:
    """Return the form with which an action begins: usual values, and what the link gives (`p.connectorId=2`)."""
    prefix = f"{PREFIX}."
    given = {name.removeprefix(prefix): visit.query(name) for name in visit.request.query_params if name[:2] == prefix}
    return command_form.fresh_form(action, visit.now, given)


def read_wish(visit: Visit, form: Form, action: str, charge_point_id: int, charging_at: frozenset[int]) -> Wish:
    """Read what was typed, as fields or as JSON; mark what is wrong."""
    as_json = form.typed("act") == "send json"
    payload = command_form.read_json(form) if as_json else command_form.read_payload(form, action)
    expires_s = (form.number("expires_min") or 0) * 60 or None
    right = right_for(action, payload if isinstance(payload, dict) else {})
    if not visit.may(right.permission):
        form.refuse("form", f"You may not send this: {right.what} takes the permission to {right.permission}.")
    if not form.valid:
        return Wish(None)
    try:
        asked = ask(charge_point_id, action, payload, visit.staff.actor, expires_s=expires_s)
    except CommandInvalid as error:
        command_form.mark(form, error, as_json=as_json)
        return Wish(None)
    return Wish(asked, danger_of(action, payload, charging_at))


def changed_form(visit: Visit, action: str) -> Form | None:
    """Return the form as the pressed button changes it, without sending anything; None for the buttons that send."""
    act = visit.fields.get("act", "")
    if act.startswith("add "):
        return command_form.with_another_row(visit.fields, act.removeprefix("add "))
    form = Form(visit.fields)
    if act == "as json":
        payload = command_form.read_payload(Form(visit.fields), action)
        return Form({**visit.fields, "json": command_form.written(payload)})
    return form if act == "show" else None


async def show(visit: Visit) -> Response:
    """Show the commands of a station; with an action its form, with a command its answer, and what was sent."""
    station, _ = await _station(visit)
    command = None
    number = visit.query_number("command")
    if number is not None:
        command = await visit.read(lambda connection: find_command(connection, number))
        if command is None or command.charge_point_id != station.charge_point_id:
            raise HTTPException(404, "There is no such command at this station.")
    name = visit.query("action") or (command.action if command is not None else "")
    if not name:
        return await _page(visit, station, "", Form(), command=command)
    action = action_of(name)
    form = form_of(visit, action)
    if command is not None and command.action == action:
        form = command_form.filled_form(_PAYLOAD.decode(command.payload_json.encode()))
    return await _page(visit, station, action, form, command=command)


async def send(visit: Visit) -> Response:
    """Queue the command that was typed; what is dangerous is asked for once more."""
    action = action_of(visit.fields.get("action", ""))
    station, charging_at = await _station(visit)
    changed = changed_form(visit, action)
    if changed is not None:
        return await _page(visit, station, action, changed)
    form = Form(visit.fields)
    wish = read_wish(visit, form, action, station.charge_point_id, charging_at)
    if wish.asked is None:
        return await _page(visit, station, action, form, status=422)
    if wish.danger is not None and form.typed("confirmed") != wish.danger:
        return await _page(visit, station, action, form, danger=wish.danger)
    command = await visit.portal.engine.submit(wish.asked)
    return visit.go(f"/stations/{station.charge_point_id}/commands", action=action, command=command.command_id)


async def cancel(visit: Visit) -> Response:
    """Take a command out of the queue."""
    charge_point_id, command_id = visit.path_number("charge_point_id"), visit.path_number("command_id")
    command = await visit.read(lambda connection: find_command(connection, command_id))
    if command is None or command.charge_point_id != charge_point_id:
        raise HTTPException(404, "There is no such command at this station.")
    cancelled = await visit.portal.engine.submit(CancelCommand(command_id, visit.staff.actor))
    path = f"/stations/{charge_point_id}/commands"
    return visit.go(path, command=command_id, done="cancelled" if cancelled else "too late")


async def answer(visit: Visit) -> Response:
    """Return what became of a command so far; the browser asks again while it is not decided."""
    command_id = visit.path_number("command_id")
    command = await visit.read(lambda connection: find_command(connection, command_id))
    if command is None or command.charge_point_id != visit.path_number("charge_point_id"):
        raise HTTPException(404, "There is no such command at this station.")
    return visit.page("operations/_command_answer.html", command=command, reported=reported_keys(command))


def reported_keys(command: CommandRow | None) -> tuple[Reported, ...]:
    """Return the keys that GetConfiguration brought, which are easier to read as a table."""
    if command is None or command.action != "GetConfiguration" or command.state != "accepted":
        return ()
    try:
        return msgspec.json.decode((command.answer_json or "{}").encode(), type=_Report).configuration_key or ()
    except msgspec.MsgspecError:
        return ()


async def history(visit: Visit) -> Response:
    """Return the part of the page that lists what was asked for before."""
    station, _ = await _station(visit)
    pages, rows = await visit.read(lambda connection: _history(visit, connection, station.charge_point_id))
    return visit.page("operations/_command_history.html", station=station, pages=pages, commands=rows)


class _Below(msgspec.Struct, frozen=True):
    """What stands below the form."""

    pages: PageOf
    commands: tuple[CommandRow, ...]
    outcomes: tuple[Outcome, ...]
    wanted: dict[int, WantedAvailability]


async def _page(
    visit: Visit,
    station: overview.StationView,
    action: str,
    form: Form,
    *,
    status: int = 200,
    command: CommandRow | None = None,
    danger: str | None = None,
) -> Response:
    def load(connection: Connection) -> _Below:
        pages, rows = _history(visit, connection, station.charge_point_id)
        outcomes = tuple(outcomes_of(connection, station.charge_point_id))
        return _Below(pages, tuple(rows), outcomes, wanted_of(connection, station.charge_point_id))

    below = await visit.read(load)
    return visit.page(
        "operations/station_commands.html",
        status=status,
        station=station,
        action=action,
        form=form,
        command=command,
        reported=reported_keys(command),
        danger=danger,
        pages=below.pages,
        commands=below.commands,
        outcomes=below.outcomes,
        wanted=below.wanted,
        done=visit.query("done"),
        **form_words(visit, action),
    )


def form_words(visit: Visit, action: str) -> dict[str, Any]:
    """Return what the templates of a form need to know of its action."""
    fields: tuple[Field, ...] = fields_of(action) if action else ()
    return {
        "families": offered(visit.may),
        "about": ABOUT,
        "fields": fields,
        "rows_of": command_form.rows_of,
        "rows_name": command_form.rows_name,
        "most_rows": command_form.MOST_ROWS,
    }


def _history(visit: Visit, connection: Connection, charge_point_id: int) -> tuple[PageOf, list[CommandRow]]:
    wanted = CommandFilter(charge_point_id=charge_point_id)
    pages = visit.page_of(count_commands(connection, wanted))
    return pages, list_commands(connection, wanted, limit=pages.size, offset=pages.offset)


async def _station(visit: Visit) -> tuple[overview.StationView, frozenset[int]]:
    """Return the station and its connectors on which a car is charging."""
    charge_point_id = visit.path_number("charge_point_id")

    def load(connection: Connection) -> tuple[overview.StationView | None, frozenset[int]]:
        running = overview.list_transactions(
            connection, state="open", charge_point_id=charge_point_id, limit=_MOST_RUNNING
        )
        return find_by_id(connection, charge_point_id), frozenset(one.connector_id for one in running)

    station, charging_at = await visit.read(load)
    if station is None:
        raise HTTPException(404, "There is no such station.")
    return station, charging_at
