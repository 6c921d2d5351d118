"""A WebSocket client without manners: after the handshake it does only what the test says; no pongs, no closes."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.frames import Frame, Opcode


class RawSocket:
    """A TCP connection on which a WebSocket was opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection."""
        self._reader = reader
        self._writer = writer

    def send(self, text: str) -> None:
        """Send a text frame."""
        self._writer.write(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))

    def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self._writer.write(data)

    async def receive(self) -> tuple[Opcode, bytes]:
        """Return opcode and payload of the next frame; IncompleteReadError where the connection has ended."""
        first, length = await self._reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        return Opcode(first & 0x0F), await self._reader.readexactly(length)

    async def receive_until(self, wanted: Opcode) -> bytes:
        """Return the payload of the next frame of a kind."""
        while True:
            opcode, payload = await asyncio.wait_for(self.receive(), 60)
            if opcode is wanted:
                return payload

    async def ended(self) -> None:
        """Wait until the other side has ended the connection."""
        await asyncio.wait_for(self._reader.read(), 60)

    def cut(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_socket(port: int, identity: str) -> AsyncIterator[RawSocket]:
    """Open a WebSocket as a station with the subprotocol ocpp1.6."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(bytes(16)).decode()
    request = (
        f"GET /ocpp/{identity} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    assert b" 101 " in answer.splitlines()[0]
    try:
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
