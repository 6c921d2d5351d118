"""What the commands share with a terminal: lines out, lines in, and an orderly end on Ctrl-C or SIGTERM.

Knows no option and no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import threading
from typing import TYPE_CHECKING, TypeVar

import typer

from chargepoint_sim.events import LinkRefused, MessageDelivered
from chargepoint_sim.link import FRAMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from chargepoint_sim.events import Event, Record
    from chargepoint_sim.station import Station

Result = TypeVar("Result")
FAREWELL_S = 5.0


def printer(*, as_json: bool) -> Callable[[Record], None]:
    """A listener that prints each record: one JSON object a line, or a sentence."""

    def show(record: Record) -> None:
        if as_json:
            typer.echo(json.dumps(record.as_data()))
        elif not _silent(record.event):
            typer.echo(str(record))

    return show


def _silent(event: Event) -> bool:
    """What a person need not read: each delivery, and the refusal that ends the command with the same sentence."""
    return isinstance(event, MessageDelivered) or (isinstance(event, LinkRefused) and event.next_try_s is None)


def show_frames() -> None:
    """Print every frame on standard error; asking twice changes nothing."""
    if FRAMES.level == logging.INFO:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    FRAMES.addHandler(handler)
    FRAMES.setLevel(logging.INFO)


async def until_stopped(work: Coroutine[object, object, Result]) -> Result | None:
    """Do some work; a first SIGINT or SIGTERM cancels it and gives None, a second ends the program at once."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stopped.set)
    working: asyncio.Future[Result] = asyncio.ensure_future(work)
    stopping: asyncio.Future[bool] = asyncio.ensure_future(stopped.wait())
    try:
        waits: set[asyncio.Future[Result] | asyncio.Future[bool]] = {working, stopping}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        return None
    finally:
        stopping.cancel()
        for number in signals:
            loop.remove_signal_handler(number)


async def take_leave(stations: Sequence[Station]) -> None:
    """Let every driver unplug, and tell the central system as far as it listens."""
    for station in stations:
        station.drive_away()

    async def delivered(station: Station) -> None:
        if station.is_online:
            await station.wait_delivered(FAREWELL_S)
            await station.delivery.statuses_told()

    await asyncio.gather(*(delivered(station) for station in stations), return_exceptions=True)


async def standard_input() -> AsyncIterator[str]:
    """The lines of standard input, whether a person, a pipe or a file writes them."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    tell = _teller(lines)

    def read() -> None:
        for line in sys.stdin:
            tell(line)
        tell(None)

    # A daemon: a person who does not write must not keep the program from ending.
    threading.Thread(target=read, daemon=True, name="standard input").start()
    while (line := await lines.get()) is not None:
        yield line


async def prompted(prompt: str, words: Sequence[str]) -> AsyncIterator[str]:
    """The lines a person types at a prompt, which comes back when a command is done. words: for the Tab key."""
    if not sys.stdin.isatty():
        async for piped in standard_input():
            yield piped
        return
    _complete(words)
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    tell, wanted = _teller(lines), threading.Semaphore(0)

    def read() -> None:
        while True:
            wanted.acquire()
            try:
                tell(input(prompt))
            except (EOFError, ValueError):
                tell(None)
                return

    threading.Thread(target=read, daemon=True, name="prompt").start()
    wanted.release()
    while (line := await lines.get()) is not None:
        yield line
        wanted.release()


def _teller(lines: asyncio.Queue[str | None]) -> Callable[[str | None], None]:
    """How a thread hands a line to the loop."""
    loop = asyncio.get_running_loop()

    def tell(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended before the person wrote
            loop.call_soon_threadsafe(lines.put_nowait, line)

    return tell


def _complete(words: Sequence[str]) -> None:
    """Let the Tab key complete words, where the platform can."""
    try:
        import readline
    except ImportError:
        return

    def candidate(text: str, place: int) -> str | None:
        found = [f"{word} " for word in words if word.startswith(text)]
        return found[place] if place < len(found) else None

    readline.set_completer(candidate)
    readline.parse_and_bind("tab: complete")
