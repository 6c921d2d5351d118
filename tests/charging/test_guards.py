"""The credit guard at work: stations on real sockets, in real time, on both databases; restarts and reconnects."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select, update

from csms.charging import models
from csms.charging.guards import Guards
from csms.config import Settings
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

POWER_W = 10_000
_STOP = "RemoteStopTransaction"


@dataclass
class Car:
    """A car that charges with 10 kW since some moment in the past, at a station that measures by the clock."""

    peer: Peer
    transaction_id: int
    connector_id: int
    begun_at: datetime
    obeys: bool = True
    asked: list[str] = field(default_factory=list)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def begin(cls, peer: Peer, *, seconds_ago: float, connector_id: int = 1, **more: Any) -> "Car":
        """Start a transaction."""
        begun_at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        id_tag = more.pop("id_tag", CARD)
        started = await peer.start(id_tag, 0, begun_at.isoformat(), connector_id=connector_id)
        assert started["idTagInfo"]["status"] == "Accepted"
        return cls(peer, started["transactionId"], connector_id, begun_at, **more)

    def register_wh(self) -> int:
        """Return the register now."""
        return int((datetime.now(UTC) - self.begun_at).total_seconds() * POWER_W / 3600)

    async def read(self) -> None:
        """Send a reading."""
        samples = ({"value": str(self.register_wh())}, {"value": str(POWER_W), "measurand": "Power.Active.Import"})
        moment = datetime.now(UTC).isoformat()
        await self.peer.read(self.transaction_id, moment, *samples, connector_id=self.connector_id)

    async def command(self, message_id: str, action: str) -> None:
        """Do what the central system asks."""
        self.asked.append(action)
        obeys = self.obeys or action == "TriggerMessage"
        await self.peer.answer(message_id, {"status": "Accepted" if obeys else "Rejected"})
        if action == "TriggerMessage":
            await self.read()
        elif action == _STOP and obeys and not self.stopped.is_set():
            self.stopped.set()
            await self.peer.stop(
                self.transaction_id, self.register_wh(), datetime.now(UTC).isoformat(), reason="Remote"
            )


@asynccontextmanager
async def driven(*cars: Car) -> AsyncIterator[None]:
    """Let one station's cars obey the central system while inside."""
    peer = cars[0].peer

    async def obey() -> None:
        while True:
            message_id, action, payload = await peer.commands.get()
            for car in cars:
                if payload.get("transactionId", car.transaction_id) == car.transaction_id and (
                    payload.get("connectorId", car.connector_id) == car.connector_id
                ):
                    await car.command(message_id, action)
                    break

    task = asyncio.create_task(obey())
    try:
        yield
    finally:
        task.cancel()


def guards_of(world: World) -> Guards:
    """Return the world's alarm clock."""
    guards: Guards = world.engine.on_watches.__self__  # type: ignore[attr-defined]
    return guards


def hasten(world: World, **changes: int) -> None:
    """Change the policy of a running engine, where the usual one would take minutes."""
    world.engine._policy = msgspec.structs.replace(world.engine._policy, **changes)


def row_of(world: World, transaction_id: int) -> Any:
    """Return a transaction's row."""
    table = models.charging_transaction
    with world.database.reading() as connection:
        return connection.execute(select(table).where(table.c.id == transaction_id)).one()


def actions(world: World) -> list[str]:
    """Return what was asked of CP1, oldest first."""
    return [one.action for one in world.commands()][::-1]


# 0.50 to start, 0.35 per kWh and 0.02 per minute: at 10 kW a cent lasts 7.66 s, and 1.02 is reached after 394.5 s. A
# cent lasts longer than a busy machine stands still: what is late by less lands on the same balance.


async def test_a_transaction_is_stopped_so_that_its_charge_lands_on_the_credit(world: World) -> None:
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=388, id_tag="EMPTIES")
        async with driven(car):
            await car.read()
            await asyncio.wait_for(car.stopped.wait(), 60)
            await until(lambda: row_of(world, car.transaction_id).state == "ended")
    assert 0 <= world.card("EMPTIES").balance_minor <= 2
    assert world.card("EMPTIES").held_minor == 0


