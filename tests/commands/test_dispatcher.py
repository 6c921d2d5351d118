"""Commands on their way: one at a time, whatever the link, the charge point and the server do meanwhile."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from csms.charging.command_queue import AnswerCommand, ClaimCommand, QueueCommand
from csms.commands.history import CommandRow
from csms.commands.remote import remote_start, remote_stop
from csms.config import Settings
from csms.installation import open_installation
from tests.support.raw import raw_socket
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

SettingsMaker = Callable[..., Settings]
CP1 = 1


def states(world: World, charge_point_id: int = CP1) -> list[str]:
    """Return the states of a station's commands, oldest first."""
    return [one.state for one in world.commands(charge_point_id)[::-1]]


def last(world: World) -> CommandRow:
    """Return the newest command of CP1."""
    return world.commands()[0]


def reset(kind: str = "Soft") -> QueueCommand:
    """Return a command that may not be repeated."""
    return QueueCommand(CP1, "Reset", f'{{"type":"{kind}"}}', "anna")


def unlock() -> QueueCommand:
    """Return another one."""
    return QueueCommand(CP1, "UnlockConnector", '{"connectorId":1}', "anna")


# --- The queue --------------------------------------------------------------------------------------------------------


async def test_commands_are_sent_one_after_another_in_their_order(world: World) -> None:
    async with world.station() as peer:
        for n in range(1, 4):
            await world.submit(remote_stop(CP1, n, "anna"))
        for n in range(1, 4):
            message_id, action, payload = await peer.next_command()
            assert (action, payload) == ("RemoteStopTransaction", {"transactionId": n})
            await peer.call("Heartbeat", {})  # time enough for a second one to come, if it did
            assert peer.commands.empty()
            await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: states(world) == ["accepted"] * 3)
    one = last(world)
    assert (one.requested_by, one.attempts, one.failure) == ("anna", 1, None)
    assert json.loads(one.answer_json or "") == {"status": "Accepted"}
    assert one.sent_at is not None
    assert one.answered_at is not None


async def test_a_busy_station_keeps_nobody_else_waiting(world: World) -> None:
    other = await world.add_station("CP2")
    async with world.station("CP1") as busy, world.station("CP2") as idle:
        await world.submit(remote_stop(CP1, 1, "anna"))
        await busy.next_command()
        await world.submit(remote_stop(other, 2, "anna"))
        message_id, _, payload = await idle.next_command()
        assert payload == {"transactionId": 2}
        await idle.answer(message_id, {"status": "Rejected"})
        await until(lambda: states(world, other) == ["rejected"])
        assert states(world) == ["sent"]


async def test_a_command_waits_for_a_station_that_is_away_and_is_sent_when_it_connects(world: World) -> None:
    await world.submit(remote_start(CP1, CARD, 1, "anna"))
    assert states(world) == ["queued"]
    async with world.station() as peer:
        message_id, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStartTransaction", {"connectorId": 1, "idTag": CARD})
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: states(world) == ["accepted"])


async def test_a_command_waits_for_the_boot_of_a_station_that_was_never_accepted(world: World) -> None:
    await world.submit(remote_stop(CP1, 1, "anna"))
    async with world.station(boot=False) as peer:
        world.dispatcher.ring({CP1})
        await peer.frame([2, "m", "Heartbeat", {}])
        assert peer.commands.empty()
        await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
        await peer.next_command()


