"""The life of a connection: the newest wins, silence is noticed, acceptance outlives it, and its end is kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from csms.charging import models, overview
from csms.config import Settings
from tests.conftest import settings_for
from tests.support.raw import raw_socket
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

SettingsMaker = Callable[..., Settings]


@pytest.fixture
async def edge(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite, for what no database can change."""
    async with open_world(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


def rows(world: World) -> list[tuple[int, str]]:
    """Return charge point and connection id of the stored connections."""
    table = models.connection.c
    with world.database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(table.charge_point_id, table.connection_id))]


def live(world: World) -> list[tuple[int, str]]:
    """Return the same of the connections of the process."""
    return [(link.charge_point_id, link.connection_id) for link in world.connections]


def a_start(world: World) -> str:
    """Return the frame of a StartTransaction."""
    payload = {"connectorId": 1, "idTag": CARD, "meterStart": 0, "timestamp": world.at(0)}
    return json.dumps([2, "start", "StartTransaction", payload])


# --- The newest connection wins ---------------------------------------------------------------------------------------


async def test_the_newest_connection_of_a_station_wins_and_the_old_one_is_closed(world: World) -> None:
    async with world.station() as old:
        async with world.station() as new:
            await asyncio.wait_for(old.socket.wait_closed(), 60)
            assert (old.socket.close_code, old.socket.close_reason) == (1000, "replaced by a newer connection")
            assert "currentTime" in await new.call("Heartbeat", {})
            assert rows(world) == live(world)
            assert len(rows(world)) == 1
            with pytest.raises(ConnectionClosed):
                await old.send("Heartbeat", {})
        await until(lambda: rows(world) == [])
    assert live(world) == []


async def test_a_replaced_connection_may_say_nothing_even_if_it_does_not_close(edge: World) -> None:
    async with edge.station():
        pass
    async with raw_socket(edge.central_system.port, "CP1") as old:
        await until(lambda: live(edge))
        async with edge.station(boot=False) as new:
            assert await old.receive_until(Opcode.CLOSE) == b"\x03\xe8replaced by a newer connection"
            old.send(a_start(edge))
            old.send('[2,"h","Heartbeat",{}]')
            await old.ended()
            assert "currentTime" in await new.call("Heartbeat", {})
            assert edge.transactions() == []
            assert rows(edge) == live(edge)
            assert len(rows(edge)) == 1


async def test_a_call_that_waits_for_its_rate_when_its_connection_is_replaced_is_not_taken(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csms.central_system.monotonic_s", lambda: 0.0)  # no more may be said as time passes
    async with open_world(settings_for(sqlite_url, tmp_path, max_calls_per_s=1)) as world, world.station() as old:
        for _ in range(14):
            await old.send("Heartbeat", {})
        await old.socket.send(a_start(world))  # its turn comes some seconds from now
        await until(lambda: world.central_system.counts["calls slowed down"])
        async with world.station() as new:
            await asyncio.wait_for(old.socket.wait_closed(), 60)
            assert "currentTime" in await new.call("Heartbeat", {})
        await until(lambda: rows(world) == [])
        assert world.transactions() == []


async def test_only_the_newest_of_many_connections_at_once_stays(world: World) -> None:
    async with world.station():
        pass
    sockets = [raw_socket(world.central_system.port, "CP1") for _ in range(20)]
    opened = await asyncio.gather(*(each.__aenter__() for each in sockets))
    ends = [asyncio.ensure_future(each.receive_until(Opcode.CLOSE)) for each in opened]
    await until(lambda: sum(each.done() for each in ends) == 19)
    (newest,) = [each for each in ends if not each.done()]
    assert {each.result() for each in ends if each is not newest} == {b"\x03\xe8replaced by a newer connection"}
    await until(lambda: rows(world) == live(world) and len(live(world)) == 1)
    newest.cancel()
    for each in sockets:
        await each.__aexit__(None, None, None)
    await until(lambda: not rows(world) and not live(world))
    assert (rows(world), live(world)) == ([], [])


# --- Ends -------------------------------------------------------------------------------------------------------------


async def test_a_connection_cut_without_a_word_is_forgotten(world: World) -> None:
    async with raw_socket(world.central_system.port, "CP1") as socket:
        await until(lambda: len(rows(world)) == 1)
        socket.cut()
        await until(lambda: not rows(world) and not live(world))
    assert (rows(world), live(world)) == ([], [])


async def test_a_connection_cut_in_the_middle_of_a_frame_is_forgotten_and_the_frame_with_it(edge: World) -> None:
    async with edge.station():
        pass
    async with raw_socket(edge.central_system.port, "CP1") as socket:
        await until(lambda: live(edge))
        socket.write(b"\x81\xfe\x01\x00" + bytes(4) + a_start(edge).encode()[:60])
        socket.cut()
        await until(lambda: live(edge) == [])
    assert edge.transactions() == []
    assert edge.central_system.counts["unreadable frame"] == 0


async def test_a_half_open_connection_is_found_by_pings_and_a_live_one_is_kept(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, ping_interval_s=1, ping_timeout_s=6)) as world:
        await world.add_station("CP2")
        async with world.station("CP2") as alive, raw_socket(world.central_system.port, "CP1") as silent:
            await until(lambda: len(rows(world)) == 2)
            await silent.receive_until(Opcode.PING)
            await silent.receive_until(Opcode.CLOSE)
            await until(lambda: len(rows(world)) == 1)
            assert [link.identity for link in world.connections] == ["CP2"]
            assert "currentTime" in await alive.call("Heartbeat", {})


