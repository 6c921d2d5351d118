"""A ledger with very many transactions, written in bulk: what years of charging leave behind, within minutes.

Charges, holds and settle entries are made by the project's own rules and written to the same tables as the engine
does; only the unit of work is larger. Most transactions have a plain tariff; one in ten has bands and idle time, with
readings that its price depends on; one in twenty got no energy; the last ones are still open. It must verify.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, update

from bench import world
from bench.frames import id_tag
from csms import clock
from csms.billing import models as money
from csms.billing.bands import Band
from csms.billing.books import Books, Hold, JournalEntry
from csms.billing.chart_of_accounts import FIRST_FREE_ACCOUNT_ID
from csms.billing.prepaid import place_hold, settle, void_hold
from csms.billing.tariffs import Charge, Tariff, encode_tariff
from csms.charging import models
from csms.charging.facts import Point, Reading, Transaction
from csms.charging.pricing import charge_of
from csms.db import Database, Many, id_sequence

STATIONS = 200
_TRANSACTIONS_PER_CARD = 100
_BLOCK = 10_000
_OPEN = 50  # of the last ones
_READINGS = 4
_HELD_MINOR = 100
_BETWEEN = timedelta(seconds=1)  # starts
_SAMPLES = '[{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"}]'

_PLAIN = Tariff(1, "Benchmark", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20))
_NIGHT = Band("night", tuple(range(7)), 0, 6 * 60, Decimal("0.20"), Decimal("0.01"))
_BANDS = msgspec.structs.replace(
    _PLAIN, bands=(_NIGHT,), rate_per_idle_minute=Decimal("0.05"), idle_grace_s=600, time_zone="Europe/Sofia"
)


class _Block:
    """What is written together."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.holds: list[Hold] = []
        self.entries: list[tuple[int, JournalEntry]] = []
        self.readings: list[tuple[Reading, datetime]] = []


