"""The WebSocket server of OCPP-J 1.6: identity, key, subprotocol, limits, the receive loop, the close.

Knows frames and links, and hands every call to its handler; what a call means is not its matter. Section numbers are
OCPP-J 1.6's. Persist, then answer: while the database takes nothing, sockets are closed with 1013 and new ones refused
with 503, so that stations queue instead of discarding.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import enable_server_permessage_deflate
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from csms.charging.defects import KeepDefect
from csms.charging.engine import Engine
from csms.charging.facts import Seen, Watch
from csms.charging.stations import Disconnect, HeardOf, Open, Opened
from csms.clock import Clock, monotonic_s
from csms.commands.dispatcher import Dispatcher
from csms.config import Settings
from csms.connections import Connections, Link
from csms.errors import DecisionFailed, StorageUnavailable
from csms.handlers import HANDLERS, wire
from csms.handlers.exchange import Exchange
from csms.handlers.messages import CALLS, BootNotificationResult
from csms.handshake import OCPP_1_6, Handshake, StationConnection
from csms.limits import Bucket, Failures
from csms.masking import masked
from csms.secure_listener import SecureListener
from csms.tls import Tls

log = structlog.get_logger()

_BURST_S = 10
_HEARD_OF_EVERY_S = 30.0
# Nothing but a boot before one was accepted (errata of J, 3.10), and what getting its credentials takes meanwhile
# (Security Whitepaper, A00.FR.806).
_WHILE_PENDING = frozenset({"SignCertificate", "SecurityEventNotification"})
_PROTOCOL_ERROR, _GOING_AWAY, _TRY_AGAIN_LATER, _REPLACED = 1002, 1001, 1013, 1000  # RFC 6455, 7.4.1


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
        self._frame_limits = wire.Limits(frame_bytes=settings.max_frame_bytes, nesting=settings.max_frame_nesting)
        self._server: Server | None = None
        self._secure: SecureListener | None = None
        self._buckets: dict[int, Bucket] = {}
        self._ends: list[Disconnect] = []  # ends of connections that could not be stored yet
        self._tasks: set[asyncio.Future[object]] = set()  # kept alive until they are done
        self.on_watches: Callable[[dict[int, Watch]], None] = lambda _: None
        self.on_frame: Callable[[int, bool, bytes], None] = lambda _station, _is_outgoing, _data: None
        self.counts: Counter[str] = Counter()  # unreadable frames, refused handshakes, rejected calls
        self.tls = Tls(settings, clock)
        self._failures = Failures(settings.max_failed_handshakes_per_min)
        self._handshake = Handshake(settings, engine, connections, self._failures, self.counts, self.tls.read)

    @property
    def port(self) -> int:
        """The port that is listened on; where port 0 was asked for, the one that was given."""
        assert self._server is not None, "the central system was not started"
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def tls_port(self) -> int | None:
        """The port that is listened on for TLS, None where there is none."""
        return None if self._secure is None else self._secure.port

    async def start(self) -> None:
        """Listen; raise OSError where a port is taken, ConfigurationError where certificates are missing or wrong."""
        settings = self._settings
        if settings.ocpp_tls_port is not None:
            self.tls.load()
        self._server = await serve(
            self._serve,
            settings.host,
            settings.ocpp_port,
            process_request=self._handshake.admit,
            create_connection=StationConnection,
            compression="deflate" if settings.compression else None,
            open_timeout=settings.handshake_timeout_s,
            max_size=settings.max_frame_bytes,
            server_header=None,
            select_subprotocol=_select_subprotocol,
            **self._options(),
        )
        if settings.ocpp_tls_port is not None:
            self._secure = SecureListener(
                self.tls.context,
                self._secure_connection,
                self._failures,
                self.counts,
                handshake_timeout_s=settings.handshake_timeout_s,
                per_s=settings.max_tls_handshakes_per_s,
                at_once=settings.max_tls_handshakes,
            )
            self._secure.start(settings.host, settings.ocpp_tls_port)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "ping_interval": settings.ping_interval_s,
            "ping_timeout": settings.ping_timeout_s,
            "close_timeout": 5,
            "max_queue": settings.max_waiting_frames,
        }

    def _secure_connection(self) -> StationConnection:
        """Return the protocol of a connection that is secure: as one without TLS, on the same server."""
        assert self._server is not None, "it was started first"
        protocol = ServerProtocol(
            extensions=enable_server_permessage_deflate(None) if self._settings.compression else None,
            select_subprotocol=lambda _, offered: OCPP_1_6 if OCPP_1_6 in offered else None,
            max_size=self._settings.max_frame_bytes,
        )
        return StationConnection(protocol, self._server, **self._options())

    async def stop(self) -> None:
        """Close every socket (1001) and stop listening; what is being stored is answered first."""
        if self._secure is not None:
            await self._secure.stop()
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
                await self._send(connection, frame)
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

    async def _send(self, connection: StationConnection, frame: bytes) -> None:
        self.on_frame(connection.admitted.charge_point_id, True, frame)
        await connection.send(frame, text=True)

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

    def _bucket(self, charge_point_id: int) -> Bucket:
        """Return how much a charge point may say; whoever connects again may not say more for that."""
        per_s = self._settings.max_calls_per_s
        return self._buckets.setdefault(charge_point_id, Bucket(per_s, per_s * _BURST_S, monotonic_s()))

    async def _receive(self, connection: StationConnection, link: Link) -> None:
        """Take frames one after another; too many calls are slowed down, not lost."""
        bucket = self._bucket(link.charge_point_id)
        bad_frames = 0
        while True:
            data = await connection.recv(decode=False)
            link.heard_at = self._clock()
            self.on_frame(link.charge_point_id, False, data)
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
                await self._send(connection, await self._answer(frame, link))
            else:
                self._dispatcher.answered(link, frame)

    async def _refuse_frame(self, connection: StationConnection, error: wire.FrameError, bad_frames: int) -> bool:
        """Count, log and answer a frame that is none; return whether to go on listening."""
        self.counts["unreadable frame"] += 1
        log.warning("unreadable frame", reason=error.reason, so_far=bad_frames)
        if error.message_id is not None:
            await self._send(connection, wire.encode_error(error.message_id, error.code, error.reason))
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
        if not (link.accepted or call.action == "BootNotification" or (link.pending and call.action in _WHILE_PENDING)):
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
            await self._keep(call, link)
            return self._reject(call, "InternalError", "the central system met a defect with this call")
        if isinstance(result, BootNotificationResult):
            link.accepted, link.pending = result.status == "Accepted", result.status == "Pending"
            self._dispatcher.ring({link.charge_point_id})
        return wire.encode_result(call.message_id, result)

    async def _keep(self, call: wire.Call, link: Link) -> None:
        """Keep what met a defect, for a person. Where not even that can be stored, the error ends the connection, so
        that the charge point keeps the message itself.
        """
        frame = masked(wire.encode_again(call).decode(errors="replace"))
        await self._engine.submit(KeepDefect(link.charge_point_id, call.action, bytes(call.payload), frame))

    def _reject(self, call: wire.Call, code: wire.CallErrorCode, description: str) -> bytes:
        self.counts[f"rejected call: {code}"] += 1
        log.warning("call rejected", action=call.action[:50], code=code, description=description)
        return wire.encode_error(call.message_id, code, description)


def _select_subprotocol(connection: ServerConnection, offered: Iterable[Subprotocol]) -> Subprotocol | None:  # noqa: ARG001 - the library's signature
    return OCPP_1_6 if OCPP_1_6 in offered else None
