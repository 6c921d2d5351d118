"""What charges were corrected to: energy and end, so that adjustments can be computed again."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# An aware moment: sortable ISO text on SQLite.
_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("charging_transaction", sa.Column("corrected_energy_wh", sa.BigInteger(), nullable=True))
    op.add_column("charging_transaction", sa.Column("corrected_ended_at", _INSTANT, nullable=True))
