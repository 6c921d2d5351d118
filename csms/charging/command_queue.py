"""The life of a command: queued, sent, then accepted, rejected, failed, timed out or expired. Pure.

A command is a durable row, one outstanding per charge point (OCPP-J 1.6, 4.1.1). Knows neither sockets nor what a
payload means.
"""

from datetime import datetime, timedelta

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import UNNUMBERED, Command, CommandState, Transaction
from csms.charging.setting_facts import KeyOffer
from csms.charging.working_set import Names, WorkingSet

SETTINGS = "settings"  # who asks for the commands of the plan of settings
DISPLAY = "display"  # who asks for what displays show
MASKED_KEY = "(made when it is sent)"  # stands for a key in the row of its command, before and after it is sent
_MAX_ATTEMPTS = 5
_TRIGGER_LIFETIME = timedelta(seconds=20)


# A charge point that is not accepted yet may be configured, and is asked for nothing else (OCPP 1.6, 4.2).
_NOT_WHILE_PENDING = frozenset({"RemoteStartTransaction", "RemoteStopTransaction"})


class QueueCommand(msgspec.Struct, frozen=True):
    """Someone wants a call to be sent to a charge point, now or when it is back."""

    charge_point_id: int
    action: str
    payload_json: str
    requested_by: str
    repeatable: bool = False
    transaction_id: int | None = None
    expires_s: int | None = None  # from now; None: as configured

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.new_commands += 1


class ClaimCommand(msgspec.Struct, frozen=True):
    """The connection of a charge point is free to send: which command is next?"""

    charge_point_id: int
    is_pending: bool = False  # it was not accepted yet (OCPP 1.6, 4.2)
    new_key: str = ""  # hex, with the salt and the hash to store, should the command be one that sets a key
    new_salt: str = ""
    new_hash: str = ""

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.commands_at.add(self.charge_point_id)


class AnswerCommand(msgspec.Struct, frozen=True):
    """What became of a command that was sent. `attempt` says which sending it is about."""

    command_id: int
    attempt: int
    state: CommandState
    answer_json: str | None = None
    failure: str | None = None

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.command_ids.add(self.command_id)


def stop_command(one: Transaction, working_set: WorkingSet, requested_by: str, now: datetime) -> Command:
    """Return the command that stops a transaction; repeating it is harmless. Its number is given when it is written."""
    return Command(
        UNNUMBERED,
        one.charge_point_id,
        "RemoteStopTransaction",
        msgspec.json.encode({"transactionId": one.transaction_id}).decode(),
        "queued",
        requested_by,
        repeatable=True,
        created_at=now,
        expires_at=now + timedelta(seconds=working_set.policy.command_expiry_s),
        transaction_id=one.transaction_id,
    )


def trigger_command(one: Transaction, working_set: WorkingSet, now: datetime) -> Command:
    """Return the command that asks for a fresh reading of a transaction; of no use when it comes late."""
    payload = msgspec.json.encode({"requestedMessage": "MeterValues", "connectorId": one.connector_id}).decode()
    asked = stop_command(one, working_set, "credit guard", now)
    return msgspec.structs.replace(
        asked, action="TriggerMessage", payload_json=payload, repeatable=False, expires_at=now + _TRIGGER_LIFETIME
    )


def unlock_command(one: Transaction, working_set: WorkingSet, now: datetime) -> Command:
    """Return the command that unlocks the connector of a transaction, which ends it (OCPP 1.6, 5.18)."""
    payload = msgspec.json.encode({"connectorId": one.connector_id}).decode()
    asked = stop_command(one, working_set, "credit guard", now)
    return msgspec.structs.replace(asked, action="UnlockConnector", payload_json=payload, repeatable=False)


def queue(asked: QueueCommand, working_set: WorkingSet, now: datetime) -> Decision[Command]:
    """Put a command into the queue of its charge point."""
    command = Command(
        working_set.free_command_ids[len(working_set.new_commands)],
        asked.charge_point_id,
        asked.action,
        asked.payload_json,
        "queued",
        asked.requested_by,
        asked.repeatable,
        now,
        now + timedelta(seconds=working_set.policy.command_expiry_s if asked.expires_s is None else asked.expires_s),
        asked.transaction_id,
    )
    return Decision(command, (command,))


