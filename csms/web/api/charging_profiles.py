"""Charging profiles over the API: the library, sending, what a station has, and what it says that allows.

What a station says it cannot take is refused here; `POST /charge-points/{id}/commands` sends anything.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from sqlalchemy import Connection, select

from csms import clock
from csms.billing import reports
from csms.charging import models
from csms.commands import profile_sending as sending
from csms.operations.profile_library import (
    MOST_PERIODS,
    LibraryProfile,
    Refused,
    find_place,
    find_profile,
    for_connector,
    list_profiles,
    remove_profile,
    store_profile,
)
from csms.operations.profile_schedules import Kind, Period, Profile, Purpose, Recurrency, Schedule, Unit
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, found
from csms.web.api.installed_profiles import CompositeSchedules, InstalledProfiles, show_composites, show_installed
from csms.web.api.problems import Problem
from csms.web.api.values import Id, IdTag, Moment, plain, utc

Limit = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{1,7}(\.[0-9])?$", description="In the profile's unit.", examples=["16", "10.5"])
]
Level = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Connector = Annotated[int, msgspec.Meta(ge=0, le=99, description="0 is the whole charge point.")]
_FIELDS = {
    "charging_profile_kind": "kind",
    "recurrency_kind": "recurrency",
    "charging_schedule_period": "periods",
    "duration": "duration_s",
    "start_period": "start_s",
}


class ProfilePeriod(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From `start_s` into the schedule on, this limit holds."""

    start_s: Seconds
    limit: Limit
    number_phases: Annotated[int, msgspec.Meta(ge=1, le=3)] | None = None


class NewChargingProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A profile for the library. Moments of recurring profiles recur each 24 hours or seven days."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\s\u0000-\u001f][^\u0000-\u001f]*$")]
    purpose: Purpose
    kind: Kind
    recurrency: Recurrency | None = None
    stack_level: Level
    unit: Unit
    periods: Annotated[tuple[ProfilePeriod, ...], msgspec.Meta(min_length=1, max_length=MOST_PERIODS)]
    duration_s: Seconds | None = None
    start_schedule: Moment | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = None
    min_charging_rate: Limit | None = None
    time_zone: Annotated[str, msgspec.Meta(max_length=50, examples=["Europe/Sofia"])] = "UTC"


class ChargingProfile(msgspec.Struct, frozen=True):
    """A profile of the library."""

    id: int
    name: str
    purpose: Purpose
    kind: Kind
    recurrency: Recurrency | None
    stack_level: int
    unit: Unit
    periods: tuple[ProfilePeriod, ...]
    duration_s: int | None
    start_schedule: datetime | None
    valid_from: datetime | None
    valid_to: datetime | None
    min_charging_rate: str | None
    time_zone: str
    created_at: datetime
    changed_at: datetime


class ChargingProfiles(msgspec.Struct, frozen=True):
    """The library, by name."""

    items: tuple[ChargingProfile, ...]


