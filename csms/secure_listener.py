"""Accepts the TLS connections of charge points and hands them on once they are secure.

Knows addresses and TLS, no HTTP. A handshake that breaks costs what it cost: it is counted, and an address with too
many of them has to wait before the next one is even begun. Handshakes are begun at a bounded rate, so that a reconnect
storm takes its own time instead of that of those who are connected.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket

import structlog

from csms.clock import Seconds, monotonic_s
from csms.limits import Bucket, Failures

log = structlog.get_logger()

_BACKLOG = 1024
_LISTENER_FAILED_S = 1.0  # before the next try, where the machine has no more sockets to give


class SecureListener:
    """One TLS port; `make` returns the protocol of a new connection."""

    def __init__(
        self,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
        failures: Failures,
        counts: Counter[str],
        *,
        handshake_timeout_s: Seconds,
        per_s: int,
        at_once: int,
    ) -> None:
        """Nothing listens before `start`. At most `at_once` handshakes are on their way."""
        self._context = context
        self._make = make
        self._failures = failures
        self._counts = counts
        self._timeout_s = handshake_timeout_s
        self._per_s = per_s
        self._at_once = at_once
        self._socket: socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._socket is not None, "the listener was not started"
        return int(self._socket.getsockname()[1])

    def start(self, host: str, port: int) -> None:
        """Listen; OSError where the port is taken."""
        family = AF_INET6 if ":" in host else AF_INET
        self._socket = create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket))

    async def stop(self) -> None:
        """Listen no more; connections that are secure already are not touched."""
        tasks = [*self._opening, *([] if self._accepting is None else [self._accepting])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket) -> None:
        loop = asyncio.get_running_loop()
        bucket = Bucket(self._per_s, self._per_s, monotonic_s())
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("no connection can be accepted", error=str(error))
                await asyncio.sleep(_LISTENER_FAILED_S)
                continue
            address = str(peer[0])
            if self._failures.too_many(address, monotonic_s()):
                self._refuse(accepted, "handshake too often")
            elif len(self._opening) >= self._at_once:
                self._refuse(accepted, "tls handshakes at once beyond the limit")
            else:
                await asyncio.sleep(bucket.wait_s(monotonic_s()))
                task = asyncio.create_task(self._open(accepted, address))
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)

    def _refuse(self, accepted: socket, what: str) -> None:
        self._counts[what] += 1
        accepted.close()

    async def _open(self, accepted: socket, address: str) -> None:
        """Do the handshake; on success the connection lives on by itself."""
        loop = asyncio.get_running_loop()
        try:
            accepted.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # flights of a handshake shall not wait for each other
            await loop.connect_accepted_socket(
                self._make,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._timeout_s,
                ssl_shutdown_timeout=self._timeout_s,
            )
        except ssl.SSLError as error:
            self._failed(address, str(error.reason or error))
        except (ConnectionAbortedError, TimeoutError):
            self._failed(address, "it took too long")
        except OSError:  # it hung up before it said anything that can be wrong, as balancers do to look who lives
            self._counts["tls connection without a handshake"] += 1
        except asyncio.CancelledError:
            with suppress(OSError):
                accepted.close()
            raise

    def _failed(self, address: str, why: str) -> None:
        self._counts["tls handshake failed"] += 1
        self._failures.count(address, monotonic_s())
        log.warning("tls handshake failed", address=address, reason=why[:100])
