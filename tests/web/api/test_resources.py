"""What the API shows and does: charge points, cards, accounts, transactions, tariffs, places."""

import asyncio
from typing import Any

import pytest

from csms import clock
from csms.billing import account_groups
from csms.billing.account_groups import AccountLimits
from csms.charging.stations import hash_key
from tests.conformance.harness import CARD, Operator, Station

EUR = "EUR"


def _eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": EUR}


async def _all(operator: Operator, path: str, **query: Any) -> list[Any]:
    """Read a list to its end."""
    items: list[Any] = []
    page = await operator.get(path, **query)
    while True:
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        page = await operator.get(path, cursor=page["next_cursor"], **query)


# --- Charge points ----------------------------------------------------------------------------------------------------


async def test_a_charge_point_is_created_with_a_password_that_lets_it_in(operator: Operator) -> None:
    made = await operator.post("/charge-points", {"identity": "CP-42", "max_power_w": 22000})
    number, key = made["charge_point"]["id"], made["authorization_key"]
    assert made["charge_point"]["max_power_w"] == 22000
    async with operator.station("CP-42", key=bytes.fromhex(key)):
        shown = await operator.get(f"/charge-points/{number}")
        assert (shown["is_connected"], shown["registration"]) == (True, "Accepted")
        assert "key" not in str(shown).lower()
    with pytest.raises(Exception, match="HTTP 401"):
        async with operator.station("CP-42", key=b"wrong"):
            pass


async def test_a_new_password_ends_the_old_one(operator: Operator) -> None:
    made = await operator.post("/charge-points", {"identity": "CP-42"})
    path = f"/charge-points/{made['charge_point']['id']}/key"
    new = (await operator.post(path, {"security_profile": 1}))["authorization_key"]
    assert new != made["authorization_key"]
    with pytest.raises(Exception, match="HTTP 401"):
        async with operator.station("CP-42", key=bytes.fromhex(made["authorization_key"])):
            pass
    async with operator.station("CP-42", key=bytes.fromhex(new)):
        pass
    assert hash_key(bytes.fromhex(new), "00" * 16)


async def test_an_unknown_charge_point_is_adopted_by_its_identity(operator: Operator) -> None:
    with pytest.raises(Exception, match="HTTP 404"):
        async with operator.station("CP-NEW"):
            pass
    [unknown] = (await operator.get("/unknown-charge-points"))["items"]
    assert (unknown["identity"], unknown["attempts"]) == ("CP-NEW", 1)
    await operator.post("/charge-points", {"identity": "CP-NEW", "security_profile": 0})
    assert (await operator.get("/unknown-charge-points"))["items"] == []
    async with operator.station("CP-NEW"):
        pass


async def test_an_identity_is_taken_once_and_cannot_be_just_anything(operator: Operator) -> None:
    assert (await operator.refused(409, "/charge-points", {"identity": "CP1"}))["field"] == "identity"
    for identity in ("", " CP", "C:P", "x" * 256, "CP\n1"):
        assert (await operator.refused(422, "/charge-points", {"identity": identity}))["field"] == "identity"
    problem = await operator.refused(422, "/charge-points", {"identity": "CP2", "site_id": 7})
    assert problem["field"] == "site_id"
    assert len(await _all(operator, "/charge-points")) == 1


async def test_only_what_is_named_of_a_charge_point_changes(operator: Operator) -> None:
    await operator.post("/charge-points/1", {"max_power_w": 50000, "tariff_id": 1}, method="PATCH")
    shown = await operator.post("/charge-points/1", {"max_power_w": None}, method="PATCH")
    assert (shown["max_power_w"], shown["tariff_id"]) == (None, 1)
    problem = await operator.refused(422, "/charge-points/1", {"group_id": 9}, method="PATCH")
    assert problem["field"] == "group_id"


async def test_charge_points_are_listed_in_parts_and_narrowed(operator: Operator, station: Station) -> None:
    for number in range(2, 8):
        await operator.post("/charge-points", {"identity": f"CP{number}"})
    listed = await _all(operator, "/charge-points", limit=3)
    assert [one["identity"] for one in listed] == [f"CP{number}" for number in range(1, 8)]
    assert [one["id"] for one in await _all(operator, "/charge-points", connected=True)] == [1]
    assert [one["identity"] for one in await _all(operator, "/charge-points", search="p5")] == ["CP5"]
    assert await _all(operator, "/charge-points", site_id=3) == []


async def test_the_state_of_a_charge_point_is_live(operator: Operator, station: Station) -> None:
    await station.status(1, "Charging")
    started = await station.start(CARD, 0, operator.world.at(0))
    await station.read(started["transactionId"], operator.world.at(1), 500)
    state = await operator.get("/charge-points/1/state")
    assert state["connection"]["address"] == "127.0.0.1"
    assert [(one["id"], one["status"]) for one in state["connectors"]] == [(1, "Charging")]
    [running] = state["transactions"]
    assert (running["energy_wh"], running["cost"]) == (500, _eur("0.70"))
    assert running["remaining_credit"] == _eur("19.30")


