"""Files: firmware that is really fetched and checked, diagnostics and logs that really arrive."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car, Habits
from chargepoint_sim.errors import TransferError
from chargepoint_sim.signatures import version_of
from chargepoint_sim.transfer import Transfer
from tests.chargepoint_sim import makers
from tests.chargepoint_sim.file_server import Files, ftp_files, http_files
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import CentralSystem

    Make = Callable[..., Station]

PAST = "2020-01-01T00:00:00Z"
FIRMWARE = b"\x7fFIRM version: 2.5.1\n" + bytes(range(256)) * 400


@pytest.fixture
def files() -> Iterator[Files]:
    with http_files() as served:
        served.held["/fw.bin"] = FIRMWARE
        yield served


@pytest.fixture
async def station(central: CentralSystem, make: Make) -> AsyncIterator[Station]:
    async with make() as one:
        await one.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        yield one


def told(central: CentralSystem, *actions: str) -> list[str]:
    """The statuses of some notifications, with the boots between them."""
    return [call.payload.get("status", "Boot") for call in central.of(*actions, "BootNotification")][1:]


async def test_an_update_is_fetched_installed_and_shows_in_the_next_boot(
    central: CentralSystem, station: Station, files: Files
) -> None:
    await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=PAST)
    await central.wait_for("FirmwareStatusNotification", 4)
    assert told(central, "FirmwareStatusNotification") == [
        *("Downloading", "Downloaded", "Installing", "Boot", "Installed"),
    ]
    assert central.of("BootNotification")[0].payload["firmwareVersion"] == "1.0"
    assert central.of("BootNotification")[1].payload["firmwareVersion"] == "2.5.1"
    assert station.firmware_version == "2.5.1"
    event = await central.wait_for("SecurityEventNotification")
    assert event.payload["type"] == "FirmwareUpdated"
    await central.wait_for_status("Unavailable", "Available")
    assert central.statuses() == ["Available", "Unavailable", "Available"]


async def test_an_update_waits_until_nobody_charges_and_nobody_begins_meanwhile(
    central: CentralSystem, station: Station, files: Files
) -> None:
    await charge(station)
    await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=PAST)
    await central.wait_for_status("Unavailable", connector_id=2)
    assert not (await station.present_card(2, "OTHER")).accepted
    assert station.firmware_version == "1.0"
    station.unplug(1)
    await central.wait_for("FirmwareStatusNotification", 4)
    assert station.firmware_version == "2.5.1"
    assert len(central.of("StopTransaction")) == 1


async def test_an_update_waits_for_its_date(central: CentralSystem, station: Station, files: Files) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=soon.isoformat())
    await central.wait_for("FirmwareStatusNotification", 4)
    assert [asked_at >= soon for asked_at in files.asked_at] == [True]
    assert station.firmware_version == "2.5.1"


@pytest.mark.parametrize(("retries", "last"), [(3, "Downloaded"), (2, "DownloadFailed"), (None, "DownloadFailed")])
async def test_a_download_is_tried_as_often_as_asked(
    central: CentralSystem, station: Station, files: Files, retries: int | None, last: str
) -> None:
    files.statuses = [503, 500]
    more = {} if retries is None else {"retries": retries, "retryInterval": 0}
    await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=PAST, **more)
    await central.wait_for("FirmwareStatusNotification", 2)
    assert told(central, "FirmwareStatusNotification")[:2] == ["Downloading", last]


async def test_an_installation_may_fail_after_the_reboot(central: CentralSystem, make: Make, files: Files) -> None:
    async with make(habits=Habits(install_fails=True)) as station:
        await station.wait_online(60)
        await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=PAST)
        await central.wait_for("FirmwareStatusNotification", 4)
        assert told(central, "FirmwareStatusNotification")[-2:] == ["Boot", "InstallationFailed"]
        assert station.firmware_version == "1.0"


async def test_a_station_without_a_way_to_files_says_so(central: CentralSystem, make: Make, files: Files) -> None:
    async with make(habits=Habits(transfers_fail=True)) as station:
        await station.wait_online(60)
        await central.call("UpdateFirmware", location=f"{files.url}/fw.bin", retrieveDate=PAST)
        await central.wait_for("FirmwareStatusNotification", 2)
        await central.call("GetDiagnostics", location=files.url)
        await central.wait_for("DiagnosticsStatusNotification", 2)
    assert told(central, "FirmwareStatusNotification") == ["Downloading", "DownloadFailed"]
    assert told(central, "DiagnosticsStatusNotification") == ["Uploading", "UploadFailed"]
    assert not files.got


def signed(files: Files, signer: makers.Signed, **fields: str) -> dict[str, Any]:
    """A FirmwareType for the file that is held."""
    return {
        "location": f"{files.url}/fw.bin",
        "retrieveDateTime": PAST,
        "signingCertificate": signer.pem,
        "signature": makers.signature(FIRMWARE, signer),
    } | fields


@pytest.mark.parametrize("is_rsa", [False, True])
async def test_signed_firmware_is_verified_against_the_manufacturers_root(
    central: CentralSystem, station: Station, files: Files, *, is_rsa: bool
) -> None:
    root = makers.authority("Maker")
    signer = makers.leaf("Firmware", root, is_rsa=is_rsa)
    station.certificates.install("ManufacturerRootCertificate", root.pem, station.clock.now())
    asked = {"requestId": 7, "firmware": signed(files, signer)}
    assert await central.call("SignedUpdateFirmware", **asked) == {"status": "Accepted"}
    await central.wait_for("SignedFirmwareStatusNotification", 6)
    assert told(central, "SignedFirmwareStatusNotification") == [
        *("Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Boot", "Installed"),
    ]
    assert {call.payload["requestId"] for call in central.of("SignedFirmwareStatusNotification")} == {7}
    assert station.firmware_version == "2.5.1"
    assert not central.of("FirmwareStatusNotification")


async def test_a_wrong_signature_ends_the_update_and_is_told_as_an_event(
    central: CentralSystem, station: Station, files: Files
) -> None:
    root = makers.authority("Maker")
    signer = makers.leaf("Firmware", root)
    station.certificates.install("ManufacturerRootCertificate", root.pem, station.clock.now())
    wrong = makers.signature(b"other", signer)
    asked = {"requestId": 8, "firmware": signed(files, signer, signature=wrong)}
    assert await central.call("SignedUpdateFirmware", **asked) == {"status": "Accepted"}
    await central.wait_for("SignedFirmwareStatusNotification", 3)
    event = await central.wait_for("SecurityEventNotification")
    assert told(central, "SignedFirmwareStatusNotification") == ["Downloading", "Downloaded", "InvalidSignature"]
    assert event.payload["type"] == "InvalidFirmwareSignature"
    assert station.firmware_version == "1.0"


@pytest.mark.parametrize("reason", ["another root", "no root", "expired", "no certificate"])
async def test_a_signing_certificate_that_does_not_hold_is_refused_at_once(
    central: CentralSystem, station: Station, files: Files, reason: str
) -> None:
    root = makers.authority("Maker")
    installed = makers.authority("Other maker") if reason == "another root" else root
    if reason != "no root":
        station.certificates.install("ManufacturerRootCertificate", installed.pem, station.clock.now())
    signer = makers.leaf("Firmware", root, expired=reason == "expired")
    firmware = signed(files, signer) | ({"signingCertificate": "nothing"} if reason == "no certificate" else {})
    asked = {"requestId": 9, "firmware": firmware}
    assert await central.call("SignedUpdateFirmware", **asked) == {"status": "InvalidCertificate"}
    event = await central.wait_for("SecurityEventNotification")
    assert event.payload["type"] == "InvalidFirmwareSigningCertificate"
    assert not files.logins


async def test_a_second_update_cancels_the_first_and_a_scheduled_one_says_so(
    central: CentralSystem, station: Station, files: Files
) -> None:
    root = makers.authority("Maker")
    signer = makers.leaf("Firmware", root)
    station.certificates.install("ManufacturerRootCertificate", root.pem, station.clock.now())
    late = signed(files, signer, retrieveDateTime="2099-01-01T00:00:00Z")
    assert await central.call("SignedUpdateFirmware", requestId=1, firmware=late) == {"status": "Accepted"}
    scheduled = await central.wait_for("SignedFirmwareStatusNotification")
    assert scheduled.payload == {"status": "DownloadScheduled", "requestId": 1}
    await central.call("ExtendedTriggerMessage", requestedMessage="FirmwareStatusNotification")
    assert (await central.wait_for("SignedFirmwareStatusNotification", 2)).payload == scheduled.payload
    now = {"requestId": 2, "firmware": signed(files, signer)}
    assert await central.call("SignedUpdateFirmware", **now) == {"status": "AcceptedCanceled"}
    await station.wait_until(lambda: station.firmware_version == "2.5.1", 60)
    await central.wait_for("SignedFirmwareStatusNotification", 8)
    await station.wait_until(lambda: not station.firmware.installs, 60)
    await central.call("ExtendedTriggerMessage", requestedMessage="FirmwareStatusNotification")
    assert (await central.wait_for("SignedFirmwareStatusNotification", 9)).payload == {"status": "Idle"}


async def test_diagnostics_are_put_under_the_location_by_the_name_that_was_answered(
    central: CentralSystem, station: Station, files: Files
) -> None:
    station.plug_in(1, Car())
    answer = await central.call("GetDiagnostics", location=f"{files.url}/in/token/")
    await central.wait_for("DiagnosticsStatusNotification", 2)
    assert told(central, "DiagnosticsStatusNotification") == ["Uploading", "Uploaded"]
    method, path, content = files.got[0]
    assert (method, path) == ("PUT", f"/in/token/{answer['fileName']}")
    assert b"connector 1: Preparing" in content
    assert content == station.uploads.done[0].content


async def test_diagnostics_may_be_posted_as_a_form(central: CentralSystem, make: Make, files: Files) -> None:
    async with make("A B/1", habits=Habits(upload_method="POST")) as station:
        await station.wait_online(60)
        answer = await central.call("GetDiagnostics", location=f"{files.url}/in/token")
        await central.wait_for("DiagnosticsStatusNotification", 2)
    method, path, content = files.got[0]
    assert (method, path) == ("POST", "/in/token")
    assert answer["fileName"].startswith("A_20B_2F1-diagnostics-")
    assert f'name="file"; filename="{answer["fileName"]}"'.encode() in content
    assert b"boot Accepted" in content


async def test_diagnostics_of_a_time_without_events_have_no_file(
    central: CentralSystem, station: Station, files: Files
) -> None:
    asked = {"location": files.url, "startTime": "2001-01-01T00:00:00Z", "stopTime": "2001-01-02T00:00:00Z"}
    assert await central.call("GetDiagnostics", **asked) == {}
    await asyncio.sleep(0.05)
    assert not central.of("DiagnosticsStatusNotification")
    assert not station.uploads.done


async def test_the_security_log_goes_with_its_request_id(
    central: CentralSystem, station: Station, files: Files
) -> None:
    station.tamper()
    answer = await central.call("GetLog", logType="SecurityLog", requestId=4, log={"remoteLocation": files.url})
    await central.wait_for("LogStatusNotification", 2)
    assert answer == {"status": "Accepted", "filename": files.got[0][1].lstrip("/")}
    told_of = [(call.payload["status"], call.payload["requestId"]) for call in central.of("LogStatusNotification")]
    assert told_of == [("Uploading", 4), ("Uploaded", 4)]
    assert b"TamperDetectionActivated the housing was opened" in files.got[0][2]
    assert b"connector" not in files.got[0][2].partition(b"StartupOfTheDevice")[2]
    await central.call("ExtendedTriggerMessage", requestedMessage="LogStatusNotification")
    assert (await central.wait_for("LogStatusNotification", 3)).payload == {"status": "Idle"}


@pytest.mark.parametrize(
    ("statuses", "location", "last"),
    [
        ([403], "", "PermissionDenied"),
        ([405], "", "NotSupportedOperation"),
        ([400], "", "BadMessage"),
        ([500], "", "UploadFailure"),
        ([], "sftp://127.0.0.1/x", "NotSupportedOperation"),
        ([], "nowhere", "BadMessage"),
        ([], "http://127.0.0.1:1/x", "UploadFailure"),
    ],
)
async def test_a_log_that_cannot_be_brought_says_why(
    central: CentralSystem, station: Station, files: Files, statuses: list[int], location: str, last: str
) -> None:
    files.statuses = statuses
    log = {"remoteLocation": location or files.url}
    await central.call("GetLog", logType="DiagnosticsLog", requestId=5, log=log)
    await central.wait_for("LogStatusNotification", 2)
    assert told(central, "LogStatusNotification") == ["Uploading", last]
    assert not station.uploads.done


async def test_a_second_log_cancels_the_first(central: CentralSystem, station: Station, files: Files) -> None:
    files.statuses = [500]
    log = {"remoteLocation": files.url}
    slow = {"logType": "DiagnosticsLog", "log": log, "retries": 2, "retryInterval": 600}
    assert (await central.call("GetLog", requestId=1, **slow))["status"] == "Accepted"
    await station.wait_until(lambda: not files.statuses, 60)
    assert (await central.call("GetLog", requestId=2, **slow))["status"] == "AcceptedCanceled"
    await station.wait_until(lambda: len(station.uploads.done) == 1, 60)
    await central.wait_for("LogStatusNotification", 3)
    assert [call.payload["requestId"] for call in central.of("LogStatusNotification")] == [1, 2, 2]


async def test_files_go_by_ftp_as_well(central: CentralSystem, station: Station, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "fw-3.1.bin").write_bytes(b"no version inside")
    with ftp_files(tmp_path) as url:
        answer = await central.call("GetDiagnostics", location=f"{url}/in")
        await central.wait_for("DiagnosticsStatusNotification", 2)
        await central.call("UpdateFirmware", location=f"{url}/fw-3.1.bin", retrieveDate=PAST)
        await central.wait_for("FirmwareStatusNotification", 4)
        wrong = url.replace("cret", "wrong")
        await central.call("GetLog", logType="DiagnosticsLog", requestId=5, log={"remoteLocation": wrong})
        await central.wait_for("LogStatusNotification", 2)
    assert (tmp_path / "in" / answer["fileName"]).read_bytes() == station.uploads.done[0].content
    assert station.firmware_version == "3.1"
    assert told(central, "LogStatusNotification")[-1] == "PermissionDenied"


async def test_the_end_of_a_station_does_not_wait_for_a_transfer(make: Make, central: CentralSystem) -> None:
    asking: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asking.set_result(writer)

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with make() as station:
        await station.wait_online(60)
        await central.call("GetDiagnostics", location=f"http://127.0.0.1:{port}/")
        await central.wait_for("DiagnosticsStatusNotification")
        writer = await asyncio.wait_for(asking, 60)
        began_s = station.clock.elapsed_s()
    assert (station.clock.elapsed_s() - began_s) / station.clock.speed < 5
    assert station.uploads.status == "Idle"
    server.close()
    writer.close()
    await writer.wait_closed()


def test_a_login_in_a_location_is_sent_and_not_shown(files: Files) -> None:
    location = files.url.replace("//", "//user:pass%40@") + "/fw.bin"
    assert Transfer().download(location) == FIRMWARE
    assert files.logins == ["Basic dXNlcjpwYXNzQA=="]
    files.statuses = [401]
    with pytest.raises(TransferError, match="HTTP 401") as caught:
        Transfer().download(location)
    assert "pass" not in str(caught.value)


def test_a_transfer_that_is_given_up_ends_at_its_next_block(files: Files) -> None:
    transfer = Transfer()
    with pytest.raises(TransferError, match="given up"):
        transfer.download(f"{files.url}/fw.bin", lambda _moved: transfer.given_up.set())
    assert transfer.moved_bytes < len(FIRMWARE)


@pytest.mark.parametrize(
    ("content", "location", "version"),
    [
        (b"version=1.2.3-rc1\n", "http://h/x.bin", "1.2.3-rc1"),
        (b"Version: 7\n", "http://h/x-9.9.bin", "7"),
        (b"\x00\x01", "http://h/fw_2.10.3.bin", "2.10.3"),
        (b"abc", "http://h/x.bin", "ba7816bf8f01"),
    ],
)
def test_a_version_is_said_inside_in_the_name_or_by_the_hash(content: bytes, location: str, version: str) -> None:
    assert version_of(content, location) == version
