"""Set-wise reads and writes beside the rows of commands: batches, secrets, and resets that a boot may answer.

Knows the tables; decides nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection as Sql
from sqlalchemy import bindparam, delete, insert, select, update

from csms.charging import models
from csms.charging.command_models import command_batch, command_batch_ids, command_secret
from csms.charging.command_queue import SECRETS
from csms.charging.facts import Command, CommandSecret
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of, take_ids
from csms.masking import MASK
from csms.operations.commands import BATCH_KEYS, BATCHES, FREE_BATCH_IDS, Batch, BatchStopped, SecretOver

_c = models.command.c
_COMMANDS = select(*(_c.id if name == "command_id" else _c[name] for name in Command.__struct_fields__))
_RESETS = (
    _COMMANDS.where(_c.action == "Reset", _c.state.in_(("failed", "timed out")))
    .where(any_of(_c.charge_point_id, "keys"))
    .order_by(_c.id)
    .with_for_update()
)
_QUEUED = _COMMANDS.where(any_of(_c.batch_id, "keys"), _c.state == "queued").order_by(_c.id).with_for_update()
_SECRETS = select(command_secret.c.command_id, command_secret.c.payload_json).where(
    any_of(command_secret.c.command_id, "keys")
)
_FORMS = select(command_batch.c.form_key, command_batch.c.id).where(any_of(command_batch.c.form_key, "keys"))
_BATCHES = select(command_batch.c.id).where(any_of(command_batch.c.id, "keys"))


def load(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    """Bring the batches that are named, the secrets of commands that may be sent, and the resets before a boot."""
    more = working_set.more
    if forms := names.more.get(BATCH_KEYS):
        more[BATCH_KEYS] = {row.form_key: row.id for row in connection.execute(_FORMS, {"keys": sorted(forms)})}
        more[FREE_BATCH_IDS] = {key: key for key in take_ids(connection, command_batch_ids, len(forms))}
    if batches := names.more.get(BATCHES):
        keys = {"keys": sorted(batches)}
        more[BATCHES] = {batch_id: batch_id for batch_id in connection.execute(_BATCHES, keys).scalars()}
        _take(working_set, connection.execute(_QUEUED, keys))
    if names.settings_at:  # of each boot
        _take(working_set, connection.execute(_RESETS, {"keys": sorted(names.settings_at)}))
    if names.commands_at:
        masked = [one.command_id for one in working_set.commands.values() if MASK in one.payload_json]
        if masked:
            rows = connection.execute(_SECRETS, {"keys": sorted(masked)})
            more[SECRETS] = {row.command_id: row.payload_json for row in rows}


def _take(working_set: WorkingSet, rows: Any) -> None:  # noqa: ANN401 - rows of any statement
    for row in rows:
        working_set.commands.setdefault(row[0], Command(*row))


_PUT_BATCH = Many(insert(command_batch), ["id", *Batch.__struct_fields__[1:]])
_STOP_BATCH = Many(
    update(command_batch)
    .where(command_batch.c.id == bindparam("b_key"), command_batch.c.stopped_at.is_(None))
    .values(stopped_by=bindparam("b_stopped_by"), stopped_at=bindparam("b_stopped_at")),
    ["b_key", "b_stopped_by", "b_stopped_at"],
)
_PUT_SECRET = Many(insert(command_secret), CommandSecret.__struct_fields__)
_FORGET = delete(command_secret).where(any_of(command_secret.c.command_id, "keys"))
_batch_row, _secret_row = attrgetter(*Batch.__struct_fields__), attrgetter(*CommandSecret.__struct_fields__)


def write_batches(connection: Sql, batches: Sequence[Batch], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Insert batches."""
    _PUT_BATCH.execute(connection, map(_batch_row, batches))


def write_stops(connection: Sql, stopped: Sequence[BatchStopped], now: datetime) -> None:
    """Note who stopped a batch; the first one stays."""
    _STOP_BATCH.execute(connection, [(one.batch_id, one.stopped_by, now) for one in stopped])


def write_secrets(connection: Sql, secrets: Sequence[CommandSecret], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Insert what may not be shown."""
    _PUT_SECRET.execute(connection, map(_secret_row, secrets))


def forget_secrets(connection: Sql, over: Sequence[SecretOver], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Delete what is not needed any more."""
    connection.execute(_FORGET, {"keys": sorted(one.command_id for one in over)})
