"""Commands to many charge points over the API, and cancelling: what is queued, how far it is, what is refused."""

from csms import clock
from csms.charging.groups import StationPolicy, add_station_group, put_station
from tests.conformance.harness import Operator, Station
from tests.support.waiting import until


async def test_a_batch_is_followed_to_its_end_and_its_key_is_shown_nowhere(
    operator: Operator, station: Station
) -> None:
    other = await operator.world.add_station("CP2")
    key = "0123456789abcdef0123456789abcdef"
    body = {
        "action": "ChangeConfiguration",
        "payload": {"key": "AuthorizationKey", "value": key},
        "charge_point_ids": [1, other, 1],
    }
    batch = await operator.post("/command-batches", body)
    assert (batch["size"], batch["is_over"], batch["payload"]["value"]) == (2, False, "***")
    await station.takes("ChangeConfiguration", body["payload"], answers={"status": "Rejected"})  # type: ignore[arg-type]
    await until(lambda: [one.state for one in operator.world.commands()] == ["rejected"])
    stopped = await operator.post(f"/command-batches/{batch['id']}/stop")
    assert (stopped["rejected"], stopped["expired"], stopped["is_over"]) == (1, 1, True)
    assert stopped["stopped_by"] == "api key operator"
    again = await operator.post(f"/command-batches/{batch['id']}/stop")
    assert again == stopped
    [row] = (await operator.get(f"/charge-points/{other}/commands"))["items"]
    assert (row["batch_id"], row["failure"]) == (batch["id"], "stopped by api key operator")
    assert key not in str(await operator.get("/command-batches")) + str(row)


async def test_a_batch_for_a_group_is_for_all_of_its_charge_points(operator: Operator) -> None:
    await operator.world.add_station("CP2")
    with operator.world.database.unit_of_work() as connection:
        full = add_station_group(connection, "Harbour", StationPolicy(), clock.now())
        empty = add_station_group(connection, "Empty", StationPolicy(), clock.now())
        for identity in ("CP1", "CP2"):
            put_station(connection, identity, full)
    batch = await operator.post("/command-batches", {"action": "ClearCache", "station_group_id": full})
    assert (batch["target"], batch["queued"]) == ("group Harbour", 2)
    wrong = {"action": "ClearCache", "station_group_id": empty}
    assert (await operator.refused(422, "/command-batches", wrong))["field"] == "station_group_id"


async def test_a_batch_for_nobody_or_of_no_call_is_refused_and_the_field_named(operator: Operator) -> None:
    for body, field in (
        ({"action": "ClearCache"}, "charge_point_ids"),
        ({"action": "ClearCache", "charge_point_ids": [1, 77]}, "charge_point_ids"),
        ({"action": "ClearCache", "station_group_id": 77}, "station_group_id"),
        ({"action": "ClearCache", "charge_point_ids": [1], "station_group_id": 1}, "station_group_id"),
        ({"action": "Reset", "payload": {"type": "Gently"}, "charge_point_ids": [1]}, "payload.type"),
        ({"action": "Dance", "charge_point_ids": [1]}, "action"),
    ):
        assert (await operator.refused(422, "/command-batches", body))["field"] == field
    assert (await operator.get("/command-batches"))["items"] == []
    await operator.refused(404, "/command-batches/7/stop", {})


async def test_a_command_is_cancelled_while_it_is_queued_and_not_afterwards(operator: Operator) -> None:
    asked = await operator.command("ClearCache")
    row = await operator.post(f"/commands/{asked.id}/cancel")
    assert (row["state"], row["failure"]) == ("expired", "cancelled by api key operator")
    problem = await operator.refused(409, f"/commands/{asked.id}/cancel", {})
    assert problem["reason"] == "too late"
    await operator.refused(404, "/commands/777/cancel", {})


async def test_batches_are_listed_the_newest_first_and_in_parts(operator: Operator) -> None:
    for _ in range(3):
        await operator.post("/command-batches", {"action": "ClearCache", "charge_point_ids": [1]})
    first = await operator.get("/command-batches", limit=2)
    assert [one["id"] for one in first["items"]] == [3, 2]
    rest = await operator.get("/command-batches", limit=2, cursor=first["next_cursor"])
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == ([1], None)
