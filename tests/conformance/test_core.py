"""The cases of the Core profile and of Remote Trigger: TC_001 to TC_040_2, TC_054, TC_055, TC_061 and TC_064."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from csms.charging import models
from csms.config import Settings
from csms.operations.core_models import data_transfer, station_outcome, wanted_availability
from tests.conformance.harness import CARD, Operator, Station
from tests.conftest import settings_for
from tests.support.waiting import until

ACCEPTED = {"status": "Accepted"}
REJECTED = {"status": "Rejected"}
OTHER = "04FFEEDD"
_ids = itertools.count(1)


@pytest.fixture
def conformance_settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Transactions that may be over are looked after, and in no test's time."""
    return settings_for(sqlite_url, tmp_path, zombie_wait_s=600)


def now(minutes: float = 0) -> str:
    """Return a moment as a station writes it."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
    return at.isoformat().replace("+00:00", "Z")


async def twice(station: Station, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Send a call, and the same again with its message id: both get the same answer, but for what the clock says."""
    message_id = f"twice-{next(_ids)}"
    first = await station.call(action, payload, message_id=message_id)
    again = await station.call(action, payload, message_id=message_id)
    assert _timeless(first) == _timeless(again)
    return first


def _timeless(answer: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in answer.items() if name != "currentTime"}
    if "idTagInfo" in kept:
        kept["idTagInfo"] = {name: value for name, value in kept["idTagInfo"].items() if name != "expiryDate"}
    return kept


async def statuses(station: Station, *told: str, connector_id: int = 1) -> None:
    """Tell one status after another, each one twice."""
    for status in told:
        for _ in range(2):
            await station.status(connector_id, status)


async def start(station: Station, id_tag: str = CARD, meter_start: int = 100, at: str = "") -> dict[str, Any]:
    """Send StartTransaction twice; it is one transaction."""
    payload = {"connectorId": 1, "idTag": id_tag, "meterStart": meter_start, "timestamp": at or now()}
    started = await twice(station, "StartTransaction", payload)
    assert started["transactionId"] > 0
    return started


async def stop(
    station: Station, transaction_id: int, reason: str | None, *, at: str = "", **more: Any
) -> dict[str, Any]:
    """Send StopTransaction twice; the first one wins."""
    payload: dict[str, Any] = {"transactionId": transaction_id, "meterStop": 600, "timestamp": at or now(1)} | more
    if reason is not None:
        payload["reason"] = reason
    return await twice(station, "StopTransaction", payload)


async def charging(station: Station) -> int:
    """Reach the state Charging, identification first."""
    assert await station.authorize() == "Accepted"
    await statuses(station, "Preparing")
    started = await start(station)
    assert started["idTagInfo"]["status"] == "Accepted"
    await statuses(station, "Charging")
    number: int = started["transactionId"]
    return number


def connector(operator: Operator, connector_id: int = 1) -> tuple[str, str]:
    """Return what is stored of a connector: status and error code."""
    table = models.connector
    [row] = operator.stored(table, table.c.connector_id == connector_id)
    return row["status"], row["error_code"]


def one_transaction(operator: Operator) -> Any:
    """Return the only transaction."""
    [one] = operator.world.transactions()
    return one


def settings_of(operator: Operator) -> dict[str, str | None]:
    """Return the configuration of CP1 as it is stored."""
    return {row["key"]: row["reported_value"] for row in operator.stored(models.station_setting)}


def outcomes(operator: Operator) -> dict[tuple[str, str], str]:
    """Return what acts came to."""
    return {(row["action"], row["subject"]): row["outcome"] for row in operator.stored(station_outcome)}


# --- Cold boot, and sessions ------------------------------------------------------------------------------------------


async def test_tc_001_cold_boot_charge_point(operator: Operator) -> None:
    async with operator.station(boot=False) as station:
        boot = {"chargePointVendor": "Acme", "chargePointModel": "One", "chargePointSerialNumber": "SN-1"}
        answer = await twice(station, "BootNotification", boot)
        assert answer["status"] == "Accepted"
        assert answer["interval"] == operator.settings.heartbeat_interval_s
        assert datetime.fromisoformat(answer["currentTime"]).tzinfo is not None
        assert answer["currentTime"].endswith("Z")
        for connector_id in (0, 1, 2):
            await statuses(station, "Available", connector_id=connector_id)
        assert (await twice(station, "Heartbeat", {}))["currentTime"].endswith("Z")
    stored = operator.stored(models.charge_point)[0]
    assert (stored["registration"], stored["vendor"], stored["serial_number"]) == ("Accepted", "Acme", "SN-1")
    assert [row["status"] for row in operator.stored(models.connector)] == ["Available"] * 3


