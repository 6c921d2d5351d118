"""Tables of local authorization lists: what each list holds, where it belongs, and what a charge point has of it."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text, false

from csms.db import Instant, metadata

# Its cards are those chosen one by one, those of an account group, and those of all staff, together.
local_list = Table(
    "local_list",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("account_group_id", ForeignKey("account_group.id"), nullable=True),
    Column("has_staff", Boolean, nullable=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
)

local_list_card = Table(
    "local_list_card",
    metadata,
    Column("list_id", ForeignKey("local_list.id"), primary_key=True, autoincrement=False),
    Column("id_tag", ForeignKey("card.id_tag"), primary_key=True, index=True),
)

# A charge point has one list at most: its own, else that of its group.
local_list_target = Table(
    "local_list_target",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("list_id", ForeignKey("local_list.id"), nullable=False, index=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=True, unique=True),
    Column("station_group_id", ForeignKey("station_group.id"), nullable=True, unique=True),
    CheckConstraint("(charge_point_id IS NULL) <> (station_group_id IS NULL)", name="target"),
)

# What a charge point has, as far as its answers told.
station_local_list = Table(
    "station_local_list",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("list_id", Integer, nullable=True),  # that was sent to it; the list may be gone meanwhile
    Column("is_supported", Boolean, nullable=True),  # null: never asked
    Column("version", Integer, nullable=True),  # null: not known
    Column("entries_json", Text, nullable=True),  # null: not known
    Column("cards", Integer, nullable=True),  # how many entries
    Column("digest", String(32), nullable=False),  # of the entries; empty: not known
    Column("failures", Integer, nullable=False),  # one after another
    Column("failed_digest", String(32), nullable=False),  # of what could not be brought to it
    Column("state", String(20), nullable=False),
    Column("explanation", String(300), nullable=False),
    Column("wait_until", Instant, nullable=True),  # it did not answer: no sooner than this again
    Column("changed_at", Instant, nullable=False),
)