async def test_a_command_expires_while_its_station_is_away_and_the_next_one_is_sent(
    make_settings: SettingsMaker,
) -> None:
    settings = make_settings(command_expiry_s=1)
    async with open_world(settings) as world:
        await world.submit(remote_stop(CP1, 1, "anna"))
        await until(lambda: last(world).expires_at < world.central_system._clock() - timedelta(seconds=0.1))
        await world.submit(msgspec.structs.replace(remote_stop(CP1, 2, "anna"), expires_s=600))
        async with world.station() as peer:
            message_id, _, payload = await peer.next_command()
            assert payload == {"transactionId": 2}
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: states(world) == ["expired", "accepted"])
        assert world.commands()[1].failure == "the charge point was not there in time"
        assert world.commands()[1].attempts == 0


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state", "failure"),
    [
        ([3, "{id}", {"status": "Accepted"}], "accepted", None),
        ([3, "{id}", {"status": "Rejected"}], "rejected", None),
        ([3, "{id}", {"status": "accepted"}], "accepted", None),
        ([3, "{id}", {"status": "Perhaps"}], "failed", "the answer cannot be read"),
        ([3, "{id}", {}], "failed", "the answer cannot be read"),
        ([3, "{id}", None], "failed", "the answer cannot be read"),
        ([3, "{id}", []], "failed", "FormationViolation: the payload is not an object"),
        ([3, "{id}"], "failed", "FormationViolation: the answer is malformed"),
        ([4, "{id}", "NotSupported", "no such thing", {}], "failed", "NotSupported: no such thing"),
        ([4, "{id}", "Whatever", "", {}], "failed", "Whatever: "),
        ([4, "{id}", "GenericError", "x" * 5000, {"a": [1]}], "failed", "GenericError: xxx"),
    ],
)
async def test_whatever_a_station_answers_is_kept_and_the_next_command_is_sent(
    world: World, answer: list[Any], state: str, failure: str | None
) -> None:
    async with world.station() as peer:
        await world.submit(remote_stop(CP1, 1, "anna"))
        await world.submit(remote_stop(CP1, 2, "anna"))
        message_id, _, _ = await peer.next_command()
        await peer.socket.send(json.dumps([message_id if part == "{id}" else part for part in answer]))
        _, _, payload = await peer.next_command()
        assert payload == {"transactionId": 2}
    one = world.commands()[1]
    assert one.state == state
    assert (one.failure is None) if failure is None else (one.failure or "").startswith(failure)


async def test_an_answer_to_another_id_answers_nothing(world: World) -> None:
    async with world.station() as peer:
        await world.submit(remote_stop(CP1, 1, "anna"))
        message_id, _, _ = await peer.next_command()
        for other in ("", "0-1", "1-2", message_id + " ", "m1"):
            await peer.answer(other, {"status": "Rejected"})
        await peer.call("Heartbeat", {})
        assert states(world) == ["sent"]
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: states(world) == ["accepted"])
        await peer.answer(message_id, {"status": "Rejected"})
        await peer.call("Heartbeat", {})
        assert states(world) == ["accepted"]


async def test_a_command_that_no_station_could_read_is_not_sent(world: World) -> None:
    async with world.station() as peer:
        await world.submit(QueueCommand(CP1, "Reset", '{"type":"Gently"}', "anna"))
        await world.submit(QueueCommand(CP1, "Explode", "{}", "anna"))
        await world.submit(remote_stop(CP1, 3, "anna"))
        _, _, payload = await peer.next_command()
        assert payload == {"transactionId": 3}
    assert states(world)[:2] == ["rejected", "rejected"]
    assert all((one.failure or "").startswith("not sent: ") for one in world.commands()[1:])


# --- No answer --------------------------------------------------------------------------------------------------------


async def test_a_command_without_an_answer_is_repeated_only_where_that_is_harmless(
    world: World,
) -> None:
    world.wait_for_answers(1, 1)
    async with world.station() as peer:
        await world.submit(reset())
        await world.submit(remote_stop(CP1, 7, "anna"))
        late, action, _ = await peer.next_command()
        assert action == "Reset"
        first, action, _ = await peer.next_command()
        assert action == "RemoteStopTransaction"
        assert states(world)[0] == "timed out"
        assert world.commands()[1].failure == "no answer within 1 s"
        again, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStopTransaction", {"transactionId": 7})
        await peer.call("Heartbeat", {})
        assert states(world) == ["timed out", "sent"]
        await peer.answer(again, {"status": "Accepted"})
        await until(lambda: states(world) == ["timed out", "accepted"])
        assert len({late, first, again}) == 3
        assert [one.attempts for one in world.commands()] == [2, 1]


async def test_a_station_that_does_not_answer_a_command_is_answered_all_the_same(world: World) -> None:
    async with world.station() as peer:
        await world.submit(remote_stop(CP1, 1, "anna"))
        message_id, _, _ = await peer.next_command()
        started = await peer.start(CARD, 0, world.at(0))
        await peer.read(started["transactionId"], world.at(5), 900)
        await peer.stop(started["transactionId"], 1000, world.at(10))
        assert states(world) == ["sent"]
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: states(world) == ["accepted"])


# --- The link goes ----------------------------------------------------------------------------------------------------


