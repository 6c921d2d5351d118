"""What a decision in the review queue said, to know another one that comes under its form's key."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("review_item", sa.Column("input_hash", sa.String(32), nullable=True))
