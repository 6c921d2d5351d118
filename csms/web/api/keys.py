"""Keys of the API: made, shown once, found, listed, revoked. Only their hashes are stored.

Works on a connection inside somebody else's unit of work; takes chance and time as arguments. Knows no request.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import cast

import msgspec
from sqlalchemy import Connection, Select, insert, select, update

from csms.web.api.models import api_key
from csms.web.api.scopes import Scope, narrowed

LONGEST_NAME = 60
_PREFIX = "csms_"
_SHOWN = len(_PREFIX) + 6  # characters of a key that stay visible
_LONGEST = 200
_TOUCH_AFTER = timedelta(seconds=60)  # a key's last use is written at most this often


class ApiKey(msgspec.Struct, frozen=True):
    """A key as people see it."""

    key_id: int
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def actor(self) -> str:
        """How the journal and commands name whoever holds this key."""
        return f"api key {self.name}"

    def holds(self, now: datetime) -> bool:
        """Tell whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def touch_due(self, now: datetime) -> bool:
        """Tell whether its last use should be written again."""
        return self.last_used_at is None or now - self.last_used_at > _TOUCH_AFTER


def new_secret() -> str:
    """Make a key: 256 bits of chance behind a beginning that tells leaked ones from other texts."""
    return _PREFIX + secrets.token_urlsafe(32)


def add_key(
    connection: Connection,
    *,
    name: str,
    secret: str,
    scopes: Sequence[str],
    created_by: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> int:
    """Store a key and return its number. Whoever made `secret` shows it once."""
    row = {
        "name": name,
        "prefix": secret[:_SHOWN],
        "key_hash": _hash(secret),
        "scopes": " ".join(narrowed(list(scopes))),
        "created_by": created_by,
        "created_at": now,
        "expires_at": expires_at,
    }
    return cast("int", connection.execute(insert(api_key).returning(api_key.c.id), row).scalar_one())


def find_key(connection: Connection, secret: str, now: datetime) -> ApiKey | None:
    """Return the key that `secret` is, None where it is none, revoked or expired."""
    if not secret.startswith(_PREFIX) or len(secret) > _LONGEST:
        return None
    row = connection.execute(_KEYS.where(api_key.c.key_hash == _hash(secret))).first()
    found = None if row is None else _key(tuple(row))
    return found if found is not None and found.holds(now) else None


def key_holds(connection: Connection, key_id: int, now: datetime) -> bool:
    """Tell whether a key still opens anything."""
    row = connection.execute(_KEYS.where(api_key.c.id == key_id)).first()
    return row is not None and _key(tuple(row)).holds(now)


def list_keys(connection: Connection) -> list[ApiKey]:
    """Return every key, the newest first."""
    return [_key(tuple(row)) for row in connection.execute(_KEYS.order_by(api_key.c.id.desc()))]


def touch_key(connection: Connection, key_id: int, now: datetime) -> None:
    """Note that a key was used."""
    connection.execute(update(api_key).where(api_key.c.id == key_id).values(last_used_at=now))


def revoke_key(connection: Connection, key_id: int, now: datetime) -> bool:
    """End a key at once and for good; False where there is none that could be ended."""
    statement = update(api_key).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
    return connection.execute(statement.values(revoked_at=now)).rowcount == 1


_KEYS: Select[tuple[object, ...]] = select(
    api_key.c.id,
    api_key.c.name,
    api_key.c.prefix,
    api_key.c.scopes,
    api_key.c.created_by,
    api_key.c.created_at,
    api_key.c.expires_at,
    api_key.c.last_used_at,
    api_key.c.revoked_at,
)


def _key(row: tuple[object, ...]) -> ApiKey:
    key_id, name, prefix, scopes, *rest = row
    return ApiKey(*cast("tuple[int, str, str]", (key_id, name, prefix)), narrowed(str(scopes).split()), *rest)  # type: ignore[arg-type]


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
