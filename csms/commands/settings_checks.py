"""Looks which connected charge points are due for a check of their settings, and hands them to the engine.

When one is due stands in its row, so a restart or another node forgets none. Decides nothing: what a check does is
`charging.settings_plan`'s matter.
"""

import asyncio

from sqlalchemy import bindparam, or_, select

from csms.charging import models
from csms.charging.settings_plan import CheckSettings
from csms.clock import Clock
from csms.commands.rounds import every
from csms.connections import Connections
from csms.db import any_of
from csms.installation import Installation

_EVERY_S = 30.0
_PER_LOOK = 20  # checks begun together, so that a restart does not ask a whole fleet at the same moment
_cp = models.charge_point.c
_DUE = (
    select(_cp.id)
    .where(any_of(_cp.id, "keys"), or_(_cp.settings_due_at <= bindparam("now"), _cp.settings_due_at.is_(None)))
    .order_by(_cp.settings_due_at)
    .limit(_PER_LOOK)
)


class SettingsChecks:
    """The clock of the checks of this process's stations."""

    def __init__(
        self, installation: Installation, connections: Connections, clock: Clock, *, every_s: float = _EVERY_S
    ) -> None:
        """Nothing is looked at before `run`. Where settings are not looked after, a station that waits to be accepted
        goes on all the same.
        """
        self._database = installation.database
        self._engine = installation.engine
        self._connections = connections
        self._clock = clock
        self._every_s = every_s
        registrations = ("Accepted", "Pending") if installation.settings.settings_check_interval_s else ("Pending",)
        self._statement = _DUE.where(_cp.registration.in_(registrations))

    async def run(self) -> None:
        """Begin the checks that are due, for ever."""
        await every(self._every_s, self._engine, self._look, "settings cannot be checked")

    async def _look(self) -> None:
        if not len(self._connections):
            return
        for charge_point_id in await asyncio.to_thread(self._due):
            await self._engine.submit(CheckSettings(charge_point_id))

    def _due(self) -> list[int]:
        """Return connected charge points that are due, the longest first."""
        here = sorted(link.charge_point_id for link in self._connections if link.accepted or link.pending)
        with self._database.reading() as connection:
            return list(connection.execute(self._statement, {"keys": here, "now": self._clock()}).scalars())
