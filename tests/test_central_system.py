"""The handshake: who is let in, and what those who are not are told (OCPP-J 1.6, 3.1; security profile 1)."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from csms.charging import models, overview
from csms.config import Settings
from tests.conftest import settings_for
from tests.support.world import KEY, World, open_world

SettingsMaker = Callable[..., Settings]


@pytest.fixture
async def edge(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on SQLite, for what no database can change."""
    async with open_world(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


@asynccontextmanager
async def knocking(
    world: World, path: str, *, offered: list[str] | None = None, authorization: str | None = None
) -> AsyncIterator[ClientConnection]:
    """Open a WebSocket as a station does; `path` is the whole path, `offered` the subprotocols (None: ocpp1.6)."""
    headers = {} if authorization is None else {"Authorization": authorization}
    subprotocols: Any = (["ocpp1.6"] if offered is None else offered) or None
    url = f"ws://127.0.0.1:{world.central_system.port}{path}"
    async with connect(
        url, subprotocols=subprotocols, additional_headers=headers, compression=None, proxy=None, open_timeout=60
    ) as socket:
        yield socket


async def answer(world: World, path: str, **asked: Any) -> Response:
    """Return the response to a handshake."""
    try:
        async with knocking(world, path, **asked) as socket:
            assert socket.response is not None
            return socket.response
    except InvalidStatus as refused:
        return refused.response


async def status(world: World, path: str, **asked: Any) -> int:
    """Return the HTTP status of a handshake: 101 is being let in."""
    return (await answer(world, path, **asked)).status_code


def basic(user: str, password: bytes) -> str:
    """Return the header of HTTP Basic."""
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode()


def unknown(world: World) -> list[tuple[str, str, int]]:
    """Return identity, address and attempts of the unknown stations."""
    table = models.unknown_charge_point.c
    with world.database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(table.identity, table.address, table.attempts))]


# --- The identity (3.1.1) ---------------------------------------------------------------------------------------------


IDENTITIES = ["CP1", "Säule Nord", "A/B", "50% off", "CP?1", "充电桩", "x" * 255]


async def test_an_identity_is_percent_decoded(world: World) -> None:
    for identity in IDENTITIES:
        await world.add_station(identity)
        async with world.station(quote(identity, safe="")):
            assert identity in [link.identity for link in world.connections]


async def test_a_query_is_no_part_of_the_identity(edge: World) -> None:
    assert await status(edge, "/ocpp/CP1?token=1") == 101


NOWHERE = ["/", "/ocpp", "/ocpp/", "/CP1", "/other/CP1", "/OCPP/CP1"]
UNUSABLE = ["/ocpp/%FF", "/ocpp/CP1%00", "/ocpp/CP1%0A", "/ocpp/" + "x" * 256]


async def test_paths_without_an_identity_that_can_be_one_are_not_found(edge: World) -> None:
    for path in (*NOWHERE, *UNUSABLE):
        assert (path, await status(edge, path)) == (path, 404)
    assert unknown(edge) == []


async def test_a_path_beyond_all_limits_is_refused_and_hurts_nobody(edge: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.central_system.port)
    writer.write(b"GET /ocpp/" + b"x" * 100_000 + b" HTTP/1.1\r\n")
    line = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    assert line.startswith(b"HTTP/1.1 4")
    assert await status(edge, "/ocpp/CP1") == 101


async def test_an_unknown_identity_is_not_found_and_listed_once_with_its_attempts(world: World) -> None:
    for _ in range(3):
        assert await status(world, "/ocpp/Neue%20S%C3%A4ule") == 404
    assert await status(world, "/ocpp/OTHER", authorization=basic("OTHER", b"secret")) == 404
    assert sorted(unknown(world)) == [("Neue Säule", "127.0.0.1", 3), ("OTHER", "127.0.0.1", 1)]
    assert world.central_system.counts["handshake refused: unknown"] == 4


async def test_an_adopted_station_leaves_the_list_of_unknown_ones(world: World) -> None:
    assert await status(world, "/ocpp/NEW") == 404
    await world.add_station("NEW")
    assert unknown(world) == []
    assert await status(world, "/ocpp/NEW") == 101


# --- Adoption at once, for laboratories -------------------------------------------------------------------------------


async def test_a_laboratory_adopts_a_station_without_credentials(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings(adopt_unknown_stations=True)) as world:
        async with world.station("LAB"):
            pass
        assert unknown(world) == []
        assert station(world, "LAB").security_profile == 0
        assert await status(world, "/ocpp/LAB") == 101


