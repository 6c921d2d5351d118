"""`csms station command`, `csms group station command` and `csms command`: send any call to stations, see the answers.

A command is a row: a running server sends it. Nothing here speaks with a station.
"""

import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from sqlalchemy import Connection

from csms.charging.command_ends import CancelCommand
from csms.charging.command_queue import QueueCommand
from csms.charging.groups import find_station_group
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.clock import monotonic_s
from csms.commands.actions import ACTIONS
from csms.commands.history import (
    STATES,
    BatchRow,
    CommandFilter,
    CommandRow,
    find_batch,
    find_command,
    list_batches,
    list_commands,
)
from csms.commands.requests import CommandInvalid, ask
from csms.commands.targets import Target, group_target, named_target
from csms.installation import Installation
from csms.operations.commands import QueueBatch, StopBatch

commands = typer.Typer()

_POLL_S = 0.2
_NOBODY = 0  # the station of the model of a batch

SEND_HELP = """Send a call to a charge point, now or when it is back.

\b
csms station command CP-1 Reset --json '{"type":"Soft"}' --wait 30
csms station command CP-1 GetConfiguration --json '{"key":["HeartbeatInterval"]}' --wait 30
csms station command CP-1 ClearCache
"""
SEND_TO_GROUP_HELP = """Send a call to every station of a group.

\b
csms group station command Harbour Reset --json '{"type":"Soft"}'
csms command progress 1
"""

