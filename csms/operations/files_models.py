"""Tables of what is copied between us and the stations: firmware, transfers, campaigns, files of stations.

A transfer is one UpdateFirmware, SignedUpdateFirmware, GetDiagnostics or GetLog; its key is that of its command. Links
are stored as the SHA-256 of their token. Sizes are in bytes.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
    true,
)

from csms.db import Instant, metadata

firmware = Table(
    "firmware",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),  # of the file, as stations see it
    Column("vendor", String(50), nullable=False, server_default=""),  # "": fits every vendor
    Column("model", String(50), nullable=False, server_default=""),
    Column("version", String(50), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("stored_name", String(64), nullable=False, unique=True),
    Column("signature", String(800), nullable=False, server_default=""),  # base64
    Column("signing_certificate", Text, nullable=False, server_default=""),  # PEM
    Column("signature_state", String(10), nullable=False, server_default="none"),
    Column("signature_note", String(300), nullable=False, server_default=""),
    Column("uploaded_by", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant, nullable=True),  # the file is gone, its history stays
    CheckConstraint("signature_state IN ('none', 'valid', 'wrong')", name="signature_state"),
)

firmware_campaign = Table(
    "firmware_campaign",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("firmware_id", ForeignKey("firmware.id"), nullable=False),
    Column("group_name", String(100), nullable=False),  # of the station group, as it was called when this began
    Column("state", String(10), nullable=False),
    Column("reason", String(300), nullable=False, server_default=""),  # why it is paused or stopped
    Column("is_signed", Boolean, nullable=False, server_default=false()),
    Column("starts_at", Instant, nullable=False),
    Column("retrieve_at", Instant, nullable=True),  # retrieveDate; null: at once
    Column("parallel", Integer, nullable=False),
    Column("max_failures", Integer, nullable=False),
    Column("forgiven", Integer, nullable=False, server_default="0"),  # failures before it was resumed
    Column("only_idle", Boolean, nullable=False, server_default=true()),  # only while nobody charges there
    Column("requested_by", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("claimed_by", String(60), nullable=True),  # the node that drives it
    Column("claimed_until", Instant, nullable=True),
    CheckConstraint("state IN ('running', 'paused', 'stopped', 'finished')", name="state"),
)

# What a station fetches from us or sends to us, and how far it is.
file_transfer = Table(
    "file_transfer",
    metadata,
    Column("command_id", Integer, primary_key=True, autoincrement=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("action", String(40), nullable=False),
    Column("request_id", Integer, nullable=True),
    Column("location", Text, nullable=False),  # without its token
    Column("state", String(10), nullable=False),
    Column("status", String(30), nullable=False, server_default=""),  # what the station said last
    Column("reason", String(300), nullable=False, server_default=""),
    Column("token_hash", String(64), nullable=True, unique=True),  # null: the location is not ours
    Column("expires_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),  # when it counts as stalled, unless something is heard of it
    Column("firmware_id", ForeignKey("firmware.id"), nullable=True),
    Column("campaign_id", ForeignKey("firmware_campaign.id"), nullable=True, index=True),
    Column("version_wanted", String(50), nullable=False, server_default=""),
    Column("version_before", String(50), nullable=False, server_default=""),
    Column("version_after", String(50), nullable=True),  # at the boot after it
    Column("file_name", String(255), nullable=False, server_default=""),  # that the station announced
    Column("log_type", String(20), nullable=False, server_default=""),
    Column("requested_by", String(100), nullable=False),
    Column("is_followed", Boolean, nullable=False, server_default=true()),  # what the station says may be about it
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("accesses", Integer, nullable=False, server_default="0"),  # of its link
    Column("moved_bytes", BigInteger, nullable=False, server_default="0"),
    Column("last_access_at", Instant, nullable=True),
    Column("last_address", String(60), nullable=False, server_default=""),
    CheckConstraint(
        "state IN ('waiting', 'running', 'done', 'failed', 'rejected', 'canceled', 'stalled')", name="state"
    ),
    Index("ix_file_transfer_station", "charge_point_id", "command_id"),
    Index(
        "ix_file_transfer_followed",
        "charge_point_id",
        sqlite_where=Column("is_followed", Boolean),
        postgresql_where=Column("is_followed", Boolean),
    ),
)

file_transfer_event = Table(
    "file_transfer_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("command_id", ForeignKey("file_transfer.command_id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("status", String(30), nullable=False),
    Column("note", String(300), nullable=False, server_default=""),
)

# Whose turn it is: without a command a station waits; how it went stands in its transfer.
campaign_station = Table(
    "campaign_station",
    metadata,
    Column("campaign_id", ForeignKey("firmware_campaign.id"), primary_key=True, autoincrement=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("command_id", Integer, nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
)

station_file = Table(
    "station_file",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False, index=True),
    Column("command_id", ForeignKey("file_transfer.command_id"), nullable=False, index=True),
    Column("name", String(100), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("stored_name", String(64), nullable=False, unique=True),
    Column("via", String(10), nullable=False),
    Column("address", String(60), nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
)
