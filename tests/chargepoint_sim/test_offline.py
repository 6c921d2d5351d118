"""Without a link: what waits, in which order it is told, what is repeated or given up, what outlives a restart."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from chargepoint_sim import Car, Habits
from chargepoint_sim.errors import UsageError
from chargepoint_sim.events import MessageDropped
from tests.chargepoint_sim.central_system import Drop, Refuse, Silence
from tests.chargepoint_sim.conftest import IMPATIENT
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import Call, CentralSystem

    Make = Callable[..., Station]

TRANSACTIONAL = ("StartTransaction", "MeterValues", "StopTransaction")
FREE_OFFLINE = {"AllowOfflineTxForUnknownId": "true"}


def once(central: CentralSystem, action: str, error: type[Exception]) -> None:
    """Let the first call of an action fail, and the later ones be answered as usual."""
    usual = central.answers.get(action, lambda _call: {})

    def answer(_call: Call) -> dict[str, object]:
        central.answers[action] = usual
        raise error

    central.answers[action] = answer


def always(central: CentralSystem, action: str, error: type[Exception]) -> None:
    """Let every call of an action fail."""

    def answer(_call: Call) -> dict[str, object]:
        raise error

    central.answers[action] = answer


async def test_a_transaction_without_a_link_is_told_later_in_order_and_with_its_own_times(
    central: CentralSystem, make: Make
) -> None:
    async with make(configuration=FREE_OFFLINE) as station:
        await station.wait_online(60)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        station.plug_in(1, Car())
        assert (await station.present_card(1, "CARD")).source == "offline rule"
        await station.wait_until(lambda: len(station.outbox) >= 4, 60)
        await station.present_card(1, "CARD")
        assert not central.of(*TRANSACTIONAL)
        waiting = len(station.outbox)
        station.restore_link()
        await station.wait_delivered()
        await central.wait_for("StopTransaction")
    told = central.of(*TRANSACTIONAL)
    assert [call.action for call in told] == ["StartTransaction", *["MeterValues"] * (waiting - 2), "StopTransaction"]
    assert {call.payload["transactionId"] for call in told[1:]} == {101}
    times = [told[0].payload["timestamp"], *(call.payload["meterValue"][0]["timestamp"] for call in told[1:-1])]
    assert times == sorted(times)
    assert told[-1].payload["timestamp"] >= times[-1]
    assert len(central.of("BootNotification")) == 1


async def test_statuses_are_not_queued_but_the_current_one_is_told_after_a_reconnect(
    central: CentralSystem, make: Make
) -> None:
    async with make() as station:
        await station.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        station.plug_in(1, Car())
        station.unplug(1)
        station.plug_in(2, Car())
        station.restore_link()
        await central.wait_for_status("Preparing", connector_id=2)
    assert central.statuses(1) == ["Available"]
    assert central.statuses(2) == ["Available", "Preparing"]


@pytest.mark.parametrize("action", TRANSACTIONAL)
@pytest.mark.parametrize("new_ids", [False, True])
async def test_a_message_whose_answer_was_lost_is_repeated_word_for_word(
    central: CentralSystem, make: Make, action: str, *, new_ids: bool
) -> None:
    once(central, action, Drop)
    async with make(habits=Habits(new_ids=new_ids)) as station:
        await charge(station)
        await central.wait_for("MeterValues", 2)
        await station.present_card(1, "CARD")
        await central.wait_for("StopTransaction")
        await station.wait_delivered()
    first, second = central.of(action)[:2]
    assert first.payload == second.payload
    assert (first.message_id == second.message_id) is not new_ids
    assert central.opened == 2


async def test_a_message_that_is_refused_is_repeated_on_the_same_connection(central: CentralSystem, make: Make) -> None:
    once(central, "StopTransaction", Refuse)
    async with make(configuration={"TransactionMessageRetryInterval": "0"}) as station:
        await charge(station)
        station.unplug(1)
        await station.wait_delivered()
    first, second = central.of("StopTransaction")
    assert first == second
    assert central.opened == 1


async def test_a_message_that_is_not_answered_is_repeated_on_the_same_connection(
    central: CentralSystem, make: Make
) -> None:
    once(central, "StartTransaction", Silence)
    keys = {"TransactionMessageRetryInterval": "0", "TransactionMessageAttempts": "100"}
    async with make(configuration=keys, timing=IMPATIENT) as station:
        await charge(station)
        await central.wait_for("StartTransaction", 2)
    first, second = central.of("StartTransaction")[:2]
    assert first == second
    assert central.opened == 1


async def test_a_message_is_given_up_after_its_attempts_and_its_stop_carries_minus_one(
    central: CentralSystem, make: Make
) -> None:
    always(central, "StartTransaction", Refuse)
    keys = {"TransactionMessageAttempts": "2", "TransactionMessageRetryInterval": "0"}
    station = make(configuration=keys)
    dropped: list[str] = []
    station.stream.listen(
        lambda record: dropped.append(record.event.action) if isinstance(record.event, MessageDropped) else None
    )
    async with station:
        await charge(station)
        await central.wait_for("MeterValues")
        station.unplug(1)
        stop = await central.wait_for("StopTransaction")
    assert dropped == ["StartTransaction"]
    assert len(central.of("StartTransaction")) == 2
    assert stop.payload["transactionId"] == -1
    assert "transactionId" not in central.of("MeterValues")[0].payload


async def test_a_card_found_invalid_after_an_offline_start_is_stopped(central: CentralSystem, make: Make) -> None:
    central.answers["StartTransaction"] = lambda _call: {"transactionId": 9, "idTagInfo": {"status": "Invalid"}}
    async with make(configuration=FREE_OFFLINE) as station:
        await station.wait_online(60)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        station.plug_in(1, Car())
        await station.present_card(1, "CARD")
        await station.wait_for_status(1, "Charging")
        await station.wait_until(lambda: station.connector(1).energy_wh > 100, 60)
        station.restore_link()
        stop = await central.wait_for("StopTransaction")
    assert (stop.payload["reason"], stop.payload["transactionId"]) == ("DeAuthorized", 9)
    assert stop.payload["meterStop"] > 100


async def test_a_habit_boots_after_every_reconnect(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(always_boot=True)) as station:
        await station.wait_online(60)
        await central.close()
        await central.wait_for("BootNotification", 2)
    assert central.opened == 2


async def test_offline_without_permission_a_card_is_refused_unless_it_is_known(make: Make) -> None:
    async with make(configuration={"AuthorizationCacheEnabled": "true"}) as station:
        await charge(station, "KNOWN")
        await station.present_card(1, "KNOWN")
        station.unplug(1)
        await station.wait_delivered()
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        assert not (await station.present_card(1, "STRANGE")).accepted
        verdict = await station.present_card(1, "known")
        assert (verdict.accepted, verdict.source) == (True, "cache")


async def test_a_station_outlives_its_own_restart(central: CentralSystem, make: Make, tmp_path: Path) -> None:
    async with make("A/1", state_dir=tmp_path) as station:
        await charge(station)
        await station.wait_until(lambda: station.connector(1).energy_wh > 200, 60)
        station.configuration.change("MeterValueSampleInterval", "30")
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        await station.wait_until(lambda: any(True for _ in station.outbox.messages), 60)
        register_wh = station.connector(1).register_wh
    before = [call.payload for call in central.of("MeterValues")]
    async with make("A/1", state_dir=tmp_path, seed=2) as station:
        assert station.configuration["MeterValueSampleInterval"] == "30"
        stop = await central.wait_for("StopTransaction")
        await station.wait_delivered()
        assert station.connector(1).register_wh >= register_wh
    assert (stop.payload["transactionId"], stop.payload["reason"]) == (101, "PowerLoss")
    assert stop.payload["meterStop"] >= register_wh
    assert len(central.of("MeterValues")) > len(before)
    assert len(central.of("BootNotification")) == 2
    kept = json.loads((tmp_path / "A%2F1.json").read_bytes())
    assert (kept["messages"], kept["open_transactions"]) == ([], [])


async def test_a_state_file_that_cannot_be_read_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "SIM-1.json").write_text("{")
    with pytest.raises(UsageError, match=r"SIM-1\.json cannot be read"):
        make(state_dir=tmp_path)


async def test_a_station_reconnects_with_growing_pauses_that_differ_by_chance(
    central: CentralSystem, make: Make
) -> None:
    central.refuse_with = 503  # type: ignore[assignment]
    async with make(seed=3) as station:
        pauses = [station.uplink._next_pause_s() for _ in range(6)]
        await asyncio.sleep(0)
    assert all(0.01 <= pause <= 0.1 for pause in pauses)
    assert len(set(pauses)) == 6
    assert pauses[0] < pauses[3]
