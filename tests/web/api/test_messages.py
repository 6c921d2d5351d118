"""The message log over the API: what went over the wire, searched and exported, and never a key."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from csms.web import exports
from tests.conformance.harness import Operator, Station


async def _logged(operator: Operator, count: int, **query: Any) -> list[Any]:
    """Return what was logged once it is so much; the log is written a moment after the answers."""
    for _ in range(1200):
        items: list[Any] = (await operator.get("/messages", **query))["items"]
        if len(items) >= count:
            break
        await asyncio.sleep(0.05)
    return items


async def test_what_went_over_the_wire_is_found_with_its_answer(any_operator: Operator) -> None:
    async with any_operator.station() as station:
        await station.call("Heartbeat", {}, message_id="hb-1")
        result, call = await _logged(any_operator, 2, message_id="hb-1")
    assert (call["direction"], call["kind"], call["action"], call["charge_point"]) == (
        "received",
        "call",
        "Heartbeat",
        "CP1",
    )
    assert (result["direction"], result["kind"], result["action"]) == ("sent", "result", "Heartbeat")
    assert result["duration_ms"] >= 0
    assert json.loads(call["text"]) == [2, "hb-1", "Heartbeat", {}]
    assert json.loads(result["text"])[2].keys() == {"currentTime"}


async def test_a_key_that_is_set_is_neither_listed_nor_exported(operator: Operator, station: Station) -> None:
    payload = {"key": "AuthorizationKey", "value": "0123456789abcdef0123456789abcdef"}
    asked = await operator.command("ChangeConfiguration", payload)
    message_id, _, sent = await station.next_command()
    assert sent["key"] == "AuthorizationKey"
    await station.answer(message_id, {"status": "Rejected"})
    await asked.done()
    (result, call) = await _logged(operator, 2, action="ChangeConfiguration")
    assert call["direction"] == "sent"
    assert result["direction"] == "received"
    exported = (await operator.http.get("/api/v1/messages/export")).text
    for text in (json.dumps(await operator.get("/messages")), exported):
        assert sent["value"] not in text
        assert payload["value"] not in text
    assert json.loads(exported.splitlines()[0])["action"] == "BootNotification"


async def test_pages_lead_from_the_newest_to_the_oldest(operator: Operator, station: Station) -> None:
    for number in range(10):
        await station.call("Heartbeat", {}, message_id=f"n{number}")
    await _logged(operator, 20, action="Heartbeat")
    seen: list[str] = []
    query: dict[str, Any] = {"action": "Heartbeat", "kind": "call", "limit": 4}
    while True:
        page = await operator.get("/messages", **query)
        seen += [one["message_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [f"n{number}" for number in range(9, -1, -1)]


async def test_unreadable_frames_are_in_the_log_too(operator: Operator, station: Station) -> None:
    await station.socket.send('[2,"half","Heartbeat",{')
    (one,) = await _logged(operator, 1, kind="unreadable")
    assert one["text"] == '[2,"half","Heartbeat",{'
    assert one["action"] is None


async def test_beyond_a_few_exports_the_next_one_waits(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST", 1)
    for _ in range(3):  # one that has ended makes room
        assert (await operator.http.get("/api/v1/messages/export")).status_code == 200
    monkeypatch.setattr(exports, "MOST", 0)
    response = await operator.http.get("/api/v1/messages/export")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "30"


async def test_an_export_counts_until_its_reader_is_gone() -> None:
    counting = exports.Exports()
    seen: list[int] = []

    async def leave(message: Any) -> None:
        seen.append(counting.running)
        if message["type"] == "http.response.body":
            raise OSError

    response = exports.Export(counting, iter([b"line"]), "application/jsonl", {})
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"spec_version": "2.4"}}
    with pytest.raises(ClientDisconnect):
        await response(scope, _nothing, leave)
    assert (seen, counting.running) == ([1, 1], 0)


async def _nothing() -> Any:
    return {"type": "http.disconnect"}
