"""The stations themselves: who may connect, boots, statuses, and new ones. Pure decisions.

Acceptance is state in the database: stations do not boot again on a mere reconnect (OCPP-J 1.6, 5.4), so a restart
must not forget it. Keys are random, so a salted SHA-256 keeps them (Security Whitepaper, A00.FR.204 asks for 16 to 20
bytes).
"""

from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec

from csms.billing.books import Decision
from csms.charging import settings_plan, station_clocks, zombies
from csms.charging.command_queue import revive, take_back
from csms.charging.credit_guard import spared
from csms.charging.facts import (
    ChainBreak,
    ChargePoint,
    Connection,
    ConnectionGone,
    ConnectorStatus,
    KeyChange,
    NewChargePoint,
    Registration,
    Seen,
    Watch,
)
from csms.charging.setting_facts import KeyOffer
from csms.charging.working_set import Names, WorkingSet, watch_of

_OF_RESERVATIONS = frozenset({"Available", "Faulted", "Reserved", "Unavailable"})  # that say something of them


SecurityProfile = Literal[0, 1, 2, 3]  # none; HTTP Basic; TLS with HTTP Basic; TLS with a client certificate

Reason = Literal[
    "unknown",
    "wrong key",
    "profile too low",
    "no certificate",
    "certificate revoked",
    "certificate not valid",
    "certificate not its own",
]


class Presented(msgspec.Struct, frozen=True):
    """The client certificate of a TLS connection whose chain was found good; `problem` says why it does not count."""

    common_name: str
    organization: str
    fingerprint: str  # hex of SHA-256 over the DER
    serial_number: str  # hex
    issuer: str
    not_after: datetime
    problem: Literal["", "certificate revoked", "certificate not valid", "certificate not its own"] = ""


class Connect(msgspec.Struct, frozen=True):
    """A charge point asks to connect. `new_salt` is used where an unknown one is adopted at once with its password.

    Nobody is let in with a lower security profile than `least_profile`, whatever is stored of the charge point.
    """

    identity: str
    password: bytes | None
    address: str
    adopt: bool
    new_salt: str
    is_tls: bool = False
    certificate: Presented | None = None
    least_profile: int = 0

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.identities.add(self.identity)
        names.new_charge_points += self.adopt
        if self.certificate is not None:
            names.more.setdefault("certificates", set()).add(self.certificate.fingerprint)


class Admitted(msgspec.Struct, frozen=True):
    """It may connect."""

    charge_point_id: int
    identity: str
    registration: Registration
    security_profile: SecurityProfile = 0  # what this connection proved


class TurnedAway(msgspec.Struct, frozen=True):
    """It may not."""

    reason: Reason


class Open(msgspec.Struct, frozen=True):
    """The WebSocket of an admitted charge point is open."""

    charge_point_id: int
    connection_id: str
    node: str
    address: str
    subprotocol: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.open_at.add(self.charge_point_id)
        names.commands_at.add(self.charge_point_id)


class Opened(msgspec.Struct, frozen=True):
    """Whether commands wait for the charge point, and its transactions that the guard has to look at, by id."""

    commands_wait: bool
    watches: dict[int, Watch]


class Disconnect(msgspec.Struct, frozen=True):
    """A connection ended."""

    charge_point_id: int
    connection_id: str
    last_seen_at: datetime

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


class HeardOf(msgspec.Struct, frozen=True):
    """When charge points were last heard of: written now and then, not per message."""

    seen: tuple[Seen, ...]

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


class Boot(msgspec.Struct, frozen=True):
    """BootNotification (OCPP 1.6, 4.2)."""

    charge_point_id: int
    vendor: str
    model: str
    serial_number: str
    firmware_version: str
    meter_serial_number: str = ""

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)
        names.open_at.add(self.charge_point_id)
        names.settings_at.add(self.charge_point_id)


class Booted(msgspec.Struct, frozen=True):
    """The registration, and the seconds to the next heartbeat or boot."""

    registration: Registration
    interval_s: int


class StatusNotification(msgspec.Struct, frozen=True):
    """StatusNotification (OCPP 1.6, 4.9)."""

    status: ConnectorStatus
    claimed_at: datetime | None = None  # what the station's clock said

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.status.charge_point_id)
        names.open_at.add(self.status.charge_point_id)
        if self.status.status in _OF_RESERVATIONS:
            names.more.setdefault("reservations", set()).add(self.status.charge_point_id)


class AddChargePoint(msgspec.Struct, frozen=True):
    """An administrator adds or adopts a charge point."""

    identity: str
    security_profile: SecurityProfile
    key_salt: str | None
    key_hash: str | None

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.identities.add(self.identity)
        names.new_charge_points += 1


class ChangeKey(msgspec.Struct, frozen=True):
    """An administrator sets how a charge point proves who it is."""

    identity: str
    security_profile: SecurityProfile
    key_salt: str | None
    key_hash: str | None

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.identities.add(self.identity)


