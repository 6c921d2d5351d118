"""Charging profiles as OCPP 1.6 knows them, and what several of them allow together: the composite schedule. Pure.

3.13: within a purpose the highest stack level that is valid and runs counts, a connector's own before what is set for
all; a TxProfile replaces the TxDefaultProfile;
what remains is bounded by the ChargePointMaxProfile. Knows no station and no table. Limits are exact decimals, moments
whole seconds.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Literal, get_args

import msgspec

Purpose = Literal["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]
Kind = Literal["Absolute", "Recurring", "Relative"]
Recurrency = Literal["Daily", "Weekly"]
Unit = Literal["A", "W"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
KINDS: tuple[Kind, ...] = get_args(Kind)
RECURRENCIES: tuple[Recurrency, ...] = get_args(Recurrency)
UNITS: tuple[Unit, ...] = get_args(Unit)
VOLTS = 230
ALL_PHASES = 3  # what a period means that says no number (OCPP 1.6, 7.14)
RECURRENCE_S: dict[Recurrency, int] = {"Daily": 86_400, "Weekly": 604_800}
_TENTH = Decimal("0.1")
_SECOND = timedelta(seconds=1)


class Period(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """From `start_period` seconds into the schedule on, `limit` amperes per phase or watts."""

    start_period: int
    limit: Decimal
    number_phases: int | None = None


class Schedule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Limits over time. Without `duration` the last period goes on."""

    charging_rate_unit: Unit
    charging_schedule_period: tuple[Period, ...]
    duration: int | None = None
    start_schedule: datetime | None = None
    min_charging_rate: Decimal | None = None


