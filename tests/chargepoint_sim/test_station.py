"""A station with people at it: the whole flow, refusals, the ways a transaction ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from chargepoint_sim import Car, Habits, Station, dc
from chargepoint_sim.errors import (
    LinkError,
    NotPossibleError,
    PasswordRefusedError,
    UnknownIdentityError,
    UnreachableError,
)
from chargepoint_sim.events import MeterRead, StatusChanged
from chargepoint_sim.session import Goal, Session
from tests.chargepoint_sim.central_system import CentralSystem, Refuse, running
from tests.chargepoint_sim.conftest import unhurried

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Station]

NEARLY_FULL = Car(battery_wh=20_000, soc=0.95)


async def charge(station: Station, id_tag: str = "CARD", connector_id: int = 1) -> None:
    """Get to Charging by what a person does."""
    await station.wait_online(60)
    station.plug_in(connector_id, Car(soc=0.3))
    await station.present_card(connector_id, id_tag)
    await station.wait_for_status(connector_id, "Charging")


async def test_a_whole_session_says_everything_in_order(central: CentralSystem, make: Make) -> None:
    async with make("A B/1") as station:
        await charge(station)
        await central.wait_for("MeterValues", 3)
        await station.present_card(1, "card")
        await station.wait_delivered()
        station.unplug(1)
        await central.wait_for_status("Available")
    assert central.identity == "A B/1"
    assert central.calls[0].action == "BootNotification"
    assert central.statuses() == ["Available", "Preparing", "Charging", "Finishing", "Available"]
    assert central.statuses(0) == ["Available"]
    talk = [call.action for call in central.calls if call.action not in {"StatusNotification", "MeterValues"}]
    assert talk == ["BootNotification", "Authorize", "StartTransaction", "StopTransaction"]
    start, stop = central.of("StartTransaction")[0].payload, central.of("StopTransaction")[0].payload
    assert start["meterStart"] == 0
    assert stop["transactionId"] == 101
    assert (stop["reason"], stop["idTag"]) == ("Local", "card")
    contexts = [value["sampledValue"][0]["context"] for value in stop["transactionData"]]
    assert contexts == ["Transaction.Begin", "Transaction.End"]
    assert stop["transactionData"][-1]["sampledValue"][0]["value"] == str(stop["meterStop"])


async def test_readings_rise_carry_both_measurands_and_tell_the_unaccelerated_power(
    central: CentralSystem, make: Make
) -> None:
    async with make() as station:
        await charge(station)
        await central.wait_for("MeterValues", 5)
    samples = [call.payload["meterValue"][0]["sampledValue"] for call in central.of("MeterValues")]
    energies = [int(sample[0]["value"]) for sample in samples]
    assert energies == sorted(set(energies))
    assert energies[0] > 0
    assert {sample[1]["measurand"] for sample in samples} == {"Power.Active.Import"}
    assert all(0 < float(sample[1]["value"]) <= 11_000 for sample in samples)
    assert {call.payload["transactionId"] for call in central.of("MeterValues")} == {101}


async def test_the_sample_interval_is_honoured_in_the_time_of_the_car(central: CentralSystem, make: Make) -> None:
    async with make(clock=unhurried(1200), configuration={"MeterValueSampleInterval": "600"}) as station:
        await charge(station)
        await central.wait_for("MeterValues", 2)
    first, second = (int(call.payload["meterValue"][0]["sampledValue"][0]["value"]) for call in central.calls[-2:])
    assert second - first == pytest.approx(11_000 * 600 / 3600, rel=0.15)


async def test_the_register_goes_on_over_transactions_and_a_full_car_suspends(
    central: CentralSystem, make: Make
) -> None:
    async with make(clock=unhurried(6000), connectors=[dc(1)]) as station:
        await station.wait_online(60)
        for _ in range(2):
            station.plug_in(1, NEARLY_FULL)
            await station.present_card(1, "CARD")
            await station.wait_for_status(1, "SuspendedEV")
            await station.present_card(1, "CARD")
            station.unplug(1)
        await station.wait_delivered()
    starts = [call.payload["meterStart"] for call in central.of("StartTransaction")]
    stops = [call.payload["meterStop"] for call in central.of("StopTransaction")]
    assert starts == [0, stops[0]]
    assert stops[0] == pytest.approx(20_000 * 0.05 / 0.94, abs=2)
    assert stops[1] == pytest.approx(2 * stops[0], abs=2)


async def test_a_habit_ends_the_transaction_with_a_full_car(central: CentralSystem, make: Make) -> None:
    async with make(clock=unhurried(6000), habits=Habits(stops_when_full=True)) as station:
        await station.wait_online(60)
        station.plug_in(1, NEARLY_FULL)
        await station.present_card(1, "CARD")
        stop = await central.wait_for("StopTransaction")
    assert stop.payload["reason"] == "Other"


async def test_a_refused_card_does_not_charge(central: CentralSystem, make: Make) -> None:
    central.answers["Authorize"] = lambda _call: {"idTagInfo": {"status": "Blocked"}}
    async with make() as station:
        await station.wait_online(60)
        station.plug_in(1, Car())
        verdict = await station.present_card(1, "POOR")
        assert (verdict.accepted, verdict.info.status) == (False, "Blocked")
        await asyncio.sleep(0.1)
        assert station.connector(1).status == "Preparing"
    assert not central.of("StartTransaction")


async def test_a_refused_start_is_stopped_as_deauthorized(central: CentralSystem, make: Make) -> None:
    central.answers["StartTransaction"] = lambda _call: {"transactionId": 7, "idTagInfo": {"status": "Blocked"}}
    async with make() as station:
        await station.wait_online(60)
        station.plug_in(1, Car())
        await station.present_card(1, "POOR")
        stop = await central.wait_for("StopTransaction")
        await central.wait_for_status("Finishing")
    assert (stop.payload["transactionId"], stop.payload["reason"]) == (7, "DeAuthorized")
    assert stop.payload["meterStop"] == 0
    assert "Charging" not in central.statuses()


async def test_a_refused_start_may_draw_its_allowance_where_it_is_not_stopped(
    central: CentralSystem, make: Make
) -> None:
    central.answers["StartTransaction"] = lambda _call: {"transactionId": 7, "idTagInfo": {"status": "Invalid"}}
    keys = {"StopTransactionOnInvalidId": "false", "MaxEnergyOnInvalidId": "500"}
    async with make(configuration=keys) as station:
        await station.wait_online(60)
        station.plug_in(1, Car())
        await station.present_card(1, "POOR")
        await station.wait_for_status(1, "SuspendedEVSE")
        assert station.connector(1).energy_wh == pytest.approx(500, abs=1)
    assert not central.of("StopTransaction")


async def test_pulling_the_cable_ends_with_ev_disconnected(central: CentralSystem, make: Make) -> None:
    async with make() as station:
        await charge(station)
        station.unplug(1)
        stop = await central.wait_for("StopTransaction")
        await central.wait_for_status("Available")
    assert stop.payload["reason"] == "EVDisconnected"
    assert "idTag" not in stop.payload
    assert central.statuses()[-4:] == ["Charging", "SuspendedEV", "Finishing", "Available"]


async def test_pulling_the_cable_only_suspends_where_it_is_configured_so(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"StopTransactionOnEVSideDisconnect": "false"}) as station:
        await charge(station)
        station.unplug(1)
        await central.wait_for_status("SuspendedEV")
        station.plug_in(1, Car())
        await central.wait_for_status("Charging")
    assert not central.of("StopTransaction")


async def test_only_a_card_of_the_same_parent_may_stop_for_another(central: CentralSystem, make: Make) -> None:
    parents = {"WIFE": "FAMILY", "HUSBAND": "FAMILY", "STRANGER": "OTHER"}

    def info(id_tag: str) -> dict[str, object]:
        return {"status": "Accepted", "parentIdTag": parents[id_tag]}

    central.answers["Authorize"] = lambda call: {"idTagInfo": info(call.payload["idTag"])}
    central.answers["StartTransaction"] = lambda call: {"transactionId": 1, "idTagInfo": info(call.payload["idTag"])}
    async with make() as station:
        await charge(station, "HUSBAND")
        assert not (await station.present_card(1, "STRANGER")).accepted
        assert station.connector(1).id_tag == "HUSBAND"
        assert (await station.present_card(1, "WIFE")).accepted
        stop = await central.wait_for("StopTransaction")
    assert stop.payload["idTag"] == "WIFE"


async def test_a_card_first_waits_for_the_cable_and_is_forgotten_in_time(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"ConnectionTimeOut": "0"}) as station:
        await station.wait_online(60)
        await station.present_card(1, "CARD")
        await central.wait_for("StatusNotification", 5)
        assert central.statuses() == ["Available", "Preparing", "Available"]
        station.configuration.put("ConnectionTimeOut", "60")
        await station.present_card(1, "CARD")
        station.plug_in(1, Car())
        await station.wait_for_status(1, "Charging")
    assert len(central.of("StartTransaction")) == 1


async def test_what_cannot_be_done_is_said_in_a_sentence(make: Make) -> None:
    async with make() as station:
        with pytest.raises(NotPossibleError, match="no cable is plugged"):
            station.unplug(1)
        with pytest.raises(NotPossibleError, match="no connector 9"):
            station.plug_in(9, Car())
        station.plug_in(1, Car())
        with pytest.raises(NotPossibleError, match="already plugged"):
            station.plug_in(1, Car())
        with pytest.raises(NotPossibleError, match="no error code"):
            station.fault(1, "Hiccup")


async def test_a_fault_ends_the_transaction_and_is_told(central: CentralSystem, make: Make) -> None:
    async with make() as station:
        await charge(station)
        station.fault(1, "GroundFailure")
        await central.wait_for_status("Faulted")
        stop = await central.wait_for("StopTransaction")
        assert central.of("StatusNotification")[-1].payload["errorCode"] == "GroundFailure"
        station.fault(1, "NoError")
        await central.wait_for_status("Finishing")
    assert stop.payload["reason"] == "Other"


async def test_events_tell_the_story_to_several_readers(make: Make) -> None:
    station = make()
    readers = [station.events(), station.events()]
    async with station:
        await charge(station)
        await station.wait_until(lambda: station.connector(1).energy_wh > 1_000, 60)
        station.unplug(1)
    for reader in readers:
        events = [record.event async for record in reader]
        shown = [event.status for event in events if isinstance(event, StatusChanged)]
        assert shown == ["Preparing", "Charging", "SuspendedEV", "Finishing", "Available"]
        assert any(isinstance(event, MeterRead) for event in events)
        assert all(str(event) for event in events)


async def test_a_pending_boot_is_repeated_by_the_interval_until_it_is_accepted(
    central: CentralSystem, make: Make
) -> None:
    central.boots, central.interval_s = ["Rejected", "Pending"], 0
    async with make() as station:
        await station.wait_online(60)
    assert len(central.of("BootNotification")) == 3
    assert [call.action for call in central.calls[:3]] == ["BootNotification"] * 3


async def test_heartbeats_follow_the_interval_of_the_boot(central: CentralSystem, make: Make) -> None:
    central.interval_s = 1
    async with make() as station:
        await station.wait_online(60)
        await central.wait_for("Heartbeat")
        assert station.configuration.number("HeartbeatInterval") == 1


async def test_clock_aligned_readings_come_for_idle_and_busy_connectors(central: CentralSystem, make: Make) -> None:
    keys = {"ClockAlignedDataInterval": "1", "MeterValueSampleInterval": "0"}
    async with make(configuration=keys) as station:
        await charge(station)
        await central.wait_for("MeterValues", 2)
    found = {call.payload["connectorId"]: call.payload for call in central.of("MeterValues")}
    assert found[1]["transactionId"] == 101
    assert "transactionId" not in found[2]
    assert found[2]["meterValue"][0]["sampledValue"][0]["context"] == "Sample.Clock"


@pytest.mark.parametrize("as_text", [False, True])
async def test_the_password_is_the_bytes_of_the_key_or_its_hex_text(
    central: CentralSystem, make: Make, *, as_text: bool
) -> None:
    key = "00ff80" * 6
    central.password = key.encode() if as_text else bytes.fromhex(key)
    async with make(key=key, habits=Habits(hex_text_key=as_text), give_up=True) as station:
        await station.wait_online(60)
    async with make(key=key, habits=Habits(hex_text_key=not as_text), give_up=True) as station:
        with pytest.raises(PasswordRefusedError, match="refused the password of SIM-1"):
            await station.wait_online(60)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(404, UnknownIdentityError, "does not know SIM-1"), (503, UnreachableError, "HTTP 503")],
)
async def test_a_refused_connection_is_explained(
    central: CentralSystem, make: Make, status: int, kind: type[LinkError], words: str
) -> None:
    central.refuse_with = status  # type: ignore[assignment]
    async with make(give_up=True) as station:
        with pytest.raises(kind, match=words):
            await station.wait_online(60)


@pytest.mark.parametrize(
    ("offered", "words"),
    [(None, "without the subprotocol ocpp1.6"), (["ocpp2.0.1"], "HTTP 400, perhaps because it does not speak ocpp1.6")],
)
async def test_a_peer_without_ocpp16_is_refused(offered: list[str] | None, words: str) -> None:
    async with running(CentralSystem(), subprotocols=offered) as peer, Station("CP", peer.url, give_up=True) as station:
        with pytest.raises(LinkError, match=words):
            await station.wait_online(60)


async def test_a_station_that_may_not_give_up_tries_until_it_is_let_in(central: CentralSystem, make: Make) -> None:
    central.refuse_with = 503  # type: ignore[assignment]
    async with make() as station:
        with pytest.raises(TimeoutError, match="SIM-1: not accepted"):
            await station.wait_online(0.15)
        central.refuse_with = None
        await station.wait_online(60)


async def test_a_bug_in_a_station_ends_every_wait(central: CentralSystem, make: Make) -> None:
    def broken() -> None:
        message = "a bug"
        raise RuntimeError(message)

    async def live() -> None:
        async with make() as station:
            await station.wait_online(60)
            station.transactions.went_offline = broken  # type: ignore[method-assign]
            await central.close()
            await station.wait_for_status(1, "Charging")

    with pytest.raises(RuntimeError, match="a bug"):
        await live()
    assert central.opened == 1


async def test_an_authorize_that_fails_is_decided_as_if_offline(central: CentralSystem, make: Make) -> None:
    def refuse(_call: object) -> dict[str, object]:
        raise Refuse

    central.answers["Authorize"] = refuse
    async with make(configuration={"AllowOfflineTxForUnknownId": "true"}) as station:
        await station.wait_online(60)
        verdict = await station.present_card(1, "CARD")
        assert (verdict.accepted, verdict.source) == (True, "offline rule")


async def test_a_session_ended_by_the_central_system_is_a_success_with_its_reason(
    central: CentralSystem, make: Make
) -> None:
    async with make() as station:
        session = asyncio.create_task(Session(station, 1, "CARD", Car(), Goal(energy_wh=50_000)).run(60))
        await central.wait_for("MeterValues")
        await central.call("RemoteStopTransaction", transactionId=101)
        summary = await session
    assert (summary.ok, summary.reason, summary.transaction_id) == (True, "Remote", 101)
    assert 0 < summary.energy_wh < 50_000
    assert central.statuses()[-1] == "Available"


async def test_a_session_by_time_counts_the_minutes_of_the_car(central: CentralSystem, make: Make) -> None:
    async with make(clock=unhurried(240)) as station:
        summary = await Session(station, 1, "CARD", Car(), Goal(minutes=10)).run(60)
    assert summary.ok
    assert summary.energy_wh == pytest.approx(11_000 / 6, rel=0.2)
    assert len(central.of("StopTransaction")) == 1
