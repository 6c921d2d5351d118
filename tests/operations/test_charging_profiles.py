"""What stations have of charging profiles, and the credit guard among them; on both databases."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select

from csms.charging import models
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.engine import Engine
from csms.charging.stations import Boot
from csms.commands import profiles as commands
from csms.commands.answers import write_call
from csms.config import Settings
from csms.installation import open_installation
from csms.operations.charging_profile_models import installed_profile
from csms.operations.charging_profiles_store import InstalledProfile, find_refusal, list_installed
from csms.operations.profile_library import (
    LibraryProfile,
    Refused,
    find_place,
    for_connector,
    library_id_of,
    problems,
    refusals,
    remove_profile,
    store_profile,
    wire_ids,
)
from csms.operations.profile_schedules import Period, Profile, Schedule, decode
from csms.operations.rules import RULES
from tests.support.evening import KW, NOON, POLICY, Evening
from tests.support.world import add_tariff

SMART = {"SupportedFeatureProfiles": "Core,SmartCharging", "ChargeProfileMaxStackLevel": "5"}


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """Two stations of 22 kW, with all the rules of an installation; energy costs 0.36 per kWh."""
    installation = open_installation(settings)
    add_tariff(installation, rate_per_kwh=Decimal("0.36"), rate_per_minute=Decimal(0), start_fee_minor=0)
    opened = Evening(installation)
    opened.engine = Engine(
        opened.database,
        installation.currency,
        POLICY,
        lambda: opened.now,
        batch_max=500,
        queue_max=1000,
        rules=RULES,
    )
    yield opened
    installation.database.close()


def reports(evening: Evening, **values: str) -> None:
    """Let CP1 have reported its configuration."""
    with evening.database.unit_of_work() as connection:
        for key, value in values.items():
            row = {"charge_point_id": 1, "key": key, "reported_value": value, "is_readonly": True}
            connection.execute(insert(models.station_setting), row | {"state": "free", "checked_at": NOON})


def profile(limits: dict[int, int], **changes: Any) -> Profile:
    """Make a default profile in watts that begins at noon."""
    periods = tuple(Period(at, Decimal(limit)) for at, limit in limits.items())
    values: dict[str, Any] = {
        "charging_profile_id": 1,
        "stack_level": 0,
        "charging_profile_purpose": "TxDefaultProfile",
        "charging_profile_kind": "Absolute",
        "charging_schedule": Schedule(changes.pop("unit", "W"), periods, start_schedule=changes.pop("start", NOON)),
    }
    return Profile(**values | changes)


def answers(evening: Evening, status: str = "Accepted", *, failure: str | None = None) -> list[dict[str, Any]]:
    """Send everything that waits at CP1 and let it answer each with the status; return the payloads."""
    sent = []
    while (command := evening.engine.execute(ClaimCommand(1))) is not None:
        write_call(command, "1")
        sent.append(json.loads(command.payload_json))
        state: Any = "failed" if failure else "accepted" if status == "Accepted" else "rejected"
        answer = "{}" if failure else json.dumps({"status": status})
        said = AnswerCommand(command.command_id, command.attempts, state, answer, failure)
        evening.engine.execute(said)
        evening.engine.execute(said)  # said again, it changes nothing
    return sent


def installed(evening: Evening) -> list[InstalledProfile]:
    with evening.database.reading() as connection:
        return list_installed(connection, evening.now, charge_point_id=1)


def ids(evening: Evening) -> list[tuple[int, int]]:
    return sorted((one.profile_id, one.connector_id) for one in installed(evening))


def told(evening: Evening) -> list[tuple[int, Decimal]]:
    """Return the periods of the guard's limit that CP1 has."""
    (one,) = [one for one in installed(evening) if one.is_of_guard]
    return [
        (each.start_period, each.limit) for each in decode(one.profile_json).charging_schedule.charging_schedule_period
    ]


# --- what is installed ------------------------------------------------------------------------------------------------


