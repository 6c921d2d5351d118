"""Tables of charging profiles: the library, what is installed where, what stations said their schedule is."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from csms.db import Instant, metadata

# The library. The profile's own id is given when it is sent: one for each connector.
charging_profile = Table(
    "charging_profile",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("time_zone", String(50), nullable=False),  # of the moments that people see
    Column("profile_json", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# What a station has, as we know it from what it accepted.
installed_profile = Table(
    "installed_profile",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("profile_id", Integer, primary_key=True, autoincrement=False),
    Column("connector_id", Integer, nullable=False),  # 0: the charge point, or wherever a remote start begins
    Column("purpose", String(25), nullable=False),
    Column("stack_level", Integer, nullable=False),
    Column("transaction_id", Integer, nullable=True),
    Column("id_tag", String(20), nullable=True),  # of the remote start that brought it
    Column("profile_json", Text, nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("command_id", Integer, nullable=False),
    Column("installed_at", Instant, nullable=False),
    Index("ix_installed_profile_profile_id", "profile_id"),
)

# The latest answer to GetCompositeSchedule of each connector, as it came.
composite_schedule = Table(
    "composite_schedule",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),
    Column("command_id", Integer, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("unit", String(1), nullable=False),  # asked for; "" for the station's own
    Column("state", String(10), nullable=False),
    Column("answer_json", Text, nullable=True),
    Column("failure", String(300), nullable=True),
    Column("received_at", Instant, nullable=False),
)

# A station that says it can be limited and refused the credit guard's limit; until it boots it is not asked again.
limit_refusal = Table(
    "limit_refusal",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("command_id", Integer, nullable=False),
    Column("answer", String(300), nullable=False),
    Column("refused_at", Instant, nullable=False),
)
