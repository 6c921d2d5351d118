"""Frames, right and wrong, over a real socket: each gets its answer, none ends the loop (OCPP-J 1.6, 4)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from csms.charging import models, overview
from csms.handlers import HANDLERS
from tests.conftest import settings_for
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

HEARTBEAT = '[2,"h","Heartbeat",{}]'
BOOT = '[2,"b","BootNotification",{"chargePointVendor":"Acme","chargePointModel":"One"}]'


@pytest.fixture
async def edge(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite, for what no database can change."""
    async with open_world(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


@asynccontextmanager
async def opened(world: World, identity: str = "CP1", *, boot: bool = True) -> AsyncIterator[ClientConnection]:
    """Open a connection whose frames are all the test's own."""
    options: Any = {"subprotocols": ["ocpp1.6"], "compression": None, "proxy": None, "max_size": None}
    options["open_timeout"] = 60
    async with connect(world.url + identity, **options) as socket:
        if boot:
            assert (await ask(socket, BOOT))[2]["status"] == "Accepted"
        yield socket


async def ask(socket: ClientConnection, frame: str | bytes) -> Any:
    """Send a text frame, whatever it is, and return what comes back next."""
    await socket.send(frame, text=True)
    return json.loads(await asyncio.wait_for(socket.recv(), 60))


async def alive(socket: ClientConnection) -> bool:
    """Tell whether the next thing that comes back is the answer to a heartbeat: nothing else was answered before it."""
    return (await ask(socket, HEARTBEAT))[:2] == [3, "h"]


async def closed(socket: ClientConnection) -> int | None:
    """Wait for the end of a connection and return its close code."""
    await asyncio.wait_for(socket.wait_closed(), 60)
    return socket.close_code


# --- Frames that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('[2,"m1","Heartbeat",{}', "FormationViolation"),
        ('[2,"m1","Heartbeat",{]', "FormationViolation"),
        ('[2,"m1","Heartbeat",{"a":}]', "FormationViolation"),
        ('[2,"m1","Heartbeat"]', "ProtocolError"),
        ('[2,"m1"]', "ProtocolError"),
        ('[2,"m1","Heartbeat",{},{}]', "FormationViolation"),
        ('[2,"m1","Heartbeat",[]]', "FormationViolation"),
        ('[2,"m1","Heartbeat","{}"]', "FormationViolation"),
        ('[2,"m1",7,{}]', "FormationViolation"),
        ('[2,"m1",null,{}]', "FormationViolation"),
        ('[5,"m1","Heartbeat",{}]', "FormationViolation"),
        ('[2,"m1","DataTransfer",{"vendorId":"\\ud800"}]', "FormationViolation"),
        ('[2,"m1","DataTransfer",{"data":' + "[" * 40 + "]" * 40 + "}]", "FormationViolation"),
        ('[2,"m1","DataTransfer",{"data":' + "[" * 100_000 + "]" * 100_000 + "}]", "FormationViolation"),
        ('[2,"m1","DataTransfer",{"data":' + "[" * 100_000, "FormationViolation"),
    ],
)
async def test_a_frame_that_is_none_is_answered_where_its_id_can_be_read(edge: World, frame: str, code: str) -> None:
    async with opened(edge) as socket:
        answer = await ask(socket, frame)
        assert answer[:3] == [4, "m1", code]
        assert isinstance(answer[3], str)
        assert answer[4] == {}
        assert await alive(socket)
    assert edge.central_system.counts["unreadable frame"] == 1


@pytest.mark.parametrize(
    "frame",
    [
        "",
        " ",
        "hello",
        "[]",
        "{}",
        "null",
        "7",
        '""',
        "[2]",
        "[2,null,3]",
        '[[2,"m1"]]',
        '[3,"m1"]',
        '[4,"m1"]',
        '[3,"m1",7]',
        "[2,{},1,{}]",
    ],
)
async def test_a_frame_without_an_id_to_answer_is_counted_and_not_answered(edge: World, frame: str) -> None:
    async with opened(edge) as socket:
        await socket.send(frame)
        assert await alive(socket)
    assert edge.central_system.counts["unreadable frame"] == 1


async def test_invalid_utf_8_in_a_text_frame_is_answered_like_any_frame_that_is_none(edge: World) -> None:
    async with opened(edge) as socket:
        assert (await ask(socket, b'[2,"m1","DataTransfer",{"vendorId":"\xff\xfe"}]'))[:3] == [
            4,
            "m1",
            "FormationViolation",
        ]
        assert await alive(socket)


