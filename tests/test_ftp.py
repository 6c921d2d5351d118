"""FTP over real sockets with Python's own client: one user and password per request, and nothing but STOR."""

import asyncio
import ftplib
import io
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from csms import clock
from csms.errors import ConfigurationError
from csms.ftp import FtpServer
from csms.installation import open_installation
from csms.operations.files_models import file_transfer, station_file
from tests.conformance.harness import Operator, Station, open_operator
from tests.conftest import settings_for
from tests.support.waiting import until


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator at a program that takes files over FTP."""
    settings = settings_for(
        sqlite_url,
        tmp_path,
        ftp=True,
        ftp_port=0,
        ftp_host="127.0.0.1",
        ftp_passive_ports="",
        max_station_file_bytes=100_000,
        station_files_quota_bytes=150_000,
        max_files_per_link=2,
    )
    async with open_operator(settings) as opened:
        yield opened


@pytest.fixture
async def location(operator: Operator) -> AsyncIterator[SplitResult]:
    """Where CP1 was told to send its diagnostics."""
    async with operator.station() as station:
        yield await _asked(operator, station)


async def _asked(operator: Operator, station: Station) -> SplitResult:
    await operator.post("/charge-points/1/file-requests", {"kind": "diagnostics", "over": "ftp"})
    taken = await station.takes("GetDiagnostics", answers={"fileName": "diag.zip"})
    return urlsplit(str(taken.payload["location"]))


def _logged_in(location: SplitResult) -> ftplib.FTP:
    ftp = ftplib.FTP(timeout=60)  # noqa: S321 - it is what is tested
    ftp.connect(location.hostname or "", location.port or 0)
    try:
        ftp.login(location.username or "", location.password or "")
    except ftplib.Error:
        ftp.close()
        raise
    return ftp


def _files(operator: Operator) -> list[tuple[str, int, str]]:
    return [(one["name"], one["size_bytes"], one["via"]) for one in operator.stored(station_file)]


def _on_disk(operator: Operator) -> list[Path]:
    folder = operator.settings.files_folder / "uploads"
    return sorted(folder.iterdir()) if folder.is_dir() else []


async def test_a_station_stores_what_it_was_asked_for(operator: Operator, location: SplitResult) -> None:
    assert location.username == "cp1"

    def store() -> None:
        for _ in range(2):  # a station that repeats itself
            with _logged_in(location) as ftp:
                ftp.cwd("/")
                assert ftp.storbinary("STOR diag.zip", io.BytesIO(b"what went wrong")).startswith("226")

    await asyncio.to_thread(store)
    assert _files(operator) == [("diag.zip", 15, "FTP")]
    (path,) = _on_disk(operator)
    assert path.read_bytes() == b"what went wrong"
    (row,) = operator.stored(file_transfer)
    assert (row["accesses"], row["last_address"], location.password in row["location"]) == (2, "127.0.0.1", False)


async def test_nothing_can_be_listed_fetched_or_changed(operator: Operator, location: SplitResult) -> None:
    def try_all() -> None:
        with _logged_in(location) as ftp:
            ftp.storbinary("STOR a.txt", io.BytesIO(b"abc"))
            for command in (
                "DELE a.txt",
                "RNFR a.txt",
                "MKD x",
                "RMD /",
                "SIZE a.txt",
                "MDTM a.txt",
                "SITE CHMOD 777 a",
            ):
                with pytest.raises(ftplib.error_perm):
                    ftp.voidcmd(command)
            for command in ("RETR a.txt", "LIST", "NLST", "MLSD", "APPE a.txt", "STOU"):
                with pytest.raises(ftplib.error_perm):
                    ftp.transfercmd(command)
            with pytest.raises(ftplib.error_perm):
                ftp.transfercmd("STOR a.txt", rest=1)

    await asyncio.to_thread(try_all)
    assert _files(operator) == [("a.txt", 3, "FTP")]


async def test_paths_lead_nowhere(operator: Operator, location: SplitResult, tmp_path: Path) -> None:
    before = Path.cwd()

    def store() -> None:
        with _logged_in(location) as ftp:
            ftp.cwd("/etc")
            ftp.cwd("../../tmp")
            ftp.storbinary("STOR ../../../etc/passwd", io.BytesIO(b"1"))
        with _logged_in(location) as ftp:
            ftp.storbinary(f"STOR {tmp_path}/csms.sqlite3", io.BytesIO(b"22"))

    await asyncio.to_thread(store)
    assert Path.cwd() == before
    assert _files(operator) == [("passwd", 1, "FTP"), ("csms.sqlite3", 2, "FTP")]
    assert len(_on_disk(operator)) == 2


async def test_what_is_too_large_or_too_much_is_refused(operator: Operator, location: SplitResult) -> None:
    def store() -> None:
        refused = _logged_in(location)
        with pytest.raises((ftplib.Error, OSError)):
            refused.storbinary("STOR big", io.BytesIO(b"x" * 5_000_000))
        refused.close()
        with _logged_in(location) as ftp:
            ftp.storbinary("STOR whole", io.BytesIO(b"x" * 100_000))
            ftp.storbinary("STOR second", io.BytesIO(b"x"))
            with pytest.raises(ftplib.error_perm):
                ftp.storbinary("STOR third", io.BytesIO(b"x"))

    await asyncio.to_thread(store)
    assert [name for name, _, _ in _files(operator)] == ["whole", "second"]
    await until(lambda: len(_on_disk(operator)) == 2)


async def test_a_slow_file_counts_what_was_stored_since_it_began(operator: Operator, location: SplitResult) -> None:
    def store() -> None:
        with _logged_in(location) as slow, _logged_in(location) as ftp:
            sending = slow.transfercmd("STOR slow")
            sending.sendall(b"x" * 40_000)
            while not any(path.stat().st_size for path in _on_disk(operator)):
                time.sleep(0.01)
            ftp.storbinary("STOR quick", io.BytesIO(b"x" * 100_000))
            sending.sendall(b"x" * 20_000)
            sending.close()
            with pytest.raises(ftplib.error_temp, match="452 The place for files of stations is used up"):
                slow.voidresp()

    await asyncio.to_thread(store)
    assert [name for name, _, _ in _files(operator)] == ["quick"]
    await until(lambda: len(_on_disk(operator)) == 1)


async def test_what_broke_off_leaves_nothing(operator: Operator, location: SplitResult) -> None:
    def begin() -> None:
        ftp = _logged_in(location)
        data = ftp.transfercmd("STOR half")
        data.sendall(b"x" * 20_000)
        data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        data.close()
        ftp.close()

    await asyncio.to_thread(begin)
    await until(lambda: not _on_disk(operator))
    assert _files(operator) == []


async def test_a_wrong_user_or_password_and_a_request_that_is_over_are_refused(operator: Operator) -> None:
    def log_in(user: str, password: str, where: SplitResult) -> None:
        wrong = where._replace(netloc=f"{user}:{password}@{where.hostname}:{where.port}")
        with pytest.raises(ftplib.error_perm):
            _logged_in(wrong)

    async with operator.station() as station:
        location = await _asked(operator, station)
        user, password = location.username or "", location.password or ""
        tries = [("cp2", password), (user, password[:-1]), ("anonymous", "guest")]
        await asyncio.gather(*(asyncio.to_thread(log_in, *one, location) for one in tries))
        await station.call("DiagnosticsStatusNotification", {"status": "Uploaded"})
        await asyncio.to_thread(log_in, user, password, location)


def test_a_port_that_is_taken_is_told_in_one_sentence(sqlite_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(sqlite_url, tmp_path, ftp=True, ftp_port=taken.getsockname()[1])
        installation = open_installation(settings)
        with pytest.raises(ConfigurationError, match="CSMS_FTP_PORT"):
            FtpServer(installation, clock.now)
        installation.database.close()


def test_without_the_setting_there_is_none(sqlite_url: str, tmp_path: Path) -> None:
    installation = open_installation(settings_for(sqlite_url, tmp_path))
    assert FtpServer(installation, clock.now).port is None
    installation.database.close()