class Profile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A charging profile, as the schema of SetChargingProfile spells it."""

    charging_profile_id: int
    stack_level: int
    charging_profile_purpose: Purpose
    charging_profile_kind: Kind
    charging_schedule: Schedule
    transaction_id: int | None = None
    recurrency_kind: Recurrency | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class Placed(msgspec.Struct, frozen=True):
    """A profile at a connector; 0 is the whole charge point."""

    connector_id: int
    profile: Profile


class Step(msgspec.Struct, frozen=True):
    """From `offset_s` on this limit holds; None: no profile limits."""

    offset_s: int
    limit: Decimal | None
    number_phases: int | None = None


ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(Profile)


def encode(profile: Profile) -> str:
    """Write a profile as it goes over the wire."""
    return ENCODER.encode(profile).decode()


def decode(text: str | bytes) -> Profile:
    """Read a profile; ValidationError of msgspec where it is none."""
    return _DECODER.decode(text)


def utc(at: datetime) -> datetime:
    """Return a moment in UTC, in whole seconds; one without a zone is meant so, and so is one that leaves the calendar
    with its zone: the last second of 9999 in America means "for ever".
    """
    try:
        aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        aware = at.replace(tzinfo=UTC)
    return aware.replace(microsecond=0)


def composite(  # the fields of GetCompositeSchedule, and what they need
    placed: Sequence[Placed],
    connector_id: int,
    begin: datetime,
    duration_s: int,
    unit: Unit,
    *,
    transaction_id: int | None = None,
    begun_at: datetime | None = None,
    connectors: Sequence[int] = (),
) -> tuple[Step, ...]:
    """Return what `placed` allow at a connector from `begin` for so many seconds, in steps that differ.

    `begun_at` is when the transaction began, from where relative schedules count; without one a car is taken to come at
    `begin`. At connector 0 the limits of all `connectors` add up.
    """
    begin = utc(begin)
    begun = utc(begun_at) if begun_at is not None else begin
    end = begin + timedelta(seconds=max(0, duration_s))
    fitting = [one for one in placed if _concerns(one, connector_id, transaction_id)]
    moments = {begin}
    for one in fitting:
        moments.update(at for at in _edges(one.profile, begun, begin, end) if begin < at < end)
    steps: list[Step] = []
    for at in sorted(moments):
        if connector_id:
            limit, phases = _limit_at(fitting, connector_id, at, begun, unit)
        else:
            limit, phases = _total_at(fitting, connectors, at, begun, unit)
        if not steps or (steps[-1].limit, steps[-1].number_phases) != (limit, phases):
            steps.append(Step((at - begin) // _SECOND, limit, phases))
    return tuple(steps)


def active_period(profile: Profile, at: datetime, begun: datetime) -> Period | None:
    """Return the period of a profile that holds at a moment; None where it is not valid or does not run."""
    if profile.valid_from is not None and at < utc(profile.valid_from):
        return None
    if profile.valid_to is not None and at >= utc(profile.valid_to):
        return None
    elapsed_s = (at - _start(profile, begun)) // _SECOND
    if elapsed_s < 0:
        return None
    length_s = _recurs_after_s(profile)
    if length_s is not None:
        elapsed_s %= length_s
    schedule = profile.charging_schedule
    if schedule.duration is not None and elapsed_s >= schedule.duration:
        return None
    begun_periods = [one for one in schedule.charging_schedule_period if one.start_period <= elapsed_s]
    return max(begun_periods, key=lambda one: one.start_period, default=None)


def in_unit(limit: Decimal, number_phases: int | None, given: Unit, wanted: Unit) -> Decimal:
    """Convert a limit at 230 V per phase; amperes are rounded down to a tenth, so that they never allow more."""
    if given == wanted:
        return limit
    volts = VOLTS * (number_phases or ALL_PHASES)
    if wanted == "W":
        return limit * volts
    return (limit / volts).quantize(_TENTH, ROUND_DOWN)


def _concerns(one: Placed, connector_id: int, transaction_id: int | None) -> bool:
    """Tell whether a profile may have a say at a connector."""
    if one.profile.charging_profile_purpose == "ChargePointMaxProfile":
        return True
    if one.profile.charging_profile_purpose == "TxProfile" and connector_id:
        meant = one.profile.transaction_id
        is_here = one.connector_id in {0, connector_id}
        return is_here and transaction_id is not None and meant in {None, transaction_id}
    return not connector_id or one.connector_id in {0, connector_id}


def _start(profile: Profile, begun: datetime) -> datetime:
    start = profile.charging_schedule.start_schedule
    return begun if start is None or profile.charging_profile_kind == "Relative" else utc(start)


def _recurs_after_s(profile: Profile) -> int | None:
    if profile.charging_profile_kind != "Recurring" or profile.recurrency_kind is None:
        return None
    return RECURRENCE_S[profile.recurrency_kind]


def _edges(profile: Profile, begun: datetime, begin: datetime, end: datetime) -> Iterable[datetime]:
    """Yield when a profile may begin to say something else."""
    yield from (utc(at) for at in (profile.valid_from, profile.valid_to) if at is not None)
    start, schedule = _start(profile, begun), profile.charging_schedule
    offsets = {0, *(one.start_period for one in schedule.charging_schedule_period)}
    if schedule.duration is not None:
        offsets.add(schedule.duration)
    span = timedelta(days=366)
    if not begin - 100 * span < start < end + span:  # a date of nonsense has no edge near here
        return
    length_s = _recurs_after_s(profile)
    if length_s is None:
        yield from (start + timedelta(seconds=offset) for offset in offsets if offset <= span // _SECOND * 100)
        return
    at = start + timedelta(seconds=max(0, (begin - start) // _SECOND // length_s) * length_s)
    while at < end:
        yield from (at + timedelta(seconds=offset) for offset in offsets if offset < length_s)
        at += timedelta(seconds=length_s)


def _leading(
    placed: Iterable[Placed], purpose: Purpose, at: datetime, begun: datetime, connector_id: int
) -> tuple[Profile, Period] | None:
    """Return what counts of a purpose: the connector's own replaces what is set for all (3.13.1), then the level."""
    running = [
        (one.connector_id == connector_id, one.profile.stack_level, one.profile.charging_profile_id, one.profile, found)
        for one in placed
        if one.profile.charging_profile_purpose == purpose and one.connector_id in {0, connector_id}
        if (found := active_period(one.profile, at, begun)) is not None
    ]
    best = max(running, key=lambda one: one[:3], default=None)
    return None if best is None else (best[3], best[4])


def _converted(found: tuple[Profile, Period] | None, unit: Unit) -> tuple[Decimal | None, int | None]:
    if found is None:
        return None, None
    profile, period = found
    given = profile.charging_schedule.charging_rate_unit
    return in_unit(period.limit, period.number_phases, given, unit), period.number_phases


def _limit_at(
    placed: Sequence[Placed], connector_id: int, at: datetime, begun: datetime, unit: Unit
) -> tuple[Decimal | None, int | None]:
    own = _leading(placed, "TxProfile", at, begun, connector_id)
    own = own or _leading(placed, "TxDefaultProfile", at, begun, connector_id)
    limit, phases = _converted(own, unit)
    most, most_phases = _converted(_leading(placed, "ChargePointMaxProfile", at, begun, 0), unit)
    if limit is None or (most is not None and most < limit):
        return most, most_phases
    return limit, phases


def _total_at(
    placed: Sequence[Placed], connectors: Sequence[int], at: datetime, begun: datetime, unit: Unit
) -> tuple[Decimal | None, int | None]:
    most, phases = _converted(_leading(placed, "ChargePointMaxProfile", at, begun, 0), unit)
    limits = [_limit_at(placed, one, at, begun, unit)[0] for one in connectors]
    if not limits or any(limit is None for limit in limits):
        return most, phases
    total = sum((limit for limit in limits if limit is not None), Decimal(0))
    return (most, phases) if most is not None and most < total else (total, None)
