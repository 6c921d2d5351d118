"""Real time, and the faster time in which meters and cars live.

The only reader of the time in this package. A car's second takes 1/speed real seconds. What people, links and time-outs
do (heartbeats, retries, ConnectionTimeOut) stays in real time; what a meter sees is accelerated.
Knows nothing of OCPP.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Timestamps = Literal["real", "simulated"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def written(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a Z, the form that strict peers accept."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read(text: str) -> datetime:
    """A timestamp from the wire; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Clock:
    """One station's time.

    speed: simulated seconds per real second.
    timestamps: "real" writes the wall clock into messages; "simulated" writes `begin` plus the simulated time since
    then, which soon lies in the future of a central system unless `begin` lies in the past.
    tick_s: how often, in real seconds, a charging car is moved on.
    """

    def __init__(
        self,
        *,
        speed: float = 1.0,
        timestamps: Timestamps = "real",
        begin: datetime | None = None,
        tick_s: float | None = None,
        wall: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed <= 0:
            message = f"speed must be above 0, not {speed}"
            raise ValueError(message)
        self.speed = speed
        self.timestamps = timestamps
        self.tick_s = tick_s if tick_s is not None else max(0.05, min(1.0, 15 / speed))
        self._wall = wall
        self._monotonic = monotonic
        self._begin_s = monotonic()
        self._begin = begin or wall()
        self._behind = timedelta(0)

    def elapsed_s(self) -> float:
        """Simulated seconds since this clock was made."""
        return (self._monotonic() - self._begin_s) * self.speed

    def now(self) -> datetime:
        """The moment that goes into messages."""
        if self.timestamps == "real":
            return self._wall() - self._behind
        return self._begin + timedelta(seconds=self.elapsed_s()) - self._behind

    def lose_time(self) -> None:
        """Begin in 1970, as a station without a battery does."""
        self._behind += self.now() - EPOCH

    def take_time(self) -> None:
        """Be told the time, and be right again."""
        self._behind = timedelta(0)

    async def sleep(self, simulated_s: float) -> None:
        """Let simulated seconds pass."""
        await asyncio.sleep(max(0.0, simulated_s) / self.speed)

    def real_s_until(self, moment: datetime) -> float:
        """Real seconds until `now()` reaches a moment; 0 once it has."""
        ahead_s = (moment - self.now()).total_seconds()
        return max(0.0, ahead_s if self.timestamps == "real" else ahead_s / self.speed)
