"""What happened in a unit of work, for whoever follows: frozen events, made from what the working set took. Pure.

Money is in minor units here; whoever shows an event writes it with its currency. In its row an event is the list of its
fields: a field may be added at the end, with a default, and none may be taken away.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from csms.charging.facts import Transaction
from csms.charging.working_set import WorkingSet
from csms.operations.security_events import SecurityEvent

_PAID_IN = frozenset({"top up", "card issued"})
_WAITING = frozenset({"queued", "sent"})


class Connected(msgspec.Struct, frozen=True, array_like=True):
    """A charge point has a connection."""

    charge_point_id: int
    connection_id: str
    address: str
    node: str


class Disconnected(msgspec.Struct, frozen=True, array_like=True):
    """A charge point lost its connection, and has no other."""

    charge_point_id: int
    connection_id: str


class StatusChanged(msgspec.Struct, frozen=True, array_like=True):
    """A connector told its status; 0 is the whole charge point."""

    charge_point_id: int
    connector_id: int
    status: str
    error_code: str
    info: str
    happened_at: datetime


class TransactionStarted(msgspec.Struct, frozen=True, array_like=True):
    """A transaction began; `authorization_status` is what the charge point was answered, `refusal` why."""

    transaction_id: int
    charge_point_id: int
    connector_id: int
    id_tag: str
    account_id: int | None
    authorization_status: str
    refusal: str | None
    meter_start_wh: int
    started_at: datetime


class TransactionRead(msgspec.Struct, frozen=True, array_like=True):
    """A reading came; energy and cost are so far."""

    transaction_id: int
    charge_point_id: int
    connector_id: int
    energy_wh: int
    power_w: int | None
    cost_minor: int
    register_at: datetime


class TransactionEnded(msgspec.Struct, frozen=True, array_like=True):
    """A transaction ended; without `uncharged_reason` the cost was charged."""

    transaction_id: int
    charge_point_id: int
    connector_id: int
    id_tag: str
    account_id: int | None
    energy_wh: int
    cost_minor: int
    uncharged_reason: str | None
    stop_reason: str | None
    started_at: datetime
    ended_at: datetime | None


class PaidIn(msgspec.Struct, frozen=True, array_like=True):
    """Credit was paid into an account; `event` says whether a card was topped up or sold."""

    event: str
    id_tag: str
    account_id: int
    amount_minor: int
    balance_minor: int
    actor: str


class AlarmRaised(msgspec.Struct, frozen=True, array_like=True):
    """An alarm was raised, or raised again."""

    key: str
    kind: str
    charge_point_id: int | None
    transaction_id: int | None
    text: str


class CommandDecided(msgspec.Struct, frozen=True, array_like=True):
    """It is known what became of a command."""

    command_id: int
    charge_point_id: int
    action: str
    state: str
    requested_by: str
    answer_json: str | None
    failure: str | None


class SecurityNoted(msgspec.Struct, frozen=True, array_like=True):
    """A security event of a charge point, or about it."""

    charge_point_id: int
    source: str
    type: str
    is_critical: bool
    tech_info: str
    happened_at: datetime


# What may happen, by the name under which others follow it.
TYPES: dict[str, type[msgspec.Struct]] = {
    "charge_point.connected": Connected,
    "charge_point.disconnected": Disconnected,
    "connector.status": StatusChanged,
    "transaction.started": TransactionStarted,
    "transaction.reading": TransactionRead,
    "transaction.ended": TransactionEnded,
    "account.paid_in": PaidIn,
    "alarm.raised": AlarmRaised,
    "command.decided": CommandDecided,
    "security.event": SecurityNoted,
}
_NAMES = {kind: name for name, kind in TYPES.items()}

Happened = tuple[str, msgspec.Struct]


def happened(working_set: WorkingSet, connected: set[int]) -> list[Happened]:
    """Return what happened in a unit of work. `connected` are those charge points of `working_set.gone` that have
    another connection, so that they are not gone.
    """
    return [(_NAMES[type(one)], one) for one in _all(working_set, connected)]


def _all(working_set: WorkingSet, connected: set[int]) -> Iterator[msgspec.Struct]:
    for gone in working_set.gone:
        if gone.charge_point_id not in connected:
            yield Disconnected(gone.charge_point_id, gone.connection_id)
    for link in working_set.connections.values():
        yield Connected(link.charge_point_id, link.connection_id, link.address, link.node)
    for said in working_set.connectors.values():
        yield StatusChanged(
            said.charge_point_id, said.connector_id, said.status, said.error_code, said.info, said.happened_at
        )
    yield from _of_transactions(working_set)
    yield from _of_money(working_set)
    for alarm in working_set.alarms.values():
        yield AlarmRaised(alarm.key, alarm.kind, alarm.charge_point_id, alarm.transaction_id, alarm.text)
    yield from _of_commands(working_set)
    for event in working_set.more_facts.get(SecurityEvent, ()):
        yield SecurityNoted(
            event.charge_point_id, event.source, event.type, event.is_critical, event.tech_info, event.happened_at
        )


def _of_transactions(working_set: WorkingSet) -> Iterator[msgspec.Struct]:
    transactions = working_set.transactions
    for key in working_set.new_transactions:
        one = transactions[key]
        yield TransactionStarted(
            key,
            one.charge_point_id,
            one.connector_id,
            one.id_tag,
            one.account_id,
            one.authorization_status,
            one.refusal,
            one.meter_start_wh,
            one.started_at,
        )
    changed = working_set.changed_transactions | working_set.new_transactions
    read = {reading.transaction_id for reading in working_set.readings.values()}
    for key in changed:
        one = transactions[key]
        if key in read and one.state == "open":
            yield TransactionRead(
                key,
                one.charge_point_id,
                one.connector_id,
                one.energy_wh,
                one.power_w,
                one.cost_minor,
                one.register_at,
            )
        elif key in working_set.ended or (one.state == "ended" and key in working_set.new_transactions):
            yield _ended(one)


def _ended(one: Transaction) -> TransactionEnded:
    return TransactionEnded(
        one.transaction_id,
        one.charge_point_id,
        one.connector_id,
        one.id_tag,
        one.account_id,
        one.energy_wh,
        one.cost_minor,
        one.uncharged_reason,
        one.stop_reason,
        one.started_at,
        one.ended_at,
    )


def _of_money(working_set: WorkingSet) -> Iterator[PaidIn]:
    books = working_set.books
    for entry in books.new_entries:
        if entry.event not in _PAID_IN:
            continue
        for transfer in entry.transfers:
            account = books.accounts.get(transfer.credit_account_id)
            if account is not None:
                amount_minor, balance_minor = transfer.amount_minor, account.balance_minor
                yield PaidIn(entry.event, entry.id_tag, account.account_id, amount_minor, balance_minor, entry.actor)


def _of_commands(working_set: WorkingSet) -> Iterator[CommandDecided]:
    for key in working_set.changed_commands | working_set.new_commands:
        one = working_set.commands[key]
        if one.state not in _WAITING:
            yield CommandDecided(
                key, one.charge_point_id, one.action, one.state, one.requested_by, one.answer_json, one.failure
            )
