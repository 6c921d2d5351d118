"""The migrations: an empty database becomes what the models say, and the ledger cannot be edited."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

import csms.web.api.models  # registers the API's tables
import csms.web.models  # registers the portal's tables
import csms.webhooks.models  # registers those of webhooks
from csms.db import Database, metadata
from csms.message_log.tables import metadata as message_log
from csms.migration import migrate, revisions
from tests.support.world import World

assert csms.web.models


def test_an_upgraded_empty_database_is_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        wanted: Any = metadata if database.is_sqlite else [metadata, message_log]  # which has its own file on SQLite
        differences = [one for one in compare_metadata(context, wanted) if not _is_sequence(one)]
    assert differences == []


def _is_sequence(difference: object) -> bool:
    return isinstance(difference, tuple) and "sequence" in str(difference[0])


def test_migrating_again_changes_nothing(database: Database) -> None:
    before = revisions(database)
    migrate(database)
    assert revisions(database) == before
    assert before[0] == before[1] is not None


@pytest.mark.parametrize("table", ["journal_entry", "transfer", "charge_line"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET {} = {}"])
async def test_the_database_itself_refuses_to_edit_the_ledger(world: World, table: str, act: str) -> None:
    async with world.station() as peer:
        started = await peer.start("04A1B2C3D4", 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(5))
    before = world.snapshot()
    column = {"journal_entry": "actor", "transfer": "amount_minor", "charge_line": "amount_minor"}[table]
    with pytest.raises(DatabaseError, match="only grows"), world.database.unit_of_work() as connection:
        connection.execute(text(act.format(table, column, column)))
    assert world.snapshot() == before
