"""Seals what has to be kept for a while and may not be read in the database: keys that wait to be sent to a station.

The secret stands in `CSMS_SECRET_KEY`, else in a file of the data directory that is made when it is needed first.
Knows nothing of what is sealed.
"""

import hmac
import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from csms.config import Settings

_FILE = "secret.key"
_MARK = "sealed:"
_KEY_BYTES, _NONCE_BYTES = 32, 12


class Sealer:
    """Seals and opens texts with the secret of an installation."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read before something is sealed or opened."""
        self._given = settings.secret_key
        self._path = settings.data_dir / _FILE
        self._secret: bytes | None = None
        self._cipher: AESGCM | None = None

    def seal(self, text: str) -> str:
        """Return a text that says nothing to whoever has not the secret."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _MARK + b64encode(nonce + self._loaded().encrypt(nonce, text.encode(), None)).decode()

    def open(self, sealed: str) -> str | None:
        """Return what was sealed; None where it was sealed with another secret."""
        if not sealed.startswith(_MARK):
            return None
        try:
            data = b64decode(sealed.removeprefix(_MARK), validate=True)
            return self._loaded().decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None).decode()
        except (InvalidTag, ValueError):
            return None

    def derive(self, purpose: str) -> bytes:
        """Return a key for one purpose, the same each time; the secret cannot be told from it."""
        return hmac.digest(self._read(), purpose.encode(), "sha256")

    def _loaded(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(self._read())
        return self._cipher

    def _read(self) -> bytes:
        if self._secret is None:
            self._secret = bytes.fromhex(self._given) if self._given else _from_file(self._path)
        return self._secret


def _from_file(path: Path) -> bytes:
    """Read the secret, or make it; of several processes that begin together one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = secrets.token_bytes(_KEY_BYTES)
    new = path.with_name(f"{_FILE}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        made = path.read_bytes()
    finally:
        new.unlink()
    return made
