"""The portal's end of HTTP: uvicorn's own, with patience for nobody who keeps a connection without asking anything.

Knows no page. Bodies have a limit of their own, where they are read.
"""

import asyncio
from typing import Any

from h11 import LocalProtocolError, RemoteProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0  # from the connection, or from the first byte of a further request, until its head is whole
MOST_CONNECTIONS = 2000


class PortalProtocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - the library's own
        """Nobody is waited for yet."""
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; whoever breaks HTTP so that it cannot even be answered is cut off."""
        try:
            super().data_received(data)
        except (LocalProtocolError, RemoteProtocolError):
            self.transport.abort()
            return
        if self._is_asked():
            self._stop_waiting()
        else:
            self._wait_for_head()

    def on_response_complete(self) -> None:
        """Answered: the library's own patience with a silent connection begins, ours with the next request."""
        self._stop_waiting()
        super().on_response_complete()

    def _is_asked(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._is_asked():
            self.transport.abort()
