"""Verifies the ledger every night, in a thread of its own with a small share of the machine.

Knows when, and that one node does it; what is verified is `charging.verification`'s matter. One that was missed,
because nothing ran at its time, is made up for soon after the start.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.exc import SQLAlchemyError

from csms.billing.verification import Violation
from csms.charging import verification_runs
from csms.charging.verification import Progress, snapshot, verify
from csms.clock import Clock, monotonic_s
from csms.installation import Installation

log = structlog.get_logger()

_FIRST_AFTER_S = 60.0  # so long a server that starts has other things to do
_LOOK_EVERY_S = 60.0
_REST = 2.0  # times as long as each step took: a third of a core at most
_LONGEST_REST_S = 1.0
_MOST_LOGGED = 20


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The server is stopping."""


class Nightly:
    """Waits for the hour, and verifies."""

    def __init__(self, installation: Installation, clock: Clock) -> None:
        """Nothing happens before `run`."""
        settings = installation.settings
        self._database = installation.database
        self._currency = installation.currency
        self._node = settings.node_name
        self._at = settings.verify_at
        self._zone = ZoneInfo(settings.time_zone)
        self._clock = clock
        self._stopping = threading.Event()
        self._looked_at: datetime | None = None

    async def run(self, *, first_after_s: float = _FIRST_AFTER_S, look_every_s: float = _LOOK_EVERY_S) -> None:
        """Verify whenever it is due, until cancelled; without an hour in the settings, only wait."""
        if not self._at:
            await asyncio.Event().wait()
        try:
            await asyncio.sleep(first_after_s)
            while True:
                await asyncio.to_thread(self.verify_if_due)
                await asyncio.sleep(look_every_s)
        finally:
            self.stop()

    def stop(self) -> None:
        """End a verification that is under way at its next step."""
        self._stopping.set()

    def verify_if_due(self) -> bool:
        """Verify unless the last night's verification was done, or is another node's; tell whether it was done here."""
        due_at = last_due(self._clock(), self._at, self._zone)
        if due_at == self._looked_at:
            return False
        try:
            with self._database.unit_of_work() as connection:
                is_mine = verification_runs.claim(connection, due_at, self._node, self._clock())
            if is_mine:
                self._verify(due_at)
        except SQLAlchemyError as error:  # the database is away, or another node was quicker: look again later
            log.warning("ledger not verified", error=str(error.__cause__ or error))
            return False
        self._looked_at = due_at
        return is_mine

    def _verify(self, due_at: datetime) -> None:
        began = monotonic_s()
        count, first = 0, None
        try:
            with snapshot(self._database) as connection:
                for found in verify(connection, self._currency, on_step=_resting(self._stopping)):
                    count += 1
                    first = first or found
                    self._log(found, count)
        except _Stopped:
            with self._database.unit_of_work() as connection:
                verification_runs.release(connection, due_at, self._node)
            return
        with self._database.unit_of_work() as connection:
            verification_runs.finish(connection, due_at, self._node, count, first, self._clock())
        tell = log.error if count else log.info
        tell("ledger verified", violations=count, seconds=round(monotonic_s() - began, 1))

    def _log(self, found: Violation, count: int) -> None:
        if count <= _MOST_LOGGED:
            log.error("ledger violation", invariant=found.invariant, rule=found.rule, found=found.found)


def last_due(now: datetime, at: str, zone: ZoneInfo) -> datetime:
    """Return when `at` (hours and minutes, local) last was."""
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), time_of_day.fromisoformat(at), tzinfo=zone)
    due = (
        today
        if today.astimezone(UTC) <= now
        else datetime.combine(local.date() - timedelta(days=1), time_of_day.fromisoformat(at), tzinfo=zone)
    )
    return due.astimezone(UTC)


def _resting(stopping: threading.Event) -> Callable[[Progress], None]:
    """Rest after each step for longer than it took, and end when the server does."""
    ended = monotonic_s()

    def rest(_: Progress) -> None:
        nonlocal ended
        if stopping.wait(min(_LONGEST_REST_S, _REST * (monotonic_s() - ended))):
            raise _Stopped
        ended = monotonic_s()

    return rest
