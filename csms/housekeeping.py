"""Forgets what nobody needs any more: stations that nobody knew, cards that were refused, and the history of long ago.

In small steps. Rows that anybody outside can cause have an end, in time and in number. Knows nothing of money.
"""

import asyncio
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from csms.charging import models
from csms.clock import Clock
from csms.installation import Installation
from csms.operations.charging_profile_models import installed_profile
from csms.operations.retention import Kept, forget_step, rules

log = structlog.get_logger()

_FIRST_AFTER_S = 300.0
_EVERY_S = 3600.0
_REST_S = 0.2  # between two steps, so that nobody waits for more than one
_AT_ONCE = 500
_HISTORY_EVERY = timedelta(days=1)

_unknown, _refusal = models.unknown_charge_point.c, models.authorization_refusal.c
_tx = models.charging_transaction.c
_has_ended = exists().where(_tx.id == installed_profile.c.transaction_id, _tx.state == "ended")


class Housekeeping:
    """Tidies up now and then."""

    def __init__(self, installation: Installation, clock: Clock) -> None:
        """Nothing happens before `run`."""
        self._database = installation.database
        self._keep = timedelta(days=installation.settings.refusals_kept_days)
        self._most_unknown = installation.settings.max_unknown_stations
        self._kept = Kept(
            installation.settings.history_kept_days,
            installation.settings.display_commands_kept_days,
            installation.settings.security_kept_days,
        )
        self._clock = clock
        self._history_at: datetime | None = None

    async def run(self, *, first_after_s: float = _FIRST_AFTER_S, every_s: float = _EVERY_S) -> None:
        """Tidy up every hour, until cancelled; while the database is away, an hour later."""
        await asyncio.sleep(first_after_s)
        while True:
            try:
                there_is_more = True
                while there_is_more:
                    there_is_more = await asyncio.to_thread(self.step)
                    await asyncio.sleep(_REST_S)
                await self._forget_history_if_due()
            except SQLAlchemyError as error:
                log.warning("what is old was not deleted", error=str(error.__cause__ or error))
            await asyncio.sleep(every_s)

    def step(self) -> bool:
        """Delete some of what is too old or too much; tell whether there may be more of it."""
        before = self._clock() - self._keep
        with self._database.unit_of_work() as connection:
            beyond = self._beyond(connection)
            old = _unknown.last_seen_at < before
            of_unknown = _delete(connection, models.unknown_charge_point, old if beyond is None else or_(old, beyond))
            of_refused = _delete(connection, models.authorization_refusal, _refusal.last_at < before)
            of_profiles = _delete(connection, installed_profile, _has_ended)
        return max(of_unknown, of_refused, of_profiles) >= _AT_ONCE

    async def _forget_history_if_due(self) -> None:
        now = self._clock()
        if self._history_at is None or now - self._history_at >= _HISTORY_EVERY:
            await self.forget_history()
            self._history_at = now

    async def forget_history(self, *, rest_s: float = _REST_S) -> None:
        """Walk through the history once and delete what is old."""
        for rule in rules(self._kept, self._clock()):
            after: int | None = -1
            while after is not None:
                after = await asyncio.to_thread(forget_step, self._database, rule, after)
                await asyncio.sleep(rest_s)

    def _beyond(self, connection: Connection) -> ColumnElement[bool] | None:
        """Return what is too much: all that was seen before the last so many unknown stations."""
        if connection.execute(select(func.count()).select_from(models.unknown_charge_point)).scalar_one() <= (
            self._most_unknown
        ):
            return None
        newest = select(_unknown.last_seen_at).order_by(_unknown.last_seen_at.desc()).offset(self._most_unknown - 1)
        return _unknown.last_seen_at < newest.limit(1).scalar_subquery()


def _delete(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    keys = list(table.primary_key)
    doomed = connection.execute(select(*keys).where(condition).limit(_AT_ONCE)).all()
    if doomed:
        connection.execute(delete(table).where(or_(*(and_(*map(_is, keys, row)) for row in doomed))))
    return len(doomed)


def _is(column: ColumnElement[object], value: object) -> ColumnElement[bool]:
    return column == value
