"""The table of the message log. It is no part of the books, so it has metadata of its own.

On PostgreSQL it lies in the database, made by a migration. On SQLite it lies in a file of its own beside the database,
so that it never takes the write lock of the books; that file is made by `store.set_up`.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

from csms.db import Instant
from csms.db import metadata as books

LONGEST_ACTION = 50
LONGEST_MESSAGE_ID = 128

metadata = MetaData(naming_convention=books.naming_convention)

message = Table(
    "message",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # in the order of arrival, nearly
    Column("charge_point_id", Integer, nullable=True),  # null: not of one station
    Column("recorded_at", Instant, nullable=False, index=True),
    Column("is_outgoing", Boolean, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("action", String(LONGEST_ACTION), nullable=False),  # of an answer: that of its call; "": not known
    Column("message_id", String(LONGEST_MESSAGE_ID), nullable=False),
    Column("duration_ms", Integer, nullable=True),  # of an answer: since its call
    Column("size_bytes", Integer, nullable=False),
    Column("text", Text, nullable=False),  # without secrets, cut
    Index("ix_message_station", "charge_point_id", "id"),
)
