"""Tables of the API: its keys, and the answers that are kept so that a repeated request gets them again."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from csms.db import Instant, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("prefix", String(20), nullable=False),  # its beginning, by which people know it
    Column("key_hash", String(64), nullable=False, unique=True),  # of the whole key
    Column("scopes", Text, nullable=False),  # separated by blanks
    Column("created_by", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=True),
    Column("last_used_at", Instant, nullable=True),
    Column("revoked_at", Instant, nullable=True),
)

# What was answered under an Idempotency-Key. Without a status the request is still being answered, or was interrupted.
api_repetition = Table(
    "api_repetition",
    metadata,
    Column("api_key_id", ForeignKey("api_key.id"), primary_key=True, autoincrement=False),
    Column("idempotency_key", String(100), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("status", Integer, nullable=True),
    Column("headers_json", Text, nullable=True),
    Column("body", LargeBinary, nullable=True),
    Index("ix_api_repetition_begun_at", "begun_at"),
)
