"""Firmware, diagnostics and logs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# An aware moment: sortable ISO text on SQLite.
_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    """Apply."""
    _create_firmware()
    _create_campaign()
    _create_transfer()
    op.create_table(
        "campaign_station",
        sa.Column("campaign_id", sa.Integer(), sa.ForeignKey("firmware_campaign.id"), autoincrement=False),
        sa.Column("charge_point_id", sa.Integer(), sa.ForeignKey("charge_point.id"), autoincrement=False),
        sa.Column("command_id", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "charge_point_id", name="pk_campaign_station"),
    )
    op.create_table(
        "station_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), sa.ForeignKey("charge_point.id"), nullable=False),
        sa.Column("command_id", sa.Integer(), sa.ForeignKey("file_transfer.command_id"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("stored_name", sa.String(length=64), nullable=False),
        sa.Column("via", sa.String(length=10), nullable=False),
        sa.Column("address", sa.String(length=60), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_station_file"),
        sa.UniqueConstraint("stored_name", name="uq_station_file_stored_name"),
    )
    for column in ("charge_point_id", "command_id", "received_at"):
        op.create_index(f"ix_station_file_{column}", "station_file", [column])


def _create_firmware() -> None:
    op.create_table(
        "firmware",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("vendor", sa.String(length=50), server_default="", nullable=False),
        sa.Column("model", sa.String(length=50), server_default="", nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("stored_name", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=800), server_default="", nullable=False),
        sa.Column("signing_certificate", sa.Text(), server_default="", nullable=False),
        sa.Column("signature_state", sa.String(length=10), server_default="none", nullable=False),
        sa.Column("signature_note", sa.String(length=300), server_default="", nullable=False),
        sa.Column("uploaded_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("deleted_at", _INSTANT, nullable=True),
        sa.CheckConstraint("signature_state IN ('none', 'valid', 'wrong')", name="ck_firmware_signature_state"),
        sa.PrimaryKeyConstraint("id", name="pk_firmware"),
        sa.UniqueConstraint("stored_name", name="uq_firmware_stored_name"),
    )


def _create_campaign() -> None:
    op.create_table(
        "firmware_campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("firmware_id", sa.Integer(), sa.ForeignKey("firmware.id"), nullable=False),
        sa.Column("group_name", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default="", nullable=False),
        sa.Column("is_signed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("starts_at", _INSTANT, nullable=False),
        sa.Column("retrieve_at", _INSTANT, nullable=True),
        sa.Column("parallel", sa.Integer(), nullable=False),
        sa.Column("max_failures", sa.Integer(), nullable=False),
        sa.Column("forgiven", sa.Integer(), server_default="0", nullable=False),
        sa.Column("only_idle", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.Column("claimed_by", sa.String(length=60), nullable=True),
        sa.Column("claimed_until", _INSTANT, nullable=True),
        sa.CheckConstraint("state IN ('running', 'paused', 'stopped', 'finished')", name="ck_firmware_campaign_state"),
        sa.PrimaryKeyConstraint("id", name="pk_firmware_campaign"),
    )


def _create_transfer() -> None:
    op.create_table(
        "file_transfer",
        sa.Column("command_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("charge_point_id", sa.Integer(), sa.ForeignKey("charge_point.id"), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.Integer(), nullable=True),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=30), server_default="", nullable=False),
        sa.Column("reason", sa.String(length=300), server_default="", nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("firmware_id", sa.Integer(), sa.ForeignKey("firmware.id"), nullable=True),
        sa.Column("campaign_id", sa.Integer(), sa.ForeignKey("firmware_campaign.id"), nullable=True),
        sa.Column("version_wanted", sa.String(length=50), server_default="", nullable=False),
        sa.Column("version_before", sa.String(length=50), server_default="", nullable=False),
        sa.Column("version_after", sa.String(length=50), nullable=True),
        sa.Column("file_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("log_type", sa.String(length=20), server_default="", nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("is_followed", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.Column("accesses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("moved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_access_at", _INSTANT, nullable=True),
        sa.Column("last_address", sa.String(length=60), server_default="", nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed', 'rejected', 'canceled', 'stalled')",
            name="ck_file_transfer_state",
        ),
        sa.PrimaryKeyConstraint("command_id", name="pk_file_transfer"),
        sa.UniqueConstraint("token_hash", name="uq_file_transfer_token_hash"),
    )
    op.create_index("ix_file_transfer_campaign_id", "file_transfer", ["campaign_id"])
    op.create_index("ix_file_transfer_station", "file_transfer", ["charge_point_id", "command_id"])
    op.create_index(
        "ix_file_transfer_followed",
        "file_transfer",
        ["charge_point_id"],
        sqlite_where=sa.column("is_followed"),
        postgresql_where=sa.column("is_followed"),
    )
    op.create_table(
        "file_transfer_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("command_id", sa.Integer(), sa.ForeignKey("file_transfer.command_id"), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("status", sa.String(length=30), nullable=False),
        sa.Column("note", sa.String(length=300), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_file_transfer_event"),
    )
    op.create_index("ix_file_transfer_event_command_id", "file_transfer_event", ["command_id"])
