"""The limit that goes on when the link is lost: to whom it is told, how much, and when it is told anew."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from csms.charging import models
from csms.charging.facts import Command, ConnectorStatus, SmartCharging
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.offline_limit import smart_charging_of
from csms.charging.stations import StatusNotification
from csms.commands.answers import write_call
from csms.handlers.timestamps import read_timestamp
from tests.support.evening import KW, NOON, Evening

SMART = {"SupportedFeatureProfiles": "Core,SmartCharging", "ChargingScheduleAllowedChargingRateUnit": "Current,Power"}


def reports(evening: Evening, **values: str) -> None:
    """Let CP1 have reported its configuration."""
    rows = [
        {
            "charge_point_id": 1,
            "key": key,
            "reported_value": value,
            "is_readonly": True,
            "state": "free",
            "checked_at": NOON,
        }
        for key, value in values.items()
    ]
    with evening.database.unit_of_work() as connection:
        connection.execute(insert(models.station_setting), rows)


def limits(evening: Evening) -> list[dict[str, Any]]:
    """Return the profiles that were told, oldest first; each is one that OCPP's schema takes."""
    table = models.command
    statement = select(table).where(table.c.action == "SetChargingProfile").order_by(table.c.id)
    with evening.database.reading() as connection:
        rows = connection.execute(statement).all()
    fields = Command.__struct_fields__[1:]
    for row in rows:
        write_call(Command(row.id, *(getattr(row, name) for name in fields)), "1")
    return [json.loads(row.payload_json) for row in rows]


def ends_after_s(evening: Evening, told: dict[str, Any]) -> float:
    """Return how many seconds after noon a profile ends."""
    schedule = told["csChargingProfiles"]["chargingSchedule"]
    begin = datetime.fromisoformat(schedule["startSchedule"])
    return (begin - NOON).total_seconds() + schedule["chargingSchedulePeriod"][1]["startPeriod"]


def test_a_transaction_is_limited_to_what_its_credit_pays_for_at_full_power(evening: Evening) -> None:
    reports(evening, **SMART, ChargeProfileMaxStackLevel="5")
    evening.issue(792)  # 22 kWh: an hour at 22 kW
    one = evening.start()
    assert (evening.row(one).guard_at - NOON).total_seconds() == 2
    evening.look_when_due(one)
    (told,) = limits(evening)
    assert told["connectorId"] == 1
    profile = told["csChargingProfiles"]
    assert (profile["transactionId"], profile["stackLevel"]) == (one, 5)
    assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxProfile", "Absolute")
    assert "duration" not in profile["chargingSchedule"]
    assert profile["chargingSchedule"]["chargingRateUnit"] == "W"
    assert profile["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 22_000},
        {"startPeriod": 3600, "limit": 0},
    ]
    assert ends_after_s(evening, told) == 3600


