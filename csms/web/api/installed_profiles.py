"""What a charge point has of charging profiles over the API, and what it says that allows beside what we compute."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.commands.profile_sending import running_at
from csms.operations import charging_profiles_store as store
from csms.operations.composite_answers import differences, read_answer
from csms.operations.profile_library import Place, find_place, library_id_of
from csms.operations.profile_schedules import Step, Unit, composite
from csms.web.api.endpoint import ApiCall, found
from csms.web.api.values import plain

_tx = models.charging_transaction.c


class InstalledProfile(msgspec.Struct, frozen=True):
    """A profile that a charge point has, as far as is known. `charging_profile_id`: which one of the library."""

    profile_id: int
    charging_profile_id: int | None
    connector_id: int
    purpose: str
    stack_level: int
    transaction_id: int | None
    is_credit_guard: bool
    requested_by: str
    command_id: int
    installed_at: datetime
    profile: dict[str, Any]


class InstalledProfiles(msgspec.Struct, frozen=True):
    """What a charge point has. `limit_refused_at`: since then the credit guard's limits are refused."""

    items: tuple[InstalledProfile, ...]
    limit_refused_at: datetime | None


class ScheduleStep(msgspec.Struct, frozen=True):
    """From `offset_s` on this limit holds; null: none."""

    offset_s: int
    limit: str | None
    number_phases: int | None


class ScheduleDifference(msgspec.Struct, frozen=True):
    """Where the charge point says something else than is computed here."""

    offset_s: int
    until_s: int
    charge_point: str | None
    computed: str | None


class CompositeSchedule(msgspec.Struct, frozen=True):
    """A connector's answer to GetCompositeSchedule beside what is computed from the profiles it has now."""

    connector_id: int
    command_id: int
    state: str
    received_at: datetime
    begin: datetime
    duration_s: int
    unit: Unit
    charge_point: tuple[ScheduleStep, ...] | None
    computed: tuple[ScheduleStep, ...]
    differences: tuple[ScheduleDifference, ...]
    remarks: tuple[str, ...]


class CompositeSchedules(msgspec.Struct, frozen=True):
    """The latest answer of each connector."""

    items: tuple[CompositeSchedule, ...]


async def show_installed(call: ApiCall) -> InstalledProfiles:
    """List what a charge point has, as far as is known."""
    charge_point_id = call.path_number("charge_point_id")

    def load(connection: Connection) -> InstalledProfiles:
        found(find_place(connection, charge_point_id), "charge point")
        rows = store.list_installed(connection, call.now, charge_point_id=charge_point_id)
        refusal = store.find_refusal(connection, charge_point_id)
        return InstalledProfiles(
            tuple(_installed(one) for one in rows), None if refusal is None else refusal.refused_at
        )

    return await call.read(load)


def _installed(one: store.InstalledProfile) -> InstalledProfile:
    return InstalledProfile(
        one.profile_id,
        library_id_of(one.profile_id),
        one.connector_id,
        one.purpose,
        one.stack_level,
        one.transaction_id,
        one.is_of_guard,
        one.requested_by,
        one.command_id,
        one.installed_at,
        msgspec.json.decode(one.profile_json),
    )


async def show_composites(call: ApiCall) -> CompositeSchedules:
    """Show the latest answers of a charge point, and where they differ from what is computed."""
    charge_point_id = call.path_number("charge_point_id")

    def load(connection: Connection) -> CompositeSchedules:
        place = found(find_place(connection, charge_point_id), "charge point")
        views = store.list_composites(connection, charge_point_id)
        return CompositeSchedules(tuple(_composite(connection, call.now, place, one) for one in views))

    return await call.read(load)


def _composite(connection: Connection, now: datetime, place: Place, view: store.CompositeView) -> CompositeSchedule:
    answer = read_answer(view.state, view.answer_json, view.failure, view.received_at, view.duration_s, view.unit)
    running = running_at(connection, place.charge_point_id, view.connector_id) if view.connector_id else None
    begun_at = None
    if running is not None:
        begun_at = connection.execute(select(_tx.started_at).where(_tx.id == running)).scalar()
    rows = store.list_installed(connection, now, charge_point_id=place.charge_point_id)
    placed = [one.placed for one in rows]
    ours = composite(
        [one for one in placed if one is not None],
        view.connector_id,
        answer.begin,
        min(answer.duration_s, store.LONGEST_COMPOSITE_S),
        answer.unit,
        transaction_id=running,
        begun_at=begun_at,
        connectors=place.connectors,
    )
    most = Decimal(place.max_power_w) if place.max_power_w and view.connector_id and answer.unit == "W" else None
    differing = () if answer.steps is None else differences(answer.steps, ours, answer.duration_s, most)
    return CompositeSchedule(
        view.connector_id,
        view.command_id,
        view.state,
        view.received_at,
        answer.begin,
        answer.duration_s,
        answer.unit,
        None if answer.steps is None else tuple(_step(one) for one in answer.steps),
        tuple(_step(one) for one in ours),
        tuple(
            ScheduleDifference(one.offset_s, one.until_s, _limit(one.station), _limit(one.ours)) for one in differing
        ),
        answer.remarks,
    )


def _step(one: Step) -> ScheduleStep:
    return ScheduleStep(one.offset_s, _limit(one.limit), one.number_phases)


def _limit(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
