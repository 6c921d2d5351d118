"""Requests that are repeated: what was answered under an Idempotency-Key is kept and given again.

The answer is kept encrypted with a key that only whoever holds the key of the API has: some answers carry a secret.
Works on a connection inside somebody else's unit of work; knows no endpoint.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal

import msgspec
from cryptography.fernet import Fernet
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from csms.db import delete_some
from csms.web.api.models import api_repetition

HEADER = "Idempotency-Key"
PATTERN = "^[!-~]{1,80}$"
KEPT = timedelta(hours=48)
INTERRUPTED_AFTER = timedelta(seconds=180)  # longer than the longest wait of an endpoint
_FORGOTTEN_AT_ONCE = 500  # their answers may be long
_VALID = re.compile(PATTERN)
_r = api_repetition.c


class Claim(msgspec.Struct, frozen=True):
    """One request under one key. `request_hash` tells whether another is the same."""

    api_key_id: int
    idempotency_key: str
    request_hash: str


class Kept(msgspec.Struct, frozen=True):
    """The answer that was given before; `body` is encrypted."""

    status: int
    headers: dict[str, str]
    body: bytes


Standing = Literal["new", "reused", "running", "interrupted"]


def is_valid(key: str) -> bool:
    """Tell whether this can be an Idempotency-Key."""
    return _VALID.fullmatch(key) is not None


def hash_request(method: str, path: str, query: str, body: bytes) -> str:
    """Return what tells one request from another."""
    return sha256(b"\0".join((method.encode(), path.encode(), query.encode(), body))).hexdigest()


def claim(connection: Connection, asked: Claim, now: datetime) -> Kept | Standing:
    """Claim a key for a request: new, or what became of it before. Raises IntegrityError where another was faster."""
    statement = select(_r.request_hash, _r.begun_at, _r.status, _r.headers_json, _r.body)
    row = connection.execute(statement.where(*_is(asked)).with_for_update()).first()
    if row is not None and row.begun_at < now - KEPT:
        connection.execute(delete(api_repetition).where(*_is(asked)))
        row = None
    if row is None:
        values = msgspec.structs.asdict(asked) | {"begun_at": now}
        connection.execute(insert(api_repetition), values)
        return "new"
    if row.request_hash != asked.request_hash:
        return "reused"
    if row.status is not None:
        return Kept(row.status, msgspec.json.decode(row.headers_json, type=dict[str, str]), row.body)
    return "running" if row.begun_at > now - INTERRUPTED_AFTER else "interrupted"


def keep(connection: Connection, asked: Claim, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Keep the answer; `body` is encrypted already."""
    values = {"status": status, "headers_json": msgspec.json.encode(dict(headers)).decode(), "body": body}
    connection.execute(update(api_repetition).where(*_is(asked)).values(values))


def give_up(connection: Connection, asked: Claim) -> None:
    """Forget a claim under which nothing was done, so that the same request may be tried again."""
    connection.execute(delete(api_repetition).where(*_is(asked), _r.status.is_(None)))


def take_over(connection: Connection, asked: Claim, now: datetime) -> bool:
    """Begin an interrupted request again; False where another was faster."""
    statement = update(api_repetition).where(*_is(asked), _r.status.is_(None), _r.begun_at < now - INTERRUPTED_AFTER)
    return connection.execute(statement.values(begun_at=now)).rowcount == 1


def forget(connection: Connection, now: datetime, *, limit: int = _FORGOTTEN_AT_ONCE) -> bool:
    """Remove some of what is older than it is kept; tell whether there may be more of it."""
    return delete_some(connection, api_repetition, _r.begun_at < now - KEPT, limit=limit) >= limit


def cipher(secret: str) -> Fernet:
    """Return what encrypts and decrypts the answers of a key of the API."""
    return Fernet(base64.urlsafe_b64encode(sha256(b"answers of " + secret.encode()).digest()))


def _is(asked: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _r.api_key_id == asked.api_key_id, _r.idempotency_key == asked.idempotency_key
