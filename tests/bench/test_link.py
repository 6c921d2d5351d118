"""The station's end of a WebSocket, against the server of the `websockets` package: what is sent arrives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from bench.link import Link, LinkError

SIZES = (0, 1, 125, 126, 127, 666, 65_535)


class Recording(Link):
    """Keeps what it is told."""

    def __init__(self, port: int, path: str = "/ocpp/BENCH-1", password: str = "") -> None:
        super().__init__(f"127.0.0.1:{port}", path, password)
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[Exception] = loop.create_future()
        self.texts: asyncio.Queue[bytes] = asyncio.Queue()

    def on_open(self) -> None:
        """Note it."""
        self.opened.set_result(None)

    def on_text(self, text: bytes) -> None:
        """Keep it."""
        self.texts.put_nowait(text)

    def on_lost(self, why: Exception) -> None:
        """Keep why."""
        self.lost.set_result(why)


class Fake:
    """A `websockets` server that echoes, and remembers its last connection."""

    def __init__(self) -> None:
        self.port = 0
        self.connection: ServerConnection | None = None
        self.answer: HTTPStatus | None = None

    async def handle(self, connection: ServerConnection) -> None:
        """Echo."""
        self.connection = connection
        async for message in connection:
            await connection.send(message)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Let it in, or answer as the test says."""
        self.authorization = request.headers.get("Authorization")
        return None if self.answer is None else connection.respond(self.answer, "no\n")


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """Return a server that listens on a free port."""
    it = Fake()
    subprotocols = [Subprotocol("ocpp1.6")]
    async with serve(
        it.handle, "127.0.0.1", 0, compression=None, subprotocols=subprotocols, process_request=it.admit
    ) as server:
        it.port = next(iter(server.sockets)).getsockname()[1]
        yield it


async def connect(fake: Fake, make: Callable[[int], Recording] = Recording) -> Recording:
    """Connect, without waiting for the handshake."""
    link = make(fake.port)
    await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", fake.port)
    return link


@pytest.mark.parametrize("size", SIZES)
async def test_a_text_of_any_length_arrives_and_comes_back_unchanged(fake: Fake, size: int) -> None:
    link = await connect(fake)
    await link.opened
    text = bytes(65 + index % 26 for index in range(size))
    link.send(text)
    assert await asyncio.wait_for(link.texts.get(), 60) == text
    assert fake.connection is not None
    assert fake.connection.subprotocol == "ocpp1.6"
    link.close()
    await asyncio.wait_for(link.lost, 60)


async def test_many_frames_at_once_are_read_one_by_one(fake: Fake) -> None:
    link = await connect(fake)
    await link.opened
    texts = [b"%d" % number * (number + 1) for number in range(200)]
    for text in texts:
        link.send(text)
    assert [await asyncio.wait_for(link.texts.get(), 60) for _ in texts] == texts
    link.close()
    await asyncio.wait_for(link.lost, 60)


async def test_a_ping_is_answered(fake: Fake) -> None:
    link = await connect(fake)
    await link.opened
    while fake.connection is None:
        await asyncio.sleep(0)
    pong = await fake.connection.ping(b"are you there")
    await asyncio.wait({pong}, timeout=5)
    assert pong.done()  # which is what the same payload alone brings about
    link.close()
    await asyncio.wait_for(link.lost, 60)


async def test_a_close_of_the_server_says_its_code_and_reason(fake: Fake) -> None:
    link = await connect(fake)
    await link.opened
    while fake.connection is None:
        await asyncio.sleep(0)
    await fake.connection.close(1013, "try again later")
    assert str(await asyncio.wait_for(link.lost, 60)) == "the server closed with 1013 try again later"


async def test_a_refused_handshake_says_the_status(fake: Fake) -> None:
    fake.answer = HTTPStatus.NOT_FOUND
    link = await connect(fake)
    why = await asyncio.wait_for(link.lost, 60)
    assert isinstance(why, LinkError)
    assert "404" in str(why)
    assert not link.opened.done()


async def test_a_password_is_sent_by_basic_authentication_with_the_identity(fake: Fake) -> None:
    link = await connect(fake, lambda port: Recording(port, password="secret"))
    await link.opened
    assert fake.authorization == "Basic QkVOQ0gtMTpzZWNyZXQ="  # BENCH-1:secret
    link.close()
    await asyncio.wait_for(link.lost, 60)