# --- Cards and accounts -----------------------------------------------------------------------------------------------


async def test_a_card_is_issued_charged_and_its_account_tells_all(any_operator: Operator) -> None:
    operator = any_operator
    card = {"id_tag": "AA01", "printed_number": "2026 7", "credit": _eur("20.00"), "label": "van"}
    made = await operator.post("/cards", card)
    assert (made["state"], made["balance"], made["label"]) == ("active", _eur("20.00"), "van")
    async with operator.station() as station:
        started = await station.start("AA01", 0, operator.world.at(0))
        await station.stop(started["transactionId"], 1000, operator.world.at(5))
    account = await operator.get(f"/accounts/{made['account_id']}")
    assert (account["balance"], account["held"], len(account["cards"])) == (_eur("19.05"), _eur("0.00"), 1)
    statement = await _all(operator, f"/accounts/{made['account_id']}/statement", limit=1)
    told = [(one["event"], one["amount"]["amount"], one["balance_after"]["amount"]) for one in statement]
    assert told == [("settle", "-0.95", "19.05"), ("card issued", "20.00", "20.00")]
    assert statement[1]["actor"] == "api key operator"
    with operator.world.database.reading() as connection:
        clearing = connection.exec_driver_sql("SELECT debits_minor FROM ledger_account WHERE code = '1220'").scalar()
    assert clearing == 2000


async def test_what_is_available_includes_the_overdraft_of_a_group_and_the_balance_does_not(
    any_operator: Operator,
) -> None:
    operator = any_operator
    made = await operator.post("/cards", {"id_tag": "AA01", "printed_number": "2026 7", "credit": _eur("5.00")})
    assert (made["overdraft"], made["available"]) == (_eur("0.00"), _eur("5.00"))
    with operator.world.database.unit_of_work() as connection:
        limits = AccountLimits(overdraft_minor=1250)
        group = account_groups.add_account_group(connection, "Staff", limits, clock.now())
        account_groups.put_account(connection, made["account_id"], group)
    (shown,) = (await operator.get("/account-groups"))["items"]
    assert (shown["overdraft"], shown["daily_spend"]) == (_eur("12.50"), None)
    account = await operator.get(f"/accounts/{made['account_id']}")
    for one in (account, account["cards"][0], await operator.get("/cards/AA01")):
        told = [one[name]["amount"] for name in ("balance", "held", "overdraft", "available")]
        assert told == ["5.00", "0.00", "12.50", "17.50"]
    response = await operator.http.post(
        "/api/v1/cards/AA01/top-ups", json=_eur("1.00"), headers={"Idempotency-Key": "k"}
    )
    paid = response.json()
    assert (paid["balance"], paid["available"]) == (_eur("6.00"), _eur("18.50"))


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"amount": "0", "currency": EUR}, 409, "amount not positive"),
        ({"amount": "500.01", "currency": EUR}, 409, "amount above the limit"),
        ({"amount": "5.001", "currency": EUR}, 422, "amount"),
        ({"amount": "5.00", "currency": "USD"}, 422, "currency"),
        ({"amount": "-5", "currency": EUR}, 422, "amount"),
        ({"amount": 5, "currency": EUR}, 422, "amount"),
        ({"amount": "5,00", "currency": EUR}, 422, "amount"),
        ({"amount": "5"}, 422, "currency"),
    ],
)
async def test_a_top_up_is_bound_by_the_rules_of_the_desk(
    operator: Operator, body: dict[str, Any], status: int, said: str
) -> None:
    path = f"/api/v1/cards/{CARD}/top-ups"
    response = await operator.http.post(path, json=body, headers={"Idempotency-Key": "k"})
    problem = response.json()
    assert (response.status_code, problem.get("reason") or problem["field"]) == (status, said)
    assert operator.world.card().balance_minor == 2000


async def test_a_balance_has_its_limit_over_the_api_too(operator: Operator) -> None:
    for number in range(2):
        await operator.world.top_up(CARD, 49000, f"t{number}")
    headers = {"Idempotency-Key": "k"}
    response = await operator.http.post(f"/api/v1/cards/{CARD}/top-ups", json=_eur("5.00"), headers=headers)
    assert (response.status_code, response.json()["reason"]) == (409, "balance above the limit")


