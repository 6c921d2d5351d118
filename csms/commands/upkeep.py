"""Looks now and then for what time alone has changed: reservations that are over, local lists out of step.

Decides nothing: what is found is handed to the engine, which looks again. A station's list is looked after by the
process that holds its socket; reservations by every process, which does no harm.
"""

import asyncio

from csms.clock import Clock
from csms.commands.rounds import every
from csms.connections import Connections
from csms.db import Database
from csms.installation import Installation
from csms.operations import local_lists_store, reservations_views
from csms.operations.local_lists_keeping import KeepList
from csms.operations.reservations import ExpireReservations

_EVERY_S = 15.0
_PER_LOOK = 500


class Upkeep:
    """The clock of what has to be looked after."""

    def __init__(
        self, installation: Installation, connections: Connections, clock: Clock, *, every_s: float = _EVERY_S
    ) -> None:
        """Nothing is looked at before `run`."""
        self._database: Database = installation.database
        self._engine = installation.engine
        self._connections = connections
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Look, for ever."""
        await every(self._every_s, self._engine, self.look, "upkeep failed")

    async def look(self) -> None:
        """Hand to the engine what is due now."""
        over, stations, unsure = await asyncio.to_thread(self._due)
        if over:
            await self._engine.submit(ExpireReservations(tuple(over)))
        for charge_point_id in stations:
            await self._engine.submit(KeepList(charge_point_id))
        for charge_point_id in unsure:
            await self._engine.submit(KeepList(charge_point_id, verify=True))

    def _due(self) -> tuple[list[int], list[int], list[int]]:
        now = self._clock()
        here = [link.charge_point_id for link in self._connections if link.accepted]
        with self._database.reading() as connection:
            over = reservations_views.list_due(connection, now, limit=_PER_LOOK)
            stations = local_lists_store.out_of_step(connection, here, now)[:_PER_LOOK]
            return over, stations, local_lists_store.to_verify(connection, here, now)[:_PER_LOOK]
