"""The station's end of a WebSocket (RFC 6455), as cheap as can be and correct: text frames, masked; pings answered.

An asyncio protocol with callbacks instead of a coroutine per station, because the load generator shares two cores with
the server it measures. Knows no OCPP. What a benchmark never needs is an error: fragments, compression, frames from us
above 64 KiB.
"""

import asyncio
import base64
import hashlib
import secrets
from typing import cast

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the C version
    from websockets.utils import apply_mask

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A  # with FIN
_SHORT, _16_BIT, _64_BIT = 125, 126, 127
_LARGEST_HEAD = 16_384


class LinkError(Exception):
    """The link could not be opened, or broke; the argument says why."""


class Link(asyncio.Protocol):
    """One connection. Subclasses say what to do `on_open`, `on_text` and `on_lost`."""

    def __init__(self, host: str, path: str, password: str = "") -> None:
        """`path` is the request target; `password` goes into Basic authentication, the path's last part is the user."""
        self._key = base64.b64encode(secrets.token_bytes(16))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key.decode()}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: ocpp1.6",
        ]
        if password:
            user = path.rsplit("/", 1)[-1]
            lines.append(f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}")
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._is_open = False
        self._why = LinkError("the connection was closed")

    def on_open(self) -> None:
        """Be told that the handshake is done."""

    def on_text(self, text: bytes) -> None:
        """Take a message."""

    def on_lost(self, why: Exception) -> None:
        """Be told that the connection is gone, and why."""

    def send(self, text: bytes) -> None:
        """Send one text message."""
        self._write(_TEXT, text)

    def close(self) -> None:
        """Say goodbye; the other end closes the connection."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(_CLOSE, b"\x03\xe8")  # 1000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the subclass."""
        self.on_lost(exc or self._why)

    def data_received(self, data: bytes) -> None:
        """Read what is whole, keep the rest."""
        buffer = self._rest + data if self._rest else data
        if not self._is_open:
            buffer = self._read_head(buffer)
        position = 0
        while self._is_open and len(buffer) - position > 1:
            length, start = buffer[position + 1], position + 2
            if length > _SHORT:
                if length > _64_BIT:
                    self._fail("a masked frame from the server")
                    return
                start += 2 if length == _16_BIT else 8
                length = int.from_bytes(buffer[position + 2 : start])
            end = start + length
            if end > len(buffer):
                break
            self._read_frame(buffer[position], buffer[start:end])
            position = end
        self._rest = buffer[position:] if position else buffer

    def _read_head(self, buffer: bytes) -> bytes:
        head, separator, rest = buffer.partition(b"\r\n\r\n")
        if not separator:
            if len(buffer) > _LARGEST_HEAD:
                self._fail("an endless answer to the handshake")
            return buffer
        accept = base64.b64encode(hashlib.sha1(self._key + _GUID).digest())  # noqa: S324 - RFC 6455 wants SHA-1
        if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
            self._fail(f"no upgrade: {head.splitlines()[0].decode(errors='replace')}")
            return b""
        self._is_open = True
        self.on_open()
        return rest

    def _read_frame(self, first: int, payload: bytes) -> None:
        if first == _TEXT:
            self.on_text(payload)
        elif first == _PING:
            self._write(_PONG, payload)
        elif first == _CLOSE:
            code = int.from_bytes(payload[:2]) if payload else 1005
            self._why = LinkError(f"the server closed with {code} {payload[2:].decode(errors='replace')}".rstrip())
            self.close()
            assert self._transport is not None, "a frame came through it"
            self._transport.close()
        elif first != _PONG:
            self._fail(f"a frame that begins with {first:#04x}")

    def _fail(self, why: str) -> None:
        self._why = LinkError(why)
        self._is_open = False
        assert self._transport is not None, "data came through it"
        self._transport.abort()

    def _write(self, first: int, payload: bytes) -> None:
        assert self._transport is not None, "nothing is sent before it is connected"
        mask = secrets.token_bytes(4)
        length = len(payload)
        head = bytes((first, 0x80 | length)) if length <= _SHORT else bytes((first, 0xFE)) + length.to_bytes(2)
        self._transport.write(head + mask + apply_mask(payload, mask))