def claim(asked: ClaimCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Mark the oldest command that has not expired as sent, and expire those before it.

    What displays show, and after it the plan of settings, let all others go first. A key is put into what is sent, and
    nowhere else.
    """
    intents: list[object] = []
    for command in _waiting(asked.charge_point_id, working_set):
        if command.state != "queued" or (asked.is_pending and command.action in _NOT_WHILE_PENDING):
            continue
        if command.expires_at <= now:
            failure = "the charge point was not there in time"
            intents.append(msgspec.structs.replace(command, state="expired", answered_at=now, failure=failure))
            continue
        sent = msgspec.structs.replace(command, state="sent", sent_at=now, attempts=command.attempts + 1)
        if is_key_change(sent):
            return _with_key(sent, asked, tuple(intents))
        return Decision(sent, (*intents, sent))
    return Decision(None, tuple(intents))


def answered(said: AnswerCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Record an answer. The first one wins; what is said of an earlier sending, or of a command already decided,
    changes nothing.
    """
    command = working_set.commands.get(said.command_id)
    if command is None or command.state != "sent" or command.attempts != said.attempt:
        return Decision(command)
    again = said.state in {"timed out", "failed"} and said.answer_json is None and _may_repeat(command, now)
    changed = msgspec.structs.replace(
        command,
        state="queued" if again else said.state,
        answered_at=None if again else now,
        answer_json=said.answer_json,
        failure=said.failure,
    )
    return Decision(changed, (changed,))


def revive(charge_point_id: int, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    """Return the commands whose connection ended before an answer came, queued again where repeating is harmless."""
    failure = "the connection ended before an answer came"
    return tuple(
        msgspec.structs.replace(command, state="queued", failure=failure)
        if _may_repeat(command, now)
        else msgspec.structs.replace(command, state="failed", answered_at=now, failure=failure)
        for command in _waiting(charge_point_id, working_set)
        if command.state == "sent"
    )


def _waiting(charge_point_id: int, working_set: WorkingSet) -> list[Command]:
    found = [
        one
        for one in working_set.commands.values()
        if one.charge_point_id == charge_point_id and one.state in {"queued", "sent"}
    ]
    return sorted(found, key=lambda one: (_patience(one), one.command_id))


def _patience(command: Command) -> int:
    """Return how long a command may wait: what stops a charge waits for nothing, settings wait for everything."""
    return 2 if is_of_plan(command) else 1 if command.requested_by == DISPLAY else 0


def _with_key(sent: Command, asked: ClaimCommand, intents: tuple[object, ...]) -> Decision[Command | None]:
    """Put a fresh key into the call; of it only the hash is stored, as an offer that the charge point may take."""
    payload = msgspec.json.encode({"key": "AuthorizationKey", "value": asked.new_key}).decode()
    offer = KeyOffer(sent.charge_point_id, asked.new_salt, asked.new_hash)
    return Decision(msgspec.structs.replace(sent, payload_json=payload), (*intents, sent, offer))


def is_of_plan(command: Command) -> bool:
    """Tell whether a command belongs to the plan of a charge point's settings."""
    return command.requested_by == SETTINGS or command.requested_by.startswith(f"{SETTINGS}: ")


def is_key_change(command: Command) -> bool:
    """Tell whether a command gives a charge point a key that is made when it is sent."""
    return command.action == "ChangeConfiguration" and MASKED_KEY in command.payload_json


def drives_settings(command: Command) -> bool:
    """Tell whether the answer of a command is followed by a rule that has to know the settings."""
    return command.state == "sent" and (is_of_plan(command) or is_key_change(command))


def _may_repeat(command: Command, now: datetime) -> bool:
    return command.repeatable and command.attempts < _MAX_ATTEMPTS and command.expires_at > now
