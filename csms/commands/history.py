"""What people read of commands: one, the lists of a station and of all, and how far commands to many stations are.

Reads only; every list has a limit.
"""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from csms.charging import models
from csms.charging.command_models import command_batch
from csms.db import as_fact

_command, _cp, _batch = models.command.c, models.charge_point.c, command_batch.c

STATES = ("queued", "sent", "accepted", "rejected", "failed", "timed out", "expired")


class CommandRow(msgspec.Struct, frozen=True):
    """A command as people see it: who asked for what, when, and what came back."""

    command_id: int
    charge_point_id: int
    charge_point: str
    action: str
    payload_json: str
    state: str
    requested_by: str
    transaction_id: int | None
    attempts: int
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    answer_json: str | None  # of a call error its details
    failure: str | None
    error_code: str | None
    error_description: str | None
    remark: str | None
    batch_id: int | None

    @property
    def is_decided(self) -> bool:
        """Whether it is known what became of it; it is neither queued nor on its way."""
        return self.state not in {"queued", "sent"}


class CommandFilter(msgspec.Struct, frozen=True):
    """Which commands of all: whatever is given has to fit. `requested_by` is a part of who asked."""

    charge_point_id: int | None = None
    charge_point: str = ""
    action: str = ""
    state: str = ""
    requested_by: str = ""
    batch_id: int | None = None


class BatchRow(msgspec.Struct, frozen=True):
    """Commands to many stations as people see them, with how many are in which state."""

    batch_id: int
    action: str
    payload_json: str
    requested_by: str
    target: str
    size: int
    created_at: datetime
    stopped_at: datetime | None
    stopped_by: str | None
    queued: int
    sent: int
    accepted: int
    rejected: int
    failed: int
    timed_out: int
    expired: int

    @property
    def is_over(self) -> bool:
        """Whether it is known of each what became of it."""
        return not self.queued and not self.sent

    @property
    def decided(self) -> int:
        """How many are decided."""
        return self.size - self.queued - self.sent

    def count(self, state: str) -> int:
        """Return how many are in a state."""
        number: int = getattr(self, state.replace(" ", "_"))
        return number


_ROWS = select(
    _command.id,
    _command.charge_point_id,
    _cp.identity,
    _command.action,
    _command.payload_json,
    _command.state,
    _command.requested_by,
    _command.transaction_id,
    _command.attempts,
    _command.created_at,
    _command.expires_at,
    _command.sent_at,
    _command.answered_at,
    _command.answer_json,
    _command.failure,
    _command.error_code,
    _command.error_description,
    _command.remark,
    _command.batch_id,
).join_from(models.command, models.charge_point, _cp.id == _command.charge_point_id)


def find_command(connection: Connection, command_id: int) -> CommandRow | None:
    """Return one command, None where there is none."""
    row = connection.execute(_ROWS.where(_command.id == command_id)).first()
    return None if row is None else as_fact(CommandRow, row)


def list_commands(
    connection: Connection, wanted: CommandFilter, *, before: int | None = None, limit: int, offset: int = 0
) -> list[CommandRow]:
    """Return commands, the newest first, of those before a number where one is given."""
    statement = _ROWS.where(_fits(wanted)).order_by(_command.id.desc()).limit(limit).offset(offset)
    if before is not None:
        statement = statement.where(_command.id < before)
    return [as_fact(CommandRow, row) for row in connection.execute(statement)]


def count_commands(connection: Connection, wanted: CommandFilter) -> int:
    """Return how many `list_commands` would list in all."""
    counting = select(func.count()).select_from(models.command)
    if wanted.charge_point:
        counting = counting.join(models.charge_point, _cp.id == _command.charge_point_id)
    return connection.execute(counting.where(_fits(wanted))).scalar_one()


def _fits(wanted: CommandFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_command.id > 0]
    for column, value in (
        (_command.charge_point_id, wanted.charge_point_id),
        (_command.batch_id, wanted.batch_id),
        (_command.action, wanted.action or None),
        (_command.state, wanted.state or None),
    ):
        if value is not None:
            conditions.append(column == value)
    for column, part in ((_cp.identity, wanted.charge_point), (_command.requested_by, wanted.requested_by)):
        if part.strip():
            conditions.append(func.lower(column).contains(part.strip().lower(), autoescape=True))
    return and_(*conditions)


_BATCHES = (
    select(
        _batch.id,
        _batch.action,
        _batch.payload_json,
        _batch.requested_by,
        _batch.target,
        _batch.size,
        _batch.created_at,
        _batch.stopped_at,
        _batch.stopped_by,
        *(func.count(case((_command.state == state, 1))) for state in STATES),
    )
    .outerjoin_from(command_batch, models.command, _command.batch_id == _batch.id)
    .group_by(*command_batch.c)
    .order_by(_batch.id.desc())
)


def find_batch(connection: Connection, batch_id: int) -> BatchRow | None:
    """Return one batch, None where there is none."""
    row = connection.execute(_BATCHES.where(_batch.id == batch_id)).first()
    return None if row is None else as_fact(BatchRow, row)


def list_batches(connection: Connection, *, before: int | None = None, limit: int) -> list[BatchRow]:
    """Return the newest batches, of those before a number where one is given."""
    newest = select(_batch.id).order_by(_batch.id.desc()).limit(limit)
    if before is not None:
        newest = newest.where(_batch.id < before)
    return [as_fact(BatchRow, row) for row in connection.execute(_BATCHES.where(_batch.id.in_(newest)))]