async def test_a_laboratory_remembers_the_key_of_the_first_connection_and_refuses_another(
    make_settings: SettingsMaker,
) -> None:
    async with open_world(make_settings(adopt_unknown_stations=True)) as world:
        assert await status(world, "/ocpp/LAB", authorization=basic("LAB", KEY)) == 101
        assert station(world, "LAB").security_profile == 1
        assert await status(world, "/ocpp/LAB", authorization=basic("LAB", b"another")) == 401
        assert await status(world, "/ocpp/LAB") == 401
        assert await status(world, "/ocpp/LAB", authorization=basic("LAB", KEY)) == 101
        with world.database.reading() as connection:
            stored = connection.execute(select(models.charge_point.c.key_salt, models.charge_point.c.key_hash)).all()
        assert KEY.hex() not in repr(stored)


async def test_many_unknown_stations_are_adopted_at_the_same_time(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings(adopt_unknown_stations=True)) as world:
        paths = [f"/ocpp/LAB-{n % 10}" for n in range(20)]
        assert set(await asyncio.gather(*(status(world, path) for path in paths))) == {101}
        with world.database.reading() as connection:
            names = [one.identity for one in overview.list_stations(connection, limit=100)]
        assert sorted(names) == ["CP1", *(f"LAB-{n}" for n in range(10))]


def station(world: World, identity: str) -> overview.StationView:
    """Return a station as people see it."""
    with world.database.reading() as connection:
        (found,) = [one for one in overview.list_stations(connection, limit=100) if one.identity == identity]
    return found


# --- HTTP Basic -------------------------------------------------------------------------------------------------------


RIGHT = [
    basic("SAFE", KEY),
    basic("SAFE", KEY.hex().encode()),
    basic("SAFE", KEY.hex().upper().encode()),
    basic("SAFE", KEY).replace("Basic", "basic"),
]
WRONG = [
    basic("SAFE", KEY[:-1]),
    basic("SAFE", KEY + b"\n"),
    basic("SAFE", b""),
    basic("CP1", KEY),
    basic("safe", KEY),
    basic("", KEY),
    None,
    "Basic",
    "Basic !!!",
    "Basic caf\xe9",
    "Basic " + base64.b64encode(b"SAFE").decode(),
    f"Bearer {KEY.hex()}",
]


async def test_a_key_is_taken_as_bytes_or_hex_text_and_only_with_the_right_name(world: World) -> None:
    await world.add_station("SAFE", key=KEY)
    for header in RIGHT:
        assert (header, await raw_status(world, "SAFE", header)) == (header, 101)
    for header in WRONG:
        assert (header, await raw_status(world, "SAFE", header)) == (header, 401)


async def raw_status(world: World, identity: str, authorization: str | None) -> int:
    """Return the status of a handshake whose header may be anything."""
    header = "" if authorization is None else f"Authorization: {authorization}\r\n"
    request = (
        f"GET /ocpp/{identity} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
        f"Sec-WebSocket-Protocol: ocpp1.6\r\n{header}\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", world.central_system.port)
    writer.write(request.encode("latin-1"))
    line = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    return int(line.split()[1])


async def test_a_key_may_begin_with_a_colon_and_hold_any_byte(edge: World) -> None:
    key = b":\xff\x00:" + KEY[:16]
    await edge.add_station("SAFE", key=key)
    assert await status(edge, "/ocpp/SAFE", authorization=basic("SAFE", key)) == 101


async def test_a_refused_key_is_told_how_to_authenticate_and_nothing_of_the_key(edge: World) -> None:
    await edge.add_station("SAFE", key=KEY)
    refused = await answer(edge, "/ocpp/SAFE", authorization=basic("SAFE", b"guess"))
    assert refused.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert b"guess" not in (refused.body or b"")
    assert edge.central_system.counts["handshake refused: wrong key"] == 1
    assert unknown(edge) == []


async def test_a_station_without_a_key_of_its_own_is_let_in_whatever_it_sends(edge: World) -> None:
    assert await status(edge, "/ocpp/CP1", authorization=basic("CP1", b"anything")) == 101


# --- Limits of the handshake ------------------------------------------------------------------------------------------


async def test_too_many_failures_from_one_address_have_to_wait(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, max_failed_handshakes_per_min=3)) as world:
        assert [await status(world, f"/ocpp/GUESS-{n}") for n in range(5)] == [404, 404, 404, 429, 429]
        assert await status(world, "/ocpp/CP1") == 429
        assert len(unknown(world)) == 3
        assert world.central_system.counts["handshake too often"] == 3


