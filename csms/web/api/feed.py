"""Follows what happens for those who listen: one look at the database for all of them, then each reads on by itself.

A listener is nothing but a position, so one that lost its connection goes on where it was. Knows no request.
"""

import asyncio

import structlog

from csms.db import Database
from csms.errors import CsmsError
from csms.operations.event_store import EventBatch, newest_position, oldest_position, read_events

log = structlog.get_logger()

_LOOK_S = 0.25
_AT_ONCE = 200  # rows


class TooManyListeners(CsmsError):  # noqa: N818 - says how many there are
    """More listen already than a process serves."""


class Feed:
    """The listeners of this process; it looks only while there are any."""

    def __init__(self, database: Database, *, most: int, most_of_one: int) -> None:
        """Serve at most `most` listeners, and `most_of_one` of one key."""
        self._database = database
        self._most = most
        self._most_of_one = most_of_one
        self._listening: dict[int, int] = {}
        self._newest = 0
        self._moved = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    def enter(self, key_id: int) -> None:
        """Count a listener in; `TooManyListeners` where there is no room."""
        if sum(self._listening.values()) >= self._most or self._listening.get(key_id, 0) >= self._most_of_one:
            raise TooManyListeners
        self._listening[key_id] = self._listening.get(key_id, 0) + 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    def leave(self, key_id: int) -> None:
        """Count a listener out."""
        self._listening[key_id] -= 1
        if not self._listening[key_id]:
            del self._listening[key_id]
        if not self._listening and self._looking is not None:
            self._looking.cancel()

    async def newest(self) -> int:
        """Return the position behind which the future begins."""
        return await asyncio.to_thread(self._read_newest)

    async def oldest(self) -> int:
        """Return the position of the oldest events that are kept."""
        return await asyncio.to_thread(self._read_oldest)

    async def after(self, position: int, wait_s: float) -> list[EventBatch]:
        """Return what happened behind a position, as soon as anything has; nothing after `wait_s`."""
        found = await asyncio.to_thread(self._read, position)
        if found:
            return found
        try:
            async with asyncio.timeout(wait_s), self._moved:
                await self._moved.wait_for(lambda: self._newest > position)
        except TimeoutError:
            return []
        return await asyncio.to_thread(self._read, position)

    async def _look(self) -> None:
        while True:
            try:
                newest = await asyncio.to_thread(self._read_newest)
            except Exception:  # the next look tries again; the database's state is logged by the engine
                log.warning("events cannot be read", exc_info=True)
                newest = self._newest
            if newest != self._newest:
                self._newest = newest
                async with self._moved:
                    self._moved.notify_all()
            await asyncio.sleep(_LOOK_S)

    def _read_newest(self) -> int:
        with self._database.reading() as connection:
            return newest_position(connection)

    def _read_oldest(self) -> int:
        with self._database.reading() as connection:
            return oldest_position(connection)

    def _read(self, position: int) -> list[EventBatch]:
        with self._database.reading() as connection:
            return read_events(connection, position, limit=_AT_ONCE)