async def test_cards_are_blocked_unblocked_and_let_expire(operator: Operator, station: Station) -> None:
    assert (await operator.post(f"/cards/{CARD}/block", {"reason": "misuse"}))["state"] == "blocked"
    assert await station.authorize(CARD) == "Blocked"
    assert (await operator.post(f"/cards/{CARD.lower()}/unblock"))["state"] == "active"
    changed = await operator.post(f"/cards/{CARD}", {"expires_at": "2020-01-01T00:00:00Z"}, method="PATCH")
    assert changed["expires_at"] == "2020-01-01T00:00:00Z"
    assert await station.authorize(CARD) == "Expired"
    changed = await operator.post(f"/cards/{CARD}", {"expires_at": None}, method="PATCH")
    assert (changed["expires_at"], changed["state"]) == (None, "active")
    await operator.post(f"/cards/{CARD}", {"state": "retired"}, method="PATCH")
    refused = await operator.refused(409, f"/cards/{CARD}/unblock", {})
    assert refused["reason"] == "change not allowed"


async def test_a_card_exists_once(operator: Operator) -> None:
    taken = {"id_tag": CARD, "printed_number": "2026 8"}
    assert (await operator.refused(409, "/cards", taken))["reason"] == "card exists"
    problem = await operator.refused(422, "/cards", {"id_tag": "aa", "printed_number": "1"})
    assert problem["field"] == "id_tag"
    problem = await operator.refused(422, "/cards", {"id_tag": "AA", "printed_number": "1", "credit": {"amount": "x"}})
    assert problem["field"] == "credit.amount"
    far = {"id_tag": "AA", "printed_number": "1", "expires_at": "0001-01-01T00:00:00+14:00"}
    assert (await operator.refused(422, "/cards", far))["field"] == "expires_at"


async def test_cards_are_listed_in_parts_that_hold_while_others_come(operator: Operator) -> None:
    for number in range(5):
        await operator.post("/cards", {"id_tag": f"B{number}", "printed_number": f"9 {number}"})
    first = await operator.get("/cards", limit=3)
    await operator.post("/cards", {"id_tag": "A0", "printed_number": "8 1"})
    second = await operator.get("/cards", limit=3, cursor=first["next_cursor"])
    tags = [one["id_tag"] for one in (*first["items"], *second["items"])]
    assert tags == [CARD, "B0", "B1", "B2", "B3", "B4"]
    assert [one["id_tag"] for one in await _all(operator, "/cards", search="b3")] == ["B3"]
    assert await _all(operator, "/cards", state="lost") == []


# --- Transactions -----------------------------------------------------------------------------------------------------


async def test_a_transaction_is_shown_with_its_charge_and_its_readings(any_operator: Operator) -> None:
    operator = any_operator
    async with operator.station() as station:
        started = await station.start(CARD, 0, operator.world.at(0))
        number = started["transactionId"]
        running = await operator.get(f"/transactions/{number}")
        assert (running["charge"], running["transaction"]["remaining_credit"]) == (None, _eur("20.00"))
        for minute in range(1, 5):
            await station.read(number, operator.world.at(minute), 200 * minute)
        await station.stop(number, 1000, operator.world.at(5))
    shown = await operator.get(f"/transactions/{number}")
    assert shown["tariff"] == "standard"
    charge = shown["charge"]
    lines = [(one["component"], one["quantity"], one["rate"], one["amount"]["amount"]) for one in charge["lines"]]
    assert lines == [("energy", "1", "0.35", "0.35"), ("time", "5", "0.02", "0.10"), ("start", "1", "0.5", "0.50")]
    assert (charge["total"], charge["balance_after"]) == (_eur("0.95"), _eur("19.05"))
    readings = await _all(operator, f"/transactions/{number}/readings", limit=3)
    assert [one["register_wh"] for one in readings] == [200, 400, 600, 800]
    assert readings[0]["happened_at"].endswith("Z")


async def test_transactions_are_narrowed_by_what_is_given(operator: Operator, station: Station) -> None:
    numbers = []
    for minute in (0, 10, 20):
        started = await station.start(CARD, minute * 100, operator.world.at(minute))
        numbers.append(started["transactionId"])
        await station.stop(numbers[-1], minute * 100 + 100, operator.world.at(minute + 5))
    open_one = (await station.start(CARD, 5000, operator.world.at(30)))["transactionId"]
    everything = await _all(operator, "/transactions", limit=2)
    assert [one["id"] for one in everything] == [open_one, *numbers[::-1]]
    assert [one["id"] for one in await _all(operator, "/transactions", state="open")] == [open_one]
    assert len(await _all(operator, "/transactions", id_tag=CARD.lower())) == 4
    assert await _all(operator, "/transactions", charge_point_id=2) == []
    window = {"started_from": operator.world.at(10), "started_before": operator.world.at(20)}
    assert [one["id"] for one in await _all(operator, "/transactions", **window)] == [numbers[1]]
    response = await operator.send("GET", "/transactions", started_from="2026-01-01T00:00:00")
    assert response.json()["field"] == "started_from"


