"""The cases of firmware, diagnostics and logs (TC_044, TC_045, TC_079 to TC_081), with real downloads and uploads."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from csms.charging import models
from csms.operations.files_models import file_transfer, file_transfer_event, station_file
from tests.conformance.harness import Operator, Station

FIRMWARE = bytes(range(256)) * 300
LOCATION = "https://files.example.org/firmware/one.bin"
RETRIEVE = "2026-05-01T09:30:00Z"


def _transfer(operator: Operator, command_id: int) -> dict[str, Any]:
    (row,) = operator.stored(file_transfer, file_transfer.c.command_id == command_id)
    return row


def _history(operator: Operator, command_id: int) -> list[str]:
    return [
        one["status"] for one in operator.stored(file_transfer_event, file_transfer_event.c.command_id == command_id)
    ]


def _of_station(operator: Operator) -> dict[str, Any]:
    (row,) = operator.stored(models.charge_point)
    return row


async def _says(station: Station, action: str, *statuses: str, **more: Any) -> None:
    """Send status notifications, each twice: the second changes nothing."""
    for status in statuses:
        for _ in range(2):
            assert await station.call(action, {"status": status, **more}) == {}


async def _library(operator: Operator, content: bytes = FIRMWARE, version: str = "2.0.0") -> int:
    response = await operator.http.post(
        "/api/v1/firmware",
        params={"name": "one two.bin", "version": version},
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert response.status_code == 201, response.text
    number: int = response.json()["id"]
    return number


async def _fetch(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.get(url)


def _signed(content: bytes) -> tuple[str, str]:
    """Return a signature over a file, as the whitepaper wants it, and the certificate of its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme firmware")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    signature = key.sign(content, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return base64.b64encode(signature).decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


# --- Firmware ---------------------------------------------------------------------------------------------------------


async def test_tc_044_1_firmware_update_download_and_install(operator: Operator, station: Station) -> None:
    """With a file of the library: the station really fetches it over the link that it is sent."""
    await station.boots(firmwareVersion="1.0.0")
    firmware_id = await _library(operator)
    asked = await operator.post("/charge-points/1/firmware-updates", {"firmware_id": firmware_id, "retries": 2})
    taken = await station.takes("UpdateFirmware", answers={})
    assert set(taken.payload) == {"location", "retrieveDate", "retries"}
    assert taken.payload["retrieveDate"].endswith("Z")
    location = taken.payload["location"]
    assert location.startswith(f"http://127.0.0.1:{operator.running.portal_port}/files/firmware/")
    assert location.endswith("/one_two.bin")
    token = location.split("/")[-2]
    await operator.get(f"/commands/{asked['id']}", wait_s=50)
    await _says(station, "FirmwareStatusNotification", "Downloading")
    response = await _fetch(location)
    assert (response.status_code, response.content) == (200, FIRMWARE)
    await _says(station, "FirmwareStatusNotification", "Downloaded")
    await station.status(0, "Unavailable")
    await _says(station, "FirmwareStatusNotification", "Installing")
    assert _transfer(operator, asked["id"])["state"] == "running"
    await station.boots(firmwareVersion="2.0.0")
    await _says(station, "FirmwareStatusNotification", "Installed")
    await station.status(0, "Available")

    row = _transfer(operator, asked["id"])
    assert (row["state"], row["status"], row["is_followed"]) == ("done", "Installed", False)
    assert (row["version_before"], row["version_wanted"], row["version_after"]) == ("1.0.0", "2.0.0", "2.0.0")
    assert (row["moved_bytes"], row["accesses"]) == (len(FIRMWARE), 1)
    happened = ["asked for", "accepted", "Downloading", "Downloaded", "Installing", "boot", "Installed"]
    assert _history(operator, asked["id"]) == happened
    assert _of_station(operator)["firmware_status"] == "Installed"
    assert (await _fetch(location)).status_code == 404  # the update is over: the link is dead
    (command,) = operator.stored(models.command, models.command.c.action == "UpdateFirmware")
    assert token not in str(command) + str(row) + str(await operator.get(f"/commands/{asked['id']}"))


