"""A command that another process queued is sent at once on PostgreSQL, where it rings, and soon on SQLite."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from csms.charging.command_queue import QueueCommand
from csms.commands.doorbell import Doorbell
from csms.installation import open_installation
from tests.conftest import settings_for
from tests.support.waiting import until
from tests.support.world import open_world


async def test_a_command_of_another_process_wakes_the_node_that_holds_the_socket(
    fresh_postgresql_url: Callable[[], str], tmp_path: Path
) -> None:
    settings = settings_for(fresh_postgresql_url(), tmp_path, command_poll_s=3600)
    async with open_world(settings) as world, world.station() as peer:
        world.engine.node = "one"
        listening = asyncio.create_task(Doorbell(world.database, world.dispatcher.ring, "one").run())
        other = open_installation(settings)  # as a command on the command line, or another node
        payload = '{"requestedMessage":"Heartbeat"}'
        while peer.commands.empty():  # the first ones may come before anybody listens
            await asyncio.to_thread(other.engine.execute, QueueCommand(1, "TriggerMessage", payload, "test"))
            await asyncio.sleep(0.05)
        sent = await peer.next_command()
        other.database.close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
    assert sent[1] == "TriggerMessage"


async def test_a_node_does_not_ring_at_itself(fresh_postgresql_url: Callable[[], str], tmp_path: Path) -> None:
    rung: list[set[int]] = []
    settings = settings_for(fresh_postgresql_url(), tmp_path)
    async with open_world(settings) as world:
        cp2, cp3 = await world.add_station("CP2"), await world.add_station("CP3")
        listening = asyncio.create_task(Doorbell(world.database, rung.append, "one").run())
        world.engine.node = "one"
        other = open_installation(settings)
        while not rung:  # the first ones may come before anybody listens
            await world.submit(QueueCommand(1, "ClearCache", "{}", "here"))
            await asyncio.to_thread(other.engine.execute, QueueCommand(cp2, "ClearCache", "{}", "elsewhere"))
            await asyncio.sleep(0.05)
        await world.submit(QueueCommand(1, "ClearCache", "{}", "here"))
        await asyncio.to_thread(other.engine.execute, QueueCommand(cp3, "ClearCache", "{}", "elsewhere"))
        await until(lambda: cp3 in rung[-1])  # what was rung before has come before
        assert set[int]().union(*rung) == {cp2, cp3}
        other.database.close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
