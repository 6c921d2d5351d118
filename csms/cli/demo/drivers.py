"""The demo's stations, each a process of the simulator, and the drivers who come to them, one after the other.

Speaks the simulator's console: commands on its standard input, events as JSON lines on its standard output. Knows
nothing of the central system: what a card may do, the drivers find out at the station.
"""

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

SPEED = 60  # seconds of charging per second
_POWER_KW = 11
_ONLINE_S = 60
_ANSWER_S = 20
_STAY_S = (35, 55)
_PAUSE_S = (3, 7)
_AFTER_REFUSAL_S = 3
_REST_S = 60  # before a card that was refused is tried again
_FAREWELL_S = 8
_STRANGER_EVERY = 7  # visits, to show a card that nobody issued


class Event(msgspec.Struct, frozen=True):
    """What the simulator says of a station; the fields that drivers need."""

    event: str
    connector_id: int = 0
    status: str = ""


class Cards:
    """The drivers' cards: one is in use at one place at a time; a refused one rests before it is tried again."""

    def __init__(self, id_tags: Sequence[str], stranger: str) -> None:
        """Use `id_tags` in turn, and `stranger` now and then."""
        self._waiting = deque(id_tags)
        self._stranger = stranger
        self._resting_until: dict[str, float] = {}
        self._visits = 0

    async def take(self) -> str:
        """Wait for the next card that may be tried."""
        self._visits += 1
        if self._visits % _STRANGER_EVERY == 0:
            return self._stranger
        while True:
            now = asyncio.get_running_loop().time()
            for id_tag in self._waiting:
                if self._resting_until.get(id_tag, 0) <= now:
                    self._waiting.remove(id_tag)
                    return id_tag
            await asyncio.sleep(1)

    def give_back(self, id_tag: str, *, refused: bool) -> None:
        """Put a card behind the others."""
        if id_tag == self._stranger:
            return
        if refused:
            self._resting_until[id_tag] = asyncio.get_running_loop().time() + _REST_S
        self._waiting.append(id_tag)


class SimulatedStation:
    """One station: a process, and a driver at its first connector."""

    def __init__(self, identity: str, key: str, url: str, folder: Path, tell: Callable[[str], None]) -> None:
        """Nothing runs before `start`. `tell` takes a sentence for people."""
        self.identity = identity
        self._key = key
        self._url = url
        self._folder = folder
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, cards: Cards, chance: random.Random) -> None:
        """Start the process and bring drivers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{self.identity}.log").open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                # The key goes by the environment: a command line can be read by everybody on the machine.
                *("/usr/bin/env", f"CHARGEPOINT_SIM_KEY={self._key}"),
                *(sys.executable, "-m", "chargepoint_sim", "run", self._url, self.identity),
                *("--connectors", "1", "--speed", str(SPEED), "--power-kw", str(_POWER_KW)),
                *("--state-dir", str(self._folder), "--json"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for us: we end it in order
            )
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._drive(cards, chance))]

    async def end(self) -> None:
        """Let the driver leave and the station tell so; then end its process, by force if it must be."""
        for task in self._tasks[1:]:
            task.cancel()
        process = self._process
        if process is not None and process.returncode is None:
            assert process.stdin is not None, "it was made with a pipe"
            with suppress(ConnectionError):
                process.stdin.write(b"quit\n")
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _FAREWELL_S)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        assert self._process is not None, "listened to once it runs"
        assert self._process.stdout is not None, "it was made with a pipe"
        async for line in self._process.stdout:
            with suppress(msgspec.DecodeError):  # the console's own sentences are no JSON
                self._events.put_nowait(msgspec.json.decode(line, type=Event))
        status = await self._process.wait()
        self._events.put_nowait(None)
        if status > 0:
            self._tell(
                f"The simulator of {self.identity} ended with status {status}: {self._folder}/{self.identity}.log"
            )

    async def _drive(self, cards: Cards, chance: random.Random) -> None:
        await self._wait_for(lambda one: one.event == "BootAnswered" and one.status == "Accepted", _ONLINE_S)
        while self._process is not None and self._process.returncode is None:
            await asyncio.sleep(chance.uniform(*_PAUSE_S))
            id_tag = await cards.take()
            charged = await self._visit(id_tag, chance)
            cards.give_back(id_tag, refused=not charged)

    async def _visit(self, id_tag: str, chance: random.Random) -> bool:
        """Plug in, hold the card to the reader, stay for a while, unplug. Return whether it charged."""
        self._forget()
        await self._say(f"plug 1 {chance.randint(30, 60)} {chance.choice((40, 60, 77))}")
        await self._say(f"card {id_tag} 1")
        answered = await self._wait_for(lambda one: one.event == "CardAnswered", _ANSWER_S)
        charges = answered is not None and answered.status == "Accepted"
        if charges:
            await self._wait_for(_is_over, chance.uniform(*_STAY_S))
        else:
            await asyncio.sleep(_AFTER_REFUSAL_S)
        await self._say("unplug 1")
        await self._wait_for(lambda one: one.event == "StatusChanged" and one.status == "Available", _ANSWER_S)
        return charges

    async def _say(self, command: str) -> None:
        assert self._process is not None, "spoken to once it runs"
        assert self._process.stdin is not None, "it was made with a pipe"
        with suppress(ConnectionError):
            self._process.stdin.write(f"{command}\n".encode())
            await self._process.stdin.drain()

    async def _wait_for(self, is_meant: Callable[[Event], bool], timeout_s: float) -> Event | None:
        """Return the next event that is meant, or None where none came in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (event := await self._events.get()) is not None:
                    if is_meant(event):
                        return event
        return None

    def _forget(self) -> None:
        while not self._events.empty():
            self._events.get_nowait()


def _is_over(event: Event) -> bool:
    """Tell whether a charging ended without the driver: the central system stopped it, or the car is full."""
    if event.event == "TransactionStopped":
        return True
    return event.event == "StatusChanged" and event.connector_id == 1 and event.status == "SuspendedEV"
