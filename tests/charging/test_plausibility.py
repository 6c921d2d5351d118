"""Energy that cannot be, registers of another kind, gaps between transactions, clocks: played over a real socket."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from csms.charging import models
from csms.charging.command_queue import QueueCommand
from tests.support.peer import Peer
from tests.support.world import CARD, World

POWER = {"measurand": "Power.Active.Import", "unit": "W"}


def _alarms(world: World) -> list[tuple[str, bool]]:
    """Return the kinds of all alarms, and whether each still holds."""
    alarm = models.alarm.c
    with world.database.reading() as connection:
        rows = connection.execute(select(alarm.kind, alarm.cleared_at).order_by(alarm.key))
        return [(kind, cleared_at is None) for kind, cleared_at in rows]


def _station(world: World) -> Any:
    with world.database.reading() as connection:
        return connection.execute(select(models.charge_point)).mappings().one()


def _set_station(world: World, **values: object) -> None:
    with world.database.unit_of_work() as connection:
        connection.execute(update(models.charge_point).values(values))


async def _status(peer: Peer, status: str, timestamp: str, connector_id: int = 1) -> None:
    payload = {"connectorId": connector_id, "status": status, "errorCode": "NoError", "timestamp": timestamp}
    await peer.call("StatusNotification", payload)


@pytest.mark.parametrize("power_w", [None, 22_000])
@pytest.mark.parametrize(("began", "ended"), [(0, 5), (-60 * 48, -60 * 48 + 5), (-180, 0), (-60 * 72, 0)])
async def test_a_lifetime_register_against_a_placeholder_start_charges_nothing_and_waits_for_a_person(
    world: World, began: int, ended: int, power_w: int | None
) -> None:
    _set_station(world, max_power_w=power_w)
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(began))
        held = world.card().held_minor
        for _ in range(2):
            await peer.stop(started["transactionId"], 910_000, world.at(ended))
    (one,) = world.transactions()
    assert (one.state, one.cost_minor, one.uncharged_reason) == ("ended", 0, "implausible energy")
    assert (world.card().balance_minor, world.card().held_minor) == (2000, held)
    assert [(item.kind, item.transaction_id) for item in world.review_items()] == [
        ("implausible energy", one.transaction_id)
    ]
    assert _alarms(world) == [("implausible energy", True)]
    assert world.entries("settle") == []


async def test_a_stop_is_held_to_the_maximum_power_of_its_station(world: World) -> None:
    _set_station(world, max_power_w=11_000)
    async with world.station() as peer:
        most_wh = 11_000 * 600 * 11 // 36_000 + 500
        first = await peer.start(CARD, 1000, world.at(0))
        await peer.stop(first["transactionId"], 1000 + most_wh, world.at(10))
        second = await peer.start(CARD, 1000 + most_wh, world.at(10))
        await peer.stop(second["transactionId"], 1000 + 2 * most_wh + 1, world.at(20))
    reasons = [one.uncharged_reason for one in world.transactions()]
    assert reasons == [None, "implausible energy"]


async def test_a_reading_that_cannot_be_moves_nothing_and_stops_nothing(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        for _ in range(2):
            await peer.read(started["transactionId"], world.at(5), 910_000)
        await peer.read(started["transactionId"], world.at(6), 800)
        assert peer.commands.empty()
    assert world.transaction(started["transactionId"]).energy_wh == 800
    assert [one.flags for one in world.readings(started["transactionId"])] == ["implausible", ""]


async def test_readings_relative_to_the_session_are_recognised_and_start_and_stop_are_charged(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 500_000, world.at(0))
        for minute, register in ((5, 1200), (10, 2400), (10, 2400)):
            await peer.read(started["transactionId"], world.at(minute), register)
        running = world.transaction(started["transactionId"])
        assert (running.energy_wh, running.cost_minor) == (2400, 84 + 20 + 50)
        assert "readings relative to the session" in running.flags
        for _ in range(2):
            await peer.stop(started["transactionId"], 503_000, world.at(12))
    one = world.transaction(started["transactionId"])
    assert (one.energy_wh, one.cost_minor, one.uncharged_reason) == (3000, 105 + 24 + 50, None)
    assert [each.register_wh for each in world.readings(started["transactionId"])] == [501_200, 502_400]
    assert _station(world)["has_relative_readings"]


async def test_a_register_that_falls_in_the_middle_is_not_taken_for_a_relative_one(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 500_000, world.at(0))
        for minute, register in ((5, 501_000), (10, 300)):
            await peer.read(started["transactionId"], world.at(minute), register)
    one = world.transaction(started["transactionId"])
    assert (one.energy_wh, one.flags) == (1000, "late")
    assert not _station(world)["has_relative_readings"]


async def test_energy_between_two_transactions_of_a_connector_is_reported(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 1000, world.at(0))
        await peer.stop(first["transactionId"], 2000, world.at(10))
        second = await peer.start(CARD, 2600, world.at(20))
        await peer.start(CARD, 2600, world.at(20))
        await peer.stop(second["transactionId"], 3000, world.at(25))
        other = await peer.start(CARD, 77, world.at(26), connector_id=2)
        await peer.stop(other["transactionId"], 177, world.at(27))
        third = await peer.start(CARD, 3005, world.at(30))
    assert "missing energy before: 600 Wh" in world.transaction(second["transactionId"]).flags
    assert "missing" not in world.transaction(third["transactionId"]).flags
    assert _alarms(world) == [("missing energy", True)]


async def test_what_an_orphan_drew_is_not_missing(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 1000, world.at(0))
        await peer.stop(first["transactionId"], 2000, world.at(10))
        lost = await peer.start(CARD, 2000, world.at(20))
        await peer.read(lost["transactionId"], world.at(25), 2900)
        third = await peer.start(CARD, 2900, world.at(30))
    assert "missing" not in world.transaction(third["transactionId"]).flags
    assert _alarms(world) == []


async def test_a_new_meter_breaks_the_chain_on_purpose(world: World) -> None:
    boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    async with world.station() as peer:
        first = await peer.start(CARD, 1000, world.at(0))
        await peer.stop(first["transactionId"], 2000, world.at(10))
        await peer.call("BootNotification", boot | {"meterSerialNumber": "M-2"})
        second = await peer.start(CARD, 50, world.at(20))
        await peer.stop(second["transactionId"], 150, world.at(21))
        await peer.call("BootNotification", boot | {"meterSerialNumber": "M-2"})
        third = await peer.start(CARD, 200, world.at(30))
    assert world.transaction(second["transactionId"]).flags == "late"
    assert "missing energy before: 50 Wh" in world.transaction(third["transactionId"]).flags


async def test_a_clock_that_is_ahead_is_measured_and_alarmed_until_it_is_right(world: World) -> None:
    async with world.station() as peer:
        for _ in range(2):
            began = datetime.now(UTC)
            await _status(peer, "Available", (began + timedelta(minutes=5)).isoformat())
        under_way_s = (datetime.now(UTC) - began).total_seconds()
        assert 299 - under_way_s <= _station(world)["clock_skew_s"] <= 300
        assert _alarms(world) == [("clock of a station is wrong", True)]
        began = datetime.now(UTC)
        await _status(peer, "Available", began.isoformat())
        under_way_s = (datetime.now(UTC) - began).total_seconds()
    assert -1 - under_way_s <= _station(world)["clock_skew_s"] <= 0
    assert _alarms(world) == [("clock of a station is wrong", False)]


async def test_a_clock_is_behind_when_two_statuses_agree_and_not_when_one_was_only_late(world: World) -> None:
    async with world.station() as peer:
        for minutes in (30, 20, 10):
            await _status(peer, "Available", (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat())
        assert _alarms(world) == []
        await _status(peer, "Available", (datetime.now(UTC) - timedelta(minutes=10)).isoformat())
    assert _alarms(world) == [("clock of a station is wrong", True)]


async def test_a_start_that_is_history_is_not_stopped_by_what_came_out_of_the_queue_with_it(world: World) -> None:
    await world.issue_card("EMPTY", 0)
    days_ago = -60 * 24 * 3
    async with world.station() as peer:
        for _ in range(2):
            started = await peer.start("EMPTY", 0, world.at(days_ago))
            await peer.read(started["transactionId"], world.at(days_ago + 10), 1000)
        await peer.stop(started["transactionId"], 2000, world.at(days_ago + 20))
    assert world.commands() == []
    assert world.card("EMPTY").balance_minor == -(70 + 40 + 50)


async def test_what_waits_to_be_sent_for_a_transaction_is_cancelled_when_it_ends(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        number = started["transactionId"]
        for _ in range(2):
            payload = f'{{"transactionId":{number}}}'
            await world.submit(QueueCommand(1, "RemoteStopTransaction", payload, "staff", transaction_id=number))
        world.dispatcher.ring({1})
        await peer.next_command()
        await peer.stop(number, 500, world.at(5))
        assert [one.state for one in world.commands()] == ["expired", "sent"]
    assert world.commands()[0].failure == "the transaction ended before it was sent"


async def test_a_card_that_is_charging_is_told_concurrent_tx_at_another_connector(world: World) -> None:
    async with world.station() as peer:
        await peer.start(CARD, 0, world.at(60))
        for _ in range(2):
            again = await peer.start(CARD, 0, world.at(61), connector_id=2)
            assert again["idTagInfo"]["status"] == "ConcurrentTx"


def _group(world: World) -> None:
    """Stop what draws less than 500 W for ten minutes."""
    row = {"id": 1, "name": "Yard", "stop_below_w": 500, "stop_after_s": 600, "created_at": datetime.now(UTC)}
    with world.database.unit_of_work() as connection:
        connection.execute(models.station_group.insert().values(row))
    _set_station(world, group_id=1)


async def test_a_car_that_draws_no_current_for_so_long_is_stopped(world: World) -> None:
    _group(world)
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        number = started["transactionId"]
        for minute, register, power in ((5, 400, 4800), (10, 420, 100), (19, 430, 70)):
            await peer.read(number, world.at(minute), register, {"value": str(power)} | POWER)
        assert peer.commands.empty()
        for _ in range(2):
            await peer.read(number, world.at(20), 431, {"value": "60"} | POWER)
        _, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStopTransaction", {"transactionId": number})
        await peer.stop(number, 431, world.at(20), reason="Remote")
    one = world.transaction(number)
    assert one.flags == "late; stopped: no current drawn"
    assert (one.state, one.energy_wh) == ("ended", 431)


async def test_what_the_station_holds_back_does_not_count_as_the_end_of_charge(world: World) -> None:
    _group(world)
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        number = started["transactionId"]
        await peer.read(number, world.at(5), 400, {"value": "4800"} | POWER)
        for _ in range(2):
            await _status(peer, "SuspendedEVSE", world.at(6))
        for minute in (10, 20, 30):
            await peer.read(number, world.at(minute), 400, {"value": "0"} | POWER)
        await _status(peer, "SuspendedEV", world.at(31))
        await peer.read(number, world.at(32), 400, {"value": "0"} | POWER)
        await peer.read(number, world.at(41), 400, {"value": "0"} | POWER)
        assert peer.commands.empty()
        await peer.read(number, world.at(42), 400, {"value": "0"} | POWER)
        _, action, _ = await peer.next_command()
    assert action == "RemoteStopTransaction"


async def test_time_without_current_before_the_station_held_back_does_not_count_after_it(world: World) -> None:
    _group(world)
    async with world.station() as peer:
        number = (await peer.start(CARD, 0, world.at(0)))["transactionId"]
        await peer.read(number, world.at(5), 400, {"value": "0"} | POWER)
        await _status(peer, "SuspendedEVSE", world.at(6))  # no reading comes while it holds back
        await _status(peer, "SuspendedEV", world.at(14))
        for minute in (16, 25):
            await peer.read(number, world.at(minute), 400, {"value": "0"} | POWER)
        assert peer.commands.empty()
        await peer.read(number, world.at(26), 400, {"value": "0"} | POWER)
        _, action, _ = await peer.next_command()
    assert action == "RemoteStopTransaction"
