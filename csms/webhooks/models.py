"""Tables of webhooks and their deliveries."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from csms.db import Instant, metadata

webhook = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("url", String(500), nullable=False),
    Column("types", Text, nullable=False),  # of events, separated by blanks; none: all
    Column("secret", Text, nullable=False),  # sealed
    Column("state", String(10), nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("position", BigInteger, nullable=False),  # behind which its events are to be taken
    Column("failing_since", Instant, nullable=True),
    Column("delivered_at", Instant, nullable=True),  # the latest success
    Column("lease_node", String(60), nullable=True),  # who delivers, until when
    Column("lease_until", Instant, nullable=True),
    CheckConstraint("state IN ('active', 'paused', 'disabled')", name="state"),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook_id", ForeignKey("webhook.id"), nullable=False),
    Column("event_id", String(60), nullable=False),
    Column("event_type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("answered_at", Instant, nullable=True),
    Column("status", Integer, nullable=True),  # of HTTP
    Column("error", String(300), nullable=False, server_default=""),
    CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
    Index("uq_webhook_delivery_event", "webhook_id", "event_id", unique=True),
    Index("ix_webhook_delivery_history", "webhook_id", "id"),
    Index(
        "ix_webhook_delivery_due",
        "webhook_id",
        "due_at",
        sqlite_where=Column("state") == "waiting",
        postgresql_where=Column("state") == "waiting",
    ),
    Index("ix_webhook_delivery_created_at", "created_at"),
)
