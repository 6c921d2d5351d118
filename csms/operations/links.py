"""One-time links to files: how they look, how their token is stored, and which names of files are safe. Pure.

A token is 32 random bytes; only its SHA-256 is stored. Knows neither files nor who serves them.
"""

import re
from hashlib import sha256
from urllib.parse import quote

FIRMWARE_PATH = "/files/firmware"
UPLOADS_PATH = "/files/uploads"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


def hash_token(token: str) -> str:
    """Return the hex digest under which a token is stored."""
    return sha256(token.encode(errors="replace")).hexdigest()


def download_url(base: str, token: str, name: str) -> str:
    """Return the address at which a station fetches firmware; `base` is absolute, without a slash at its end."""
    return f"{base}{FIRMWARE_PATH}/{token}/{quote(name)}"


def upload_url(base: str, token: str) -> str:
    """Return the address to which a station sends files: it ends in a slash, so that a name can be put behind it."""
    return f"{base}{UPLOADS_PATH}/{token}/"


def ftp_url(host: str, port: int, charge_point_id: int, token: str) -> str:
    """Return the same for FTP: user and password are good for one request."""
    return f"ftp://cp{charge_point_id}:{token}@{host}:{port}/"


def safe_name(name: str, otherwise: str = "file") -> str:
    """Return a file name that is safe to show and to send: its last part, of letters, digits, `.`, `_` and `-`."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    cleaned = _UNSAFE.sub("_", last).lstrip(".-_")
    return cleaned[-_LONGEST_NAME:].lstrip(".-_") or otherwise
