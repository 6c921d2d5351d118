"""Alembic's entry: runs the migrations on the connection that `csms migrate` hands over, or on CSMS_DATABASE_URL."""

from alembic import context

import csms.billing.models
import csms.charging.models
import csms.web.api.models
import csms.web.models
import csms.webhooks.models
from csms.config import load_settings
from csms.db import Database, metadata

__all__ = ["csms"]


def run() -> None:
    """Run the migrations on the given connection, else on the configured database."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    database = Database(load_settings().database, statement_timeout_s=3600)
    with database.unit_of_work() as own:
        _migrate(own)
    database.close()


def _migrate(connection: object) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, render_as_batch=False)
    with context.begin_transaction():
        context.run_migrations()


run()
