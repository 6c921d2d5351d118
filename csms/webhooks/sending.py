"""Sends one body to one address and says what came back. Blocks; knows no rows. Redirects are not followed."""

import http.client
import socket
import ssl
from collections.abc import Collection, Mapping

import msgspec

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
    """Post `body` to `url`. Every failure is an outcome."""
    try:
        target = read_url(url, allowed)
        address = resolve(target, allowed)
        status = _post(target, address, body, headers, timeout_s)
    except AddressRefused as error:
        return Outcome(None, str(error))
    except TimeoutError:
        return Outcome(None, f"no answer within {timeout_s:g} s")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(None, f"{type(error).__name__}: {error}"[:300])
    return Outcome(status, "" if status in _SUCCESS else f"answered {status}")


def _post(target: Target, address: tuple[str, int], body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
    connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
    link = socket.create_connection(address, timeout=timeout_s)
    try:
        if target.is_secure:
            link = ssl.create_default_context().wrap_socket(link, server_hostname=target.host)
        connection.sock = link
        connection.request("POST", target.path, body, {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        response.read(_READ_BYTES)
        return response.status
    finally:
        connection.close()
        link.close()
