"""An installation: settings, a migrated database, its currency, and the engine that is the single writer of this
process.

Shared by the server and the command line; knows neither sockets nor pages.
"""

from dataclasses import dataclass

import msgspec

from csms import clock
from csms.billing.money import Currency
from csms.billing.prepaid import Limits, limits_of
from csms.billing.setup import set_up
from csms.charging.engine import Engine
from csms.charging.facts import Policy
from csms.config import Settings
from csms.db import Database
from csms.errors import ConfigurationError
from csms.migration import revisions
from csms.operations.rules import RULES
from csms.operations.sealed import sealed
from csms.sealing import Sealer

RECEIPTS = "receipts"  # what the key of the links to receipts is derived for
_CLOCK_SLACK_S = 180  # a card's expiry lies this far beyond the time in which it must be plugged in


@dataclass(frozen=True)
class Installation:
    """A database that is ready, and the engine that writes it (not started: `execute` works, `submit` does not)."""

    settings: Settings
    database: Database
    currency: Currency
    engine: Engine
    limits: Limits


def open_database(settings: Settings) -> Database:
    """Open the configured database, migrated or not."""
    return Database(settings.database, statement_timeout_s=settings.statement_timeout_s)


def open_installation(settings: Settings) -> Installation:
    """Open a migrated database and build its engine; ConfigurationError where it is not migrated or the currency
    differs.
    """
    database = open_database(settings)
    currency = Currency(settings.currency, settings.currency_decimals)
    try:
        _check(database)
        set_up(database, currency, clock.now(), settings.tax_point, settings.tax_percent)
    except Exception:
        database.close()
        raise
    sealer = Sealer(settings)
    engine = Engine(
        database,
        currency,
        with_receipt_links(policy_of(settings, currency), settings, sealer),
        clock.now,
        batch_max=settings.engine_batch_max,
        queue_max=settings.engine_queue_max,
        linger_ms=settings.engine_linger_ms,
        rules=sealed(RULES, sealer),
    )
    limits = limits_of(settings.maximum_top_up, settings.maximum_balance, currency.scale)
    return Installation(settings, database, currency, engine, limits)


def _check(database: Database) -> None:
    present, newest = revisions(database)
    if present != newest:
        have = "is empty" if present is None else f"is at version {present} and this program needs {newest}"
        raise ConfigurationError(f"The database {have}. Run: csms migrate")


def with_receipt_links(policy: Policy, settings: Settings, sealer: Sealer) -> Policy:
    """Let drivers get links to their receipts, where it is configured how they reach the portal."""
    if not settings.portal_url:
        return policy
    base = f"{settings.portal_url.rstrip('/')}/r/"
    return msgspec.structs.replace(policy, receipt_base=base, receipt_key=sealer.derive(RECEIPTS))


def policy_of(settings: Settings, currency: Currency) -> Policy:
    """Build the rules' settings."""
    return Policy(
        minimum_start_credit_minor=int(settings.minimum_start_credit * currency.scale),
        id_tag_lifetime_s=settings.connection_timeout_s + _CLOCK_SLACK_S,
        command_expiry_s=settings.command_expiry_s,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        boot_retry_interval_s=settings.boot_retry_interval_s,
        transactions_per_card=settings.transactions_per_card,
        time_zone=settings.time_zone,
        maximum_power_w=settings.maximum_power_kw * 1000,
        zombie_wait_s=settings.zombie_wait_s,
        cpo_name=settings.cpo_name,
        certificate_requests_per_h=settings.max_certificate_requests_per_h,
        security_events_per_h=settings.max_security_events_per_h,
        settings_check_interval_s=settings.settings_check_interval_s,
        language=settings.language,
        tax_at_top_up_percent=settings.tax_percent if settings.tax_point == "top-up" else None,
    )
