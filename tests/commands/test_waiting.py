"""Waiting for the answer of a command: decided here, decided by another process, or not decided in time."""

import asyncio

from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.commands.remote import remote_stop
from csms.commands.waiting import Waiting
from csms.installation import open_installation
from tests.support.world import World

CP1 = 1


async def test_who_waits_gets_the_row_as_soon_as_the_station_answered(world: World) -> None:
    waiting = Waiting(world.database, world.engine, poll_s=1000)  # it does not look: it is told
    async with world.station() as peer:
        asked = await world.submit(remote_stop(CP1, 7, "anna"))
        watching = [asyncio.create_task(waiting.wait_for(asked.command_id, 1000)) for _ in range(2)]
        message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, {"status": "Rejected"})
        for row in await asyncio.gather(*watching):
            assert row is not None
            assert (row.charge_point, row.action, row.state) == ("CP1", "RemoteStopTransaction", "rejected")
            assert row.is_decided
    assert waiting._bells == {}


async def test_who_does_not_wait_gets_the_row_as_it_stands(world: World) -> None:
    waiting = Waiting(world.database, world.engine)
    asked = await world.submit(remote_stop(CP1, 7, "anna"))
    for wait_s in (0, 0.05):
        row = await waiting.wait_for(asked.command_id, wait_s)
        assert row is not None
        assert row.state == "queued"
        assert not row.is_decided
    assert await waiting.wait_for(asked.command_id + 1000, 30) is None


async def test_what_another_process_decided_is_seen_by_looking(world: World) -> None:
    waiting = Waiting(world.database, world.engine, poll_s=0.05)
    elsewhere = open_installation(world.installation.settings)
    asked = await world.submit(remote_stop(CP1, 7, "anna"))
    watching = asyncio.create_task(waiting.wait_for(asked.command_id, 30))
    try:
        await asyncio.to_thread(elsewhere.engine.execute, ClaimCommand(CP1))
        await asyncio.to_thread(elsewhere.engine.execute, AnswerCommand(asked.command_id, 1, "accepted", "{}"))
        row = await watching
    finally:
        elsewhere.database.close()
    assert row is not None
    assert row.state == "accepted"
