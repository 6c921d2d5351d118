"""What money and energy consist of, told without the numbers and moments that differ from run to run."""

from typing import Any

from sqlalchemy import Connection, select

from csms.billing import models as money
from csms.billing.money import Currency
from csms.charging import models
from csms.charging.verification import verify
from csms.db import Database

Rows = list[tuple[Any, ...]]


def ledger(database: Database) -> dict[str, Rows]:
    """Return accounts, entries, holds, transactions and readings: equal for two runs that mean the same."""
    with database.reading() as connection:
        cards = connection.execute(select(money.card.c.account_id, money.card.c.id_tag)).all()
        accounts = connection.execute(select(money.ledger_account)).all()
        names = {one.id: one.code for one in accounts} | {account_id: f"card {tag}" for account_id, tag in cards}
        transactions = connection.execute(select(models.charging_transaction)).all()
        keys: dict[int | None, str | None] = {one.id: one.natural_key for one in transactions}
        entries = connection.execute(select(money.journal_entry)).all()
        transfers = connection.execute(select(money.transfer)).all()
        holds = connection.execute(select(money.hold)).all()
        lines = connection.execute(select(money.charge_line)).all()
        readings = connection.execute(select(models.reading)).all()
    of_entry: dict[int, list[tuple[str, str, int]]] = {}
    for one in transfers:
        parts = (names[one.debit_account_id], names[one.credit_account_id], one.amount_minor)
        of_entry.setdefault(one.entry_id, []).append(parts)
    found: dict[str, Rows] = {
        "accounts": [(names[one.id], one.debits_minor, one.credits_minor, one.held_minor) for one in accounts],
        "entries": [
            (one.event, keys.get(one.reference) or one.idempotency_key, sorted(of_entry.get(one.id, ())))
            for one in entries
        ],
        "holds": [  # how far the guard raised a hold that is resolved is a matter of when it looked
            (keys[one.reference], names[one.account_id], one.state, one.amount_minor * (one.state == "open"))
            for one in holds
        ],
        "lines": [(keys[one.reference], one.component, one.quantity, one.rate, one.amount_minor) for one in lines],
        "transactions": [
            (
                *(one.natural_key, one.charge_point_id, one.connector_id, one.id_tag, one.state),
                *(one.authorization_status, one.refusal, one.meter_start_wh, one.meter_stop_wh, one.energy_wh),
                *(one.cost_minor, one.started_at, one.ended_at, one.register_wh, one.uncharged_reason, one.stop_reason),
            )
            for one in transactions
        ],
        "readings": [
            (one.charge_point_id, one.connector_id, one.happened_at, one.register_wh, keys.get(one.transaction_id))
            for one in readings
        ],
    }
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def booked_events(connection: Connection) -> set[str]:
    """Return what was booked at all, so that a test can say that there was something to go wrong."""
    return set(connection.execute(select(money.journal_entry.c.event).distinct()).scalars())


def violations(database: Database, currency: Currency) -> list[str]:
    """Return what `csms ledger verify` would find wrong."""
    with database.reading() as connection:
        found = list(verify(connection, currency))
    return [f"{one.rule}: {one.found}" for one in found]
