"""Limits on how often something may happen: token buckets, and a table of them by key. Pure; time is an argument
(seconds).
"""


class Bucket:
    """Lets `rate` things through per second on average, and up to `burst` at once."""

    __slots__ = ("_at_s", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        """Begin full."""
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Take one and return for how many seconds to wait before acting on it (0: not at all)."""
        self._refill(now_s)
        self._left -= 1
        return max(0.0, -self._left / self._rate)

    def is_empty(self, now_s: float) -> bool:
        """Tell whether nothing is left, without taking any."""
        self._refill(now_s)
        return self._left < 1

    def is_full(self, now_s: float) -> bool:
        """Tell whether nothing was taken lately."""
        self._refill(now_s)
        return self._left >= self._burst

    def _refill(self, now_s: float) -> None:
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s


class Failures:
    """Counts failures per key (an address, a name); a key with too many in a minute has to wait."""

    def __init__(self, per_minute: int, *, keys_max: int = 100_000) -> None:
        """`keys_max` bounds the memory; beyond it the keys that have recovered are forgotten, then all."""
        self._per_minute = per_minute
        self._keys_max = keys_max
        self._buckets: dict[str, Bucket] = {}

    def too_many(self, key: str, now_s: float) -> bool:
        """Tell whether `key` failed too often lately."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.is_empty(now_s)

    def count(self, key: str, now_s: float) -> None:
        """Count one failure of `key`."""
        if key not in self._buckets and len(self._buckets) >= self._keys_max:
            self._buckets = {name: one for name, one in self._buckets.items() if not one.is_full(now_s)}
            if len(self._buckets) >= self._keys_max:
                self._buckets.clear()
        bucket = self._buckets.setdefault(key, Bucket(self._per_minute / 60, self._per_minute, now_s))
        if not bucket.is_empty(now_s):
            bucket.wait_s(now_s)
