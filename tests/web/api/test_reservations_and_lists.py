"""Reservations and local lists over the API: what is refused says why, and lists go page by page."""

from datetime import UTC, datetime, timedelta
from typing import Any

from csms.billing.prepaid import ChangeCardState
from tests.conformance.harness import CARD, Operator, Station
from tests.support.waiting import until

OTHER = "04FFEEDD"


def _in(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _wish(**fields: Any) -> dict[str, Any]:
    return {"connector_id": 1, "id_tag": CARD, "expires_at": _in(20)} | fields


async def test_a_reservation_that_makes_no_sense_is_refused_with_its_field(operator: Operator) -> None:
    path = "/charge-points/1/reservations"
    for wrong, field in (
        ({"expires_at": _in(-1)}, "expires_at"),
        ({"connector_id": -1}, "connector_id"),
        ({"id_tag": ""}, "id_tag"),
    ):
        assert (await operator.refused(422, path, _wish(**wrong)))["field"] == field
    assert (await operator.refused(409, path, _wish(id_tag=OTHER)))["reason"] == "unknown card"
    operator.world.installation.engine.execute(ChangeCardState(CARD, "blocked", "test"))
    assert (await operator.refused(409, path, _wish()))["reason"] == "card blocked"
    await operator.refused(404, "/charge-points/99/reservations", _wish())
    await operator.refused(404, "/reservations/99/cancel")
    assert operator.world.commands() == []


async def test_who_means_it_reserves_for_any_id_tag_and_is_warned_of_little_credit(
    operator: Operator, station: Station
) -> None:
    await operator.world.issue_card(OTHER, 10)
    low = await operator.post("/charge-points/1/reservations", _wish(id_tag=OTHER))
    assert low["warning"] == "The card has less credit than a start needs."
    await station.takes("ReserveNow", answers={"status": "Accepted"})
    await operator.refused(409, "/charge-points/1/reservations", _wish(id_tag="NOBODY", with_account=True, anyway=True))
    asked = await operator.post("/charge-points/1/reservations", _wish(id_tag="no:bo-dy", anyway=True))
    taken = await station.takes("ReserveNow", answers={"status": "Rejected"})
    assert (asked["warning"], taken.payload["idTag"], "parentIdTag" in taken.payload) == (None, "NOBODY", False)


async def test_reservations_are_listed_page_by_page_and_shown(operator: Operator, station: Station) -> None:
    for connector_id in (1, 2, 3):
        await operator.post("/charge-points/1/reservations", _wish(connector_id=connector_id))
        await station.takes("ReserveNow", answers={"status": "Accepted" if connector_id < 3 else "Faulted"})
    await until(lambda: all(one.state in {"accepted", "rejected"} for one in operator.world.commands()))
    first = await operator.get("/reservations", state="all", limit=2)
    rest = await operator.get("/reservations", state="all", limit=2, cursor=first["next_cursor"])
    assert [one["connector_id"] for one in (*first["items"], *rest["items"])] == [3, 2, 1]
    assert rest["next_cursor"] is None
    assert [one["connector_id"] for one in (await operator.get("/reservations", charge_point_id=1))["items"]] == [2, 1]
    (ended,) = (await operator.get("/reservations", state="ended"))["items"]
    assert (ended["state"], ended["reason"]) == ("refused", "Faulted")
    assert await operator.get(f"/reservations/{ended['id']}") == ended
    assert (await operator.refused(409, f"/reservations/{ended['id']}/cancel"))["reason"] == "refused"


async def test_a_list_is_made_changed_given_taken_away_and_removed(operator: Operator) -> None:
    made = await operator.post("/local-lists", {"name": "Depot", "has_staff": True})
    address = f"/local-lists/{made['id']}"
    assert (await operator.refused(409, "/local-lists", {"name": "Depot"}))["field"] == "name"
    assert (await operator.refused(422, "/local-lists", {"name": "X", "account_group_id": 9}))["field"]
    changed = await operator.post(address, {"has_staff": False, "name": "Yard"}, method="PATCH")
    assert (changed["name"], changed["has_staff"]) == ("Yard", False)
    await operator.world.issue_card(OTHER, 100)
    for tag in (CARD, OTHER, OTHER):
        chosen = await operator.post(f"{address}/cards", {"id_tag": tag})
    assert chosen["chosen_cards"] == 2
    assert (await operator.refused(422, f"{address}/cards", {"id_tag": "NOBODY"}))["field"] == "id_tag"
    first = await operator.get(f"{address}/cards", limit=1)
    rest = await operator.get(f"{address}/cards", limit=1, cursor=first["next_cursor"])
    assert [one["id_tag"] for one in (*first["items"], *rest["items"])] == [CARD, OTHER]
    await operator.post(f"{address}/cards/{OTHER}", method="DELETE")
    assert [one["id_tag"] for one in (await operator.get(f"{address}/cards"))["items"]] == [CARD]
    for wrong in ({}, {"charge_point_id": 1, "station_group_id": 1}, {"charge_point_id": 9}, {"station_group_id": 9}):
        await operator.refused(422, f"{address}/targets", wrong)
    (target,) = (await operator.post(f"{address}/targets", {"charge_point_id": 1}))["items"]
    assert target["charge_point"] == "CP1"
    shown = await operator.get("/charge-points/1/local-list")
    assert (shown["list_name"], shown["is_current"], shown["state"], shown["entries"]) == (
        "Yard",
        False,
        "not known",
        None,
    )
    assert await operator.post("/charge-points/1/local-list/send") == {"outcome": "sent"}
    assert await operator.post("/charge-points/1/local-list/keep") == {"outcome": "busy"}
    await operator.post(f"{address}/targets/{target['id']}", method="DELETE")
    await operator.post(address, method="DELETE")
    assert (await operator.get("/local-lists"))["items"] == []
    await operator.refused(404, f"{address}/cards", {"id_tag": CARD})
    await operator.refused(404, "/charge-points/9/local-list/send")
