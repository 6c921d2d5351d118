"""What real charge points were seen to do: each habit, as a central system meets it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car, Clock, Given, Habits
from chargepoint_sim.clock import read
from chargepoint_sim.errors import LinkError
from chargepoint_sim.events import MessageDropped
from chargepoint_sim.frames import looseness, with_blanks
from chargepoint_sim.habits import EXPLANATIONS, NAMES
from chargepoint_sim.meter import ENERGY
from tests.chargepoint_sim.central_system import CentralSystem, Drop, Silence, running
from tests.chargepoint_sim.conftest import QUICK
from tests.chargepoint_sim.test_offline import FREE_OFFLINE, once
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import Callable

    from chargepoint_sim import Station

    Make = Callable[..., Station]


def test_each_habit_has_its_sentence() -> None:
    assert set(EXPLANATIONS) == set(NAMES)
    assert all(text.endswith(".") for text in EXPLANATIONS.values())


async def test_a_message_whose_answer_was_lost_may_never_come_again(central: CentralSystem, make: Make) -> None:
    once(central, "StartTransaction", Drop)
    async with make(habits=Habits(never_repeats=True)) as station:
        reader = station.events()
        await charge(station)
        await station.wait_until(lambda: central.opened == 2 and station.is_online, 60)
        station.unplug(1)
        await station.wait_delivered()
    assert len(central.of("StartTransaction")) == 1
    assert central.of("StopTransaction")[0].payload["transactionId"] == -1
    dropped = [record.event.action async for record in reader if isinstance(record.event, MessageDropped)]
    assert dropped[0] == "StartTransaction"


async def test_message_ids_may_be_small_integers_that_begin_anew(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(small_ids=True)) as station:
        await station.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        await central.close()
        await station.wait_until(lambda: central.opened == 2 and station.is_online, 60)
        await central.call("TriggerMessage", requestedMessage="Heartbeat")
        await central.wait_for("Heartbeat")
    assert [call.message_id for call in central.calls] == ["1", "2", "3", "4", "1"]


async def test_several_calls_may_be_in_flight(central: CentralSystem, make: Make) -> None:
    def quiet(_call: object) -> dict[str, Any]:
        raise Silence

    async with make(habits=Habits(several_in_flight=True)) as station:
        await station.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        central.answers["Heartbeat"] = quiet
        await central.call("TriggerMessage", requestedMessage="Heartbeat")
        await central.wait_for("Heartbeat")
        # The Heartbeat is never answered; a station with one call at a time would wait for that first.
        assert await station.send_data("com.example") == "Accepted"


async def test_frames_may_have_blanks_after_their_commas(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(blanks=True)) as station:
        await station.wait_online(60)
        await station.send_data("com.example", "a,b", "c")
        assert await central.call("GetLocalListVersion") == {"listVersion": 0}
    data = next(text for text in central.texts if "DataTransfer" in text)
    assert '", "DataTransfer", {"vendorId": "com.example", "messageId": "a,b", "data": "c"}]' in data
    assert '{"listVersion": 0}]' in central.texts[-1]
    assert with_blanks('[2,"1","A",{"x":1}]') == '[2, "1", "A", {"x": 1}]'


async def test_statuses_may_overtake_what_was_queued(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(statuses_overtake=True), configuration=FREE_OFFLINE) as station:
        await station.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        station.plug_in(1, Car())
        await station.present_card(1, "CARD")
        await station.wait_for_status(1, "Charging")
        station.restore_link()
        await central.wait_for("StartTransaction")
    told = [call.payload.get("status", call.action) for call in central.calls]
    assert told.index("Charging") < told.index("StartTransaction")


async def test_values_and_stops_may_come_after_the_stop(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(late_values=True, stops_twice=True)) as station:
        await charge(station)
        station.unplug(1)
        await central.wait_for("StopTransaction", 2)
        await station.wait_delivered()
    talk = [call for call in central.calls if call.action in {"MeterValues", "StopTransaction"}]
    assert [call.action for call in talk[-3:]] == ["StopTransaction", "MeterValues", "StopTransaction"]
    assert {call.payload["transactionId"] for call in talk[-3:]} == {101}
    assert talk[-1].payload == talk[-3].payload
    assert talk[-2].payload["connectorId"] == 1


async def test_values_may_have_decimals_and_come_for_the_whole_station(central: CentralSystem, make: Make) -> None:
    keys = {"ClockAlignedDataInterval": "1", "MeterValueSampleInterval": "0"}
    async with make(habits=Habits(decimal_values=True, values_for_zero=True), configuration=keys) as station:
        await station.wait_online(60)
        await central.wait_for("MeterValues", 3)
    assert [call.payload["connectorId"] for call in central.of("MeterValues")[:3]] == [0, 1, 2]
    sample = central.of("MeterValues")[0].payload["meterValue"][0]["sampledValue"][0]
    assert sample["value"] == "0.000"


async def test_values_may_be_stamped_with_the_beginning_of_their_interval(central: CentralSystem, make: Make) -> None:
    keys = {"ClockAlignedDataInterval": "1", "MeterValueSampleInterval": "0", "StopTxnAlignedData": ENERGY}
    async with make(habits=Habits(values_begin_interval=True), configuration=keys) as station:
        began = station.clock.now()
        await charge(station)
        reading = await central.wait_for("MeterValues")
        came = station.clock.now()
        station.unplug(1)
        stop = await central.wait_for("StopTransaction")
    stamps = [reading.payload["meterValue"][0]["timestamp"], stop.payload["transactionData"][1]["timestamp"]]
    assert all(began - timedelta(seconds=1.1) < read(stamp) < came - timedelta(seconds=0.9) for stamp in stamps)


async def test_statuses_need_not_wait_for_each_other(central: CentralSystem, make: Make) -> None:
    def quiet(_call: object) -> dict[str, Any]:
        raise Silence

    central.answers["StatusNotification"] = quiet
    async with make(habits=Habits(several_in_flight=True)) as station:
        await station.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        assert station.delivery._statuses._unfinished_tasks == 3  # type: ignore[attr-defined]


async def test_a_station_without_a_clock_begins_in_1970(central: CentralSystem, make: Make) -> None:
    clock = Clock(speed=1200)
    async with make(habits=Habits(clock_1970=True), clock=clock) as station:
        await station.wait_online(60)
        first = await central.wait_for("StatusNotification")
        assert first.payload["timestamp"].startswith("1970-01-01T00:0")
        await central.call("TriggerMessage", requestedMessage="Heartbeat")
        await central.wait_for("Heartbeat")
        await station.send_data("com.example")  # answered only after the Heartbeat
        assert datetime.now(UTC) - clock.now() < timedelta(seconds=5)


async def test_a_transaction_may_go_on_over_a_reboot_with_its_register_at_zero(
    central: CentralSystem, make: Make
) -> None:
    async with make(habits=Habits(keeps_transactions=True)) as station:
        await charge(station)
        await station.wait_until(lambda: station.connector(1).register_wh > 1_000, 60)
        await central.call("Reset", type="Hard")
        await central.wait_for("BootNotification", 2)
        await station.wait_online(60)
        assert station.connector(1).transaction_id == 101
        count = len(central.of("MeterValues"))
        after = await central.wait_for("MeterValues", count + 1)
        station.unplug(1)
        await station.wait_delivered()
    assert after.payload["transactionId"] == 101
    assert len(central.of("StartTransaction")) == len(central.of("StopTransaction")) == 1
    values = [int(call.payload["meterValue"][0]["sampledValue"][0]["value"]) for call in central.of("MeterValues")]
    assert values != sorted(values)


async def test_a_transaction_may_end_after_the_boot_with_the_reason_reboot(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(stops_with_reboot=True)) as station:
        await charge(station)
        await central.call("Reset", type="Soft")
        stop = await central.wait_for("StopTransaction")
    assert stop.payload["reason"] == "Reboot"
    assert "idTag" not in stop.payload
    order = [call.action for call in central.calls if call.action in {"BootNotification", "StopTransaction"}]
    assert order == ["BootNotification", "BootNotification", "StopTransaction"]


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
async def test_a_station_may_reboot_before_its_answer_leaves(central: CentralSystem, make: Make, kind: str) -> None:
    async with make(habits=Habits(boots_before_answer=True)) as station:
        await station.wait_online(60)
        asked = asyncio.create_task(central.call("Reset", type=kind))
        await central.wait_for("BootNotification", 2)
        await station.wait_online(60)
        assert not asked.done()
        asked.cancel()


async def test_a_remote_stop_may_be_refused_some_times_and_then_take_a_while(
    central: CentralSystem, make: Make
) -> None:
    async with make(habits=Habits(stops_refused=2), timing=replace(QUICK, stop_s=0.2)) as station:
        await charge(station)
        for status in ("Rejected", "Rejected", "Accepted"):
            assert not central.of("StopTransaction")
            assert await central.call("RemoteStopTransaction", transactionId=101) == {"status": status}
        told_s = time.monotonic()
        await central.wait_for("StopTransaction")
        assert time.monotonic() - told_s > 0.15


async def test_a_call_error_may_come_where_a_status_was_expected(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(call_errors=frozenset({"ReserveNow", "UnlockConnector:2"}))) as station:
        await station.wait_online(60)
        asked = {"connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "A", "reservationId": 1}
        assert (await central.frame("ReserveNow", asked))[2] == "NotSupported"
        assert (await central.frame("UnlockConnector", {"connectorId": 2}))[2] == "NotSupported"
        assert await central.call("UnlockConnector", connectorId=1) == {"status": "Unlocked"}


@pytest.mark.parametrize(
    ("habits", "periods"),
    [
        (Habits(composite_minus_one=True), [{"startPeriod": 0, "limit": -1.0}]),
        (Habits(composite_empty=True), []),
    ],
)
async def test_a_composite_schedule_may_say_nothing(
    central: CentralSystem, make: Make, habits: Habits, periods: list[object]
) -> None:
    async with make(habits=habits) as station:
        await station.wait_online(60)
        answer = await central.call("GetCompositeSchedule", connectorId=1, duration=60)
    assert answer["chargingSchedule"]["chargingSchedulePeriod"] == periods


async def test_a_strict_station_refuses_loose_dates_and_locations(central: CentralSystem, make: Make) -> None:
    loose = {"currentTime": "2025-03-01T12:00:00+00:00", "interval": 300, "status": "Accepted"}
    boots = iter([loose, loose | {"currentTime": "2025-03-01T12:00:00Z"}])
    central.answers["BootNotification"] = lambda _call: next(boots)
    async with make(habits=Habits(strict=True)) as station:
        await station.wait_online(60)
        asked = {"location": "http://127.0.0.1/", "retrieveDate": "2025-03-01T12:00:00"}
        assert (await central.frame("UpdateFirmware", asked))[2] == "FormationViolation"
        assert (await central.frame("GetDiagnostics", {"location": "in/here"}))[2] == "FormationViolation"
    assert len(central.of("BootNotification")) == 2
    assert looseness([{"log": {"remoteLocation": "here"}}]) == "remoteLocation is no URL: here"
    assert looseness({"expiryDate": "2025-03-01T12:00:00Z", "x": [1, "2"]}) is None


@pytest.mark.parametrize(
    ("offered", "known", "works"),
    [
        (("ocpp0.1", "ocpp1.6"), ["ocpp1.6"], True),
        (("ocpp0.1",), ["ocpp1.6"], False),
        (("ocpp0.1",), ["ocpp0.1"], False),
    ],
)
async def test_a_station_offers_the_subprotocols_it_is_told_to(
    make: Make, offered: tuple[str, ...], known: list[Any], *, works: bool
) -> None:
    async with running(CentralSystem(), subprotocols=known) as peer:
        station = make(url=peer.url, given=Given(subprotocols=offered), give_up=True)
        async with station:
            if works:
                await station.wait_online(60)
            else:
                with pytest.raises(LinkError, match=r"ocpp1\.6|ocpp0\.1"):
                    await station.wait_online(60)
