"""The pages of firmware, campaigns and files: uploads, forms, permissions, and what is wrong said beside the field."""

from pathlib import Path

import httpx
import msgspec
import pytest

from csms import clock
from csms.charging import groups
from csms.charging.stations import AddChargePoint, Boot
from csms.operations.file_store import UPLOADS, FileStore
from csms.operations.files_models import firmware, firmware_campaign
from csms.operations.station_files import NewStationFile, keep_file
from csms.web.permissions import GRANTS
from tests.web.portal import Browser, PortalWorld

CONTENT = b"firmware" * 50_000


async def _upload(browser: Browser, content: bytes = CONTENT, name: str = "fw 2.bin", **fields: str) -> httpx.Response:
    await browser.get("/firmware")
    data = {"csrf": browser.csrf, "version": "2.0", **fields}
    response = await browser.client.post("/firmware", data=data, files={"file": (name, content)}, follow_redirects=True)
    return browser._saw(response)


def _folder(portal: PortalWorld, kind: str = "firmware") -> list[Path]:
    folder = portal.settings.files_folder / kind
    return list(folder.iterdir()) if folder.is_dir() else []


async def _station(portal: PortalWorld, identity: str = "CP-1") -> int:
    number: int = await portal.engine.submit(AddChargePoint(identity, 0, None, None))
    return number


async def _group(portal: PortalWorld) -> int:
    with portal.database.unit_of_work() as connection:
        number = groups.add_station_group(connection, "Harbour", groups.StationPolicy(), clock.now())
        assert number is not None
        assert groups.put_station(connection, "CP-1", number)
    return number


