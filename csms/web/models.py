"""Tables of the portal: staff, their one-time links and their logins. Only hashes of secrets are kept."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, true

from csms.db import Instant, metadata

staff = Table(
    "staff",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("username", String(60), nullable=False, unique=True),  # lower case
    Column("name", String(100), nullable=False),
    Column("role", String(20), nullable=False),
    Column("desk_id", ForeignKey("desk.id"), nullable=True),  # where a cashier works
    Column("password_hash", String(200), nullable=True),  # Argon2id; null until the one-time link was used
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("role IN ('cashier', 'supervisor', 'operator', 'accountant', 'administrator')", name="role"),
)

login_link = Table(
    "login_link",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("staff_id", ForeignKey("staff.id"), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=True),
)

login = Table(
    "login",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("staff_id", ForeignKey("staff.id"), nullable=False, index=True),
    Column("csrf_token", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=True),
)
