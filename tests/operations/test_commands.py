"""Batches, and what follows from the answers of core commands, on both databases."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, select

from csms import clock
from csms.charging import models, settings_view
from csms.charging.command_ends import CancelCommand
from csms.charging.command_models import command_batch
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.commands.dangers import danger_of
from csms.commands.history import CommandFilter, count_commands, find_batch, list_batches, list_commands
from csms.commands.requests import CommandInvalid, ask
from csms.commands.targets import every_station, known_target, named_target
from csms.operations import core_store
from csms.operations.commands import QueueBatch, StopBatch
from csms.operations.core_models import data_transfer, station_outcome, wanted_availability
from tests.support.waiting import until
from tests.support.world import World

CP1 = 1


def batch(*charge_point_ids: int, key: str = "form-1", action: str = "ClearCache", **payload: Any) -> QueueBatch:
    """Return a command to many charge points."""
    return QueueBatch(key, "group Harbour", charge_point_ids, ask(0, action, payload, "anna"))


async def answered(world: World, action: str, payload: dict[str, Any], answer_json: str | None, state: str) -> int:
    """Ask CP1 for a command, and record an answer twice."""
    command_id: int = (await world.submit(ask(CP1, action, payload, "anna"))).command_id
    claimed = await world.submit(ClaimCommand(CP1, new_salt="00" * 16))
    assert claimed.command_id == command_id
    said = AnswerCommand(command_id, 1, state, answer_json)  # type: ignore[arg-type]
    for _ in range(2):
        await world.submit(said)
    return command_id


def rows(world: World, table: Any) -> list[dict[str, Any]]:
    """Return all rows of a table."""
    with world.database.reading() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key))
        return [dict(row._mapping) for row in found]


# --- Batches ----------------------------------------------------------------------------------------------------------


async def test_a_form_that_is_sent_twice_asks_each_charge_point_once(world: World) -> None:
    other = await world.add_station("CP2")
    numbers = await asyncio.gather(*(world.submit(batch(CP1, other)) for _ in range(3)))
    assert len(set(numbers)) == 1
    assert await world.submit(batch(CP1, other)) == numbers[0]
    another = await world.submit(batch(CP1, key="form-2"))
    assert another != numbers[0]
    with world.database.reading() as connection:
        found = find_batch(connection, numbers[0])
        assert found is not None
        assert (found.size, found.queued, found.is_over) == (2, 2, False)
        assert [one.batch_id for one in list_batches(connection, limit=10)] == [another, numbers[0]]
        assert [one.batch_id for one in list_batches(connection, before=another, limit=10)] == [numbers[0]]
        assert count_commands(connection, CommandFilter(batch_id=numbers[0])) == 2


async def test_a_batch_is_counted_from_its_commands_and_stopped_where_it_stands(world: World) -> None:
    others = [await world.add_station(f"CP{n}") for n in range(2, 6)]
    number = await world.submit(batch(CP1, *others))
    first, second, _, cancelled, _ = rows(world, models.command)
    for charge_point_id in (CP1, others[0]):
        await world.submit(ClaimCommand(charge_point_id))
    await world.submit(AnswerCommand(first["id"], 1, "accepted", '{"status":"Accepted"}'))
    await world.submit(CancelCommand(cancelled["id"], "bert"))
    assert await world.submit(StopBatch(number, "carl")) == 2
    assert await world.submit(StopBatch(number, "dora")) == 0
    assert await world.submit(StopBatch(4711, "dora")) is None
    with world.database.reading() as connection:
        found = find_batch(connection, number)
    assert found is not None
    assert (found.accepted, found.sent, found.expired, found.queued) == (1, 1, 3, 0)
    assert (found.decided, found.stopped_by, found.is_over) == (4, "carl", False)
    await world.submit(AnswerCommand(second["id"], 1, "rejected", '{"status":"Rejected"}'))
    with world.database.reading() as connection:
        found = find_batch(connection, number)
    assert found is not None
    assert found.is_over


async def test_a_batch_of_a_thousand_issues_as_many_statements_as_one_of_two(world: World) -> None:
    statements: list[str] = []
    ids = [CP1, *(await asyncio.gather(*(world.add_station(f"S{n}") for n in range(999))))]
    event.listen(world.database.engine, "before_cursor_execute", lambda *about: statements.append(about[2]))
    await world.submit(batch(*ids[:2]))
    of_two = len(statements)
    statements.clear()
    await world.submit(batch(*ids, key="form-2"))
    assert len(statements) == of_two
    assert len(rows(world, models.command)) == 1002


async def test_a_batch_reaches_each_station_when_it_is_there(world: World) -> None:
    other = await world.add_station("CP2")
    number = await world.submit(batch(CP1, other, action="Reset", type="Soft"))
    for identity in ("CP1", "CP2"):
        async with world.station(identity) as peer:
            message_id, action, payload = await peer.next_command()
            assert (action, payload) == ("Reset", {"type": "Soft"})
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: [row["state"] for row in rows(world, models.command)].count("sent") == 0)
    with world.database.reading() as connection:
        found = find_batch(connection, number)
    assert found is not None
    assert found.accepted == 2


async def test_the_key_of_a_batch_is_in_no_row(world: World) -> None:
    key = "0123456789abcdef0123456789abcdef"
    asked = ask(0, "ChangeConfiguration", {"key": "AuthorizationKey", "value": key}, "anna")
    await world.submit(QueueBatch("form-1", "all", (CP1,), asked))
    assert key not in str(rows(world, command_batch)) + str(rows(world, models.command))
    async with world.station() as peer:
        message_id, _, payload = await peer.next_command()
        assert payload["value"] == key
        await peer.answer(message_id, {"status": "Rejected"})


async def test_whom_a_command_is_for(world: World) -> None:
    other = await world.add_station("CP2")
    with world.database.reading() as connection:
        assert every_station(connection).charge_point_ids == (CP1, other)
        named = named_target(connection, ["CP2", " CP1 ", "", "CP2", "nobody"])
        assert (set(named.charge_point_ids), named.unknown) == ({CP1, other}, ("nobody",))
        assert known_target(connection, [other, 77]).unknown == ("77",)
        assert known_target(connection, []).charge_point_ids == ()
        assert [one.charge_point for one in list_commands(connection, CommandFilter(), limit=5)] == []


# --- What follows -----------------------------------------------------------------------------------------------------


async def test_what_is_wanted_of_connectors_is_the_latest_wish_and_its_answer(world: World) -> None:
    for connector_id, kind, status, state in (
        (1, "Inoperative", "Accepted", "accepted"),
        (1, "Operative", "Rejected", "rejected"),
        (2, "Inoperative", "Scheduled", "accepted"),
    ):
        payload = {"connectorId": connector_id, "type": kind}
        await answered(world, "ChangeAvailability", payload, f'{{"status":"{status}"}}', state)
    wanted = {row["connector_id"]: (row["availability"], row["answer"]) for row in rows(world, wanted_availability)}
    assert wanted == {1: ("Operative", "Rejected"), 2: ("Inoperative", "Scheduled")}
    whole = {"connectorId": 0, "type": "Inoperative"}
    await answered(world, "ChangeAvailability", whole, '{"status":"Accepted"}', "accepted")
    assert [row["connector_id"] for row in rows(world, wanted_availability)] == [0]


async def test_each_act_keeps_its_latest_outcome(world: World) -> None:
    accepted = '{"status":"Accepted"}'
    await answered(world, "ClearCache", {}, '{"status":"Rejected"}', "rejected")
    await answered(world, "ClearCache", {}, accepted, "accepted")
    await answered(world, "Reset", {"type": "Hard"}, accepted, "accepted")
    await answered(world, "TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 2}, accepted, "accepted")
    await answered(world, "DataTransfer", {"vendorId": "v", "messageId": "m"}, accepted, "accepted")
    await answered(world, "UnlockConnector", {"connectorId": 1}, None, "timed out")
    outcomes = {(row["action"], row["subject"]): row["outcome"] for row in rows(world, station_outcome)}
    assert outcomes == {
        ("ClearCache", ""): "Accepted",
        ("Reset", "Hard"): "Accepted",
        ("TriggerMessage", "MeterValues of connector 2"): "Accepted",
        ("DataTransfer", "v m"): "Accepted",
        ("UnlockConnector", "connector 1"): "timed out",
    }
    with world.database.reading() as connection:
        assert len(core_store.outcomes_of(connection, CP1)) == 5


async def test_configuration_that_an_operator_reads_and_changes_is_known_and_judged(world: World) -> None:
    report = '{"configurationKey":[{"key":"LocalPreAuthorize","readonly":false,"value":"true"}],"unknownKey":["Nope"]}'
    await answered(world, "GetConfiguration", {"key": ["LocalPreAuthorize", "Nope"]}, report, "accepted")
    [setting] = rows(world, models.station_setting)
    assert (setting["key"], setting["reported_value"], setting["state"]) == ("LocalPreAuthorize", "true", "differs")
    for value, status, state in (
        ("false", "Accepted", "right"),
        ("true", "Accepted", "differs"),
        ("false", "RebootRequired", "reboot required"),
        ("true", "Rejected", "reboot required"),
    ):
        payload = {"key": "localpreauthorize", "value": value}
        ended = "accepted" if status != "Rejected" else "rejected"
        await answered(world, "ChangeConfiguration", payload, f'{{"status":"{status}"}}', ended)
        [setting] = rows(world, models.station_setting)
        assert setting["state"] == state, (value, status)
    await answered(world, "ChangeConfiguration", {"key": "Own", "value": "1"}, '{"status":"Accepted"}', "accepted")
    with world.database.reading() as connection:
        shown = settings_view.find_settings(connection, CP1)
    assert shown is not None
    assert {row["key"]: row["reported_value"] for row in rows(world, models.station_setting)}["Own"] == "1"


@pytest.mark.parametrize("answer", ["{}", '{"configurationKey":null}', '{"configurationKey":[{"key":""}]}'])
async def test_a_report_that_says_nothing_changes_nothing(world: World, answer: str) -> None:
    await answered(world, "GetConfiguration", {"key": ["Own"]}, answer, "accepted")
    assert [row["key"] for row in rows(world, models.station_setting)] == []


async def test_messages_of_vendors_over_the_socket(world: World) -> None:
    with world.database.unit_of_work() as connection:
        core_store.register_vendor(connection, "Com.Example", ["Hello"], "Accepted", clock.now(), keeps_data=True)
        core_store.register_vendor(connection, "com.refused", [], "Rejected", clock.now(), keeps_data=False)
    async with world.station() as peer:
        for payload, status in (
            ({"vendorId": "com.example", "messageId": "hello", "data": "x" * 20_000}, "Accepted"),
            ({"vendorId": "com.example", "messageId": "Bye"}, "UnknownMessageId"),
            ({"vendorId": "com.example"}, "UnknownMessageId"),
            ({"vendorId": "com.refused", "messageId": "any", "data": "gone"}, "Rejected"),
            ({"vendorId": "nobody", "data": "gone"}, "UnknownVendorId"),
            ({"vendorId": "org.openchargealliance.costmsg", "messageId": "Other"}, "UnknownMessageId"),
        ):
            for _ in range(2):
                assert (await peer.call("DataTransfer", payload))["status"] == status
    kept = rows(world, data_transfer)
    assert [row["status"] for row in kept[::2]] == [
        "Accepted",
        "UnknownMessageId",
        "UnknownMessageId",
        "Rejected",
        "UnknownVendorId",
    ]
    assert (len(kept[0]["data"]), kept[0]["length"]) == (16_384, 20_000)
    assert "gone" not in str(kept)


# --- Dangers and wishes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payload", "charging_at", "is_dangerous"),
    [
        ("Reset", {"type": "Hard"}, (), True),
        ("Reset", {"type": "Soft"}, (), False),
        ("Reset", {"type": "Soft"}, (1, 2), True),
        ("UnlockConnector", {"connectorId": 1}, (1,), True),
        ("UnlockConnector", {"connectorId": 2}, (1,), False),
        ("ChangeConfiguration", {"key": "authorizationKEY", "value": "x"}, (), True),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "1"}, (), False),
        ("ClearChargingProfile", {}, (), True),
        ("ClearChargingProfile", {"id": 1}, (), False),
        ("UpdateFirmware", {}, (), True),
        ("DeleteCertificate", {}, (), True),
        ("ClearCache", {}, (1,), False),
    ],
)
def test_what_a_person_should_think_about_twice(
    action: str, payload: dict[str, Any], charging_at: tuple[int, ...], *, is_dangerous: bool
) -> None:
    assert bool(danger_of(action, payload, charging_at)) == is_dangerous


def test_a_wish_that_is_no_call_names_the_field() -> None:
    with pytest.raises(CommandInvalid) as refused:
        ask(CP1, "Reset", {"type": "Gently"}, "anna")
    assert refused.value.field == "type"
    with pytest.raises(CommandInvalid) as refused:
        ask(CP1, "StartTransaction", {}, "anna")
    assert refused.value.field == "action"
