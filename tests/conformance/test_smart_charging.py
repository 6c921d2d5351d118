"""Smart Charging: the certification cases 056, 057, 059, 066 and 067, and the odd composite schedules of the field."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from csms.operations.charging_profile_models import composite_schedule, installed_profile
from csms.operations.charging_profiles_store import list_composites, list_installed
from csms.operations.composite_answers import read_answer
from csms.operations.profile_schedules import Step
from tests.conformance.harness import CARD, Operator, Station

ACCEPTED = {"status": "Accepted"}
NOW = datetime.now(UTC).replace(microsecond=0)


def at(days: int = 0, minutes: int = 0) -> str:
    """Return a moment as OCPP writes it."""
    return (NOW + timedelta(days=days, minutes=minutes)).isoformat().replace("+00:00", "Z")


def default_profile(profile_id: int, stack_level: int, **changes: Any) -> dict[str, Any]:
    """Return a TxDefaultProfile as the certification asks for it."""
    schedule = {
        "duration": 86_400,
        "startSchedule": at(),
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0, "numberPhases": 3}],
    }
    return {
        "chargingProfileId": profile_id,
        "stackLevel": stack_level,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "validFrom": at(days=-1),
        "validTo": at(days=1),
        "chargingSchedule": schedule,
    } | changes


def installed(operator: Operator) -> list[tuple[int, int, str, int]]:
    """Return what CP1 has as we know it: id, connector, purpose, level."""
    with operator.world.database.reading() as connection:
        found = list_installed(connection, datetime.now(UTC), charge_point_id=1)
    return sorted((one.profile_id, one.connector_id, one.purpose, one.stack_level) for one in found)


async def charge(station: Station, meter_start: int = 0) -> int:
    """Begin a transaction the way the certification does."""
    await station.status(1, "Preparing")
    assert await station.authorize() == "Accepted"
    started = await station.start(CARD, meter_start, at())
    assert started["idTagInfo"]["status"] == "Accepted"
    await station.status(1, "Charging")
    transaction_id: int = started["transactionId"]
    return transaction_id


@pytest.mark.parametrize(("unit", "limit"), [("A", 6.0), ("W", 6000.0)])
async def test_tc_056_central_smart_charging_tx_default_profile(
    operator: Operator, station: Station, unit: str, limit: float
) -> None:
    profile = default_profile(1, 0)
    profile["chargingSchedule"] |= {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit, "numberPhases": 3}],
    }
    payload = {"connectorId": 1, "csChargingProfiles": profile}
    for _ in range(2):  # and repeated
        done = await operator.told(station, "SetChargingProfile", payload, answers=ACCEPTED)
        assert done.state == "accepted"
        assert installed(operator) == [(1, 1, "TxDefaultProfile", 0)]
    stored = operator.stored(installed_profile)[0]
    assert re.search(rf'"limit":{limit}', stored["profile_json"])
    assert stored["command_id"] == done.id


async def test_tc_056_through_the_library_of_profiles(operator: Operator, station: Station) -> None:
    body = {
        "name": "certification",
        "purpose": "TxDefaultProfile",
        "kind": "Absolute",
        "stack_level": 0,
        "unit": "A",
        "start_schedule": at(),
        "valid_from": at(days=-1),
        "valid_to": at(days=1),
        "duration_s": 86_400,
        "periods": [{"start_s": 0, "limit": "6.0", "number_phases": 3}],
    }
    stored = await operator.post("/charging-profiles", body)
    sending = await operator.post(f"/charging-profiles/{stored['id']}/send", {"charge_point_id": 1, "connector_id": 1})
    profile_id = sending["profile_id"]
    expected = default_profile(profile_id, 0)
    taken = await station.takes("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": expected})
    await taken.answer(ACCEPTED)
    row = await operator.get(f"/commands/{sending['command_ids'][0]}", wait_s=50)
    assert row["state"] == "accepted"
    assert installed(operator) == [(profile_id, 1, "TxDefaultProfile", 0)]


async def test_tc_057_central_smart_charging_tx_profile(operator: Operator, station: Station) -> None:
    transaction_id = await charge(station)
    profile = default_profile(
        5, 1, chargingProfilePurpose="TxProfile", transactionId=transaction_id, chargingProfileKind="Relative"
    )
    del profile["chargingSchedule"]["startSchedule"]
    payload = {"connectorId": 1, "csChargingProfiles": profile}
    await operator.told(station, "SetChargingProfile", payload, answers=ACCEPTED)
    assert installed(operator) == [(5, 1, "TxProfile", 1)]
    await station.read(transaction_id, at(minutes=1), 500)
    await station.stop(transaction_id, 1000, at(minutes=10), idTag=CARD)
    assert installed(operator) == [], "the profile of a transaction is gone with it"


@pytest.mark.parametrize("with_connector", [True, False])
async def test_tc_059_remote_start_transaction_with_charging_profile(
    operator: Operator, station: Station, *, with_connector: bool
) -> None:
    profile = {
        "chargingProfileId": 9,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0, "numberPhases": 3}],
        },
    }
    payload: dict[str, Any] = {"idTag": CARD, "chargingProfile": profile}
    if with_connector:
        payload["connectorId"] = 1
    await operator.told(station, "RemoteStartTransaction", payload, answers=ACCEPTED)
    assert installed(operator) == [(9, 1 if with_connector else 0, "TxProfile", 1)]
    transaction_id = await charge(station)
    assert installed(operator) == [(9, 1, "TxProfile", 1)], "it is that of the transaction that the card began"
    await station.stop(transaction_id, 1000, at(minutes=10), idTag=CARD)
    assert installed(operator) == []


async def test_tc_059_through_the_library_of_profiles(operator: Operator, station: Station) -> None:
    body = {
        "name": "guest",
        "purpose": "TxProfile",
        "kind": "Relative",
        "stack_level": 0,
        "unit": "A",
        "periods": [{"start_s": 0, "limit": "6.0"}],
    }
    stored = await operator.post("/charging-profiles", body)
    start = {"charge_point_id": 1, "connector_id": 1, "start_id_tag": CARD}
    sending = await operator.post(f"/charging-profiles/{stored['id']}/send", start)
    taken = await station.takes("RemoteStartTransaction")
    profile = taken.payload["chargingProfile"]
    assert "transactionId" not in profile
    assert profile["chargingProfileKind"] == "Relative"
    assert profile["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 6.0}]
    await taken.answer(ACCEPTED)
    assert (await operator.get(f"/commands/{sending['command_ids'][0]}", wait_s=50))["state"] == "accepted"
    await charge(station)
    assert installed(operator) == [(sending["profile_id"], 1, "TxProfile", 0)]


async def test_tc_066_get_composite_schedule(operator: Operator, station: Station) -> None:
    payload = {"connectorId": 1, "duration": 300, "chargingRateUnit": "A"}
    schedule = {
        "duration": 300,
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6.0, "numberPhases": 3}],
    }
    answer = {"status": "Accepted", "connectorId": 1, "scheduleStart": at(), "chargingSchedule": schedule}
    for _ in range(2):
        done = await operator.told(station, "GetCompositeSchedule", payload, answers=answer)
        assert done.state == "accepted"
    stored = operator.stored(composite_schedule)
    assert [(one["connector_id"], one["duration_s"], one["unit"]) for one in stored] == [(1, 300, "A")]
    with operator.world.database.reading() as connection:
        view = list_composites(connection, 1)[0]
    read = read_answer(view.state, view.answer_json, view.failure, view.received_at, view.duration_s, view.unit)
    assert (read.begin, read.remarks) == (NOW, ())
    assert read.steps is not None
    assert [(one.offset_s, str(one.limit), one.number_phases) for one in read.steps] == [(0, "6.0", 3)]


async def test_tc_067_clear_charging_profile(operator: Operator, station: Station) -> None:
    for number in range(3):
        payload = {"connectorId": 1, "csChargingProfiles": default_profile(20 + number, number)}
        await operator.told(station, "SetChargingProfile", payload, answers=ACCEPTED)
    assert [one[0] for one in installed(operator)] == [20, 21, 22]
    await operator.told(station, "ClearChargingProfile", {"id": 20}, answers=ACCEPTED)
    assert [one[0] for one in installed(operator)] == [21, 22]
    fitting = {"connectorId": 1, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1}
    await operator.told(station, "ClearChargingProfile", fitting, answers=ACCEPTED)
    assert [one[0] for one in installed(operator)] == [22]
    await operator.told(station, "ClearChargingProfile", {}, answers=ACCEPTED)
    assert installed(operator) == []
    done = await operator.told(station, "ClearChargingProfile", {}, answers={"status": "Unknown"})
    assert done.state == "rejected"
    assert installed(operator) == []


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": -1}]}, "-1"),
        ({"chargingRateUnit": "A", "chargingSchedulePeriod": []}, "empty"),
        (None, "without a schedule"),
    ],
)
async def test_seen_9_a_composite_schedule_with_limit_minus_one_or_without_periods_is_stored_and_explained(
    operator: Operator, station: Station, schedule: dict[str, Any] | None, word: str
) -> None:
    answer: dict[str, Any] = {"status": "Accepted", "connectorId": 1, "scheduleStart": at()}
    if schedule is not None:
        answer["chargingSchedule"] = schedule
    await operator.told(station, "GetCompositeSchedule", {"connectorId": 1, "duration": 600}, answers=answer)
    with operator.world.database.reading() as connection:
        view = list_composites(connection, 1)[0]
    read = read_answer(view.state, view.answer_json, view.failure, view.received_at, view.duration_s, view.unit)
    assert read.steps == (None if schedule is None else (Step(0, None),))
    assert any(word in remark for remark in read.remarks)


async def test_seen_8_a_call_error_to_a_profile_is_a_failed_command_and_nothing_is_installed(
    operator: Operator, station: Station
) -> None:
    payload = {"connectorId": 1, "csChargingProfiles": default_profile(1, 0)}
    pending = await operator.command("SetChargingProfile", payload)
    await station.refuses("SetChargingProfile", "NotImplemented", "no Smart Charging")
    done = await pending.done()
    assert done.state == "failed"
    assert installed(operator) == []
    asking = await operator.command("GetCompositeSchedule", {"connectorId": 1, "duration": 600})
    await station.refuses("GetCompositeSchedule", "NotSupported")
    assert (await asking.done()).state == "failed"
    with operator.world.database.reading() as connection:
        view = list_composites(connection, 1)[0]
    assert view.failure is not None
    assert "NotSupported" in view.failure
