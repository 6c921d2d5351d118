"""The life of a command: queued, sent, then accepted, rejected, failed, timed out or expired. Pure.

A command is a durable row, one outstanding per charge point (OCPP-J 1.6, 4.1.1). Knows neither sockets nor what a
payload means.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import UNNUMBERED, ChargePoint, Command, CommandSecret, CommandState, Transaction
from csms.charging.setting_facts import KeyOffer
from csms.charging.working_set import Names, WorkingSet

SETTINGS = "settings"  # who asks for the commands of the plan of settings
GUARD = "credit guard"  # who stops a transaction for its credit, and asks for readings
DISPLAY = "display"  # who asks for what displays show
MASKED_KEY = "(made when it is sent)"  # stands for a key in the row of its command, before and after it is sent
SECRETS = "command secrets"  # what a loader brings: whole payloads by the number of their command
KEY_SECRET = "what keys are made from"  # noqa: S105 - the same: a secret, by this very name
OF_A_STOP = ("RemoteStopTransaction", "UnlockConnector")
NOT_WANTED = "there is credit again"  # why a stop is not sent
_KEY_BYTES = 20  # the most that the Security Whitepaper takes (A00.FR.204)
_KEY_UNSETTLED = "it may have taken an earlier key: wait until it connects with that one, or set its key by hand"
_MAX_ATTEMPTS = 5
_TRIGGER_LIFETIME = timedelta(seconds=20)


# A charge point that is not accepted yet may be configured, and is asked for nothing else (OCPP 1.6, 4.2).
_NOT_WHILE_PENDING = frozenset({"RemoteStartTransaction", "RemoteStopTransaction"})


class _Value(msgspec.Struct, frozen=True):
    """What ChangeConfiguration sets."""

    value: str


class QueueCommand(msgspec.Struct, frozen=True):
    """Someone wants a call to be sent to a charge point, now or when it is back."""

    charge_point_id: int
    action: str
    payload_json: str
    requested_by: str
    repeatable: bool = False
    transaction_id: int | None = None
    expires_s: int | None = None  # from now; None: as configured
    batch_id: int | None = None
    secret_json: str | None = None  # the payload with the key or password that is masked in `payload_json`

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.new_commands += 1


class ClaimCommand(msgspec.Struct, frozen=True):
    """The connection of a charge point is free to send: which command is next?"""

    charge_point_id: int
    is_pending: bool = False  # it was not accepted yet (OCPP 1.6, 4.2)
    new_salt: str = ""  # random hex, should the command be one that sets a key

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
    error_code: str | None = None  # of a call error, whose details are the answer
    error_description: str | None = None
    is_late: bool = False  # the answer came when it was not waited for any more

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
    asked = stop_command(one, working_set, GUARD, now)
    return msgspec.structs.replace(
        asked, action="TriggerMessage", payload_json=payload, repeatable=False, expires_at=now + _TRIGGER_LIFETIME
    )


def unlock_command(one: Transaction, working_set: WorkingSet, now: datetime) -> Command:
    """Return the command that unlocks the connector of a transaction, which ends it (OCPP 1.6, 5.18)."""
    payload = msgspec.json.encode({"connectorId": one.connector_id}).decode()
    asked = stop_command(one, working_set, GUARD, now)
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
        batch_id=asked.batch_id,
    )
    if asked.secret_json is None:
        return Decision(command, (command,))
    return Decision(command, (command, CommandSecret(command.command_id, asked.secret_json)))


def claim(asked: ClaimCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Mark the oldest command that has not expired as sent, and expire those before it.

    What displays show, and after it the plan of settings, let all others go first. A key is put into what is sent, and
    nowhere else.
    """
    intents: list[object] = []
    for command in waiting_at(asked.charge_point_id, working_set):
        if command.state != "queued" or (asked.is_pending and command.action in _NOT_WHILE_PENDING):
            continue
        if command.expires_at <= now:
            intents.append(expired(command, "the charge point was not there in time", now))
            continue
        sent = msgspec.structs.replace(command, state="sent", sent_at=now, attempts=command.attempts + 1)
        whole, offers = _whole(sent, asked, working_set)
        if whole is None:
            intents.append(msgspec.structs.replace(command, state="failed", answered_at=now, failure=_KEY_UNSETTLED))
            continue
        return Decision(whole, (*intents, sent, *offers))
    return Decision(None, tuple(intents))


def expired(command: Command, why: str, now: datetime) -> Command:
    """Return a command that will not be sent any more."""
    return msgspec.structs.replace(command, state="expired", answered_at=now, failure=why[:300])


