"""The limit that goes on when the link is lost: a TxProfile after which the station gives no more power. Pure.

`[{0, limit}, {T, 0}]` with T = remaining energy / maximum power (OCPP 1.6, 3.13): at no power can the car take more
than the credit pays for. A profile stays in force without a link, so while there is one it is renewed before it cuts.
The schedule begins at the latest reading, in the station's own time: neither its clock nor the link's delay matters.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from csms.charging.command_queue import stop_command
from csms.charging.facts import Command, SmartCharging, Transaction
from csms.charging.forecast import ends_not_before, heard_at
from csms.charging.station_clocks import by_its_clock
from csms.charging.working_set import WorkingSet

KEYS = (
    "supportedfeatureprofiles",
    "chargingscheduleallowedchargingrateunit",
    "chargeprofilemaxstacklevel",
    "maxchargingprofilesinstalled",
    "chargingschedulemaxperiods",
)
_DAY = timedelta(days=1)
_SURE = timedelta(seconds=90)  # so long the guard, while the link holds, lets the car charge at its own power
_SPARE = timedelta(seconds=30)  # by which the limit leaves the stop to the guard
_RENEWED_BEFORE = timedelta(seconds=40)
_CLOSE = timedelta(seconds=10)
_WORTHWHILE = timedelta(seconds=20)
_LESS = timedelta(seconds=60)  # the credit went elsewhere: a limit that much too late is brought forward
_SINGLE_PHASE_W = 7_400
_VOLTS = 230
_PERIODS = 2
_FIRST_ID, _IDS = 1_700_000_000, 400_000_000  # of its profiles: none that people or the library use


def smart_charging_of(charge_point_id: int, reported: Mapping[str, str]) -> SmartCharging | None:
    """Return what a station's configuration, by lower-case key, says of its Smart Charging; None: it has none.

    Keys that it does not report are taken for no limit; watts are preferred to amperes (OCPP 1.6, 9.4).
    """
    profiles = {name.strip().casefold() for name in reported.get(KEYS[0], "").split(",")}
    installed, periods = _number(reported, KEYS[3]), _number(reported, KEYS[4])
    if "smartcharging" not in profiles or installed == 0 or (periods is not None and periods < _PERIODS):
        return None
    units = {name.strip().casefold() for name in reported.get(KEYS[1], "power").split(",")}
    in_watts = bool(units & {"power", "w"})
    if not in_watts and not units & {"current", "a"}:
        return None
    return SmartCharging(charge_point_id, in_watts, _number(reported, KEYS[2]) or 0)


def limit(
    one: Transaction, ends: datetime | None, working_set: WorkingSet, now: datetime
) -> tuple[Transaction, tuple[Command, ...]]:
    """Give a transaction its first limit, or move one that comes too early or too late; `ends`: of the credit, at the
    present power.
    """
    smart = working_set.smart_charging.get(one.charge_point_id)
    power_w = one.max_power_w
    if smart is None or power_w is None or "late" in one.flags:
        return one, ()
    soonest = ends_not_before(one, power_w, working_set, within=_DAY)
    if soonest is None:
        return one, ()
    until = max(soonest, min(ends or now + _SURE, now + _SURE) + _SPARE)
    if one.limited_until is not None and not _is_moved(one.limited_until, until, now):
        return one, ()
    if ends is not None and ends - now < _SPARE:  # the stop comes first, and is not to wait for an answer
        return one, ()
    one = msgspec.structs.replace(one, limited_until=until)
    return one, (_command(one, smart, power_w, until, working_set, now),)


def renewed_at(one: Transaction) -> datetime | None:
    """Return when to look at a transaction, so that its limit does not cut what the credit still pays for."""
    return None if one.limited_until is None else one.limited_until - _RENEWED_BEFORE


def _is_moved(known: datetime, until: datetime, now: datetime) -> bool:
    if known - until > _LESS:
        return True
    if known - now <= _RENEWED_BEFORE + _CLOSE:  # it would cut before the guard stops, or has cut already
        return until - known >= _CLOSE
    return until - known >= _WORTHWHILE and until - now > 2 * (known - now)


def _command(
    one: Transaction, smart: SmartCharging, power_w: int, until: datetime, working_set: WorkingSet, now: datetime
) -> Command:
    """Return the call. A profile with the same id takes the place of the one before (OCPP 1.6, 5.16.4)."""
    phases = 1 if power_w <= _SINGLE_PHASE_W else 3
    most = power_w if smart.in_watts else -(-power_w // (_VOLTS * phases))
    seconds = max(0, int((until - heard_at(one)).total_seconds()))
    begins = by_its_clock(working_set.charge_points[one.charge_point_id], one.register_at, heard_at(one))
    schedule = {
        "startSchedule": begins.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "chargingRateUnit": "W" if smart.in_watts else "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": most}, {"startPeriod": seconds, "limit": 0}],
    }
    profile = {
        "chargingProfileId": _FIRST_ID + one.transaction_id % _IDS,
        "transactionId": one.transaction_id,
        "stackLevel": smart.stack_level,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": schedule,
    }
    payload = {"connectorId": one.connector_id, "csChargingProfiles": profile}
    asked = stop_command(one, working_set, "offline limit", now)
    return msgspec.structs.replace(
        asked,
        action="SetChargingProfile",
        payload_json=msgspec.json.encode(payload).decode(),
        repeatable=False,
        expires_at=now + _SURE,
    )


def _number(reported: Mapping[str, str], key: str) -> int | None:
    text = reported.get(key, "").strip()
    return int(text) if text.isascii() and text.isdigit() else None
