"""How an operator changes the security of a station's link: a new key, a higher profile, a lower one with a reason.
Pure.

A key and a profile count when the station has taken them; nothing sent over OCPP ever lowers a profile (Security
Whitepaper, A00.FR.005, A01, A05).
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision
from csms.charging.command_queue import MASKED_KEY, QueueCommand, is_key_change
from csms.charging.facts import UNNUMBERED, Alarm, AlarmOver, Command, KeyChange
from csms.charging.prepaid_settings import AUTHORIZATION_KEY
from csms.charging.stations import ChangeKey, SecurityProfile
from csms.charging.working_set import Names, WorkingSet
from csms.operations.security_events import of_ours

SECURITY = "security of the link"  # who asks for what is done periodically
KEY_SET, CERTIFICATE_REVOKED = "KeySetByHand", "CertificateRevoked"
_REQUIRED, _LOWERED = "SecurityProfileRequired", "SecurityProfileLowered"
PROVE_AGAIN = (
    KEY_SET,
    CERTIFICATE_REVOKED,
    _REQUIRED,
    _LOWERED,
)  # after these events an open connection proves nothing
_NEEDS_KEY = (1, 2)
_ASKED_AGAIN = timedelta(days=1)


class KeyTaken(msgspec.Struct, frozen=True):
    """A charge point took a new key."""

    charge_point_id: int


class UpgradeTaken(msgspec.Struct, frozen=True):
    """A charge point took a higher security profile, and reconnects with it."""

    charge_point_id: int
    security_profile: int


class RenewalAsked(msgspec.Struct, frozen=True):
    """A charge point is asked for a new request, because its certificate ends soon."""

    charge_point_id: int


class SetProfile(msgspec.Struct, frozen=True):
    """An administrator says which security profile a charge point has to use; lowering it takes a reason."""

    charge_point_id: int
    security_profile: SecurityProfile
    reason: str
    actor: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)


class AskRenewal(msgspec.Struct, frozen=True):
    """It is time to ask a charge point for a new request for a certificate."""

    charge_point_id: int
    asked_by: str = SECURITY

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)


class NoteEnds(msgspec.Struct, frozen=True):
    """Which certificates end soon, and which do not any more."""

    alarms: tuple[Alarm | AlarmOver, ...]

    def name(self, names: Names) -> None:
        """Nothing has to be loaded."""


def note_ends(asked: NoteEnds, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes these
    """Raise and end the alarms about certificates."""
    return Decision(None, asked.alarms)


def rotate_key(charge_point_id: int, requested_by: str, *, expires_s: int | None = None) -> QueueCommand:
    """Return the command that gives a charge point a new key: made when it is sent, and kept only as a hash."""
    payload = msgspec.json.encode({"key": AUTHORIZATION_KEY, "value": MASKED_KEY}).decode()
    return QueueCommand(
        charge_point_id, "ChangeConfiguration", payload, requested_by, repeatable=True, expires_s=expires_s
    )


def set_profile(asked: SetProfile, working_set: WorkingSet, now: datetime) -> Decision[str]:
    """Set what a charge point has to reach and return "", or what is wrong: unknown, no key, reason missing."""
    before = working_set.charge_points.get(asked.charge_point_id)
    if before is None:
        return Decision("unknown station")
    if asked.security_profile in _NEEDS_KEY and before.key_hash is None:
        return Decision("no key")
    is_lower = asked.security_profile < before.security_profile
    if is_lower and not asked.reason.strip():
        return Decision("reason missing")
    if asked.security_profile == before.security_profile:
        return Decision("")
    changed = KeyChange(before.charge_point_id, asked.security_profile, before.key_salt, before.key_hash)
    what = f"from {before.security_profile} to {asked.security_profile} by {asked.actor}"
    what += f": {asked.reason.strip()}" if asked.reason.strip() else ""
    kind = _LOWERED if is_lower else _REQUIRED
    return Decision("", (changed, of_ours(before.charge_point_id, kind, what, now)))


def noting_key(asked: ChangeKey, decision: Decision[Any], working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ARG001 - a rule beside charging takes these
    """Note that somebody set a key by hand."""
    known: int | None = decision.outcome
    if known is None:
        return decision
    event = of_ours(known, KEY_SET, "by hand; who is connected has to come again with it", now)
    return Decision(known, (*decision.intents, event))


def ask_renewal(asked: AskRenewal, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Ask for a new request (A02); False where there is no such charge point."""
    if asked.charge_point_id not in working_set.charge_points:
        return Decision(False)
    command = Command(
        UNNUMBERED,
        asked.charge_point_id,
        "ExtendedTriggerMessage",
        msgspec.json.encode({"requestedMessage": "SignChargePointCertificate"}).decode(),
        "queued",
        asked.asked_by[:100],
        repeatable=False,
        created_at=now,
        expires_at=now + _ASKED_AGAIN,
    )
    return Decision(True, (command, RenewalAsked(asked.charge_point_id)))


class _Change(msgspec.Struct, frozen=True):
    key: str
    value: str


def after_change(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Note a key or a higher profile that a charge point took, whoever asked for it."""
    if command.state != "accepted":
        return ()
    if is_key_change(command):
        return (KeyTaken(command.charge_point_id),)
    change = msgspec.json.decode(command.payload_json.encode(), type=_Change)
    if change.key.casefold() != "securityprofile" or change.value not in {"1", "2", "3"}:
        return ()
    return (UpgradeTaken(command.charge_point_id, int(change.value)),)