def test_what_the_limit_pays_for_includes_the_overdraft_that_is_allowed_then(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(198)
    evening.allow(594)  # 7.92 together: an hour at 22 kW
    one = evening.start()
    evening.look_when_due(one)
    evening.allow(198)  # half of it
    evening.pass_s(60)
    evening.read(one, 366, 22 * KW)
    evening.look_when_due(one)
    assert [ends_after_s(evening, told) for told in limits(evening)] == pytest.approx([3600, 1800], abs=5)


@pytest.mark.parametrize(("watts", "amperes"), [(22_000, 32), (11_000, 16), (7_400, 33), (3_700, 17)])
def test_a_station_that_takes_only_amperes_is_told_amperes(evening: Evening, watts: int, amperes: int) -> None:
    reports(evening, SupportedFeatureProfiles="SmartCharging", ChargingScheduleAllowedChargingRateUnit="Current")
    evening.change(models.charge_point, max_power_w=watts)
    evening.issue(300)
    evening.look_when_due(evening.start())
    (told,) = limits(evening)
    schedule = told["csChargingProfiles"]["chargingSchedule"]
    assert schedule["chargingRateUnit"] == "A"
    assert schedule["chargingSchedulePeriod"][0]["limit"] == amperes


@pytest.mark.parametrize(
    ("reported", "smart"),
    [
        ({}, None),
        ({"supportedfeatureprofiles": "Core,RemoteTrigger"}, None),
        ({"supportedfeatureprofiles": "core, smartcharging"}, SmartCharging(1, in_watts=True, stack_level=0)),
        (
            {"supportedfeatureprofiles": "SmartCharging", "chargingscheduleallowedchargingrateunit": "Current"},
            SmartCharging(1, in_watts=False, stack_level=0),
        ),
        ({"supportedfeatureprofiles": "SmartCharging", "chargingscheduleallowedchargingrateunit": "none"}, None),
        ({"supportedfeatureprofiles": "SmartCharging", "maxchargingprofilesinstalled": "0"}, None),
        ({"supportedfeatureprofiles": "SmartCharging", "chargingschedulemaxperiods": "1"}, None),
        (
            {"supportedfeatureprofiles": "SmartCharging", "chargeprofilemaxstacklevel": "3"},
            SmartCharging(1, in_watts=True, stack_level=3),
        ),
        (
            {"supportedfeatureprofiles": "SmartCharging", "chargeprofilemaxstacklevel": "many"},
            SmartCharging(1, in_watts=True, stack_level=0),
        ),
    ],
)
def test_what_a_station_reports_says_whether_and_how_it_is_limited(
    reported: dict[str, str], smart: SmartCharging | None
) -> None:
    assert smart_charging_of(1, reported) == smart


def test_a_station_without_smart_charging_is_told_no_limit(evening: Evening) -> None:
    reports(evening, SupportedFeatureProfiles="Core")
    evening.issue(300)
    one = evening.start()
    evening.charge({one: 22 * KW}, interval_s=60)
    assert limits(evening) == []
    assert evening.row(one).limited_until is None


def test_a_group_may_forbid_the_limit(evening: Evening) -> None:
    reports(evening, **SMART)
    with evening.database.unit_of_work() as connection:
        connection.execute(
            insert(models.station_group), {"id": 7, "name": "x", "limits_offline": False, "created_at": NOON}
        )
        connection.execute(update(models.charge_point).values(group_id=7))
    evening.issue(300)
    evening.charge({evening.start(): 22 * KW}, interval_s=60)
    assert limits(evening) == []


def test_a_start_that_is_history_is_told_no_limit(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(300)
    begun = evening.now
    evening.pass_s(3600)
    one = evening.start(at=begun)
    evening.look_when_due(one)
    assert limits(evening) == []


@pytest.mark.parametrize("watts", [22_000, 11_000, 5_500])
@pytest.mark.parametrize("interval_s", [10, 60, 300])
def test_while_the_link_holds_the_limit_never_cuts_before_the_guard_stops(
    evening: Evening, watts: int, interval_s: int
) -> None:
    reports(evening, **SMART)
    evening.issue(120)
    one = evening.start()
    told: list[tuple[float, float]] = []
    while evening.row(one).stop_requested_at is None:
        count = len(limits(evening))
        evening.step({one: watts}, interval_s)
        now_s = (evening.now - NOON).total_seconds()
        if told:
            assert now_s < told[-1][1]
        told += [(now_s, ends_after_s(evening, each)) for each in limits(evening)[count:]]
    assert 1 <= len(told) <= 20
    gaps = [after - before for (before, _), (after, _) in pairwise(told)]
    assert all(gap >= 10 for gap in gaps)


def test_a_link_that_is_lost_costs_nothing_even_if_the_car_then_takes_full_power(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(800)  # 22.2 kWh
    one = evening.start()
    for _ in range(40):
        evening.step({one: 5 * KW}, 60)
    now_s = (evening.now - NOON).total_seconds()
    cut_s = ends_after_s(evening, limits(evening)[-1])
    assert now_s * 5 / 3600 + (cut_s - now_s) * 22 / 3600 <= 22.3


def test_credit_that_goes_elsewhere_brings_the_limit_forward(evening: Evening) -> None:
    from csms.billing import models as money_models

    reports(evening, **SMART)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    evening.change(money_models.ledger_account, debits_minor=396)
    evening.look_when_due(one)
    before, after = (ends_after_s(evening, each) for each in limits(evening))
    assert (before, after) == (3600, 1800)


def test_a_limit_is_renewed_after_the_link_came_back(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(200)
    one = evening.start()
    evening.look_when_due(one)
    (first,) = limits(evening)
    evening.now = NOON + timedelta(seconds=ends_after_s(evening, first) + 600)  # it cut, and the car had taken little
    evening.read(one, 1000, 0)
    evening.look_when_due(one)
    assert ends_after_s(evening, limits(evening)[-1]) > (evening.now - NOON).total_seconds()


def tells_status(evening: Evening, clock_s: int) -> None:
    """Let a station whose clock is so far ahead say that its connector is free."""
    status = ConnectorStatus(1, 1, "Available", "NoError", "", "", evening.now)
    evening.engine.execute(StatusNotification(status, evening.now + timedelta(seconds=clock_s)))


def told_at(evening: Evening, transaction_id: int, wh: int, clock_s: int) -> None:
    """Let a station whose clock is so far ahead send a reading, as its handler reads it."""
    claimed = evening.now + timedelta(seconds=clock_s)
    read = read_timestamp(claimed.isoformat(), evening.now)
    replaced = None if read.happened_at == claimed else claimed
    value = MeterValue(read.happened_at, (Sample(str(wh)),), f"{wh}", "; ".join(read.flags), replaced)
    evening.engine.execute(MeterValues(1, 1, transaction_id, (value,)))


@pytest.mark.parametrize("clock_s", [-500, -300, 0, 300, 3600, -1_772_452_800])
def test_a_limit_lasts_as_long_by_the_clock_of_the_station_however_wrong_that_is(
    evening: Evening, clock_s: int
) -> None:
    reports(evening, **SMART)
    tells_status(evening, clock_s)
    evening.issue(792)
    one = evening.start(at=read_timestamp((NOON + timedelta(seconds=clock_s)).isoformat(), NOON).happened_at)
    evening.look_when_due(one)
    (told,) = limits(evening)
    assert ends_after_s(evening, told) - clock_s == pytest.approx(3600, abs=2)


@pytest.mark.parametrize("clock_s", [300, 1200, 3600, -400])
def test_a_limit_is_told_anew_when_the_clock_of_a_station_is_set(evening: Evening, clock_s: int) -> None:
    reports(evening, **SMART)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    evening.pass_s(58)
    told_at(evening, one, 350, 0)
    evening.pass_s(60)
    told_at(evening, one, 716, clock_s)
    assert evening.row(one).guard_at == evening.now
    evening.look(one)
    (_, *others) = limits(evening)
    assert len(others) == 1
    left_s = (7.92 / 0.36 - 0.716) / 22 * 3600
    ends_s = ends_after_s(evening, others[0]) - clock_s - (evening.now - NOON).total_seconds()
    assert ends_s == pytest.approx(left_s, abs=2)


def test_a_clock_that_stays_wrong_tells_no_limit_anew(evening: Evening) -> None:
    reports(evening, **SMART)
    tells_status(evening, 3600)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    for number in range(1, 6):
        evening.pass_s(60)
        told_at(evening, one, 366 * number, 3600 + number % 2)
    assert len(limits(evening)) == 1
    assert evening.row(one).guard_at > evening.now
