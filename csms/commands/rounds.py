"""Looks again and again, beside the connections, for what has to be done.

While nothing can be stored nobody looks; what goes wrong once is tried again at the next turn. Knows not what is done.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from csms.charging.engine import Engine

log = structlog.get_logger()


async def every(pause_s: float, engine: Engine, look: Callable[[], Awaitable[object]], failed: str) -> None:
    """Pause and look, for ever; `failed` is what the log says where a look fails."""
    while True:
        await asyncio.sleep(pause_s)
        if not engine.available:
            continue
        try:
            await look()
        except Exception:  # the next look tries again; the database's state is logged by the engine
            log.warning(failed, exc_info=True)