async def test_a_top_up_while_charging_raises_the_limit_at_once(world: World) -> None:
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=388, id_tag="EMPTIES")
        async with driven(car):
            await car.read()
            await world.top_up("EMPTIES", 1000)
            # The next look is behind the end of the credit before.
            await until(lambda: row_of(world, car.transaction_id).guard_at > car.begun_at + timedelta(seconds=400))
            await until(lambda: datetime.now(UTC) > car.begun_at + timedelta(seconds=396))
            assert not car.stopped.is_set()
            assert _STOP not in car.asked
            assert row_of(world, car.transaction_id).stop_requested_at is None


async def test_two_transactions_on_one_account_together_land_on_its_credit(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_world(make_settings(transactions_per_card=2)) as world:
        await world.issue_card("SHARED", 302)
        async with world.station() as peer:
            cars = [await Car.begin(peer, seconds_ago=764, connector_id=number, id_tag="SHARED") for number in (1, 2)]
            async with driven(*cars):
                for car in cars:
                    await car.read()
                await asyncio.wait_for(asyncio.gather(*(car.stopped.wait() for car in cars)), 60)
                await until(lambda: all(row_of(world, car.transaction_id).state == "ended" for car in cars))
        assert 0 <= world.card("SHARED").balance_minor <= 6
        assert len(actions(world)) < 15


async def test_a_stop_that_is_rejected_is_asked_for_again_then_unlocked_then_an_alarm(world: World) -> None:
    hasten(world, stop_retry_s=1, stop_retry_max_s=1)
    with world.database.unit_of_work() as connection:
        group = {"id": 1, "name": "hall", "unlock_when_stop_fails": True, "created_at": datetime.now(UTC)}
        connection.execute(insert(models.station_group), group)
        connection.execute(update(models.charge_point).values(group_id=1))
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=480, id_tag="EMPTIES", obeys=False)
        async with driven(car):
            await car.read()
            await until(lambda: car.asked.count(_STOP) >= 4)
            await until(lambda: car.asked.count("UnlockConnector") >= 2)
            assert car.asked[:2] == [_STOP, _STOP]
            await until(lambda: _alarms(world) == [("transaction does not stop", car.transaction_id)])


def _alarms(world: World) -> list[tuple[str, int]]:
    with world.database.reading() as connection:
        return [(one.kind, one.transaction_id) for one in connection.execute(select(models.alarm))]


async def test_a_stop_that_is_not_answered_is_asked_for_again(make_settings: Callable[..., Settings]) -> None:
    async with open_world(make_settings(call_timeout_s=1)) as world:
        hasten(world, stop_retry_s=2)
        await world.issue_card("EMPTIES", 102)
        async with world.station() as peer:
            car = await Car.begin(peer, seconds_ago=480, id_tag="EMPTIES")
            await car.read()
            for _ in range(3):
                _, action, payload = await peer.next_command()
                assert (action, payload) == (_STOP, {"transactionId": car.transaction_id})


