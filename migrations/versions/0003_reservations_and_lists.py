"""Reservations, local authorization lists, and which version of a tariff a transaction began with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN = sa.text("state IN ('active', 'unconfirmed')")


def upgrade() -> None:
    """Apply."""
    _create_reservations()
    _create_lists()
    op.add_column("charging_transaction", sa.Column("tariff_id", sa.Integer(), nullable=True))
    op.create_index("ix_charging_transaction_tariff_id", "charging_transaction", ["tariff_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE reservation_ids AS integer")
        found = "CAST(CAST(tariff_json AS json) ->> 'tariff_id' AS integer)"
    else:
        op.execute("INSERT INTO id_sequence (name, next_id) VALUES ('reservation_ids', 1)")
        found = "json_extract(tariff_json, '$.tariff_id')"
    op.execute(f"UPDATE charging_transaction SET tariff_id = {found} WHERE tariff_json <> ''")


def _create_reservations() -> None:
    op.create_table(
        "reservation",
        sa.Column("command_id", _BIG, autoincrement=False, nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("reservation_id", sa.Integer(), nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.Column("parent_id_tag", sa.String(length=20), nullable=True),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=True),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "state IN ('active', 'unconfirmed', 'refused', 'used', 'cancelled', 'replaced', 'expired', 'ended',"
            " 'not known')",
            name="ck_reservation_state",
        ),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_reservation_charge_point_id"),
        sa.PrimaryKeyConstraint("command_id", name="pk_reservation"),
    )
    op.create_index(
        "ix_reservation_open", "reservation", ["charge_point_id", "state"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index("ix_reservation_wire", "reservation", ["reservation_id", "charge_point_id"])
    op.create_index("ix_reservation_history", "reservation", ["charge_point_id", "command_id"])
    op.create_index("ix_reservation_transaction", "reservation", ["transaction_id"])


def _create_lists() -> None:
    op.create_table(
        "local_list",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("account_group_id", sa.Integer(), nullable=True),
        sa.Column("has_staff", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["account_group_id"], ["account_group.id"], name="fk_local_list_account_group_id"),
        sa.PrimaryKeyConstraint("id", name="pk_local_list"),
        sa.UniqueConstraint("name", name="uq_local_list_name"),
    )
    op.create_table(
        "local_list_card",
        sa.Column("list_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["local_list.id"], name="fk_local_list_card_list_id"),
        sa.ForeignKeyConstraint(["id_tag"], ["card.id_tag"], name="fk_local_list_card_id_tag"),
        sa.PrimaryKeyConstraint("list_id", "id_tag", name="pk_local_list_card"),
    )
    op.create_index("ix_local_list_card_id_tag", "local_list_card", ["id_tag"])
    op.create_table(
        "local_list_target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=True),
        sa.Column("station_group_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(charge_point_id IS NULL) <> (station_group_id IS NULL)", name="ck_local_list_target_target"
        ),
        sa.ForeignKeyConstraint(["list_id"], ["local_list.id"], name="fk_local_list_target_list_id"),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_local_list_target_charge_point_id"),
        sa.ForeignKeyConstraint(
            ["station_group_id"], ["station_group.id"], name="fk_local_list_target_station_group_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_local_list_target"),
        sa.UniqueConstraint("charge_point_id", name="uq_local_list_target_charge_point_id"),
        sa.UniqueConstraint("station_group_id", name="uq_local_list_target_station_group_id"),
    )
    op.create_index("ix_local_list_target_list_id", "local_list_target", ["list_id"])
    op.create_table(
        "station_local_list",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=True),
        sa.Column("is_supported", sa.Boolean(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("entries_json", sa.Text(), nullable=True),
        sa.Column("cards", sa.Integer(), nullable=True),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_digest", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("explanation", sa.String(length=300), nullable=False),
        sa.Column("wait_until", _INSTANT, nullable=True),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_station_local_list_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", name="pk_station_local_list"),
    )
