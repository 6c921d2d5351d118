"""The opening handshake of a charge point (OCPP-J 1.6, 3.1): identity, subprotocol, limits, what it proves itself with.

Turns an HTTP request into the question whether a charge point may connect, and the answer into an HTTP response. Who
may is `charging.admission`'s matter; knows no frames. Over TLS the client certificate was verified by the listener.
"""

import base64
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from urllib.parse import unquote

import msgspec
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from csms.charging.engine import Engine
from csms.charging.stations import Admitted, Connect, Presented, TurnedAway
from csms.clock import monotonic_s
from csms.config import Settings
from csms.connections import Connections
from csms.errors import DecisionFailed, StorageUnavailable
from csms.limits import Failures

log = structlog.get_logger()

OCPP_1_6 = Subprotocol("ocpp1.6")
_PATH = "/ocpp/"
_IDENTITY_LENGTH = 255


class Asker(msgspec.Struct, frozen=True):
    """Who asks to connect, before it is known whether it may."""

    identity: str
    password: bytes | None
    address: str
    subprotocol: str


class StationConnection(ServerConnection):
    """A WebSocket that remembers who was admitted on it."""

    asker: Asker
    admitted: Admitted


class Handshake:
    """Decides about the requests of one process; `read_certificate` tells what the client certificate of a TLS
    connection says, from its DER.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        connections: Connections,
        failures: Failures,
        counts: Counter[str],
        read_certificate: Callable[[bytes], Presented],
    ) -> None:
        """`failures` is shared with the TLS listener: whoever fails there has to wait here, too."""
        self._settings = settings
        self._engine = engine
        self._connections = connections
        self._failures = failures
        self._counts = counts
        self._read_certificate = read_certificate

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer None to let a charge point in, else the response that turns it away."""
        assert isinstance(connection, StationConnection), "created by this server"
        peer = connection.remote_address
        address = str(peer[0]) if peer else ""
        identity = _identity(request.path)
        if identity is None:
            return _response(connection, HTTPStatus.NOT_FOUND, "Connect to /ocpp/<identity>.")
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        subprotocol = _offer(offered)
        if subprotocol is None or (not offered and self._settings.require_subprotocol):
            log.warning("no common subprotocol", charge_point=identity, address=address, offered=offered)
            self._counts["handshake without ocpp1.6"] += 1
            return _response(connection, HTTPStatus.BAD_REQUEST, "This central system speaks the subprotocol ocpp1.6.")
        if not offered:
            log.warning("no subprotocol offered", charge_point=identity, address=address)
        if self._failures.too_many(address, monotonic_s()):
            return self._too_often(connection)
        if not self._engine.available:
            return _unavailable(connection)
        keys = request.headers.get_all("Authorization")
        password = _password(keys[0] if len(keys) == 1 else None, identity)  # of two, nobody knows which is meant
        connection.asker = Asker(identity, password, address, subprotocol)
        return await self._judge(connection, connection.asker)

    async def _judge(self, connection: StationConnection, asker: Asker) -> Response | None:
        try:
            outcome = await self._engine.submit(self._question(connection, asker))
        except (StorageUnavailable, DecisionFailed):
            return _unavailable(connection)
        if isinstance(outcome, Admitted):
            replaces = self._connections.get(outcome.charge_point_id) is not None
            if len(self._connections) >= self._settings.max_connections and not replaces:
                self._counts["handshake beyond max_connections"] += 1
                return _unavailable(connection)
            connection.admitted = outcome
            return None
        # Whoever guesses for an identity is slowed down, and cannot keep the charge point with the right key out.
        now_s, identity = monotonic_s(), f"identity {asker.identity}"
        too_often = self._failures.too_many(identity, now_s)
        self._failures.count(asker.address, now_s)
        self._failures.count(identity, now_s)
        if too_often:
            return self._too_often(connection)
        self._counts[f"handshake refused: {outcome.reason}"] += 1
        log.warning(
            "charge point turned away", charge_point=asker.identity, address=asker.address, reason=outcome.reason
        )
        return _refusal(connection, outcome)

    def _question(self, connection: StationConnection, asker: Asker) -> Connect:
        """Return what the engine is asked. A laboratory takes whoever comes, whatever it proves."""
        adopt = self._settings.adopt_unknown_stations
        tls = connection.transport.get_extra_info("ssl_object")
        der = None if tls is None else tls.getpeercert(binary_form=True)
        return Connect(
            asker.identity,
            asker.password,
            asker.address,
            adopt,
            secrets.token_hex(16),
            is_tls=tls is not None,
            certificate=None if der is None else self._read_certificate(der),
            least_profile=self._settings.least_profile,
        )

    def _too_often(self, connection: StationConnection) -> Response:
        self._counts["handshake too often"] += 1
        return _response(connection, HTTPStatus.TOO_MANY_REQUESTS, "Too many failed attempts; wait a minute.")


_FORBIDDEN = {
    "profile too low": "This charge point has to connect with a higher security profile.",
    "no certificate": "This charge point has to show its client certificate.",
    "certificate revoked": "The client certificate was revoked.",
    "certificate not valid": "The client certificate is not valid.",
    "certificate not its own": "The client certificate is not that of this charge point.",
}


def _refusal(connection: StationConnection, outcome: TurnedAway) -> Response:
    if outcome.reason == "unknown":
        return _response(connection, HTTPStatus.NOT_FOUND, "This charge point is not known here.")
    if outcome.reason in _FORBIDDEN:
        return _response(connection, HTTPStatus.FORBIDDEN, _FORBIDDEN[outcome.reason])
    response = _response(connection, HTTPStatus.UNAUTHORIZED, "The key of this charge point is not right.")
    response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
    return response


def _identity(path: str) -> str | None:
    """Return the identity in a path, percent-decoded (3.1.1), or None where there is none that can be stored."""
    raw, _, _ = path.partition("?")
    if not raw.startswith(_PATH):
        return None
    try:
        identity = unquote(raw.removeprefix(_PATH), errors="strict")
    except UnicodeDecodeError:
        return None
    usable = 0 < len(identity) <= _IDENTITY_LENGTH and identity.isprintable()
    return identity if usable else None


def _offer(offered: Iterable[str]) -> str | None:
    """Return the subprotocol to use of those offered ("" where none was), or None where ours is not among them
    (3.1.2).
    """
    names = [name.strip() for line in offered for name in line.split(",") if name.strip()]
    if not names:
        return ""
    return OCPP_1_6 if OCPP_1_6 in names else None


def _password(header: str | None, identity: str) -> bytes | None:
    """Return the password of HTTP Basic (Security Whitepaper, profile 1): the user name must be the identity."""
    if header is None or not header.lower().startswith("basic "):
        return None
    try:
        decoded = base64.b64decode(header[6:].strip(), validate=True)
    except ValueError:  # not base64, or not even ASCII
        return None
    user, separator, password = decoded.partition(b":")
    return password if separator and user == identity.encode() else None


def _unavailable(connection: ServerConnection) -> Response:
    return _response(connection, HTTPStatus.SERVICE_UNAVAILABLE, "The central system is not available; try again.")


def _response(connection: ServerConnection, status: HTTPStatus, text: str) -> Response:
    response = connection.respond(status, text + "\n")
    assert isinstance(response.headers, Headers), "a response of the library"
    return response
