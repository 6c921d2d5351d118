"""The ledger's reads and writes, set-wise. The only module that writes entries, transfers and running totals.

Knows the tables of the money; decides nothing. Entries and transfers are only ever inserted.
"""

from datetime import datetime
from operator import attrgetter
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Select, Table, bindparam, case, func, insert, select, update

from csms.billing import models
from csms.billing.books import (
    TAX_ACCOUNTS,
    AccountGroup,
    Audit,
    Billed,
    Books,
    Card,
    Desk,
    Hold,
    MoneyNames,
    PostedEntry,
    PrepaidAccount,
)
from csms.billing.chart_of_accounts import ENERGY_INCOME
from csms.db import Many, any_of, take_ids

_account, _group = models.ledger_account.c, models.account_group.c
_CARDS = select(
    models.card.c.id_tag,
    models.card.c.printed_number,
    models.card.c.account_id,
    models.card.c.state,
    models.card.c.expires_at,
    models.card.c.label,
).where(any_of(models.card.c.id_tag, "keys"))
# A changed card is written whole, so nobody may change it between this reading and that writing. Foreign keys to it,
# and whoever only reads it, need not wait.
_CHANGING_CARDS = _CARDS.order_by(models.card.c.id_tag).with_for_update(key_share=True)
_PRINTED_NUMBERS = select(models.card.c.printed_number).where(any_of(models.card.c.printed_number, "keys"))
_ACCOUNTS = (
    select(_account.id, _account.debits_minor, _account.credits_minor, _account.held_minor, _account.group_id)
    .where(any_of(_account.id, "keys"))
    .order_by(_account.id)  # the order of the locks
    .with_for_update()
)
_GROUPS = select(
    _group.id,
    _group.minimum_start_credit_minor,
    _group.maximum_balance_minor,
    _group.maximum_top_up_minor,
    _group.daily_spend_minor,
    _group.simultaneous_transactions,
    _group.is_staff,
    _group.overdraft_minor,
).where(any_of(_group.id, "keys"))
_HOLDS = select(
    models.hold.c.reference,
    models.hold.c.account_id,
    models.hold.c.amount_minor,
    models.hold.c.state,
    models.hold.c.placed_at,
    models.hold.c.resolved_at,
    models.hold.c.placed_minor,
    models.hold.c.overdraft_minor,
).where(any_of(models.hold.c.reference, "keys"))
_ENTRIES = select(models.journal_entry.c.idempotency_key, models.journal_entry.c.input_hash).where(
    any_of(models.journal_entry.c.idempotency_key, "keys")
)


def _billed() -> Select[Any]:
    """Select what income and tax took for each transaction."""
    moved = models.transfer.c

    def net_of(accounts: frozenset[int]) -> Any:  # noqa: ANN401 - a column expression
        came = case((moved.credit_account_id.in_(accounts), moved.amount_minor), else_=0)
        went = case((moved.debit_account_id.in_(accounts), moved.amount_minor), else_=0)
        return func.sum(came - went)

    return (
        select(models.journal_entry.c.reference, net_of(frozenset({ENERGY_INCOME})), net_of(TAX_ACCOUNTS))
        .join_from(models.transfer, models.journal_entry, models.journal_entry.c.id == moved.entry_id)
        .where(any_of(models.journal_entry.c.reference, "keys"))
        .group_by(models.journal_entry.c.reference)
    )


_BILLED = _billed()
_DESKS = (
    select(models.desk.c.id, models.desk.c.cash_account_id, models.desk.c.last_receipt_number)
    .where(any_of(models.desk.c.cash_account_id, "keys"))
    .order_by(models.desk.c.id)  # the order of the locks, after the accounts'
    .with_for_update()
)


def load_cards(connection: Connection, names: MoneyNames, books: Books) -> None:
    """Load the cards that the inputs name, and name their accounts."""
    _load_cards(connection, names, books, names.changing_id_tags | names.id_tags)
    books.printed_numbers.update(row[0] for row in _rows(connection, _PRINTED_NUMBERS, names.printed_numbers))


