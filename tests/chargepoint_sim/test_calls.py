"""Every call a central system may make: what is answered, and what follows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car, Habits, ac, dc
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import CentralSystem

    Make = Callable[..., Station]


@pytest.fixture
async def station(central: CentralSystem, make: Make) -> AsyncIterator[Station]:
    """An accepted station with two connectors that has told its statuses."""
    async with make() as one:
        await one.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        yield one


def limits(*periods: tuple[int, float], **fields: object) -> dict[str, Any]:
    """A charging profile in W."""
    schedule = [{"startPeriod": start, "limit": limit} for start, limit in periods]
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": schedule},
    } | fields


async def test_a_remote_start_authorizes_and_charges_where_the_cable_is(
    central: CentralSystem, station: Station
) -> None:
    station.plug_in(2, Car())
    assert await central.call("RemoteStartTransaction", idTag="APP") == {"status": "Accepted"}
    await station.wait_for_status(2, "Charging")
    start = await central.wait_for("StartTransaction")
    assert (start.payload["connectorId"], start.payload["idTag"]) == (2, "APP")
    assert len(central.of("Authorize")) == 1


async def test_a_remote_start_may_go_without_authorize_and_before_the_cable(
    central: CentralSystem, station: Station
) -> None:
    station.configuration.change("AuthorizeRemoteTxRequests", "false")
    assert await central.call("RemoteStartTransaction", idTag="APP", connectorId=1) == {"status": "Accepted"}
    await station.wait_for_status(1, "Preparing")
    station.plug_in(1, Car())
    await station.wait_for_status(1, "Charging")
    assert not central.of("Authorize")


async def test_a_remote_start_is_refused_for_a_refused_card_and_a_busy_connector(
    central: CentralSystem, station: Station
) -> None:
    await charge(station)
    assert (await central.call("RemoteStartTransaction", idTag="APP", connectorId=1))["status"] == "Rejected"
    assert (await central.call("RemoteStartTransaction", idTag="APP", connectorId=9))["status"] == "Rejected"
    central.answers["Authorize"] = lambda _call: {"idTagInfo": {"status": "Invalid"}}
    station.plug_in(2, Car())
    assert (await central.call("RemoteStartTransaction", idTag="APP", connectorId=2))["status"] == "Accepted"
    await central.wait_for("Authorize", 2)
    await asyncio.sleep(0.05)
    assert len(central.of("StartTransaction")) == 1


async def test_a_remote_stop_ends_its_transaction_and_no_other(central: CentralSystem, station: Station) -> None:
    await charge(station)
    await charge(station, "OTHER", 2)
    assert await central.call("RemoteStopTransaction", transactionId=999) == {"status": "Rejected"}
    assert await central.call("RemoteStopTransaction", transactionId=102) == {"status": "Accepted"}
    stop = await central.wait_for("StopTransaction")
    assert (stop.payload["transactionId"], stop.payload["reason"]) == (102, "Remote")
    assert "idTag" not in stop.payload
    assert station.connector(1).status == "Charging"
    assert station.connector(2).status == "Finishing"


@pytest.mark.parametrize(("kind", "reason"), [("Soft", "SoftReset"), ("Hard", "HardReset")])
async def test_a_reset_stops_disconnects_and_boots(
    central: CentralSystem, station: Station, kind: str, reason: str
) -> None:
    await charge(station)
    assert await central.call("Reset", type=kind) == {"status": "Accepted"}
    stop = await central.wait_for("StopTransaction")
    await central.wait_for("BootNotification", 2)
    await central.wait_for_status("Preparing")
    assert (stop.payload["reason"], stop.payload["transactionId"]) == (reason, 101)
    assert central.opened == 2
    order = [call.action for call in central.calls if call.action in {"StopTransaction", "BootNotification"}]
    assert (order[1] == "StopTransaction") is (kind == "Soft")


async def test_configuration_is_listed_changed_and_takes_effect(central: CentralSystem, station: Station) -> None:
    listed = await central.call("GetConfiguration")
    keys = {one["key"]: one for one in listed["configurationKey"]}
    assert keys["NumberOfConnectors"] == {"key": "NumberOfConnectors", "readonly": True, "value": "2"}
    assert "value" not in keys["AuthorizationKey"]
    asked = await central.call("GetConfiguration", key=["HeartbeatInterval", "Nonsense"])
    assert [one["key"] for one in asked["configurationKey"]] == ["HeartbeatInterval"]
    assert asked["unknownKey"] == ["Nonsense"]
    changed = await central.call("ChangeConfiguration", key="HeartbeatInterval", value="1")
    assert changed == {"status": "Accepted"}
    await central.wait_for("Heartbeat")
    assert station.configuration.number("HeartbeatInterval") == 1


async def test_a_new_password_is_used_at_the_next_connection(central: CentralSystem, station: Station) -> None:
    key = "12" * 20
    assert (await central.call("ChangeConfiguration", key="AuthorizationKey", value=key))["status"] == "Accepted"
    central.password = bytes.fromhex(key)
    await central.close()
    await station.wait_until(lambda: central.opened == 2 and station.is_online, 60)


async def test_triggered_messages_are_sent_and_unknown_connectors_rejected(
    central: CentralSystem, station: Station
) -> None:
    await charge(station)
    before = len(central.of("StatusNotification"))
    for message in ("BootNotification", "Heartbeat", "DiagnosticsStatusNotification", "FirmwareStatusNotification"):
        assert (await central.call("TriggerMessage", requestedMessage=message))["status"] == "Accepted"
        await central.wait_for(message, 2 if message == "BootNotification" else 1)
    assert central.of("FirmwareStatusNotification")[0].payload == {"status": "Idle"}
    await central.call("TriggerMessage", requestedMessage="StatusNotification", connectorId=1)
    await central.wait_for("StatusNotification", before + 1)
    await central.call("TriggerMessage", requestedMessage="MeterValues", connectorId=2)
    await central.wait_for_reading(2)
    rejected = await central.call("TriggerMessage", requestedMessage="MeterValues", connectorId=3)
    assert rejected == {"status": "Rejected"}


async def test_a_pending_station_boots_again_when_it_is_triggered(central: CentralSystem, make: Make) -> None:
    central.boots, central.interval_s = ["Pending"], 600
    async with make() as station:
        await central.wait_for("BootNotification")
        assert (await central.call("RemoteStartTransaction", idTag="A"))["status"] == "Rejected"
        await central.call("TriggerMessage", requestedMessage="BootNotification")
        await station.wait_online(60)


async def test_availability_changes_at_once_or_after_the_transaction(central: CentralSystem, station: Station) -> None:
    await charge(station)
    assert await central.call("ChangeAvailability", connectorId=2, type="Inoperative") == {"status": "Accepted"}
    await central.wait_for_status("Unavailable", connector_id=2)
    assert await central.call("ChangeAvailability", connectorId=1, type="Inoperative") == {"status": "Scheduled"}
    station.unplug(1)
    await central.wait_for_status("Unavailable", connector_id=1)
    assert not (await station.present_card(1, "CARD")).accepted
    assert await central.call("ChangeAvailability", connectorId=0, type="Operative") == {"status": "Accepted"}
    await central.wait_for_status("Available", connector_id=1)
    await central.wait_for_status("Available", connector_id=2)
    assert await central.call("ChangeAvailability", connectorId=7, type="Operative") == {"status": "Rejected"}


async def test_unlocking_ends_a_transaction_and_fails_as_it_is_built(central: CentralSystem, make: Make) -> None:
    async with make(connectors=[ac(1), dc(2)]) as station:
        await charge(station)
        assert await central.call("UnlockConnector", connectorId=2) == {"status": "NotSupported"}
        assert await central.call("UnlockConnector", connectorId=3) == {"status": "NotSupported"}
        assert await central.call("UnlockConnector", connectorId=1) == {"status": "Unlocked"}
        assert (await central.wait_for("StopTransaction")).payload["reason"] == "UnlockCommand"
    async with make(habits=Habits(unlock_fails=True)) as station:
        await station.wait_online(60)
        assert await central.call("UnlockConnector", connectorId=1) == {"status": "UnlockFailed"}


async def test_a_reservation_keeps_others_out_and_names_itself_in_the_start(
    central: CentralSystem, station: Station
) -> None:
    expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    reserve = {"connectorId": 1, "expiryDate": expiry, "idTag": "MINE", "reservationId": 5}
    assert await central.call("ReserveNow", **reserve) == {"status": "Accepted"}
    await central.wait_for_status("Reserved")
    assert not (await station.present_card(1, "OTHER")).accepted
    await charge(station, "mine")
    assert (await central.wait_for("StartTransaction")).payload["reservationId"] == 5
    assert await central.call("CancelReservation", reservationId=5) == {"status": "Rejected"}
    assert await central.call("ReserveNow", **reserve) == {"status": "Occupied"}


async def test_a_reservation_expires_or_is_cancelled(central: CentralSystem, station: Station) -> None:
    soon = (datetime.now(UTC) + timedelta(milliseconds=200)).isoformat()
    await central.call("ReserveNow", connectorId=1, expiryDate=soon, idTag="A", reservationId=1)
    await central.call("ReserveNow", connectorId=2, expiryDate="2099-01-01T00:00:00Z", idTag="A", reservationId=2)
    await central.wait_for_status("Reserved", connector_id=2)
    assert await central.call("CancelReservation", reservationId=2) == {"status": "Accepted"}
    await central.wait_for_status("Available", connector_id=2)
    await central.wait_for_status("Available", "Reserved", "Available", connector_id=1)


async def test_a_transaction_profile_limits_the_car_and_ends_with_the_transaction(
    central: CentralSystem, station: Station
) -> None:
    early = await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=limits((0, 4000.0)))
    assert early == {"status": "Rejected"}
    await charge(station)
    profile = limits((0, 4000.0), (3600, 0.0), transactionId=101)
    assert (await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=profile))["status"] == "Accepted"
    composite = await central.call("GetCompositeSchedule", connectorId=1, duration=60)
    assert composite["chargingSchedule"]["chargingSchedulePeriod"][0] == {"startPeriod": 0, "limit": 4000.0}
    await station.wait_until(lambda: station.connector(1).power_w == 4000, 60)
    energy_wh = station.connector(1).energy_wh
    await station.wait_for_status(1, "SuspendedEVSE")
    assert station.connector(1).energy_wh <= energy_wh + 4000
    station.unplug(1)
    assert await central.call("ClearChargingProfile", id=1) == {"status": "Unknown"}


async def test_a_remote_start_brings_its_profile(central: CentralSystem, station: Station) -> None:
    station.plug_in(1, Car())
    wrong = limits((0, 1000.0), chargingProfilePurpose="TxDefaultProfile")
    assert (await central.call("RemoteStartTransaction", idTag="A", chargingProfile=wrong))["status"] == "Rejected"
    await central.call("RemoteStartTransaction", idTag="A", connectorId=1, chargingProfile=limits((0, 2000.0)))
    await station.wait_for_status(1, "Charging")
    await station.wait_until(lambda: station.connector(1).power_w == 2000, 60)
    assert await central.call("ClearChargingProfile") == {"status": "Accepted"}
    await station.wait_until(lambda: station.connector(1).power_w > 2000, 60)


async def test_the_local_list_is_kept_and_used(central: CentralSystem, station: Station) -> None:
    assert await central.call("GetLocalListVersion") == {"listVersion": 0}
    cards = [{"idTag": "LISTED", "idTagInfo": {"status": "Accepted"}}]
    sent = await central.call("SendLocalList", listVersion=3, updateType="Full", localAuthorizationList=cards)
    assert sent == {"status": "Accepted"}
    assert await central.call("GetLocalListVersion") == {"listVersion": 3}
    for key in ("LocalAuthListEnabled", "LocalPreAuthorize"):
        station.configuration.change(key, "true")
    assert (await station.present_card(1, "listed")).source == "local list"
    assert not central.of("Authorize")


async def test_the_cache_is_cleared_where_there_is_one(central: CentralSystem, station: Station) -> None:
    assert await central.call("ClearCache") == {"status": "Rejected"}
    station.configuration.change("AuthorizationCacheEnabled", "true")
    assert await central.call("ClearCache") == {"status": "Accepted"}


async def test_unknown_vendors_and_actions_are_answered(central: CentralSystem, station: Station) -> None:
    assert await central.call("DataTransfer", vendorId="com.example") == {"status": "UnknownVendorId"}
    assert (await central.frame("Authorize", {}))[2] == "NotImplemented"
    assert (await central.frame("MakeCoffee", {}))[2] == "NotSupported"
    assert (await central.frame("Reset", {"type": "Gently"}))[2] == "FormationViolation"
    assert (await central.frame("Reset", {}))[2] == "ProtocolError"
    assert station.is_online


@pytest.mark.parametrize("text", ["", "{", "[]", "[2]", '[2,"1",["no","string"],{}]', '[9,"1"]', '[3,"never",{}]', "7"])
async def test_frames_that_cannot_be_read_do_not_end_the_loop(
    central: CentralSystem, station: Station, text: str
) -> None:
    await central.send_text(text)
    assert await central.call("GetLocalListVersion") == {"listVersion": 0}
    assert central.opened == 1
    assert station.is_online
