"""A repeated request is answered as the first time and does nothing again; a key belongs to one request."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import update

from csms import clock
from csms.web.api import repetitions
from csms.web.api.models import api_repetition
from tests.conformance.harness import CARD, Operator, new_api_key

PATH = f"/api/v1/cards/{CARD}/top-ups"
FIVE = {"amount": "5.00", "currency": "EUR"}


async def _top_up(operator: Operator, key: str, body: dict[str, str] | None = None) -> httpx.Response:
    return await operator.http.post(PATH, json=body or FIVE, headers={"Idempotency-Key": key})


async def test_a_repeated_top_up_books_once_and_is_answered_the_same(any_operator: Operator) -> None:
    first = await _top_up(any_operator, "till-7-0042")
    again = await _top_up(any_operator, "till-7-0042")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert any_operator.world.card().balance_minor == 2500
    assert len(any_operator.world.entries("top up")) == 1


async def test_many_at_once_under_one_key_book_once(any_operator: Operator) -> None:
    answers = await asyncio.gather(*(_top_up(any_operator, "one") for _ in range(8)))
    statuses = sorted(one.status_code for one in answers)
    assert statuses[0] == 201
    assert set(statuses) <= {201, 409}
    assert any_operator.world.card().balance_minor == 2500
    assert (await _top_up(any_operator, "one")).status_code == 201


async def test_another_request_under_the_same_key_is_refused(operator: Operator) -> None:
    await _top_up(operator, "k")
    other = await _top_up(operator, "k", {"amount": "6.00", "currency": "EUR"})
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")
    assert other.json()["type"] == "/api-docs#problem-key-reused"
    elsewhere = await operator.http.post(f"/api/v1/cards/{CARD}/block", json=FIVE, headers={"Idempotency-Key": "k"})
    assert elsewhere.status_code == 422
    assert operator.world.card().balance_minor == 2500


async def test_the_keys_of_two_clients_are_apart(operator: Operator) -> None:
    await _top_up(operator, "k")
    headers = {"Authorization": f"Bearer {new_api_key(operator.running)}", "Idempotency-Key": "k"}
    assert (await operator.http.post(PATH, json=FIVE, headers=headers)).status_code == 201
    assert operator.world.card().balance_minor == 3000


async def test_a_top_up_without_a_key_is_not_taken(operator: Operator) -> None:
    response = await operator.http.post(PATH, json=FIVE)
    assert (response.status_code, response.json()["field"]) == (422, "Idempotency-Key")
    for wrong in ("", "a b", "x" * 81, "é"):
        response = await operator.http.post(PATH, json=FIVE, headers={"Idempotency-Key": wrong.encode()})  # type: ignore[dict-item]
        assert response.status_code == 422
    assert operator.world.card().balance_minor == 2000


async def test_a_refused_request_may_be_tried_again_under_its_key(operator: Operator) -> None:
    await operator.post(f"/cards/{CARD}/block")
    refused = await _top_up(operator, "k")
    assert (refused.status_code, refused.json()["reason"]) == (409, "card not active")
    await operator.post(f"/cards/{CARD}/unblock")
    assert (await _top_up(operator, "k")).status_code == 201


def _interrupt(operator: Operator, key: str, *, ago: timedelta) -> None:
    """Leave things as they are when the server ended after the booking and before the answer was kept."""
    with operator.world.database.unit_of_work() as connection:
        values: dict[str, Any] = {"status": None, "body": None, "headers_json": None, "begun_at": clock.now() - ago}
        statement = update(api_repetition).where(api_repetition.c.idempotency_key == key)
        assert connection.execute(statement.values(values)).rowcount == 1


async def test_a_top_up_that_was_booked_and_not_answered_is_not_booked_again(any_operator: Operator) -> None:
    first = await _top_up(any_operator, "k")
    _interrupt(any_operator, "k", ago=timedelta(seconds=5))
    running = await _top_up(any_operator, "k")
    assert (running.status_code, running.headers["retry-after"]) == (409, "1")
    _interrupt(any_operator, "k", ago=timedelta(minutes=10))
    again = await _top_up(any_operator, "k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert any_operator.world.card().balance_minor == 2500


async def test_an_act_that_twice_is_not_once_is_not_done_again_when_nobody_knows(operator: Operator) -> None:
    body = {"action": "Reset", "payload": {"type": "Soft"}, "wait_s": 0}
    headers = {"Idempotency-Key": "k"}
    path = "/api/v1/charge-points/1/commands"
    first = await operator.http.post(path, json=body, headers=headers)
    assert (await operator.http.post(path, json=body, headers=headers)).json() == first.json()
    _interrupt(operator, "k", ago=timedelta(minutes=10))
    unknown = await operator.http.post(path, json=body, headers=headers)
    assert (unknown.status_code, unknown.json()["type"]) == (409, "/api-docs#problem-interrupted")
    assert len(operator.world.commands()) == 1


async def test_a_secret_in_a_kept_answer_cannot_be_read_in_the_database(operator: Operator) -> None:
    body = {"identity": "CP-9"}
    headers = {"Idempotency-Key": "k"}
    first = await operator.http.post("/api/v1/charge-points", json=body, headers=headers)
    secret = first.json()["authorization_key"]
    [kept] = operator.stored(api_repetition)
    assert secret.encode() not in kept["body"]
    again = await operator.http.post("/api/v1/charge-points", json=body, headers=headers)
    assert again.json()["authorization_key"] == secret


async def test_kept_answers_are_forgotten_after_two_days(operator: Operator) -> None:
    await _top_up(operator, "k")
    with operator.world.database.unit_of_work() as connection:
        repetitions.forget(connection, clock.now() + timedelta(hours=47))
    assert len(operator.stored(api_repetition)) == 1
    with operator.world.database.unit_of_work() as connection:
        repetitions.forget(connection, clock.now() + timedelta(hours=49))
    assert operator.stored(api_repetition) == []
    assert (await _top_up(operator, "k")).status_code == 201
    assert operator.world.card().balance_minor == 2500  # the journal knows the key for ever
