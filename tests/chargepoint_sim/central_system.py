"""A small central system for the simulator's tests: a real WebSocket server that records calls and answers as told.

Knows OCPP-J frames and nothing of the simulator. A test changes `answers`, or registers a function for an action.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from websockets.http11 import Request, Response

NOW = "2025-03-01T12:00:00.000Z"
ANSWER_WITHIN_S = 60.0


class Silence(Exception):  # noqa: N818  what a test raises instead of an answer
    """Do not answer this call."""


class Drop(Exception):  # noqa: N818
    """Break the connection instead of answering."""


class Refuse(Exception):  # noqa: N818
    """Answer with a call error."""


@dataclass(frozen=True)
class Call:
    """A call as it arrived."""

    action: str
    payload: dict[str, Any]
    message_id: str


@dataclass
class CentralSystem:
    """What the peer has seen, and what it will answer."""

    interval_s: int = 300
    boots: list[str] = field(default_factory=list)
    password: bytes | None = None
    refuse_with: HTTPStatus | None = None
    calls: list[Call] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    opened: int = 0
    tls: list[tuple[str, dict[str, Any] | None] | None] = field(default_factory=list)
    url: str = ""
    identity: str = ""

    def __post_init__(self) -> None:
        self.transaction_ids = itertools.count(101)
        self.answers: dict[str, Callable[[Call], dict[str, Any]]] = {
            "BootNotification": self._boot,
            "Authorize": lambda _call: {"idTagInfo": {"status": "Accepted"}},
            "DataTransfer": lambda _call: {"status": "Accepted"},
            "Heartbeat": lambda _call: {"currentTime": NOW},
            "SignCertificate": lambda _call: {"status": "Accepted"},
            "StartTransaction": self._start,
            "StopTransaction": lambda _call: {"idTagInfo": {"status": "Accepted"}},
        }
        self._changed = asyncio.Condition()
        self._connection: ServerConnection | None = None
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}
        self._ids = itertools.count(1)

    def _boot(self, _call: Call) -> dict[str, Any]:
        status = self.boots.pop(0) if self.boots else "Accepted"
        return {"status": status, "currentTime": NOW, "interval": self.interval_s}

    def _start(self, _call: Call) -> dict[str, Any]:
        return {"transactionId": next(self.transaction_ids), "idTagInfo": {"status": "Accepted"}}

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Check the handshake: a refusal the test asked for, then the password."""
        if self.refuse_with is not None:
            return connection.respond(self.refuse_with, "refused\n")
        self.identity = unquote(request.path.rsplit("/", 1)[1])
        if self.password is not None:
            wanted = base64.b64encode(self.identity.encode() + b":" + self.password).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                return connection.respond(HTTPStatus.UNAUTHORIZED, "who?\n")
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Read frames of one station until it goes."""
        self._connection = connection
        self.opened += 1
        tls = connection.transport.get_extra_info("ssl_object")
        self.tls.append((tls.version(), tls.getpeercert()) if tls else None)
        try:
            async for text in connection:
                self.texts.append(str(text))
                await self._take(connection, json.loads(text))
        except ConnectionClosed:
            return

    async def _take(self, connection: ServerConnection, frame: list[Any]) -> None:
        kind, message_id, *rest = frame
        if kind != 2:  # a call result or a call error
            self._waiting.pop(message_id).set_result(frame)
            return
        call = Call(rest[0], rest[1], message_id)
        async with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        try:
            answer = [3, message_id, self.answers.get(call.action, lambda _call: {})(call)]
        except Silence:
            return
        except Drop:
            connection.transport.abort()
            return
        except Refuse:
            answer = [4, message_id, "InternalError", "no", {}]
        await connection.send(json.dumps(answer))

    async def call(self, action: str, **payload: object) -> dict[str, Any]:
        """Call the station and wait for its call result."""
        kind, _, *rest = await self.frame(action, payload)
        assert kind == 3, rest
        result: dict[str, Any] = rest[0]
        return result

    async def frame(self, action: object, payload: object) -> list[Any]:
        """Send any frame of kind 2 and wait for what comes back to it."""
        assert self._connection is not None
        message_id = str(next(self._ids))
        self._waiting[message_id] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps([2, message_id, action, payload]))
        return await asyncio.wait_for(self._waiting[message_id], ANSWER_WITHIN_S)

    async def send_text(self, text: str) -> None:
        """Send anything at all."""
        assert self._connection is not None
        await self._connection.send(text)

    async def close(self) -> None:
        """Close the connection of the station."""
        assert self._connection is not None
        await self._connection.close()

    def of(self, *actions: str) -> list[Call]:
        """The calls with these actions, in the order of arrival."""
        return [call for call in self.calls if call.action in actions]

    def statuses(self, connector_id: int = 1) -> list[str]:
        """The statuses a connector has told."""
        notified = self.of("StatusNotification")
        return [call.payload["status"] for call in notified if call.payload["connectorId"] == connector_id]

    async def wait_for(self, action: str, count: int = 1) -> Call:
        """Wait until an action has arrived so many times; return the last of those."""
        async with asyncio.timeout(ANSWER_WITHIN_S), self._changed:
            await self._changed.wait_for(lambda: len(self.of(action)) >= count)
        return self.of(action)[count - 1]

    async def wait_for_reading(self, connector_id: int) -> None:
        """Wait until MeterValues of a connector have arrived."""
        async with asyncio.timeout(ANSWER_WITHIN_S), self._changed:
            await self._changed.wait_for(
                lambda: any(call.payload["connectorId"] == connector_id for call in self.of("MeterValues"))
            )

    async def wait_for_status(self, *statuses: str, connector_id: int = 1) -> None:
        """Wait until these are a connector's latest statuses; one that it keeps for a moment only needs its next."""
        latest = list(statuses)
        async with asyncio.timeout(ANSWER_WITHIN_S), self._changed:
            await self._changed.wait_for(lambda: self.statuses(connector_id)[-len(latest) :] == latest)


@asynccontextmanager
async def running(central: CentralSystem, **options: Any) -> AsyncIterator[CentralSystem]:
    """Serve on a free port of 127.0.0.1."""
    options = {"subprotocols": ["ocpp1.6"], "process_request": central.admit} | options
    async with serve(central.serve, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        central.url = f"ws{'s' if options.get('ssl') else ''}://127.0.0.1:{port}/ocpp"
        yield central
