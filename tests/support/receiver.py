"""A program of others that receives webhooks: it keeps what came and answers as it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True)
class Received:
    """One request: its path, headers in lower case, and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, decoded."""
        return msgspec.json.decode(self.body)


class Receiver:
    """An HTTP server; `status` is its answer, None: none at all."""

    def __init__(self) -> None:
        self.status: int | None = 204
        self.more_headers = ""
        self.came: list[Received] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/hook?a=1"

    def types(self) -> list[str]:
        """Return the types of the events that came."""
        return [one.json["type"] for one in self.came]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.came.append(Received(first.split(" ")[1], headers, body))
            if self.status is None:
                await asyncio.sleep(30)
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n{self.more_headers}\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port of loopback."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
