"""Wakes this process when another one queued a command: PostgreSQL's NOTIFY, heard over a connection of its own.

A bell and no more: what waits stands in rows, and whoever misses it finds them by the slow poll of the dispatcher.
On SQLite there is none.
"""

import asyncio
from collections.abc import Callable

import psycopg
import structlog

from csms.charging.engine import DOORBELL
from csms.db import Database

log = structlog.get_logger()

_RETRY_S = 5.0


class Doorbell:
    """Listens for other nodes."""

    def __init__(self, database: Database, ring: Callable[[set[int]], None], node: str) -> None:
        """`ring` is told the charge points; what `node`, which is this one, rang itself is left out."""
        self._address = "" if database.is_sqlite else database.url.set(drivername="postgresql").render_as_string(False)
        self._ring = ring
        self._node = node

    async def run(self) -> None:
        """Listen until cancelled, and again after a lost connection."""
        if not self._address:
            await asyncio.Event().wait()
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                log.warning("the doorbell is not heard; commands of other nodes are polled for", error=str(error))
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._address, autocommit=True) as connection:
            await connection.execute(f"LISTEN {DOORBELL}")
            async for rung in connection.notifies():
                node, _, numbers = rung.payload.partition("|")
                if node != self._node:
                    self._ring({int(number) for number in numbers.split() if number.isdigit()})
