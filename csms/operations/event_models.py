"""The table of what happened, in the order in which it was committed."""

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from csms.db import Instant, metadata

# One row for each unit of work in which something happened. On PostgreSQL the position is the number of the database's
# own transaction: those below the oldest that still runs are all there, so a reader that stops short of it misses none.
event_batch = Table(
    "event_batch",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("recorded_at", Instant, nullable=False),
    Column("events_json", Text, nullable=False),  # [[type, [field, ...]], ...]
)
