# mypy: disable-error-code="import-untyped", disallow-subclassing-any=False
"""One WebSocket connection to a central system, and the OCPP-J frames on it.

Opens the connection, says in one sentence why it could not, sends calls and waits for their answers, reads calls. Built
on the `ocpp` package's client. Knows no connector and no transaction: `calls.py` adds what is answered.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import logging
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import ocpp.messages
from ocpp.exceptions import FormationViolationError, FormatViolationError, OCPPError
from ocpp.exceptions import ValidationError as SchemaError
from ocpp.messages import Call, UnknownCallErrorCodeError
from ocpp.v16 import ChargePoint
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Subprotocol

from chargepoint_sim.errors import (
    AnswerTimeoutError,
    CallRefusedError,
    LinkError,
    LinkLostError,
    PasswordRefusedError,
    SubprotocolRefusedError,
    UnknownIdentityError,
    UnreachableError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

# The package validates in a thread by default, which costs several times the validation itself.
ocpp.messages.ASYNC_VALIDATION = False

SUBPROTOCOL = Subprotocol("ocpp1.6")
OPEN_TIMEOUT_S, CLOSE_TIMEOUT_S, PING_TIMEOUT_S = 10.0, 2.0, 20.0
MAX_FRAME_BYTES = 1_000_000
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 400, 401, 403, 404
FRAMES = logging.getLogger("chargepoint_sim.frames")
FRAMES.addHandler(logging.NullHandler())
FRAMES.propagate = False

Answer = TypeVar("Answer", bound=msgspec.Struct)


@dataclass(frozen=True)
class Address:
    """Where a station connects. url: up to and without the identity. The files are PEM; they matter for wss:// only."""

    url: str
    identity: str
    ca: Path | None = None
    cert: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.identity:
            message = "the identity is empty"
            raise UsageError(message)
        try:
            parts = urlsplit(self.url)
            fitting = parts.scheme in {"ws", "wss"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            fitting = False
        if not fitting:
            message = f"{self.url} is no URL of a central system; it looks like ws://HOST:9000/ocpp"
            raise UsageError(message)

    @property
    def uri(self) -> str:
        """The URL with the identity, percent-encoded (OCPP-J 1.6, 3.1.1)."""
        return f"{self.url.rstrip('/')}/{quote(self.identity, safe='')}"

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context of a wss:// URL. Raises UsageError for files that cannot be used."""
        if urlsplit(self.url).scheme != "wss":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key_file)
        except (OSError, ssl.SSLError) as error:
            message = f"the TLS files cannot be used: {error}"
            raise UsageError(message) from error
        return context


def credentials(identity: str, key_hex: str, *, as_text: bool) -> dict[str, str]:
    """The header of security profile 1: the key's bytes as the password (OCPP-J 1.6, 6.2.1), or its hex text."""
    if not key_hex:
        return {}
    password = key_hex.encode() if as_text else bytes.fromhex(key_hex)
    return {"Authorization": "Basic " + base64.b64encode(identity.encode() + b":" + password).decode()}


async def open_connection(address: Address, headers: dict[str, str], ping_interval_s: int) -> ClientConnection:
    """Connect and agree on ocpp1.6. Raises LinkError with one sentence for a person."""
    try:
        connection = await connect(
            address.uri,
            subprotocols=[SUBPROTOCOL],
            additional_headers=headers,
            compression=None,
            proxy=None,
            ssl=address.tls(),
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=ping_interval_s or None,
            ping_timeout=PING_TIMEOUT_S,
            max_size=MAX_FRAME_BYTES,
        )
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise _explained(address, error) from error
    if connection.subprotocol != SUBPROTOCOL:
        await connection.close()
        message = f"{address.url} accepted the connection without the subprotocol ocpp1.6"
        raise SubprotocolRefusedError(message)
    return connection


def _explained(address: Address, error: Exception) -> LinkError:  # noqa: PLR0911  one sentence per cause
    """The sentence for a failed connection attempt."""
    if isinstance(error, InvalidStatus):
        return _status_explained(address, error.response.status_code)
    if isinstance(error, NegotiationError):
        return SubprotocolRefusedError(f"{address.url} does not speak the subprotocol ocpp1.6")
    where = f"cannot connect to {address.uri}"
    if isinstance(error, TimeoutError):
        return UnreachableError(f"{where}: no answer within {OPEN_TIMEOUT_S:.0f} s")
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(f"{where}: connection refused (is the central system running?)")
    if isinstance(error, socket.gaierror):
        return UnreachableError(f"{where}: the host name is unknown")
    if isinstance(error, ssl.SSLError):
        return UnreachableError(f"{where}: TLS failed, {error.reason or error}")
    if isinstance(error, InvalidMessage | EOFError):
        return UnreachableError(f"{where}: what answers there is no WebSocket server")
    return UnreachableError(f"{where}: {error}")