Found = TypeVar("Found")
Action = Annotated[str, typer.Argument(metavar="ACTION", help="Such as Reset, as OCPP 1.6 spells it.")]
Payload = Annotated[str, typer.Option("--json", metavar="PAYLOAD", help="""The call's fields: '{"type":"Soft"}'.""")]
Wait = Annotated[float, typer.Option(min=0, max=3600, help="Seconds to wait for the answer; 0: do not wait.")]
Expiry = Annotated[int, typer.Option(min=0, help="Seconds after which it is not sent any more; 0: as configured.")]
ShowJson = Annotated[bool, typer.Option("--show-json", help="Print the command as JSON, for scripts.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="The number of the command.")]
BatchNumber = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Of the command to many stations.")]


def send(
    identity: Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")],
    action: Action,
    payload: Payload = "{}",
    wait: Wait = 0,
    expires: Expiry = 0,
    *,
    as_json: ShowJson = False,
) -> None:
    """Send a call to a charge point; without waiting, only its number is told."""
    with opened() as installation:
        target = _read(installation, lambda connection: named_target(connection, [identity]))
        if not target.charge_point_ids:
            raise Refusal(f"There is no charge point {identity}; `csms station list` shows them.")
        asked = _asked(target.charge_point_ids[0], action, payload, expires)
        command_id: int = installation.engine.execute(asked).command_id
        one = _awaited(installation, command_id, wait)
        if wait and not one.is_decided:
            raise Refusal(f"No answer within {wait:g} s. Command {command_id} goes on: see `csms command list`.")
        if wait and one.state != "accepted":
            raise Refusal(f"{identity} {_ended(one)}. See `csms command show {command_id}`.")
        if as_json:
            show_json(_as_json(one))
        elif wait:
            say(one.answer_json or one.remark or "accepted")
        else:
            say(f"Queued as command {command_id}: `csms command show {command_id}` tells what came of it.")


def send_to_group(
    name: Annotated[str, typer.Argument(metavar="NAME", help='The group of stations, such as "Harbour".')],
    action: Action,
    payload: Payload = "{}",
    expires: Expiry = 0,
    *,
    as_json: ShowJson = False,
) -> None:
    """Send a call to every station of a group."""
    with opened() as installation:

        def find(connection: Connection) -> Target | None:
            group = find_station_group(connection, name=name)
            return None if group is None else group_target(connection, group.group_id)

        target = _read(installation, find)
        if target is None:
            raise Refusal(f"There is no station group {name}; `csms group station list` shows them.")
        if not target.charge_point_ids:
            raise Refusal(f"There is no station in the group {name}; `csms group station set` puts them in.")
        asked = _asked(_NOBODY, action, payload, expires)
        batch = QueueBatch(secrets.token_hex(16), target.words, target.charge_point_ids, asked)
        batch_id: int = installation.engine.execute(batch)
        if as_json:
            show_json(_batch_json(_found_batch(installation, batch_id)))
            return
        number = len(target.charge_point_ids)
        say(f"Queued for {number} stations as {batch_id}: `csms command progress {batch_id}` tells how far it is.")


@commands.command("list")
def show_list(
    station: Annotated[str, typer.Option(help="Part of a station's identity.")] = "",
    action: Annotated[str, typer.Option(help="Such as Reset.")] = "",
    state: Annotated[str, typer.Option(help="queued, sent, accepted, rejected, failed, timed out or expired.")] = "",
    by: Annotated[str, typer.Option(help="Part of who asked.")] = "",
    batch: Annotated[int, typer.Option(min=0, help="Those of a command to many stations; 0: all.")] = 0,
    limit: Limit = 50,
    *,
    as_json: Json = False,
) -> None:
    """List commands, the newest first."""
    if action and action not in ACTIONS:
        raise WrongArgument(f"{action} is not an action that a central system sends: {', '.join(ACTIONS)}.")
    if state and state not in STATES:
        raise WrongArgument(f"{state!r} is no state of a command: {', '.join(STATES)}.")
    wanted = CommandFilter(charge_point=station, action=action, state=state, requested_by=by, batch_id=batch or None)
    with opened() as installation:
        found = _read(installation, lambda connection: list_commands(connection, wanted, limit=limit))
        if as_json:
            show_json([_as_json(one) for one in found])
            return
        time_zone = installation.settings.time_zone
        columns = ("number", "asked for", "station", "command", "state", "answer", "by")
        rows = [
            (
                one.command_id,
                moment(one.created_at, time_zone),
                one.charge_point,
                one.action,
                one.state,
                (one.failure or one.answer_json or "")[:80],
                one.requested_by,
            )
            for one in found
        ]
        show_table(columns, rows, right=("number",))


@commands.command()
def show(number: Number, wait: Wait = 0, *, as_json: Json = False) -> None:
    """Show a command: who asked for what, and what came back."""
    with opened() as installation:
        one = _awaited(installation, number, wait)
        if as_json:
            show_json(_as_json(one))
            return
        time_zone = installation.settings.time_zone
        facts: list[tuple[str, object]] = [
            ("station", one.charge_point),
            ("command", one.action),
            ("payload", one.payload_json),
            ("state", one.state),
            ("asked for", moment(one.created_at, time_zone)),
            ("by", one.requested_by),
            ("expires", moment(one.expires_at, time_zone)),
            ("sent", moment(one.sent_at, time_zone)),
            ("attempts", one.attempts),
            ("decided", moment(one.answered_at, time_zone)),
            ("answer", one.answer_json),
            ("failure", one.failure),
            ("remark", one.remark),
        ]
        show_facts([fact for fact in facts if fact[1] not in {None, ""}])


@commands.command()
def cancel(number: Number) -> None:
    """Take a command out of the queue, if it was not sent yet."""
    with opened() as installation:
        cancelled: bool | None = installation.engine.execute(CancelCommand(number, ACTOR))
        if cancelled is None:
            raise Refusal(_unknown(number))
        if not cancelled:
            raise Refusal(f"Command {number} cannot be cancelled any more: `csms command show {number}`.")
        say(f"Cancelled command {number}.")


@commands.command()
def progress(
    number: Annotated[int, typer.Argument(metavar="[NUMBER]", min=0, help="Without it: the newest ones.")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Show how far commands to many stations are."""
    with opened() as installation:
        if number:
            found = [_found_batch(installation, number)]
        else:
            found = _read(installation, lambda connection: list_batches(connection, limit=20))
        if as_json:
            show_json([_batch_json(one) for one in found])
            return
        columns = ("number", "command", "for", "stations", *STATES, "asked for", "by", "stopped by")
        time_zone = installation.settings.time_zone
        rows = [
            (
                one.batch_id,
                one.action,
                one.target,
                one.size,
                *(one.count(state) for state in STATES),
                moment(one.created_at, time_zone),
                one.requested_by,
                one.stopped_by,
            )
            for one in found
        ]
        show_table(columns, rows, right=("number", "stations", *STATES))


@commands.command()
def stop(number: BatchNumber) -> None:
    """Stop a command to many stations: those that were not told yet will not be."""
    with opened() as installation:
        stopped: int | None = installation.engine.execute(StopBatch(number, ACTOR))
        if stopped is None:
            raise Refusal(_unknown_batch(number))
        say(f"Stopped: {stopped} stations were not told.")


def _asked(charge_point_id: int, action: str, payload: str, expires: int) -> QueueCommand:
    try:
        fields = msgspec.json.decode(payload.encode(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise WrongArgument(f"--json is no JSON object ({error}).") from None
    try:
        return ask(charge_point_id, action, fields, ACTOR, expires_s=expires or None)
    except CommandInvalid as error:
        raise WrongArgument(f"{str(error).rstrip('.')}.") from None


def _awaited(installation: Installation, command_id: int, wait_s: float) -> CommandRow:
    deadline_s = monotonic_s() + wait_s
    while True:
        one = _read(installation, lambda connection: find_command(connection, command_id))
        if one is None:
            raise Refusal(_unknown(command_id))
        if one.is_decided or monotonic_s() >= deadline_s:
            return one
        time.sleep(_POLL_S)


def _read(installation: Installation, query: Callable[[Connection], Found]) -> Found:
    with installation.database.reading() as connection:
        return query(connection)


def _found_batch(installation: Installation, batch_id: int) -> BatchRow:
    found = _read(installation, lambda connection: find_batch(connection, batch_id))
    if found is None:
        raise Refusal(_unknown_batch(batch_id))
    return found


def _ended(one: CommandRow) -> str:
    if one.answer_json is not None and one.error_code is None:
        return f"answered {one.action} with {one.answer_json}"
    return f"did not do {one.action}: {one.failure or one.state}"


def _unknown(number: int) -> str:
    return f"There is no command {number}; `csms command list` shows them."


def _unknown_batch(number: int) -> str:
    return f"There is no command to many stations {number}; `csms command progress` shows them."


def _as_json(one: CommandRow) -> dict[str, object]:
    return {
        "id": one.command_id,
        "charge_point": one.charge_point,
        "action": one.action,
        "payload": msgspec.Raw(one.payload_json.encode()),
        "state": one.state,
        "requested_by": one.requested_by,
        "attempts": one.attempts,
        "created_at": one.created_at,
        "expires_at": one.expires_at,
        "sent_at": one.sent_at,
        "answered_at": one.answered_at,
        "answer": None if one.answer_json is None else msgspec.Raw((one.answer_json or "null").encode()),
        "failure": one.failure,
        "error_code": one.error_code,
        "error_description": one.error_description,
        "remark": one.remark,
        "batch": one.batch_id,
    }


def _batch_json(one: BatchRow) -> dict[str, object]:
    states = {state.replace(" ", "_"): one.count(state) for state in STATES}
    return {
        "id": one.batch_id,
        "action": one.action,
        "payload": msgspec.Raw(one.payload_json.encode()),
        "target": one.target,
        "stations": one.size,
        **states,
        "requested_by": one.requested_by,
        "created_at": one.created_at,
        "stopped_at": one.stopped_at,
        "stopped_by": one.stopped_by,
    }