def _load_cards(connection: Connection, names: MoneyNames, books: Books, id_tags: set[str]) -> None:
    changing = id_tags & names.changing_id_tags
    for statement, keys in ((_CHANGING_CARDS, changing), (_CARDS, id_tags - changing)):
        for row in _rows(connection, statement, keys):
            card = Card(*row)
            books.cards[card.id_tag] = card
            if card.account_id is not None:
                names.account_ids.add(card.account_id)


def load_accounts(connection: Connection, names: MoneyNames, references: set[int], books: Books) -> None:
    """Lock and load the accounts; load the holds of `references` and the entries whose keys were named."""
    _load_accounts(connection, names.account_ids, books)
    for row in _rows(connection, _HOLDS, references):
        books.holds[row[0]] = Hold(*row)
    for row in _rows(connection, _ENTRIES, names.entry_keys):
        books.entries[row[0]] = PostedEntry(*row)
    if books.entries:
        _load_sold_meanwhile(connection, names, books)
    for row in _rows(connection, _DESKS, names.desk_accounts):
        books.desks[row[1]] = Desk(*row)
    if names.new_accounts:
        books.free_account_ids = take_ids(connection, models.ledger_account_ids, names.new_accounts)


def _load_sold_meanwhile(connection: Connection, names: MoneyNames, books: Books) -> None:
    """Load the cards that were not there yet when cards were read: the entry of their sale is there now."""
    _load_cards(connection, names, books, (names.changing_id_tags | names.id_tags) - books.cards.keys())
    _load_accounts(connection, names.account_ids - books.accounts.keys(), books)


def _load_accounts(connection: Connection, account_ids: set[int], books: Books) -> None:
    """Lock and load accounts, then their groups: the limits are those of the moment at which the locks were there."""
    found = [PrepaidAccount(*row) for row in _rows(connection, _ACCOUNTS, account_ids)]
    groups = {one.group_id for one in found if one.group_id is not None}
    for row in _rows(connection, _GROUPS, groups):
        books.account_groups[row[0]] = AccountGroup(*row)
    for one in found:
        group = books.group_of(one)
        books.accounts[one.account_id] = one if group is None else replace(one, overdraft_minor=group.overdraft_minor)


def load_billed(connection: Connection, references: set[int], books: Books) -> None:
    """Load what was taken for transactions so far; their accounts are locked already."""
    books.billed.update(list_billed(connection, references))


def list_billed(connection: Connection, references: set[int]) -> dict[int, Billed]:
    """Return what was taken for transactions, by reference; those for which nothing was are left out."""
    rows = _rows(connection, _BILLED, references)
    return {reference: Billed(int(net_minor), int(tax_minor)) for reference, net_minor, tax_minor in rows}


def _rows(connection: Connection, statement: Select[Any], keys: set[Any]) -> Any:  # noqa: ANN401 - rows of any statement
    return connection.execute(statement, {"keys": sorted(keys)}) if keys else ()


def _change(table: Table, key: str, *names: str) -> Many:
    """Change columns of the row whose key column has the first value."""
    values: dict[str, Any] = {name: bindparam(f"b_{name}") for name in names}
    statement = update(table).where(table.c[key] == bindparam("b_key")).values(values)
    return Many(statement, ["b_key", *(f"b_{name}" for name in names)])


