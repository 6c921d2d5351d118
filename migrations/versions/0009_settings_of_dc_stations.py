"""What a group of stations changes in the settings of its DC stations alone."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("station_group", sa.Column("dc_settings_json", sa.Text(), nullable=False, server_default="{}"))
