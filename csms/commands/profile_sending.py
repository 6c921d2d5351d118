"""Which stations a profile of the library can be sent to, why it is not sent to the others, and the sending.

What the station says of itself is respected here; whoever wants to send anything else uses the API's commands.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.charging.command_queue import QueueCommand
from csms.charging.engine import Input
from csms.commands.profiles import set_profile, start_with_profile
from csms.operations.charging_profiles_store import list_installed
from csms.operations.commands import QueueBatch
from csms.operations.profile_library import LibraryProfile, find_place, for_connector, refusals

_tx = models.charging_transaction.c


class Sendable(msgspec.Struct, frozen=True):
    """A station that can take the profile, and the command that brings it."""

    charge_point_id: int
    identity: str
    command: QueueCommand


class NotSent(msgspec.Struct, frozen=True):
    """A station that is not asked, and why."""

    charge_point_id: int
    identity: str
    reasons: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """Who is asked and who is not."""

    sendable: tuple[Sendable, ...]
    not_sent: tuple[NotSent, ...]


class Sent(msgspec.Struct, frozen=True):
    """What was queued: one command, or one for each station of a batch."""

    command_id: int | None = None
    batch_id: int | None = None


async def send(
    submit: Callable[[Input], Awaitable[Any]], plan: Plan, target: str, form_key: str, *, as_batch: bool
) -> Sent:
    """Queue what a plan can send. A batch asks all of its stations for the same; a form sent twice asks once."""
    if not plan.sendable:
        return Sent()
    if not as_batch:
        command = await submit(plan.sendable[0].command)
        return Sent(command_id=command.command_id)
    ids = tuple(one.charge_point_id for one in plan.sendable)
    return Sent(batch_id=await submit(QueueBatch(form_key, target, ids, plan.sendable[0].command)))


def plan(
    connection: Connection,
    one: LibraryProfile,
    charge_point_ids: Sequence[int],
    connector_id: int,
    requested_by: str,
    now: datetime,
) -> Plan:
    """Look at each station; a TxProfile goes to the transaction that runs at the connector."""
    sendable: list[Sendable] = []
    not_sent: list[NotSent] = []
    for charge_point_id in charge_point_ids:
        place = find_place(connection, charge_point_id)
        if place is None:
            continue
        running = None
        if one.profile.charging_profile_purpose == "TxProfile":
            running = running_at(connection, charge_point_id, connector_id)
        profile = for_connector(one, connector_id, transaction_id=running)
        installed = list_installed(connection, now, charge_point_id=charge_point_id)
        reasons = refusals(place, profile, connector_id, installed)
        if reasons:
            not_sent.append(NotSent(charge_point_id, place.identity, tuple(reasons)))
        else:
            command = set_profile(charge_point_id, connector_id, profile, requested_by)
            sendable.append(Sendable(charge_point_id, place.identity, command))
    return Plan(tuple(sendable), tuple(not_sent))


def plan_start(
    connection: Connection,
    one: LibraryProfile,
    charge_point_id: int,
    connector_id: int | None,
    id_tag: str,
    requested_by: str,
    now: datetime,
) -> Sendable | NotSent | None:
    """Look at a station that shall start for a card under a TxProfile; None where there is no such station.

    OCPP asks of such a profile that it has the purpose TxProfile and no transaction id (1.6, 5.11).
    """
    place = find_place(connection, charge_point_id)
    if place is None:
        return None
    profile = for_connector(one, connector_id or 0)
    reasons = refusals(
        place,
        profile,
        connector_id or 0,
        list_installed(connection, now, charge_point_id=charge_point_id),
        with_start=True,
    )
    if profile.charging_profile_purpose != "TxProfile":
        reasons.insert(0, "Only a TxProfile can go with a start.")
    if reasons:
        return NotSent(charge_point_id, place.identity, tuple(reasons))
    command = start_with_profile(charge_point_id, id_tag, connector_id, profile, requested_by)
    return Sendable(charge_point_id, place.identity, command)


def running_at(connection: Connection, charge_point_id: int, connector_id: int) -> int | None:
    """Return the transaction that runs at a connector, None where none does."""
    statement = (
        select(_tx.id)
        .where(_tx.charge_point_id == charge_point_id, _tx.connector_id == connector_id, _tx.state == "open")
        .order_by(_tx.id.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar()