async def test_tc_003_regular_charging_session_plugin_first(operator: Operator, station: Station) -> None:
    await statuses(station, "Preparing")
    assert (await twice(station, "Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Accepted"
    started = await start(station)
    assert started["idTagInfo"]["status"] == "Accepted"
    await statuses(station, "Charging")
    assert one_transaction(operator).transaction_id == started["transactionId"]
    assert connector(operator)[0] == "Charging"


async def test_tc_004_1_regular_charging_session_identification_first(operator: Operator, station: Station) -> None:
    number = await charging(station)
    assert (one_transaction(operator).transaction_id, one_transaction(operator).state) == (number, "open")


async def test_tc_004_2_identification_first_connection_timeout(operator: Operator, station: Station) -> None:
    assert await station.authorize() == "Accepted"
    await statuses(station, "Preparing", "Available")
    assert operator.world.transactions() == []
    assert connector(operator)[0] == "Available"


async def test_tc_005_1_ev_side_disconnected(operator: Operator, station: Station) -> None:
    number = await charging(station)
    await statuses(station, "SuspendedEV")
    answer = await stop(station, number, "EVDisconnected", idTag=CARD)
    assert answer["idTagInfo"]["status"] == "Accepted"
    await statuses(station, "Finishing", "Available")
    one = one_transaction(operator)
    assert (one.state, one.stop_reason, one.energy_wh) == ("ended", "EVDisconnected", 500)
    assert len(operator.world.entries("settle")) == 1


async def test_tc_007_regular_start_charging_session_cached_id(operator: Operator, station: Station) -> None:
    await statuses(station, "Preparing")
    started = await start(station)
    assert started["idTagInfo"]["status"] == "Accepted"
    assert one_transaction(operator).state == "open"


async def test_tc_061_clear_authorization_data_in_authorization_cache(operator: Operator, station: Station) -> None:
    for _ in range(2):
        done = await operator.told(station, "ClearCache", answers=ACCEPTED)
        assert done.state == "accepted"
    assert outcomes(operator) == {("ClearCache", ""): "Accepted"}


# --- Remote start and stop --------------------------------------------------------------------------------------------


async def test_tc_010_remote_start_cable_plugged_in_first(operator: Operator, station: Station) -> None:
    await statuses(station, "Preparing")
    payload = {"connectorId": 1, "idTag": CARD}
    assert (await operator.told(station, "RemoteStartTransaction", payload, answers=ACCEPTED)).state == "accepted"
    assert await station.authorize() == "Accepted"
    assert (await start(station))["idTagInfo"]["status"] == "Accepted"
    await statuses(station, "Charging")
    assert one_transaction(operator).state == "open"


async def test_tc_011_1_remote_start_remote_start_first(operator: Operator, station: Station) -> None:
    payload = {"idTag": CARD}
    assert (await operator.told(station, "RemoteStartTransaction", payload, answers=ACCEPTED)).state == "accepted"
    assert await station.authorize() == "Accepted"
    await statuses(station, "Preparing")
    assert (await start(station))["idTagInfo"]["status"] == "Accepted"
    await statuses(station, "Charging")
    assert one_transaction(operator).state == "open"


async def test_tc_011_2_remote_start_time_out(operator: Operator, station: Station) -> None:
    await operator.told(station, "RemoteStartTransaction", {"connectorId": 1, "idTag": CARD}, answers=ACCEPTED)
    assert await station.authorize() == "Accepted"
    await statuses(station, "Preparing", "Available")
    assert operator.world.transactions() == []
    assert operator.world.card().held_minor == 0


async def test_tc_012_remote_stop_charging_session(operator: Operator, station: Station) -> None:
    number = await charging(station)
    done = await operator.told(station, "RemoteStopTransaction", {"transactionId": number}, answers=ACCEPTED)
    assert (done.state, done.transaction_id) == ("accepted", number)
    await statuses(station, "Finishing")
    await stop(station, number, "Remote")
    await statuses(station, "Available")
    assert (one_transaction(operator).state, one_transaction(operator).stop_reason) == ("ended", "Remote")


async def test_tc_026_remote_start_rejected(operator: Operator, station: Station) -> None:
    payload = {"connectorId": 1, "idTag": CARD}
    for _ in range(2):
        done = await operator.told(station, "RemoteStartTransaction", payload, answers=REJECTED)
        assert (done.state, done.answer) == ("rejected", REJECTED)
    assert operator.world.transactions() == []


async def test_tc_028_remote_stop_transaction_rejected(operator: Operator, station: Station) -> None:
    number = await charging(station)
    unknown = {"transactionId": number + 777}
    assert (await operator.told(station, "RemoteStopTransaction", unknown, answers=REJECTED)).state == "rejected"
    assert one_transaction(operator).state == "open"
    assert one_transaction(operator).stop_requested_at is None


# --- Reset ------------------------------------------------------------------------------------------------------------


async def _reset(operator: Operator, kind: str) -> dict[tuple[str, str], str]:
    """Reset a station that boots again, and return what acts came to."""
    async with operator.station() as station:
        done = await operator.told(station, "Reset", {"type": kind}, answers=ACCEPTED)
        assert done.state == "accepted"
    async with operator.station(boot=False) as station:
        for _ in range(2):
            await station.boots("Accepted")
        await statuses(station, "Available", connector_id=0)
        await statuses(station, "Available")
    assert operator.stored(models.charge_point)[0]["booted_at"] is not None
    return outcomes(operator)


async def test_tc_013_hard_reset(operator: Operator) -> None:
    assert await _reset(operator, "Hard") == {("Reset", "Hard"): "Accepted"}


async def test_tc_014_soft_reset(operator: Operator) -> None:
    assert await _reset(operator, "Soft") == {("Reset", "Soft"): "Accepted"}


# --- Unlock -----------------------------------------------------------------------------------------------------------


async def test_tc_017_1_unlock_connector_no_session_not_fixed_cable(operator: Operator, station: Station) -> None:
    for _ in range(2):
        done = await operator.told(station, "UnlockConnector", {"connectorId": 1}, answers={"status": "Unlocked"})
        assert done.state == "accepted"
    assert outcomes(operator) == {("UnlockConnector", "connector 1"): "Unlocked"}


async def test_tc_017_2_unlock_connector_no_session_fixed_cable(operator: Operator, station: Station) -> None:
    done = await operator.told(station, "UnlockConnector", {"connectorId": 1}, answers={"status": "NotSupported"})
    assert done.state == "rejected"
    assert outcomes(operator) == {("UnlockConnector", "connector 1"): "NotSupported"}
    assert operator.stored(models.alarm) == []


async def test_tc_018_1_unlock_connector_with_charging_session(operator: Operator, station: Station) -> None:
    number = await charging(station)
    await operator.told(station, "UnlockConnector", {"connectorId": 1}, answers={"status": "Unlocked"})
    await statuses(station, "Finishing")
    await stop(station, number, "UnlockCommand")
    await statuses(station, "Available")
    assert (one_transaction(operator).state, one_transaction(operator).stop_reason) == ("ended", "UnlockCommand")


async def test_tc_030_unlock_connector_unlock_failure(operator: Operator, station: Station) -> None:
    for _ in range(2):
        done = await operator.told(station, "UnlockConnector", {"connectorId": 1}, answers={"status": "UnlockFailed"})
        assert done.state == "rejected"
    [alarm] = operator.stored(models.alarm)
    assert (alarm["kind"], alarm["cleared_at"]) == ("lock failure", None)
    await operator.told(station, "UnlockConnector", {"connectorId": 1}, answers={"status": "Unlocked"})
    [alarm] = operator.stored(models.alarm)
    assert alarm["cleared_at"] is not None


async def test_tc_031_unlock_connector_unknown_connector(operator: Operator, station: Station) -> None:
    done = await operator.told(station, "UnlockConnector", {"connectorId": 99}, answers={"status": "NotSupported"})
    assert done.state == "rejected"


# --- Configuration ----------------------------------------------------------------------------------------------------

KEYS = [
    {"key": "HeartbeatInterval", "readonly": False, "value": "300"},
    {"key": "SupportedFeatureProfiles", "readonly": True, "value": "Core,RemoteTrigger"},
    {"key": "AuthorizationKey", "readonly": False},
]


async def test_tc_019_1_retrieve_all_configuration_keys(operator: Operator, station: Station) -> None:
    for _ in range(2):
        done = await operator.told(station, "GetConfiguration", {}, answers={"configurationKey": KEYS})
        assert done.state == "accepted"
    stored = settings_of(operator)
    assert stored["HeartbeatInterval"] == "300"
    assert stored["SupportedFeatureProfiles"] == "Core,RemoteTrigger"
    assert stored["AuthorizationKey"] is None
    read_only = {row["key"]: row["is_readonly"] for row in operator.stored(models.station_setting)}
    assert read_only["SupportedFeatureProfiles"]


async def test_tc_019_2_retrieve_specific_configuration_key(operator: Operator, station: Station) -> None:
    payload = {"key": ["SupportedFeatureProfiles"]}
    await operator.told(station, "GetConfiguration", payload, answers={"configurationKey": KEYS[1:2]})
    assert settings_of(operator) == {"SupportedFeatureProfiles": "Core,RemoteTrigger"}


async def test_tc_021_change_set_configuration(operator: Operator, station: Station) -> None:
    payload = {"key": "MeterValueSampleInterval", "value": "60"}
    for _ in range(2):
        done = await operator.told(station, "ChangeConfiguration", payload, answers=ACCEPTED)
        assert done.state == "accepted"
    assert settings_of(operator) == {"MeterValueSampleInterval": "60"}


async def test_tc_040_1_configuration_keys_not_supported(operator: Operator, station: Station) -> None:
    payload = {"key": "NoSuchKey", "value": "1"}
    done = await operator.told(station, "ChangeConfiguration", payload, answers={"status": "NotSupported"})
    assert done.state == "rejected"
    assert settings_of(operator) == {}


async def test_tc_040_2_configuration_keys_invalid_value(operator: Operator, station: Station) -> None:
    payload = {"key": "MeterValueSampleInterval", "value": "-1"}
    done = await operator.told(station, "ChangeConfiguration", payload, answers=REJECTED)
    assert done.state == "rejected"
    assert settings_of(operator) == {}


# --- Cards that may not charge ----------------------------------------------------------------------------------------


async def test_tc_023_1_authorize_invalid(operator: Operator, station: Station) -> None:
    assert (await twice(station, "Authorize", {"idTag": OTHER}))["idTagInfo"]["status"] == "Invalid"
    [refusal] = operator.stored(models.authorization_refusal)
    assert (refusal["id_tag"], refusal["reason"]) == (OTHER, "unknown card")


async def test_tc_023_2_authorize_expired(operator: Operator, station: Station) -> None:
    await operator.post(f"/cards/{CARD}", {"expires_at": now(-60)}, method="PATCH")
    assert (await twice(station, "Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Expired"


async def test_tc_023_3_authorize_blocked(operator: Operator, station: Station) -> None:
    await operator.post(f"/cards/{CARD}", {"state": "blocked"}, method="PATCH")
    assert (await twice(station, "Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Blocked"


async def test_tc_024_start_charging_session_lock_failure(operator: Operator, station: Station) -> None:
    assert await station.authorize() == "Accepted"
    await statuses(station, "Preparing")
    for _ in range(2):
        await station.status(1, "Faulted", "ConnectorLockFailure")
    assert connector(operator) == ("Faulted", "ConnectorLockFailure")
    assert operator.world.transactions() == []


# --- Power failure, and what happened without a link ------------------------------------------------------------------


async def test_tc_032_1_power_failure_boot_configured_to_stop_transactions(operator: Operator) -> None:
    async with operator.station() as station:
        number = await charging(station)
    async with operator.station(boot=False) as station:
        for _ in range(2):
            await station.boots("Accepted")
        await statuses(station, "Available", connector_id=0)
        await statuses(station, "Finishing")
        await stop(station, number, "PowerLoss")
        await statuses(station, "Available")
    one = one_transaction(operator)
    assert (one.transaction_id, one.state, one.stop_reason) == (number, "ended", "PowerLoss")
    assert len(operator.world.entries("settle")) == 1


async def test_tc_037_1_offline_start_transaction_valid_id_tag(operator: Operator) -> None:
    async with operator.station():
        pass
    async with operator.station(boot=False) as station:
        started = await start(station, at=now(-30))
        assert started["idTagInfo"]["status"] == "Accepted"
        await statuses(station, "Charging")
        await station.hears_nothing()  # what is history is not stopped
    one = one_transaction(operator)
    assert one.state == "open"
    assert one.started_at < datetime.now(UTC) - timedelta(minutes=29)


async def test_tc_037_3_offline_start_invalid_id_tag_stopped(operator: Operator, station: Station) -> None:
    started = await start(station, OTHER, at=now(-5))
    assert started["idTagInfo"]["status"] == "Invalid"
    await stop(station, started["transactionId"], "DeAuthorized")
    await statuses(station, "Finishing")
    one = one_transaction(operator)
    assert (one.state, one.stop_reason, one.refusal) == ("ended", "DeAuthorized", "unknown card")


async def test_tc_039_offline_transaction(operator: Operator) -> None:
    async with operator.station():
        pass
    begun, ended = now(-50), now(-20)
    async with operator.station(boot=False) as station:
        started = await start(station, at=begun)
        await stop(station, started["transactionId"], "Local", at=ended, idTag=CARD)
    one = one_transaction(operator)
    assert (one.state, one.stop_reason, one.energy_wh) == ("ended", "Local", 500)
    moments = [moment.isoformat().replace("+00:00", "Z") for moment in (one.started_at, one.ended_at) if moment]
    assert moments == [begun, ended]


# --- Remote trigger ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "comes"),
    [
        ({"requestedMessage": "MeterValues", "connectorId": 1}, "MeterValues"),
        ({"requestedMessage": "Heartbeat"}, "Heartbeat"),
        ({"requestedMessage": "StatusNotification", "connectorId": 1}, "StatusNotification"),
        ({"requestedMessage": "DiagnosticsStatusNotification"}, "DiagnosticsStatusNotification"),
        ({"requestedMessage": "FirmwareStatusNotification"}, "FirmwareStatusNotification"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_tc_054_trigger_message(
    operator: Operator, station: Station, trigger: dict[str, Any], comes: str
) -> None:
    payloads: dict[str, dict[str, Any]] = {
        "MeterValues": {
            "connectorId": 1,
            "meterValue": [{"timestamp": now(), "sampledValue": [{"value": "5100.000"}]}],
        },
        "StatusNotification": {"connectorId": 1, "status": "Available", "errorCode": "NoError"},
        "DiagnosticsStatusNotification": {"status": "Idle"},
        "FirmwareStatusNotification": {"status": "Idle"},
    }
    done = await operator.told(station, "TriggerMessage", trigger, answers=ACCEPTED)
    assert done.state == "accepted"
    answer = await twice(station, comes, payloads.get(comes, {}))
    assert answer == {} or comes == "Heartbeat"
    assert set(outcomes(operator).values()) == {"Accepted"}


async def test_tc_054_trigger_message_that_is_not_implemented(operator: Operator, station: Station) -> None:
    trigger = {"requestedMessage": "FirmwareStatusNotification"}
    done = await operator.told(station, "TriggerMessage", trigger, answers={"status": "NotImplemented"})
    assert done.state == "rejected"
    assert outcomes(operator) == {("TriggerMessage", "FirmwareStatusNotification"): "NotImplemented"}


async def test_tc_055_trigger_message_rejected(operator: Operator, station: Station) -> None:
    trigger = {"requestedMessage": "MeterValues", "connectorId": 2}
    done = await operator.told(station, "TriggerMessage", trigger, answers=REJECTED)
    assert done.state == "rejected"


# --- Data transfer ----------------------------------------------------------------------------------------------------


async def test_tc_064_data_transfer_to_a_central_system(operator: Operator, station: Station) -> None:
    payload = {"vendorId": "org.nobody.knows", "messageId": "Hello", "data": "{}"}
    assert await twice(station, "DataTransfer", payload) == {"status": "UnknownVendorId"}
    rows = operator.stored(data_transfer)
    assert {(row["vendor_id"], row["message_id"], row["data"]) for row in rows} == {("org.nobody.knows", "Hello", None)}


# --- Availability: no case of its own, and part of others -------------------------------------------------------------


@pytest.mark.parametrize("answer", ["Accepted", "Scheduled", "Rejected"])
async def test_what_is_wanted_of_a_connector_is_kept_with_what_the_station_said(
    operator: Operator, station: Station, answer: str
) -> None:
    payload = {"connectorId": 1, "type": "Inoperative"}
    for _ in range(2):
        await operator.told(station, "ChangeAvailability", payload, answers={"status": answer})
    [row] = operator.stored(wanted_availability)
    assert (row["connector_id"], row["availability"], row["answer"]) == (1, "Inoperative", answer)


async def test_the_whole_station_in_service_again_ends_what_was_wanted_of_its_connectors(
    operator: Operator, station: Station
) -> None:
    for connector_id in (1, 2):
        payload = {"connectorId": connector_id, "type": "Inoperative"}
        await operator.told(station, "ChangeAvailability", payload, answers=ACCEPTED)
    whole = {"connectorId": 0, "type": "Operative"}
    await operator.told(station, "ChangeAvailability", whole, answers=REJECTED)
    assert len(operator.stored(wanted_availability)) == 3
    await operator.told(station, "ChangeAvailability", whole, answers=ACCEPTED)
    [row] = operator.stored(wanted_availability)
    assert (row["connector_id"], row["availability"]) == (0, "Operative")


async def test_a_command_that_nobody_takes_in_time_expires_over_the_api_as_well(operator: Operator) -> None:
    asked = await operator.command("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, expires_s=1)
    await until(lambda: operator.stored(wanted_availability), 30)
    done = await asked.now()
    assert (done.state, done.failure) == ("expired", "the charge point was not there in time")
    [row] = operator.stored(wanted_availability)
    assert row["answer"] == "expired"
