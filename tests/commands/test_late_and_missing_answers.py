"""Commands whose answer comes late, comes as an error, or does not come at all: at the link, and by the clock."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from csms import clock
from csms.charging import models
from csms.charging.command_ends import CancelCommand, ExpireCommands
from csms.charging.command_models import command_secret
from csms.charging.command_queue import ClaimCommand, QueueCommand
from csms.charging.follow_ups import ending
from csms.commands.expiry import Expiry
from csms.commands.history import CommandRow, find_command
from csms.commands.remote import remote_stop
from csms.commands.requests import ask
from csms.commands.waiting import Waiting
from csms.config import Settings
from csms.installation import open_installation
from csms.operations.core_models import station_outcome
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

SettingsMaker = Callable[..., Settings]
CP1 = 1
BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}


def one(world: World, command_id: int) -> CommandRow:
    """Return a command as people see it."""
    with world.database.reading() as connection:
        found = find_command(connection, command_id)
    assert found is not None
    return found


async def queue(world: World, action: str, payload: dict[str, Any], **more: Any) -> int:
    """Queue a command at CP1 and return its number."""
    command = await world.submit(ask(CP1, action, payload, "anna", **more))
    number: int = command.command_id
    return number


# --- Late -------------------------------------------------------------------------------------------------------------


async def test_an_answer_that_comes_too_late_is_kept_with_its_command_and_given_to_nobody_else(
    world: World,
) -> None:
    world.wait_for_answers(0.2)
    async with world.station() as peer:
        unlock = await queue(world, "UnlockConnector", {"connectorId": 1})
        late, _, _ = await peer.next_command()
        await until(lambda: one(world, unlock).state == "timed out")
        stop = await queue(world, "RemoteStopTransaction", {"transactionId": 7})
        first, _, _ = await peer.next_command()
        for _ in range(2):  # and again: only the first counts
            await peer.answer(late, {"status": "UnlockFailed"})
        await until(lambda: one(world, unlock).state == "rejected")
        assert json.loads(one(world, unlock).answer_json or "") == {"status": "UnlockFailed"}
        assert one(world, unlock).failure is None
        assert (one(world, unlock).remark or "").startswith("answered late, ")
        assert one(world, stop).state == "sent"
        await peer.answer(first, {"status": "Accepted"})
        await until(lambda: one(world, stop).state == "accepted")
        assert one(world, stop).remark is None


async def test_a_late_answer_to_an_earlier_attempt_is_remarked_and_the_present_attempt_decides(
    world: World,
) -> None:
    world.wait_for_answers(0.2)
    async with world.station() as peer:
        stop = await queue(world, "RemoteStopTransaction", {"transactionId": 7})
        first, _, _ = await peer.next_command()
        again, _, _ = await peer.next_command()
        await peer.answer(first, {"status": "Rejected"})
        await until(lambda: one(world, stop).remark)
        assert (one(world, stop).state, one(world, stop).remark) == ("sent", "attempt 1 was answered late: rejected")
        await peer.answer(again, {"status": "Accepted"})
        await until(lambda: one(world, stop).state == "accepted")


async def test_a_late_answer_may_come_over_the_next_connection(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings()) as world:
        async with world.station() as peer:
            unlock = await queue(world, "UnlockConnector", {"connectorId": 1})
            late, _, _ = await peer.next_command()
        await until(lambda: one(world, unlock).state == "failed")
        async with world.station(boot=False) as peer:
            await peer.answer(late, {"status": "Unlocked"})
            await until(lambda: one(world, unlock).state != "failed")
        found = one(world, unlock)
        assert (found.state, found.failure) == ("accepted", None)
        assert json.loads(found.answer_json or "") == {"status": "Unlocked"}
        assert (found.remark or "").startswith("answered late, ")


async def test_another_station_cannot_answer_late_for_it(world: World) -> None:
    world.wait_for_answers(0.2)
    await world.add_station("CP2")
    async with world.station() as peer, world.station("CP2") as other:
        unlock = await queue(world, "UnlockConnector", {"connectorId": 1})
        late, _, _ = await peer.next_command()
        await until(lambda: one(world, unlock).state == "timed out")
        await other.answer(late, {"status": "Unlocked"})
        await other.call("Heartbeat", {})
        assert one(world, unlock).state == "timed out"
        await peer.answer(late, {"status": "Unlocked"})
        await until(lambda: one(world, unlock).state == "accepted")


async def test_thousands_of_answers_to_nothing_cost_nothing_and_keep_nobody_waiting(world: World) -> None:
    async with world.station() as peer:
        stop = await queue(world, "RemoteStopTransaction", {"transactionId": 7})
        message_id, _, _ = await peer.next_command()
        for n in range(2000):
            await peer.answer(f"{n}-1" if f"{n}-1" != message_id else "x", {"status": "Accepted"})
        await peer.call("Heartbeat", {})
        assert one(world, stop).state == "sent"
        assert world.dispatcher._unanswered == {}
        assert len(world.dispatcher._tasks) == 1


# --- An error where a status was expected -----------------------------------------------------------------------------


async def test_a_call_error_is_kept_with_code_description_and_details(world: World) -> None:
    async with world.station() as peer:
        command_id = await queue(world, "ChangeAvailability", {"connectorId": 1, "type": "Inoperative"})
        message_id, _, _ = await peer.next_command()
        details = {"why": ["no", 1]}
        for _ in range(2):
            await peer.socket.send(json.dumps([4, message_id, "NotSupported", "not at connector 1", details]))
        await until(lambda: one(world, command_id).state == "failed")
    row = one(world, command_id)
    assert (row.error_code, row.error_description) == ("NotSupported", "not at connector 1")
    assert json.loads(row.answer_json or "") == details
    assert row.failure == "NotSupported: not at connector 1"
    assert row.attempts == 1


# --- A boot answers a reset -------------------------------------------------------------------------------------------


async def test_a_station_that_reboots_before_it_answered_has_done_its_reset(world: World) -> None:
    async with world.station() as peer:
        command_id = await queue(world, "Reset", {"type": "Hard"})
        await peer.next_command()
    await asyncio.sleep(0)
    async with world.station(boot=False) as peer:
        await peer.call("Heartbeat", {})
        assert one(world, command_id).state == "sent"  # it may have lost the link only
        for _ in range(2):
            await peer.call("BootNotification", BOOT)
        row = one(world, command_id)
        assert row.state == "accepted"
        assert (row.remark or "").startswith("no answer came; the charge point booted, ")
        assert row.answer_json is None
        assert peer.commands.empty()


async def test_a_boot_after_the_time_ran_out_counts_as_well_and_one_long_after_does_not(
    world: World,
) -> None:
    world.wait_for_answers(0.2, 0.2)
    async with world.station() as peer:
        old, new = [await queue(world, "Reset", {"type": "Soft"}) for _ in range(2)]
        await peer.next_command()
        await until(lambda: one(world, new).state == "timed out")
        long_ago = clock.now() - timedelta(hours=1)
        with world.database.unit_of_work() as connection:
            connection.execute(update(models.command).where(models.command.c.id == old).values(sent_at=long_ago))
        await peer.call("BootNotification", BOOT)
        assert [one(world, old).state, one(world, new).state] == ["timed out", "accepted"]


async def test_a_reset_that_was_refused_stays_refused_whatever_boots(world: World) -> None:
    async with world.station() as peer:
        command_id = await queue(world, "Reset", {"type": "Soft"})
        message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, {"status": "Rejected"})
        await until(lambda: one(world, command_id).state == "rejected")
        await peer.call("BootNotification", BOOT)
    assert one(world, command_id).state == "rejected"
    assert one(world, command_id).remark is None


# --- The clock --------------------------------------------------------------------------------------------------------


async def test_what_waits_for_an_absent_station_expires_once_whichever_node_looks(world: World) -> None:
    short = await queue(world, "ClearCache", {}, expires_s=0)
    long = await queue(world, "ClearCache", {}, expires_s=600)
    elsewhere = open_installation(world.installation.settings)
    waiting = Waiting(world.database, world.engine, poll_s=60)
    watching = asyncio.create_task(waiting.wait_for(short, 30))
    try:
        sent_before = clock.now() - timedelta(minutes=5)
        counted = await asyncio.to_thread(elsewhere.engine.execute, ExpireCommands((long,), sent_before))
        assert counted == 0
        expiry = Expiry(world.database, world.engine, clock.now, call_timeout_s=60)
        assert [await expiry.sweep(), await expiry.sweep()] == [1, 0]
        assert await asyncio.to_thread(elsewhere.engine.execute, ExpireCommands((short, long), sent_before)) == 0
    finally:
        elsewhere.database.close()
    row = await watching
    assert row is not None
    assert (row.state, row.failure) == ("expired", "the charge point was not there in time")
    assert one(world, long).state == "queued"
    async with world.station() as peer:
        _, action, _ = await peer.next_command()
        assert action == "ClearCache"
        assert peer.commands.empty()


async def test_more_than_one_look_can_hold_expire_in_one_sweep(world: World) -> None:
    for _ in range(3):
        await asyncio.gather(*(world.submit(ask(CP1, "ClearCache", {}, "anna", expires_s=0)) for _ in range(100)))
    assert await Expiry(world.database, world.engine, clock.now, call_timeout_s=60).sweep() == 300


async def test_what_was_sent_by_a_node_that_died_is_decided_or_waits_for_another_attempt(world: World) -> None:
    once = await queue(world, "UnlockConnector", {"connectorId": 1})
    often = await queue(world, "ClearCache", {})
    for _ in range(2):
        await world.submit(ClaimCommand(CP1))
    expiry = Expiry(world.database, world.engine, clock.now, call_timeout_s=60)
    assert await expiry.sweep() == 0
    later = Expiry(world.database, world.engine, lambda: clock.now() + timedelta(minutes=5), call_timeout_s=60)
    assert await later.sweep() == 2
    assert [one(world, once).state, one(world, often).state] == ["timed out", "queued"]


async def test_the_clock_runs_beside_the_server(world: World) -> None:
    command_id = await queue(world, "ClearCache", {}, expires_s=0)
    running = asyncio.create_task(
        Expiry(world.database, world.engine, clock.now, call_timeout_s=60, every_s=0.01).run()
    )
    await until(lambda: one(world, command_id).state != "queued")
    running.cancel()
    found = one(world, command_id)
    assert (found.state, found.failure) == ("expired", "the charge point was not there in time")


# --- Cancelling -------------------------------------------------------------------------------------------------------


async def test_what_is_queued_can_be_cancelled_and_what_is_on_its_way_cannot(world: World) -> None:
    cancelled = await queue(world, "ClearCache", {})
    assert await world.submit(CancelCommand(cancelled, "berta")) is True
    assert await world.submit(CancelCommand(cancelled, "carl")) is False
    assert await world.submit(CancelCommand(10_000, "carl")) is None
    assert (one(world, cancelled).state, one(world, cancelled).failure) == ("expired", "cancelled by berta")
    async with world.station() as peer:
        sent = await queue(world, "ClearCache", {})
        message_id, _, _ = await peer.next_command()
        assert message_id == f"{sent}-1"
        assert await world.submit(CancelCommand(sent, "berta")) is False
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: one(world, sent).state == "accepted")


# --- Nothing blocks ---------------------------------------------------------------------------------------------------


async def test_a_station_that_never_answers_is_answered_and_delays_no_other(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings(call_timeout_s=600)) as world:
        stations = ["CP1"] + [f"CP{n}" for n in range(2, 7)]
        for identity in stations[1:]:
            await world.add_station(identity)
        async with world.station() as silent:
            started = await silent.start(CARD, 0, world.at(0))
            for _ in range(5):
                await queue(world, "GetConfiguration", {})
            await silent.next_command()
            for minute in range(1, 30):
                answer = await silent.read(started["transactionId"], world.at(minute), minute * 100)
                assert answer == {}
            await asyncio.gather(*(_quick(world, identity, n + 2) for n, identity in enumerate(stations[1:])))
            assert silent.commands.empty()  # the others were served while the first one waited for its answer


async def _quick(world: World, identity: str, charge_point_id: int) -> None:
    async with world.station(identity) as peer:
        for _ in range(3):
            command = await world.submit(ask(charge_point_id, "ClearCache", {}, "anna"))
            message_id, _, _ = await peer.next_command()
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda command=command: one(world, command.command_id).state == "accepted")


# --- Keys and passwords -----------------------------------------------------------------------------------------------


def _everything(world: World) -> str:
    with world.database.reading() as connection:
        tables = (models.command, models.station_setting, models.charge_point, station_outcome)
        return str([connection.execute(select(table)).all() for table in tables])


def _secrets(world: World) -> list[str]:
    with world.database.reading() as connection:
        return list(connection.execute(select(command_secret.c.payload_json)).scalars())


async def _answered(world: World, peer: Peer, command_id: int, status: str) -> dict[str, Any]:
    message_id, _, payload = await peer.next_command()
    await peer.answer(message_id, {"status": status})
    await until(lambda: one(world, command_id).is_decided)
    return payload


async def test_a_key_is_sent_whole_and_shown_nowhere(world: World) -> None:
    key = "0123456789abcdef0123456789abcdef"
    command_id = await queue(world, "ChangeConfiguration", {"key": "AuthorizationKey", "value": key})
    assert key not in _everything(world)
    assert len(_secrets(world)) == 1
    async with world.station() as peer:
        payload = await _answered(world, peer, command_id, "Accepted")
        assert payload == {"key": "AuthorizationKey", "value": key}
    assert json.loads(one(world, command_id).payload_json) == {"key": "AuthorizationKey", "value": "***"}
    assert key not in _everything(world)
    assert _secrets(world) == []  # nor is it kept when it is not needed any more
    async with world.station(key=bytes.fromhex(key), boot=False) as peer:  # and it is the station's key now
        await peer.call("Heartbeat", {})


async def test_a_password_in_an_address_is_sent_whole_and_shown_nowhere(world: World) -> None:
    location = "ftp://logs:much-too-secret@127.0.0.1/in"
    command_id = await queue(world, "GetDiagnostics", {"location": location})
    cancelled = await queue(world, "GetDiagnostics", {"location": location})
    await world.submit(CancelCommand(cancelled, "anna"))
    async with world.station() as peer:
        message_id, _, payload = await peer.next_command()
        assert payload["location"] == location
        await peer.answer(message_id, {"fileName": "x.log"})
        await until(lambda: one(world, command_id).state == "accepted")
    assert "much-too-secret" not in _everything(world)
    assert _secrets(world) == []


async def test_a_password_that_a_station_reports_is_not_kept(world: World) -> None:
    async with world.station() as peer:
        command_id = await queue(world, "GetConfiguration", {})
        message_id, _, _ = await peer.next_command()
        keys = [
            {"key": "AuthorizationKey", "readonly": False, "value": "5ecret-one"},
            {"key": "WifiPassword", "readonly": False, "value": "5ecret-two"},
        ]
        await peer.answer(message_id, {"configurationKey": keys})
        await until(lambda: one(world, command_id).state == "accepted")
    assert "5ecret" not in _everything(world)


# --- A defect of what follows -----------------------------------------------------------------------------------------


async def test_a_defect_of_a_rule_that_follows_costs_the_answer_nothing(world: World) -> None:
    def broken(*_: object) -> tuple[object, ...]:
        raise RuntimeError("a defect")

    decide = ending(world.engine._rules.deciders[CancelCommand], {"ClearCache": (broken,)})
    world.engine._rules = type(world.engine._rules)(
        {**world.engine._rules.deciders, CancelCommand: decide},
        world.engine._rules.loaders,
        world.engine._rules.writers,
    )
    command = await world.submit(QueueCommand(CP1, "ClearCache", "{}", "anna"))
    assert await world.submit(CancelCommand(command.command_id, "anna")) is True
    assert one(world, command.command_id).state == "expired"


async def test_remote_stop_keeps_the_transaction_it_is_about(world: World) -> None:
    command = await world.submit(remote_stop(CP1, 77, "anna"))
    assert (command.transaction_id, command.repeatable) == (77, True)
