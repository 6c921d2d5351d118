"""What hostile peers brought to light, one test each: first it failed, then its cause was mended."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from bench.hostile.sockets import handshake
from csms.cli.logs import Sparing
from csms.web import limits, protocol
from tests.conformance.harness import Operator, open_operator
from tests.conftest import settings_for
from tests.support.world import World, open_world


@pytest.fixture
async def edge(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A central system on SQLite."""
    async with open_world(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """The whole program on SQLite."""
    async with open_operator(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


@asynccontextmanager
async def _tcp(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _answer(port: int, request: bytes) -> bytes:
    async with _tcp(port) as (reader, writer):
        writer.write(request)
        return await asyncio.wait_for(reader.readline(), 60)


async def test_two_passwords_in_one_handshake_are_none(edge: World) -> None:
    await edge.add_station("CP7", key=bytes(range(20)))
    token = base64.b64encode(b"CP7:" + bytes(range(20))).decode()
    password = f"Authorization: Basic {token}"
    port = edge.central_system.port
    assert b" 401 " in await _answer(port, handshake("/ocpp/CP7", password, password))
    assert b" 101 " in await _answer(port, handshake("/ocpp/CP7", password))


async def test_a_station_that_connects_again_may_not_say_more_for_that(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csms.central_system.monotonic_s", lambda: 0.0)  # no more may be said as time passes
    settings = settings_for(sqlite_url, tmp_path, max_calls_per_s=2)
    async with open_world(settings) as world:
        for slowed_down in (0, 1):  # a burst is twenty calls, and each boot is one of them
            async with world.station() as peer:
                for _ in range(9 + slowed_down):
                    await peer.call("Heartbeat", {})
            assert world.central_system.counts["calls slowed down"] == slowed_down


async def test_a_form_whose_sender_goes_away_is_no_defect(operator: Operator) -> None:
    with capture_logs() as lines:
        async with _tcp(operator.running.portal_port) as (_, writer):
            writer.write(
                b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                b"Content-Length: 60000\r\n\r\nusername="
            )
            await writer.drain()
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_more_than_a_request_said_it_would_bring_is_no_defect(operator: Operator) -> None:
    with capture_logs() as lines:
        for _ in range(5):
            async with _tcp(operator.running.portal_port) as (reader, writer):
                writer.write(b"GET /stations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\x00\x01 no HTTP\r\n\r\n")
                await asyncio.wait_for(reader.read(), 60)
    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_whoever_asks_nothing_does_not_keep_a_connection_to_the_portal(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    for said in (b"", b"GET / HTTP/1.1\r\nX-Slow: "):
        async with _tcp(operator.running.portal_port) as (reader, writer):
            writer.write(said)
            assert await asyncio.wait_for(_end(reader), 60) == b""


async def test_whoever_dribbles_behind_an_answer_does_not_keep_a_connection(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.5)
    async with _tcp(operator.running.portal_port) as (reader, writer):
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        reading = asyncio.create_task(_end(reader))
        for _ in range(600):
            writer.write(b"a")
            await asyncio.sleep(0.05)
            if reading.done():
                break
        assert b" 405 " in await asyncio.wait_for(reading, 1)


async def _end(reader: asyncio.StreamReader) -> bytes:
    """Return what came until the connection ended, in good order or not."""
    came = b""
    with suppress(ConnectionError):
        while piece := await reader.read(10_000):
            came += piece
    return came


async def test_a_form_that_takes_too_long_is_refused(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_LONGEST_BODY_S", 0.2)
    head = (
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 60000\r\n\r\nusername="
    )
    assert b" 408 " in await _answer(operator.running.portal_port, head)


async def test_beyond_so_many_connections_the_portal_takes_no_more(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 1)
    async with _tcp(operator.running.portal_port) as (_, _writer):
        await asyncio.sleep(0.05)
        async with _tcp(operator.running.portal_port) as (reader, _):
            assert await asyncio.wait_for(_end(reader), 60) == b""


async def test_the_portal_speaks_no_websocket(operator: Operator) -> None:
    assert b" 404 " in await _answer(operator.running.portal_port, handshake("/ocpp/CP1"))


async def test_a_station_that_goes_away_while_a_command_is_sent_leaves_nothing_unlooked_at(
    edge: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        loop = asyncio.get_running_loop()
        async with edge.station():
            link = edge.connections.get(1)
            assert link is not None
            link.outstanding = ("1-1", loop.create_future())
            edge.dispatcher.dropped(link)
            link.outstanding = None
    assert "never retrieved" not in caplog.text


def test_lines_that_repeat_themselves_are_left_out_and_counted_and_errors_never() -> None:
    sparing = Sparing()
    kept = 0
    for _ in range(100):
        try:
            sparing(None, "warning", {"event": "unreadable frame", "charge_point": "CP1"})
            kept += 1
        except structlog.DropEvent:
            pass
        sparing(None, "error", {"event": "unreadable frame", "charge_point": "CP1"})
    assert kept == 20
    assert sparing(None, "warning", {"event": "unreadable frame", "charge_point": "CP2"})
    sparing._until_s = 0.0
    assert sparing(None, "warning", {"event": "another"})["lines_left_out"] == 80