async def test_a_binary_frame_with_a_call_in_it_is_answered_in_text(edge: World) -> None:
    async with opened(edge) as socket:
        await socket.send(HEARTBEAT.encode())
        said = await asyncio.wait_for(socket.recv(), 60)
        assert isinstance(said, str)
        assert json.loads(said)[:2] == [3, "h"]


async def test_too_many_frames_that_are_none_close_the_connection(edge: World) -> None:
    most = edge.installation.settings.max_bad_frames
    async with opened(edge) as socket:
        for _ in range(most - 1):
            await socket.send("hello")
        assert await alive(socket)
        await socket.send("hello")
        assert await closed(socket) == 1002
    assert edge.central_system.counts["unreadable frame"] == most
    async with opened(edge, boot=False) as socket:
        assert await alive(socket)


async def test_an_oversized_frame_closes_the_connection_and_nobody_elses(edge: World) -> None:
    await edge.add_station("CP2")
    async with opened(edge, "CP2") as other, opened(edge) as socket:
        size = edge.installation.settings.max_frame_bytes
        await socket.send('[2,"m1","DataTransfer",{"vendorId":"' + "x" * size + '"}]')
        assert await closed(socket) == 1009
        assert await alive(other)


async def test_a_frame_at_the_limit_is_read(edge: World) -> None:
    frame = '[2,"m1","DataTransfer",{"vendorId":"a","data":"%s"}]'
    size = edge.installation.settings.max_frame_bytes - len(frame % "")
    async with opened(edge) as socket:
        assert await ask(socket, frame % ("x" * size)) == [3, "m1", {"status": "UnknownVendorId"}]


async def test_a_message_in_many_fragments_is_one_message(edge: World) -> None:
    async with opened(edge) as socket:
        await socket.send(iter(HEARTBEAT))
        assert json.loads(await asyncio.wait_for(socket.recv(), 60))[:2] == [3, "h"]


async def test_a_peer_that_breaks_the_websocket_protocol_is_closed_and_nobody_else_notices(edge: World) -> None:
    await edge.add_station("CP2")
    async with opened(edge, "CP2") as other, opened(edge) as socket:
        unmasked = Frame(Opcode.TEXT, HEARTBEAT.encode()).serialize(mask=False)
        socket.transport.write(unmasked)
        assert await closed(socket) == 1002
        assert await alive(other)


# --- Calls that cannot be answered with a result ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Fly", {}, "NotImplemented"),
        ("heartbeat", {}, "NotImplemented"),
        ("", {}, "NotImplemented"),
        ("__class__", {}, "NotImplemented"),
        ("x" * 10_000, {}, "NotImplemented"),
        ("Reset", {"type": "Soft"}, "NotSupported"),
        ("RemoteStopTransaction", {"transactionId": 1}, "NotSupported"),
        ("Authorize", {}, "OccurenceConstraintViolation"),
        ("Authorize", {"idTag": 7}, "TypeConstraintViolation"),
        ("Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("Authorize", {"idTag": CARD, "pin": "1"}, "FormationViolation"),
        ("FirmwareStatusNotification", {"status": "Exploded"}, "PropertyConstraintViolation"),
    ],
)
async def test_a_call_that_cannot_be_handled_gets_the_code_that_says_why(
    edge: World, action: str, payload: dict[str, Any], code: str
) -> None:
    async with opened(edge) as socket:
        answer = await ask(socket, json.dumps([2, "m1", action, payload]))
        assert answer[:3] == [4, "m1", code]
        assert len(answer[3]) <= 255
        assert await alive(socket)
    assert edge.central_system.counts[f"rejected call: {code}"] == 1


async def test_calls_before_the_first_boot_are_refused_until_it_is_accepted(world: World) -> None:
    async with opened(world, boot=False) as socket:
        calls = {
            "Heartbeat": {},
            "Authorize": {"idTag": CARD},
            "StartTransaction": {"connectorId": 1, "idTag": CARD, "meterStart": 0, "timestamp": world.at(0)},
        }
        for action, payload in calls.items():
            assert (await ask(socket, json.dumps([2, "m1", action, payload])))[:3] == [4, "m1", "SecurityError"]
        assert world.transactions() == []
        assert (await ask(socket, BOOT))[2]["status"] == "Accepted"
        for action, payload in calls.items():
            assert (await ask(socket, json.dumps([2, "m1", action, payload])))[0] == 3