def opened(said: Open, working_set: WorkingSet, now: datetime) -> Decision[Opened]:
    """Note which node holds the socket (the newest counts), and say what its node has to take up."""
    connection = Connection(said.charge_point_id, said.connection_id, said.node, said.address, said.subprotocol)
    unfinished = working_set.unfinished(said.charge_point_id)
    freed = {one.transaction_id: freed for one in unfinished if (freed := spared(one, working_set, now)) is not None}
    taken_back = take_back(said.charge_point_id, set(freed), working_set, now)
    revived = [one for one in revive(said.charge_point_id, working_set, now) if one.command_id not in taken_back]
    left = [one for one in working_set.commands.values() if one.command_id not in taken_back]
    waiting = any(one.state == "queued" for one in (*left, *revived))
    watches = {one.transaction_id: watch_of(freed.get(one.transaction_id, one)) for one in unfinished}
    noted = (connection, Seen(said.charge_point_id, now), *freed.values(), *taken_back.values(), *revived)
    return Decision(Opened(waiting, watches), noted)


def hash_key(key: bytes, salt: str) -> str:
    """Return the hex digest under which a key is stored; `salt` is hex."""
    return sha256(bytes.fromhex(salt) + key).hexdigest()


def disconnect(said: Disconnect, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes these
    """Forget a connection, and remember when the charge point was last heard of."""
    gone = ConnectionGone(said.charge_point_id, said.connection_id)
    return Decision(None, (gone, Seen(said.charge_point_id, said.last_seen_at)))


def heard_of(said: HeardOf, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes these
    """Note when charge points were last heard of."""
    return Decision(None, said.seen)


def boot(said: Boot, working_set: WorkingSet, now: datetime) -> Decision[Booted]:
    """Accept a known charge point, once it has its key and its settings where its group asks for that; one that an
    administrator rejected stays so. What it is configured to is looked at after each boot.
    """
    before = working_set.charge_points[said.charge_point_id]
    registration = _registration(before, working_set)
    booted = msgspec.structs.replace(
        before,
        vendor=said.vendor,
        model=said.model,
        serial_number=said.serial_number,
        firmware_version=said.firmware_version,
        meter_serial_number=said.meter_serial_number,
        registration=registration,
        booted_at=now,
    )
    policy = working_set.policy
    interval_s = policy.heartbeat_interval_s if registration == "Accepted" else policy.boot_retry_interval_s
    intents: list[object] = [booted, Seen(said.charge_point_id, now)]
    intents += zombies.said_boot(said.charge_point_id, working_set, now)
    if _device(booted) != _device(before):
        intents.append(ChainBreak(said.charge_point_id))
    if registration == "Pending" or (registration == "Accepted" and policy.settings_check_interval_s):
        intents += settings_plan.begin(booted, working_set, now)
    return Decision(Booted(registration, interval_s), tuple(intents))


def _device(one: ChargePoint) -> tuple[str, str, str]:
    """Return what makes a station the same device: registers of another one do not go on from the last."""
    return one.serial_number, one.meter_serial_number, one.firmware_version


def _registration(before: ChargePoint, working_set: WorkingSet) -> Registration:
    if before.registration in {"Accepted", "Rejected"}:
        return before.registration
    return "Pending" if settings_plan.is_onboarding(before, working_set) else "Accepted"


def status_notification(said: StatusNotification, working_set: WorkingSet, now: datetime) -> Decision[None]:
    """Store what a connector says of itself, what it means for the transaction on it, and how the clock goes."""
    status = said.status
    meant = zombies.said_status(status, working_set, now)
    charge_point = working_set.charge_points[status.charge_point_id]
    return Decision(None, (status, *meant, *station_clocks.measured(charge_point, said.claimed_at, now)))


def add(asked: AddChargePoint, working_set: WorkingSet, now: datetime) -> Decision[int | None]:  # noqa: ARG001 - every rule takes now
    """Create a charge point and return its id, or None where the identity is taken."""
    if asked.identity in working_set.identities:
        return Decision(None)
    charge_point_id = working_set.next_charge_point_id()
    charge_point = ChargePoint(
        charge_point_id, asked.identity, asked.security_profile, asked.key_salt, asked.key_hash, "Unknown", None
    )
    return Decision(charge_point_id, (NewChargePoint(charge_point),))


def change_key(asked: ChangeKey, working_set: WorkingSet, now: datetime) -> Decision[int | None]:  # noqa: ARG001 - every rule takes now
    """Set the key, and with it a profile of at least that; return the charge point's id, or None where there is no
    such identity. With TLS a profile is lowered by nothing but a reason (`operations.link_security`).
    """
    known = working_set.identities.get(asked.identity)
    if known is None:
        return Decision(None)
    before = working_set.charge_points[known]
    keeps = before.security_profile > 1 or asked.key_hash is not None
    profile = max(before.security_profile, asked.security_profile) if keeps else asked.security_profile
    key = asked.key_salt, asked.key_hash
    if asked.key_hash is None and profile in {1, 2}:  # which needs one
        key = before.key_salt, before.key_hash
    changed = KeyChange(known, profile, *key)
    if asked.key_hash is None or before.new_key_hash is None:
        return Decision(known, (changed,))
    return Decision(known, (changed, KeyOffer(known, None, None)))  # whoever sets it knows what the charge point has
