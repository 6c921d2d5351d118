"""Who is connected to this process. Knows no OCPP: a link can be written to, closed and replaced.

The newest connection of a charge point wins; the one it replaces is closed and may write nothing afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime

_USUAL_LAG_MS = 1500  # until a charge point was measured
_ANSWERING_MS = 200  # what a charge point takes to answer a call, beyond a ping


class Link:
    """One live WebSocket of a charge point."""

    __slots__ = (
        "accepted",
        "charge_point_id",
        "close",
        "connection_id",
        "heard_at",
        "identity",
        "measured_ms",
        "outstanding",
        "pending",
        "ping_s",
        "replaced",
        "rung",
        "send",
        "sending",
    )

    def __init__(
        self,
        charge_point_id: int,
        identity: str,
        connection_id: str,
        *,
        accepted: bool,
        pending: bool = False,
        heard_at: datetime,
        send: Callable[[bytes], Awaitable[None]],
        close: Callable[[int, str], Awaitable[None]],
        ping_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Take what the central system knows of the connection; `ping_s` is how long the last ping took, 0 before."""
        self.charge_point_id = charge_point_id
        self.identity = identity
        self.connection_id = connection_id
        self.accepted = accepted  # a boot of this charge point was accepted once
        self.pending = pending  # it may only be configured so far (OCPP 1.6, 4.2)
        self.heard_at = heard_at
        self.send = send
        self.close = close
        self.ping_s = ping_s
        self.measured_ms: int | None = None
        self.replaced = False
        self.sending = False  # a task is at work on this charge point's commands
        self.rung = False  # commands may wait that this task has not looked for yet
        self.outstanding: tuple[str, asyncio.Future[object]] | None = None  # our one call that waits for an answer

    @property
    def lag_ms(self) -> int:
        """How long this charge point takes to answer a call: as measured, or else as a ping of its link lets expect."""
        if self.measured_ms is not None:
            return self.measured_ms
        ping_ms = int(self.ping_s() * 1000)
        return ping_ms + _ANSWERING_MS if ping_ms else _USUAL_LAG_MS

    def note_lag(self, lag_ms: int) -> None:
        """Take a measured time between a call and its answer; the lag follows it quickly up and slowly down."""
        known_ms = lag_ms if self.measured_ms is None else self.measured_ms
        self.measured_ms = known_ms + (lag_ms - known_ms) // (2 if lag_ms > known_ms else 8)


class Connections:
    """The links of this process, by charge point."""

    def __init__(self) -> None:
        """Nobody is connected yet."""
        self._links: dict[int, Link] = {}

    def __len__(self) -> int:
        """How many charge points are connected here."""
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        """Every link, as of now."""
        return iter(list(self._links.values()))

    def get(self, charge_point_id: int) -> Link | None:
        """Return the link of a charge point, if it is connected here."""
        return self._links.get(charge_point_id)

    def lag_ms(self, charge_point_id: int) -> int | None:
        """Return how long a charge point takes to answer, or None where it is not connected here."""
        link = self._links.get(charge_point_id)
        return None if link is None else link.lag_ms

    def add(self, link: Link) -> Link | None:
        """Register a link and return the one that it replaces."""
        old = self._links.get(link.charge_point_id)
        if old is not None:
            old.replaced = True
        self._links[link.charge_point_id] = link
        return old

    def remove(self, link: Link) -> None:
        """Forget a link, unless a newer one has taken its place."""
        if self._links.get(link.charge_point_id) is link:
            del self._links[link.charge_point_id]