async def test_tc_044_1_an_update_from_elsewhere_is_followed_too(operator: Operator, station: Station) -> None:
    asked = {"location": LOCATION, "retrieveDate": RETRIEVE}
    done = await operator.told(station, "UpdateFirmware", asked, answers={})
    await _says(station, "FirmwareStatusNotification", "Downloading", "Downloaded", "Installing")
    await station.boots()
    await _says(station, "FirmwareStatusNotification", "Installed", "Idle")
    row = _transfer(operator, done.id)
    assert (row["state"], row["location"], row["token_hash"]) == ("done", LOCATION, None)
    assert row["requested_by"].startswith("api")


async def test_tc_044_2_firmware_update_download_failed(operator: Operator, station: Station) -> None:
    asked = {"location": LOCATION, "retrieveDate": RETRIEVE, "retries": 1, "retryInterval": 5}
    done = await operator.told(station, "UpdateFirmware", asked, answers={})
    await _says(station, "FirmwareStatusNotification", "Downloading", "DownloadFailed")
    row = _transfer(operator, done.id)
    assert (row["state"], row["status"]) == ("failed", "DownloadFailed")
    (alarm,) = operator.stored(models.alarm)
    assert (alarm["kind"], alarm["cleared_at"], alarm["attempts"]) == ("firmware update failed", None, 1)
    assert "DownloadFailed" in alarm["text"]
    await operator.told(station, "UpdateFirmware", asked, answers={})  # the operator tries again
    (alarm,) = operator.stored(models.alarm)
    assert alarm["cleared_at"] is not None


async def test_tc_044_3_firmware_update_installation_failed(operator: Operator, station: Station) -> None:
    await station.boots(firmwareVersion="1.0.0")
    done = await operator.told(station, "UpdateFirmware", {"location": LOCATION, "retrieveDate": RETRIEVE}, answers={})
    await _says(station, "FirmwareStatusNotification", "Downloading", "Downloaded", "Installing")
    await station.boots(firmwareVersion="1.0.0")
    assert _transfer(operator, done.id)["state"] == "running"  # the same version says nothing yet
    await _says(station, "FirmwareStatusNotification", "InstallationFailed")
    row = _transfer(operator, done.id)
    assert (row["state"], row["status"], row["version_after"]) == ("failed", "InstallationFailed", None)
    assert [one["kind"] for one in operator.stored(models.alarm)] == ["firmware update failed"]


async def test_tc_080_secure_firmware_update(operator: Operator, station: Station) -> None:
    firmware_id = await _library(operator)
    signature, certificate = _signed(FIRMWARE)
    body = {"signature": signature, "signing_certificate": certificate}
    signed = await operator.post(f"/firmware/{firmware_id}/signature", body, method="PUT")
    assert (signed["signature"], signed["signature_note"]) == ("valid", "RSA-PSS with SHA-256")
    asked = await operator.post("/charge-points/1/firmware-updates", {"firmware_id": firmware_id, "is_signed": True})
    taken = await station.takes("SignedUpdateFirmware", answers={"status": "Accepted"})
    firmware = taken.payload["firmware"]
    assert (firmware["signature"], firmware["signingCertificate"]) == (signature, certificate.strip())
    assert taken.payload["requestId"] == asked["id"]
    await operator.get(f"/commands/{asked['id']}", wait_s=50)
    assert (await _fetch(firmware["location"])).content == FIRMWARE
    mine = {"requestId": taken.payload["requestId"]}
    before = ("Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting")
    await _says(station, "SignedFirmwareStatusNotification", *before, **mine)
    await station.boots(firmwareVersion="2.0.0")
    event = {"type": "FirmwareUpdated", "timestamp": "2026-05-01T09:30:00Z"}
    assert await station.call("SecurityEventNotification", event) == {}
    await _says(station, "SignedFirmwareStatusNotification", "Installed", **mine)
    row = _transfer(operator, asked["id"])
    assert (row["state"], row["status"], row["version_after"]) == ("done", "Installed", "2.0.0")
    assert _history(operator, asked["id"]) == ["asked for", "accepted", *before, "boot", "Installed"]


