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
        await one.wait_online(60)
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
        await station.wait_online(60)
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
        await station.wait_online(60)
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
        await station.wait_online(60)

        async def send(message_id: str, data: str) -> str:
            return str((await central.call("DataTransfer", vendorId=COSTS, messageId=message_id, data=data))["status"])

        assert await send("SetUserPrice", json.dumps({"idToken": "A", "priceText": "0.45 per kWh"})) == "Accepted"
        assert station.vendors.display == "0.45 per kWh"
        running = {
            "transactionId": 1,
            "timestamp": "2026-03-01T12:00:00Z",
            "meterValue": 1234000,
            "cost": 3.31,
            "state": "Charging",
            "chargingPrice": {"kWhPrice": 0.123},
        }
        assert await send("RunningCost", json.dumps(running)) == "Accepted"
        assert station.vendors.display == "3.31"
        for wrong in ({"state": "Full"}, {"cost": "3.31"}, {"price": 1}, {"triggerMeterValue": {"atEnergyWh": 1}}):
            assert await send("RunningCost", json.dumps(running | wrong)) == "Rejected"
        for missing in running:
            rest = {name: value for name, value in running.items() if name != missing}
            assert await send("RunningCost", json.dumps(rest)) == "Rejected"
        assert station.vendors.display == "3.31"
        final = {"transactionId": 1, "cost": 4, "priceText": "4.00", "qrCodeText": "https://example.org/1"}
        extra = [{"format": "UTF8", "language": "de", "content": "4,00"}]
        assert await send("FinalCost", json.dumps(final | {"priceTextExtra": extra})) == "Accepted"
        assert station.vendors.display == "4.00"
        assert await send("FinalCost", "{") == "Rejected"
        assert await send("Dance", "{}") == "UnknownMessageId"


async def test_a_station_with_a_display_has_the_keys_of_prices_and_clocks(central: CentralSystem, make: Make) -> None:
    async def change(key: str, value: str) -> str:
        return str((await central.call("ChangeConfiguration", key=key, value=value))["status"])

    price = json.dumps({"priceText": "0.15/kWh", "priceTextOffline": "offline", "chargingPrice": {"kWhPrice": 0.15}})
    text = json.dumps({"priceText": "0,15/kWh", "priceTextOffline": "offline"})
    async with make() as plain:
        await plain.wait_online(60)
        assert await change("DefaultPrice", price) == "NotSupported"
        assert await change("DefaultPriceText,de", text) == "NotSupported"
        assert "DefaultPrice" not in {one.key for one in plain.configuration.report(None)[0]}
    built = {
        "CustomDisplayCostAndPrice": "true",
        "CustomMultiLanguageMessages": "true",
        "SupportedLanguages": "en,de-DE",
    }
    async with make(configuration=built) as station:
        await station.wait_online(60)
        for key, good, bad in (
            ("DefaultPrice", price, '{"priceTextOffline":"x"}'),
            ("DefaultPriceText,de-DE", text, price),
            ("TimeOffset", "-05:30", "UTC+2"),
            ("TimeOffsetNextTransition", "+03:00", "3"),
            ("NextTimeOffsetTransitionDateTime", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00"),
            ("CustomIdleFeeAfterStop", "true", "yes"),
        ):
            assert await change(key, bad) == "Rejected"
            assert await change(key, good) == "Accepted"
            assert station.configuration[key] == good
        assert await change("DefaultPriceText,de", text) == "Rejected"  # it lists de-DE
        reported = await central.call("GetConfiguration")
        assert "DefaultPriceText,de-DE" not in {one["key"] for one in reported["configurationKey"]}
        named = await central.call("GetConfiguration", key=["DefaultPriceText,de-DE", "DefaultPriceText,fr"])
        assert [one["value"] for one in named["configurationKey"]] == [text]
        assert named["unknownKey"] == ["DefaultPriceText,fr"]
        assert station.configuration.stored()["DefaultPriceText,de-de"] == text


async def test_a_station_sends_data_of_its_own(central: CentralSystem, station: Station) -> None:
    central.answers["DataTransfer"] = lambda _call: {"status": "UnknownMessageId"}
    assert await station.send_data("com.example", "m", "d") == "UnknownMessageId"
    assert central.of("DataTransfer")[0].payload == {"vendorId": "com.example", "messageId": "m", "data": "d"}