def cards_for(transactions: int) -> int:
    """Return how many cards so many transactions need."""
    return max(10, transactions // _TRANSACTIONS_PER_CARD)


def fill(url: str, transactions: int) -> None:
    """Write so many transactions into an installation that has `STATIONS` stations and the cards for them."""
    cards = cards_for(transactions)
    database = Database(url, statement_timeout_s=600)
    try:
        _write_all(database, transactions, cards)
    finally:
        database.close()


def _write_all(database: Database, transactions: int, cards: int) -> None:
    began = clock.now().replace(microsecond=0) + timedelta(minutes=5)  # after the cards got their credit
    debits: dict[int, int] = {}
    credits_: dict[int, int] = {}
    held: dict[int, int] = {}
    entry_id = cards + 1
    for first in range(1, transactions + 1, _BLOCK):
        block = _Block()
        for number in range(first, min(first + _BLOCK, transactions + 1)):
            hold, entry = _transaction(block, number, cards, began, is_open=number > transactions - _OPEN)
            if hold.state == "open":
                held[hold.account_id] = held.get(hold.account_id, 0) + hold.amount_minor
            if entry is None:
                continue
            block.entries.append((entry_id, entry))
            entry_id += 1
            for one in entry.transfers:
                debits[one.debit_account_id] = debits.get(one.debit_account_id, 0) + one.amount_minor
                credits_[one.credit_account_id] = credits_.get(one.credit_account_id, 0) + one.amount_minor
        with database.unit_of_work() as connection:
            _write(connection, block)
    with database.unit_of_work() as connection:
        accounts = sorted(debits.keys() | credits_.keys() | held.keys())
        rows = [(key, debits.get(key, 0), credits_.get(key, 0), held.get(key, 0)) for key in accounts]
        _TOTALS.execute(connection, rows)
        if database.is_sqlite:
            _NEXT.execute(connection, [("transaction_ids", transactions + 1), ("journal_entry_ids", entry_id)])


def _transaction(
    block: _Block, number: int, cards: int, began: datetime, *, is_open: bool
) -> tuple[Hold, JournalEntry | None]:
    """Begin a transaction and, unless it stays open, end and charge it as the rules do."""
    started_at = began + number * _BETWEEN
    duration = timedelta(seconds=600 + number * 37 % 6000)
    depends = number % 10 == 0
    energy_wh = 0 if number % 20 == 1 or is_open else 500 + number * 131 % 60_000
    card = number % cards
    account_id = FIRST_FREE_ACCOUNT_ID + card
    one = Transaction(
        transaction_id=number,
        natural_key=f"{number:032x}",
        charge_point_id=1 + number % STATIONS,
        connector_id=1 + number // STATIONS % 2,
        id_tag=id_tag(card + 1),
        account_id=account_id,
        authorization_status="Accepted",
        refusal=None,
        state="open",
        meter_start_wh=1000,
        started_at=started_at,
        recorded_at=started_at,
        tariff_json=_json(depends=depends),
        register_wh=1000 + energy_wh,
        register_at=started_at + duration,
        energy_wh=energy_wh,
        needs_spans=depends,
    )
    hold = place_hold(number, account_id, _HELD_MINOR, started_at)
    entry = None
    if not is_open:
        one, hold, entry = _end(block, one, hold, started_at + duration)
    block.transactions.append(one)
    block.holds.append(hold)
    return hold, entry


def _end(
    block: _Block, one: Transaction, hold: Hold, ended_at: datetime
) -> tuple[Transaction, Hold, JournalEntry | None]:
    one = msgspec.structs.replace(
        one,
        state="ended",
        stop_key=f"{one.transaction_id:x}",
        meter_stop_wh=1000 + one.energy_wh,
        ended_at=ended_at,
        end_recorded_at=ended_at,
        stop_reason="Local",
    )
    if not one.energy_wh:
        return msgspec.structs.replace(one, uncharged_reason="no energy"), void_hold(hold, ended_at), None
    points = list(_readings(block, one, ended_at)) if one.needs_spans else []
    charge = _charge(one, ended_at, points)
    settled, entry = settle(hold, charge, ended_at, ended_at, "benchmark", _BOOKS)
    assert isinstance(settled, Hold), "a hold is settled first"
    assert isinstance(entry, JournalEntry), "and posted then"
    return msgspec.structs.replace(one, cost_minor=charge.total_minor), settled, entry


def _charge(one: Transaction, ended_at: datetime, points: list[Point]) -> Charge:
    end_wh = one.meter_start_wh + one.energy_wh
    return charge_of(one, end_wh, ended_at, points, world.EURO)


def _readings(block: _Block, one: Transaction, ended_at: datetime) -> Iterator[Point]:
    """Draw everything in the first three quarters; the last one is idle."""
    step = (ended_at - one.started_at) / _READINGS
    for index in range(1, _READINGS):
        at = one.started_at + index * step
        register_wh = one.meter_start_wh + one.energy_wh * index // (_READINGS - 1)
        samples = _SAMPLES % register_wh
        reading = Reading(
            one.charge_point_id, one.connector_id, at, one.transaction_id, one.transaction_id, register_wh, None,
            samples, "",
        )  # fmt: skip
        block.readings.append((reading, at))
        yield Point(at, register_wh)


@lru_cache
def _json(*, depends: bool) -> str:
    return encode_tariff(_BANDS if depends else _PLAIN)


_BOOKS = Books(world.EURO)
_TRANSACTION = attrgetter(*Transaction.__struct_fields__)
_READING = attrgetter(*Reading.__struct_fields__)
_HOLD = attrgetter(*Hold.__struct_fields__)
_NEW_TRANSACTION = Many(
    insert(models.charging_transaction),
    ["id" if name == "transaction_id" else name for name in Transaction.__struct_fields__],
)
_NEW_HOLD = Many(insert(money.hold), Hold.__struct_fields__)
_NEW_READING = Many(insert(models.reading), [*Reading.__struct_fields__, "recorded_at"])
_ENTRY = ("event", "idempotency_key", "input_hash", "reference", "happened_at", "actor")
_NEW_ENTRY = Many(insert(money.journal_entry), ["id", "recorded_at", *_ENTRY])
_ENTRY_ROW = attrgetter(*_ENTRY)
_NEW_TRANSFER = Many(
    insert(money.transfer), ["entry_id", "position", "debit_account_id", "credit_account_id", "amount_minor"]
)
_LINE = ("component", "quantity", "unit", "rate", "amount_minor", "band")
_NEW_LINE = Many(insert(money.charge_line), ["reference", "position", *_LINE])
_LINE_ROW = attrgetter(*_LINE)
_account = money.ledger_account.c
_TOTALS = Many(
    update(money.ledger_account)
    .where(_account.id == bindparam("b_id"))
    .values(
        debits_minor=_account.debits_minor + bindparam("b_debits"),
        credits_minor=_account.credits_minor + bindparam("b_credits"),
        held_minor=_account.held_minor + bindparam("b_held"),
    ),
    ["b_id", "b_debits", "b_credits", "b_held"],
)
_NEXT = Many(
    update(id_sequence).where(id_sequence.c.name == bindparam("b_name")).values(next_id=bindparam("b_next")),
    ["b_name", "b_next"],
)


def _write(connection: Connection, block: _Block) -> None:
    _NEW_TRANSACTION.execute(connection, map(_TRANSACTION, block.transactions))
    _NEW_HOLD.execute(connection, map(_HOLD, block.holds))
    _NEW_ENTRY.execute(connection, [(key, one.happened_at, *_ENTRY_ROW(one)) for key, one in block.entries])
    _NEW_TRANSFER.execute(connection, _transfers(block))
    _NEW_LINE.execute(connection, _lines(block))
    _NEW_READING.execute(connection, [(*_READING(one), at) for one, at in block.readings])


def _transfers(block: _Block) -> Iterator[tuple[Any, ...]]:
    for key, entry in block.entries:
        for position, one in enumerate(entry.transfers):
            yield key, position, one.debit_account_id, one.credit_account_id, one.amount_minor


def _lines(block: _Block) -> Iterator[tuple[Any, ...]]:
    for _, entry in block.entries:
        for position, one in enumerate(entry.charge_lines):
            yield entry.reference, position, *_LINE_ROW(one)
