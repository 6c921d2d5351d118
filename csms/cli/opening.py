"""The installation that a command works on: settings, database, currency, and an engine that executes in this process.

The engine is not started: each act is decided and committed in the calling thread, beside whatever server runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from csms.cli import logs
from csms.cli.refusals import Refusal
from csms.config import Settings, load_settings
from csms.errors import ConfigurationError
from csms.installation import Installation, open_database, open_installation
from csms.migration import revisions

ACTOR = "command line"  # how the journal names who acted


@contextmanager
def opened() -> Iterator[Installation]:
    """Open the configured installation for one command; refuse where it has to be migrated first."""
    logs.hide()
    settings = load_settings()
    try:
        installation = open_installation(settings)
    except ConfigurationError as error:
        if needs_migration(settings):
            raise Refusal(str(error)) from None
        raise
    try:
        yield installation
    finally:
        installation.database.close()


def needs_migration(settings: Settings) -> bool:
    """Tell whether the tables are not those of this version."""
    database = open_database(settings)
    present, newest = revisions(database)
    database.close()
    return present != newest
