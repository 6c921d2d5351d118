"""The WebSocket server of OCPP-J 1.6: identity, key, subprotocol, limits, the receive loop, the close.

Knows frames and links, and hands every call to its handler; what a call means is not its matter. Section numbers are
OCPP-J 1.6's. Persist, then answer: while the database takes nothing, sockets are closed with 1013 and new ones refused
with 503, so that stations queue instead of discarding.
"""

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from urllib.parse import unquote

import msgspec
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from csms.charging.engine import Engine
from csms.charging.facts import Seen, Watch
from csms.charging.stations import Admitted, Connect, Disconnect, HeardOf, Open, Opened
from csms.clock import Clock, monotonic_s
from csms.commands.dispatcher import Dispatcher
from csms.config import Settings
from csms.connections import Connections, Link
from csms.errors import DecisionFailed, StorageUnavailable
from csms.handlers import HANDLERS, wire
from csms.handlers.exchange import Exchange
from csms.handlers.messages import CALLS, BootNotificationResult
from csms.limits import Bucket, Failures

log = structlog.get_logger()

OCPP_1_6 = Subprotocol("ocpp1.6")
_PATH = "/ocpp/"
_IDENTITY_LENGTH = 255
_BURST_S = 10
_HEARD_OF_EVERY_S = 30.0
_PROTOCOL_ERROR, _GOING_AWAY, _TRY_AGAIN_LATER, _REPLACED = 1002, 1001, 1013, 1000  # RFC 6455, 7.4.1


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


