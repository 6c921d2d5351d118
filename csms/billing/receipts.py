"""Receipts: the numbered one of an entry at a desk, and the count of prints from which a reprint says COPY.

Reads, and one count; the numbers themselves are given by the books, in the unit of work of the entry. Knows a
charging transaction only as the number `reference`.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, insert, or_, select, update

from csms.billing import models
from csms.billing.chart_of_accounts import VAT_ON_PREPAYMENTS, VAT_PAYABLE
from csms.db import any_of, as_fact

_receipt, _entry, _transfer, _desk = models.receipt.c, models.journal_entry.c, models.transfer.c, models.desk.c
_account = models.ledger_account.c
_CODE = re.compile(r"D(\d{1,9})-(\d{1,15})", re.ASCII | re.IGNORECASE)
_SHOWN = 4


class ReceiptRow(msgspec.Struct, frozen=True):
    """A desk's receipt in a list; `cash_minor` is what went into the desk."""

    entry_id: int
    desk_id: int
    desk: str
    number: int
    printed_count: int
    event: str
    recorded_at: datetime
    actor: str
    id_tag: str
    printed_number: str
    cash_minor: int

    @property
    def code(self) -> str:
        """The number as people write it: desk and number."""
        return desk_code(self.desk_id, self.number)


class DeskReceipt(ReceiptRow, frozen=True):
    """All that the receipt of a sale or top-up says."""

    account_id: int
    balance_before_minor: int
    balance_after_minor: int
    tax_minor: int  # where the top-up is the tax point


class Settlement(msgspec.Struct, frozen=True):
    """How a charge was taken, what its account had before and after, and what was booked about it later.

    Where nothing was taken at first, `total_minor` is 0 and `entry_id` the first of the later entries.
    """

    entry_id: int
    account_id: int
    recorded_at: datetime
    total_minor: int
    tax_minor: int
    balance_before_minor: int
    balance_after_minor: int
    printed_count: int
    later: tuple["LaterEntry", ...]

    @property
    def in_all_minor(self) -> int:
        """What was taken with all corrections."""
        return self.total_minor - sum(one.amount_minor for one in self.later)

    @property
    def tax_in_all_minor(self) -> int:
        """The tax in what was taken with all corrections."""
        return self.tax_minor - sum(one.tax_minor for one in self.later)


class LaterEntry(msgspec.Struct, frozen=True):
    """A correction of a charge, as the account's holder sees it: what came back is positive, its tax too."""

    entry_id: int
    event: str
    recorded_at: datetime
    amount_minor: int
    tax_minor: int


def desk_code(desk_id: int, number: int) -> str:
    """Return the number of a desk's receipt as people write it."""
    return f"D{desk_id}-{number:06}"