class Sending(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to send a profile: to a charge point, or to those of a group. With `start_id_tag` a TxProfile goes with a
    remote start of this card; otherwise to the transaction that runs at the connector.
    """

    charge_point_id: Id | None = None
    station_group_id: Id | None = None
    connector_id: Connector | None = None
    start_id_tag: IdTag | None = None


class NotSent(msgspec.Struct, frozen=True):
    """A charge point that is not asked, and why."""

    charge_point_id: int
    identity: str
    reasons: tuple[str, ...]


class SendingBegun(msgspec.Struct, frozen=True):
    """What is on its way: one command, or a batch of them. `profile_id` is the profile's id at the charge point."""

    profile_id: int
    command_ids: tuple[int, ...]
    batch_id: int | None
    charge_point_ids: tuple[int, ...]
    not_sent: tuple[NotSent, ...]


async def show_list(call: ApiCall) -> ChargingProfiles:
    """List the library."""
    return ChargingProfiles(tuple(_shown(one) for one in await call.read(list_profiles)))


async def show(call: ApiCall) -> ChargingProfile:
    """Show a profile of the library."""
    number = call.path_number("profile_id")
    return _shown(found(await call.read(lambda connection: find_profile(connection, number)), "charging profile"))


async def create(call: ApiCall, wanted: NewChargingProfile) -> Answer:
    """Add a profile to the library."""
    stored = await _store(call, wanted, None)
    return Answer(_shown(stored), headers={"Location": f"/api/v1/charging-profiles/{stored.library_id}"})


async def change(call: ApiCall, wanted: NewChargingProfile) -> ChargingProfile:
    """Change a profile of the library; charge points keep what they took until it is sent again."""
    number = call.path_number("profile_id")
    found(await call.read(lambda connection: find_profile(connection, number)), "charging profile")
    return _shown(await _store(call, wanted, number))


async def remove(call: ApiCall) -> None:
    """Take a profile out of the library; charge points keep it until it is cleared there."""
    number = call.path_number("profile_id")
    if not await call.write(lambda connection: remove_profile(connection, number)):
        raise Problem("not-found", "There is no such charging profile.")


async def send(call: ApiCall, wanted: Sending) -> SendingBegun:
    """Send a profile to a charge point, or to all of a group."""
    number = call.path_number("profile_id")
    if (wanted.charge_point_id is None) == (wanted.station_group_id is None):
        raise Problem("invalid", "Say either charge_point_id or station_group_id.", field="charge_point_id")
    if wanted.start_id_tag is not None and wanted.charge_point_id is None:
        raise Problem("invalid", "A start is at one charge point.", field="charge_point_id")

    def look(connection: Connection) -> tuple[LibraryProfile, sending.Plan]:
        one = found(find_profile(connection, number), "charging profile")
        return one, _plan(connection, call, one, wanted)

    one, plan = await call.read(look)
    if not plan.sendable:
        reasons = " ".join(plan.not_sent[0].reasons) if plan.not_sent else "There is no charge point in this group."
        raise Problem("refused", reasons, reason="not-possible-there")
    target = f"station group {wanted.station_group_id}"
    sent = await sending.send(call.submit, plan, target, call.repetition, as_batch=wanted.station_group_id is not None)
    return SendingBegun(
        for_connector(one, wanted.connector_id or 0).charging_profile_id,
        () if sent.command_id is None else (sent.command_id,),
        sent.batch_id,
        tuple(each.charge_point_id for each in plan.sendable),
        tuple(NotSent(each.charge_point_id, each.identity, each.reasons) for each in plan.not_sent),
    )


def _plan(connection: Connection, call: ApiCall, one: LibraryProfile, wanted: Sending) -> sending.Plan:
    if wanted.station_group_id is not None:
        if one.profile.charging_profile_purpose == "TxProfile":
            raise Problem("invalid", "A TxProfile is for one connector.", field="station_group_id")
        cp, group = models.charge_point.c, models.station_group.c
        at = group.id == wanted.station_group_id
        found(connection.execute(select(group.id).where(at)).scalar(), "station group")
        ids = list(connection.execute(select(cp.id).where(cp.group_id == wanted.station_group_id)).scalars())
        return sending.plan(connection, one, sorted(ids), wanted.connector_id or 0, call.actor, call.now)
    assert wanted.charge_point_id is not None, "one of both is given"
    found(find_place(connection, wanted.charge_point_id), "charge point")
    if wanted.start_id_tag is None:
        at_one = [wanted.charge_point_id]
        return sending.plan(connection, one, at_one, wanted.connector_id or 0, call.actor, call.now)
    card = reports.find_card(connection, wanted.start_id_tag)
    if card is None:
        raise Problem("invalid", "There is no such card.", field="start_id_tag")
    connector_id = wanted.connector_id or None
    looked = sending.plan_start(
        connection, one, wanted.charge_point_id, connector_id, card.id_tag, call.actor, call.now
    )
    if isinstance(looked, sending.Sendable):
        return sending.Plan((looked,), ())
    return sending.Plan((), () if looked is None else (looked,))


async def _store(call: ApiCall, wanted: NewChargingProfile, library_id: int | None) -> LibraryProfile:
    if wanted.time_zone not in clock.time_zones():
        raise Problem("invalid", "This is no name of the tz database, such as Europe/Sofia.", field="time_zone")
    profile = _read(wanted)
    stored = await call.write(
        lambda connection: store_profile(
            connection,
            name=wanted.name.strip(),
            time_zone=wanted.time_zone,
            profile=profile,
            now=call.now,
            library_id=library_id,
        )
    )
    if isinstance(stored, Refused):
        first = stored.problems[0]
        field = _FIELDS.get(first.field, first.field)
        path = field if first.period is None else f"periods[{first.period - 1}].{field}"
        raise Problem("invalid", f"{first.why[:1].upper()}{first.why[1:]}.", field=path)
    return stored


def _read(wanted: NewChargingProfile) -> Profile:
    schedule = Schedule(
        wanted.unit,
        tuple(Period(one.start_s, Decimal(one.limit), one.number_phases) for one in wanted.periods),
        duration=wanted.duration_s,
        start_schedule=_second(utc(wanted.start_schedule, "start_schedule")),
        min_charging_rate=None if wanted.min_charging_rate is None else Decimal(wanted.min_charging_rate),
    )
    return Profile(
        0,
        wanted.stack_level,
        wanted.purpose,
        wanted.kind,
        schedule,
        recurrency_kind=wanted.recurrency,
        valid_from=_second(utc(wanted.valid_from, "valid_from")),
        valid_to=_second(utc(wanted.valid_to, "valid_to")),
    )


def _second(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(microsecond=0)


def _shown(one: LibraryProfile) -> ChargingProfile:
    profile, schedule = one.profile, one.profile.charging_schedule
    periods = tuple(
        ProfilePeriod(start_s=each.start_period, limit=plain(each.limit), number_phases=each.number_phases)
        for each in schedule.charging_schedule_period
    )
    return ChargingProfile(
        one.library_id,
        one.name,
        profile.charging_profile_purpose,
        profile.charging_profile_kind,
        profile.recurrency_kind,
        profile.stack_level,
        schedule.charging_rate_unit,
        periods,
        schedule.duration,
        schedule.start_schedule,
        profile.valid_from,
        profile.valid_to,
        None if schedule.min_charging_rate is None else plain(schedule.min_charging_rate),
        one.time_zone,
        one.created_at,
        one.changed_at,
    )


_TAG = "charging profiles"
_EXAMPLE = {
    "name": "Evening peak",
    "purpose": "TxDefaultProfile",
    "kind": "Recurring",
    "recurrency": "Daily",
    "stack_level": 0,
    "unit": "A",
    "start_schedule": "2026-11-30T22:00:00Z",
    "periods": [{"start_s": 0, "limit": "16"}, {"start_s": 61200, "limit": "8"}],
}
ENDPOINTS = (
    Endpoint(
        "GET", "/charging-profiles", show_list, "charging-profiles:read", "List the library", ChargingProfiles, _TAG
    ),
    Endpoint(
        "POST",
        "/charging-profiles",
        create,
        "charging-profiles:write",
        "Add a charging profile",
        ChargingProfile,
        _TAG,
        status=201,
        request=NewChargingProfile,
        example=_EXAMPLE,
    ),
    Endpoint(
        "GET",
        "/charging-profiles/{profile_id:int}",
        show,
        "charging-profiles:read",
        "Show a charging profile",
        ChargingProfile,
        _TAG,
    ),
    Endpoint(
        "PUT",
        "/charging-profiles/{profile_id:int}",
        change,
        "charging-profiles:write",
        "Change a charging profile",
        ChargingProfile,
        _TAG,
        request=NewChargingProfile,
        example=_EXAMPLE,
        repeatable=True,
    ),
    Endpoint(
        "DELETE",
        "/charging-profiles/{profile_id:int}",
        remove,
        "charging-profiles:write",
        "Take a charging profile out of the library",
        None,
        _TAG,
        status=204,
    ),
    Endpoint(
        "POST",
        "/charging-profiles/{profile_id:int}/send",
        send,
        "charging-profiles:write",
        "Send a charging profile to charge points",
        SendingBegun,
        _TAG,
        status=202,
        request=Sending,
        example={"charge_point_id": 1, "connector_id": 1},
        problems=("refused",),
        description=(
            "A charge point that says it could not take the profile (its highest stack level, units, number of periods "
            "or of profiles) is not asked, and the reason is told. What it answers stands in the command's row."
        ),
    ),
    Endpoint(
        "GET",
        "/charge-points/{charge_point_id:int}/charging-profiles",
        show_installed,
        "charging-profiles:read",
        "List the profiles that a charge point has",
        InstalledProfiles,
        _TAG,
    ),
    Endpoint(
        "GET",
        "/charge-points/{charge_point_id:int}/composite-schedules",
        show_composites,
        "charging-profiles:read",
        "Compare a charge point's schedules with what is computed",
        CompositeSchedules,
        _TAG,
    ),
)
