# mypy: disable-error-code="import-untyped", disallow-subclassing-any=False
"""The OCPP-J frames on one open WebSocket connection.

Sends calls and waits for their answers, reads calls. Built on the `ocpp` package's client. Knows no connector and no
transaction: `calls.py` adds what is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, TypeVar

import msgspec
import ocpp.messages
from ocpp.charge_point import camel_to_snake_case, remove_nones, serialize_as_dict, snake_to_camel_case
from ocpp.exceptions import FormationViolationError, FormatViolationError, NotSupportedError, OCPPError
from ocpp.exceptions import ValidationError as SchemaError
from ocpp.messages import Call, CallError, CallResult, UnknownCallErrorCodeError, unpack, validate_payload
from ocpp.v16 import ChargePoint
from websockets.exceptions import ConnectionClosed

from chargepoint_sim.errors import AnswerTimeoutError, CallRefusedError, LinkLostError
from chargepoint_sim.frames import looseness, with_blanks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from websockets.asyncio.client import ClientConnection

    from chargepoint_sim.habits import Habits

# The package validates in a thread by default, which costs several times the validation itself.
ocpp.messages.ASYNC_VALIDATION = False

VERSION = "1.6"
FRAMES = logging.getLogger("chargepoint_sim.frames")
FRAMES.addHandler(logging.NullHandler())
FRAMES.propagate = False

Answer = TypeVar("Answer", bound=msgspec.Struct)


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
        habits: Habits,
    ) -> None:
        super().__init__(identity, connection, answer_timeout_s, FRAMES)
        self._socket = connection
        self._timeout_s = answer_timeout_s
        self._spawn = spawn
        self._manners = habits
        self._following: list[Coroutine[object, object, None]] = []
        self._waiting: dict[str, asyncio.Future[CallResult | CallError]] = {}
        self._turn = asyncio.Lock()
        self.on_close: Callable[[], None] = lambda: None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def listen(self) -> None:
        """Read frames until the connection ends. Whatever a frame holds, the loop goes on."""
        cause = "the connection ended"
        try:
            while True:
                raw = await self._socket.recv()
                FRAMES.info("%s: receive message %s", self.id, raw)
                await self.route_message(raw)
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
            message = unpack(raw_msg)
            if isinstance(message, Call):
                await super().route_message(raw_msg)
            else:
                self._answered(message)
        except ConnectionClosed:
            raise
        except Exception:  # noqa: BLE001  it is logged with its trace, and the loop lives
            # The package's loop ends with such a frame (a call whose action is no string, say); a station must not.
            FRAMES.exception("%s: a frame that cannot be read: %r", self.id, raw_msg)
        finally:
            following, self._following = self._following, []
            for coroutine in following:
                self._spawn(coroutine)

    def _answered(self, message: CallResult | CallError) -> None:
        """Hand an answer to who waits for it; one that nobody waits for came too late."""
        waiting = self._waiting.pop(str(message.unique_id), None)
        if waiting is None or waiting.done():
            FRAMES.info("%s: an answer that nobody waits for: %s", self.id, message.unique_id)
        else:
            waiting.set_result(message)

    async def _handle_call(self, msg: Call) -> None:
        """Answer a call; a broken payload is a FormationViolation in 1.6, which the package spells as 2.0.1 does."""
        connector = msg.payload.get("connectorId") if isinstance(msg.payload, dict) else None
        if self._manners.call_errors & {msg.action, f"{msg.action}:{connector}"}:
            raise NotSupportedError(details={"cause": f"{msg.action} is refused here"})
        if self._manners.strict and (cause := looseness(msg.payload)):
            raise FormationViolationError(details={"cause": cause})
        try:
            await super()._handle_call(msg)
        except FormatViolationError as error:
            raise FormationViolationError(error.description, error.details) from error

    async def _send(self, message: str) -> None:
        text = with_blanks(message) if self._manners.blanks else message
        FRAMES.info("%s: send %s", self.id, text)
        await self._socket.send(text)

    def later(self, coroutine: Coroutine[object, object, None]) -> None:
        """Start something after the answer that is being given now."""
        self._following.append(coroutine)

    async def request(self, payload: object, answer: type[Answer], message_id: str) -> Answer:
        """Send a call and wait for its call result, after those that wait already. Raises NotAnsweredError."""
        action = type(payload).__name__
        if self._manners.several_in_flight:
            return await self._ask(action, payload, answer, message_id)
        async with self._turn:
            return await self._ask(action, payload, answer, message_id)

    async def _ask(self, action: str, payload: object, answer: type[Answer], message_id: str) -> Answer:
        waiting: asyncio.Future[CallResult | CallError] = asyncio.get_running_loop().create_future()
        try:
            await self._put(action, payload, message_id, waiting)
            waits: set[asyncio.Future[CallResult | CallError] | asyncio.Future[str]] = {waiting, self.closed}
            await asyncio.wait(waits, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return await self._read_answer(waiting.result(), action, answer)
        except ConnectionClosed as error:
            await self.closed
            message = f"{action} could not be sent: the connection ended"
            raise LinkLostError(message) from error
        except OCPPError as error:
            raise CallRefusedError(action, error.code, error.description) from error
        except (UnknownCallErrorCodeError, SchemaError, msgspec.ValidationError, TypeError) as error:
            raise CallRefusedError(action, "an answer that cannot be read", str(error)) from error
        finally:
            self._waiting.pop(message_id, None)
        if self.closed.done():
            message = f"{action} was not answered before the connection ended"
            raise LinkLostError(message)
        message = f"{action} was not answered within {self._timeout_s:g} s"
        raise AnswerTimeoutError(message)

    async def _put(
        self, action: str, payload: object, message_id: str, waiting: asyncio.Future[CallResult | CallError]
    ) -> None:
        message = Call(message_id, action, remove_nones(snake_to_camel_case(serialize_as_dict(payload))))
        await validate_payload(message, VERSION)
        self._waiting[message_id] = waiting
        await self._send(message.to_json())

    async def _read_answer(self, message: CallResult | CallError, action: str, answer: type[Answer]) -> Answer:
        if isinstance(message, CallError):
            raise message.to_exception()
        message.action = action
        await validate_payload(message, VERSION)
        if self._manners.strict and (cause := looseness(message.payload)):
            raise CallRefusedError(action, "an answer that breaks the schema", cause)
        return msgspec.convert(camel_to_snake_case(message.payload), answer)

    async def close(self) -> None:
        """Close in good order."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.close(1000, "")

    def cut(self) -> None:
        """Break the TCP connection without a word, as a lost mobile link does."""
        self._socket.transport.abort()