async def test_tc_081_secure_firmware_update_invalid_signature(operator: Operator, station: Station) -> None:
    firmware_id = await _library(operator)
    signature, certificate = _signed(FIRMWARE + b"another file")
    body = {"signature": signature, "signing_certificate": certificate}
    problem = await operator.refused(422, f"/firmware/{firmware_id}/signature", body, method="PUT")
    assert problem["field"] == "signature"
    await operator.post(f"/firmware/{firmware_id}/signature", body | {"keep_wrong": True}, method="PUT")
    asked = await operator.post("/charge-points/1/firmware-updates", {"firmware_id": firmware_id, "is_signed": True})
    taken = await station.takes("SignedUpdateFirmware", answers={"status": "Accepted"})
    assert taken.payload["firmware"]["signature"] == signature
    mine = {"requestId": taken.payload["requestId"]}
    await _says(station, "SignedFirmwareStatusNotification", "Downloading", "Downloaded", "InvalidSignature", **mine)
    row = _transfer(operator, asked["id"])
    assert (row["state"], row["status"]) == ("failed", "InvalidSignature")
    assert "InvalidSignature" in operator.stored(models.alarm)[0]["text"]


@pytest.mark.parametrize("status", ["InvalidCertificate", "RevokedCertificate", "Rejected"])
async def test_a_refused_signed_update_is_told_as_refused(operator: Operator, station: Station, status: str) -> None:
    firmware = {"location": LOCATION, "retrieveDateTime": RETRIEVE, "signingCertificate": "x", "signature": "eA=="}
    asked = {"requestId": 77, "firmware": firmware}
    done = await operator.told(station, "SignedUpdateFirmware", asked, answers={"status": status})
    assert done.state == "rejected"
    row = _transfer(operator, done.id)
    assert (row["state"], row["reason"], row["request_id"]) == ("rejected", f"the station answered {status}", 77)


async def test_a_newer_signed_update_takes_the_place_of_the_older(operator: Operator, station: Station) -> None:
    firmware = {"location": LOCATION, "retrieveDateTime": RETRIEVE, "signingCertificate": "x", "signature": "eA=="}
    first = {"requestId": 1, "firmware": firmware}
    older = await operator.told(station, "SignedUpdateFirmware", first, answers={"status": "Accepted"})
    await _says(station, "SignedFirmwareStatusNotification", "Downloading", requestId=1)
    second = {"requestId": 2, "firmware": firmware}
    newer = await operator.told(station, "SignedUpdateFirmware", second, answers={"status": "AcceptedCanceled"})
    assert newer.state == "accepted"
    assert _transfer(operator, older.id)["state"] == "canceled"
    await _says(station, "SignedFirmwareStatusNotification", "Downloading", requestId=2)
    await _says(station, "SignedFirmwareStatusNotification", "Downloaded", requestId=1)  # a late word of the older
    assert (_transfer(operator, older.id)["state"], _transfer(operator, newer.id)["status"]) == (
        "canceled",
        "Downloading",
    )


# --- Diagnostics and logs ---------------------------------------------------------------------------------------------


async def test_tc_045_1_get_diagnostics(operator: Operator, station: Station) -> None:
    """With an address of ours: the station really sends a file."""
    asked = await operator.post("/charge-points/1/file-requests", {"kind": "diagnostics", "retries": 1})
    taken = await station.takes("GetDiagnostics", answers={"fileName": "diag.tar.gz"})
    assert set(taken.payload) == {"location", "retries"}
    location = taken.payload["location"]
    await _says(station, "DiagnosticsStatusNotification", "Uploading")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for _ in range(2):  # a station whose answer was lost sends it again
            sent = await client.put(f"{location}diag.tar.gz", content=b"what went wrong")
            assert sent.status_code == 201
    await _says(station, "DiagnosticsStatusNotification", "Uploaded")
    row = _transfer(operator, asked["id"])
    assert (row["state"], row["status"], row["file_name"]) == ("done", "Uploaded", "diag.tar.gz")
    (stored,) = operator.stored(station_file)
    assert (stored["name"], stored["size_bytes"], stored["via"]) == ("diag.tar.gz", 15, "HTTP")
    (item,) = (await operator.get("/files", charge_point_id=1))["items"]
    content = await operator.http.get(f"/api/v1/files/{item['id']}/content")
    assert content.content == b"what went wrong"
    assert content.headers["content-disposition"].startswith("attachment")
    assert content.headers["x-content-type-options"] == "nosniff"
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        assert (await client.put(f"{location}more.txt", content=b"x")).status_code == 404  # it is over
    assert _of_station(operator)["diagnostics_status"] == "Uploaded"


