"""Sends one body to one address and says what came back. Blocks; knows no rows. Redirects are not followed."""

import http.client
import io
import socket
import ssl
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from csms.clock import monotonic_s
from csms.webhooks.addresses import AddressRefused, Target, read_url, resolve

_READ_BYTES = 1024
_SUCCESS = range(200, 300)


class Outcome(msgspec.Struct, frozen=True):
    """What came of a delivery: the status of HTTP, or why there is none."""

    status: int | None
    error: str

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and self.status in _SUCCESS


def send(url: str, body: bytes, headers: Mapping[str, str], *, allowed: Collection[str], timeout_s: float) -> Outcome:
    """Post `body` to `url`; its answer has so long in all. Every failure is an outcome."""
    try:
        target = read_url(url, allowed)
        address = resolve(target, allowed)
        status = _post(target, address, body, headers, monotonic_s() + timeout_s)
    except AddressRefused as error:
        return Outcome(None, str(error))
    except TimeoutError:
        return Outcome(None, f"no answer within {timeout_s:g} s")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(None, f"{type(error).__name__}: {error}"[:300])
    return Outcome(status, "" if status in _SUCCESS else f"answered {status}")


def _post(target: Target, address: tuple[str, int], body: bytes, headers: Mapping[str, str], until_s: float) -> int:
    connection = http.client.HTTPConnection(target.host, target.port)
    link = socket.create_connection(address, timeout=_left(until_s))
    try:
        if target.is_secure:
            link.settimeout(_left(until_s))
            link = ssl.create_default_context().wrap_socket(link, server_hostname=target.host)
        connection.sock = _Link(link, until_s)
        connection.request("POST", target.path, body, {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(_READ_BYTES)
        return response.status
    finally:
        connection.close()
        link.close()


def _left(until_s: float) -> float:
    """Return how many seconds are left; TimeoutError where none are."""
    left = until_s - monotonic_s()
    if left <= 0:
        raise TimeoutError
    return left


class _Link:
    """What http.client needs of a socket, with one deadline for all that is sent and read.

    A socket's own timeout begins again with each byte, so that a receiver that drips would never meet it.
    """

    def __init__(self, link: socket.socket, until_s: float) -> None:
        self._link = link
        self._until_s = until_s

    def sendall(self, data: bytes) -> None:
        """Send everything before the deadline."""
        self._link.settimeout(_left(self._until_s))
        self._link.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what reads until the deadline."""
        return io.BufferedReader(_Reading(self._link, self._until_s))

    def close(self) -> None:
        """Leave the socket to whoever opened it."""


class _Reading(io.RawIOBase):
    def __init__(self, link: socket.socket, until_s: float) -> None:
        self._link = link
        self._until_s = until_s

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - the base's buffer
        """Read what there is, before the deadline."""
        self._link.settimeout(_left(self._until_s))
        return self._link.recv_into(buffer)