_CARD = ("printed_number", "account_id", "state", "expires_at", "label")
_HOLD = ("amount_minor", "state", "resolved_at")
_NEW_ACCOUNT = Many(insert(models.ledger_account), ["id", "code", "kind", "name", "currency", "created_at"])
_NEW_CARD = Many(insert(models.card), ["id_tag", *_CARD, "created_at"])
_CHANGE_CARD = _change(models.card, "id_tag", *_CARD)
_NEW_HOLD = Many(insert(models.hold), Hold.__struct_fields__)
_CHANGE_HOLD = _change(models.hold, "reference", *_HOLD)
_NEW_ENTRY = Many(
    insert(models.journal_entry),
    ["id", "event", "idempotency_key", "input_hash", "reference", "happened_at", "recorded_at", "actor"],
)
_NEW_TRANSFER = Many(
    insert(models.transfer), ["entry_id", "position", "debit_account_id", "credit_account_id", "amount_minor"]
)
_NEW_LINE = Many(
    insert(models.charge_line),
    ["reference", "position", "component", "quantity", "unit", "rate", "amount_minor", "band"],
)
_NEW_RECEIPT = Many(insert(models.receipt), ["entry_id", "desk_id", "number", "id_tag"])
_CHANGE_DESK = _change(models.desk, "id", "last_receipt_number")
_NEW_AUDIT = Many(insert(models.audit), ["recorded_at", "actor", "act", "subject", "reason"])
_CHANGE_TOTALS = Many(
    update(models.ledger_account)
    .where(_account.id == bindparam("b_id"))
    .values(
        debits_minor=_account.debits_minor + bindparam("b_debits"),
        credits_minor=_account.credits_minor + bindparam("b_credits"),
        held_minor=_account.held_minor + bindparam("b_held"),
    ),
    ["b_id", "b_debits", "b_credits", "b_held"],
)
_card_row = attrgetter("id_tag", *_CARD)
_new_hold_row = attrgetter(*Hold.__struct_fields__)
_hold_row = attrgetter("reference", *_HOLD)


def write(connection: Connection, books: Books, now: datetime) -> None:
    """Write what the books took, with one statement per table and kind of change."""
    currency = books.currency.code
    opened = [(one.account_id, one.code, one.kind, one.name, currency, now) for one in books.new_accounts]
    _NEW_ACCOUNT.execute(connection, opened)
    _NEW_CARD.execute(connection, [(*_card_row(books.cards[tag]), now) for tag in sorted(books.new_cards)])
    _CHANGE_CARD.execute(connection, [_card_row(books.cards[tag]) for tag in sorted(books.changed_cards)])
    _NEW_HOLD.execute(connection, [_new_hold_row(books.holds[key]) for key in sorted(books.new_holds)])
    _CHANGE_HOLD.execute(connection, [_hold_row(books.holds[key]) for key in sorted(books.changed_holds)])
    _post(connection, books, now)
    write_audits(connection, books.audits, now)
    totals = [
        (account_id, books.debits.get(account_id, 0), books.credits.get(account_id, 0), books.held.get(account_id, 0))
        for account_id in books.touched_accounts()
    ]
    _CHANGE_TOTALS.execute(connection, totals)


def write_audits(connection: Connection, audits: list[Audit], now: datetime) -> None:
    """Write who did what, and why."""
    _NEW_AUDIT.execute(connection, [(now, one.actor, one.act, one.subject, one.reason) for one in audits])


def _post(connection: Connection, books: Books, now: datetime) -> None:
    if not books.new_entries:
        return
    ids = take_ids(connection, models.journal_entry_ids, len(books.new_entries))
    numbered = list(zip(ids, books.new_entries, strict=True))
    entries = [
        (key, one.event, one.idempotency_key, one.input_hash, one.reference, one.happened_at, now, one.actor)
        for key, one in numbered
    ]
    _NEW_ENTRY.execute(connection, entries)
    transfers = [
        (key, position, one.debit_account_id, one.credit_account_id, one.amount_minor)
        for key, entry in numbered
        for position, one in enumerate(entry.transfers)
    ]
    _NEW_TRANSFER.execute(connection, transfers)
    lines = [
        (entry.reference, position, one.component, one.quantity, one.unit, one.rate, one.amount_minor, one.band)
        for entry in books.new_entries
        for position, one in enumerate(entry.charge_lines)
    ]
    _NEW_LINE.execute(connection, lines)
    ids_by_key = {one.idempotency_key: key for key, one in numbered}
    receipts = [(ids_by_key[one.entry_key], one.desk_id, one.number, one.id_tag) for one in books.new_receipts]
    _NEW_RECEIPT.execute(connection, receipts)
    last = {one.desk_id: one.number for one in books.new_receipts}  # they were numbered in rising order
    _CHANGE_DESK.execute(connection, sorted(last.items()))