async def test_tc_045_2_get_diagnostics_upload_failed(operator: Operator, station: Station) -> None:
    asked = {"location": "ftp://files.example.org/diagnostics"}
    done = await operator.told(station, "GetDiagnostics", asked, answers={"fileName": "diag.tar.gz"})
    await _says(station, "DiagnosticsStatusNotification", "Uploading", "UploadFailed")
    row = _transfer(operator, done.id)
    assert (row["state"], row["status"], row["location"]) == ("failed", "UploadFailed", asked["location"])
    assert operator.stored(station_file) == []


async def test_tc_079_get_security_log(operator: Operator, station: Station) -> None:
    asked = await operator.post("/charge-points/1/file-requests", {"kind": "security-log"})
    taken = await station.takes("GetLog", answers={"status": "Accepted", "filename": "security.log"})
    assert (taken.payload["logType"], taken.payload["requestId"]) == ("SecurityLog", asked["id"])
    location = taken.payload["log"]["remoteLocation"]
    await _says(station, "LogStatusNotification", "Uploading", requestId=asked["id"])
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        files = {"file": ("../../etc/security.log", b"nothing happened", "text/plain")}
        assert (await client.post(location, files=files)).status_code == 201
    await _says(station, "LogStatusNotification", "Uploaded", requestId=asked["id"])
    row = _transfer(operator, asked["id"])
    assert (row["state"], row["log_type"], row["file_name"]) == ("done", "SecurityLog", "security.log")
    assert [one["name"] for one in operator.stored(station_file)] == ["security.log"]


async def test_tc_079_a_log_to_another_place(operator: Operator, station: Station) -> None:
    log = {"remoteLocation": "https://user:secret@files.example.org/logs", "oldestTimestamp": RETRIEVE}
    pending = await operator.command("GetLog", {"requestId": 5, "logType": "SecurityLog", "log": log})
    sent = {"requestId": 5, "logType": "SecurityLog", "log": log}
    await station.takes("GetLog", sent, answers={"status": "AcceptedCanceled", "filename": "s.log"})
    done = await pending.done()
    assert done.state == "accepted"
    await _says(station, "LogStatusNotification", "Uploading", "Uploaded", requestId=5)
    row = _transfer(operator, done.id)
    assert (row["state"], row["request_id"], "secret" in row["location"]) == ("done", 5, False)


@pytest.mark.parametrize("action", ["SignedFirmwareStatusNotification", "LogStatusNotification"])
async def test_a_status_of_a_request_that_nobody_knows_is_answered(
    operator: Operator, station: Station, action: str
) -> None:
    for payload in ({"status": "Idle"}, {"status": "Idle", "requestId": 9}):
        assert await station.call(action, payload) == {}
    status = "Uploading" if action == "LogStatusNotification" else "Downloading"
    assert await station.call(action, {"status": status, "requestId": 4711}) == {}
    assert operator.stored(file_transfer) == []


async def test_idle_changes_nothing(operator: Operator, station: Station) -> None:
    done = await operator.told(station, "UpdateFirmware", {"location": LOCATION, "retrieveDate": RETRIEVE}, answers={})
    await _says(station, "FirmwareStatusNotification", "Downloading", "Idle")
    assert _transfer(operator, done.id)["status"] == "Downloading"
    assert _of_station(operator)["firmware_status"] == "Idle"