def answered(said: AnswerCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Record an answer. The first one wins; what is said of an earlier sending, or of a command already decided,
    changes nothing.
    """
    command = working_set.commands.get(said.command_id)
    if command is None or command.state != "sent" or command.attempts != said.attempt:
        return Decision(command)
    if awaits_boot(command) and said.state == "failed" and said.answer_json is None:
        return Decision(command)  # it went away, perhaps to do what it was told
    again = said.state in {"timed out", "failed"} and said.answer_json is None and may_repeat(command, now)
    changed = as_said(command, said, now)
    if again:
        changed = msgspec.structs.replace(changed, state="queued", answered_at=None)
    return Decision(changed, (changed,))


def as_said(command: Command, said: AnswerCommand, now: datetime) -> Command:
    """Return a command with its answer."""
    return msgspec.structs.replace(
        command,
        state=said.state,
        answered_at=now,
        answer_json=said.answer_json,
        failure=said.failure,
        error_code=said.error_code,
        error_description=said.error_description,
    )


def awaits_boot(command: Command) -> bool:
    """Tell whether the charge point may do what it was told before it has answered: a reset ends the connection."""
    return command.action == "Reset" and command.state == "sent"


def revive(charge_point_id: int, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    """Return the commands whose connection ended before an answer came, queued again where repeating is harmless."""
    failure = "the connection ended before an answer came"
    return tuple(
        msgspec.structs.replace(command, state="queued", failure=failure)
        if may_repeat(command, now)
        else msgspec.structs.replace(command, state="failed", answered_at=now, failure=failure)
        for command in waiting_at(charge_point_id, working_set)
        if command.state == "sent" and not awaits_boot(command)
    )


def take_back(
    charge_point_id: int, transaction_ids: set[int], working_set: WorkingSet, now: datetime
) -> dict[int, Command]:
    """Return, by number, the stops of transactions that go on after all, which then are not sent (again)."""
    return {
        command.command_id: expired(command, NOT_WANTED, now)
        for command in waiting_at(charge_point_id, working_set)
        if command.transaction_id in transaction_ids and command.requested_by == GUARD and command.action in OF_A_STOP
    }


def waiting_at(charge_point_id: int, working_set: WorkingSet) -> list[Command]:
    """Return the commands of a charge point that are not decided, in the order in which they are sent."""
    found = [
        one
        for one in working_set.commands.values()
        if one.charge_point_id == charge_point_id and one.state in {"queued", "sent"}
    ]
    return sorted(found, key=lambda one: (_patience(one), one.command_id))


def _patience(command: Command) -> int:
    """Return how long a command may wait: what stops a charge waits for nothing, settings wait for everything."""
    return 2 if is_of_plan(command) else 1 if command.requested_by == DISPLAY else 0


def _whole(sent: Command, asked: ClaimCommand, working_set: WorkingSet) -> tuple[Command | None, tuple[KeyOffer, ...]]:
    """Put what is masked in the row into the call, and offer its key; None where another key may have been taken.

    A charge point may have taken a key though its answer, or the call, was lost. Such a key stays offered until that is
    settled, and until then no other one is sent: whatever is lost, the charge point has one of two keys known here.
    """
    secret_json = working_set.more.get(SECRETS, {}).get(sent.command_id)
    if not is_key_change(sent):
        return (sent if secret_json is None else msgspec.structs.replace(sent, payload_json=secret_json)), ()
    charge_point = working_set.charge_points[sent.charge_point_id]
    is_open = charge_point.new_key_salt is not None
    salt = charge_point.new_key_salt or f"{_mark(sent)}{asked.new_salt[:16]}"
    if secret_json is None:
        key = _derived_key(charge_point, salt, working_set)
        secret_json = msgspec.json.encode({"key": "AuthorizationKey", "value": key.hex()}).decode()
    else:
        key = _chosen_key(secret_json)
    key_hash = sha256(bytes.fromhex(salt) + key).hexdigest()
    if not key or (is_open and key_hash != charge_point.new_key_hash):
        return None, ()
    whole = msgspec.structs.replace(sent, payload_json=secret_json)
    return whole, (() if is_open else (KeyOffer(sent.charge_point_id, salt, key_hash),))


def _derived_key(charge_point: ChargePoint, salt: str, working_set: WorkingSet) -> bytes:
    """Make the key that an offer with this salt stands for: the same one as long as it is open, so that it can be sent
    again without being kept. Once the key before it is forgotten nobody can make it any more.
    """
    secret: bytes | None = working_set.more.get(KEY_SECRET, {}).get(KEY_SECRET)
    if secret is None:
        return b""
    about = f"{charge_point.charge_point_id} {salt} {charge_point.key_salt} {charge_point.key_hash}"
    return digest(secret, about.encode(), "sha256")[:_KEY_BYTES]


def _chosen_key(secret_json: str) -> bytes:
    value = msgspec.json.decode(secret_json.encode(), type=_Value).value
    with suppress(ValueError):  # no hex text: the text itself is the key
        return bytes.fromhex(value)
    return value.encode()


def _mark(command: Command) -> str:
    return f"{command.command_id:016x}"


def is_offered_by(command: Command, charge_point: ChargePoint) -> bool:
    """Tell whether the open offer of a key was made by the only sending of this command."""
    salt = charge_point.new_key_salt
    return salt is not None and command.attempts == 1 and salt.startswith(_mark(command))


def is_of_plan(command: Command) -> bool:
    """Tell whether a command belongs to the plan of a charge point's settings."""
    return command.requested_by == SETTINGS or command.requested_by.startswith(f"{SETTINGS}: ")


def is_key_change(command: Command) -> bool:
    """Tell whether a command gives a charge point a key: one that is made when it is sent, or that somebody chose."""
    if command.action != "ChangeConfiguration":
        return False
    return asks_for_key(command) or '"key":"authorizationkey"' in command.payload_json.casefold()


def asks_for_key(command: Command) -> bool:
    """Tell whether a command gives a charge point a key that is made when it is sent."""
    return command.action == "ChangeConfiguration" and MASKED_KEY in command.payload_json


def drives_settings(command: Command) -> bool:
    """Tell whether the answer of a command is followed by a rule that has to know the settings."""
    tells_settings = command.action in {"GetConfiguration", "ChangeConfiguration"}
    may_be_answered = command.state in {"sent", "timed out", "failed", "expired"}  # the latter late
    return may_be_answered and (is_of_plan(command) or tells_settings)


def may_repeat(command: Command, now: datetime) -> bool:
    """Tell whether a command without an answer may be sent once more."""
    return command.repeatable and command.attempts < _MAX_ATTEMPTS and command.expires_at > now
