"""Where a station connects and how: the address, the password, TLS, the subprotocols on offer.

Opens a connection, or says in one sentence why it could not. Knows no OCPP frame.
"""

from __future__ import annotations

import base64
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

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
    LinkError,
    PasswordRefusedError,
    SubprotocolRefusedError,
    TlsRefusedError,
    UnknownIdentityError,
    UnreachableError,
    UntrustedError,
    UsageError,
)

SUBPROTOCOL = "ocpp1.6"
OPEN_TIMEOUT_S, CLOSE_TIMEOUT_S, PING_TIMEOUT_S = 10.0, 2.0, 20.0
MAX_FRAME_BYTES = 1_000_000
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 400, 401, 403, 404


@dataclass(frozen=True)
class Address:
    """Where a station connects. url: up to and without the identity. secure_url: the same for TLS, if it is another."""

    url: str
    identity: str
    secure_url: str | None = None

    def __post_init__(self) -> None:
        if not self.identity:
            message = "the identity is empty"
            raise UsageError(message)
        _check_url(self.url, {"ws", "wss"})
        if self.secure_url is not None:
            _check_url(self.secure_url, {"wss"})

    @property
    def is_secure(self) -> bool:
        """Whether it is reached over TLS alone."""
        return urlsplit(self.url).scheme == "wss"

    @property
    def uri(self) -> str:
        """The URL with the identity, percent-encoded (OCPP-J 1.6, 3.1.1)."""
        return f"{self.url.rstrip('/')}/{quote(self.identity, safe='')}"

    @property
    def secure_uri(self) -> str:
        """The same over TLS: at the secure URL, or else at the same place."""
        url = self.secure_url or urlunsplit(urlsplit(self.url)._replace(scheme="wss"))
        return f"{url.rstrip('/')}/{quote(self.identity, safe='')}"


def _check_url(url: str, schemes: set[str]) -> None:
    try:
        parts = urlsplit(url)
        fitting = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fitting = False
    if not fitting:
        message = f"{url} is no URL of a central system; it looks like {min(schemes, key=len)}://HOST:9000/ocpp"
        raise UsageError(message)


@dataclass(frozen=True)
class Dial:
    """One attempt to connect: where, as whom, with which password and TLS. ping_interval_s: 0 for no pings."""

    uri: str
    identity: str
    headers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    ping_interval_s: int = 0
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)


def credentials(identity: str, key_hex: str, *, as_text: bool) -> dict[str, str]:
    """The header of security profiles 1 and 2: the key's bytes as the password (OCPP-J 1.6, 6.2.1), or its hex text."""
    if not key_hex:
        return {}
    password = key_hex.encode() if as_text else bytes.fromhex(key_hex)
    return {"Authorization": "Basic " + base64.b64encode(identity.encode() + b":" + password).decode()}


async def open_connection(dial: Dial) -> ClientConnection:
    """Connect and agree on ocpp1.6. Raises LinkError with one sentence for a person."""
    try:
        connection = await connect(
            dial.uri,
            subprotocols=[Subprotocol(name) for name in dial.subprotocols],
            additional_headers=dial.headers,
            compression=None,
            proxy=None,
            ssl=dial.tls,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=dial.ping_interval_s or None,
            ping_timeout=PING_TIMEOUT_S,
            max_size=MAX_FRAME_BYTES,
        )
    except (OSError, InvalidHandshake, InvalidURI, EOFError, ConnectionClosed) as error:
        raise _explained(dial, error) from error
    if connection.subprotocol != SUBPROTOCOL:
        await connection.close()
        chosen = connection.subprotocol
        how = "without the subprotocol ocpp1.6" if chosen is None else f"with the subprotocol {chosen}"
        message = f"{dial.uri} accepted the connection {how}"
        raise SubprotocolRefusedError(message)
    return connection


def _explained(dial: Dial, error: Exception) -> LinkError:  # noqa: PLR0911  one sentence per cause
    """The sentence for a failed connection attempt."""
    where = f"cannot connect to {dial.uri}"
    tls = _tls_error(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return UntrustedError(f"{where}: the central system cannot be trusted, {tls.verify_message}")
    if tls is not None:
        return TlsRefusedError(f"{where}: TLS failed, {tls.reason or tls}", _tls_event(tls))
    if isinstance(error, InvalidStatus):
        return _status_explained(dial, error.response.status_code)
    if isinstance(error, NegotiationError):
        return SubprotocolRefusedError(f"{dial.uri} does not speak the subprotocol ocpp1.6")
    if dial.tls is not None and isinstance(error, InvalidMessage | EOFError | ConnectionResetError | BrokenPipeError):
        # A server that refuses our certificate hangs up; in TLS 1.3 its alert comes after the handshake, or not at all.
        return TlsRefusedError(f"{where}: TLS failed, the central system hung up (does it know our certificate?)")
    if isinstance(error, TimeoutError):
        return UnreachableError(f"{where}: no answer within {OPEN_TIMEOUT_S:.0f} s")
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(f"{where}: connection refused (is the central system running?)")
    if isinstance(error, socket.gaierror):
        return UnreachableError(f"{where}: the host name is unknown")
    if isinstance(error, InvalidMessage | EOFError):
        return UnreachableError(f"{where}: what answers there is no WebSocket server")
    return UnreachableError(f"{where}: {error}")


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS alert behind an error: one that refuses our certificate arrives only with the first reading."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _tls_event(error: ssl.SSLError) -> str:
    """The security event that names what TLS could not agree on."""
    reason = error.reason or ""
    if "VERSION" in reason or "PROTOCOL" in reason:
        return "InvalidTLSVersion"
    if "CIPHER" in reason or "HANDSHAKE_FAILURE" in reason:
        return "InvalidTLSCipherSuite"
    return "FailedToAuthenticateAtCentralSystem"


def _status_explained(dial: Dial, status: int) -> LinkError:
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return PasswordRefusedError(f"the central system refused the password of {dial.identity} (HTTP {status})")
    if status == NOT_FOUND:
        return UnknownIdentityError(f"the central system does not know {dial.identity} at {dial.uri} (HTTP 404)")
    perhaps = ", perhaps because it does not speak ocpp1.6" if status == BAD_REQUEST else ""
    return UnreachableError(f"{dial.uri} refused the connection of {dial.identity} with HTTP {status}{perhaps}")
