"""Firmware, campaigns and files over the API: what a program sends, and what it is told when it is wrong."""

from hashlib import sha256
from typing import Any

import httpx

from csms import clock
from csms.charging import groups
from tests.conformance.harness import Operator, Station

CONTENT = b"firmware" * 1000


async def _add(operator: Operator, content: bytes = CONTENT, **more: str) -> httpx.Response:
    query = {"name": "fw.bin", "version": "2.0", **more}
    return await operator.http.post("/api/v1/firmware", params=query, content=content)


def _group(operator: Operator) -> int:
    with operator.world.database.unit_of_work() as connection:
        number = groups.add_station_group(connection, "Yard", groups.StationPolicy(), clock.now())
        assert number is not None
        groups.put_station(connection, "CP1", number)
    return number


async def test_firmware_is_uploaded_shown_listed_and_deleted(operator: Operator) -> None:
    added = await _add(operator, vendor="Acme", sha256=sha256(CONTENT).hexdigest())
    assert added.status_code == 201
    one = added.json()
    assert (one["size_bytes"], one["sha256"], one["signature"]) == (8000, sha256(CONTENT).hexdigest(), "none")
    assert await operator.get(f"/firmware/{one['id']}") == one
    for number in range(3):
        await _add(operator, b"%d" % number)
    page = await operator.get("/firmware", limit=3)
    assert [item["id"] for item in page["items"]] == [4, 3, 2]
    assert [item["id"] for item in (await operator.get("/firmware", cursor=page["next_cursor"]))["items"]] == [1]
    assert (await operator.send("DELETE", "/firmware/1")).status_code == 204
    assert (await operator.send("GET", "/firmware/1")).status_code == 404
    folder = operator.settings.files_folder / "firmware"
    assert len(list(folder.iterdir())) == 3


async def test_what_is_wrong_with_an_upload_is_told_and_leaves_nothing(operator: Operator) -> None:
    for response, status, field in (
        (await _add(operator, b""), 400, None),
        (await _add(operator, sha256="0" * 64), 422, "sha256"),
        (await _add(operator, version=""), 422, "version"),
        (await operator.http.post("/api/v1/firmware", content=b"x"), 422, None),
    ):
        assert response.status_code == status, response.text
        assert field is None or response.json()["field"] == field
    folder = operator.settings.files_folder / "firmware"
    assert not folder.is_dir() or not list(folder.iterdir())


async def test_a_repeated_upload_with_its_key_adds_once(operator: Operator) -> None:
    query = {"name": "fw.bin", "version": "2.0", "sha256": sha256(CONTENT).hexdigest()}
    headers = {"Idempotency-Key": "upload-1"}
    answers = [
        await operator.http.post("/api/v1/firmware", params=query, content=CONTENT, headers=headers) for _ in range(2)
    ]
    assert [one.json()["id"] for one in answers] == [1, 1]
    assert len((await operator.get("/firmware"))["items"]) == 1


async def test_another_file_under_the_same_key_is_not_taken_for_the_first(operator: Operator) -> None:
    headers = {"Idempotency-Key": "upload-1"}
    named: dict[str, str] = {"name": "fw.bin", "version": "2.0"}
    answers = []
    for content in (CONTENT, b"another"):
        query = named | {"sha256": sha256(content).hexdigest()}
        answers.append(await operator.http.post("/api/v1/firmware", params=query, content=content, headers=headers))
    assert [one.status_code for one in answers] == [201, 422]
    assert answers[1].json()["type"].endswith("key-reused")
    unsaid = await operator.http.post("/api/v1/firmware", params=named, content=CONTENT, headers=headers)
    assert (unsaid.status_code, unsaid.json()["field"]) == (422, "sha256")
    assert len((await operator.get("/firmware"))["items"]) == 1


