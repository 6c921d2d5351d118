"""The stream of events: what happens arrives in order, once, with what was missed; nobody can hold the server up."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import pytest

from csms import clock
from csms.operations import event_store
from csms.operations.events import TYPES
from csms.web.api import events, keys
from csms.web.api.event_views import EVENT_TYPES
from tests.conformance.harness import CARD, Operator, Station


class Listener:
    """Reads server-sent events off a response."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.id = ""

    async def next(self) -> dict[str, Any]:
        """Return the next event's data."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                if not line and "data" in fields:
                    self.id = fields.get("id", self.id)
                    event: dict[str, Any] = msgspec.json.decode(fields["data"])
                    assert fields["event"] == event["type"]
                    return event
                name, _, value = line.partition(": ")
                fields[name] = value
        raise AssertionError("the stream ended")

    async def types(self, count: int) -> list[str]:
        """Return the types of the next events."""
        return [(await self.next())["type"] for _ in range(count)]


@asynccontextmanager
async def listening(operator: Operator, last: str | None = None, **query: str) -> AsyncIterator[Listener]:
    """Open the stream."""
    headers = {} if last is None else {"Last-Event-ID": last}
    async with operator.http.stream("GET", "/api/v1/events", headers=headers, params=query) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Listener(response)


def test_the_types_of_the_api_are_those_that_are_written_down() -> None:
    assert set(EVENT_TYPES) == set(TYPES)


async def test_a_charge_is_told_from_its_connection_to_its_end(any_operator: Operator) -> None:
    operator = any_operator
    async with listening(operator) as listener:
        async with operator.station() as station:
            await station.status(1, "Preparing")
            started = await station.start(CARD, 0, operator.world.at(0))
            number = started["transactionId"]
            await station.read(number, operator.world.at(1), 500)
            await station.stop(number, 1000, operator.world.at(5))
            asked = await operator.command("ClearCache")
            await station.takes("ClearCache", answers={"status": "Accepted"})
            await asked.done()
        assert (await listener.next())["type"] == "charge_point.connected"
        status = await listener.next()
        assert (status["type"], status["data"]["status"]) == ("connector.status", "Preparing")
        assert (await listener.next())["data"]["transaction_id"] == number
        reading = await listener.next()
        assert (reading["type"], reading["data"]["energy_wh"]) == ("transaction.reading", 500)
        ended = await listener.next()
        assert ended["data"]["cost"] == {"amount": "0.95", "currency": "EUR"}
        decided = await listener.next()
        assert decided["data"]["answer"] == {"status": "Accepted"}
        assert await listener.types(1) == ["charge_point.disconnected"]


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(any_operator: Operator) -> None:
    operator = any_operator
    async with operator.station() as station:
        async with listening(operator) as listener:
            await station.status(1, "Preparing")
            await listener.next()
            last = listener.id
        await station.status(1, "Charging")
        await station.status(1, "Finishing")
        async with listening(operator, last) as listener:
            assert [(await listener.next())["data"]["status"] for _ in range(2)] == ["Charging", "Finishing"]
            await station.status(1, "Available")
            assert (await listener.next())["data"]["status"] == "Available"


async def test_only_the_types_that_were_asked_for_come(operator: Operator) -> None:
    async with listening(operator, types="account.paid_in") as listener, operator.station() as station:
        await station.status(1, "Available")
        await operator.world.top_up(CARD, 500)
        event = await listener.next()
        assert event["data"]["amount"] == {"amount": "5.00", "currency": "EUR"}
        assert event["data"]["balance"] == {"amount": "25.00", "currency": "EUR"}


async def test_a_repeated_message_happens_once(operator: Operator) -> None:
    async with operator.station() as station:
        async with listening(operator, types="transaction.started,transaction.reading,transaction.ended") as listener:
            for _ in range(2):
                started = await station.start(CARD, 0, operator.world.at(0))
            for _ in range(2):
                await station.read(started["transactionId"], operator.world.at(1), 500)
            for _ in range(2):
                await station.stop(started["transactionId"], 1000, operator.world.at(5))
            expected = ["transaction.started", "transaction.reading", "transaction.ended"]
            assert await listener.types(3) == expected
        assert sum(len(one.events) for one in _events(operator) if one.events[0][0].startswith("transaction")) == 3


async def test_an_old_connection_that_ends_after_a_newer_one_began_is_no_disconnection(operator: Operator) -> None:
    async with listening(operator, types="charge_point.connected,charge_point.disconnected") as listener:
        async with operator.station(), operator.station():
            assert await listener.types(2) == ["charge_point.connected"] * 2
        assert await listener.types(1) == ["charge_point.disconnected"]
    kinds = [kind for one in _events(operator) for kind, _ in one.events]
    assert kinds.count("charge_point.disconnected") == 1


async def test_what_is_kept_no_more_is_told(operator: Operator, station: Station) -> None:
    await station.status(1, "Preparing")
    await station.status(1, "Charging")
    first = _events(operator)[0].position
    with operator.world.database.unit_of_work() as connection:
        event_store.forget_events(connection, operator.world.start_of_time.replace(year=9000))
    async with listening(operator, f"{first}-0") as listener:
        assert (await listener.next())["type"] == "events.lost"
        assert (await listener.next())["data"]["status"] == "Charging"


async def _ends(lines: AsyncIterator[str]) -> bool:
    """Read on, and tell whether the stream ends within a minute."""
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            async for _ in lines:
                pass
            return True
    return False


async def test_the_stream_of_a_revoked_key_ends(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT_S", 0.1)
    async with operator.http.stream("GET", "/api/v1/events") as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(60):
            while await anext(lines) != ": still here":
                pass
        with operator.world.database.unit_of_work() as connection:
            keys.revoke_key(connection, keys.list_keys(connection)[0].key_id, clock.now())
        assert await _ends(lines)


async def test_the_stream_of_a_revoked_key_ends_where_something_happens_all_the_time(
    operator: Operator, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT_S", 0.6)

    async def go_on() -> None:
        for number in itertools.count():
            await station.status(1, ("Preparing", "Charging")[number % 2])

    async with operator.http.stream("GET", "/api/v1/events") as response:
        lines = response.aiter_lines()
        busy = asyncio.create_task(go_on())
        async with asyncio.timeout(60):
            while not (await anext(lines)).startswith("data: "):
                pass
        with operator.world.database.unit_of_work() as connection:
            keys.revoke_key(connection, keys.list_keys(connection)[0].key_id, clock.now())
        assert await _ends(lines)
        assert not busy.done()  # while something went on happening
        busy.cancel()


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "1-x"}, {"types": "nothing"}, {"after": "9" * 50 + "-1"}])
async def test_a_false_place_or_type_is_refused(operator: Operator, query: dict[str, str]) -> None:
    response = await operator.send("GET", "/events", **query)
    assert (response.status_code, response.json()["field"]) == (422, next(iter(query)))


async def test_one_key_cannot_take_every_place(operator: Operator) -> None:
    async with asyncio.timeout(60):
        async with listening(operator):
            streams = [operator.http.stream("GET", "/api/v1/events") for _ in range(9)]
            opened = [await one.__aenter__() for one in streams]
            assert {one.status_code for one in opened} == {200}
            refused = await operator.send("GET", "/events")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
            for one in streams:
                await one.__aexit__(None, None, None)
        while (await _status(operator)) != 200:
            await asyncio.sleep(0.05)


async def _status(operator: Operator) -> int:
    async with operator.http.stream("GET", "/api/v1/events") as response:
        return response.status_code


def _events(operator: Operator) -> list[event_store.EventBatch]:
    with operator.world.database.reading() as connection:
        return event_store.read_events(connection, 0, limit=1000)
