"""What people read of commands: one, and the lists of a station and of all. Reads only; every list has a limit."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.db import as_fact

_command, _cp = models.command.c, models.charge_point.c


class CommandRow(msgspec.Struct, frozen=True):
    """A command as people see it: who asked for what, when, and what came back."""

    command_id: int
    charge_point_id: int
    charge_point: str
    action: str
    payload_json: str
    state: str
    requested_by: str
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


_ROWS = select(
    _command.id,
    _command.charge_point_id,
    _cp.identity,
    _command.action,
    _command.payload_json,
    _command.state,
    _command.requested_by,
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
