"""Who may connect, and with which security profile (OCPP 1.6, Security Whitepaper edition 3, A00 and A05). Pure.

A profile is what a connection proved: 0 nothing, 1 a key, 2 a key over TLS, 3 a client certificate. The highest that a
charge point ever reached is kept, and no connection lowers it. Knows nothing of sockets, TLS and files: what a client
certificate says was read before.
"""

import hmac
from contextlib import suppress
from datetime import datetime
from typing import Literal

import msgspec

from csms.billing.books import Decision
from csms.charging import settings_plan
from csms.charging.facts import Alarm, ChargePoint, NewChargePoint, UnknownChargePoint
from csms.charging.setting_facts import KeyOffer, ProfileReached
from csms.charging.stations import Admitted, Connect, Reason, SecurityProfile, TurnedAway, hash_key
from csms.charging.working_set import WorkingSet

TLS_BASIC, TLS_CERTIFICATE = 2, 3
REVOKED = "revoked certificates"  # what a loader brings of the certificates that were named: fingerprints


def connect(asked: Connect, working_set: WorkingSet, now: datetime) -> Decision[Admitted | TurnedAway]:  # noqa: ARG001 - every rule takes now
    """Admit a known charge point that proves as much as it has to, and remember what it proved (A05.FR.09)."""
    known = working_set.identities.get(asked.identity)
    if known is None and not asked.adopt:
        return Decision(TurnedAway("unknown"), (UnknownChargePoint(asked.identity, asked.address),))
    if known is None:
        return _adopt(asked, working_set)
    charge_point = working_set.charge_points[known]
    takes_key = key_fits(asked.password, _offered(charge_point))
    reached = _reached(asked, charge_point, working_set, key=takes_key or key_fits(asked.password, charge_point))
    least = max(charge_point.security_profile, asked.least_profile)
    if reached < least:
        return _turn_away(asked, charge_point, working_set, least)
    intents: list[object] = []
    if takes_key:  # its answer was lost: it has the key that was offered, so that one counts from now on
        intents += [settings_plan.switch_of(charge_point), KeyOffer(known, None, None)]
    if reached > charge_point.security_profile:
        intents.append(ProfileReached(known, reached))
    return Decision(Admitted(known, asked.identity, charge_point.registration, reached), tuple(intents))


def key_fits(password: bytes | None, charge_point: ChargePoint) -> bool:
    """Compare a password with the stored key. Some stations send the key's bytes, some its hex text: both are right."""
    if password is None or charge_point.key_salt is None or charge_point.key_hash is None:
        return False
    candidates = [password]
    with suppress(ValueError):  # not hex text: only the bytes themselves can be the key
        candidates.append(bytes.fromhex(password.decode("ascii")))
    digests = [hash_key(one, charge_point.key_salt) for one in candidates]
    return any(hmac.compare_digest(digest, charge_point.key_hash) for digest in digests)


def certificate_problem(
    asked: Connect, charge_point: ChargePoint | None, working_set: WorkingSet
) -> Reason | Literal[""]:
    """Say why the client certificate of a connection is not that of the charge point; "" where it is (A00.FR.405)."""
    if asked.certificate is None:
        return "no certificate"
    if asked.certificate.fingerprint in working_set.more.get(REVOKED, {}):
        return "certificate revoked"
    if asked.certificate.problem:
        return asked.certificate.problem
    names = {asked.identity}
    if charge_point is not None and charge_point.serial_number:
        names.add(charge_point.serial_number)
    return "" if asked.certificate.common_name in names else "certificate not its own"


def _reached(
    asked: Connect, charge_point: ChargePoint | None, working_set: WorkingSet, *, key: bool
) -> SecurityProfile:
    """Return what a connection proves. A certificate that was revoked is as good as none."""
    if asked.is_tls and not certificate_problem(asked, charge_point, working_set):
        return 3
    if not key:
        return 0
    return 2 if asked.is_tls else 1


def _offered(charge_point: ChargePoint) -> ChargePoint:
    """Return a charge point with the key that was offered to it and that it may have taken."""
    return msgspec.structs.replace(charge_point, key_salt=charge_point.new_key_salt, key_hash=charge_point.new_key_hash)


def _turn_away(
    asked: Connect, charge_point: ChargePoint, working_set: WorkingSet, least: int
) -> Decision[Admitted | TurnedAway]:
    """Say why. A wrong key is for the limits of the handshake; whatever else is wrong somebody has to look at."""
    refused = TurnedAway(_reason(asked, charge_point, working_set, least))
    if refused.reason == "wrong key":
        return Decision(refused)
    what = f"{refused.reason}: it came {'with' if asked.is_tls else 'without'} TLS and has to reach profile {least}"
    text = f"{charge_point.identity[:60]} was turned away from {asked.address}, {what}"
    key = f"link {refused.reason} {charge_point.charge_point_id}"
    return Decision(refused, (Alarm(key, "link refused", charge_point.charge_point_id, None, text[:300]),))


def _reason(asked: Connect, charge_point: ChargePoint, working_set: WorkingSet, least: int) -> Reason:
    if least >= TLS_BASIC and not asked.is_tls:
        return "profile too low"
    if least == TLS_CERTIFICATE:
        return certificate_problem(asked, charge_point, working_set) or "no certificate"
    return "profile too low" if charge_point.key_hash is None else "wrong key"


def _adopt(asked: Connect, working_set: WorkingSet) -> Decision[Admitted | TurnedAway]:
    """Trust a laboratory's station on first use: with the key it came with, or without one."""
    profile = _reached(asked, None, working_set, key=asked.password is not None)
    charge_point = ChargePoint(
        working_set.next_charge_point_id(),
        asked.identity,
        profile,
        None if asked.password is None else asked.new_salt,
        None if asked.password is None else hash_key(asked.password, asked.new_salt),
        "Unknown",
        None,
    )
    admitted = Admitted(charge_point.charge_point_id, asked.identity, "Unknown", profile)
    return Decision(admitted, (NewChargePoint(charge_point),))
