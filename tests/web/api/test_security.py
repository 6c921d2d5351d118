"""The security of links over the API: events in parts, certificates, requests, profiles and keys."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from csms import clock
from csms.charging.stations import AddChargePoint, hash_key
from csms.operations import authority, security_store
from csms.operations.certificate_reading import read_csr
from csms.operations.certificates import AskForCertificate, record_of
from csms.operations.security_events import SecurityNotification
from tests.conformance.harness import Operator, new_api_key
from tests.support.tls import CPO, make_authority, make_request

SALT = "00" * 16


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority outside."""
    folder = tmp_path_factory.mktemp("authority") / "outside"
    make_authority(folder)
    return folder


async def pages(operator: Operator, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return all items of a list, part after part."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        body = await operator.get(path, limit=2, **(query if cursor is None else query | {"cursor": cursor}))
        assert len(body["items"]) <= 2
        found += body["items"]
        cursor = body["next_cursor"]
        if cursor is None:
            return found


async def test_events_come_in_parts_the_latest_first_and_are_narrowed(any_operator: Operator) -> None:
    await any_operator.world.add_station("CP2")
    for number in range(5):
        kind = "TamperDetectionActivated" if number % 2 else "InvalidMessages"
        said = SecurityNotification(1 + number % 2, kind, clock.now(), str(number), clock.now(), str(number))
        await any_operator.world.submit(said)
    assert [one["tech_info"] for one in await pages(any_operator, "/security-events")] == ["4", "3", "2", "1", "0"]
    assert len(await pages(any_operator, "/security-events", critical="true")) == 2
    assert len(await pages(any_operator, "/security-events", charge_point_id=1)) == 3
    assert len(await pages(any_operator, "/security-events", type="invalidmessages")) == 3
    assert await pages(any_operator, "/security-events", source="central system") == []


async def test_certificates_come_by_their_end_and_are_revoked_once(any_operator: Operator, outside: Path) -> None:
    ca, now = authority.load(outside, ""), clock.now()
    issued = [ca.issue_station("CP1", CPO, "ecdsa", days, now) for days in (9, 3, 6)]
    with any_operator.world.database.unit_of_work() as connection:
        for one in issued:
            security_store.add_certificate(connection, record_of(one.facts, "station", 1, "test"), now)
    listed = await pages(any_operator, "/certificates", kind="station", charge_point_id=1)
    assert [one["fingerprint"] for one in listed] == [issued[n].facts.fingerprint for n in (1, 2, 0)]
    soon = (now + timedelta(days=5)).isoformat()
    assert len(await pages(any_operator, "/certificates", ends_before=soon)) == 1
    path = f"/certificates/{issued[0].facts.fingerprint}"
    revoked = await any_operator.post(f"{path}/revocation", reason="superseded")
    assert revoked["revocation_reason"] == "superseded"
    assert (await any_operator.refused(409, f"{path}/revocation"))["type"].endswith("refused")
    unknown = "0" * 64
    assert (await any_operator.refused(404, f"/certificates/{unknown}/revocation"))["type"].endswith("not-found")
    assert "PRIVATE" not in str(await any_operator.get(path))


async def test_a_certificate_is_not_revoked_by_a_digit_or_two_that_it_begins_with(
    operator: Operator, outside: Path
) -> None:
    issued = authority.load(outside, "").issue_station("CP1", CPO, "ecdsa", 9, clock.now())
    with operator.world.database.unit_of_work() as connection:
        security_store.add_certificate(connection, record_of(issued.facts, "station", 1, "test"), clock.now())
    whole = issued.facts.fingerprint
    for wrong in (whole[:1], whole[:7], whole[:8] + "_", whole[:8] + "%25"):
        await operator.refused(404, f"/certificates/{wrong}/revocation")
    assert (await operator.get(f"/certificates/{whole[:8]}"))["revoked_at"] is None
    revoked = await operator.post(f"/certificates/{whole[:8].upper()}/revocation", reason="superseded")
    assert revoked["fingerprint"] == whole


async def test_a_chain_from_outside_goes_to_the_station_that_asked(operator: Operator, outside: Path) -> None:
    asked = AskForCertificate(1, read_csr(make_request("CP1", "")[0]), clock.now())
    assert await operator.world.submit(asked)
    (waiting,) = (await operator.get("/certificate-requests", state="waiting"))["items"]
    signed = authority.load(outside, "").sign(read_csr(waiting["csr"]), 5, clock.now())
    assert (await operator.refused(422, "/certificate-requests/chains", {"chain": "x"}))["field"] == "chain"
    kept = await operator.post("/certificate-requests/chains", {"chain": signed.chain})
    assert (kept["kind"], kept["charge_point_id"]) == ("station", 1)
    assert [one.action for one in operator.world.commands()] == ["CertificateSigned"]


async def test_a_profile_is_lowered_with_a_reason_and_a_key_changed_without_being_seen(operator: Operator) -> None:
    number = await operator.world.submit(AddChargePoint("SAFE", 2, SALT, hash_key(bytes(20), SALT)))
    path = f"/charge-points/{number}/security-profile"
    problem = await operator.refused(422, path, {"security_profile": 1}, method="PUT")
    assert problem["field"] == "reason"
    lowered = await operator.post(path, {"security_profile": 1, "reason": "no TLS there"}, method="PUT")
    assert (lowered["security_profile"], lowered["has_key"]) == (1, True)
    no_key = await operator.refused(409, "/charge-points/1/security-profile", {"security_profile": 1}, method="PUT")
    assert no_key["reason"] == "no key"
    command = await operator.post(f"/charge-points/{number}/key-rotation", {"wait_s": 0})
    assert (command["action"], command["state"]) == ("ChangeConfiguration", "queued")
    assert (await operator.get(f"/charge-points/{number}/security"))["identity"] == "SAFE"
    for missing in ("/charge-points/99/security", "/charge-points/99/installed-certificates", "/certificates/00"):
        assert (await operator.send("GET", missing)).status_code == 404


async def test_a_key_without_the_scope_changes_nothing(operator: Operator) -> None:
    reader = new_api_key(operator.running, scopes=("security:read",), name="reader")
    operator.http.headers["Authorization"] = f"Bearer {reader}"
    assert (await operator.send("GET", "/security-events")).status_code == 200
    for path in ("/charge-points/1/key-rotation", "/certificates", "/certificate-requests/chains"):
        assert (await operator.send("POST", path, {})).status_code == 403
