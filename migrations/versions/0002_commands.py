"""Commands to many stations, what came late or with an error, wanted availability, data transfers of vendors."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
_WAITING = sa.text("state IN ('queued', 'sent')")
_RESET = sa.text("action = 'Reset' AND state IN ('failed', 'timed out')")
_OF_A_BATCH = sa.text("batch_id IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    _widen_commands()
    _create_beside_commands()
    _create_core()
    _create_data_transfers()
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE command_batch_ids AS integer")
    else:
        op.execute("INSERT INTO id_sequence (name, next_id) VALUES ('command_batch_ids', 1)")


def _widen_commands() -> None:
    for column in (
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.String(length=100), nullable=True),
        sa.Column("error_description", sa.Text(), nullable=True),
        sa.Column("remark", sa.String(length=300), nullable=True),
    ):
        op.add_column("command", column)
    for name, columns, where in (
        ("ix_command_batch", ["batch_id", "state"], _OF_A_BATCH),
        ("ix_command_expiring", ["expires_at"], _WAITING),
        ("ix_command_reset", ["charge_point_id"], _RESET),
    ):
        op.create_index(name, "command", columns, sqlite_where=where, postgresql_where=where)


def _create_beside_commands() -> None:
    op.create_table(
        "command_batch",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("form_key", sa.String(length=100), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("stopped_at", _INSTANT, nullable=True),
        sa.Column("stopped_by", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_command_batch"),
        sa.UniqueConstraint("form_key", name="uq_command_batch_form_key"),
    )
    op.create_index("ix_command_batch_created_at", "command_batch", ["created_at"])
    op.create_table(
        "command_secret",
        sa.Column("command_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["command_id"], ["command.id"], name="fk_command_secret_command_id"),
        sa.PrimaryKeyConstraint("command_id", name="pk_command_secret"),
    )


def _create_core() -> None:
    op.create_table(
        "wanted_availability",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("availability", sa.String(length=11), nullable=False),
        sa.Column("answer", sa.String(length=15), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("answered_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_point_id"], ["charge_point.id"], name="fk_wanted_availability_charge_point_id"
        ),
        sa.PrimaryKeyConstraint("charge_point_id", "connector_id", name="pk_wanted_availability"),
    )
    op.create_table(
        "station_outcome",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("outcome", sa.String(length=100), nullable=False),
        sa.Column("remark", sa.String(length=300), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("answered_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_station_outcome_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", "action", "subject", name="pk_station_outcome"),
    )


def _create_data_transfers() -> None:
    op.create_table(
        "data_transfer_vendor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vendor_key", sa.String(length=255), nullable=False),
        sa.Column("vendor_id", sa.String(length=255), nullable=False),
        sa.Column("message_ids", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("keeps_data", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("status IN ('Accepted', 'Rejected')", name="ck_data_transfer_vendor_status"),
        sa.PrimaryKeyConstraint("id", name="pk_data_transfer_vendor"),
        sa.UniqueConstraint("vendor_key", name="uq_data_transfer_vendor_vendor_key"),
    )
    op.create_table(
        "data_transfer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("vendor_id", sa.String(length=255), nullable=False),
        sa.Column("message_id", sa.String(length=50), nullable=True),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_data_transfer_charge_point_id"),
        sa.PrimaryKeyConstraint("id", name="pk_data_transfer"),
    )
    op.create_index("ix_data_transfer_station", "data_transfer", ["charge_point_id", "id"])
