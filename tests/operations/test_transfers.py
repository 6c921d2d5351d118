"""File transfers on both databases: what answers, statuses, boots and time make of them, in whatever order."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from csms import clock
from csms.charging import models
from csms.commands.file_work import FileWork
from csms.commands.files import Links, UploadRequest, request_upload
from csms.commands.requests import ask
from csms.operations.files_models import file_transfer, file_transfer_event, station_file
from csms.operations.links import hash_token
from csms.operations.station_files import NewStationFile, find_link, keep_file, used_bytes
from csms.operations.transfers import ReviewTransfers
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import World

UPDATE = {"location": "https://files.example.org/one.bin", "retrieveDate": "2026-05-01T09:30:00Z"}
LINKS = Links("https://csms.example.org", 3600)
TOKEN = "t" * 43


def _rows(world: World, table: Any = file_transfer) -> list[dict[str, Any]]:
    with world.database.reading() as connection:
        rows = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in rows]


def _history(world: World) -> list[str]:
    return [one["status"] for one in _rows(world, file_transfer_event)]


async def _ask(world: World, action: str, payload: dict[str, Any], **more: Any) -> int:
    command = await world.submit(ask(1, action, payload, "test", **more))
    number: int = command.command_id
    return number


async def _request(world: World, token: str = TOKEN, wanted: UploadRequest | None = None) -> int:
    asked = request_upload(1, wanted or UploadRequest(), LINKS, "test", lambda: token)
    command = await world.submit(asked)
    number: int = command.command_id
    return number


async def _takes(peer: Peer, answer: dict[str, Any] | None = None) -> dict[str, Any]:
    message_id, _, payload = await peer.next_command()
    if answer is not None:
        await peer.answer(message_id, answer)
    return payload


async def _look(world: World) -> None:
    await FileWork(world.installation, clock.now).look()


async def _until_state(world: World, state: str) -> None:
    await until(lambda: [one["state"] for one in _rows(world)] == [state])


def _change(world: World, **values: Any) -> None:
    with world.database.unit_of_work() as connection:
        connection.execute(update(file_transfer).values(values))


async def test_a_status_that_is_quicker_than_the_answer_is_about_the_update_all_the_same(world: World) -> None:
    async with world.station() as peer:
        await _ask(world, "UpdateFirmware", UPDATE)
        message_id, _, _ = await peer.next_command()
        await peer.call("FirmwareStatusNotification", {"status": "Downloading"})
        (row,) = _rows(world)
        assert (row["state"], row["status"]) == ("running", "Downloading")
        await peer.answer(message_id, {})
        await peer.call("FirmwareStatusNotification", {"status": "Downloaded"})
        (row,) = _rows(world)
        assert (row["state"], row["status"]) == ("running", "Downloaded")


async def test_a_lost_answer_leaves_the_link_alive_and_the_stations_word_revives_it(world: World) -> None:
    world.wait_for_answers(0.2)
    async with world.station() as peer:
        await _request(world)
        await _takes(peer)  # and never answers
        await _until_state(world, "stalled")
        with world.database.reading() as connection:
            assert find_link(connection, TOKEN, clock.now()) is not None
        await peer.call("DiagnosticsStatusNotification", {"status": "Uploading"})
        assert _rows(world)[0]["state"] == "running"
        await peer.call("DiagnosticsStatusNotification", {"status": "Uploaded"})
        assert _rows(world)[0]["state"] == "done"
        with world.database.reading() as connection:
            assert find_link(connection, TOKEN, clock.now()) is None


async def test_a_refused_call_fails_the_transfer(world: World) -> None:
    async with world.station() as peer:
        await _request(world, wanted=UploadRequest("SecurityLog"))
        message_id, _, _ = await peer.next_command()
        await peer.socket.send(f'[4,"{message_id}","NotImplemented","no such thing",{{}}]')
        await _until_state(world, "failed")
        (row,) = _rows(world)
        assert row["reason"].startswith("NotImplemented")
        assert not row["is_followed"]


async def test_a_command_that_expired_fails_its_transfer_and_raises_the_alarm(world: World) -> None:
    await _ask(world, "UpdateFirmware", UPDATE, expires_s=0)
    await _request(world, wanted=UploadRequest(expires_s=0))
    async with world.station() as peer:
        await _request(world, token="u" * 43)
        await _takes(peer, {"fileName": "x"})
        await until(lambda: _rows(world)[-1]["state"] == "running")
        await _look(world)
    rows = _rows(world)
    assert [(row["action"], row["state"]) for row in rows] == [
        ("UpdateFirmware", "failed"),
        ("GetDiagnostics", "failed"),
        ("GetDiagnostics", "running"),
    ]
    assert rows[0]["reason"] == "the charge point was not there in time"
    assert [row["kind"] for row in _rows(world, models.alarm)] == ["firmware update failed"]


async def test_a_station_that_says_nothing_is_noticed(world: World) -> None:
    async with world.station() as peer:
        number = await _ask(world, "UpdateFirmware", UPDATE)
        await _takes(peer, {})
        await peer.call("FirmwareStatusNotification", {"status": "Downloading"})
        await _look(world)
        assert _rows(world)[0]["state"] == "running"
        _change(world, due_at=clock.now() - timedelta(seconds=1))
        for _ in range(2):
            await _look(world)
        (row,) = _rows(world)
        assert (row["state"], row["reason"]) == ("stalled", "nothing was heard after Downloading")
        assert _history(world)[-1] == "stalled"
        (alarm,) = _rows(world, models.alarm)
        assert (alarm["attempts"], "does not go on" in alarm["text"]) == (1, True)
        await peer.call("FirmwareStatusNotification", {"status": "Downloaded"})  # it was only slow
        assert _rows(world)[0]["state"] == "running"
        assert _rows(world, models.alarm)[0]["cleared_at"] is not None
    assert number == _rows(world)[0]["command_id"]


async def test_diagnostics_whose_end_nobody_told_are_done_when_the_file_is_there(world: World) -> None:
    async with world.station() as peer:
        number = await _request(world)
        await _takes(peer, {"fileName": "diag.zip"})
        await peer.call("DiagnosticsStatusNotification", {"status": "Uploading"})
        new = NewStationFile(1, number, "diag.zip", 3, "a" * 64, "b" * 32, "HTTP", "192.0.2.1", clock.now())
        with world.database.unit_of_work() as connection:
            assert keep_file(connection, new, quota_bytes=1_000_000)
            assert not keep_file(connection, new, quota_bytes=1_000_000)  # it repeated itself
            assert used_bytes(connection) == 3
        _change(world, due_at=clock.now())
        await _look(world)
        assert _rows(world)[0]["state"] == "done"
        assert len(_rows(world, station_file)) == 1


async def test_a_station_without_diagnostics_says_so(world: World) -> None:
    async with world.station() as peer:
        await _request(world)
        await _takes(peer, {})
        await _until_state(world, "running")
        (row,) = _rows(world)
        assert row["reason"] == "the station says that it has nothing to send"
        _change(world, due_at=clock.now())
        await _look(world)
        assert _rows(world)[0]["state"] == "done"


async def test_a_version_seen_at_the_boot_ends_an_update_that_never_said_installed(world: World) -> None:
    async with world.station(boot=False) as peer:
        about = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        await peer.call("BootNotification", about | {"firmwareVersion": "1"})
        await _ask(world, "UpdateFirmware", UPDATE)
        await _takes(peer, {})
        await peer.call("FirmwareStatusNotification", {"status": "Installing"})
        await peer.call("BootNotification", about | {"firmwareVersion": "1"})
        assert _rows(world)[0]["state"] == "running"
        for _ in range(2):
            await peer.call("BootNotification", about | {"firmwareVersion": "2"})
        (row,) = _rows(world)
        assert (row["state"], row["version_before"], row["version_after"]) == ("done", "1", "2")
        await peer.call("FirmwareStatusNotification", {"status": "Installed"})  # late, but said
        (row,) = _rows(world)
        assert (row["status"], row["is_followed"]) == ("Installed", False)


async def test_another_version_than_wanted_is_seen_at_the_boot(world: World) -> None:
    async with world.station(boot=False) as peer:
        about = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        await peer.call("BootNotification", about | {"firmwareVersion": "1"})
        await _ask(world, "UpdateFirmware", UPDATE)
        await _takes(peer, {})
        await peer.call("FirmwareStatusNotification", {"status": "Installing"})
        _change(world, version_wanted="3")
        for _ in range(2):
            await peer.call("BootNotification", about | {"firmwareVersion": "2"})
        assert (_rows(world)[0]["state"], _rows(world)[0]["version_after"]) == ("running", "2")
        await peer.call("FirmwareStatusNotification", {"status": "Installed"})
        (row,) = _rows(world)
        assert (row["state"], row["version_after"], row["is_followed"]) == ("done", "2", False)


async def test_a_failure_is_forgotten_after_its_time(world: World) -> None:
    async with world.station() as peer:
        number = await _ask(world, "UpdateFirmware", UPDATE)
        await _takes(peer, {})
        await peer.call("FirmwareStatusNotification", {"status": "DownloadFailed"})
        assert _rows(world)[0]["is_followed"]
        _change(world, expires_at=clock.now())
        assert await world.submit(ReviewTransfers((number, 4711))) == 1
        assert not _rows(world)[0]["is_followed"]
        await peer.call("FirmwareStatusNotification", {"status": "Downloading"})
        assert _rows(world)[0]["status"] == "DownloadFailed"


async def test_only_the_hash_of_a_token_is_kept_once_the_command_is_over(world: World) -> None:
    async with world.station() as peer:
        await _request(world)
        payload = await _takes(peer, {"fileName": "x"})
        assert payload["location"] == f"https://csms.example.org/files/uploads/{TOKEN}/"
        await _until_state(world, "running")
        (row,) = _rows(world)
        assert row["token_hash"] == hash_token(TOKEN)
        for table in models.metadata.sorted_tables:
            assert TOKEN not in str(_rows(world, table) if table.primary_key.columns else []), table.name
