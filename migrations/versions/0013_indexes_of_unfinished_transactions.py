"""Indexes of unfinished transactions by their state: a station's open ones are found however many orphans it left."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = "charging_transaction"
_OF_STATIONS = ["charge_point_id", "state", "connector_id", "meter_start_wh", "started_at", "id_tag", "account_id"]
_UNFINISHED = sa.text("state != 'ended'")


def upgrade() -> None:
    """Apply."""
    for name, columns in (
        ("ix_charging_transaction_unfinished", _OF_STATIONS),
        ("ix_charging_transaction_unfinished_account", ["account_id", "state"]),
    ):
        op.drop_index(name, _TABLE)
        op.create_index(name, _TABLE, columns, sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED)
