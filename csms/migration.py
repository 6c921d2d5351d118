"""Brings a database to the newest version of the tables, with Alembic; used by `csms migrate`, the demo and the tests.

Knows where the migrations are; the tables themselves are the models' matter.
"""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from csms.db import Database


def configuration() -> Config:
    """Return Alembic's configuration for this project."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade to `revision`, in one unit of work: a migration that fails leaves the database as it was."""
    config = configuration()
    with database.unit_of_work() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def revisions(database: Database) -> tuple[str | None, str | None]:
    """Return the database's revision (None: empty) and the newest one."""
    with database.reading() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    return present, _newest()


@cache
def _newest() -> str | None:
    """Return the newest revision; a program does not change while it runs, and reading all of them takes a while."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
