"""The library of charging profiles: stored under a name, checked, and made ready for a connector of a station.

Works on a connection inside somebody else's unit of work. What a station was told and took is not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from csms.charging import models
from csms.charging.offline_limit import smart_charging_of
from csms.db import as_fact
from csms.operations.charging_profile_models import charging_profile
from csms.operations.charging_profiles_store import InstalledProfile
from csms.operations.profile_schedules import (
    ALL_PHASES,
    RECURRENCE_S,
    Profile,
    Schedule,
    decode,
    encode,
)

MOST_PERIODS = 100
_LARGEST = 2**31 - 1
_MOST_CONNECTORS = 100
# A profile gets an id of its own at each connector, far above those that people choose, below those of the guard.
_FIRST_ID = 1_000_000_000
_MOST_PROFILES = 6_000_000
_TENTH = Decimal("0.1")
_LONGEST_NAME = 100
_YEARS = range(2000, 2200)
_row = charging_profile.c


class LibraryProfile(msgspec.Struct, frozen=True):
    """A profile of the library; its own id is 0 until it is sent."""

    library_id: int
    name: str
    time_zone: str
    profile: Profile
    created_at: datetime
    changed_at: datetime


class Problem(msgspec.Struct, frozen=True):
    """What is wrong: a field of `Profile` or `Schedule`, or the name; a sentence; which period, counted from 1."""

    field: str
    why: str
    period: int | None = None


class Refused(msgspec.Struct, frozen=True):
    """Nothing was stored, and why."""

    problems: tuple[Problem, ...]


_SELECT = select(_row.id, _row.name, _row.time_zone, _row.profile_json, _row.created_at, _row.changed_at)


def _as_profile(row: Sequence[object]) -> LibraryProfile:
    values = list(row)
    values[3] = decode(str(row[3]))
    return as_fact(LibraryProfile, values)


def list_profiles(connection: Connection) -> list[LibraryProfile]:
    """Return the library by name."""
    return [_as_profile(row) for row in connection.execute(_SELECT.order_by(_row.name))]


def find_profile(connection: Connection, library_id: int) -> LibraryProfile | None:
    """Return a profile by its number."""
    row = connection.execute(_SELECT.where(_row.id == library_id)).first()
    return None if row is None else _as_profile(row)


def find_named(connection: Connection, name: str) -> LibraryProfile | None:
    """Return a profile by its name."""
    row = connection.execute(_SELECT.where(_row.name == name)).first()
    return None if row is None else _as_profile(row)


def store_profile(
    connection: Connection, *, name: str, time_zone: str, profile: Profile, now: datetime, library_id: int | None = None
) -> LibraryProfile | Refused:
    """Add a profile, or change the one with this number. What stations have already stays as they took it."""
    found = problems(name, profile)
    taken = find_named(connection, name)
    if taken is not None and taken.library_id != library_id:
        found.append(Problem("name", "another profile has this name"))
    if found:
        return Refused(tuple(found))
    text = encode(msgspec.structs.replace(profile, charging_profile_id=0, transaction_id=None))
    row = {"name": name, "time_zone": time_zone, "profile_json": text, "changed_at": now}
    if library_id is None:
        statement = insert(charging_profile).returning(_row.id)
        library_id = int(connection.execute(statement, row | {"created_at": now}).scalar_one())
    else:
        connection.execute(update(charging_profile).where(_row.id == library_id), row)
    stored = find_profile(connection, library_id)
    assert stored is not None, "it was just stored"
    return stored


def remove_profile(connection: Connection, library_id: int) -> bool:
    """Take a profile out of the library; stations keep it until it is cleared."""
    return bool(connection.execute(delete(charging_profile).where(_row.id == library_id)).rowcount)


def wire_ids(library_id: int) -> tuple[int, int]:
    """Return the first and the last id that a profile of the library has at stations."""
    first = _FIRST_ID + library_id % _MOST_PROFILES * _MOST_CONNECTORS
    return first, first + _MOST_CONNECTORS - 1


def library_id_of(profile_id: int) -> int | None:
    """Return which profile of the library an id at a station means; None for an id that is not ours."""
    library_id = (profile_id - _FIRST_ID) // _MOST_CONNECTORS
    return library_id if 0 <= library_id < _MOST_PROFILES else None


def for_connector(one: LibraryProfile, connector_id: int, *, transaction_id: int | None = None) -> Profile:
    """Return the profile as it is sent to a connector."""
    first, _ = wire_ids(one.library_id)
    return msgspec.structs.replace(
        one.profile, charging_profile_id=first + connector_id % _MOST_CONNECTORS, transaction_id=transaction_id
    )


# --- what makes sense -------------------------------------------------------------------------------------------------


def problems(name: str, profile: Profile) -> list[Problem]:
    """Say what is wrong with a profile by itself."""
    found = []
    if not 1 <= len(name) <= _LONGEST_NAME:
        found.append(Problem("name", f"1 to {_LONGEST_NAME} characters"))
    if not 0 <= profile.stack_level <= _LARGEST:
        found.append(Problem("stack_level", "a whole number from 0"))
    moments = {
        "start_schedule": profile.charging_schedule.start_schedule,
        "valid_from": profile.valid_from,
        "valid_to": profile.valid_to,
    }
    for field, at in moments.items():
        if at is not None and at.year not in _YEARS:
            found.append(Problem(field, f"a year from {_YEARS[0]} to {_YEARS[-1]}"))
    if profile.valid_from is not None and profile.valid_to is not None and profile.valid_to <= profile.valid_from:
        found.append(Problem("valid_to", "has to lie after the begin"))
    return [*found, *_kind_problems(profile), *_schedule_problems(profile), *_period_problems(profile)]


def _kind_problems(profile: Profile) -> Iterable[Problem]:
    start = profile.charging_schedule.start_schedule
    kind = profile.charging_profile_kind
    if kind == "Relative" and profile.charging_profile_purpose == "ChargePointMaxProfile":
        yield Problem("charging_profile_kind", "a limit of the whole station has no car to be relative to")
    if kind == "Relative" and start is not None:
        yield Problem("start_schedule", "a relative profile begins with the charging, so leave this empty")
    if kind == "Recurring" and profile.recurrency_kind is None:
        yield Problem("recurrency_kind", "choose whether it recurs daily or weekly")
    if kind != "Recurring" and profile.recurrency_kind is not None:
        yield Problem("recurrency_kind", "only a recurring profile recurs")
    if kind in {"Recurring", "Absolute"} and start is None:
        yield Problem("start_schedule", "say when it begins")


def _schedule_problems(profile: Profile) -> Iterable[Problem]:
    schedule = profile.charging_schedule
    if schedule.duration is not None and not 0 < schedule.duration <= _LARGEST:
        yield Problem("duration", "more than nothing")
    length_s = _recurs_after_s(profile)
    if length_s is not None and schedule.duration is not None and schedule.duration > length_s:
        yield Problem("duration", "longer than it takes to recur")
    if schedule.min_charging_rate is not None and not _is_limit(schedule.min_charging_rate):
        yield Problem("min_charging_rate", "a number from 0 with at most one decimal")


def _recurs_after_s(profile: Profile) -> int | None:
    if profile.charging_profile_kind != "Recurring" or profile.recurrency_kind is None:
        return None
    return RECURRENCE_S[profile.recurrency_kind]


def _period_problems(profile: Profile) -> Iterable[Problem]:
    schedule: Schedule = profile.charging_schedule
    periods = schedule.charging_schedule_period
    if not 1 <= len(periods) <= MOST_PERIODS:
        yield Problem("charging_schedule_period", f"1 to {MOST_PERIODS} periods")
    length_s = _recurs_after_s(profile)
    ends = [end for end in (schedule.duration, length_s) if end is not None]
    before = -1
    for number, one in enumerate(periods, 1):
        if number == 1 and one.start_period:
            yield Problem("start_period", "the first period begins at 0", number)
        elif one.start_period <= before:
            yield Problem("start_period", "has to begin after the period before it", number)
        elif ends and one.start_period >= min(ends):
            yield Problem("start_period", "begins after the end of the schedule", number)
        if not _is_limit(one.limit):
            yield Problem("limit", "a number from 0 with at most one decimal", number)
        if one.number_phases is not None and not 1 <= one.number_phases <= ALL_PHASES:
            yield Problem("number_phases", "1 to 3", number)
        before = one.start_period


def _is_limit(value: Decimal) -> bool:
    return 0 <= value < _LARGEST and value == value.quantize(_TENTH)


# --- what a station takes ---------------------------------------------------------------------------------------------


class Place(msgspec.Struct, frozen=True):
    """What has to be known of a station to tell whether it can take a profile; None: it did not say."""

    charge_point_id: int
    identity: str
    takes_profiles: bool | None
    most_level: int | None
    units: frozenset[str] | None
    most_periods: int | None
    most_installed: int | None
    guard_level: int | None  # where the credit guard's limits stand; None: it tells none here
    connectors: tuple[int, ...]  # those that were heard of
    max_power_w: int | None = None  # of the strongest connector


def place_of(
    charge_point_id: int, identity: str, reported: Mapping[str, str], connectors: Iterable[int], *, limits: bool
) -> Place:
    """Make it of a station's configuration, by lower-case key; `limits`: its group lets the guard tell it some."""
    profiles = reported.get("supportedfeatureprofiles")
    names = {part.strip().casefold() for part in (profiles or "").split(",")}
    units = reported.get("chargingscheduleallowedchargingrateunit")
    spelled = {"current": "A", "a": "A", "power": "W", "w": "W"}
    parts = [part.strip().casefold() for part in (units or "").split(",")]
    allowed = frozenset(spelled[part] for part in parts if part in spelled)
    smart = smart_charging_of(charge_point_id, reported) if limits else None
    return Place(
        charge_point_id,
        identity,
        None if profiles is None else "smartcharging" in names,
        _whole(reported.get("chargeprofilemaxstacklevel")),
        allowed or None,
        _whole(reported.get("chargingschedulemaxperiods")),
        _whole(reported.get("maxchargingprofilesinstalled")),
        None if smart is None else smart.stack_level,
        tuple(sorted(connectors)),
    )


