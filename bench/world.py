"""The world of a run: a database with a tariff, stations and cards with credit; and its books, counted afterwards.

Prepared through the engine, in batches; `csms station add` two thousand times would take minutes.
"""

import secrets
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import func, insert, select

from bench.frames import METER_VALUES_PER_SESSION, id_tag, identity
from bench.processes import BenchError
from csms import clock
from csms.billing import prepaid
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.models import journal_entry, tariff
from csms.billing.money import Currency
from csms.billing.setup import set_up
from csms.charging.engine import Engine
from csms.charging.facts import Policy
from csms.charging.models import charging_transaction, reading
from csms.charging.stations import AddChargePoint, hash_key
from csms.charging.verification import verify
from csms.db import Database
from csms.migration import migrate

EURO = Currency("EUR", 2)
_CREDIT_MINOR = 10**9  # no run ends because a card is empty
_LIMITS = prepaid.Limits(maximum_top_up_minor=_CREDIT_MINOR, maximum_balance_minor=2 * _CREDIT_MINOR)
_POLICY = Policy(
    minimum_start_credit_minor=100,
    id_tag_lifetime_s=300,
    command_expiry_s=3600,
    heartbeat_interval_s=300,
    boot_retry_interval_s=60,
)
BATCH = 500


class Books(msgspec.Struct, frozen=True):
    """What a run left in the database."""

    charged: int
    unfinished: int
    readings: int
    violations: int


def engine_of(database: Database) -> Engine:
    """Return an engine that runs in the calling thread."""
    return Engine(database, EURO, _POLICY, clock.now, batch_max=BATCH, queue_max=BATCH)


def prepare(url: str, stations: int, cards: int, key: bytes = b"") -> None:
    """Migrate an empty database and people it. With a `key`, stations prove who they are by it (security profile 1)."""
    database = Database(url)
    try:
        migrate(database)
        set_up(database, EURO, clock.now())
        _add_tariff(database)
        engine = engine_of(database)
        _run(engine, [_station(number, key) for number in range(1, stations + 1)])
        _run(engine, [_card(number) for number in range(1, cards + 1)])
    finally:
        database.close()


def _add_tariff(database: Database) -> None:
    row = {
        "name": "Benchmark",
        "version": 1,
        "rate_per_kwh": Decimal("0.35"),
        "rate_per_minute": Decimal("0.02"),
        "start_fee_minor": 50,
        "tax_percent": Decimal(20),
        "is_default": True,
        "created_at": clock.now(),
    }
    with database.unit_of_work() as connection:
        connection.execute(insert(tariff), [row])


def _station(number: int, key: bytes) -> AddChargePoint:
    if not key:
        return AddChargePoint(identity(number), 0, None, None)
    salt = secrets.token_hex(16)
    return AddChargePoint(identity(number), 1, salt, hash_key(key, salt))


def _card(number: int) -> prepaid.IssueCard:
    tag = id_tag(number)
    return prepaid.IssueCard(
        tag, f"{number:08d}", _CREDIT_MINOR, CLEARING_COMMAND_LINE, f"bench-{number}", "benchmark", _LIMITS
    )


def _run(engine: Engine, inputs: Sequence[Any]) -> None:
    for start in range(0, len(inputs), BATCH):
        outcomes = engine.run(inputs[start : start + BATCH]).outcomes
        bad = [one for one in outcomes if one is None or isinstance(one, (Exception, prepaid.Refused))]
        if bad:
            raise BenchError(f"the world could not be prepared: {bad[0]}")


def count(url: str) -> Books:
    """Count what is in the books, and what is wrong with them."""
    database = Database(url, statement_timeout_s=120)
    tx = charging_transaction.c
    try:
        with database.reading() as connection:
            settled = select(func.count()).select_from(journal_entry).where(journal_entry.c.event == "settle")
            unfinished = select(func.count()).select_from(charging_transaction).where(tx.state != "ended")
            readings = select(func.count()).select_from(reading)
            counts = [connection.execute(one).scalar_one() for one in (settled, unfinished, readings)]
            violations = list(verify(connection, EURO))
        charged, open_, stored = counts
        return Books(charged, open_, stored, len(violations))
    finally:
        database.close()


def check(url: str, sessions: int) -> Books:
    """Count the books; BenchError unless each session that a station completed was stored and charged, and no other."""
    books = count(url)
    wanted = Books(charged=sessions, unfinished=0, readings=sessions * METER_VALUES_PER_SESSION, violations=0)
    if books != wanted:
        raise BenchError(f"the books do not fit what the stations saw: {books} instead of {wanted}.")
    return books
