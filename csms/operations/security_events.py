"""Security events: what stations tell of their security, and what happened to it here. Pure.

Each message is stored once, however often it comes; what the Security Whitepaper calls critical, and what says that a
certificate was not taken, raises an alarm (edition 3, A04 and 8).
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import Alarm
from csms.charging.working_set import Names, WorkingSet

EVENTS = "security events"  # what the store is asked for, and brings: natural keys
RECENT = "recent security events"  # the same: charge points and since when; how many of each
_RECENT = timedelta(hours=1)
CRITICAL = frozenset(
    {
        "FirmwareUpdated",
        "SettingSystemTime",
        "StartupOfTheDevice",
        "ResetOrReboot",
        "SecurityLogWasCleared",
        "MemoryExhaustion",
        "TamperDetectionActivated",
    }
)
# Not critical by the whitepaper, but somebody has to do something about them.
_TROUBLE = frozenset(
    {
        "InvalidCentralSystemCertificate",
        "InvalidChargePointCertificate",
        "InvalidFirmwareSignature",
        "InvalidFirmwareSigningCertificate",
        "InvalidTLSVersion",
        "InvalidTLSCipherSuite",
    }
)
_BY_NAME = {name.casefold(): name for name in CRITICAL | _TROUBLE}


class SecurityNotification(msgspec.Struct, frozen=True):
    """SecurityEventNotification (Security Whitepaper, 5.15). `said_at` is the timestamp as it came."""

    charge_point_id: int
    type: str
    happened_at: datetime
    said_at: str
    received_at: datetime
    tech_info: str = ""
    flags: str = ""

    @property
    def natural_key(self) -> str:
        """What makes the message itself: a repetition has the same."""
        parts = (str(self.charge_point_id), self.type.casefold(), self.said_at, self.tech_info)
        return sha256("\0".join(parts).encode()).hexdigest()

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)
        names.more.setdefault(EVENTS, set()).add(self.natural_key)
        names.more.setdefault(RECENT, set()).add((self.charge_point_id, self.received_at - _RECENT))


class SecurityEvent(msgspec.Struct, frozen=True):
    """An event to be stored; fields as in the table `security_event`."""

    natural_key: str
    charge_point_id: int
    source: Literal["station", "central system"]
    type: str
    is_critical: bool
    happened_at: datetime
    tech_info: str
    flags: str = ""


def notified(said: SecurityNotification, working_set: WorkingSet, now: datetime) -> Decision[None]:  # noqa: ARG001 - every rule takes now
    """Store an event and raise the alarm it deserves; the repetition of a message changes nothing."""
    known = working_set.more.setdefault(EVENTS, {})
    if said.natural_key in known:
        return Decision(None)
    known[said.natural_key] = True
    recent = working_set.more.setdefault(RECENT, {})
    recent[said.charge_point_id] = recent.get(said.charge_point_id, 0) + 1
    if recent[said.charge_point_id] > working_set.policy.security_events_per_h:
        return Decision(None, (_flood(said, working_set),))
    is_critical = _BY_NAME.get(said.type.casefold(), said.type) in CRITICAL
    event = SecurityEvent(
        said.natural_key,
        said.charge_point_id,
        "station",
        said.type,
        is_critical,
        said.happened_at,
        said.tech_info,
        said.flags,
    )
    return Decision(None, (event, *_alarm(said, working_set)))


def _flood(said: SecurityNotification, working_set: WorkingSet) -> Alarm:
    """Return the alarm that counts what is not kept any more."""
    identity = working_set.charge_points[said.charge_point_id].identity
    text = f"{identity[:60]} reports too many security events within an hour; the latest was {said.type}"
    return Alarm(f"security event flood {said.charge_point_id}", "security event", said.charge_point_id, None, text)


def of_ours(charge_point_id: int, kind: str, what: str, now: datetime) -> SecurityEvent:
    """Return an event that happened here."""
    key = sha256(f"{charge_point_id}\0{kind}\0{now.isoformat()}\0{what}".encode()).hexdigest()
    return SecurityEvent(key, charge_point_id, "central system", kind, False, now, what[:300])


def _alarm(said: SecurityNotification, working_set: WorkingSet) -> tuple[Alarm, ...]:
    name = _BY_NAME.get(said.type.casefold())
    if name is None:
        return ()
    identity = working_set.charge_points[said.charge_point_id].identity
    text = f"{identity[:60]} reports {name}{': ' if said.tech_info else ''}{said.tech_info}"[:300]
    key = f"security event {name} {said.charge_point_id}"
    return (Alarm(key, "security event", said.charge_point_id, None, text),)
