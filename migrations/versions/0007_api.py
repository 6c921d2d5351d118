"""Keys, repetitions and webhooks of the API."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("last_used_at", _INSTANT, nullable=True),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("key_hash", name="uq_api_key_key_hash"),
    )
    op.create_table(
        "api_repetition",
        sa.Column("api_key_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("idempotency_key", sa.String(100), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("begun_at", _INSTANT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers_json", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name="fk_api_repetition_api_key_id"),
        sa.PrimaryKeyConstraint("api_key_id", "idempotency_key", name="pk_api_repetition"),
    )
    op.create_index("ix_api_repetition_begun_at", "api_repetition", ["begun_at"])
    op.create_table(
        "event_batch",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("events_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_event_batch"),
    )
    op.create_index("ix_event_batch_recorded_at", "event_batch", ["recorded_at"])
    # An installation that is in use gets the account into which top-ups over the API are paid; a new one has it anyway.
    op.execute(
        "INSERT INTO ledger_account (id, code, kind, name, currency, created_at) "
        "SELECT 13, '1220', 'asset', 'Clearing: API', currency, created_at FROM installation"
    )
