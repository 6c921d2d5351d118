"""Where a webhook may go. An address in our own network is reached only where a setting names its host: whoever may
make webhooks shall not look at what only this machine can reach.
"""

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import msgspec

from csms.errors import CsmsError

LONGEST_URL = 500
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: where it leads is known inside one network only
_LAST_32_BITS = 0xFFFF_FFFF
_PORTS = {"http": 80, "https": 443}


class AddressRefused(CsmsError):  # noqa: N818 - says what happened to it
    """This is no address for a webhook; the argument says why."""


class Target(msgspec.Struct, frozen=True):
    """An address taken apart. `path` carries the query."""

    is_secure: bool
    host: str
    port: int
    path: str


def read_url(url: str, allowed: Collection[str]) -> Target:
    """Take an address apart; `AddressRefused` where it is none, or names a place in our own network."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused(f"An address has at most {LONGEST_URL} letters, digits and signs, and no blanks.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("This is no address.") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise AddressRefused("An address begins with https:// or http:// and names a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("An address carries no user, no password and no fragment.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme == "https", parts.hostname, port or _PORTS[parts.scheme], path)
    literal = _literal(target.host)
    if literal is not None:
        _check(literal, target.host, allowed)
    return target


def resolve(target: Target, allowed: Collection[str]) -> tuple[str, int]:
    """Return an address of the host to connect to; `AddressRefused` where it has none that may be reached.

    Connecting to what was checked, and not to the name again, leaves no time for the name to change its mind.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(f"The host {target.host} is not known.") from None
    addresses = [str(one[4][0]) for one in found]
    for address in addresses:
        _check(ip_address(address.partition("%")[0]), target.host, allowed)
    return addresses[0], target.port


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address of IPv4 that one of IPv6 only carries: mapped, translated (NAT64) or tunnelled (6to4)."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & _LAST_32_BITS)
    return address.ipv4_mapped or address.sixtofour or address


def _check(address: IPv4Address | IPv6Address, host: str, allowed: Collection[str]) -> None:
    meant = _meant(address)
    if host.lower() in allowed or (meant.is_global and not meant.is_multicast and meant not in _LOCAL_NAT64):
        return
    raise AddressRefused(f"{host} lies in a network of our own; CSMS_WEBHOOK_HOSTS does not name it.")