async def test_a_reading_that_is_repeated_does_not_stop_twice(world: World) -> None:
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=480, id_tag="EMPTIES")
        moment = datetime.now(UTC).isoformat()
        for _ in range(3):
            await peer.read(car.transaction_id, moment, car.register_wh() // 100 * 100)
        await until(lambda: _STOP in actions(world))
    assert actions(world).count(_STOP) == 1


async def test_a_guard_is_rebuilt_after_a_restart_before_the_first_message(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings()
    async with open_world(settings) as world:
        await world.issue_card("EMPTIES", 102)
        async with world.station() as peer:
            car = await Car.begin(peer, seconds_ago=380, id_tag="EMPTIES")
            await car.read()
    async with open_world(settings, furnish=False) as world:
        assert row_of(world, car.transaction_id).guard_at is not None
        assert len(guards_of(world)) == 0
        async with world.station(boot=False) as peer:
            car.peer = peer
            async with driven(car):
                await asyncio.wait_for(car.stopped.wait(), 60)
                await until(lambda: row_of(world, car.transaction_id).state == "ended")
        assert 0 <= world.card("EMPTIES").balance_minor <= 2


async def test_a_guard_is_taken_up_again_when_the_station_comes_back(world: World) -> None:
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=388, id_tag="EMPTIES")
        await car.read()
    await until(lambda: datetime.now(UTC) > car.begun_at + timedelta(seconds=396))  # the credit ends while it is away
    assert row_of(world, car.transaction_id).state == "open"
    async with world.station(boot=False) as peer:
        car.peer = peer
        async with driven(car):
            await asyncio.wait_for(car.stopped.wait(), 60)
            await until(lambda: row_of(world, car.transaction_id).state == "ended")


async def test_an_ended_transaction_has_no_guard(world: World) -> None:
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=10)
        await until(lambda: len(guards_of(world)) == 1)
        await peer.stop(car.transaction_id, car.register_wh(), datetime.now(UTC).isoformat())
        await until(lambda: len(guards_of(world)) == 0)
    assert row_of(world, car.transaction_id).guard_at is None


async def test_many_readings_leave_one_entry_in_the_alarm_clock(world: World) -> None:
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=1000)
        for number in range(50):
            moment = car.begun_at + timedelta(seconds=900 + number)
            await peer.read(car.transaction_id, moment.isoformat(), 100 + number)
    assert len(guards_of(world)) == 1
    assert guards_of(world).scheduled <= 10


async def test_a_guard_whose_station_is_gone_waits_for_it(world: World) -> None:
    await world.issue_card("EMPTIES", 102)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=388, id_tag="EMPTIES")
        await car.read()
    await until(lambda: len(guards_of(world)) == 0)
    assert row_of(world, car.transaction_id).guard_at is not None


@pytest.mark.parametrize("lag", ["ping", "guess"])
async def test_the_lag_of_a_link_is_known_by_its_pings_until_a_call_is_answered(world: World, lag: str) -> None:
    async with world.station() as peer:
        (link,) = world.connections
        assert link.lag_ms == 1500
        if lag == "ping":
            link.ping_s = lambda: 0.4
            assert link.lag_ms == 600
        await Car.begin(peer, seconds_ago=0)
        link.note_lag(80)
        assert link.lag_ms == 80
        link.note_lag(480)
        assert link.lag_ms == 280
        link.note_lag(200)
        assert link.lag_ms == 270


async def test_a_station_with_smart_charging_is_told_its_limit_soon_after_the_start(world: World) -> None:
    row = {"charge_point_id": 1, "is_readonly": True, "state": "free", "checked_at": datetime.now(UTC)}
    with world.database.unit_of_work() as connection:
        connection.execute(update(models.charge_point).values(max_power_w=50_000))
        reported = {"key": "SupportedFeatureProfiles", "reported_value": "Core,SmartCharging"}
        connection.execute(insert(models.station_setting), row | reported)
    async with world.station() as peer:
        car = await Car.begin(peer, seconds_ago=0)
        told: dict[str, dict[str, Any]] = {}
        while "SetChargingProfile" not in told:
            message_id, action, payload = await peer.next_command()
            told[action] = payload
            await peer.answer(message_id, {"status": "Accepted"})
        profile = told["SetChargingProfile"]["csChargingProfiles"]
        assert profile["transactionId"] == car.transaction_id
        _, last = profile["chargingSchedule"]["chargingSchedulePeriod"]
        # 19.50 of 20.00 for 17.50 of energy and 1.20 of time an hour.
        assert last == {"startPeriod": pytest.approx(3754, abs=10), "limit": 0}
        await until(
            lambda: [one.state for one in world.commands() if one.action == "SetChargingProfile"] == ["accepted"]
        )
