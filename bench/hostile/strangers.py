"""Attacks of whoever has only the port: handshakes that are none, slow senders, floods of connections, guessed keys."""

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

from bench.hostile.sockets import GoneError, Socket, handshake, tcp, websocket
from bench.hostile.stations import Field

_SLOW_AT_ONCE = 60
_FLOOD_AT_ONCE = 150
_ANSWER_S = 5.0
# A slow sender has to be shown out within the limits that the server was given (see `target`), and some more.
SHOWN_OUT_S = 25.0

_PATHS = (
    "/", "/ocpp", "/ocpp/", "/ocpp//", "/ocpp/../../etc/passwd", "/ocpp/..%2f..%2fetc%2fpasswd", "/ocpp/%00",
    "/ocpp/%ff",
    "/ocpp/%", "/ocpp/%zz", "/ocpp/%E2%80%AE", "/ocpp/" + "A" * 255, "/ocpp/" + "A" * 256, "/ocpp/" + "A" * 7000,
    "/ocpp/" + "%41" * 2000, "/ocpp/BENCH-000001%2f..%2f", "/ocpp/BENCH-000030?x=" + "y" * 3000, "/ocpp/<script>",
    "/ocpp/'; DROP TABLE charge_point; --", "/ocpp/\u00e9", "http://other/ocpp/x", "*", "/ocpp/x#y", "//ocpp/x",
    "/OCPP/x",
)  # fmt: skip
_HEADS = (
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET /ocpp/x HTTP/9.9\r\n\r\n", b"POST /ocpp/x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /ocpp/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /ocpp/x HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    b"GET /ocpp/x HTTP/1.1\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
    b"GET /ocpp/x HTTP/1.1\r\nA b\r\n\r\n", b"GET /ocpp/x HTTP/1.1\r\nA: \x00\x01\r\n\r\n", b"\x00" * 3000,
    b"\xff" * 3000,
    b"GET /ocpp/x HTTP/1.1\nHost: x\n\n", b"GET /ocpp/x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
)  # fmt: skip


def _basic(rng: random.Random) -> str:
    """Return a header of Basic authentication that is wrong in some way."""
    user = rng.choice(("BENCH-000002", "", "x" * 5000, "BENCH-000001", "a:b:c"))
    text = base64.b64encode(f"{user}:{rng.randbytes(16).hex()}".encode()).decode()
    return rng.choice(
        (
            f"Authorization: Basic {text}",
            "Authorization: Basic",
            "Authorization: Basic ====",
            f"Authorization: Basic {text[:-3]}!",
            f"Authorization: basic {text} {text}",
            "Authorization: Basic " + "QUFB" * 1500,
            "Authorization: Basic \udcff\udcfe",
            f"Authorization: Bearer {text}",
            f"Authorization: Basic {text}\r\nAuthorization: Basic {text}",
        )
    )


async def handshakes(there: Field) -> None:
    """Ask for everything under /ocpp/ and beside it, with keys and without, in words that are no HTTP."""
    rng = there.rng("handshakes")
    while there.goes_on():
        with suppress(GoneError):
            reader, writer = await tcp(there.port)
            socket = Socket(reader, writer)
            try:
                kind = rng.random()
                if kind < 0.3:  # noqa: PLR2004 - a third
                    await socket.send(rng.choice(_HEADS))
                else:
                    path = rng.choice(_PATHS) if kind < 0.7 else f"/ocpp/UNKNOWN-{rng.randint(1, 300)}"  # noqa: PLR2004
                    more = [_basic(rng)] if rng.random() < 0.5 else []  # noqa: PLR2004 - a half
                    await socket.send(handshake(path, *more))
                there.seen["handshakes"] += 1
                with suppress(TimeoutError, OSError):
                    answer = await asyncio.wait_for(reader.read(400), 0.5)
                    there.seen[f"HTTP {answer[9:12].decode(errors='replace')}"] += 1
            finally:
                writer.transport.abort()


async def slow_senders(there: Field) -> None:
    """Open connections that say nothing, or a byte now and then: nobody may stay for ever without being a station."""
    rng = there.rng("slow")
    while there.goes_on():
        kinds = [rng.choice((_silent, _dribble, _half_frame)) for _ in range(_SLOW_AT_ONCE)]
        shown_out = await asyncio.gather(*(kind(there, number) for number, kind in enumerate(kinds)))
        there.seen["slow senders"] += len(shown_out)
        there.seen["SLOW SENDERS THAT STAYED"] += shown_out.count(False)


async def _silent(there: Field, _number: int) -> bool:
    with suppress(GoneError):
        reader, writer = await tcp(there.port)
        try:
            return await Socket(reader, writer).ended(SHOWN_OUT_S)
        finally:
            writer.transport.abort()
    return True


async def _dribble(there: Field, number: int) -> bool:
    """Send a request so slowly that it never ends."""
    with suppress(GoneError):
        reader, writer = await tcp(there.port)
        socket = Socket(reader, writer)
        ending = asyncio.create_task(socket.ended(SHOWN_OUT_S))
        try:
            head = handshake(f"/ocpp/SLOW-{number}")[:-4] + b"\r\nX-Slow: "
            await socket.send(head[:60])
            for one in head[60:]:
                await asyncio.sleep(0.4)
                if ending.done():
                    break
                await socket.send(bytes((one,)))
            return await ending
        finally:
            ending.cancel()
            writer.transport.abort()
    return True


async def _half_frame(there: Field, number: int) -> bool:
    """Begin a frame as a station, and never end it; not even a ping is answered."""
    with suppress(GoneError):
        async with websocket(there.port, f"/ocpp/BENCH-{20 + number % 10:06d}") as socket:
            await socket.send(b"\x81\xfe\xff\xff" + bytes(4) + b'[2,"slow')
            return await socket.ended(SHOWN_OUT_S)
    return True


def _drop(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def connection_flood(there: Field) -> None:
    """Open many connections at once and drop them, as if a network had fallen over."""
    while there.goes_on():
        async with AsyncExitStack() as stack:

            async def one(stack: AsyncExitStack = stack) -> None:
                with suppress(GoneError):
                    _, writer = await tcp(there.port)
                    stack.callback(_drop, writer)
                    there.seen["connections of a flood"] += 1

            await asyncio.gather(*(one() for _ in range(_FLOOD_AT_ONCE)))
        await asyncio.sleep(0.5)


ATTACKS: tuple[tuple[str, Callable[[Field], Awaitable[None]]], ...] = (
    ("handshakes", handshakes),
    ("slow senders", slow_senders),
    ("flood of connections", connection_flood),
)
