"""Tables of the core family: what was wanted of connectors, what acts came to, and data transfers of vendors."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, false

from csms.db import Instant, metadata

# Whether a connector shall serve, as an operator wants it, and what the station said to that (OCPP 1.6, 5.2).
wanted_availability = Table(
    "wanted_availability",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),  # 0: the charge point and all of them
    Column("availability", String(11), nullable=False),  # Operative, Inoperative
    Column("answer", String(15), nullable=False),  # Accepted, Scheduled, Rejected, or the state of the command
    Column("command_id", Integer, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("answered_at", Instant, nullable=False),
)

# What an act that leaves no other trace came to last, by what it was about.
station_outcome = Table(
    "station_outcome",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("action", String(40), primary_key=True),
    Column("subject", String(80), primary_key=True),  # "connector 1", "MeterValues of connector 1", "Soft", or ""
    Column("outcome", String(100), nullable=False),  # the status as the station said it, or the state of the command
    Column("remark", String(300), nullable=False),
    Column("command_id", Integer, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("answered_at", Instant, nullable=False),
)

# Whose data transfers are taken (OCPP 1.6, 4.3).
data_transfer_vendor = Table(
    "data_transfer_vendor",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("vendor_key", String(255), nullable=False, unique=True),  # case-folded
    Column("vendor_id", String(255), nullable=False),
    Column("message_ids", Text, nullable=False, server_default=""),  # one a line; none: any
    Column("status", String(8), nullable=False),
    Column("keeps_data", Boolean, nullable=False, server_default=false()),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("status IN ('Accepted', 'Rejected')", name="status"),
)

# The latest of each station; older ones make room.
data_transfer = Table(
    "data_transfer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("vendor_id", String(255), nullable=False),
    Column("message_id", String(50), nullable=True),
    Column("data", Text, nullable=True),  # cut where it is very long
    Column("length", Integer, nullable=False),  # as it came, in characters
    Column("status", String(20), nullable=False),  # what it was answered
    Column("received_at", Instant, nullable=False),
    Index("ix_data_transfer_station", "charge_point_id", "id"),
)