def test_a_profile_stands_in_for_the_one_with_its_id_and_for_the_one_with_its_place_and_level(evening: Evening) -> None:
    for connector_id, changes in (
        (1, {"charging_profile_id": 10}),
        (2, {"charging_profile_id": 11}),
        (2, {"charging_profile_id": 12, "stack_level": 1}),
        (2, {"charging_profile_id": 13}),  # the place and level of 11
        (2, {"charging_profile_id": 10, "stack_level": 7}),  # the id of the first
    ):
        evening.run(commands.set_profile(1, connector_id, profile({0: 5000}, **changes), "test"))
    answers(evening)
    assert ids(evening) == [(10, 2), (12, 2), (13, 2)]


def test_a_profile_that_is_refused_or_not_answered_is_not_installed(evening: Evening) -> None:
    evening.run(commands.set_profile(1, 1, profile({0: 5000}), "test"))
    answers(evening, "Rejected")
    evening.run(commands.set_profile(1, 1, profile({0: 5000}), "test"))
    answers(evening, failure="NotSupported: no")
    assert ids(evening) == []


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"profile_id": 10, "connector_id": 2, "stack_level": 9}, [11, 12, 13]),  # with an id the rest counts nothing
        ({"connector_id": 1}, [12, 13]),
        ({"connector_id": 0}, [10, 11, 12]),
        ({"purpose": "TxDefaultProfile", "stack_level": 0}, [11, 13]),
        ({"stack_level": 3}, [10, 11, 12, 13]),
        ({}, []),
    ],
)
def test_clearing_forgets_exactly_what_fits(evening: Evening, fields: dict[str, Any], left: list[int]) -> None:
    for connector_id, number, level, purpose in (
        (1, 10, 0, "TxDefaultProfile"),
        (1, 11, 1, "TxDefaultProfile"),
        (2, 12, 0, "TxDefaultProfile"),
        (0, 13, 0, "ChargePointMaxProfile"),
    ):
        one = profile({0: 1}, charging_profile_id=number, stack_level=level, charging_profile_purpose=purpose)
        evening.run(commands.set_profile(1, connector_id, one, "test"))
    answers(evening)
    evening.run(commands.clear_profiles(1, "test", **fields))
    answers(evening, "Accepted" if len(left) < 4 else "Unknown")
    assert [one for one, _ in ids(evening)] == left


def test_the_profile_of_a_transaction_is_gone_when_it_ends(evening: Evening) -> None:
    evening.issue(1000)
    one = evening.start()
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", transaction_id=one)
    evening.run(
        commands.set_profile(1, 1, own, "test"), commands.set_profile(1, 2, profile({0: 1}, charging_profile_id=2), "t")
    )
    answers(evening)
    assert ids(evening) == [(1, 1), (2, 2)]
    evening.pass_s(60)
    evening.stop(one, 100)
    assert ids(evening) == [(2, 2)]


def test_the_profile_of_a_remote_start_is_that_of_the_transaction_which_the_card_begins(evening: Evening) -> None:
    evening.issue(1000)
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", charging_profile_kind="Relative", start=None)
    evening.run(commands.start_with_profile(1, "04a1b2c3d4", None, own, "test"))
    answers(evening)
    assert ids(evening) == [(1, 0)]
    evening.pass_s(20)
    one = evening.start()
    assert [(each.connector_id, each.transaction_id) for each in installed(evening)] == [(1, one)]
    evening.pass_s(60)
    evening.stop(one, 100)
    assert ids(evening) == []


