"""The cases of the Local Auth List Management and Reservation profiles (TC_042 to TC_053), and one from the field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from csms.billing.cards import JoinCard
from csms.operations.local_lists_models import station_local_list
from csms.operations.reservations_models import reservation
from tests.conformance.harness import CARD, Command, Operator, Station
from tests.support.waiting import until

OTHER = "04FFEEDD"
ENTRIES = [
    {"idTag": CARD, "idTagInfo": {"status": "Accepted", "parentIdTag": "A1000"}},
    {"idTag": OTHER, "idTagInfo": {"status": "Blocked", "expiryDate": "2030-01-01T00:00:00Z"}},
]
FULL = {"listVersion": 4, "updateType": "Full", "localAuthorizationList": ENTRIES}


def _in(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _held(operator: Operator) -> dict[str, Any]:
    (row,) = operator.stored(station_local_list)
    return row


def _tags(operator: Operator) -> list[str] | None:
    text = _held(operator)["entries_json"]
    return None if text is None else [one["id_tag"] for one in msgspec.json.decode(text)]


def _states(operator: Operator) -> list[tuple[int, str]]:
    return [(row["reservation_id"], row["state"]) for row in operator.stored(reservation)]


# --- Local Auth List Management ---------------------------------------------------------------------------------------


async def test_tc_042_1_get_local_list_version_not_supported(operator: Operator, station: Station) -> None:
    for _ in range(2):
        row = await operator.told(station, "GetLocalListVersion", answers={"listVersion": -1})
        assert (row.state, row.answer) == ("accepted", {"listVersion": -1})
    held = _held(operator)
    assert (held["is_supported"], held["version"], held["state"]) == (False, -1, "not supported")


async def test_tc_042_2_get_local_list_version_empty(operator: Operator, station: Station) -> None:
    for _ in range(2):
        await operator.told(station, "GetLocalListVersion", answers={"listVersion": 0})
    assert (_held(operator)["is_supported"], _held(operator)["version"], _tags(operator)) == (True, 0, [])


async def test_tc_043_1_send_local_list_not_supported(operator: Operator, station: Station) -> None:
    for _ in range(2):
        row = await operator.told(station, "SendLocalList", FULL, answers={"status": "NotSupported"})
        assert row.state == "rejected"
    held = _held(operator)
    assert (held["is_supported"], held["state"], held["entries_json"]) == (False, "not supported", None)


async def test_tc_043_3_send_local_list_failed(operator: Operator, station: Station) -> None:
    await operator.told(station, "SendLocalList", FULL, answers={"status": "Accepted"})
    for _ in range(2):
        row = await operator.told(station, "SendLocalList", FULL | {"listVersion": 5}, answers={"status": "Failed"})
        assert row.state == "rejected"
    held = _held(operator)
    assert (held["version"], held["state"], held["entries_json"]) == (4, "refused", None)
    assert "Failed" in held["explanation"]
    await station.hears_nothing()


async def test_tc_043_4_send_local_list_full(operator: Operator, station: Station) -> None:
    for _ in range(2):
        row = await operator.told(station, "SendLocalList", FULL, answers={"status": "Accepted"})
        assert row.state == "accepted"
        assert all(one["idTagInfo"]["status"] for one in row.payload["localAuthorizationList"])
    assert (_held(operator)["version"], _tags(operator)) == (4, [CARD, OTHER])


async def test_tc_043_5_send_local_list_differential(operator: Operator, station: Station) -> None:
    await operator.told(station, "SendLocalList", FULL, answers={"status": "Accepted"})
    await operator.told(station, "GetLocalListVersion", answers={"listVersion": 4})
    new = {"idTag": "04AAAA", "idTagInfo": {"status": "Accepted"}}
    asked = {"listVersion": 5, "updateType": "Differential", "localAuthorizationList": [new]}
    for _ in range(2):
        await operator.told(station, "SendLocalList", asked, answers={"status": "Accepted"})
    assert (_held(operator)["version"], _tags(operator)) == (5, [CARD, "04AAAA", OTHER])
    gone = {"listVersion": 6, "updateType": "Differential", "localAuthorizationList": [{"idTag": OTHER}]}
    await operator.told(station, "SendLocalList", gone, answers={"status": "Accepted"})
    assert (_held(operator)["version"], _tags(operator)) == (6, [CARD, "04AAAA"])


async def test_a_list_that_belongs_to_the_station_is_sent_by_itself_with_only_what_is_new(
    operator: Operator, station: Station
) -> None:
    """TC_043_5 as it happens in operation: nobody writes the differential by hand."""
    await operator.world.issue_card(OTHER, 500)
    made = await operator.post("/local-lists", {"name": "Depot"})
    await operator.post(f"/local-lists/{made['id']}/cards", {"id_tag": CARD})
    await operator.post(f"/local-lists/{made['id']}/targets", {"charge_point_id": 1})
    await operator.post("/charge-points/1/local-list/send")
    await station.takes("GetLocalListVersion", {}, answers={"listVersion": 7})
    first = await station.takes("SendLocalList", answers={"status": "Accepted"})
    assert (first.payload["updateType"], first.payload["listVersion"]) == ("Full", 8)
    assert [one["idTag"] for one in first.payload["localAuthorizationList"]] == [CARD]
    await until(lambda: _held(operator)["state"] == "in step")
    await operator.post(f"/local-lists/{made['id']}/cards", {"id_tag": OTHER})
    await operator.post("/charge-points/1/local-list/keep")
    account_id = operator.world.card(OTHER).account_id
    entry = {"idTag": OTHER, "idTagInfo": {"status": "Accepted", "parentIdTag": f"A{account_id}"}}
    asked = {"listVersion": 9, "updateType": "Differential", "localAuthorizationList": [entry]}
    await station.takes("SendLocalList", asked, answers={"status": "Accepted"})
    await until(lambda: (_held(operator)["state"], _held(operator)["version"]) == ("in step", 9))
    shown = await operator.get("/charge-points/1/local-list")
    assert (shown["version"], [one["id_tag"] for one in shown["entries"]]) == (9, [CARD, OTHER])


# --- Reservation ------------------------------------------------------------------------------------------------------


def _wish(**fields: Any) -> dict[str, Any]:
    return {"connectorId": 1, "idTag": CARD, "reservationId": 31, "expiryDate": _in(30)} | fields


async def _reserved(operator: Operator, station: Station, status: str = "Accepted", **fields: Any) -> Command:
    return await operator.told(station, "ReserveNow", _wish(**fields), answers={"status": status})


async def test_tc_046_reservation_of_a_connector_transaction(operator: Operator, station: Station) -> None:
    await _reserved(operator, station)
    await station.status(1, "Reserved")
    assert _states(operator) == [(31, "active")]
    assert await station.authorize() == "Accepted"
    at = _in(0)
    for _ in range(2):
        started = await station.start(CARD, 0, at, reservationId=31)
        assert started["idTagInfo"]["status"] == "Accepted"
    await station.status(1, "Charging")
    (row,) = operator.stored(reservation)
    assert (row["state"], row["transaction_id"]) == ("used", started["transactionId"])
    shown = (await operator.get("/reservations", state="all"))["items"]
    assert [(one["state"], one["transaction_id"]) for one in shown] == [("used", started["transactionId"])]


async def test_tc_047_reservation_of_a_connector_expire(operator: Operator, station: Station) -> None:
    await _reserved(operator, station, expiryDate=_in(1))  # freed so shortly before its end, it was freed by it
    await station.status(1, "Reserved")
    for _ in range(2):
        await station.status(1, "Available")
    assert _states(operator) == [(31, "expired")]
    assert (await operator.get("/reservations", state="active"))["items"] == []


@pytest.fixture
async def unavailable(operator: Operator, station: Station) -> Station:
    """The station after ChangeAvailability: connector 1 is Unavailable."""
    asked = {"connectorId": 1, "type": "Inoperative"}
    await operator.told(station, "ChangeAvailability", asked, answers={"status": "Accepted"})
    await station.status(1, "Unavailable")
    return station


async def _refused(operator: Operator, station: Station, status: str) -> list[tuple[str, str]]:
    """Reserve twice, both answered with `status`, and nothing is reserved; return the states and their reasons."""
    for _ in range(2):
        row = await _reserved(operator, station, status)
        assert (row.state, row.answer) == ("rejected", {"status": status})
    assert (await operator.get("/reservations", state="active"))["items"] == []
    return [(row["state"], row["reason"]) for row in operator.stored(reservation)]


async def test_tc_048_1_reservation_faulted(operator: Operator, station: Station) -> None:
    await station.status(1, "Faulted", "OtherError")
    assert await _refused(operator, station, "Faulted") == [("refused", "Faulted")] * 2


async def test_tc_048_2_reservation_occupied(operator: Operator, station: Station) -> None:
    await station.status(1, "Preparing")
    assert await _refused(operator, station, "Occupied") == [("refused", "Occupied")] * 2


async def test_tc_048_3_reservation_unavailable(operator: Operator, unavailable: Station) -> None:
    assert await _refused(operator, unavailable, "Unavailable") == [("refused", "Unavailable")] * 2


async def test_tc_048_4_reservation_rejected(operator: Operator, station: Station) -> None:
    assert await _refused(operator, station, "Rejected") == [("refused", "Rejected")] * 2


async def test_tc_049_reservation_of_a_charge_point_transaction(operator: Operator, station: Station) -> None:
    await _reserved(operator, station, connectorId=0)
    for _ in range(2):
        await station.status(0, "Reserved")
    assert _states(operator) == [(31, "active")]
    started = await station.start(CARD, 0, _in(0), reservationId=31)
    assert operator.stored(reservation)[0]["transaction_id"] == started["transactionId"]


async def test_tc_051_cancel_reservation(operator: Operator, station: Station) -> None:
    await _reserved(operator, station)
    await station.status(1, "Reserved")
    for _ in range(2):
        row = await operator.told(station, "CancelReservation", {"reservationId": 31}, answers={"status": "Accepted"})
        assert row.state == "accepted"
    await station.status(1, "Available")
    assert _states(operator) == [(31, "cancelled")]


async def test_tc_052_cancel_reservation_rejected(operator: Operator, station: Station) -> None:
    for _ in range(2):
        row = await operator.told(station, "CancelReservation", {"reservationId": 77}, answers={"status": "Rejected"})
        assert (row.state, row.answer) == ("rejected", {"status": "Rejected"})
    assert _states(operator) == []
    await _reserved(operator, station)
    await operator.told(station, "CancelReservation", {"reservationId": 31}, answers={"status": "Rejected"})
    assert _states(operator) == [(31, "not known")]  # what the charge point does not know is not in force


async def test_tc_053_use_a_reserved_connector_with_parent_id_tag(operator: Operator, station: Station) -> None:
    parent = f"A{operator.world.card().account_id}"
    joined = JoinCard(CARD, OTHER, "9000 55", replaces=False, actor="test")
    operator.world.installation.engine.execute(joined)
    await _reserved(operator, station, parentIdTag=parent)
    await station.status(1, "Reserved")
    started = await station.start(CARD, 0, _in(0), reservationId=31)
    await station.status(1, "Charging")
    for _ in range(2):
        info = (await station.call("Authorize", {"idTag": OTHER}))["idTagInfo"]
        assert (info["status"], info["parentIdTag"]) == ("Accepted", parent)
    stopped = await station.stop(started["transactionId"], 100, _in(0), idTag=OTHER)
    assert (stopped["idTagInfo"]["status"], stopped["idTagInfo"]["parentIdTag"]) == ("Accepted", parent)
    assert _states(operator) == [(31, "used")]
    (one,) = operator.world.transactions()
    assert (one.state, one.stop_id_tag) == ("ended", OTHER)


async def test_an_operator_reserves_by_the_api_without_knowing_ocpp(operator: Operator, station: Station) -> None:
    body = {"connector_id": 1, "id_tag": "9000 0001", "expires_at": _in(20), "with_account": True}
    made = await operator.post("/charge-points/1/reservations", body)
    command = made["command"]
    assert (command["action"], command["is_final"], made["reservation_id"]) == ("ReserveNow", False, 1)
    taken = await station.takes("ReserveNow", answers={"status": "Accepted"})
    parent = f"A{operator.world.card().account_id}"
    assert (taken.payload["idTag"], taken.payload["parentIdTag"]) == (CARD, parent)
    await until(lambda: _states(operator) == [(1, "active")])
    (one,) = (await operator.get("/reservations"))["items"]
    assert (one["id"], one["reservation_id"], one["charge_point"]) == (command["id"], 1, "CP1")
    await operator.post(f"/reservations/{one['id']}/cancel")
    await station.takes("CancelReservation", {"reservationId": 1}, answers={"status": "Accepted"})
    await until(lambda: _states(operator) == [(1, "cancelled")])
    await operator.refused(409, f"/reservations/{one['id']}/cancel")


async def test_seen_in_the_field_a_second_reserve_now_replaces_the_first(operator: Operator, station: Station) -> None:
    await _reserved(operator, station)
    await station.status(1, "Reserved")
    await _reserved(operator, station, reservationId=32, idTag=OTHER)
    assert _states(operator) == [(31, "replaced"), (32, "active")]
    await _reserved(operator, station, reservationId=32, expiryDate=_in(60))
    assert _states(operator) == [(31, "replaced"), (32, "replaced"), (32, "active")]
    await operator.told(station, "CancelReservation", {"reservationId": 32}, answers={"status": "Accepted"})
    assert _states(operator) == [(31, "replaced"), (32, "replaced"), (32, "cancelled")]
