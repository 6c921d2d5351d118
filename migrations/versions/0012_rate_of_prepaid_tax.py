"""At which rate the tax in credit is payable when it is paid in: fixed with the tax point."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("installation", sa.Column("tax_at_top_up_percent", sa.String(40), nullable=True))
