"""The one-time links of stations, over real sockets: what they give and take, and what they refuse."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import update

from csms.operations.files_models import file_transfer, station_file
from csms.web.files import receiving
from tests.conformance.harness import Operator, Station
from tests.support.waiting import until

FIRMWARE = bytes(range(256)) * 1000


async def _link_of_firmware(operator: Operator, station: Station) -> str:
    response = await operator.http.post("/api/v1/firmware", params={"name": "fw.bin", "version": "2"}, content=FIRMWARE)
    await operator.post("/charge-points/1/firmware-updates", {"firmware_id": response.json()["id"]})
    taken = await station.takes("UpdateFirmware", answers={})
    return str(taken.payload["location"])


async def _link_of_upload(operator: Operator, station: Station) -> str:
    asked = await operator.post("/charge-points/1/file-requests", {"kind": "diagnostics"})
    taken = await station.takes("GetDiagnostics", answers={"fileName": "diag.zip"})
    await operator.get(f"/commands/{asked['id']}", wait_s=50)  # until the name that was announced is stored
    return str(taken.payload["location"])


def _files(operator: Operator) -> list[tuple[str, int]]:
    return [(one["name"], one["size_bytes"]) for one in operator.stored(station_file)]


def _on_disk(operator: Operator) -> list[Path]:
    folder = operator.settings.files_folder / "uploads"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _bytes_on_disk(operator: Operator) -> int:
    return sum(path.stat().st_size for path in _on_disk(operator))


# --- Downloads --------------------------------------------------------------------------------------------------------


async def test_a_download_is_the_file_and_may_be_repeated_until_the_update_ends(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_firmware(operator, station)
    for _ in range(3):
        response = await client.get(link)
        assert (response.status_code, response.content) == (200, FIRMWARE)
    assert response.headers["content-disposition"] == 'attachment; filename="fw.bin"'
    assert response.headers["x-content-type-options"] == "nosniff"
    (row,) = await until(lambda: [one for one in operator.stored(file_transfer) if one["accesses"] == 3])
    assert (row["moved_bytes"], row["last_address"]) == (3 * len(FIRMWARE), "127.0.0.1")
    await station.call("FirmwareStatusNotification", {"status": "Installed"})
    assert (await client.get(link)).status_code == 404


async def test_a_download_is_continued_where_it_broke_off(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_firmware(operator, station)
    size = len(FIRMWARE)
    for asked, start, end in (
        ("bytes=1000-", 1000, size),
        ("bytes=10-19", 10, 20),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size + 100}", 5, size),
    ):
        response = await client.get(link, headers={"Range": asked})
        assert (response.status_code, response.content) == (206, FIRMWARE[start:end]), asked
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for asked in ("bytes=1-2,5-6", "lines=1-2", "bytes=-", "bytes=x-"):
        assert (await client.get(link, headers={"Range": asked})).content == FIRMWARE
    for asked in (f"bytes={size}-", "bytes=9-5"):
        assert (await client.get(link, headers={"Range": asked})).status_code == 416
    head = await client.head(link)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))


async def test_a_station_that_goes_away_in_the_middle_is_counted_for_what_it_got(
    operator: Operator, station: Station
) -> None:
    link = urlsplit(await _link_of_firmware(operator, station))
    reader, writer = await asyncio.open_connection(link.hostname, link.port, limit=2**12)
    writer.write(f"GET {link.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    (row,) = await until(lambda: [one for one in operator.stored(file_transfer) if one["accesses"] == 1])
    assert row["moved_bytes"] <= len(FIRMWARE)


async def test_a_link_dies_with_its_day(operator: Operator, station: Station, client: httpx.AsyncClient) -> None:
    link = await _link_of_firmware(operator, station)
    with operator.world.database.unit_of_work() as connection:
        connection.execute(update(file_transfer).values(expires_at=operator.world.start_of_time))
    assert (await client.get(link)).status_code == 404


async def test_wrong_links_open_nothing_and_too_many_of_them_are_not_even_looked_up(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_firmware(operator, station)
    base = link.split("/files/")[0]
    token = link.split("/")[-2]
    for path in (f"/files/firmware/{token[:-1]}/fw.bin", f"/files/uploads/{token}/fw.bin", "/files/firmware/x/y"):
        response = await client.request("PUT" if "uploads" in path else "GET", base + path)
        assert response.status_code == 404
        assert token not in response.text
    statuses = [(await client.get(f"{base}/files/firmware/none/{number}")).status_code for number in range(6)]
    assert statuses[-1] == 429
    assert (await client.post(link)).status_code == 405


async def test_an_upload_link_gives_nothing_away(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)
    await client.put(f"{link}secret.txt", content=b"x")
    token = link.rstrip("/").rpartition("/")[2]
    base = link.split("/files/")[0]
    assert (await client.get(link)).status_code == 405
    assert (await client.get(f"{link}secret.txt")).status_code == 405
    assert (await client.get(f"{base}/files/firmware/{token}/secret.txt")).status_code == 404


# --- Uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "stored"),
    [
        ("log.txt", "log.txt"),
        ("/log.txt", "log.txt"),
        ("", "diag.zip"),
        ("..%2F..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("a/b/c/%2e%2e", "diag.zip"),
        (".htaccess", "htaccess"),
        ("Gr%C3%BC%C3%9Fe%20%22%09.log", "Gr_e_.log"),
        ("x" * 300 + ".log", "x" * 96 + ".log"),
        ("C%3A%5CWindows%5Cdiag.log", "diag.log"),
    ],
)
async def test_a_name_is_made_safe(
    operator: Operator, station: Station, client: httpx.AsyncClient, path: str, stored: str
) -> None:
    link = await _link_of_upload(operator, station)
    assert (await client.put(f"{link}{path}", content=b"abc")).status_code == 201
    assert _files(operator) == [(stored, 3)]
    (on_disk,) = _on_disk(operator)
    assert on_disk.name.isalnum()
    assert on_disk.read_bytes() == b"abc"


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_body_or_a_form_with_or_without_a_slash(
    operator: Operator, station: Station, client: httpx.AsyncClient, method: str, slash: str
) -> None:
    link = (await _link_of_upload(operator, station)).rstrip("/") + slash
    assert (await client.request(method, link, content=b"body")).status_code == 201
    form = {"a": ("one.txt", b"first"), "b": ("two.txt", b"second!")}
    assert (await client.request(method, link, files=form)).status_code == 201
    assert _files(operator) == [("diag.zip", 4), ("one.txt", 5), ("two.txt", 7)]


async def test_what_is_too_large_is_refused_and_nothing_of_it_is_left(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)

    async def endless() -> object:
        for _ in range(400):
            yield b"x" * 1000

    too_much = b"x" * 200_001
    assert (await client.put(f"{link}a", content=b"x" * 300_000)).status_code == 413  # told by its length
    assert (await client.put(f"{link}a", content=too_much)).status_code == 413
    assert (await client.put(f"{link}a", content=endless())).status_code == 413  # type: ignore[arg-type]
    assert (await client.post(link, files={"f": ("a", too_much)})).status_code == 413
    assert (_files(operator), _on_disk(operator)) == ([], [])
    assert (await client.put(f"{link}a", content=b"x" * 200_000)).status_code == 201


async def test_no_more_files_come_over_a_link_than_may(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)
    statuses = [(await client.put(f"{link}{number}", content=b"abc")).status_code for number in range(5)]
    assert statuses == [201, 201, 201, 409, 409]
    link = await _link_of_upload(operator, station)
    form = [("f", (f"{number}.txt", b"abc")) for number in range(4)]
    assert (await client.post(link, files=form)).status_code == 409
    assert len(_files(operator)) == len(_on_disk(operator)) == 3


async def test_the_quota_holds_over_all_stations(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)
    sizes = [200_000, 200_000]
    for number, size in enumerate(sizes):
        assert (await client.put(f"{link}{number}", content=bytes([number]) * size)).status_code == 201
    link = await _link_of_upload(operator, station)
    assert (await client.put(f"{link}x", content=b"x" * 150_000)).status_code == 507
    assert (await client.put(f"{link}x", content=b"x" * 90_000)).status_code == 201
    assert len(_on_disk(operator)) == 3


async def test_many_at_once_do_not_exceed_the_quota_together(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)
    bodies = [bytes([number]) * 190_000 for number in range(3)]
    answers = await asyncio.gather(*(client.put(f"{link}{number}", content=body) for number, body in enumerate(bodies)))
    statuses = [one.status_code for one in answers]
    assert set(statuses) <= {201, 507}
    assert statuses.count(201) in {1, 2}  # two may stand in each other's way for the last room: a station tries again
    for number, body in enumerate(bodies):
        if statuses[number] != 201 and statuses.count(201) == 1:
            assert (await client.put(f"{link}{number}", content=body)).status_code == 201
            break
    assert sum(size for _, size in _files(operator)) == _bytes_on_disk(operator) == 380_000


@pytest.mark.parametrize("kind", ["body", "form"])
async def test_a_slow_file_counts_what_was_stored_since_it_began(
    operator: Operator, station: Station, client: httpx.AsyncClient, kind: str
) -> None:
    link = await _link_of_upload(operator, station)
    as_form = kind == "form"
    boundary = {"content-type": "multipart/form-data; boundary=B"} if as_form else {}
    head = b'--B\r\nContent-Disposition: form-data; name="f"; filename="slow"\r\n\r\n' if as_form else b""
    others_are_there = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield head + b"x" * 100_000
        await others_are_there.wait()
        yield b"x" * 90_000 + (b"\r\n--B--\r\n" if as_form else b"")

    sending = asyncio.create_task(client.put(f"{link}slow", content=slow(), headers=boundary))
    await until(lambda: bool(_on_disk(operator)))
    for number in range(2):
        assert (await client.put(f"{link}{number}", content=bytes([number]) * 190_000)).status_code == 201
    others_are_there.set()
    assert (await sending).status_code == 507
    assert sum(size for _, size in _files(operator)) == _bytes_on_disk(operator) == 380_000


async def test_what_broke_off_leaves_nothing(operator: Operator, station: Station, client: httpx.AsyncClient) -> None:
    link = await _link_of_upload(operator, station)
    where = urlsplit(link)
    for _ in range(2):
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(f"PUT {where.path}half HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n".encode())
        writer.write(b"x" * 40_000)
        await writer.drain()
        await until(lambda: bool(_on_disk(operator)))
        writer.transport.abort()
        await until(lambda: not _on_disk(operator))
    assert _files(operator) == []
    assert (await client.put(f"{link}half", content=b"whole")).status_code == 201


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\nabc"),
        ("multipart/form-data; boundary=b", b"nothing of the kind"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X-Header: " + b"x" * 9000 + b"\r\n\r\nabc\r\n--b--\r\n"),
    ],
)
async def test_a_form_that_is_none_is_refused(
    operator: Operator, station: Station, client: httpx.AsyncClient, kind: str, body: bytes
) -> None:
    link = await _link_of_upload(operator, station)
    response = await client.post(link, content=body, headers={"Content-Type": kind})
    assert response.status_code in {400, 415}
    assert (_files(operator), _on_disk(operator)) == ([], [])


async def test_a_link_dies_when_the_station_is_done(
    operator: Operator, station: Station, client: httpx.AsyncClient
) -> None:
    link = await _link_of_upload(operator, station)
    await station.call("DiagnosticsStatusNotification", {"status": "Uploaded"})
    assert (await client.put(f"{link}late", content=b"x")).status_code == 404


async def test_a_sender_that_pauses_too_long_is_sent_away(
    operator: Operator, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_PATIENCE_S", 0.2)
    where = urlsplit(await _link_of_upload(operator, station))
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"PUT {where.path}slow HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\nbegin".encode())
    assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()
    assert (_files(operator), _on_disk(operator)) == ([], [])


async def test_tokens_are_in_no_message_of_the_log(operator: Operator, station: Station) -> None:
    links = [await _link_of_upload(operator, station), await _link_of_firmware(operator, station)]

    async def kept() -> str:
        return str([await operator.get("/messages", action=action) for action in ("GetDiagnostics", "UpdateFirmware")])

    for _ in range(1200):
        text = await kept()
        if "/files/uploads/***/" in text and "/files/firmware/***/" in text:
            break
        await asyncio.sleep(0.05)
    assert "/files/uploads/***/" in text
    assert not any(link.split("/")[5] in text for link in links)


async def test_tokens_are_in_no_log(
    operator: Operator, station: Station, client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    links = [await _link_of_upload(operator, station), await _link_of_firmware(operator, station)]
    await client.put(f"{links[0]}a", content=b"x")
    await client.put(f"{links[0]}a", content=b"x" * 300_000)
    await client.get(links[1])
    await client.get(f"{links[1].rpartition('/')[0][:-1]}/a")
    logged = "".join(capsys.readouterr())
    for link in links:
        token = link.split("/")[5]
        assert len(token) == 43
        assert token[:40] not in logged
        with operator.world.database.reading() as connection:
            dump = "\n".join(connection.connection.iterdump())  # type: ignore[attr-defined]
        commands = [line for line in dump.splitlines() if "command_secret" not in line]
        assert not any(token in line for line in commands)
