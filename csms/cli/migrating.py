"""`csms migrate` and `csms version`."""

import csms
from csms import clock
from csms.billing.money import Currency
from csms.billing.setup import set_up
from csms.cli import logs
from csms.cli.output import Json, say, show_json
from csms.config import Settings, load_settings
from csms.db import Database
from csms.migration import migrate as upgrade
from csms.migration import revisions

_TIMEOUT_S = 3600  # a migration may have much to do


def migrate(*, as_json: Json = False) -> None:
    """Create the database, or bring it to this version's tables."""
    logs.hide()
    settings = load_settings()
    before, after = migrate_database(settings)
    if as_json:
        show_json({"from": before, "to": after})
        return
    where = Database(settings.database).url.render_as_string(hide_password=True)
    if before == after:
        say(f"The database is up to date, at version {after}: {where}")
    else:
        say(f"Migrated the database from {before or 'empty'} to {after}: {where}")


def migrate_database(settings: Settings) -> tuple[str | None, str | None]:
    """Upgrade the configured database and set it up; return its version before and after."""
    database = Database(settings.database, statement_timeout_s=_TIMEOUT_S)
    try:
        before, _ = revisions(database)
        upgrade(database)
        currency = Currency(settings.currency, settings.currency_decimals)
        set_up(database, currency, clock.now(), settings.tax_point, settings.tax_percent)
        after, _ = revisions(database)
    finally:
        database.close()
    return before, after


def version(*, as_json: Json = False) -> None:
    """Say which version this is."""
    if as_json:
        show_json({"version": csms.__version__})
        return
    say(f"csms {csms.__version__}")