async def test_too_many_failures_of_one_identity_have_to_wait_from_anywhere(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, max_failed_handshakes_per_min=3)) as world:
        await world.add_station("SAFE", key=KEY)
        found = []
        options: Any = {"subprotocols": ["ocpp1.6"], "proxy": None, "open_timeout": 60}
        for n in range(5):  # each from an address of its own: all of 127.0.0.0/8 is this machine
            url = f"ws://127.0.0.1:{world.central_system.port}/ocpp/SAFE"
            try:
                async with connect(url, local_addr=(f"127.0.0.{n + 10}", 0), **options):
                    found.append(101)
            except InvalidStatus as refused:
                found.append(refused.response.status_code)
        assert found == [401, 401, 401, 429, 429]
        async with world.station("SAFE", key=KEY):
            pass  # nobody can keep the station itself out by guessing for it
        assert await status(world, "/ocpp/CP1") == 101


async def test_success_costs_nothing_of_the_limit(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, max_failed_handshakes_per_min=2)) as world:
        assert {await status(world, "/ocpp/CP1") for _ in range(5)} == {101}


async def test_more_connections_than_the_limit_are_refused_until_one_ends(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, max_connections=2)) as world:
        await world.add_station("CP2")
        await world.add_station("CP3")
        async with world.station("CP1"):
            async with world.station("CP2"):
                assert await status(world, "/ocpp/CP3") == 503
            assert await eventually(world, "/ocpp/CP3", 101)


async def test_a_station_replaces_its_own_connection_at_the_limit(sqlite_url: str, tmp_path: Path) -> None:
    settings = settings_for(sqlite_url, tmp_path, max_connections=1)
    async with open_world(settings) as world, world.station("CP1"), world.station("CP1"):
        assert len(world.connections) == 1


async def eventually(world: World, path: str, expected: int) -> bool:
    """Knock until the status is the expected one."""
    for _ in range(1000):
        if await status(world, path) == expected:
            return True
        await asyncio.sleep(0.02)
    return False


# --- The subprotocol (3.1.2) ------------------------------------------------------------------------------------------


async def test_ocpp_1_6_is_picked_out_of_whatever_is_offered(edge: World) -> None:
    async with knocking(edge, "/ocpp/CP1", offered=["ocpp0.1", "ocpp1.6", "ocpp2.0.1"]) as socket:
        assert socket.subprotocol == "ocpp1.6"


@pytest.mark.parametrize("offered", [["ocpp0.1"], ["ocpp1.5", "ocpp2.0.1"], ["ocpp1.60"]])
async def test_an_offer_without_ocpp_1_6_is_refused_without_an_upgrade(edge: World, offered: list[str]) -> None:
    assert await status(edge, "/ocpp/CP1", offered=offered) == 400
    assert edge.central_system.counts["handshake without ocpp1.6"] == 1
    assert len(edge.connections) == 0


async def test_a_station_that_offers_no_subprotocol_is_let_in_and_flagged(edge: World) -> None:
    async with edge.station("CP1", subprotocols=None) as peer:
        assert peer.socket.subprotocol is None
        with edge.database.reading() as connection:
            assert connection.execute(select(models.connection.c.subprotocol)).scalar_one() == ""


async def test_a_setting_forbids_to_offer_no_subprotocol(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, require_subprotocol=True)) as world:
        assert await status(world, "/ocpp/CP1", offered=[]) == 400
        assert await status(world, "/ocpp/CP1") == 101


# --- What is no handshake at all --------------------------------------------------------------------------------------


TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
PAGE = b"GET / HTTP/1.1\r\n\r\n"
FORM = b"POST /ocpp/CP1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("sent", [TLS_HELLO, PAGE, FORM, b"\r\n" * 50, b""])
async def test_whoever_speaks_something_else_is_turned_away_and_nobody_else_notices(edge: World, sent: bytes) -> None:
    async with edge.station() as peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.central_system.port)
        writer.write(sent)
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert b"101 Switching" not in said
        assert "currentTime" in await peer.call("Heartbeat", {})


async def test_a_handshake_that_never_ends_is_ended(sqlite_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, handshake_timeout_s=1)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.central_system.port)
        writer.write(b"GET /ocpp/CP1 HTTP/1.1\r\nHost: x\r\n")
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
