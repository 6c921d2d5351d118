"""Commands to many charge points at once, and what may not be shown of commands. Pure.

A batch is a row, and a command for each charge point; how far it is, the commands tell. To stop it is to expire what
is still queued. The store brings what is named here; one command and its answers are charging's matter.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision
from csms.charging.command_ends import rebooted
from csms.charging.command_queue import QueueCommand, expired
from csms.charging.facts import Command, CommandSecret
from csms.charging.stations import Boot, Booted
from csms.charging.working_set import Names, WorkingSet
from csms.masking import MASK

BATCH_KEYS, BATCHES = "command batches by form", "command batches"  # what the store is asked for, and brings
FREE_BATCH_IDS = "free command batch ids"


class Batch(msgspec.Struct, frozen=True):
    """The same call to many charge points; fields as in the table `command_batch`."""

    batch_id: int
    form_key: str
    action: str
    payload_json: str
    requested_by: str
    target: str
    size: int
    created_at: datetime


class BatchStopped(msgspec.Struct, frozen=True):
    """What a batch has not sent yet will not be sent."""

    batch_id: int
    stopped_by: str


class SecretOver(msgspec.Struct, frozen=True):
    """A command is decided: what is not shown of it is not needed any more."""

    command_id: int


class QueueBatch(msgspec.Struct, frozen=True):
    """Somebody wants the same call to be sent to each of these charge points. Of `model` all but the charge point
    counts; a form that is sent twice (`form_key`) asks once.
    """

    form_key: str
    target: str
    charge_point_ids: tuple[int, ...]
    model: QueueCommand

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.new_commands += len(self.charge_point_ids)
        names.more.setdefault(BATCH_KEYS, set()).add(self.form_key)


class StopBatch(msgspec.Struct, frozen=True):
    """Somebody wants that a batch goes no further."""

    batch_id: int
    stopped_by: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.more.setdefault(BATCHES, set()).add(self.batch_id)


def queue_batch(asked: QueueBatch, working_set: WorkingSet, now: datetime) -> Decision[int]:
    """Queue a command for each charge point and return the number of the batch; a repeated form changes nothing."""
    known: dict[Any, Any] = working_set.more.setdefault(BATCH_KEYS, {})
    if asked.form_key in known:
        return Decision(known[asked.form_key])
    free: dict[Any, Any] = working_set.more[FREE_BATCH_IDS]
    batch_id = known[asked.form_key] = free.pop(min(free))
    model = asked.model
    batch = Batch(
        batch_id,
        asked.form_key,
        model.action,
        model.payload_json,
        model.requested_by,
        asked.target[:200],
        len(asked.charge_point_ids),
        now,
    )
    intents: list[object] = [batch]
    lifetime_s = working_set.policy.command_expiry_s if model.expires_s is None else model.expires_s
    first = len(working_set.new_commands)
    for command_id, charge_point_id in zip(
        working_set.free_command_ids[first : first + len(asked.charge_point_ids)], asked.charge_point_ids, strict=True
    ):
        command = Command(
            command_id,
            charge_point_id,
            model.action,
            model.payload_json,
            "queued",
            model.requested_by,
            model.repeatable,
            now,
            now + timedelta(seconds=lifetime_s),
            batch_id=batch_id,
        )
        intents.append(command)
        if model.secret_json is not None:
            intents.append(CommandSecret(command_id, model.secret_json))
    return Decision(batch_id, tuple(intents))


def stop_batch(asked: StopBatch, working_set: WorkingSet, now: datetime) -> Decision[int | None]:
    """Expire what a batch has not sent yet and return how many that are; None where there is no such batch."""
    if asked.batch_id not in working_set.more.get(BATCHES, {}):
        return Decision(None)
    queued = [one for one in working_set.commands.values() if one.batch_id == asked.batch_id and one.state == "queued"]
    why = f"stopped by {asked.stopped_by}"
    stopped = BatchStopped(asked.batch_id, asked.stopped_by)
    return Decision(len(queued), (stopped, *(expired(one, why, now) for one in queued)))


def forget_secret(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Return the end of what is not shown of a command, once it is decided."""
    return (SecretOver(command.command_id),) if MASK in command.payload_json else ()


def answering_resets(
    said: Boot, decision: Decision[Booted], working_set: WorkingSet, now: datetime
) -> Decision[Booted]:
    """Let a boot answer the resets that were sent to its charge point and not answered."""
    resets = rebooted(said.charge_point_id, working_set, now)
    return Decision(decision.outcome, (*decision.intents, *resets))
