"""Commands to many charge points over the API: asked for once, followed, stopped; and one command cancelled."""

import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from csms.charging.command_ends import CancelCommand
from csms.charging.groups import find_station_group
from csms.commands.history import BatchRow, find_batch, list_batches
from csms.commands.targets import MOST_STATIONS, Target, group_target, known_target
from csms.operations.commands import QueueBatch, StopBatch
from csms.web.api.commands import ActionName, CommandRow, ExpirySeconds, answered, wish_of
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id

_TAG = "commands"
_NOBODY = 0  # the charge point of the model of a batch


class NewCommandBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same call for each of these charge points, or for each of a group."""

    action: ActionName
    payload: Annotated[
        dict[str, Any], msgspec.Meta(description="The call's payload, with OCPP's own field names.")
    ] = {}
    charge_point_ids: Annotated[tuple[Id, ...], msgspec.Meta(max_length=MOST_STATIONS)] = ()
    station_group_id: Id | None = None
    expires_s: ExpirySeconds | None = None


class CommandBatch(msgspec.Struct, frozen=True):
    """A command to many charge points, and how many of its commands are in which state."""

    id: int
    action: str
    payload: Any
    target: str
    requested_by: str
    created_at: datetime
    stopped_at: datetime | None
    stopped_by: str | None
    is_over: bool
    size: int
    queued: int
    sent: int
    accepted: int
    rejected: int
    failed: int
    timed_out: int
    expired: int


class NoFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing has to be said."""


async def create(call: ApiCall, wanted: NewCommandBatch) -> CommandBatch:
    """Queue the command for each charge point."""
    target = await call.read(lambda connection: _target(connection, wanted))
    model = wish_of(call, _NOBODY, wanted.action, wanted.payload, wanted.expires_s)
    batch = QueueBatch(secrets.token_hex(16), target.words, target.charge_point_ids, model)
    return await _shown(call, await call.submit(batch))


def _target(connection: Connection, wanted: NewCommandBatch) -> Target:
    if wanted.station_group_id is not None and wanted.charge_point_ids:
        raise Problem("invalid", "Either charge points or a group.", field="station_group_id")
    if wanted.station_group_id is not None:
        target = group_target(connection, wanted.station_group_id)
        if target is None or find_station_group(connection, group_id=wanted.station_group_id) is None:
            raise Problem("invalid", "There is no such group.", field="station_group_id")
        if not target.charge_point_ids:
            raise Problem("invalid", "There is no charge point in this group.", field="station_group_id")
        return target
    target = known_target(connection, wanted.charge_point_ids)
    if target.unknown:
        raise Problem("invalid", f"There is no charge point {target.unknown[0]}.", field="charge_point_ids")
    if not target.charge_point_ids:
        raise Problem("invalid", "Which charge points?", field="charge_point_ids")
    return target


async def show(call: ApiCall) -> CommandBatch:
    """Show one, with how far it is."""
    return await _shown(call, call.path_number("batch_id"))


async def show_list(call: ApiCall, query: Paging) -> Page[CommandBatch]:
    """List them, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    last = before[0] if before else None
    rows = await call.read(lambda connection: list_batches(connection, before=last, limit=query.limit + 1))
    return page_of([_batch_of(row) for row in rows], query.limit, lambda row: (row.id,))


async def stop(call: ApiCall, nothing: NoFields) -> CommandBatch:  # noqa: ARG001 - the body of a request that has none
    """Expire what is still queued."""
    batch_id = call.path_number("batch_id")
    found(await call.submit(StopBatch(batch_id, call.actor)), "command batch")
    return await _shown(call, batch_id)


async def cancel(call: ApiCall, nothing: NoFields) -> Answer:  # noqa: ARG001 - the body of a request that has none
    """Take a command out of the queue."""
    command_id = call.path_number("command_id")
    if not found(await call.submit(CancelCommand(command_id, call.actor)), "command"):
        raise Problem("refused", "The command is on its way or decided.", reason="too late")
    return await answered(call, command_id, 0)


async def _shown(call: ApiCall, batch_id: int) -> CommandBatch:
    row = await call.read(lambda connection: find_batch(connection, batch_id))
    return _batch_of(found(row, "command batch"))


def _batch_of(row: BatchRow) -> CommandBatch:
    return CommandBatch(
        row.batch_id,
        row.action,
        msgspec.json.decode(row.payload_json.encode()),
        row.target,
        row.requested_by,
        row.created_at,
        row.stopped_at,
        row.stopped_by,
        row.is_over,
        row.size,
        row.queued,
        row.sent,
        row.accepted,
        row.rejected,
        row.failed,
        row.timed_out,
        row.expired,
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/commands/{command_id:int}/cancel",
        cancel,
        "commands:write",
        "Cancel a command that is still queued",
        CommandRow,
        _TAG,
        request=NoFields,
        example={},
        problems=("not-found", "refused"),
    ),
    Endpoint(
        "POST",
        "/command-batches",
        create,
        "commands:write",
        "Send a command to many charge points",
        CommandBatch,
        _TAG,
        status=201,
        request=NewCommandBatch,
        description="A command is queued for each charge point. Each of them is sent when its charge point is there.",
        example={"action": "ClearCache", "charge_point_ids": [1]},
    ),
    Endpoint(
        "GET",
        "/command-batches",
        show_list,
        "commands:read",
        "List commands to many charge points",
        Page[CommandBatch],
        _TAG,
        query=Paging,
    ),
    Endpoint(
        "GET",
        "/command-batches/{batch_id:int}",
        show,
        "commands:read",
        "Show how far a command to many charge points is",
        CommandBatch,
        _TAG,
        problems=("not-found",),
    ),
    Endpoint(
        "POST",
        "/command-batches/{batch_id:int}/stop",
        stop,
        "commands:write",
        "Stop a command to many charge points",
        CommandBatch,
        _TAG,
        request=NoFields,
        description="What is still queued expires; what was sent goes on.",
        example={},
        problems=("not-found",),
    ),
)