class CentralSystem:
    """The listener and the receive loops of a process."""

    def __init__(
        self, settings: Settings, engine: Engine, connections: Connections, dispatcher: Dispatcher, clock: Clock
    ) -> None:
        """Nothing listens before `start`."""
        self._settings = settings
        self._engine = engine
        self._connections = connections
        self._dispatcher = dispatcher
        self._clock = clock
        self._failures = Failures(settings.max_failed_handshakes_per_min)
        self._frame_limits = wire.Limits(frame_bytes=settings.max_frame_bytes, nesting=settings.max_frame_nesting)
        self._server: Server | None = None
        self._ends: list[Disconnect] = []  # ends of connections that could not be stored yet
        self._tasks: set[asyncio.Future[object]] = set()  # kept alive until they are done
        self.on_watches: Callable[[dict[int, Watch]], None] = lambda _: None
        self.counts: Counter[str] = Counter()  # unreadable frames, refused handshakes, rejected calls

    @property
    def port(self) -> int:
        """The port that is listened on; where port 0 was asked for, the one that was given."""
        assert self._server is not None, "the central system was not started"
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def start(self) -> None:
        """Listen; raise OSError where the port is taken."""
        settings = self._settings
        self._server = await serve(
            self._serve,
            settings.host,
            settings.ocpp_port,
            process_request=self._admit,
            create_connection=StationConnection,
            compression="deflate" if settings.compression else None,
            open_timeout=settings.handshake_timeout_s,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            close_timeout=5,
            max_size=settings.max_frame_bytes,
            max_queue=settings.max_waiting_frames,
            server_header=None,
            select_subprotocol=_select_subprotocol,
        )

    async def stop(self) -> None:
        """Close every socket (1001) and stop listening; what is being stored is answered first."""
        if self._server is not None:
            self._server.close(code=_GOING_AWAY, reason="the central system restarts")
            await self._server.wait_closed()

    def on_availability(self, available: bool) -> None:  # noqa: FBT001 - the engine's callback
        """Without storage, close every socket, so that stations queue; with it, store how they ended."""
        if available:
            self._spawn(self._note_ends())
            return
        for link in self._connections:
            self._spawn(link.close(_TRY_AGAIN_LATER, "the central system cannot store at the moment"))

    async def note_heard_of(self) -> None:
        """Write now and then when the connected charge points were last heard of, for ever."""
        written: dict[int, object] = {}
        while True:
            await asyncio.sleep(_HEARD_OF_EVERY_S)
            seen = {link.charge_point_id: link.heard_at for link in self._connections}
            news = tuple(Seen(key, at) for key, at in seen.items() if written.get(key) != at)
            written = dict(seen)
            await self._note_ends()
            try:
                for start in range(0, len(news), self._settings.engine_batch_max):
                    await self._engine.submit(HeardOf(news[start : start + self._settings.engine_batch_max]))
            except (StorageUnavailable, DecisionFailed) as error:
                log.warning("last seen not stored", error=str(error))

    # --- The handshake (3.1) ------------------------------------------------------------------------------------------

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
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
            self.counts["handshake without ocpp1.6"] += 1
            return _response(connection, HTTPStatus.BAD_REQUEST, "This central system speaks the subprotocol ocpp1.6.")
        if not offered:
            log.warning("no subprotocol offered", charge_point=identity, address=address)
        if self._failures.too_many(address, monotonic_s()):
            return self._too_often(connection)
        if not self._engine.available:
            return _unavailable(connection)
        password = _password(request.headers.get("Authorization"), identity)
        connection.asker = Asker(identity, password, address, subprotocol)
        return await self._judge(connection, connection.asker)

    async def _judge(self, connection: StationConnection, asker: Asker) -> Response | None:
        adopt = self._settings.adopt_unknown_stations
        asked = Connect(asker.identity, asker.password, asker.address, adopt, secrets.token_hex(16))
        try:
            outcome = await self._engine.submit(asked)
        except (StorageUnavailable, DecisionFailed):
            return _unavailable(connection)
        if isinstance(outcome, Admitted):
            replaces = self._connections.get(outcome.charge_point_id) is not None
            if len(self._connections) >= self._settings.max_connections and not replaces:
                self.counts["handshake beyond max_connections"] += 1
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
        self.counts[f"handshake refused: {outcome.reason}"] += 1
        log.warning(
            "charge point turned away", charge_point=asker.identity, address=asker.address, reason=outcome.reason
        )
        if outcome.reason == "unknown":
            return _response(connection, HTTPStatus.NOT_FOUND, "This charge point is not known here.")
        response = _response(connection, HTTPStatus.UNAUTHORIZED, "The key of this charge point is not right.")
        response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        return response

    def _too_often(self, connection: StationConnection) -> Response:
        self.counts["handshake too often"] += 1
        return _response(connection, HTTPStatus.TOO_MANY_REQUESTS, "Too many failed attempts; wait a minute.")

    # --- The connection -----------------------------------------------------------------------------------------------

    async def _serve(self, connection: ServerConnection) -> None:
        """Register the link, receive until it ends, and leave nothing behind."""
        assert isinstance(connection, StationConnection), "created by this server"
        structlog.contextvars.bind_contextvars(charge_point=connection.admitted.identity)
        link = self._link(connection)
        old = self._connections.add(link)
        if old is not None:
            log.info("replaced by a newer connection")
            self._dispatcher.dropped(old)
            self._spawn(old.close(_REPLACED, "replaced by a newer connection"))
        try:
            opened = Open(
                link.charge_point_id,
                link.connection_id,
                self._settings.node_name,
                connection.asker.address,
                connection.asker.subprotocol,
            )
            taken_up: Opened = await self._engine.submit(opened)
            log.info("connected", address=connection.asker.address, accepted=link.accepted)
            self.on_watches(taken_up.watches)
            if taken_up.commands_wait:
                self._dispatcher.ring({link.charge_point_id})
            await self._receive(connection, link)
        except ConnectionClosed:
            pass  # the ordinary end; why is logged below
        except StorageUnavailable:
            await connection.close(_TRY_AGAIN_LATER, "the central system cannot store at the moment")
        except DecisionFailed:
            await connection.close(1011, "internal error")
        finally:
            self._connections.remove(link)
            self._dispatcher.dropped(link)
            log.info("disconnected", code=connection.close_code, reason=connection.close_reason)
            await self._note_end(Disconnect(link.charge_point_id, link.connection_id, link.heard_at))

    def _link(self, connection: StationConnection) -> Link:
        async def send(frame: bytes) -> None:
            try:
                await connection.send(frame, text=True)
            except ConnectionClosed:
                raise ConnectionError("the connection ended before it was sent") from None

        return Link(
            connection.admitted.charge_point_id,
            connection.admitted.identity,
            secrets.token_hex(8),
            accepted=connection.admitted.registration == "Accepted",
            pending=connection.admitted.registration == "Pending",
            heard_at=self._clock(),
            send=send,
            close=connection.close,
            ping_s=lambda: connection.latency,
        )

    async def _note_end(self, end: Disconnect) -> None:
        try:
            await self._engine.submit(end)
        except StorageUnavailable:
            self._ends.append(end)
        except DecisionFailed as error:
            log.warning("end of connection not stored", error=str(error))

    async def _note_ends(self) -> None:
        """Store the ends that could not be stored, else a station that stays away would look connected."""
        ends, self._ends = self._ends, []
        await asyncio.gather(*(self._note_end(end) for end in ends))

    def _spawn(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, connection: StationConnection, link: Link) -> None:
        """Take frames one after another; too many calls are slowed down, not lost."""
        per_s = self._settings.max_calls_per_s
        bucket = Bucket(per_s, per_s * _BURST_S, monotonic_s())
        bad_frames = 0
        while True:
            data = await connection.recv(decode=False)
            link.heard_at = self._clock()
            wait_s = bucket.wait_s(monotonic_s())
            if wait_s:
                self.counts["calls slowed down"] += 1
                await asyncio.sleep(wait_s)
            if link.replaced:
                return
            try:
                frame = wire.decode(data, self._frame_limits)
            except wire.FrameError as error:
                bad_frames += 1
                if error.answered_id is not None:
                    self._dispatcher.answered(link, wire.CallError(error.answered_id, error.code, error.reason))
                if not await self._refuse_frame(connection, error, bad_frames):
                    return
                continue
            if isinstance(frame, wire.Call):
                await connection.send(await self._answer(frame, link), text=True)
            else:
                self._dispatcher.answered(link, frame)

    async def _refuse_frame(self, connection: StationConnection, error: wire.FrameError, bad_frames: int) -> bool:
        """Count, log and answer a frame that is none; return whether to go on listening."""
        self.counts["unreadable frame"] += 1
        log.warning("unreadable frame", reason=error.reason, so_far=bad_frames)
        if error.message_id is not None:
            await connection.send(wire.encode_error(error.message_id, error.code, error.reason), text=True)
        if bad_frames < self._settings.max_bad_frames:
            return True
        await connection.close(_PROTOCOL_ERROR, "too many unreadable frames")
        return False

    async def _answer(self, call: wire.Call, link: Link) -> bytes:
        """Return the frame that answers a call, once its effect is committed."""
        handler = HANDLERS.get(call.action)
        if handler is None:
            code: wire.CallErrorCode = "NotSupported" if call.action in CALLS else "NotImplemented"
            return self._reject(call, code, f"{call.action[:50]} is not handled by this central system")
        if not link.accepted and call.action != "BootNotification":  # errata of J, 3.10
            return self._reject(call, "SecurityError", "send a BootNotification first")
        try:
            message, flags = wire.read_call(call.action, call.payload)
        except wire.CallRejected as error:
            return self._reject(call, error.code, error.description)
        exchange = Exchange(link.charge_point_id, link.heard_at, flags, call.payload, self._engine.submit)
        try:
            result = await handler(message, exchange)
        except StorageUnavailable:
            raise
        except Exception as error:  # a defect costs its own call, not the connection
            if not isinstance(error, DecisionFailed):  # that one is in the log already
                log.exception("handler failed", action=call.action)
            return self._reject(call, "InternalError", "the central system met a defect with this call")
        if isinstance(result, BootNotificationResult):
            link.accepted, link.pending = result.status == "Accepted", result.status == "Pending"
            self._dispatcher.ring({link.charge_point_id})
        return wire.encode_result(call.message_id, result)

    def _reject(self, call: wire.Call, code: wire.CallErrorCode, description: str) -> bytes:
        self.counts[f"rejected call: {code}"] += 1
        log.warning("call rejected", action=call.action[:50], code=code, description=description)
        return wire.encode_error(call.message_id, code, description)


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


def _select_subprotocol(connection: ServerConnection, offered: Iterable[Subprotocol]) -> Subprotocol | None:  # noqa: ARG001 - the library's signature
    return OCPP_1_6 if OCPP_1_6 in offered else None


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
