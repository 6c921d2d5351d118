"""What stored readings, and statuses beside them, tell of when a transaction drew energy. Pure; one rule for all.

A reading that came after the end, or that says more than can have been delivered, plays no part in a price. What a
connector says of itself while a transaction runs is kept among its readings where its price depends on that: whether
the station itself held back.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from csms.billing.tariffs import decode_tariff
from csms.charging.facts import AFTER_THE_END, ConnectorStatus, Point, Reading, Transaction

IMPLAUSIBLE = "implausible"  # the flag of a reading that says more than can have been delivered
HELD = "held back by the station"
NOT_HELD = "not held back"
STATUS_FLAGS = (HELD, NOT_HELD)


class Turn(msgspec.Struct, frozen=True):
    """From a moment on the station holds back, or does no more."""

    at: datetime
    is_held: bool


def point_of(at: datetime, register_wh: int | None, power_w: int | None, flags: str) -> Point | Turn | None:
    """Return what a stored reading tells (Wh, W), or None where it plays no part in a price."""
    if flags in STATUS_FLAGS:
        return Turn(at, flags == HELD)
    if register_wh is None or AFTER_THE_END in flags or IMPLAUSIBLE in flags:
        return None
    return Point(at, register_wh, power_w)


def points_of(readings: Iterable[Any]) -> list[Point | Turn]:
    """Return what stored readings tell, each a moment, Wh, W and flags: those of them that play a part."""
    return [point for reading in readings if (point := point_of(*reading)) is not None]


def status_reading(one: Transaction, said: ConnectorStatus) -> tuple[Reading, ...]:
    """Return what to keep of a status (OCPP 1.6, 4.9) that a connector with an open transaction says: nothing where
    idle time has no price. The key is made of the fact, so that a repeated one adds nothing.
    """
    if not one.needs_spans or not decode_tariff(one.tariff_json).rate_per_idle_minute:
        return ()
    key = blake2b(f"{one.transaction_id} {said.status}".encode(), digest_size=8).digest()
    return (
        Reading(
            said.charge_point_id,
            said.connector_id,
            said.happened_at,
            int.from_bytes(key, signed=True),
            one.transaction_id,
            None,
            None,
            msgspec.json.encode([{"status": said.status}]).decode(),
            HELD if said.status == "SuspendedEVSE" else NOT_HELD,
        ),
    )
