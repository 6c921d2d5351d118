"""Waits for what a test expects to become true, instead of sleeping for as long as it might take."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


async def until(look: Callable[[], Found], timeout_s: float = 60) -> Found:
    """Return what `look` returns as soon as it is true; fail after the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not true within {timeout_s:g} s"
        await asyncio.sleep(0.01)
    return found
