"""The harness itself: what an operator asks for over the API reaches a station, and what comes back is shown."""

import asyncio

from csms.charging import models
from tests.conformance.harness import CARD, Operator, Station


async def test_a_command_asked_for_over_the_api_reaches_the_station_and_its_answer_comes_back(
    operator: Operator, station: Station
) -> None:
    asked = await operator.command("Reset", {"type": "Hard"})
    taken = await station.takes("Reset", {"type": "Hard"})
    assert (await asked.now()).state == "sent"
    await taken.answer({"status": "Accepted"})
    done = await asked.done()
    assert (done.state, done.answer, done.requested_by) == ("accepted", {"status": "Accepted"}, "api key operator")
    [row] = operator.stored(models.command, models.command.c.id == done.id)
    assert row["state"] == "accepted"


async def test_the_answer_is_waited_for_as_long_as_was_asked_for(operator: Operator, station: Station) -> None:
    body = {"action": "ClearCache", "wait_s": 20}
    waiting = asyncio.create_task(operator.send("POST", "/charge-points/1/commands", body))
    await station.takes("ClearCache", {}, answers={"status": "Rejected"})
    response = await waiting
    assert (response.status_code, response.json()["state"]) == (200, "rejected")
    assert (await operator.get(response.headers["location"].removeprefix("/api/v1"))) == response.json()


async def test_a_call_error_is_a_failed_command(operator: Operator, station: Station) -> None:
    asked = await operator.command("GetConfiguration", {"key": ["HeartbeatInterval"]})
    await station.refuses("GetConfiguration", "NotSupported", "no")
    done = await asked.done()
    assert (done.state, done.failure) == ("failed", "NotSupported: no")


async def test_a_payload_that_is_no_call_is_refused_and_the_field_is_named(operator: Operator) -> None:
    problem = await operator.refused(422, "/charge-points/1/commands", {"action": "Reset", "payload": {"type": "Warm"}})
    assert problem["field"] == "payload.type"
    problem = await operator.refused(422, "/charge-points/1/commands", {"action": "Dance"})
    assert problem["field"] == "action"
    problem = await operator.refused(422, "/charge-points/1/commands", {"action": "Reset", "wait_s": -1})
    assert problem["field"] == "wait_s"
    assert operator.world.commands() == []


async def test_told_and_a_whole_charge(operator: Operator, station: Station) -> None:
    row = await operator.told(station, "ClearCache", answers={"status": "Accepted"})
    assert row.state == "accepted"
    assert await station.authorize(CARD) == "Accepted"
    started = await station.start(CARD, 0, operator.world.at(0))
    await station.stop(started["transactionId"], 1000, operator.world.at(5))
    assert operator.world.transaction(started["transactionId"]).state == "ended"


async def test_a_command_for_nobody_is_not_found(operator: Operator) -> None:
    assert (await operator.refused(404, "/charge-points/77/commands", {"action": "ClearCache"}))["status"] == 404


async def test_nothing_is_sent_to_a_station_that_did_not_boot(operator: Operator) -> None:
    async with operator.station(boot=False) as station:
        asked = await operator.command("ClearCache")
        await station.hears_nothing()
        assert (await asked.now()).state == "queued"
        await station.boots()
        await station.takes("ClearCache", {}, answers={"status": "Accepted"})
        await asked.done()
