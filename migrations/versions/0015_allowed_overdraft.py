"""The allowed overdraft: a limit of an account group, and what it was when a hold was placed, which stays as it is.

Nobody was allowed any before. The trigger of the migration before is put anew with one more column.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SAYS = "a hold stays with its transaction and account"
_KEPT = "reference, account_id, placed_at, placed_minor, overdraft_minor"


def upgrade() -> None:
    """Apply."""
    for table in ("account_group", "hold"):
        op.add_column(table, sa.Column("overdraft_minor", sa.BigInteger(), nullable=False, server_default="0"))
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    keep = (
        f"FOR EACH STATEMENT EXECUTE FUNCTION keep_as_it_is('{_SAYS}')"
        if is_postgresql
        else f"BEGIN SELECT RAISE(ABORT, '{_SAYS}'); END"
    )
    op.execute(f"DROP TRIGGER hold_no_update{' ON hold' if is_postgresql else ''}")
    op.execute(f"CREATE TRIGGER hold_no_update BEFORE UPDATE OF {_KEPT} ON hold {keep}")
