"""Attacks of whoever got in as a station: frames nearly right, WebSocket against its rules, floods, unasked answers.

Each attack goes on until its time is over, and counts what it did and what came back.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.hostile import frames
from bench.hostile.sockets import BINARY, CLOSE, PING, PONG, TEXT, GoneError, Socket, frame, websocket

_BOOT = '[2,"boot","BootNotification",{"chargePointVendor":"Hostile","chargePointModel":"H"}]'
_PROBE_EVERY = 25
_FRAMES = 350  # of one connection: less than its burst, so that it is not slowed down
_CONTINUATION = 0


@dataclass
class Field:
    """Where the attacks happen, for how long, and what they saw."""

    port: int
    portal_port: int
    seed: int
    until_s: float
    seen: Counter[str] = field(default_factory=Counter)

    def goes_on(self) -> bool:
        """Tell whether there is time left."""
        return asyncio.get_running_loop().time() < self.until_s

    def rng(self, name: str) -> random.Random:
        """Return randomness of its own for each attack."""
        return random.Random(f"{self.seed} {name}")


class Conversation:
    """One hostile station's connection: it reads all the while, so that it can send all the while."""

    def __init__(self, socket: Socket, seen: Counter[str]) -> None:
        """Listen."""
        self.socket = socket
        self._seen = seen
        self.transaction_ids: list[int] = []  # that it was given
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._is_over = False
        self._listener = asyncio.create_task(self._listen())

    async def say(self, text: str | bytes) -> None:
        """Send a text frame; GoneError where the other side has ended the conversation."""
        if self._is_over:
            raise GoneError("it was closed")
        await self.socket.send(frame(TEXT, text.encode() if isinstance(text, str) else text))

    async def ask(self, message_id: str, text: str, timeout_s: float = 20) -> str:
        """Send a call and return the code of its answer: "result", or that of the call error."""
        future = self._answers[message_id] = asyncio.get_running_loop().create_future()
        await self.say(text)
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            self._seen["NOT ANSWERED"] += 1
            raise GoneError("no answer") from None

    def stop(self) -> None:
        """Listen no more."""
        self._listener.cancel()

    async def _listen(self) -> None:
        try:
            while True:
                opcode, payload = await self.socket.receive(3600)
                if opcode == TEXT:
                    self._take(json.loads(payload))
                elif opcode == PING:
                    await self.socket.send(frame(PONG, payload))
                elif opcode == CLOSE:
                    self._seen[f"closed {int.from_bytes(payload[:2], 'big')}"] += 1
                    return
        except GoneError:
            pass
        finally:
            self._is_over = True
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(GoneError("the connection ended"))
                    future.exception()  # it was looked at: nobody has to wait for it

    def _take(self, answer: list[object]) -> None:
        kind = "result" if answer[0] == 3 else str(answer[2]) if answer[0] == 4 else "command"  # noqa: PLR2004 - types
        self._seen[kind] += 1
        if kind == "result" and isinstance(answer[2], dict) and "transactionId" in answer[2]:
            self.transaction_ids.append(answer[2]["transactionId"])
            self._seen["transactions begun"] += 1
        future = self._answers.pop(str(answer[1]), None)
        if future is not None and not future.done():
            future.set_result(kind)


@asynccontextmanager
async def booted(there: Field, identity: str) -> AsyncIterator[Conversation]:
    """Connect and boot as a station."""
    async with websocket(there.port, f"/ocpp/{identity}") as socket:
        talk = Conversation(socket, there.seen)
        try:
            await talk.ask("boot", _BOOT)
            yield talk
        finally:
            talk.stop()


async def nearly_right(there: Field, identity: str) -> None:
    """Send mutated frames and some that are right, and ask now and then whether anybody is still there."""
    rng = there.rng(identity)
    number = 0
    while there.goes_on():
        with suppress(GoneError):
            async with booted(there, identity) as talk:
                for _ in range(_FRAMES):
                    number += 1
                    if rng.random() < 0.8:  # noqa: PLR2004 - mostly calls
                        said = frames.valid(rng, f"f{number}", talk.transaction_ids)
                    else:
                        said = frames.unsolicited(rng, f"f{number}")
                    is_right = rng.random() < 0.3  # noqa: PLR2004 - so that there is something to disturb
                    await talk.say(frames.written(said) if is_right else frames.mutated(rng, said))
                    there.seen["frames that are right" if is_right else "mutated frames"] += 1
                    if number % _PROBE_EVERY == 0:
                        await talk.ask(f"p{number}", f'[2,"p{number}","Heartbeat",{{}}]')
                    if not there.goes_on():
                        break


async def flood(there: Field, identity: str) -> None:
    """Send as many calls as go through and read no answer, then go away in the middle of a frame."""
    call = frame(TEXT, b'[2,"x","Heartbeat",{}]')
    while there.goes_on():
        with suppress(GoneError, TimeoutError):
            async with websocket(there.port, f"/ocpp/{identity}") as socket, asyncio.timeout(4):
                await socket.send(frame(TEXT, _BOOT.encode()))
                for _ in range(100):
                    await socket.send(call * 50)
                    there.seen["calls of a flood"] += 50
                await socket.send(frame(TEXT, b"x" * 60_000)[:30_000])
        await asyncio.sleep(0.2)