def _whole(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 10 else None  # noqa: PLR2004 - digits


def find_place(connection: Connection, charge_point_id: int) -> Place | None:
    """Read what is known of a station; None where there is none."""
    cp, group, setting = models.charge_point.c, models.station_group.c, models.station_setting.c
    place = models.charge_point.outerjoin(models.station_group, cp.group_id == group.id)
    statement = (
        select(cp.identity, cp.max_power_w, group.limits_offline).select_from(place).where(cp.id == charge_point_id)
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    told = select(setting.key, setting.reported_value).where(
        setting.charge_point_id == charge_point_id, setting.reported_value.is_not(None)
    )
    reported = {key.casefold(): str(value) for key, value in connection.execute(told)}
    connector = models.connector.c
    heard = select(connector.connector_id).where(connector.charge_point_id == charge_point_id)
    ids = [one for one in connection.execute(heard).scalars() if one]
    found = place_of(charge_point_id, row.identity, reported, ids, limits=row.limits_offline is not False)
    return msgspec.structs.replace(found, max_power_w=row.max_power_w)


def refusals(
    place: Place,
    profile: Profile,
    connector_id: int,
    installed: Sequence[InstalledProfile],
    *,
    with_start: bool = False,
) -> list[str]:
    """Say why a profile should not be sent to a connector of a station; with a remote start it needs no transaction."""
    found = [*_capability_refusals(place, profile)]
    purpose = profile.charging_profile_purpose
    if purpose == "ChargePointMaxProfile" and connector_id:
        found.append("A ChargePointMaxProfile is for the whole station: connector 0.")
    if purpose == "TxProfile":
        if not connector_id and not with_start:
            found.append("A TxProfile is for one connector, not for the whole station.")
        if profile.transaction_id is None and not with_start:
            found.append("No car is charging at this connector, and a TxProfile is for a running transaction.")
        if place.guard_level is not None and profile.stack_level >= place.guard_level:
            found.append(_guard_words(place.guard_level))
    if connector_id and place.connectors and connector_id not in place.connectors:
        found.append(f"The station has no connector {connector_id}.")
    replaced = [one for one in installed if _replaces(profile, connector_id, one)]
    if place.most_installed is not None and len(installed) - len(replaced) >= place.most_installed:
        most = place.most_installed
        found.append(f"The station keeps at most {most} profiles, and has {len(installed)} already: clear one first.")
    return found


def _guard_words(level: int) -> str:
    words = f"At stack level {level} stands the credit guard's own limit of a transaction, and would replace this one"
    if not level:
        return f"{words}; the station knows no lower level. Use a TxDefaultProfile: the guard respects it."
    return f"{words}: use a level below {level}. The guard then respects it."


def _capability_refusals(place: Place, profile: Profile) -> Iterable[str]:
    schedule = profile.charging_schedule
    if place.takes_profiles is False:
        yield "The station does not list SmartCharging among its SupportedFeatureProfiles."
    if place.most_level is not None and profile.stack_level > place.most_level:
        yield f"The station's highest stack level is {place.most_level}; this profile has {profile.stack_level}."
    if place.units is not None and schedule.charging_rate_unit not in place.units:
        words = "amperes" if "A" in place.units else "watts"
        yield f"The station takes limits in {words} only (ChargingScheduleAllowedChargingRateUnit)."
    periods = len(schedule.charging_schedule_period)
    if place.most_periods is not None and periods > place.most_periods:
        yield f"The station takes at most {place.most_periods} periods; this profile has {periods}."


def _replaces(profile: Profile, connector_id: int, one: InstalledProfile) -> bool:
    same_place = (one.connector_id, one.purpose, one.stack_level) == (
        connector_id,
        profile.charging_profile_purpose,
        profile.stack_level,
    )
    return same_place or one.profile_id == profile.charging_profile_id
