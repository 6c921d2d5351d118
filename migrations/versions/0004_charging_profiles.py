"""Charging profiles: the library, what is installed where, what stations said their schedule is."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _instant() -> sa.types.TypeEngine[object]:
    return sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "charging_profile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("time_zone", sa.String(50), nullable=False),
        sa.Column("profile_json", sa.Text(), nullable=False),
        sa.Column("created_at", _instant(), nullable=False),
        sa.Column("changed_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charging_profile")),
        sa.UniqueConstraint("name", name=op.f("uq_charging_profile_name")),
    )
    op.create_table(
        "installed_profile",
        _station("installed_profile"),
        sa.Column("profile_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(25), nullable=False),
        sa.Column("stack_level", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("id_tag", sa.String(20), nullable=True),
        sa.Column("profile_json", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(100), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("installed_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("charge_point_id", "profile_id", name=op.f("pk_installed_profile")),
    )
    op.create_index("ix_installed_profile_profile_id", "installed_profile", ["profile_id"])
    op.create_table(
        "composite_schedule",
        _station("composite_schedule"),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(1), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("answer_json", sa.Text(), nullable=True),
        sa.Column("failure", sa.String(300), nullable=True),
        sa.Column("received_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("charge_point_id", "connector_id", name=op.f("pk_composite_schedule")),
    )
    op.create_table(
        "limit_refusal",
        _station("limit_refusal"),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(300), nullable=False),
        sa.Column("refused_at", _instant(), nullable=False),
        sa.PrimaryKeyConstraint("charge_point_id", name=op.f("pk_limit_refusal")),
    )


def _station(table: str) -> sa.Column[int]:
    reference = sa.ForeignKey("charge_point.id", name=op.f(f"fk_{table}_charge_point_id"))
    return sa.Column("charge_point_id", sa.Integer(), reference, autoincrement=False, nullable=False)