async def test_a_link_that_ends_before_the_answer_fails_a_command_or_lets_it_wait_for_the_next(world: World) -> None:
    async with world.station() as peer:
        await world.submit(unlock())
        await peer.next_command()
    await until(lambda: states(world) == ["failed"])
    assert last(world).failure == "the connection ended before an answer came"
    async with world.station() as peer:
        await world.submit(remote_stop(CP1, 7, "anna"))
        await peer.next_command()
    await until(lambda: states(world) == ["failed", "queued"])
    async with world.station(boot=False) as peer:
        message_id, action, _ = await peer.next_command()
        assert action == "RemoteStopTransaction"
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: states(world) == ["failed", "accepted"])


async def test_a_replaced_link_takes_nothing_from_the_newest_one(world: World) -> None:
    async with world.station():
        pass
    async with raw_socket(world.central_system.port, "CP1"):  # will not answer, nor close when it is told to
        await until(lambda: len(world.connections))
        await world.submit(remote_stop(CP1, 7, "anna"))
        await until(lambda: states(world) == ["sent"])
        async with world.station(boot=False) as peer:
            message_id, _, _ = await peer.next_command()
            assert message_id.endswith("-2")
            await until(lambda: world.connections.get(CP1))
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: states(world) == ["accepted"])
            assert peer.commands.empty()


async def test_what_is_said_of_an_earlier_sending_changes_nothing(world: World) -> None:
    await world.submit(remote_stop(CP1, 7, "anna"))
    first = await world.submit(ClaimCommand(CP1))
    await world.submit(AnswerCommand(first.command_id, 1, "timed out", None, "no answer"))
    second = await world.submit(ClaimCommand(CP1))
    assert (second.command_id, second.attempts) == (first.command_id, 2)
    await world.submit(AnswerCommand(first.command_id, 1, "accepted", "{}"))
    assert states(world) == ["sent"]
    await world.submit(AnswerCommand(first.command_id, 2, "accepted", "{}"))
    assert states(world) == ["accepted"]


async def test_a_command_is_given_up_after_its_last_attempt(world: World) -> None:
    await world.submit(remote_stop(CP1, 7, "anna"))
    for attempt in range(1, 6):
        command = await world.submit(ClaimCommand(CP1))
        assert command.attempts == attempt
        await world.submit(AnswerCommand(command.command_id, attempt, "timed out", None, "no answer"))
    assert states(world) == ["timed out"]
    assert await world.submit(ClaimCommand(CP1)) is None


# --- Other processes --------------------------------------------------------------------------------------------------


async def test_a_command_that_another_process_queued_is_found(world: World) -> None:
    other = open_installation(world.installation.settings)
    poll = asyncio.create_task(world.dispatcher.poll())
    try:
        async with world.station() as peer:
            await asyncio.to_thread(other.engine.execute, remote_stop(CP1, 7, "command line"))
            message_id, _, payload = await peer.next_command()
            assert payload == {"transactionId": 7}
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: states(world) == ["accepted"])
    finally:
        poll.cancel()
        other.database.close()


async def test_a_command_that_was_sent_when_the_server_died_is_taken_up_or_failed(make_settings: SettingsMaker) -> None:
    settings = make_settings()
    async with open_world(settings) as world:
        async with world.station():
            pass
        await world.submit(unlock())
        await world.submit(remote_stop(CP1, 7, "anna"))
        for _ in range(2):  # as the dispatcher does, and then the process is gone
            await world.submit(ClaimCommand(CP1))
        assert states(world) == ["sent", "sent"]
    async with open_world(settings, furnish=False) as world:
        assert states(world) == ["sent", "sent"]
        async with world.station(boot=False) as peer:
            message_id, action, _ = await peer.next_command()
            assert action == "RemoteStopTransaction"
            assert message_id.endswith("-2")
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: states(world) == ["failed", "accepted"])


async def test_many_commands_queued_at_once_are_all_sent_without_a_poll(world: World) -> None:
    async with world.station() as peer:
        stopped = []
        for start in range(0, 40, 10):  # while the last ones are being looked for and answered
            asked = [asyncio.ensure_future(world.submit(remote_stop(CP1, start + n, "anna"))) for n in range(10)]
            for _ in range(10):
                message_id, _, payload = await peer.next_command()
                stopped.append(payload["transactionId"])
                await peer.answer(message_id, {"status": "Accepted"})
            await asyncio.gather(*asked)
        assert sorted(stopped) == list(range(40))
        await until(lambda: states(world) == ["accepted"] * 40)
        assert peer.commands.empty()
