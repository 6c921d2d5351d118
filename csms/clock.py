"""The only reader of the time, and of the names of time zones.

Everything else takes ``now`` as an argument, so that every rule can be tested at any moment. Times are aware and in
UTC.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

Clock = Callable[[], datetime]
Seconds = float  # on the monotonic clock: for waiting, never for records


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def monotonic_s() -> Seconds:
    """Return seconds on a clock that never goes back; for intervals, not for records."""
    return time.monotonic()


@cache
def time_zones() -> frozenset[str]:
    """Return the names of all time zones; to find them, hundreds of files are looked through, so once a process."""
    return frozenset(available_timezones())
