"""TCP and WebSocket without manners, from many addresses: no limit per address shall save the server.

A socket does what it is told, right or wrong; whoever sent something mad has to expect to be cut off.
"""

import asyncio
import base64
import itertools
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_OPEN_S = 10.0
_SHORT, _16_BITS, _64_BITS = 125, 126, 127
_LARGEST_16 = 65_535
_KEY = base64.b64encode(bytes(16)).decode()
_numbers = itertools.count()


class GoneError(Exception):
    """The other side ended the connection."""


def source() -> tuple[str, int]:
    """Return another address of this machine each time, never the one of good stations."""
    number = next(_numbers)
    return f"127.0.{1 + number // 250 % 200}.{1 + number % 250}", 0


async def tcp(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TCP connection; GoneError where it is refused."""
    try:
        async with asyncio.timeout(_OPEN_S):
            return await asyncio.open_connection("127.0.0.1", port, local_addr=source())
    except (OSError, TimeoutError) as error:
        raise GoneError(str(error)) from None


def handshake(path: str, *more: str) -> bytes:
    """Return the head of a station's request."""
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
        "Sec-WebSocket-Protocol: ocpp1.6",
        *more,
        "",
        "",
    )
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True, reserved: int = 0) -> bytes:
    """Return a WebSocket frame (RFC 6455, 5.2), valid or not."""
    first = (0x80 if fin else 0) | (reserved << 4) | opcode
    masked = 0x80 if mask else 0
    if len(payload) <= _SHORT:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) <= _LARGEST_16:
        head = struct.pack("!BBH", first, masked | _16_BITS, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | _64_BITS, len(payload))
    return head + (bytes(4) if mask else b"") + payload  # a mask of zeros changes nothing


class Socket:
    """A WebSocket as a station opens it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection."""
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes; GoneError where nobody takes them any more."""
        try:
            self.writer.write(data)
            await asyncio.wait_for(self.writer.drain(), _OPEN_S)
        except (OSError, TimeoutError) as error:
            raise GoneError(str(error)) from None

    async def receive(self, timeout_s: float = _OPEN_S) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame; TimeoutError where none comes, GoneError at the end."""
        try:
            return await asyncio.wait_for(self._receive(), timeout_s)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise GoneError(str(error)) from None

    async def _receive(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == _16_BITS:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == _64_BITS:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def ended(self, timeout_s: float) -> bool:
        """Read until the other side ends the connection; tell whether it did in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass  # reset: that is an end, too
        return True


@asynccontextmanager
async def websocket(port: int, path: str, *more: str) -> AsyncIterator[Socket]:
    """Open a WebSocket; GoneError with the answer where it is refused."""
    reader, writer = await tcp(port)
    socket = Socket(reader, writer)
    try:
        await socket.send(handshake(path, *more))
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _OPEN_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise GoneError(str(error)) from None
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise GoneError(head.split(b"\r\n", 1)[0].decode(errors="replace"))
        yield socket
    finally:
        with suppress(OSError):
            writer.transport.abort()
