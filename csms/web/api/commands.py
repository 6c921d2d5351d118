"""Commands over the API: any call that a central system may send, what became of it, and a station's history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, cast

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.charging.command_queue import QueueCommand
from csms.charging.facts import CommandState
from csms.commands import history
from csms.commands.actions import ACTIONS
from csms.commands.requests import CommandInvalid, ask
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.command_rights import right_for

_LONGEST_WAIT_S = 120

ActionName = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"enum": sorted(ACTIONS)}, description="The action as OCPP 1.6 spells it.", examples=["Reset"]
    ),
]
WaitSeconds = Annotated[
    int, msgspec.Meta(ge=0, le=_LONGEST_WAIT_S, description="Answer after so many seconds, if not before.")
]

ExpirySeconds = Annotated[
    int, msgspec.Meta(ge=1, le=30 * 86_400, description="Not sent any more after so many seconds.")
]


class NewCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A call to be sent to a charge point, now or when it is back."""

    action: ActionName
    payload: Annotated[
        dict[str, Any], msgspec.Meta(description="The call's payload, with OCPP's own field names.")
    ] = {}
    wait_s: WaitSeconds = 10
    expires_s: (
        Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400, description="Not sent any more after so many seconds.")]
        | None
    ) = None


class CommandRow(msgspec.Struct, frozen=True):
    """A command and what became of it. `answer` is the payload of the call result, or the details of the call error."""

    id: int
    charge_point_id: int
    action: str
    payload: Any
    state: CommandState
    is_final: bool
    requested_by: str
    transaction_id: int | None
    attempts: int
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    answer: Any
    failure: str | None
    error_code: Annotated[str | None, msgspec.Meta(description="Of the call error that answered it.")] = None
    error_description: str | None = None
    remark: Annotated[str | None, msgspec.Meta(description="That it was answered late, or by a boot.")] = None
    batch_id: Annotated[int | None, msgspec.Meta(description="Of the command to many that it is part of.")] = None


class Wait(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for a final state."""

    wait_s: WaitSeconds = 0


class CommandFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which commands of a list."""

    action: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    state: CommandState | None = None


async def create(call: ApiCall, wanted: NewCommand) -> Answer:
    """Queue a command and wait for its answer as long as was asked for."""
    charge_point_id = call.path_number("charge_point_id")
    if not await call.read(lambda connection: charge_point_exists(connection, charge_point_id)):
        raise Problem("not-found", "There is no such charge point.")
    asked = wish_of(call, charge_point_id, wanted.action, wanted.payload, wanted.expires_s)
    command = await call.submit(asked)
    return await answered(call, command.command_id, wanted.wait_s)


def wish_of(
    call: ApiCall, charge_point_id: int, action: str, payload: Mapping[str, Any], expires_s: int | None
) -> QueueCommand:
    """Return what is to be queued; `Problem` where it is no call, or one that takes a scope that the key has not."""
    call.need(right_for(action, payload).scope)
    try:
        return ask(charge_point_id, action, payload, call.actor, expires_s=expires_s)
    except CommandInvalid as error:
        field = error.field if error.field == "action" else ".".join(filter(None, ("payload", error.field)))
        raise Problem("invalid", error.explanation, field=field) from None


async def answered(call: ApiCall, command_id: int, wait_s: int) -> Answer:
    """Return the row of a command once it is final, or as it is after `wait_s`: 200 or 202."""
    if wait_s:
        await call.portal.waiting.wait_for(command_id, wait_s)
    row = shown(found(await call.read(lambda connection: history.find_command(connection, command_id)), "command"))
    return Answer(row, 200 if row.is_final else 202, {"Location": f"/api/v1/commands/{command_id}"})


async def show(call: ApiCall, query: Wait) -> Answer:
    """Show one command."""
    return await answered(call, call.path_number("command_id"), query.wait_s)


async def show_of_station(call: ApiCall, query: CommandFilter) -> Page[CommandRow]:
    """List the commands of a charge point, the newest first."""
    charge_point_id = call.path_number("charge_point_id")
    before = read_cursor(query.cursor, tuple[int])

    def load(connection: Connection) -> list[CommandRow] | None:
        if not charge_point_exists(connection, charge_point_id):
            return None
        wanted = history.CommandFilter(charge_point_id, action=query.action or "", state=query.state or "")
        last = before[0] if before else None
        rows = history.list_commands(connection, wanted, before=last, limit=query.limit + 1)
        return [shown(row) for row in rows]

    rows = found(await call.read(load), "charge point")
    return page_of(rows, query.limit, lambda row: (row.id,))


def charge_point_exists(connection: Connection, charge_point_id: int) -> bool:
    """Tell whether there is a charge point with this number."""
    statement = select(models.charge_point.c.id).where(models.charge_point.c.id == charge_point_id)
    return connection.execute(statement).first() is not None


def shown(row: history.CommandRow) -> CommandRow:
    """Return a command as the API shows it."""
    return CommandRow(
        row.command_id,
        row.charge_point_id,
        row.action,
        _json(row.payload_json),
        cast("CommandState", row.state),
        row.is_decided,
        row.requested_by,
        row.transaction_id,
        row.attempts,
        row.created_at,
        row.expires_at,
        row.sent_at,
        row.answered_at,
        _json(row.answer_json),
        row.failure,
        row.error_code,
        row.error_description,
        row.remark,
        row.batch_id,
    )


def _json(text: str | None) -> object:
    """Read what was stored as JSON; what a charge point wrote otherwise stays text."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


ENDPOINTS = (
    Endpoint(
        "POST",
        "/charge-points/{charge_point_id:int}/commands",
        create,
        "commands:write",
        "Send a command",
        CommandRow,
        "commands",
        request=NewCommand,
        description=(
            "Any of the 26 calls of a central system, with any of its fields. The command is a durable row: it waits "
            "for a charge point that is not connected until it expires. With `wait_s` the answer to this request "
            "comes when the charge point has answered, or after that time with 202. InstallCertificate, "
            "DeleteCertificate, CertificateSigned, and ChangeConfiguration of AuthorizationKey, SecurityProfile or "
            "CpoName need the scope security:write too; updates of firmware need files:write."
        ),
        example={"action": "TriggerMessage", "payload": {"requestedMessage": "Heartbeat"}, "wait_s": 0},
        more={202: "It has no final state yet; ask again at the address in Location."},
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        "/charge-points/{charge_point_id:int}/commands",
        show_of_station,
        "commands:read",
        "List a charge point's commands",
        Page[CommandRow],
        "commands",
        query=CommandFilter,
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        "/commands/{command_id:int}",
        show,
        "commands:read",
        "Show a command",
        CommandRow,
        "commands",
        query=Wait,
        more={202: "It has no final state yet."},
        problems=("not-found",),
    ),
)