def _status_explained(address: Address, status: int) -> LinkError:
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return PasswordRefusedError(f"the central system refused the password of {address.identity} (HTTP {status})")
    if status == NOT_FOUND:
        return UnknownIdentityError(f"the central system does not know {address.identity} at {address.url} (HTTP 404)")
    perhaps = ", perhaps because it does not speak ocpp1.6" if status == BAD_REQUEST else ""
    return UnreachableError(f"{address.url} refused the connection of {address.identity} with HTTP {status}{perhaps}")


class Link(ChargePoint):
    """Frames on one open connection.

    A handler of a call must not wait for a call of ours: the loop that would read the answer waits for the handler. It
    returns its answer and hands what follows to `later`, which starts once the answer is sent.
    """

    def __init__(
        self,
        identity: str,
        connection: ClientConnection,
        answer_timeout_s: float,
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        super().__init__(identity, connection, answer_timeout_s, FRAMES)
        self._socket = connection
        self._spawn = spawn
        self._following: list[Coroutine[object, object, None]] = []
        self.on_close: Callable[[], None] = lambda: None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def listen(self) -> None:
        """Read frames until the connection ends. Whatever a frame holds, the loop goes on."""
        cause = "the connection ended"
        try:
            while True:
                await self.route_message(await self._socket.recv())
        except ConnectionClosed as error:
            frame = error.rcvd
            cause = f"closed with {frame.code} {frame.reason}".rstrip() if frame else "the connection was lost"
        finally:
            self.on_close()
            if not self.closed.done():
                self.closed.set_result(cause)

    async def route_message(self, raw_msg: str | bytes) -> None:
        """Answer a call, or pass an answer to the call that waits for it; then start what follows."""
        try:
            await super().route_message(raw_msg)
        except ConnectionClosed:
            raise
        except Exception:  # noqa: BLE001  it is logged with its trace, and the loop lives
            # The package's loop ends with such a frame (a call whose action is no string, say); a station must not.
            FRAMES.exception("%s: a frame that cannot be read: %r", self.id, raw_msg)
        finally:
            following, self._following = self._following, []
            for coroutine in following:
                self._spawn(coroutine)

    async def _handle_call(self, msg: Call) -> None:
        """Answer a call; a broken payload is a FormationViolation in 1.6, which the package spells as 2.0.1 does."""
        try:
            await super()._handle_call(msg)
        except FormatViolationError as error:
            raise FormationViolationError(error.description, error.details) from error

    def later(self, coroutine: Coroutine[object, object, None]) -> None:
        """Start something after the answer that is being given now."""
        self._following.append(coroutine)

    async def request(self, payload: object, answer: type[Answer], message_id: str) -> Answer:
        """Send a call and wait for its call result. Raises NotAnsweredError."""
        action = type(payload).__name__
        calling = asyncio.ensure_future(self.call(payload, suppress=False, unique_id=message_id))
        try:
            await asyncio.wait({calling, self.closed}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                message = f"{action} was not answered before the connection ended"
                raise LinkLostError(message)
            return msgspec.convert(dataclasses.asdict(await calling), answer)
        except ConnectionClosed as error:
            await self.closed
            message = f"{action} could not be sent: the connection ended"
            raise LinkLostError(message) from error
        except TimeoutError as error:
            message = f"{action} was not answered within {self._response_timeout:g} s"
            raise AnswerTimeoutError(message) from error
        except OCPPError as error:
            raise CallRefusedError(action, error.code, error.description) from error
        except (UnknownCallErrorCodeError, SchemaError, msgspec.ValidationError, TypeError) as error:
            raise CallRefusedError(action, "an answer that cannot be read", str(error)) from error
        finally:
            if not calling.done():
                calling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await calling

    async def close(self) -> None:
        """Close in good order."""
        await self._socket.close(1000, "")

    def cut(self) -> None:
        """Break the TCP connection without a word, as a lost mobile link does."""
        self._socket.transport.abort()
