"""The ledger's reads and writes, set-wise. The only module that writes entries, transfers and running totals.

Knows the tables of the money; decides nothing. Entries and transfers are only ever inserted.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from csms.billing import models
from csms.billing.books import AccountGroup, Books, Card, Hold, MoneyNames, PostedEntry, PrepaidAccount
from csms.db import any_of, take_ids

_account, _group = models.ledger_account.c, models.account_group.c
_CARDS = select(
    models.card.c.id_tag,
    models.card.c.printed_number,
    models.card.c.account_id,
    models.card.c.state,
    models.card.c.expires_at,
    models.card.c.label,
).where(any_of(models.card.c.id_tag, "keys"))
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
).where(any_of(_group.id, "keys"))
_HOLDS = select(
    models.hold.c.reference,
    models.hold.c.account_id,
    models.hold.c.amount_minor,
    models.hold.c.state,
    models.hold.c.placed_at,
    models.hold.c.resolved_at,
).where(any_of(models.hold.c.reference, "keys"))
_ENTRIES = select(models.journal_entry.c.idempotency_key, models.journal_entry.c.input_hash).where(
    any_of(models.journal_entry.c.idempotency_key, "keys")
)


def load_cards(connection: Connection, names: MoneyNames, books: Books) -> None:
    """Load the cards that the inputs name, and name their accounts."""
    for row in _rows(connection, _CARDS, names.id_tags):
        card = Card(*row)
        books.cards[card.id_tag] = card
        if card.account_id is not None:
            names.account_ids.add(card.account_id)
    books.printed_numbers.update(row[0] for row in _rows(connection, _PRINTED_NUMBERS, names.printed_numbers))


def load_accounts(connection: Connection, names: MoneyNames, references: set[int], books: Books) -> None:
    """Lock and load the accounts; load the holds of `references` and the entries whose keys were named."""
    for row in _rows(connection, _ACCOUNTS, names.account_ids):
        books.accounts[row[0]] = PrepaidAccount(*row)
    groups = {one.group_id for one in books.accounts.values() if one.group_id is not None}
    for row in _rows(connection, _GROUPS, groups):
        books.account_groups[row[0]] = AccountGroup(*row)
    for row in _rows(connection, _HOLDS, references):
        books.holds[row[0]] = Hold(*row)
    for row in _rows(connection, _ENTRIES, names.entry_keys):
        books.entries[row[0]] = PostedEntry(*row)
    if names.new_accounts:
        books.free_account_ids = take_ids(connection, models.ledger_account_ids, names.new_accounts)


def _rows(connection: Connection, statement: Select[Any], keys: set[Any]) -> Any:  # noqa: ANN401 - rows of any statement
    return connection.execute(statement, {"keys": sorted(keys)}) if keys else ()


_CARD_COLUMNS = ("printed_number", "account_id", "state", "expires_at", "label")
_CHANGE_CARD = (
    update(models.card)
    .where(models.card.c.id_tag == bindparam("b_id_tag"))
    .values({name: bindparam(f"b_{name}") for name in _CARD_COLUMNS})
)
_CHANGE_HOLD = (
    update(models.hold)
    .where(models.hold.c.reference == bindparam("b_reference"))
    .values({name: bindparam(f"b_{name}") for name in ("amount_minor", "state", "resolved_at")})
)
_CHANGE_TOTALS = (
    update(models.ledger_account)
    .where(_account.id == bindparam("b_id"))
    .values(
        debits_minor=_account.debits_minor + bindparam("b_debits"),
        credits_minor=_account.credits_minor + bindparam("b_credits"),
        held_minor=_account.held_minor + bindparam("b_held"),
    )
)


def write(connection: Connection, books: Books, now: datetime) -> None:
    """Write what the books took, with one statement per table and kind of change."""
    _each(connection, insert(models.ledger_account), books.new_accounts, lambda account: {
        "id": account.account_id, "code": account.code, "kind": account.kind, "name": account.name,
        "currency": books.currency.code, "created_at": now,
    })  # fmt: skip
    _each(connection, insert(models.card), [books.cards[tag] for tag in books.new_cards], lambda card: {
        "id_tag": card.id_tag, "printed_number": card.printed_number, "account_id": card.account_id,
        "state": card.state, "expires_at": card.expires_at, "label": card.label, "created_at": now,
    })  # fmt: skip
    _each(connection, _CHANGE_CARD, [books.cards[tag] for tag in books.changed_cards], lambda card: {
        "b_id_tag": card.id_tag, "b_printed_number": card.printed_number, "b_account_id": card.account_id,
        "b_state": card.state, "b_expires_at": card.expires_at, "b_label": card.label,
    })  # fmt: skip
    _each(connection, insert(models.hold), [books.holds[key] for key in books.new_holds], lambda hold: {
        "reference": hold.reference, "account_id": hold.account_id, "amount_minor": hold.amount_minor,
        "state": hold.state, "placed_at": hold.placed_at, "resolved_at": hold.resolved_at,
    })  # fmt: skip
    _each(connection, _CHANGE_HOLD, [books.holds[key] for key in sorted(books.changed_holds)], lambda hold: {
        "b_reference": hold.reference, "b_amount_minor": hold.amount_minor,
        "b_state": hold.state, "b_resolved_at": hold.resolved_at,
    })  # fmt: skip
    _post(connection, books, now)
    _each(connection, _CHANGE_TOTALS, list(books.touched_accounts()), lambda account_id: {
        "b_id": account_id, "b_debits": books.debits.get(account_id, 0),
        "b_credits": books.credits.get(account_id, 0), "b_held": books.held.get(account_id, 0),
    })  # fmt: skip


def _post(connection: Connection, books: Books, now: datetime) -> None:
    if not books.new_entries:
        return
    ids = take_ids(connection, models.journal_entry_ids, len(books.new_entries))
    numbered = list(zip(ids, books.new_entries, strict=True))
    _each(connection, insert(models.journal_entry), numbered, lambda item: {
        "id": item[0], "event": item[1].event, "idempotency_key": item[1].idempotency_key,
        "input_hash": item[1].input_hash, "reference": item[1].reference, "happened_at": item[1].happened_at,
        "recorded_at": now, "actor": item[1].actor, "reverses": None,
    })  # fmt: skip
    transfers = [(entry_id, n, one) for entry_id, entry in numbered for n, one in enumerate(entry.transfers)]
    _each(connection, insert(models.transfer), transfers, lambda item: {
        "entry_id": item[0], "position": item[1], "debit_account_id": item[2].debit_account_id,
        "credit_account_id": item[2].credit_account_id, "amount_minor": item[2].amount_minor,
    })  # fmt: skip
    lines = [(entry.reference, n, one) for entry in books.new_entries for n, one in enumerate(entry.charge_lines)]
    _each(connection, insert(models.charge_line), lines, lambda item: {
        "reference": item[0], "position": item[1], "component": item[2].component, "quantity": item[2].quantity,
        "unit": item[2].unit, "rate": item[2].rate, "amount_minor": item[2].amount_minor, "band": item[2].band,
    })  # fmt: skip


def _each(connection: Connection, statement: Any, facts: list[Any], row: Callable[[Any], dict[str, Any]]) -> None:  # noqa: ANN401
    if facts:
        connection.execute(statement, [row(fact) for fact in facts])
