"""Who gets into the API: keys that hold, with the scope that an endpoint needs, as often as is allowed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from csms import clock
from csms.web.api import keys
from csms.web.api.routes import ENDPOINTS
from csms.web.api.scopes import SCOPES, Scope
from tests.conformance.harness import Operator, open_operator
from tests.conftest import settings_for
from tests.web.api.test_openapi import _address


@pytest.fixture
async def slow_operator(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    """An operator whose key may ask twice a second, averaged, twenty times at once; but no time passes."""
    monkeypatch.setattr("csms.web.api.serving.monotonic_s", lambda: 0.0)
    async with open_operator(settings_for(sqlite_url, tmp_path, max_api_calls_per_s=2)) as opened:
        yield opened


def _key(operator: Operator, *scopes: Scope, days: int | None = None) -> dict[str, str]:
    secret = keys.new_secret()
    expires_at = None if days is None else clock.now() + timedelta(days=days)
    with operator.world.database.unit_of_work() as connection:
        keys.add_key(
            connection,
            name="other",
            secret=secret,
            scopes=scopes,
            created_by="test",
            now=clock.now(),
            expires_at=expires_at,
        )
    return {"Authorization": f"Bearer {secret}"}


async def _ask(
    operator: Operator, headers: dict[str, str], method: str = "GET", path: str = "/cards"
) -> httpx.Response:
    return await operator.http.request(method, f"/api/v1{path}", headers=headers, json={} if method != "GET" else None)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer csms_wrong", "Basic Y3NtczpjcXNt", "csms_wrong", "Bearer " + "x" * 5000]
)
async def test_nobody_gets_in_without_a_key_that_holds(operator: Operator, authorization: str) -> None:
    response = await _ask(operator, {"Authorization": authorization})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/api-docs#problem-unauthorized"


async def test_an_expired_and_a_revoked_key_open_nothing(operator: Operator) -> None:
    assert (await _ask(operator, _key(operator, "cards:read", days=1))).status_code == 200
    assert (await _ask(operator, _key(operator, "cards:read", days=-1))).status_code == 401
    revoked = _key(operator, "cards:read")
    with operator.world.database.unit_of_work() as connection:
        assert keys.revoke_key(connection, keys.list_keys(connection)[0].key_id, clock.now())
    assert (await _ask(operator, revoked)).status_code == 401


async def test_each_endpoint_asks_for_its_own_scope(operator: Operator) -> None:
    with_none = _key(operator)
    for endpoint in ENDPOINTS:
        response = await _ask(operator, with_none, endpoint.method, _address(endpoint))
        assert (response.status_code, response.json()["reason"]) == (403, endpoint.scope), endpoint.path
        await asyncio.sleep(0.01)


async def test_a_key_may_do_what_its_scopes_say_and_nothing_else(operator: Operator) -> None:
    headers = _key(operator, "cards:read")
    assert (await _ask(operator, headers, path="/cards")).status_code == 200
    assert (await _ask(operator, headers, path="/sites")).status_code == 403
    assert (await _ask(operator, headers, "POST", "/cards")).status_code == 403


def test_every_scope_is_asked_for_somewhere() -> None:
    assert set(SCOPES) == {endpoint.scope for endpoint in ENDPOINTS}


async def test_too_many_requests_are_told_to_wait(slow_operator: Operator) -> None:
    answers = [await slow_operator.send("GET", "/sites") for _ in range(25)]
    refused = [one for one in answers if one.status_code == 429]
    assert len(refused) == 5
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["type"] == "/api-docs#problem-too-many-requests"
    other = _key(slow_operator, "sites:read")
    assert (await _ask(slow_operator, other, path="/sites")).status_code == 200


async def test_guessing_keys_is_slowed_down(operator: Operator) -> None:
    statuses = [(await _ask(operator, {"Authorization": f"Bearer csms_{n}"})).status_code for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2


async def test_the_last_use_of_a_key_is_noted(operator: Operator) -> None:
    await _ask(operator, _key(operator, "cards:read"))
    with operator.world.database.reading() as connection:
        newest = keys.list_keys(connection)[0]
    assert newest.last_used_at is not None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/charge-points/x", 404),
        ("GET", "/charge-points/99999999999999", 404),
        ("GET", "/charge-points/77", 404),
        ("GET", "/commands/77", 404),
        ("GET", "/cards/NOBODY", 404),
        ("GET", "/accounts/13", 404),
        ("GET", "/transactions/77", 404),
        ("GET", "/transactions/77/readings", 404),
        ("GET", "/tariffs/77", 404),
        ("GET", "/webhooks/77", 404),
        ("DELETE", "/tariff-assignments/77", 404),
        ("DELETE", "/charge-points", 405),
        ("PATCH", "/sites", 405),
    ],
)
async def test_what_is_not_there_is_a_problem_too(operator: Operator, method: str, path: str, status: int) -> None:
    response = await operator.send(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["status"] == status


@pytest.mark.parametrize(
    ("content", "kind", "status", "field"),
    [
        (b"{", "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b"[" * 100_000, "application/json", 422, None),
        (b"[]", "application/json", 422, None),
        (b"{}", "application/json", 422, "action"),
        (b'{"action": 1}', "application/json", 422, "action"),
        (b'{"action": "Reset", "payload": [1]}', "application/json", 422, "payload"),
        (b'{"action": "Reset", "wait_s": 1e9}', "application/json", 422, "wait_s"),
        (b'{"action": "Reset", "extra": 1}', "application/json", 422, "extra"),
        (b'{"action": "Re\\u0000set"}', "application/json", 422, None),
        (b'{"action": "Reset"}', "text/plain", 415, None),
        (b'{"action": "Reset"}' + b" " * 1_100_000, "application/json", 413, None),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(
    operator: Operator, content: bytes, kind: str, status: int, field: str | None
) -> None:
    response = await operator.http.post(
        "/api/v1/charge-points/1/commands", content=content, headers={"Content-Type": kind}
    )
    assert (response.status_code, response.json().get("field")) == (status, field), response.text


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=201", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=xyz", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("colour=red", "colour"),
        ("search=%00", "search"),
        ("state=null", "state"),
    ],
)
async def test_a_wrong_parameter_is_named(operator: Operator, query: str, field: str) -> None:
    response = await operator.http.get(f"/api/v1/cards?{query}")
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_storage_that_takes_nothing_is_told_and_nothing_is_kept(operator: Operator) -> None:
    operator.world.engine.available = False
    body = {"amount": "5.00", "currency": "EUR"}
    headers = {"Idempotency-Key": "k"}
    path = "/api/v1/cards/04A1B2C3D4/top-ups"
    response = await operator.http.post(path, json=body, headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    operator.world.engine.available = True
    assert (await operator.http.post(path, json=body, headers=headers)).status_code == 201


async def test_whoever_may_not_see_what_happens_sends_it_nowhere_and_reads_no_delivery(operator: Operator) -> None:
    hook = {"name": "Books", "url": "https://example.com/"}
    number = (await operator.post("/webhooks", hook))["webhook"]["id"]
    address = f"/api/v1/webhooks/{number}"
    alone = _key(operator, "webhooks:read", "webhooks:write")
    tried = (
        ("POST", "/api/v1/webhooks", hook),
        ("PATCH", address, {"url": "https://example.org/"}),
        ("PATCH", address, {"types": []}),
        ("GET", f"{address}/deliveries", None),
    )
    for method, path, body in tried:
        response = await operator.http.request(method, path, json=body, headers=alone)
        assert (response.status_code, response.json()["reason"]) == (403, "events:read"), (method, path)
        both = _key(operator, "webhooks:read", "webhooks:write", "events:read")
        assert (await operator.http.request(method, path, json=body, headers=both)).is_success
    paused = await operator.http.patch(address, json={"state": "paused"}, headers=alone)
    assert paused.json()["state"] == "paused"


async def test_what_changes_the_security_of_a_link_or_its_firmware_takes_a_scope_of_its_own(operator: Operator) -> None:
    calls: tuple[tuple[str, dict[str, Any], Scope], ...] = (
        ("ChangeConfiguration", {"key": "AUTHORIZATIONKEY", "value": "00" * 20}, "security:write"),
        ("ChangeConfiguration", {"key": "SecurityProfile", "value": "1"}, "security:write"),
        ("ChangeConfiguration", {"key": "CpoName", "value": "Another"}, "security:write"),
        ("CertificateSigned", {"certificateChain": "x"}, "security:write"),
        ("UpdateFirmware", {"location": "https://x/", "retrieveDate": "2026-01-01T00:00:00Z"}, "files:write"),
    )
    narrow, wide = _key(operator, "commands:write"), _key(operator, "commands:write", "security:write", "files:write")
    for action, payload, scope in calls:
        body = {"action": action, "payload": payload}
        for path, whole in (
            ("/charge-points/1/commands", body | {"wait_s": 0}),
            ("/command-batches", body | {"charge_point_ids": [1]}),
        ):
            refused = await operator.http.post(f"/api/v1{path}", json=whole, headers=narrow)
            assert (refused.status_code, refused.json()["reason"]) == (403, scope), (path, action)
            assert (await operator.http.post(f"/api/v1{path}", json=whole, headers=wide)).is_success
    harmless = {"action": "ChangeConfiguration", "payload": {"key": "HeartbeatInterval", "value": "60"}, "wait_s": 0}
    answer = await operator.http.post("/api/v1/charge-points/1/commands", json=harmless, headers=narrow)
    assert answer.status_code == 202