def masked(printed_number: str) -> str:
    """Hide a card's number but for its end, so that a lost receipt tells nobody whose card it is."""
    shown = 0
    found = []
    least = min(_SHOWN, sum(one.isalnum() for one in printed_number) // 2)
    for one in reversed(printed_number):
        shown += one.isalnum()
        found.append(one if shown <= least or not one.isalnum() else "*")
    return "".join(reversed(found))


def find_entry_id(connection: Connection, code: str) -> int | None:
    """Return the entry of a receipt's number such as D1-000042, or None."""
    parts = _CODE.fullmatch(code.strip())
    if parts is None:
        return None
    fits = and_(_receipt.desk_id == int(parts[1]), _receipt.number == int(parts[2]))
    return connection.execute(select(_receipt.entry_id).where(fits)).scalar()


def list_receipts(
    connection: Connection, *, desk_id: int | None = None, limit: int, offset: int = 0
) -> list[ReceiptRow]:
    """Return the receipts of all desks or of one, the newest first."""
    order = _receipt.entry_id if desk_id is None else _receipt.number
    rows = connection.execute(_ROWS.where(_at(desk_id)).order_by(order.desc()).limit(limit).offset(offset))
    return [as_fact(ReceiptRow, row[:-1], int(row[-1])) for row in rows]


def count_receipts(connection: Connection, *, desk_id: int | None = None) -> int:
    """Return how many receipts `list_receipts` would list in all."""
    return connection.execute(select(func.count()).select_from(models.receipt).where(_at(desk_id))).scalar_one()


def find_sale(connection: Connection, key: str) -> ReceiptRow | None:
    """Return the receipt of the sale that a form's key booked at a desk, or None."""
    row = connection.execute(_ROWS.where(_entry.idempotency_key == f"issue:{key}", _at(None))).first()
    return None if row is None else as_fact(ReceiptRow, row[:-1], int(row[-1]))


def _at(desk_id: int | None) -> ColumnElement[bool]:
    return _receipt.desk_id.is_not(None) if desk_id is None else _receipt.desk_id == desk_id


def _rows() -> Select[Any]:
    """Select desks' receipts with what their entries brought into the desk's cash."""
    cash = _desk.cash_account_id
    came = case((_transfer.debit_account_id == cash, _transfer.amount_minor), else_=0)
    went = case((_transfer.credit_account_id == cash, _transfer.amount_minor), else_=0)
    moved = select(func.coalesce(func.sum(came - went), 0)).where(_transfer.entry_id == _receipt.entry_id)
    return (
        select(*_RECEIPT, moved.correlate(models.receipt, models.desk).scalar_subquery())
        .join_from(models.receipt, models.journal_entry, _entry.id == _receipt.entry_id)
        .join(models.desk, _desk.id == _receipt.desk_id)
        .outerjoin(models.card, models.card.c.id_tag == _receipt.id_tag)
    )


_RECEIPT = (
    _receipt.entry_id,
    _desk.id,
    _desk.name,
    _receipt.number,
    _receipt.printed_count,
    _entry.event,
    _entry.recorded_at,
    _entry.actor,
    _receipt.id_tag,
    func.coalesce(models.card.c.printed_number, ""),
)
_ROWS = _rows()


def find_receipt(connection: Connection, entry_id: int) -> DeskReceipt | None:
    """Return the desk's receipt of an entry, or None."""
    row = connection.execute(_ROWS.add_columns(models.card.c.account_id).where(_receipt.entry_id == entry_id)).first()
    if row is None:
        return None
    *facts, cash_minor, of_card = row
    account_id = _prepaid_account(connection, entry_id) or of_card or 0  # where nothing moved: a card keeps its account
    before, after = _balances(connection, account_id, entry_id)
    tax_minor = _tax(connection, entry_id)
    return as_fact(DeskReceipt, facts, int(cash_minor), account_id, before, after, tax_minor)


def find_settlement(connection: Connection, reference: int) -> Settlement | None:
    """Return how a charge was taken, or None where nothing was."""
    entries = (
        select(_entry.id, _entry.event, _entry.recorded_at, func.coalesce(_receipt.printed_count, 0))
        .select_from(models.journal_entry.outerjoin(models.receipt, _receipt.entry_id == _entry.id))
        .where(_entry.reference == reference)
        .order_by(_entry.id)
    )
    rows = connection.execute(entries).all()
    if not rows:
        return None
    first = rows[0]
    is_settled = first[1] == "settle"
    account_id = _prepaid_account(connection, first[0])
    before, after = _balances(connection, account_id, first[0])
    later = tuple(
        LaterEntry(
            *row[:3],
            _moved(connection, account_id, row[0], row[0]),
            -sum(_moved(connection, tax_id, row[0], row[0]) for tax_id in (VAT_PAYABLE, VAT_ON_PREPAYMENTS)),
        )
        for row in rows[is_settled:]
    )
    total_minor, tax_minor = (before - after, _tax(connection, first[0])) if is_settled else (0, 0)
    after = before - total_minor
    return Settlement(first[0], account_id, first[2], total_minor, tax_minor, before, after, int(first[3]), later)


def numbers_of(connection: Connection, entry_ids: Iterable[int]) -> dict[int, str]:
    """Return the receipts' numbers of those entries that have one from a desk."""
    statement = select(_receipt.entry_id, _receipt.desk_id, _receipt.number).where(
        any_of(_receipt.entry_id, "keys"), _receipt.desk_id.is_not(None)
    )
    rows = connection.execute(statement, {"keys": list(entry_ids)})
    return {entry_id: desk_code(desk_id, number) for entry_id, desk_id, number in rows}


def note_print(connection: Connection, entry_id: int, *, reference: int | None = None) -> int:
    """Count a print and return how many there were before; of a charge (`reference`) the first one makes the row."""
    counted = (
        update(models.receipt)
        .where(_receipt.entry_id == entry_id)
        .values(printed_count=_receipt.printed_count + 1)
        .returning(_receipt.printed_count)
    )
    count = connection.execute(counted).scalar()
    if count is None and reference is not None:
        connection.execute(select(_entry.id).where(_entry.id == entry_id).with_for_update())  # one makes it
        count = connection.execute(counted).scalar()
        if count is None:
            row = {"entry_id": entry_id, "desk_id": None, "number": reference, "printed_count": 1}
            connection.execute(insert(models.receipt), row)
            count = 1
    assert count is not None, "there is such a receipt"
    return int(count) - 1


def _prepaid_account(connection: Connection, entry_id: int) -> int:
    """Return the customer's account in an entry."""
    joined = models.transfer.join(
        models.ledger_account,
        or_(_account.id == _transfer.debit_account_id, _account.id == _transfer.credit_account_id),
    )
    statement = select(_account.id).select_from(joined)
    found = connection.execute(statement.where(_transfer.entry_id == entry_id, _account.code.startswith("2100:")))
    return int(found.scalars().first() or 0)


def _tax(connection: Connection, entry_id: int) -> int:
    """Return the tax in an entry, whether it became payable with it or with the top-ups before."""
    taxes = _transfer.credit_account_id.in_((VAT_PAYABLE, VAT_ON_PREPAYMENTS))
    statement = select(func.coalesce(func.sum(_transfer.amount_minor), 0)).where(_transfer.entry_id == entry_id, taxes)
    tax_minor: int = int(connection.execute(statement).scalar_one())
    return tax_minor


def _balances(connection: Connection, account_id: int, entry_id: int) -> tuple[int, int]:
    """Return an account's balance before and after an entry."""
    after = _moved(connection, account_id, 0, entry_id)
    return after - _moved(connection, account_id, entry_id, entry_id), after


def _moved(connection: Connection, account_id: int, first_entry: int, last_entry: int) -> int:
    """Return what entries changed an account by, credits minus debits."""
    signed = case((_transfer.credit_account_id == account_id, _transfer.amount_minor), else_=-_transfer.amount_minor)
    touches = or_(_transfer.debit_account_id == account_id, _transfer.credit_account_id == account_id)
    inside = _transfer.entry_id.between(first_entry, last_entry)
    return int(connection.execute(select(func.coalesce(func.sum(signed), 0)).where(touches, inside)).scalar_one())
