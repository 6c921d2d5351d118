"""Charging profiles: which limit in W holds for a connector at a moment (OCPP 1.6, 3.13).

Pure: the caller gives the moment. A Relative schedule runs in the car's (accelerated) seconds since the transaction
began, so that a limit in time is the same limit in energy at any speed; Absolute and Recurring ones run on the clock
that stands in the messages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from chargepoint_sim.clock import read

DAY_S, WEEK_S = 86_400, 7 * 86_400
STATION, DEFAULT, TRANSACTION = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"


@dataclass(frozen=True)
class Abilities:
    """What a station can follow (the keys of section 9.4). units: of rates, "A" and "W"."""

    max_stack_level: int = 9
    max_periods: int = 24
    max_installed: int = 20
    units: frozenset[str] = frozenset("AW")


class Period(msgspec.Struct, frozen=True):
    """A limit from start_period seconds on."""

    start_period: int
    limit: float
    number_phases: int | None = None


class Schedule(msgspec.Struct, frozen=True):
    """ChargingSchedule (7.13)."""

    charging_rate_unit: str
    charging_schedule_period: tuple[Period, ...]
    duration: int | None = None
    start_schedule: str | None = None
    min_charging_rate: float | None = None


class Profile(msgspec.Struct, frozen=True):
    """ChargingProfile (7.8)."""

    charging_profile_id: int
    stack_level: int
    charging_profile_purpose: str
    charging_profile_kind: str
    charging_schedule: Schedule
    transaction_id: int | None = None
    recurrency_kind: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None

    def fits(self, abilities: Abilities) -> bool:
        """Whether a station can follow it: its dates can be read, its levels, its periods and its unit fit."""
        schedule = self.charging_schedule
        starts = [period.start_period for period in schedule.charging_schedule_period]
        if not starts or starts != sorted(set(starts)) or len(starts) > abilities.max_periods or starts[0] != 0:
            return False
        if self.charging_profile_kind == "Recurring" and None in {self.recurrency_kind, schedule.start_schedule}:
            return False
        if schedule.charging_rate_unit not in abilities.units:
            return False
        try:
            for text in (self.valid_from, self.valid_to, schedule.start_schedule):
                if text is not None:
                    read(text)
        except ValueError:
            return False
        return 0 <= self.stack_level <= abilities.max_stack_level


class Installed(msgspec.Struct, frozen=True):
    """A profile and the connector it was set for; 0 is the whole charge point."""

    connector_id: int
    profile: Profile


@dataclass(frozen=True)
class Outlet:
    """What turns ampere into watt at a connector."""

    connector_id: int
    voltage_v: float
    phases: int
    max_power_w: float


@dataclass(frozen=True)
class Moment:
    """now: the clock of the messages. charging_s: the car's seconds since the transaction began, None without one."""

    now: datetime
    charging_s: float | None

    def plus(self, seconds: float) -> Moment:
        """The moment some seconds later."""
        charging_s = None if self.charging_s is None else self.charging_s + seconds
        return Moment(self.now + timedelta(seconds=seconds), charging_s)


def install(installed: tuple[Installed, ...], connector_id: int, profile: Profile) -> tuple[Installed, ...]:
    """Add a profile; it replaces one of the same id, or of the same purpose and stack level at the connector (5.16)."""

    def replaced(one: Installed) -> bool:
        other = one.profile
        same_place = one.connector_id == connector_id and other.stack_level == profile.stack_level
        same_slot = same_place and other.charging_profile_purpose == profile.charging_profile_purpose
        return other.charging_profile_id == profile.charging_profile_id or same_slot

    return (*(one for one in installed if not replaced(one)), Installed(connector_id, profile))


