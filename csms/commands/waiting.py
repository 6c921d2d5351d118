"""Waits until it is known what became of a command, for whoever asked and wants to see the answer at once.

The engine of this process tells when a command is decided; a slow poll sees what another process decided. Holds no
state that matters: whoever stops waiting finds the row later.
"""

import asyncio

from csms.charging.engine import Engine
from csms.clock import monotonic_s
from csms.commands.history import CommandRow, find_command
from csms.db import Database

_POLL_S = 1.0


class Waiting:
    """Those who wait in this process; one is made per portal."""

    def __init__(self, database: Database, engine: Engine, *, poll_s: float = _POLL_S) -> None:
        """Listen to what the engine decides; to be used in the event loop in which the engine was started."""
        self._database = database
        self._poll_s = poll_s
        self._bells: dict[int, set[asyncio.Event]] = {}
        engine.on_decided.append(self._decided)

    def _decided(self, command_ids: set[int]) -> None:
        for command_id in self._bells.keys() & command_ids:
            for bell in self._bells[command_id]:
                bell.set()

    async def wait_for(self, command_id: int, wait_s: float) -> CommandRow | None:
        """Return the command's row once it is decided, or as it stands after `wait_s` (0: at once).

        None where there is no such command.
        """
        bell = asyncio.Event()
        self._bells.setdefault(command_id, set()).add(bell)
        try:
            return await self._watch(command_id, bell, monotonic_s() + wait_s)
        finally:
            self._bells[command_id].discard(bell)
            if not self._bells[command_id]:
                del self._bells[command_id]

    async def _watch(self, command_id: int, bell: asyncio.Event, deadline_s: float) -> CommandRow | None:
        while True:
            bell.clear()
            row = await asyncio.to_thread(self._read, command_id)
            left_s = deadline_s - monotonic_s()
            if row is None or row.is_decided or left_s <= 0:
                return row
            try:
                await asyncio.wait_for(bell.wait(), min(self._poll_s, left_s))
            except TimeoutError:
                continue  # another process may have decided it

    def _read(self, command_id: int) -> CommandRow | None:
        with self._database.reading() as connection:
            return find_command(connection, command_id)