async def unasked(there: Field, identity: str) -> None:
    """Answer thousands of times what nobody asked."""
    rng = there.rng(identity)
    while there.goes_on():
        with suppress(GoneError):
            async with booted(there, identity) as talk:
                for number in range(450):
                    await talk.say(frames.write(frames.unsolicited(rng, f"{rng.randint(1, 500)}-{number % 3}")))
                    there.seen["unasked answers"] += 1
                await talk.ask("end", '[2,"end","Heartbeat",{}]', 60)
        await asyncio.sleep(0.1)


async def replace_itself(there: Field, identity: str) -> None:
    """Connect again and again under the same name, from two sides at once."""
    while there.goes_on():
        with suppress(GoneError):
            async with booted(there, identity) as one, booted(there, identity) as two:
                with suppress(GoneError):
                    await one.say('[2,"late","Heartbeat",{}]')
                await two.ask("two", '[2,"two","Heartbeat",{}]')
                there.seen["replaced connections"] += 1
        await asyncio.sleep(0.05)


# --- Against the rules of WebSocket (RFC 6455, 5) ---------------------------------------------------------------------

_HEARTBEAT = b'[2,"r","Heartbeat",{}]'


def _half_message(rng: random.Random) -> bytes:
    parts = [_HEARTBEAT[place : place + 3] for place in range(0, len(_HEARTBEAT), 3)]
    whole = b"".join(
        frame(TEXT if number == 0 else _CONTINUATION, part, fin=number == len(parts) - 1)
        + (frame(PING, b"between") if rng.random() < 0.3 else b"")  # noqa: PLR2004 - a third
        for number, part in enumerate(parts)
    )
    return whole[: rng.randint(len(whole) // 2, len(whole))] if rng.random() < 0.5 else whole  # noqa: PLR2004 - a half


_RULE_BREAKERS: tuple[Callable[[random.Random], bytes], ...] = (
    _half_message,
    lambda rng: frame(rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), b"reserved opcode"),
    lambda rng: frame(TEXT, _HEARTBEAT, reserved=rng.randint(1, 7)),
    lambda _: frame(TEXT, _HEARTBEAT, mask=False),
    lambda _: frame(BINARY, _HEARTBEAT),
    lambda rng: frame(BINARY, rng.randbytes(200)),
    lambda _: frame(TEXT, b"\xff\xfe\xfd"),
    lambda _: frame(TEXT, b'[2,"', fin=False) + frame(TEXT, b'x"]'),
    lambda _: frame(_CONTINUATION, b"of nothing"),
    lambda _: frame(PING, b"p" * 126),
    lambda _: frame(PING, b"p", fin=False),
    lambda rng: frame(PING, rng.randbytes(8)) * 300,
    lambda rng: frame(PONG, rng.randbytes(8)) * 300,
    lambda rng: frame(
        CLOSE, rng.choice((b"", b"\x03", b"\x03\xe8", b"\x03\xed", b"\x00\x01", b"\x03\xe8\xff", b"\xff\xff"))
    ),
    lambda _: frame(CLOSE, b"\x03\xe8bye") + frame(TEXT, _HEARTBEAT) * 20,
    lambda _: b"\x81\xff" + (2**62).to_bytes(8, "big") + bytes(4) + b"[2,",
    lambda _: b"\x81\xff" + (2**64 - 1).to_bytes(8, "big") + bytes(4) + b"[2,",
    lambda _: frame(TEXT, b"[" * 300_000),
    lambda _: frame(TEXT, b"[" * 1000, fin=False) + frame(_CONTINUATION, b"[" * 1000, fin=False) * 400,
    lambda _: frame(TEXT, b"", fin=False) + frame(_CONTINUATION, b"", fin=False) * 2000,
    lambda rng: rng.randbytes(500),
    lambda _: b"GET / HTTP/1.1\r\n\r\n",
)


async def break_rules(there: Field, identity: str) -> None:
    """Send what no WebSocket may carry; afterwards the connection is closed or goes on, and nothing else."""
    rng = there.rng(identity)
    while there.goes_on():
        with suppress(GoneError):
            async with websocket(there.port, f"/ocpp/{identity}") as socket:
                await socket.send(frame(TEXT, _BOOT.encode()))
                for _ in range(rng.randint(1, 3)):
                    await socket.send(rng.choice(_RULE_BREAKERS)(rng))
                    there.seen["broken rules"] += 1
                if rng.random() < 0.5:  # noqa: PLR2004 - a half stays for the answer
                    with suppress(TimeoutError):
                        while True:
                            await socket.receive(0.3)


ATTACKS: tuple[tuple[str, Callable[[Field, str], Awaitable[None]], int], ...] = (
    ("mutated frames", nearly_right, 4),
    ("rules of WebSocket", break_rules, 3),
    ("flood of calls", flood, 2),
    ("unasked answers", unasked, 1),
    ("two under one name", replace_itself, 1),
)
