# mypy: disable-error-code="import-untyped"
"""What happens to the security of a station: a log of it, and the queue of what the central system must be told.

Security Whitepaper, A04. The queue outlives the link and, in the state file, the station's own restart.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from ocpp.v16 import call

from chargepoint_sim.clock import written
from chargepoint_sim.errors import LinkLostError, NotAnsweredError
from chargepoint_sim.events import MessageFailed, Noted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from chargepoint_sim.clock import Clock
    from chargepoint_sim.events import EventStream

LOG_LIMIT, QUEUE_LIMIT, TECH_INFO_LIMIT = 1_000, 200, 255


class SecurityEvent(msgspec.Struct, frozen=True):
    """One event. kind: as the whitepaper's table names it."""

    kind: str
    timestamp: str
    tech_info: str = ""


class SecurityEvents:
    """The security log of one station, and what of it waits to be told.

    wait_online, tell: the line to the central system. save: called after each change of the queue.
    """

    def __init__(
        self,
        clock: Clock,
        stream: EventStream,
        wait_online: Callable[[], Awaitable[None]],
        tell: Callable[[object], Awaitable[None]],
        save: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._wait_online = wait_online
        self._tell = tell
        self._save = save
        self._filled = asyncio.Event()
        self.log: deque[SecurityEvent] = deque(maxlen=LOG_LIMIT)
        self.waiting: deque[SecurityEvent] = deque(maxlen=QUEUE_LIMIT)

    def restore(self, waiting: Iterable[SecurityEvent]) -> None:
        """Take up what was waiting before a restart."""
        self.waiting.extend(waiting)
        if self.waiting:
            self._filled.set()

    def happened(self, kind: str, tech_info: str = "", *, told: bool = True) -> None:
        """Write an event into the log, and tell the central system if it is to be told."""
        event = SecurityEvent(kind, written(self._clock.now()), tech_info[:TECH_INFO_LIMIT])
        self.log.append(event)
        self._stream.emit(Noted(text=f"security event {kind}" + (f": {tech_info}" if tech_info else "")))
        if told:
            self.waiting.append(event)
            self._filled.set()
            self._save()

    async def tell(self) -> None:
        """Send what waits, in order, for ever."""
        while True:
            await self._filled.wait()
            await self._wait_online()
            event = self.waiting[0] if self.waiting else None
            if event is None:
                self._filled.clear()
                continue
            if await self._told(event) and self.waiting and self.waiting[0] is event:
                self.waiting.popleft()
                self._save()
                self._stream.wake()

    async def _told(self, event: SecurityEvent) -> bool:
        """Tell one event. False where it must be told again: the link went, or nobody answered."""
        notification = call.SecurityEventNotification(
            type=event.kind, timestamp=event.timestamp, tech_info=event.tech_info or None
        )
        try:
            await self._tell(notification)
        except LinkLostError:
            return False
        except NotAnsweredError as error:
            # A central system that knows no security events answers with a call error; asking again does not help.
            self._stream.emit(MessageFailed(action="SecurityEventNotification", cause=str(error)))
        return True