async def test_an_update_is_refused_where_it_cannot_be(operator: Operator) -> None:
    await _add(operator)
    wrong: tuple[tuple[str, dict[str, Any], int, str | None], ...] = (
        ("/charge-points/9/firmware-updates", {"firmware_id": 1}, 404, None),
        ("/charge-points/1/firmware-updates", {"firmware_id": 9}, 422, "firmware_id"),
        ("/charge-points/1/firmware-updates", {"firmware_id": 1, "is_signed": True}, 422, "is_signed"),
        ("/charge-points/9/file-requests", {}, 404, None),
        ("/charge-points/1/file-requests", {"over": "ftp"}, 422, "over"),
        ("/charge-points/1/file-requests", {"kind": "holiday-photos"}, 422, "kind"),
    )
    for path, body, status, field in wrong:
        problem = await operator.refused(status, path, body)
        assert problem.get("field") == field, problem


async def test_what_a_station_still_needs_is_not_deleted(operator: Operator, station: Station) -> None:
    await _add(operator)
    await operator.post("/charge-points/1/firmware-updates", {"firmware_id": 1})
    problem = await operator.refused(409, "/firmware/1", method="DELETE")
    assert problem["reason"] == "in use"
    await station.takes("UpdateFirmware", answers={})
    await station.call("FirmwareStatusNotification", {"status": "DownloadFailed"})
    assert (await operator.send("DELETE", "/firmware/1")).status_code == 204


async def test_a_campaign_is_begun_followed_and_stopped(operator: Operator) -> None:
    await _add(operator)
    group_id = _group(operator)
    body = {"firmware_id": 1, "station_group_id": group_id, "starts_at": "2030-01-01T00:00:00Z"}
    for change, field in (
        ({"firmware_id": 9}, "firmware_id"),
        ({"station_group_id": 9}, "station_group_id"),
        ({"parallel": 0}, "parallel"),
        ({"is_signed": True}, "is_signed"),
    ):
        assert (await operator.refused(422, "/firmware-campaigns", body | change))["field"] == field
    made = await operator.post("/firmware-campaigns", body)
    assert (made["state"], made["total"], made["waiting"], made["group"]) == ("running", 1, 1, "Yard")
    assert made["stations"][0]["identity"] == "CP1"
    path = f"/firmware-campaigns/{made['id']}"
    assert (await operator.post(f"{path}/acts", {"act": "pause"}))["state"] == "paused"
    assert (await operator.refused(409, f"{path}/acts", {"act": "pause"}))["reason"] == "wrong state"
    assert (await operator.post(f"{path}/acts", {"act": "resume"}))["state"] == "running"
    assert (await operator.post(f"{path}/acts", {"act": "stop"}))["state"] == "stopped"
    assert (await operator.get(path))["state"] == "stopped"
    (listed,) = (await operator.get("/firmware-campaigns"))["items"]
    assert (listed["id"], listed["stations"]) == (made["id"], [])
    assert (await operator.send("GET", "/firmware-campaigns/9")).status_code == 404


async def test_files_are_listed_by_station_and_deleted(operator: Operator, station: Station) -> None:
    asked = await operator.post("/charge-points/1/file-requests", {"since": "2026-01-01T00:00:00+02:00"})
    taken = await station.takes("GetDiagnostics", answers={"fileName": "a"})
    assert taken.payload["startTime"] == "2025-12-31T22:00:00Z"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for name in ("a", "b", "c"):
            await client.put(f"{taken.payload['location']}{name}", content=name.encode())
    page = await operator.get("/files", limit=2, charge_point_id=1)
    assert [one["name"] for one in page["items"]] == ["c", "b"]
    assert [one["name"] for one in (await operator.get("/files", cursor=page["next_cursor"]))["items"]] == ["a"]
    assert (await operator.get("/files", charge_point_id=2))["items"] == []
    transfer = await operator.get(f"/file-transfers/{asked['id']}")
    assert (transfer["files"], transfer["moved_bytes"], transfer["state"]) == (3, 3, "running")
    assert [one["id"] for one in (await operator.get("/file-transfers", charge_point_id=1))["items"]] == [asked["id"]]
    assert (await operator.send("DELETE", "/files/1")).status_code == 204
    assert (await operator.send("DELETE", "/files/1")).status_code == 404
    assert len(list((operator.settings.files_folder / "uploads").iterdir())) == 2
