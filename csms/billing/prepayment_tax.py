"""Verifies the tax in credit where it is payable when it is paid in: account 1300 is the tax in what nobody used yet.

Adds each account's balance up, entry by entry in the order of its lock, and computes the tax in it by itself: nothing
is shared with what books it. Reads only.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, and_, case, func, select, union_all

from csms.billing import models
from csms.billing.chart_of_accounts import VAT_ON_PREPAYMENTS, VAT_PAYABLE, prepaid_code
from csms.billing.verification import Violation, violation
from csms.db import any_of

ENTRY = "the tax of an entry is what the tax in the credit of its account changed by"
WHOLE = "VAT on prepayments is the tax in the credit that nobody has used yet"
RULES = (ENTRY, WHOLE)

_ACCOUNTS_AT_ONCE = 100
_ROWS_AT_ONCE = 5000

_account, _entry, _transfer = models.ledger_account.c, models.journal_entry.c, models.transfer.c
_IS_PREPAID = and_(_account.kind == "liability", _account.code.like(prepaid_code(0).removesuffix("0") + "%"))
_ACCOUNTS = select(_account.id).where(_IS_PREPAID).order_by(_account.id)
_BALANCES = select(_account.credits_minor - _account.debits_minor).where(_IS_PREPAID)
_BOOKED = select(_account.debits_minor - _account.credits_minor).where(_account.id == VAT_ON_PREPAYMENTS)
_RATE = select(models.installation.c.tax_at_top_up_percent)
_MOVES = union_all(
    select(_transfer.credit_account_id.label("account"), _transfer.entry_id, _transfer.amount_minor).where(
        any_of(_transfer.credit_account_id, "keys")
    ),
    select(_transfer.debit_account_id.label("account"), _transfer.entry_id, -_transfer.amount_minor).where(
        any_of(_transfer.debit_account_id, "keys")
    ),
).subquery("moves")


def _net_debit(account_id: int) -> Any:  # noqa: ANN401 - a column expression
    """Return what an entry debited an account with, less what it credited it with."""
    one = models.transfer.alias()
    side = case((one.c.debit_account_id == account_id, one.c.amount_minor), else_=-one.c.amount_minor)
    touches = (one.c.debit_account_id == account_id) | (one.c.credit_account_id == account_id)
    found = select(func.coalesce(func.sum(side), 0)).where(one.c.entry_id == _MOVES.c.entry_id, touches)
    return found.scalar_subquery()


_ENTRIES = (
    select(
        _MOVES.c.account,
        _MOVES.c.entry_id,
        _entry.event,
        func.sum(_MOVES.c.amount_minor),
        _net_debit(VAT_ON_PREPAYMENTS),
        -_net_debit(VAT_PAYABLE),
    )
    .join_from(_MOVES, models.journal_entry, _entry.id == _MOVES.c.entry_id)
    .group_by(_MOVES.c.account, _MOVES.c.entry_id, _entry.event)
    .order_by(_MOVES.c.account, _MOVES.c.entry_id)
)


def steps(connection: Connection) -> Iterator[Callable[[], Iterator[Violation]]]:
    """Return what is to be done, a part at a time; at consumption only account 1300 is looked at, which stays empty."""
    percent = connection.execute(_RATE).scalar()
    yield lambda: _whole(connection, percent)
    last = 0
    while percent is not None:
        keys = list(connection.execute(_ACCOUNTS.where(_account.id > last).limit(_ACCOUNTS_AT_ONCE)).scalars())
        if not keys:
            return
        yield lambda keys=keys: _each(connection, keys, percent)  # type: ignore[misc]
        last = keys[-1]


def _whole(connection: Connection, percent: Decimal | None) -> Iterator[Violation]:
    computed = 0
    if percent is not None:
        with connection.execute(_BALANCES, execution_options={"yield_per": _ROWS_AT_ONCE}) as balances:
            computed = sum(_tax_in(balance, percent) for balance in balances.scalars())
    booked = int(connection.execute(_BOOKED).scalar() or 0)
    if booked != computed:
        yield violation(8, WHOLE, {"booked_minor": booked, "computed": computed}.items())


def _each(connection: Connection, keys: Sequence[int], percent: Decimal) -> Iterator[Violation]:
    with connection.execute(_ENTRIES, {"keys": keys}, execution_options={"yield_per": _ROWS_AT_ONCE}) as rows:
        for account_id, entries in groupby(rows, key=itemgetter(0)):
            balance = tax = 0
            for _, entry_id, event, moved, booked, payable in entries:
                balance += int(moved)
                before, tax = tax, _tax_in(balance, percent)
                due = tax - before if event in {"top up", "card issued"} else 0
                if (booked, payable) != (tax - before, due):
                    found = {"entry": entry_id, "account": account_id, "booked_minor": booked}
                    words = found | {"payable_minor": payable, "computed": tax - before}
                    yield violation(8, ENTRY, words.items())


def _tax_in(amount_minor: int, percent: Decimal) -> int:
    """Return the tax in an amount: half a minor unit is rounded away from zero."""
    part = Fraction(percent) / (100 + Fraction(percent))
    tax = (2 * abs(amount_minor) * part.numerator + part.denominator) // (2 * part.denominator)
    return tax if amount_minor >= 0 else -tax