async def test_a_defect_of_a_handler_costs_only_its_call(edge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(HANDLERS, "DataTransfer", broken)
    async with opened(edge) as socket:
        answer = await ask(socket, '[2,"m1","DataTransfer",{"vendorId":"a"}]')
        assert answer[:3] == [4, "m1", "InternalError"]
        assert "ZeroDivision" not in answer[3]
        assert await alive(socket)


# --- Answers that nobody waits for ------------------------------------------------------------------------------------


async def test_answers_to_no_call_of_ours_by_the_thousand_change_nothing(edge: World) -> None:
    async with opened(edge) as socket:
        for n in range(3000):
            await socket.send(
                f'[3,"{n}-1",{{"status":"Accepted"}}]' if n % 2 else f'[4,"{n}-1","GenericError","",{{}}]'
            )
        assert await alive(socket)
    assert edge.central_system.counts["unreadable frame"] == 0


# --- Message ids and order (4.1) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("message_id", ["", " ", "a" * 36, "a" * 128, "säule-⚡", '"', "\\", "1", 1, 0, -1, 2**40])
async def test_an_answer_carries_exactly_the_id_of_its_call(edge: World, message_id: str | int) -> None:
    async with opened(edge) as socket:
        answer = await ask(socket, json.dumps([2, message_id, "Heartbeat", {}]))
        assert answer[:2] == [3, message_id]
        assert type(answer[1]) is type(message_id)


async def test_blanks_in_a_frame_mean_nothing(edge: World) -> None:
    async with opened(edge) as socket:
        frame = ' [ 2 ,\t"m1" , "Heartbeat",\r\n  { }  ] \n'
        assert (await ask(socket, frame))[:2] == [3, "m1"]


async def test_a_call_without_a_payload_may_say_null(edge: World) -> None:
    async with opened(edge) as socket:
        assert (await ask(socket, '[2,"m1","Heartbeat",null]'))[:2] == [3, "m1"]


async def test_calls_in_flight_are_answered_in_their_order(world: World) -> None:
    async with opened(world) as socket:
        for n in range(60):
            action, payload = ("Heartbeat", {}) if n % 2 else ("Authorize", {"idTag": CARD})
            await socket.send(json.dumps([2, f"m{n}", action, payload]))
        answers = [json.loads(await asyncio.wait_for(socket.recv(), 60)) for _ in range(60)]
    assert [answer[:2] for answer in answers] == [[3, f"m{n}"] for n in range(60)]


async def test_calls_beyond_the_rate_are_slowed_down_and_none_is_lost(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csms.central_system.monotonic_s", lambda: 0.0)  # no more may be said as time passes
    async with open_world(settings_for(sqlite_url, tmp_path, max_calls_per_s=20)) as world, opened(world) as socket:
        began = time.monotonic()
        for n in range(205):  # a burst of ten seconds' worth is let through at once, the boot among them
            await socket.send(f'[2,"m{n}","Heartbeat",{{}}]')
        answers = [json.loads(await asyncio.wait_for(socket.recv(), 60))[1] for _ in range(205)]
        assert answers == [f"m{n}" for n in range(205)]
        assert time.monotonic() - began > 1  # 0.05 s, then twice that, and so on
        assert world.central_system.counts["calls slowed down"] == 6


# --- What is stored of the simple messages ----------------------------------------------------------------------------


async def test_a_heartbeat_is_answered_with_our_time(world: World) -> None:
    async with world.station() as peer:
        said = (await peer.call("Heartbeat", {}))["currentTime"]
    assert said.endswith("Z")
    assert abs(time.time() - datetime.fromisoformat(said).timestamp()) < 30


async def test_a_message_of_an_unknown_vendor_is_answered_so(world: World) -> None:
    async with world.station() as peer:
        for payload in ({"vendorId": "com.example"}, {"vendorId": "com.example", "messageId": "x", "data": "y"}):
            assert await peer.call("DataTransfer", payload) == {"status": "UnknownVendorId"}


async def test_the_status_of_every_connector_and_of_the_whole_station_is_kept(world: World) -> None:
    async with world.station() as peer:
        for connector_id, status in ((0, "Available"), (1, "Preparing"), (2, "Faulted"), (1, "Charging")):
            payload = {"connectorId": connector_id, "errorCode": "NoError", "status": status, "timestamp": world.at(1)}
            for _ in range(2):
                assert await peer.call("StatusNotification", payload) == {}
    connectors = station(world).connectors
    assert [(one.connector_id, one.status) for one in connectors] == [(0, "Available"), (1, "Charging"), (2, "Faulted")]
    assert connectors[0].happened_at.isoformat() == world.at(1).replace("Z", "+00:00")


async def test_the_progress_of_firmware_and_diagnostics_is_kept(world: World) -> None:
    async with world.station() as peer:
        assert await peer.call("FirmwareStatusNotification", {"status": "Downloading"}) == {}
        assert await peer.call("FirmwareStatusNotification", {"status": "Installed"}) == {}
        assert await peer.call("DiagnosticsStatusNotification", {"status": "Uploading"}) == {}
    assert (station(world).firmware_status, station(world).diagnostics_status) == ("Installed", "Uploading")


async def test_what_a_boot_says_of_the_station_is_kept(world: World) -> None:
    said = {
        "chargePointVendor": "Ütronic",
        "chargePointModel": "M-1",
        "chargePointSerialNumber": "S/1",
        "firmwareVersion": "1.2.3 ⚡",
    }
    async with world.station(boot=False) as peer:
        answer = await peer.call("BootNotification", said)
        assert answer["interval"] == world.installation.settings.heartbeat_interval_s
    one = station(world)
    assert [one.vendor, one.model, one.serial_number, one.firmware_version] == [*said.values()]


HOSTILE = [
    "\x00",
    "a\x00b",
    "⚡" * 50,
    "\U0001f50c" * 25,
    "'; DROP TABLE card; --",
    "<script>",
    "\u202e",
    "\x1b[2J",
    "%s%n",
    "\\u0000",
]


async def test_hostile_texts_are_kept_or_refused_and_hurt_nothing(world: World) -> None:
    async with world.station() as peer:
        for n, text in enumerate((*HOSTILE, "x" * 10_000)):
            status = {
                "connectorId": 1,
                "errorCode": "NoError",
                "status": "Faulted",
                "info": text,
                "vendorErrorCode": text,
            }
            await peer.frame([2, f"s{n}", "StatusNotification", status])
            await peer.frame([2, f"a{n}", "Authorize", {"idTag": text}])
            boot = {"chargePointVendor": text, "chargePointModel": text, "firmwareVersion": text}
            await peer.frame([2, f"b{n}", "BootNotification", boot])
            start = {"connectorId": 1, "idTag": text, "meterStart": 0, "timestamp": text, "reservationId": 1}
            await peer.frame([2, f"t{n}", "StartTransaction", start])
            stop = {"transactionId": 1, "meterStop": 1, "timestamp": text, "idTag": text, "reason": text}
            await peer.frame([2, f"e{n}", "StopTransaction", stop])
            values = [{"timestamp": text, "sampledValue": [{"value": text, "unit": text, "context": text}]}]
            await peer.frame([2, f"v{n}", "MeterValues", {"connectorId": 1, "meterValue": values}])
        assert "currentTime" in await peer.call("Heartbeat", {})
    assert world.card().balance_minor == 2000
    assert world.central_system.counts["rejected call: InternalError"] == 0


NUMBERS = [-1, 0, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 10**30, 1.5, 1e300, -0.0]


async def test_numbers_beyond_all_bounds_are_kept_or_refused_and_hurt_nothing(world: World) -> None:
    async with world.station() as peer:
        for n, number in enumerate(NUMBERS):
            status = {"connectorId": number, "errorCode": "NoError", "status": "Available"}
            await peer.frame([2, f"s{n}", "StatusNotification", status])
            start = {"connectorId": number, "idTag": CARD, "meterStart": number, "timestamp": world.at(n)}
            await peer.frame([2, f"t{n}", "StartTransaction", start])
            stop = {"transactionId": number, "meterStop": number, "timestamp": world.at(n)}
            await peer.frame([2, f"e{n}", "StopTransaction", stop])
            samples = [{"value": str(number)}, {"value": str(number), "measurand": "Power.Active.Import", "unit": "kW"}]
            values = [{"timestamp": world.at(n), "sampledValue": samples}]
            payload = {"connectorId": number, "transactionId": number, "meterValue": values}
            await peer.frame([2, f"v{n}", "MeterValues", payload])
        assert "currentTime" in await peer.call("Heartbeat", {})
    assert world.central_system.counts["rejected call: InternalError"] == 0


async def test_when_a_station_was_last_heard_of_is_kept_at_its_end(world: World) -> None:
    async with world.station():
        pass
    await until(lambda: not station(world).online)
    with world.database.reading() as connection:
        assert connection.execute(select(models.charge_point.c.last_seen_at)).scalar_one() is not None


def station(world: World) -> overview.StationView:
    """Return CP1 as people see it."""
    with world.database.reading() as connection:
        (found,) = overview.list_stations(connection, limit=10)
    return found
