"""Every message that can be triggered, and data of vendors both ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from chargepoint_sim import Nameplate
from chargepoint_sim.vendors import COSTS, VendorAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import CentralSystem

    Make = Callable[..., Station]


@pytest.fixture
async def station(central: CentralSystem, make: Make) -> AsyncIterator[Station]:
    async with make() as one:
        await one.wait_online(5)
        await central.wait_for("StatusNotification", 3)
        yield one


@pytest.mark.parametrize(
    ("asked", "sent", "payload"),
    [
        ("Heartbeat", "Heartbeat", {}),
        ("DiagnosticsStatusNotification", "DiagnosticsStatusNotification", {"status": "Idle"}),
        ("FirmwareStatusNotification", "FirmwareStatusNotification", {"status": "Idle"}),
    ],
)
async def test_trigger_message_brings_what_it_names(
    central: CentralSystem, station: Station, asked: str, sent: str, payload: dict[str, str]
) -> None:
    assert station.is_online
    assert await central.call("TriggerMessage", requestedMessage=asked) == {"status": "Accepted"}
    assert (await central.wait_for(sent)).payload == payload


@pytest.mark.parametrize(
    ("asked", "sent", "payload"),
    [
        ("Heartbeat", "Heartbeat", {}),
        ("LogStatusNotification", "LogStatusNotification", {"status": "Idle"}),
        ("FirmwareStatusNotification", "SignedFirmwareStatusNotification", {"status": "Idle"}),
    ],
)
async def test_extended_trigger_message_brings_the_notifications_with_a_request_id(
    central: CentralSystem, station: Station, asked: str, sent: str, payload: dict[str, str]
) -> None:
    assert station.is_online
    assert await central.call("ExtendedTriggerMessage", requestedMessage=asked) == {"status": "Accepted"}
    assert (await central.wait_for(sent)).payload == payload


@pytest.mark.parametrize("action", ["TriggerMessage", "ExtendedTriggerMessage"])
async def test_boots_statuses_and_readings_are_triggered_for_all_or_one_connector(
    central: CentralSystem, make: Make, action: str
) -> None:
    async with make(configuration={"MinimumStatusDuration": "30"}) as station:
        await station.wait_online(5)
        await central.wait_for("StatusNotification", 3)
        await central.call(action, requestedMessage="BootNotification")
        await central.wait_for("BootNotification", 2)
        await central.call(action, requestedMessage="StatusNotification")
        await central.wait_for("StatusNotification", 6)
        await central.call(action, requestedMessage="StatusNotification", connectorId=2)
        assert (await central.wait_for("StatusNotification", 7)).payload["connectorId"] == 2
        await central.call(action, requestedMessage="MeterValues")
        await central.wait_for("MeterValues", 2)
        assert [call.payload["connectorId"] for call in central.of("MeterValues")] == [1, 2]
        assert await central.call(action, requestedMessage="MeterValues", connectorId=3) == {"status": "Rejected"}


async def test_a_boot_says_what_stands_on_the_nameplate(central: CentralSystem, make: Make) -> None:
    plate = Nameplate("Maker" * 9, "Model", "S/N 1", "7.1", "Meter", "M-1", "89", "26")
    async with make(nameplate=plate) as station:
        await station.wait_online(5)
    assert central.of("BootNotification")[0].payload == {
        "chargePointVendor": "MakerMakerMakerMaker",
        "chargePointModel": "Model",
        "chargePointSerialNumber": "S/N 1",
        "firmwareVersion": "7.1",
        "meterType": "Meter",
        "meterSerialNumber": "M-1",
        "iccid": "89",
        "imsi": "26",
    }


async def test_data_of_registered_vendors_is_answered_by_them(central: CentralSystem, station: Station) -> None:
    station.vendors.register("com.example")
    station.vendors.register("com.echo", lambda message: VendorAnswer("Accepted", message.data))
    assert await central.call("DataTransfer", vendorId="com.other") == {"status": "UnknownVendorId"}
    assert await central.call("DataTransfer", vendorId="com.example") == {"status": "Accepted"}
    echoed = await central.call("DataTransfer", vendorId="com.echo", messageId="m", data="d")
    assert echoed == {"status": "Accepted", "data": "d"}
    assert [(one.vendor_id, one.message_id, one.data) for one in station.vendors.taken][-1] == ("com.echo", "m", "d")
    assert (await central.call("DataTransfer", vendorId=COSTS, messageId="SetUserPrice"))["status"] == "UnknownVendorId"


async def test_a_station_with_a_display_shows_prices_and_costs(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"CustomDisplayCostAndPrice": "true"}) as station:
        await station.wait_online(5)

        async def send(message_id: str, data: str) -> str:
            return str((await central.call("DataTransfer", vendorId=COSTS, messageId=message_id, data=data))["status"])

        assert await send("SetUserPrice", json.dumps({"idToken": "A", "priceText": "0.45 per kWh"})) == "Accepted"
        assert station.vendors.display == "0.45 per kWh"
        assert await send("RunningCost", json.dumps({"transactionId": 1, "cost": 3.31})) == "Accepted"
        assert station.vendors.display == "3.31"
        assert await send("FinalCost", "{") == "Rejected"
        assert await send("Dance", "{}") == "UnknownMessageId"


async def test_a_station_sends_data_of_its_own(central: CentralSystem, station: Station) -> None:
    central.answers["DataTransfer"] = lambda _call: {"status": "UnknownMessageId"}
    assert await station.send_data("com.example", "m", "d") == "UnknownMessageId"
    assert central.of("DataTransfer")[0].payload == {"vendorId": "com.example", "messageId": "m", "data": "d"}
