"""Rows of money and their evidence that the database itself keeps as they are, whoever writes to it: migration 0014.

Everything is done once as the program does it, in `done`; what nobody does is tried by hand.
"""
# ruff: noqa: S608 - here a database is edited by hand on purpose

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, String, Table, func, select, text, update
from sqlalchemy.exc import DatabaseError

from csms import clock
from csms.billing import account_groups, customers, desks, models, prepaid, price_lists, receipts
from csms.billing.cards import ImportCards, JoinCard, Joined, SetExpiry, StockCard
from csms.billing.customers import Customer
from csms.billing.price_lists import NewTariff, PriceList
from csms.charging.models import charging_transaction, reading, review_item
from csms.charging.reviews import Resolved, ResolveReview
from csms.db import Database
from tests.support.ledger import violations
from tests.support.world import CARD, World

DESK, JOINED, SOLD = "Hall", "04D4E5F6", "04070809"
NEXT = NewTariff("standard", Decimal("0.45"), Decimal("0.02"), 50, Decimal(20))

# Which columns a row may have changed. Those that only go one way are named, and have cases of their own below.
CHANGING: dict[Table, set[str]] = {
    models.audit: set(),
    models.journal_entry: set(),
    models.transfer: set(),
    models.charge_line: set(),
    reading: set(),
    models.tariff: {"is_default"},
    models.card: {"printed_number", "account_id", "state", "expires_at", "label"},
    models.receipt: {"printed_count"},
    models.desk: {"name", "site_id", "last_receipt_number", "reader_format"},
    models.ledger_account: {"name", "debits_minor", "credits_minor", "held_minor", "group_id"},
    models.installation: {"tax_at_top_up_percent"},
    review_item: {"transaction_id", "resolved_at", "decision", "reason", "resolved_by", "form_key", "input_hash"},
    models.hold: {"amount_minor", "state", "resolved_at"},
    charging_transaction: set(charging_transaction.columns.keys()),
}
FREE = {models.customer, models.account_group}  # personal data is erased, limits are set anew
# Where a charge or a message adds rows, SQLite is not made to look first whether it would replace one.
TOO_MANY = {models.hold, reading, charging_transaction, models.transfer, models.charge_line, review_item}
ONE_WAY = {
    "a card to another account": f"UPDATE card SET account_id = account_id + 1 WHERE id_tag = '{JOINED}'",
    "a card from its account": f"UPDATE card SET account_id = NULL WHERE id_tag = '{JOINED}'",
    "a card to another printed number": f"UPDATE card SET printed_number = 'X' WHERE id_tag = '{JOINED}'",
    "a print uncounted": "UPDATE receipt SET printed_count = printed_count - 1 WHERE printed_count > 0",
    "a receipt's number given again": "UPDATE desk SET last_receipt_number = last_receipt_number - 1",
    "a decision taken back": "UPDATE review_item SET resolved_at = NULL WHERE resolved_at IS NOT NULL",
    "the reason of a decision": "UPDATE review_item SET reason = 'other' WHERE resolved_at IS NOT NULL",
    "the rate at the top-up": "UPDATE installation SET tax_at_top_up_percent = '9'",
}


@pytest.fixture
async def done(world: World) -> World:
    """A world in which everything was done that the program ever does to these rows."""
    _furnish(world)
    limits = world.installation.limits
    await world.submit(ImportCards((StockCard(1, SOLD, "S1"), StockCard(2, JOINED, "S2", "of Anna")), "test"))
    with world.database.reading() as connection:
        [desk] = desks.list_desks(connection)
    sold = await world.submit(prepaid.IssueCard(SOLD, "", 1000, desk.cash_account_id, "sale", "anna", limits))
    assert isinstance(sold, prepaid.Booked)
    assert isinstance(await world.submit(JoinCard(CARD, JOINED, "", replaces=True, actor="anna")), Joined)
    await world.submit(SetExpiry(SOLD, clock.now().replace(year=2099), "anna"))
    await world.submit(prepaid.ChangeCardState(CARD, "retired", "anna"))
    async with world.station() as peer:
        started = await peer.start(SOLD, 0, world.at(0))
        await peer.read(started["transactionId"], world.at(5), 500)
        await peer.stop(started["transactionId"], 1000, world.at(10))
        for _ in range(2):
            await peer.stop(-1, 5000, world.at(20))
            await peer.stop(-1, 6000, world.at(30))
        await peer.start(JOINED, 6000, world.at(40))
    asked = ResolveReview(world.review_items()[0].key, "waive", "nobody was there", "anna", "form-1")
    assert isinstance(await world.submit(asked), Resolved)
    with world.database.unit_of_work() as connection:
        entry_id = connection.execute(select(models.receipt.c.entry_id)).scalar_one()
        assert [receipts.note_print(connection, entry_id) for _ in range(2)] == [0, 1]
        assert customers.erase_customer(connection, _account_of(world), actor="anna", reason="asked", now=clock.now())
        account_groups.put_account(connection, sold.account_id, None)
    assert violations(world.database, world.installation.currency) == []
    return world