def limit_w(installed: tuple[Installed, ...], outlet: Outlet, moment: Moment, sharers: int = 1) -> float:
    """The power in W that may be offered: the connector's own maximum or what the profiles in force leave of it.

    sharers: among how many connectors what the whole charge point may draw is divided.
    """
    station = _strongest(installed, STATION, outlet, moment)
    transaction = _strongest(installed, TRANSACTION, outlet, moment) if moment.charging_s is not None else None
    if transaction is None:
        transaction = _strongest(installed, DEFAULT, outlet, moment)
    shared = None if station is None else station / max(1, sharers)
    return min([outlet.max_power_w, *(limit for limit in (shared, transaction) if limit is not None)])


def composite(installed: tuple[Installed, ...], outlet: Outlet, moment: Moment, duration_s: int) -> tuple[Period, ...]:
    """The limits in W over the coming seconds, for GetCompositeSchedule (5.7)."""
    starts = {0}
    for one in installed:
        turns = _turns_s(one.profile, moment, duration_s)
        starts |= {turn for turn in turns if 0 < turn < duration_s}
    periods: list[Period] = []
    for start in sorted(starts):
        limit = round(limit_w(installed, outlet, moment.plus(start)), 1)
        if not periods or periods[-1].limit != limit:
            periods.append(Period(start, limit))
    return tuple(periods)


def _turns_s(profile: Profile, moment: Moment, duration_s: int) -> set[int]:
    """When, in whole seconds from now, what a profile says may have changed: never a moment before it does."""
    turns = {
        math.ceil((read(text) - moment.now).total_seconds())
        for text in (profile.valid_from, profile.valid_to)
        if text is not None
    }
    offset = _offset_s(profile, moment)
    if offset is None:
        return turns
    schedule = profile.charging_schedule
    within = [period.start_period for period in schedule.charging_schedule_period]
    within += [schedule.duration] if schedule.duration is not None else []
    if profile.charging_profile_kind != "Recurring":
        return turns | {math.ceil(turn - offset) for turn in within}
    cycle_s = _cycle_s(profile)
    begins = range(0, duration_s + cycle_s, cycle_s)
    return turns | {math.ceil(begin + turn - offset) for begin in begins for turn in within}


def _cycle_s(profile: Profile) -> int:
    return WEEK_S if profile.recurrency_kind == "Weekly" else DAY_S


def _strongest(installed: tuple[Installed, ...], purpose: str, outlet: Outlet, moment: Moment) -> float | None:
    """The limit of the highest stack level that says something now; the connector's own replace those of connector 0.

    Only what was set for a connector replaces what was set for all (3.13.1), whatever the levels.
    """
    candidates = [
        one
        for one in installed
        if one.profile.charging_profile_purpose == purpose and one.connector_id in {0, outlet.connector_id}
    ]
    for one in sorted(candidates, key=lambda one: (one.connector_id, one.profile.stack_level), reverse=True):
        limit = _limit_of(one.profile, outlet, moment)
        if limit is not None:
            return limit
    return None


def _limit_of(profile: Profile, outlet: Outlet, moment: Moment) -> float | None:
    if profile.valid_from is not None and moment.now < read(profile.valid_from):
        return None
    if profile.valid_to is not None and moment.now >= read(profile.valid_to):
        return None
    offset = _offset_s(profile, moment)
    schedule = profile.charging_schedule
    if offset is None or offset < 0 or (schedule.duration is not None and offset >= schedule.duration):
        return None
    period = [period for period in schedule.charging_schedule_period if period.start_period <= offset][-1]
    if schedule.charging_rate_unit == "W":
        return max(0.0, period.limit)
    return max(0.0, period.limit * outlet.voltage_v * min(outlet.phases, period.number_phases or 3))


def _offset_s(profile: Profile, moment: Moment) -> float | None:
    """Seconds since the schedule began, None while it has no beginning."""
    start = profile.charging_schedule.start_schedule
    if profile.charging_profile_kind == "Relative" or start is None:
        return moment.charging_s
    offset = (moment.now - read(start)).total_seconds()
    if profile.charging_profile_kind == "Recurring":
        return offset % _cycle_s(profile)
    return offset
