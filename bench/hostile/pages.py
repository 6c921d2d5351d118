"""Attacks on the portal and the API: bodies that never end, heads that are too large, nonsense, many at once."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bench.hostile.frames import mutated, valid
from bench.hostile.sockets import GoneError, Socket, tcp
from bench.hostile.stations import Field

_AT_ONCE = 30
_PATHS = (
    "/", "/login", "/stations", "/messages", "/api/v1/charge-points", "/api/v1/commands/1", "/api/v1/openapi.json",
    "/static/../../csms/config.py", "/static/%2e%2e/%2e%2e/pyproject.toml", "/static/portal.css",
    "/receipts/99999999999",
    "/stations/-1", "/%00", "/%ff", "/review/" + "a" * 5000, "/card?tag=" + "%F0%9F%94%8C" * 400,
    "/api/v1/" + "x/" * 900,
    "/api/v1/messages?cursor=" + "A" * 5000, "/login/link/" + "z" * 3000, "//", "/api/v1/charge-points?limit=1e9",
)  # fmt: skip


def _request(rng: random.Random) -> bytes:
    """Return a request that is wrong in some way."""
    path = rng.choice(_PATHS)
    method = rng.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "X" * 200))
    body = mutated(rng, valid(rng, "m")) if rng.random() < 0.6 else json.dumps({"a": "b" * 50_000}).encode()  # noqa: PLR2004
    kind = rng.choice(("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"))
    head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", "Connection: close"]
    head += rng.choice(
        (
            [],
            ["Authorization: Bearer csms_" + "x" * rng.randint(0, 5000)],
            ["Cookie: csms_login=" + "x" * rng.randint(0, 5000) + "; csms_form=" + "\x01"],
            ["Accept-Language: " + "xx-YY;q=0.5," * 300],
            ["X-Forwarded-For: " + "1.2.3.4," * 500],
            ["Expect: 100-continue"],
            ["Range: bytes=0-0,1-1,2-2"],
        )
    )
    length = rng.choice((len(body), len(body), len(body), 0, -1, 10**15))
    head.append(rng.choice((f"Content-Length: {length}", f"Content-Length: {length}", "Transfer-Encoding: chunked")))
    return "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body


async def nonsense(there: Field) -> None:
    """Send requests that are wrong in some way; none is answered with a defect."""
    rng = there.rng("pages")
    while there.goes_on():
        with suppress(GoneError):
            reader, writer = await tcp(there.portal_port)
            try:
                await Socket(reader, writer).send(_request(rng))
                there.seen["requests to pages"] += 1
                with suppress(TimeoutError, OSError):
                    answer = await asyncio.wait_for(reader.read(200), 1)
                    there.seen[f"page {answer[9:12].decode(errors='replace')}"] += 1
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.02)


async def slow_requests(there: Field) -> None:
    """Keep many requests open that never end: heads and bodies, a byte now and then."""
    while there.goes_on():
        await asyncio.gather(*(_slow(there, number) for number in range(_AT_ONCE)))


async def _slow(there: Field, number: int) -> None:
    with suppress(GoneError):
        reader, writer = await tcp(there.portal_port)
        try:
            socket = Socket(reader, writer)
            if number % 2:
                await socket.send(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n")
                await socket.send(b"Content-Type: application/x-www-form-urlencoded\r\n\r\nusername=")
            else:
                await socket.send(b"GET /dashboard HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            there.seen["slow requests to pages"] += 1
            for _ in range(8):
                await asyncio.sleep(0.5)
                await socket.send(b"a")
        finally:
            writer.transport.abort()


async def huge_heads(there: Field) -> None:
    """Send heads without end."""
    while there.goes_on():
        with suppress(GoneError):
            reader, writer = await tcp(there.portal_port)
            try:
                socket = Socket(reader, writer)
                await socket.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
                for _ in range(200):
                    await socket.send(b"X-Huge: " + b"h" * 4000 + b"\r\n")
                there.seen["huge heads"] += 1
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.3)


ATTACKS: tuple[tuple[str, Callable[[Field], Awaitable[None]]], ...] = (
    ("nonsense at pages", nonsense),
    ("slow requests", slow_requests),
    ("huge heads", huge_heads),
)