def _furnish(world: World) -> None:
    """Do what offices do: a desk that is renamed, prices for next, a customer with a card that has a label."""
    with world.database.unit_of_work() as connection:
        currency = world.installation.currency
        desk = desks.add_desk(connection, name="Door", site_id=None, currency=currency, now=clock.now())
        assert desk is not None
        assert desks.rename_desk(connection, desk.desk_id, DESK)
        assert desks.set_reader_format(connection, desk.desk_id, "decimal")
        added = price_lists.add_tariff(connection, NEXT, clock.now())
        assert isinstance(added, PriceList)
        assert price_lists.make_default(connection, added.tariff_id)
        customers.set_customer(connection, _account_of(world), Customer("Anna"), actor="anna", now=clock.now())


def _account_of(world: World) -> int:
    account_id = world.card().account_id
    assert account_id is not None
    return account_id


def _rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    with database.reading() as connection:
        return {
            one.name: [tuple(row) for row in connection.execute(select(one).order_by(*one.primary_key))]
            for one in CHANGING
        }


def _refused(database: Database, statement: str) -> None:
    before = _rows(database)
    with pytest.raises(DatabaseError, match=r"stays?\b|only grows"), database.unit_of_work() as connection:
        connection.execute(text(statement))
    assert _rows(database) == before


@pytest.mark.parametrize("table", CHANGING, ids=lambda table: table.name)
async def test_rows_and_columns_that_the_program_leaves_alone_stay(done: World, table: Table) -> None:
    assert _rows(done.database)[table.name] != []
    _refused(done.database, f"DELETE FROM {table.name}")
    if not done.database.is_sqlite:
        _refused(done.database, f"TRUNCATE {table.name} CASCADE")
    if done.database.is_sqlite and table not in TOO_MANY:
        for statement in _replacing(done.database, table):
            _refused(done.database, statement)
    for column in sorted(set(table.columns.keys()) - CHANGING[table]):
        _refused(done.database, f"UPDATE {table.name} SET {column} = {column}")
    if CHANGING[table]:
        undecided = review_item.c.resolved_at.is_(None) if table is review_item else text("1 = 1")
        with done.database.unit_of_work() as connection:
            changes = {name: table.c[name] for name in CHANGING[table]}
            assert connection.execute(update(table).where(undecided).values(changes)).rowcount > 0


@pytest.mark.parametrize("case", ONE_WAY)
async def test_what_goes_one_way_does_not_go_back(done: World, case: str) -> None:
    if case == "the rate at the top-up":
        with done.database.unit_of_work() as connection:  # of an installation from before it was kept
            connection.execute(text("UPDATE installation SET tax_at_top_up_percent = '20'"))
    _refused(done.database, ONE_WAY[case])


def _replacing(database: Database, table: Table) -> Iterator[str]:
    """Return for each key that a row has how SQLite would put another one with it in its place."""
    keys = [set(table.primary_key.columns.keys()), *({column.name} for column in table.columns if column.unique)]
    keys += [set(one.columns.keys()) for one in table.indexes if one.unique]
    for key in keys:
        others = set().union(*keys) - key
        columns = [_other(one) if one.name in others else one.name for one in table.columns]
        is_told = select(func.count()).where(*(table.c[name].is_not(None) for name in key))
        with database.reading() as connection:
            if connection.execute(is_told).scalar_one():
                yield f"REPLACE INTO {table.name} SELECT {', '.join(columns)} FROM {table.name}"


def _other(column: Column[Any]) -> str:
    return f"{column.name} || 'x'" if isinstance(column.type, String) else f"{column.name} + 1000000"


def test_every_table_of_money_is_kept_or_said_to_be_free() -> None:
    of_money = {one for one in vars(models).values() if isinstance(one, Table)}
    assert of_money | {charging_transaction, reading, review_item} == CHANGING.keys() | FREE
    assert not CHANGING.keys() & FREE
