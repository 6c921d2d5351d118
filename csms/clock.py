"""The only reader of the time.

Everything else takes ``now`` as an argument, so that every rule can be tested at any moment. Times are aware and in
UTC.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
Seconds = float  # on the monotonic clock: for waiting, never for records


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def monotonic_s() -> Seconds:
    """Return seconds on a clock that never goes back; for intervals, not for records."""
    return time.monotonic()
