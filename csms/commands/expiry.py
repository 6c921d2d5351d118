"""Looks for commands whose time is up, whether their charge point comes back or not, and hands them to the engine.

Any node does it for all; whichever is first decides, and the others find nothing. Decides nothing itself: what becomes
of a command is `charging.command_ends`' matter.
"""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, or_, select

from csms.charging import models
from csms.charging.command_ends import ExpireCommands
from csms.charging.engine import Engine
from csms.clock import Clock
from csms.commands.rounds import every
from csms.db import Database

_EVERY_S = 10.0
_AT_ONCE = 200
_SLACK_S = 30  # an answer of the last moment is on its way into the database
_c = models.command.c
_OVER = (
    select(_c.id)
    .where(
        or_(
            and_(_c.state == "queued", _c.expires_at <= bindparam("now")),
            and_(_c.state == "sent", _c.sent_at <= bindparam("sent_before")),
        )
    )
    .order_by(_c.id)
    .limit(_AT_ONCE)
)


class Expiry:
    """The clock of commands that nobody answers."""

    def __init__(
        self, database: Database, engine: Engine, clock: Clock, *, call_timeout_s: float, every_s: float = _EVERY_S
    ) -> None:
        """Nothing is looked at before `run`."""
        self._database = database
        self._engine = engine
        self._clock = clock
        self._given_up_after = timedelta(seconds=call_timeout_s + _SLACK_S)
        self._every_s = every_s

    async def run(self) -> None:
        """Look again and again, for ever."""
        await every(self._every_s, self._engine, self.sweep, "commands cannot be expired")

    async def sweep(self) -> int:
        """Decide what is due and return how many commands that were."""
        decided = 0
        while True:
            now = self._clock()
            sent_before = now - self._given_up_after
            found = await asyncio.to_thread(self._find, now, sent_before)
            changed: int = await self._engine.submit(ExpireCommands(found, sent_before)) if found else 0
            decided += changed
            if len(found) < _AT_ONCE or not changed:
                return decided

    def _find(self, now: datetime, sent_before: datetime) -> tuple[int, ...]:
        with self._database.reading() as connection:
            return tuple(connection.execute(_OVER, {"now": now, "sent_before": sent_before}).scalars())
