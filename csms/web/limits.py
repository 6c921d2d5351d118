"""Limits at the portal's edge: how large a form may be, and how often a login may fail.

Counts failures in memory, per process; knows nothing of staff or passwords. Time is an argument.
"""

import asyncio
from collections import OrderedDict, deque
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

_WINDOW = timedelta(minutes=1)
_LONGEST_BODY_S = 60.0
_MOST_KEYS = 10_000  # beyond it the oldest are forgotten, so that guessing names cannot fill the memory


class FailureLimiter:
    """Counts failures per key over the last minute."""

    def __init__(self, per_minute: int) -> None:
        """Allow `per_minute` failures of one key."""
        self._per_minute = per_minute
        self._failures: OrderedDict[str, deque[datetime]] = OrderedDict()

    def exceeded(self, keys: tuple[str, ...], now: datetime) -> bool:
        """Tell whether one of `keys` has failed as often as is allowed."""
        return any(self._count(key, now) >= self._per_minute for key in keys)

    def failed(self, keys: tuple[str, ...], now: datetime) -> None:
        """Count a failure of each of `keys`."""
        for key in keys:
            self._failures.setdefault(key, deque(maxlen=self._per_minute)).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, keys: tuple[str, ...]) -> None:
        """Take back what was counted before it was known to succeed."""
        for key in keys:
            if self._failures.get(key):
                self._failures[key].pop()

    def _count(self, key: str, now: datetime) -> int:
        failures = self._failures.get(key)
        if failures is None:
            return 0
        while failures and now - failures[0] >= _WINDOW:
            failures.popleft()
        if not failures:
            del self._failures[key]
        return len(failures)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body; raise 413 as soon as it is longer than `limit_bytes`, 408 where it takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(_LONGEST_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise HTTPException(413, "The form is too large. Nothing was changed.")
    except TimeoutError:
        raise HTTPException(408, "The form took too long to arrive. Nothing was changed.") from None
    except ClientDisconnect:  # nobody reads the answer any more
        raise HTTPException(400, "The form did not arrive whole. Nothing was changed.") from None
    return bytes(body)