# --- Tariffs and places -----------------------------------------------------------------------------------------------


async def test_a_tariff_gets_versions_and_is_assigned(operator: Operator) -> None:
    night = {
        "name": "Night",
        "rate_per_kwh": "0.40",
        "tax_percent": "20",
        "start_fee": "0.50",
        "time_zone": "Europe/Sofia",
        "bands": [
            {"name": "night", "weekdays": [0, 1], "begin_minute": 0, "end_minute": 360, "rate_per_kwh": "0.20"},
        ],
    }
    first = await operator.post("/tariffs", night)
    assert (first["version"], first["rate_per_kwh"], first["start_fee"]) == (1, "0.4", _eur("0.50"))
    assert first["bands"][0]["end_minute"] == 360
    assert (await operator.post("/tariffs", night | {"rate_per_kwh": "0.45"}))["version"] == 2
    assert len((await operator.get("/tariffs"))["items"]) == 3
    assert (await operator.get(f"/tariffs/{first['id']}")) == first
    await operator.post("/tariff-assignments", {"tariff_name": "Night", "charge_point_id": 1})
    [assigned] = (await operator.get("/tariff-assignments"))["items"]
    assert (assigned["tariff_name"], assigned["charge_point"]) == ("Night", "CP1")
    response = await operator.send("DELETE", f"/tariff-assignments/{assigned['id']}")
    assert (response.status_code, response.content) == (204, b"")
    assert (await operator.get("/tariff-assignments"))["items"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rate_per_kwh": "0"}, "rate_per_kwh"),
        ({"rate_per_kwh": "1e3"}, "rate_per_kwh"),
        ({"rate_per_kwh": 0.35}, "rate_per_kwh"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"start_fee": "0.001"}, "start_fee"),
        ({"idle_grace_s": 60}, "rate_per_idle_minute"),
        ({"bands": [{"name": "x"}]}, "bands[0].weekdays"),
        ({"valid_from": "2030-01-01T00:00:00Z", "valid_to": "2029-01-01T00:00:00Z"}, "valid_to"),
    ],
)
async def test_what_is_wrong_with_a_tariff_is_named(operator: Operator, change: dict[str, Any], field: str) -> None:
    new = {"name": "New", "rate_per_kwh": "0.35", "tax_percent": "20"}
    problem = await operator.refused(422, "/tariffs", new | change)
    assert (problem["field"] or "").startswith(field.split("[", maxsplit=1)[0])
    assert len((await operator.get("/tariffs"))["items"]) == 1


async def test_an_assignment_needs_a_place_that_exists(operator: Operator) -> None:
    path = "/tariff-assignments"
    await operator.refused(422, path, {"tariff_name": "standard"})
    problem = await operator.refused(422, path, {"tariff_name": "standard", "station_group_id": 7})
    assert problem["field"] == "station_group_id"
    problem = await operator.refused(422, path, {"tariff_name": "other", "charge_point_id": 1})
    assert problem["field"] == "tariff_name"


async def test_sites_and_groups_are_listed(operator: Operator) -> None:
    for path in ("/sites", "/station-groups", "/account-groups"):
        assert (await operator.get(path))["items"] == []


# --- Commands ---------------------------------------------------------------------------------------------------------


async def test_the_commands_of_a_station_are_listed_and_narrowed(operator: Operator, station: Station) -> None:
    for status in ("Accepted", "Rejected", "Accepted"):
        await operator.told(station, "ClearCache", answers={"status": status})
    await operator.told(station, "Reset", {"type": "Soft"}, answers={"status": "Accepted"})
    listed = await _all(operator, "/charge-points/1/commands", limit=3)
    assert [one["action"] for one in listed] == ["Reset", "ClearCache", "ClearCache", "ClearCache"]
    rejected = await _all(operator, "/charge-points/1/commands", state="rejected", action="ClearCache")
    assert [one["id"] for one in rejected] == [listed[2]["id"]]


async def test_who_waits_for_a_command_is_answered_at_the_moment_of_its_answer(
    operator: Operator, station: Station
) -> None:
    asked = await operator.command("ClearCache")
    waiting = asyncio.create_task(operator.send("GET", f"/commands/{asked.id}", wait_s=30))
    await station.takes("ClearCache", answers={"status": "Accepted"})
    response = await asyncio.wait_for(waiting, 60)
    assert (response.status_code, response.json()["state"]) == (200, "accepted")


async def test_a_command_that_is_not_answered_yet_is_shown_with_202(operator: Operator) -> None:
    asked = await operator.command("ClearCache", expires_s=60)
    response = await operator.send("GET", f"/commands/{asked.id}")
    assert (response.status_code, response.json()["state"]) == (202, "queued")
