"""Charging profiles: how they stack, what becomes of them, and that cars really get what they leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car
from chargepoint_sim.clock import written
from chargepoint_sim.profiles import (
    Abilities,
    Installed,
    Moment,
    Outlet,
    Period,
    Profile,
    Schedule,
    composite,
    install,
    limit_w,
)
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import CentralSystem

    Make = Callable[..., Station]

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
OUTLET = Outlet(1, 230.0, 3, 22_000.0)


@pytest.fixture
async def station(central: CentralSystem, make: Make) -> AsyncIterator[Station]:
    async with make() as one:
        await one.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        yield one


def limits(*periods: tuple[int, float], unit: str = "W", **fields: object) -> dict[str, Any]:
    """A charging profile."""
    schedule = [{"startPeriod": start, "limit": limit} for start, limit in periods]
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": unit, "chargingSchedulePeriod": schedule},
    } | fields


def profile(number: int, limit: float, purpose: str = "TxDefaultProfile", level: int = 0) -> Profile:
    return Profile(number, level, purpose, "Relative", Schedule("W", (Period(0, limit),)))


def test_what_was_set_for_a_connector_replaces_what_was_set_for_all_whatever_its_level() -> None:
    for_all = install((), 0, profile(1, 5_000.0, level=9))
    both = install(for_all, 1, profile(2, 9_000.0, level=0))
    assert limit_w(both, OUTLET, Moment(NOON, 0)) == 9_000
    assert limit_w(both, Outlet(2, 230.0, 3, 22_000.0), Moment(NOON, 0)) == 5_000


def test_a_transaction_profile_goes_before_the_default_and_the_station_limits_both() -> None:
    installed = install((), 1, profile(1, 5_000.0))
    installed = install(installed, 1, profile(2, 9_000.0, "TxProfile"))
    assert limit_w(installed, OUTLET, Moment(NOON, 0)) == 9_000
    installed = install(installed, 0, profile(3, 8_000.0, "ChargePointMaxProfile"))
    always = Profile(
        4, 0, "ChargePointMaxProfile", "Absolute", Schedule("W", (Period(0, 8_000.0),), start_schedule=written(NOON))
    )
    installed = install(installed, 0, always)
    assert limit_w(installed, OUTLET, Moment(NOON, 0)) == 8_000
    assert limit_w(installed, OUTLET, Moment(NOON, 0), sharers=2) == 4_000


def test_a_recurring_profile_comes_again_each_day_and_the_composite_shows_it() -> None:
    night = Schedule("W", (Period(0, 11_000.0), Period(6 * 3600, 3_000.0)), start_schedule="2020-01-01T22:00:00Z")
    daily = Profile(1, 0, "TxDefaultProfile", "Recurring", night, recurrency_kind="Daily")
    installed = (Installed(0, daily),)
    evening = datetime(2025, 3, 1, 21, tzinfo=UTC)
    assert limit_w(installed, OUTLET, Moment(evening, 0)) == 3_000
    shown = composite(installed, OUTLET, Moment(evening, 0), 2 * 86_400)
    hours = [(period.start_period / 3600, period.limit) for period in shown]
    assert hours == [(0, 3_000), (1, 11_000), (7, 3_000), (25, 11_000), (31, 3_000)]


def test_the_composite_turns_where_a_profile_begins_and_ends_to_be_valid() -> None:
    schedule = Schedule("W", (Period(0, 6_000.0),), start_schedule=written(NOON))
    begin, end = (written(NOON + timedelta(seconds=seconds)) for seconds in (600, 1200))
    absolute = Profile(1, 0, "TxDefaultProfile", "Absolute", schedule, valid_from=begin, valid_to=end)
    shown = composite((Installed(1, absolute),), OUTLET, Moment(NOON, 0), 3600)
    assert [(one.start_period, one.limit) for one in shown] == [(0, 22_000), (600, 6_000), (1200, 22_000)]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"stackLevel": 10}, False),
        ({"validTo": "no date"}, False),
        ({"chargingProfileKind": "Recurring"}, False),
        ({"chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": []}}, False),
        (limits((5, 1.0)), False),
        (limits((0, 1.0), (0, 2.0)), False),
        (limits(*((second, 1.0) for second in range(30))), False),
    ],
)
async def test_only_a_profile_that_can_be_followed_is_accepted(
    central: CentralSystem, station: Station, change: dict[str, object], *, fits: bool
) -> None:
    wanted = limits((0, 1000.0)) | change
    answer = await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=wanted)
    assert answer == {"status": "Accepted" if fits else "Rejected"}
    assert len(station.profiles) == fits


async def test_keys_say_what_can_be_followed(central: CentralSystem, make: Make) -> None:
    keys = {
        "ChargingScheduleAllowedChargingRateUnit": "Current",
        "ChargeProfileMaxStackLevel": "1",
        "MaxChargingProfilesInstalled": "1",
    }
    async with make(configuration=keys) as station:
        await station.wait_online(60)
        assert station.smart_charging.abilities == Abilities(1, 24, 1, frozenset("A"))

        async def status(**fields: object) -> str:
            asked = limits((0, 6.0), **({"unit": "A"} | fields))  # type: ignore[arg-type]
            answer = await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=asked)
            return str(answer["status"])

        assert await status(unit="W") == "Rejected"
        assert await status(stackLevel=2) == "Rejected"
        assert await status() == "Accepted"
        assert await status(stackLevel=1) == "Accepted"
        assert await status(chargingProfileId=2) == "Rejected"
        assert [one.profile.stack_level for one in station.profiles] == [1]
        in_watt = await central.call("GetCompositeSchedule", connectorId=1, duration=60, chargingRateUnit="W")
        assert in_watt == {"status": "Rejected"}


async def test_a_purpose_has_its_place(central: CentralSystem, station: Station) -> None:
    async def status(connector_id: int, **fields: object) -> str:
        asked = limits((0, 1000.0), **fields)  # type: ignore[arg-type]
        return str(
            (await central.call("SetChargingProfile", connectorId=connector_id, csChargingProfiles=asked))["status"]
        )

    assert await status(1, chargingProfilePurpose="ChargePointMaxProfile") == "Rejected"
    assert await status(0, chargingProfilePurpose="ChargePointMaxProfile") == "Accepted"
    assert await status(0, chargingProfileId=2) == "Accepted"
    assert await status(7) == "Rejected"
    assert await status(0, chargingProfilePurpose="TxProfile", chargingProfileId=3) == "Rejected"
    await charge(station)
    transaction = {"chargingProfilePurpose": "TxProfile", "chargingProfileId": 3}
    assert await status(1, **transaction, transactionId=999) == "Rejected"
    assert await status(1, **transaction, transactionId=101) == "Accepted"
    assert await status(2, **transaction) == "Rejected"


async def test_what_the_station_may_draw_is_shared_by_the_cars(central: CentralSystem, station: Station) -> None:
    most = limits((0, 8000.0), chargingProfilePurpose="ChargePointMaxProfile", chargingProfileKind="Absolute")
    await central.call("SetChargingProfile", connectorId=0, csChargingProfiles=most)
    await charge(station)
    await station.wait_until(lambda: station.connector(1).power_w == 8000, 60)
    await charge(station, "OTHER", 2)
    await station.wait_until(lambda: station.connector(2).power_w == 4000 == station.connector(1).power_w, 60)
    station.unplug(2)
    await station.wait_until(lambda: station.connector(1).power_w == 8000, 60)
    whole = await central.call("GetCompositeSchedule", connectorId=0, duration=60)
    assert whole["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 8000.0}]


async def test_profiles_are_cleared_by_id_by_what_is_named_and_all_at_once(
    central: CentralSystem, station: Station
) -> None:
    for level in range(3):
        asked = limits((0, 1000.0), chargingProfileId=level + 1, stackLevel=level)
        await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=asked)
    assert await central.call("ClearChargingProfile", id=9) == {"status": "Unknown"}
    assert await central.call("ClearChargingProfile", id=1) == {"status": "Accepted"}
    named = {"connectorId": 1, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1}
    assert await central.call("ClearChargingProfile", **(named | {"connectorId": 2})) == {"status": "Unknown"}
    assert await central.call("ClearChargingProfile", **named) == {"status": "Accepted"}
    assert [one.profile.charging_profile_id for one in station.profiles] == [3]
    assert await central.call("ClearChargingProfile") == {"status": "Accepted"}
    assert await central.call("ClearChargingProfile") == {"status": "Unknown"}


async def test_the_composite_can_be_asked_in_ampere(central: CentralSystem, station: Station) -> None:
    asked = limits((0, 6.0), (60, 16.0), unit="A")
    await central.call("SetChargingProfile", connectorId=0, csChargingProfiles=asked)
    in_ampere = await central.call("GetCompositeSchedule", connectorId=1, duration=90, chargingRateUnit="A")
    assert in_ampere["chargingSchedule"] == {
        "duration": 90,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0}, {"startPeriod": 60, "limit": 15.9}],
    }
    in_watt = await central.call("GetCompositeSchedule", connectorId=1, duration=30)
    assert in_watt["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 4140.0}]
    assert await central.call("GetCompositeSchedule", connectorId=9, duration=30) == {"status": "Rejected"}


async def test_profiles_outlive_a_restart_but_for_those_of_a_transaction(
    central: CentralSystem, make: Make, tmp_path: Any
) -> None:
    async with make(state_dir=tmp_path) as station:
        await charge(station)
        await central.call("SetChargingProfile", connectorId=2, csChargingProfiles=limits((0, 1000.0)))
        mine = limits((0, 900.0), chargingProfileId=2, chargingProfilePurpose="TxProfile", transactionId=101)
        assert await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=mine) == {
            "status": "Accepted"
        }
    async with make(state_dir=tmp_path) as station:
        assert [one.profile.charging_profile_id for one in station.profiles] == [1]
        await station.wait_online(60)
        station.plug_in(2, Car())
        await station.present_card(2, "CARD")
        await station.wait_until(lambda: station.connector(2).power_w == 1000, 60)