async def test_stopping_closes_every_connection_with_going_away_and_forgets_them(make_settings: SettingsMaker) -> None:
    settings = make_settings()
    async with AsyncExitStack() as stations:
        async with open_world(settings) as world:
            peer = await stations.enter_async_context(world.station())
        await asyncio.wait_for(peer.socket.wait_closed(), 60)
        assert peer.socket.close_code == 1001
    async with open_world(settings, furnish=False) as again:
        assert rows(again) == []


async def test_what_is_being_stored_when_the_server_stops_is_stored(make_settings: SettingsMaker) -> None:
    settings = make_settings()
    async with open_world(settings) as world, world.station() as peer:
        answers = [asyncio.ensure_future(peer.start(CARD, n, world.at(n))) for n in range(5)]
        await until(world.transactions)
        await world.central_system.stop()
        found = await asyncio.gather(*answers, return_exceptions=True)
        told = {each["transactionId"] for each in found if isinstance(each, dict)}
        assert told <= {one.transaction_id for one in world.transactions()}


# --- Acceptance is state in the database (J 5.4) ----------------------------------------------------------------------


async def test_acceptance_survives_a_reconnect_and_a_restart(make_settings: SettingsMaker) -> None:
    settings = make_settings()
    async with open_world(settings) as world:
        async with world.station() as peer:
            started = await peer.start(CARD, 0, world.at(0))
        async with world.station(boot=False) as peer:
            assert "currentTime" in await peer.call("Heartbeat", {})
    async with open_world(settings, furnish=False) as world, world.station(boot=False) as peer:
        assert "currentTime" in await peer.call("Heartbeat", {})
        await peer.stop(started["transactionId"], 1000, world.at(10))
        assert world.transactions()[0].state == "ended"


async def test_a_rejected_station_is_told_so_and_refused_until_it_is_accepted(world: World) -> None:
    register(world, "Rejected")
    async with world.station(boot=False) as peer:
        said = await peer.call("BootNotification", {"chargePointVendor": "a", "chargePointModel": "b"})
        assert (said["status"], said["interval"]) == ("Rejected", world.installation.settings.boot_retry_interval_s)
        assert (await peer.frame([2, "m", "Heartbeat", {}]))[2] == "SecurityError"
        register(world, "Accepted")
        said = await peer.call("BootNotification", {"chargePointVendor": "a", "chargePointModel": "b"})
        assert said["status"] == "Accepted"
        assert "currentTime" in await peer.call("Heartbeat", {})


def register(world: World, registration: str) -> None:
    """Decide about CP1 as an administrator's page will."""
    with world.database.unit_of_work() as connection:
        connection.execute(models.charge_point.update().values(registration=registration))


# --- What people see of it --------------------------------------------------------------------------------------------


async def test_a_connected_station_is_online_at_its_node_and_address(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings(node="node-7")) as world:
        async with world.station():
            seen: Any = station(world)
            assert (seen.online, seen.node, seen.address) == (True, "node-7", "127.0.0.1")
        await until(lambda: not station(world).online)


def station(world: World) -> overview.StationView:
    """Return CP1 as people see it."""
    with world.database.reading() as connection:
        (found,) = overview.list_stations(connection, limit=10)
    return found
