"""`csms firmware` and `csms diagnostics`: the library, updates, campaigns, and files of stations."""

from pathlib import Path

import msgspec
import pytest

from csms import clock
from csms.cli.opening import opened
from csms.operations.file_store import UPLOADS, FileStore
from csms.operations.station_files import NewStationFile, keep_file
from tests.cli.conftest import Csms


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A firmware file."""
    path = tmp_path / "station-2.1.bin"
    path.write_bytes(b"firmware" * 1000)
    return path


def _add(csms: Csms, file: Path, *more: str) -> int:
    number: int = csms("firmware", "add", str(file), "--version", "2.1", *more, "--json").json["firmware_id"]
    return number


def test_a_file_is_added_listed_shown_and_deleted(csms: Csms, file: Path) -> None:
    told = csms("firmware", "add", str(file), "--version", "2.1", "--vendor", "Acme")
    assert "version 2.1, 8000 bytes" in told.out
    (one,) = csms("firmware", "list", "--json").json
    number = str(one["firmware"]["firmware_id"])
    assert "in the library already" in csms("firmware", "add", str(file), "--version", "9", status=1).err
    assert "Acme" in csms("firmware", "list").out
    assert "8000 bytes" in csms("firmware", "show", number).out
    folder = Path("data/files/firmware")
    assert [path.read_bytes() for path in folder.iterdir()] == [file.read_bytes()]
    csms("firmware", "delete", number)
    assert list(folder.iterdir()) == []
    assert "There is no firmware" in csms("firmware", "show", number, status=1).err


def test_a_wrong_signature_is_refused_unless_it_is_wanted(csms: Csms, file: Path, tmp_path: Path) -> None:
    for name in ("sig", "pem"):
        (tmp_path / name).write_text("nothing of the kind!")
    signed = ("--signature", str(tmp_path / "sig"), "--certificate", str(tmp_path / "pem"))
    refused = csms("firmware", "add", str(file), "--version", "2.1", *signed, status=1)
    assert "--keep-wrong" in refused.err
    assert not list(Path("data/files/firmware").iterdir())
    kept = csms("firmware", "add", str(file), "--version", "2.1", *signed, "--keep-wrong", "--json").json
    assert (kept["signature_state"], kept["signature"]) == ("wrong", "nothingofthekind!")


def test_what_is_wrong_with_a_file_is_told(
    csms: Csms, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    assert "is empty" in csms("firmware", "add", str(tmp_path / "empty"), "--version", "1", status=1).err
    assert "--version" in csms("firmware", "add", str(file), "--version", "x" * 51, status=2).err
    assert "--help" in csms("firmware", "add", str(tmp_path / "none"), "--version", "1", status=2).err
    monkeypatch.setenv("CSMS_MAX_FIRMWARE_BYTES", "100")
    assert "CSMS_MAX_FIRMWARE_BYTES" in csms("firmware", "add", str(file), "--version", "1", status=1).err
    assert not list(Path("data/files/firmware").iterdir())


def test_an_update_waits_for_the_server(csms: Csms, file: Path) -> None:
    csms("station", "add", "CP-1", "--security-profile", "0")
    number = str(_add(csms, file))
    told = csms("firmware", "update", "CP-1", number, "--at", "2030-01-01 03:00", "--retries", "2")
    assert "waits for the server" in told.out
    assert "There is no charge point" in csms("firmware", "update", "CP-9", number, status=1).err
    assert "has no signature" in csms("firmware", "update", "CP-1", number, "--signed", status=1).err
    assert "may still fetch it" in csms("firmware", "delete", number, status=1).err


def test_a_campaign_is_begun_paused_resumed_and_stopped(csms: Csms, file: Path) -> None:
    csms("group", "station", "add", "Harbour")
    number = str(_add(csms, file))
    add = ("firmware", "campaign", "add", "Harbour", number)
    assert "No station of this group" in csms(*add, status=1).err
    for identity in ("CP-1", "CP-2"):
        csms("station", "add", identity, "--security-profile", "0")
        csms("group", "station", "set", "Harbour", "--station", identity)
    made = csms(*add, "--parallel", "1", "--start", "2030-01-01 01:00", "--json").json
    assert made["stations"] == 2
    campaign = str(made["campaign_id"])
    assert "0 of 2 done" in csms("firmware", "campaign", "show", campaign).out
    assert "is paused" in csms("firmware", "campaign", "pause", campaign).out
    assert "in no state" in csms("firmware", "campaign", "pause", campaign, status=1).err
    csms("firmware", "campaign", "resume", campaign)
    csms("firmware", "campaign", "stop", campaign)
    assert "in no state" in csms("firmware", "campaign", "retry", campaign, status=1).err
    (one,) = csms("firmware", "campaign", "list", "--json").json
    assert (one["campaign"]["state"], one["progress"]["waiting"]) == ("stopped", 2)
    assert "Harbour" in csms("firmware", "campaign", "list").out
    assert "There is no campaign" in csms("firmware", "campaign", "show", "99", status=1).err
    assert "There is no group" in csms("firmware", "campaign", "add", "Nowhere", number, status=1).err


def test_diagnostics_are_asked_for_listed_and_saved(
    csms: Csms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    csms("station", "add", "CP-1", "--security-profile", "0")
    command = csms("diagnostics", "get", "CP-1", "--since", "2026-01-01", "--json").json["command_id"]
    csms("diagnostics", "get", "CP-1", "--kind", "security-log")
    assert "FTP is switched off" in csms("diagnostics", "get", "CP-1", "--ftp", status=2).err
    monkeypatch.setenv("CSMS_FTP", "true")
    csms("diagnostics", "get", "CP-1", "--ftp")
    assert "There is no charge point" in csms("diagnostics", "get", "CP-9", status=1).err
    asked = csms("diagnostics", "list", "CP-1", "--requests", "--json").json
    assert [one["action"] for one in asked] == ["GetDiagnostics", "GetLog", "GetDiagnostics"]
    assert [one["location"].split(":")[0] for one in asked] == ["ftp", "http", "http"]
    assert "GetLog" in csms("diagnostics", "list", "--requests").out
    assert "There are none" in csms("diagnostics", "list").out
    _receive(command)
    (one,) = csms("diagnostics", "list", "--json").json
    assert "diag.zip" in csms("diagnostics", "list").out
    csms("diagnostics", "save", str(one["file_id"]), str(tmp_path / "saved"))
    assert (tmp_path / "saved").read_bytes() == b"abc"
    again = csms("diagnostics", "save", str(one["file_id"]), str(tmp_path / "saved"), status=1)
    assert "exists already" in again.err
    assert "There is no file" in csms("diagnostics", "save", "99", "x", status=1).err


def _receive(command_id: int) -> None:
    """Let a file arrive, as the server does."""
    with opened() as installation:
        store = FileStore(installation.settings.files_folder, quota_bytes=100)
        arriving = store.begin(UPLOADS, "diag.zip", 100)
        arriving.write(b"abc")
        stored = msgspec.structs.asdict(arriving.finish())
        new = NewStationFile(
            charge_point_id=1, command_id=command_id, via="HTTP", address="192.0.2.7", received_at=clock.now(), **stored
        )
        with installation.database.unit_of_work() as connection:
            assert keep_file(connection, new, quota_bytes=1_000_000)