def test_the_profile_of_a_remote_start_bounds_only_its_own_transaction(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(2000)
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", charging_profile_kind="Relative", start=None)
    evening.run(commands.start_with_profile(1, "04A1B2C3D4", None, own, "test"))
    answers(evening)
    evening.pass_s(20)
    first = evening.start()
    evening.look_when_due(first)
    answers(evening)
    assert told(evening)[0] == (0, 5000)
    evening.pass_s(60)
    evening.stop(first, 100)
    evening.pass_s(60)
    evening.look_when_due(evening.start())
    answers(evening)
    assert told(evening)[0] == (0, 22 * KW)


def test_the_profile_of_a_remote_start_that_began_nothing_is_gone_after_a_while(evening: Evening) -> None:
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", charging_profile_kind="Relative", start=None)
    evening.run(commands.start_with_profile(1, "04A1B2C3D4", 1, own, "test"))
    answers(evening)
    assert ids(evening) == [(1, 1)]
    evening.pass_s(16 * 60)
    assert ids(evening) == []


def test_the_profile_of_a_remote_start_that_began_nothing_bounds_no_later_charge_and_is_deleted(
    evening: Evening,
) -> None:
    reports(evening, **SMART)
    evening.issue(2000)
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", charging_profile_kind="Relative", start=None)
    evening.run(commands.start_with_profile(1, "04A1B2C3D4", 1, own, "test"))
    answers(evening)
    evening.pass_s(24 * 3600)
    later = evening.start()
    assert ids(evening) == []
    evening.look_when_due(later)
    answers(evening)
    assert told(evening)[0] == (0, 22 * KW)
    assert _stored(evening) == [1_700_000_000 + later]  # the guard's own limit alone


def test_a_remote_start_without_a_link_keeps_its_profile_until_it_is_told_of(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(2000)
    own = profile({0: 5000}, charging_profile_purpose="TxProfile", charging_profile_kind="Relative", start=None)
    evening.run(commands.start_with_profile(1, "04A1B2C3D4", 1, own, "test"))
    answers(evening)
    begun_at = evening.now + timedelta(seconds=20)
    evening.pass_s(20 * 60)
    evening.run(commands.set_profile(1, 2, profile({0: 1}, charging_profile_id=2), "test"))
    answers(evening)
    one = evening.start(at=begun_at)
    assert [each.transaction_id for each in installed(evening) if each.profile_id == 1] == [one]


def _stored(evening: Evening) -> list[int]:
    with evening.database.reading() as connection:
        return sorted(connection.execute(select(installed_profile.c.profile_id)).scalars())


# --- the credit guard among them --------------------------------------------------------------------------------------


def test_the_guard_s_limit_is_in_the_table_like_any_other(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    answers(evening)
    (found,) = installed(evening)
    assert (found.profile_id, found.transaction_id, found.stack_level) == (1_700_000_000 + one, one, 5)
    assert found.is_of_guard
    assert told(evening) == [(0, 22 * KW), (3600, 0)]


@pytest.mark.parametrize("connector_id", [0, 1])
def test_the_guard_s_limit_never_allows_more_than_people_s_profiles(evening: Evening, connector_id: int) -> None:
    reports(evening, **SMART, ChargingScheduleMaxPeriods="6")
    evening.run(commands.set_profile(1, connector_id, profile({0: 11_000, 600: 4000, 1200: 30_000}), "test"))
    answers(evening)
    evening.issue(792)
    evening.look_when_due(evening.start())
    answers(evening)
    assert told(evening) == [(0, 11_000), (600, 4000), (1200, 22_000), (3600, 0)]


def test_where_periods_are_few_the_guard_s_limit_allows_the_least_of_the_rest(evening: Evening) -> None:
    reports(evening, **SMART, ChargingScheduleMaxPeriods="3")
    evening.run(commands.set_profile(1, 1, profile({0: 11_000, 600: 8000, 1200: 4000, 1800: 9000}), "test"))
    answers(evening)
    evening.issue(792)
    evening.look_when_due(evening.start())
    answers(evening)
    assert told(evening) == [(0, 11_000), (600, 4000), (3600, 0)]


def test_a_limit_of_the_whole_station_is_the_station_s_own_matter(evening: Evening) -> None:
    reports(evening, **SMART)
    most = profile({0: 5000}, charging_profile_purpose="ChargePointMaxProfile")
    evening.run(commands.set_profile(1, 0, most, "test"))
    answers(evening)
    evening.issue(792)
    evening.look_when_due(evening.start())
    answers(evening)
    assert told(evening) == [(0, 22 * KW), (3600, 0)], "the station takes the lower of both (OCPP 1.6, 3.13.3)"


@pytest.mark.parametrize("act", ["set", "clear"])
def test_when_people_s_profiles_change_the_guard_tells_its_limit_again(evening: Evening, act: str) -> None:
    reports(evening, **SMART)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    answers(evening)
    evening.pass_s(30)
    if act == "set":
        evening.run(commands.set_profile(1, 0, profile({0: 7000}), "test"))
    else:
        evening.run(commands.clear_profiles(1, "test"))
    answers(evening)
    assert evening.row(one).guard_at == evening.now
    evening.look_when_due(one)
    answers(evening)
    expected = 7000 if act == "set" else 22 * KW
    assert told(evening)[0] == (0, expected)


def test_a_station_that_refuses_the_guard_s_limit_is_asked_again_after_a_boot(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(792)
    one = evening.start()
    evening.look_when_due(one)
    evening.run()
    assert answers(evening, "NotSupported")
    with evening.database.reading() as connection:
        refusal = find_refusal(connection, 1)
    assert refusal is not None
    assert refusal.answer == "NotSupported"
    assert evening.row(one).limited_until is None
    for minute in range(1, 8):
        evening.pass_s(60)
        evening.read(one, minute * 100, 6 * KW)
        evening.look_when_due(one)
    assert evening.actions().count("SetChargingProfile") == 1
    evening.pass_s(10)
    evening.engine.execute(Boot(1, "Acme", "One", "", "", ""))
    with evening.database.reading() as connection:
        assert find_refusal(connection, 1) is None
    evening.look_when_due(one)
    assert evening.actions().count("SetChargingProfile") == 2
    answers(evening)
    assert told(evening)[0] == (0, 22 * KW)


def test_a_limit_that_was_not_answered_is_no_refusal(evening: Evening) -> None:
    reports(evening, **SMART)
    evening.issue(792)
    evening.look_when_due(evening.start())
    command = None
    while (found := evening.engine.execute(ClaimCommand(1))) is not None:
        command = found
        evening.engine.execute(AnswerCommand(found.command_id, found.attempts, "timed out", None, "no answer"))
    assert command is not None
    with evening.database.reading() as connection:
        assert find_refusal(connection, 1) is None


# --- the library ------------------------------------------------------------------------------------------------------


def store(
    evening: Evening, one: Profile, name: str = "night", library_id: int | None = None
) -> LibraryProfile | Refused:
    with evening.database.unit_of_work() as connection:
        return store_profile(
            connection, name=name, time_zone="Europe/Sofia", profile=one, now=evening.now, library_id=library_id
        )


def test_a_profile_of_the_library_is_stored_changed_and_removed(evening: Evening) -> None:
    stored = store(evening, profile({0: 5000}))
    assert isinstance(stored, LibraryProfile)
    assert (stored.name, stored.profile.charging_profile_id) == ("night", 0)
    taken = store(evening, profile({0: 4000}))
    assert isinstance(taken, Refused)
    assert taken.problems[0].field == "name"
    changed = store(evening, profile({0: 4000}), "day", stored.library_id)
    assert isinstance(changed, LibraryProfile)
    assert (changed.library_id, changed.name) == (stored.library_id, "day")
    with evening.database.unit_of_work() as connection:
        assert remove_profile(connection, stored.library_id)
        assert not remove_profile(connection, stored.library_id)


def test_a_profile_has_its_own_id_at_each_connector_far_from_those_of_transactions(evening: Evening) -> None:
    stored = store(evening, profile({0: 5000}))
    assert isinstance(stored, LibraryProfile)
    found = {for_connector(stored, connector_id).charging_profile_id for connector_id in range(4)}
    first, last = wire_ids(stored.library_id)
    assert len(found) == 4
    assert all(first <= one <= last and library_id_of(one) == stored.library_id for one in found)
    assert first >= 10**9
    assert library_id_of(7) is None


@pytest.mark.parametrize(
    ("one", "field"),
    [
        (profile({0: 5000}, charging_profile_kind="Recurring"), "recurrency_kind"),
        (profile({0: 5000}, recurrency_kind="Daily"), "recurrency_kind"),
        (profile({0: 5000}, charging_profile_kind="Relative"), "start_schedule"),
        (profile({0: 5000}, start=None), "start_schedule"),
        (profile({0: 5000}, stack_level=-1), "stack_level"),
        (profile({0: 5000}, valid_from=NOON, valid_to=NOON), "valid_to"),
        (profile({0: 5000}, start=NOON.replace(year=2500)), "start_schedule"),
        (profile({60: 5000}), "start_period"),
        (profile({}), "charging_schedule_period"),
        (profile({0: 5000, 90_000: 1}, charging_profile_kind="Recurring", recurrency_kind="Daily"), "start_period"),
        (
            profile(
                {0: 1}, charging_profile_kind="Relative", start=None, charging_profile_purpose="ChargePointMaxProfile"
            ),
            "charging_profile_kind",
        ),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_with_its_field(one: Profile, field: str) -> None:
    assert field in {each.field for each in problems("name", one)}


def test_limits_have_one_decimal_and_periods_one_to_three_phases() -> None:
    schedule = Schedule("A", (Period(0, Decimal("6.05"), 4), Period(0, Decimal(-1))), start_schedule=NOON, duration=0)
    one = profile({0: 1}, charging_schedule=schedule)
    found = {(each.field, each.period) for each in problems("", one)}
    assert {
        ("limit", 1),
        ("number_phases", 1),
        ("limit", 2),
        ("start_period", 2),
        ("duration", None),
        ("name", None),
    } <= found


@pytest.mark.parametrize(
    ("reported", "changes", "connector_id", "word"),
    [
        ({"SupportedFeatureProfiles": "Core"}, {}, 1, "SmartCharging"),
        ({"ChargeProfileMaxStackLevel": "3"}, {"stack_level": 4}, 1, "highest stack level is 3"),
        ({"ChargingScheduleAllowedChargingRateUnit": "Current"}, {}, 1, "amperes only"),
        ({"ChargingScheduleMaxPeriods": "1"}, {}, 1, "at most 1 periods"),
        ({"MaxChargingProfilesInstalled": "1"}, {}, 2, "at most 1 profiles"),
        ({}, {"charging_profile_purpose": "ChargePointMaxProfile"}, 1, "connector 0"),
        ({}, {"charging_profile_purpose": "TxProfile"}, 1, "No car is charging"),
        (SMART, {"charging_profile_purpose": "TxProfile", "transaction_id": 1, "stack_level": 5}, 1, "below 5"),
        (
            {"SupportedFeatureProfiles": "SmartCharging"},
            {"charging_profile_purpose": "TxProfile", "transaction_id": 1},
            1,
            "no lower level",
        ),
        ({}, {}, 9, "no connector 9"),
    ],
)
def test_what_a_station_says_it_cannot_take_is_refused_in_words(
    evening: Evening, reported: dict[str, str], changes: dict[str, Any], connector_id: int, word: str
) -> None:
    reports(evening, **reported)
    with evening.database.unit_of_work() as connection:
        row = {
            "charge_point_id": 1,
            "status": "Available",
            "error_code": "NoError",
            "info": "",
            "vendor_error_code": "",
        }
        rows = [row | {"connector_id": each, "happened_at": NOON, "recorded_at": NOON} for each in (1, 2)]
        connection.execute(insert(models.connector), rows)
    evening.run(commands.set_profile(1, 1, profile({0: 1}, charging_profile_id=77), "test"))
    answers(evening)
    with evening.database.reading() as connection:
        place = find_place(connection, 1)
    assert place is not None
    one = profile({0: 5000, 60: 4000}, **{"stack_level": 0} | changes)
    found = refusals(place, one, connector_id, installed(evening))
    assert any(word in each for each in found), found
    assert refusals(place, profile({0: 5000}, stack_level=3), 1, []) == [] or reported


def test_a_profile_in_the_place_of_another_needs_no_more_room(evening: Evening) -> None:
    reports(evening, MaxChargingProfilesInstalled="1")
    evening.run(commands.set_profile(1, 1, profile({0: 1}, charging_profile_id=77), "test"))
    answers(evening)
    with evening.database.reading() as connection:
        place = find_place(connection, 1)
        assert place is not None
        there = list_installed(connection, evening.now, charge_point_id=1)
    assert refusals(place, profile({0: 5000}, charging_profile_id=78), 1, there) == []
    assert refusals(place, profile({0: 5000}, charging_profile_id=77), 2, there) == []


def test_nobody_else_s_profiles_are_touched(evening: Evening) -> None:
    evening.run(commands.set_profile(1, 1, profile({0: 1}), "test"))
    answers(evening)
    evening.run(commands.clear_profiles(2, "test"))
    command = evening.engine.execute(ClaimCommand(2))
    evening.engine.execute(AnswerCommand(command.command_id, command.attempts, "accepted", '{"status":"Accepted"}'))
    assert ids(evening) == [(1, 1)]
    with evening.database.reading() as connection:
        states = set(connection.execute(select(models.command.c.state)).scalars())
    assert states == {"accepted"}
    assert installed(evening)[0].installed_at == evening.now