async def test_an_administrator_uploads_downloads_and_deletes_firmware(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    response = await _upload(browser, vendor="Acme")
    assert response.url.path == "/firmware/1"
    assert "The file is in the library." in browser.text
    (path,) = _folder(sqlite_portal)
    assert path.read_bytes() == CONTENT
    response = await browser.get("/firmware/1/file")
    assert (response.content, response.headers["content-disposition"]) == (CONTENT, 'attachment; filename="fw_2.bin"')
    assert "in the library already" in (await _upload(browser)).text
    assert len(_folder(sqlite_portal)) == 1
    await browser.get("/firmware/1")
    await browser.post("/firmware/1/delete")
    assert "The file is deleted." in browser.text
    assert _folder(sqlite_portal) == []
    assert (await browser.get("/firmware/1")).status_code == 404


async def test_what_is_wrong_with_an_upload_stands_beside_its_field(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    assert "Please fill this in." in (await _upload(browser, version="")).text
    assert "The file is empty." in (await _upload(browser, b"")).text
    assert "is not base64" in (await _upload(browser, signature="!", certificate="x")).text
    assert "is not a certificate" in (await _upload(browser, signature="eA==", certificate="x")).text
    assert "belong together" in (await _upload(browser, signature="eA==")).text
    await browser.get("/firmware")
    assert "Please choose a file." in (await browser.post("/firmware", version="1")).text
    assert _folder(sqlite_portal) == []
    response = await _upload(browser, signature="eA==", certificate="x\ny", keep_wrong="yes")
    assert "Signature wrong" in response.text
    with sqlite_portal.database.reading() as connection:
        (row,) = connection.execute(firmware.select()).mappings()
    assert (row["signature"], row["signing_certificate"], row["signature_state"]) == ("eA==", "x\ny", "wrong")


async def test_a_file_is_not_let_in_without_the_token_of_the_form(sqlite_portal: PortalWorld) -> None:
    for role in ("administrator", "operator", "cashier"):
        browser = await sqlite_portal.logged_in(role)  # type: ignore[arg-type]
        for csrf in ("", "x" * 43):
            files = {"file": ("fw.bin", CONTENT)}
            response = await browser.client.post("/firmware", data={"csrf": csrf, "version": "1"}, files=files)
            assert response.status_code == 403
    anonymous = await sqlite_portal.browser().client.post("/firmware", files={"file": ("fw.bin", CONTENT)})
    assert anonymous.status_code == 303
    assert _folder(sqlite_portal) == []


async def test_firmware_is_sent_to_a_station_and_followed(sqlite_portal: PortalWorld) -> None:
    number = await _station(sqlite_portal)
    await _upload(await sqlite_portal.logged_in("administrator"))
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/firmware/1")
    assert "There is no such station." in (await browser.post("/firmware/1/update", identity="nobody")).text
    assert "is no date" in (await browser.post("/firmware/1/update", identity="CP-1", retrieve_at="soon")).text
    response = await browser.post("/firmware/1/update", identity="CP-1", retrieve_at="2030-01-01T03:00", retries="2")
    assert response.url.path == "/file-transfers/1"
    assert "the command is queued" in browser.text
    assert "/files/firmware/***/fw_2.bin" in browser.text
    for path, said in (
        ("/file-transfers/1/live", "Waiting"),
        (f"/stations/{number}/files", "Firmware 2.0"),
        ("/firmware", "fw_2.bin"),
        ("/firmware/1", "CP-1"),
    ):
        assert said in (await browser.get(path)).text
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/firmware/1")
    assert "cannot be deleted" in (await administrator.post("/firmware/1/delete")).text


async def test_firmware_of_another_make_is_asked_about(sqlite_portal: PortalWorld) -> None:
    number = await _station(sqlite_portal)
    await sqlite_portal.engine.submit(Boot(number, "Other", "Two", "", ""))
    browser = await sqlite_portal.logged_in("administrator")
    await _upload(browser, vendor="Acme")
    await browser.get("/firmware/1")
    assert "The station is Other Two" in (await browser.post("/firmware/1/update", identity="CP-1")).text
    response = await browser.post("/firmware/1/update", identity="CP-1", anyway="yes")
    assert response.url.path == "/file-transfers/1"


async def test_a_campaign_is_begun_shown_and_acted_on(sqlite_portal: PortalWorld) -> None:
    await _station(sqlite_portal)
    group_id = await _group(sqlite_portal)
    await _upload(await sqlite_portal.logged_in("administrator"))
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/firmware/1")
    fields = {"group_id": str(group_id), "parallel": "2", "max_failures": "3", "only_idle": "yes"}
    refused = await browser.post("/firmware/1/campaigns", **fields | {"parallel": "0"})
    assert "From 1 to 1000." in refused.text
    assert "has no signature" in (await browser.post("/firmware/1/campaigns", is_signed="yes", **fields)).text
    response = await browser.post("/firmware/1/campaigns", starts_at="2030-01-01T03:00", **fields)
    assert response.url.path == "/firmware/campaigns/1"
    assert "Planned" in browser.text
    assert "0 of 1" in browser.text.replace("<small>", "").replace("</small>", "")
    for act, said in (
        ("pause", "Paused."),
        ("pause", "not possible any more"),
        ("resume", "goes on"),
        ("stop", "Stopped."),
    ):
        await browser.get("/firmware/campaigns/1")
        assert said in (await browser.post("/firmware/campaigns/1", act=act)).text
    assert (await browser.post("/firmware/campaigns/1", act="explode")).status_code == 422
    assert "CP-1" in (await browser.get("/firmware/campaigns/1/live")).text
    with sqlite_portal.database.reading() as connection:
        (row,) = connection.execute(firmware_campaign.select()).mappings()
    assert (row["state"], row["requested_by"], row["group_name"]) == ("stopped", "staff operator", "Harbour")


async def test_diagnostics_are_asked_for_shown_and_deleted(sqlite_portal: PortalWorld) -> None:
    number = await _station(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await browser.get(f"/stations/{number}/files")
    assert "FTP is switched off" in (await browser.post(f"/stations/{number}/files", kind="log", way="ftp")).text
    response = await browser.post(f"/stations/{number}/files", kind="diagnostics", way="http", retries="1")
    assert response.url.path == "/file-transfers/1"
    arriving = _begin(sqlite_portal)
    assert "diag.zip" in (await browser.get("/files", search="diag")).text
    assert "No file matches" in (await browser.get("/files", search="nothing")).text
    assert "diag.zip" in (await browser.get(f"/stations/{number}/files")).text
    assert "diag.zip" in (await browser.get(f"/stations/{number}/files/latest")).text
    assert f"/stations/{number}/files/latest" in (await browser.get(f"/stations/{number}")).text
    assert "diag.zip" in (await browser.get("/file-transfers/1")).text
    response = await browser.get("/files/1")
    assert response.content == b"<script>alert(1)</script>"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
    assert (await browser.post("/files/1/delete")).status_code == 403
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/files")
    assert "The file is deleted." in (await administrator.post("/files/1/delete")).text
    assert not arriving.exists()
    assert (await administrator.get("/files/1")).status_code == 404


def _begin(portal: PortalWorld) -> Path:
    """Let a file arrive, as the links do."""
    files = FileStore(portal.settings.files_folder, quota_bytes=1000)
    arriving = files.begin(UPLOADS, "diag.zip", 100)
    arriving.write(b"<script>alert(1)</script>")
    stored = msgspec.structs.asdict(arriving.finish())
    new = NewStationFile(
        charge_point_id=1, command_id=1, via="HTTP", address="192.0.2.7", received_at=clock.now(), **stored
    )
    with portal.database.unit_of_work() as connection:
        assert keep_file(connection, new, quota_bytes=1_000_000)
    return files.path(UPLOADS, new.stored_name)


async def test_what_failed_is_asked_for_again(sqlite_portal: PortalWorld) -> None:
    number = await _station(sqlite_portal)
    browser = await sqlite_portal.logged_in("administrator")
    await _upload(browser)
    await browser.get("/firmware/1")
    await browser.post("/firmware/1/update", identity="CP-1")
    await browser.post(f"/stations/{number}/files", kind="security", way="http")
    assert (await browser.post("/file-transfers/1/retry")).url.path == "/file-transfers/3"
    assert (await browser.post("/file-transfers/2/retry")).url.path == "/file-transfers/4"
    assert "Security log" in browser.text
    assert (await browser.post("/file-transfers/99/retry")).status_code == 404


async def test_sending_firmware_again_takes_the_permission_for_firmware(
    sqlite_portal: PortalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _station(sqlite_portal)
    administrator = await sqlite_portal.logged_in("administrator")
    await _upload(administrator)
    await administrator.get("/firmware/1")
    await administrator.post("/firmware/1/update", identity="CP-1")
    monkeypatch.setitem(GRANTS, "operator", GRANTS["operator"] - {"update firmware"})
    browser = await sqlite_portal.logged_in("operator")
    assert (await browser.get("/file-transfers/1")).status_code == 200
    assert (await browser.post("/file-transfers/1/retry")).status_code == 403
    assert "Try again" not in (await browser.get("/file-transfers/1")).text
