"""Finds what does not fit in the ledger: the money's part of `csms ledger verify`.

A check is a SELECT that finds only violations. Most look at one range of transactions or of journal entries at a time,
so that memory does not grow with the ledger, every row is read once while it is near, and whoever runs them may pause
between. Reads only; knows a charging transaction only as the number `reference`. `charging.verification` runs them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)

from csms.billing import models
from csms.billing.chart_of_accounts import desk_code
from csms.billing.money import Currency

_ROWS_AT_ONCE = 500

_account, _entry = models.ledger_account.c, models.journal_entry.c
_transfer, _hold, _line = models.transfer.c, models.hold.c, models.charge_line.c
_desk, _receipt = models.desk.c, models.receipt.c
_settle_entry = models.journal_entry.alias("settle_entry")
_settle = _settle_entry.c

Scope = Literal["everything", "transactions", "entries"]


class Violation(msgspec.Struct, frozen=True):
    """Something that must always hold and does not: the invariant's number, the rule in words, the rows at fault."""

    invariant: int
    rule: str
    found: str


class Check(msgspec.Struct, frozen=True):
    """A rule, and the SELECT that returns what breaks it: in the whole ledger, or `within` a range of ids."""

    invariant: int
    rule: str
    violations: Select[Any]
    scope: Scope = "everything"


class Range(msgspec.Struct, frozen=True):
    """Ids from the first to the last, both included."""

    first: int
    last: int


def checks(currency: Currency) -> tuple[Check, ...]:
    """Return all checks of the money. Amounts are in minor units of `currency`."""
    return (
        *_transfer_checks(currency),
        *_entry_checks(),
        *_total_checks(),
        *_repetition_checks(),
        *_hold_checks(),
        *_charge_checks(),
        *_desk_checks(),
        *_receipt_checks(),
    )


def run(connection: Connection, one: Check, ids: Range | None = None) -> Iterator[Violation]:
    """Run a check, on a range of ids where it takes one, and name each row that it finds."""
    parameters = {} if ids is None else {"first": ids.first, "last": ids.last}
    streamed = {"yield_per": _ROWS_AT_ONCE}
    with connection.execute(one.violations, parameters, execution_options=streamed) as rows:
        for row in rows.mappings():
            yield violation(one.invariant, one.rule, row.items())


def violation(invariant: int, rule: str, row: Sequence[tuple[Any, Any]] | Any) -> Violation:  # noqa: ANN401 - or items
    """Word a violation from the names and values of the row at fault."""
    found = ", ".join(f"{str(name).replace('_', ' ')} {value}" for name, value in row)
    return Violation(invariant, rule, found)


def within(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Narrow a SELECT to the range that it is run on."""
    return column.between(bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger))


def is_settled(reference: ColumnElement[Any]) -> ColumnElement[bool]:
    """Tell whether a transaction has a settle entry."""
    return exists().where(_settle.reference == reference, _settle.event == "settle")


def settled_minor(reference: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what was settled for a transaction; null where nothing was."""
    joined = models.transfer.join(_settle_entry, _settle.id == _transfer.entry_id)
    total = select(func.sum(_transfer.amount_minor)).select_from(joined)
    return total.where(_settle.reference == reference, _settle.event == "settle").scalar_subquery()


def _transfer_checks(currency: Currency) -> tuple[Check, ...]:
    """Invariant 1: every transfer is positive and between two accounts of one currency."""
    one = (_transfer.entry_id.label("entry"), _transfer.position, _transfer.amount_minor)
    sides = (_transfer.debit_account_id.label("debit_account"), _transfer.credit_account_id.label("credit_account"))
    good = select(_account.id).where(_account.currency == currency.code)
    strange = or_(_transfer.debit_account_id.not_in(good), _transfer.credit_account_id.not_in(good))
    here = within(_transfer.entry_id)
    return (
        Check(1, "a transfer has a positive amount", select(*one).where(here, _transfer.amount_minor <= 0), "entries"),
        Check(
            1,
            "a transfer is between two accounts",
            select(*one, *sides).where(here, _transfer.debit_account_id == _transfer.credit_account_id),
            "entries",
        ),
        Check(
            1,
            "a transfer is between accounts of the installation's currency",
            select(*one, *sides).where(here, strange),
            "entries",
        ),
    )


def _entry_checks() -> tuple[Check, ...]:
    """Invariants 1 and 5: transfers and entries belong together; all the accounts add up to nothing."""
    debits, credits_ = func.sum(_account.debits_minor), func.sum(_account.credits_minor)
    totals = select(debits.label("debits_minor"), credits_.label("credits_minor"))
    has_entry = exists().where(_entry.id == _transfer.entry_id)
    has_transfer = exists().where(_transfer.entry_id == _entry.id)
    moves_money = _entry.event != "card issued"  # a card may be issued without credit
    lost = select(_transfer.entry_id.label("entry"), _transfer.position, _transfer.amount_minor)
    key = literal("settle:") + cast(_entry.reference, String)
    return (
        Check(
            1, "a transfer belongs to a journal entry", lost.where(within(_transfer.entry_id), ~has_entry), "entries"
        ),
        Check(
            1,
            "a journal entry moves money",
            select(_entry.id.label("entry"), _entry.event).where(within(_entry.id), moves_money, ~has_transfer),
            "entries",
        ),
        Check(
            5,
            "the key of a settle entry comes from its transaction",
            select(_entry.id.label("entry"), _entry.reference.label("transaction"), _entry.idempotency_key).where(
                within(_entry.id),
                _entry.event == "settle",
                or_(_entry.reference.is_(None), _entry.idempotency_key != key),
            ),
            "entries",
        ),
        Check(1, "the trial balance is zero", totals.having(debits != credits_)),
    )


def _total_checks() -> tuple[Check, ...]:
    """Invariant 2: stored balances and holds equal the sums of their rows."""
    is_open = _hold.state == "open"
    return (
        _total("debits_minor", _sum_by(_transfer.debit_account_id, _transfer.amount_minor)),
        _total("credits_minor", _sum_by(_transfer.credit_account_id, _transfer.amount_minor)),
        _total("held_minor", _sum_by(_hold.account_id, case((is_open, _hold.amount_minor), else_=0))),
        Check(
            2,
            "a hold that is not open says when it was resolved, and an open one does not",
            select(_hold.reference.label("transaction"), _hold.state).where(
                within(_hold.reference), is_open != _hold.resolved_at.is_(None)
            ),
            "transactions",
        ),
    )


def _sum_by(account: Any, amount: Any) -> Subquery:  # noqa: ANN401 - any column expression
    return select(account.label("account_id"), func.sum(amount).label("total")).group_by(account).subquery()


def _total(column: str, sums: Subquery) -> Check:
    stored, computed = _account[column], func.coalesce(sums.c.total, 0)
    joined = models.ledger_account.outerjoin(sums, sums.c.account_id == _account.id)
    found = select(_account.id.label("account"), _account.code, stored, computed.label("sum_of_rows"))
    rule = f"an account's stored {column.removesuffix('_minor')} is the sum of its rows"
    return Check(2, rule, found.select_from(joined).where(stored != computed))


def _repetition_checks() -> tuple[Check, ...]:
    """Invariants 5 and 6, as far as stored rows can show them: nothing was posted or reversed twice."""
    times = func.count()
    return (
        Check(
            5,
            "an idempotency key is used once",
            select(_entry.idempotency_key, times.label("entries")).group_by(_entry.idempotency_key).having(times > 1),
        ),
        Check(
            5,
            "a transaction is settled once",
            select(_entry.reference.label("transaction"), times.label("entries"))
            .where(within(_entry.reference), _entry.event == "settle")
            .group_by(_entry.reference)
            .having(times > 1),
            "transactions",
        ),
        Check(
            6,
            "an entry is reversed once",
            select(_entry.reverses.label("entry"), times.label("reversals"))
            .where(_entry.reverses.is_not(None))
            .group_by(_entry.reverses)
            .having(times > 1),
        ),
    )


def _hold_checks() -> tuple[Check, ...]:
    """Invariants 3 and 6: a hold is resolved once, and a settled one has its entry, paid by its account."""
    has_hold = exists().where(_hold.reference == _entry.reference)
    total = settled_minor(_hold.reference).label("total_minor")
    return (
        Check(
            3,
            "a hold is settled exactly where there is a settle entry",
            select(_hold.reference.label("transaction"), _hold.state.label("hold"), total).where(
                within(_hold.reference), (_hold.state == "settled") != is_settled(_hold.reference)
            ),
            "transactions",
        ),
        Check(
            3,
            "a settle entry resolves a hold",
            select(_entry.reference.label("transaction"), _entry.id.label("entry")).where(
                within(_entry.reference), _entry.event == "settle", ~has_hold
            ),
            "transactions",
        ),
        Check(
            3,
            "a charge is paid by the account of its hold",
            select(_entry.id.label("entry"), _entry.reference.label("transaction"), _transfer.debit_account_id)
            .select_from(
                models.transfer.join(models.journal_entry, _entry.id == _transfer.entry_id).join(
                    models.hold, _hold.reference == _entry.reference
                )
            )
            .where(within(_entry.reference), _entry.event == "settle", _transfer.debit_account_id != _hold.account_id),
            "transactions",
        ),
    )


def _charge_checks() -> tuple[Check, ...]:
    """Invariant 3: a charge explains itself, its lines sum to what was taken."""
    lines = select(_line.reference.label("reference"), func.sum(_line.amount_minor).label("total"))
    lined = lines.where(within(_line.reference)).group_by(_line.reference).subquery("lined")
    told = select(_line.reference).where(within(_line.reference)).distinct().subquery("told")
    of_one = select(func.sum(_line.amount_minor)).where(_line.reference == told.c.reference).scalar_subquery()
    total = func.sum(_transfer.amount_minor)
    sums = func.coalesce(func.max(lined.c.total), 0)
    joined = models.journal_entry.outerjoin(models.transfer, _transfer.entry_id == _entry.id)
    return (
        Check(
            3,
            "the lines of a charge sum to its settle entry",
            select(_entry.reference.label("transaction"), total.label("total_minor"), sums.label("lines_minor"))
            .select_from(joined.outerjoin(lined, lined.c.reference == _entry.reference))
            .where(within(_entry.reference), _entry.event == "settle")
            .group_by(_entry.reference)
            .having(func.coalesce(total, 0) != sums),
            "transactions",
        ),
        Check(
            3,
            "charge lines belong to a settle entry",
            select(told.c.reference.label("transaction"), of_one.label("lines_minor")).where(
                ~is_settled(told.c.reference)
            ),
            "transactions",
        ),
    )


def _desk_checks() -> tuple[Check, ...]:
    """Invariant 7: the cash that is expected at a desk is the sum of the entries that moved it."""
    rows = (
        _sides(_transfer.debit_account_id, _transfer.amount_minor)
        .union_all(_sides(_transfer.credit_account_id, -_transfer.amount_minor))
        .subquery()
    )
    moved = select(rows.c.account_id, func.sum(rows.c.amount).label("total")).group_by(rows.c.account_id).subquery()
    one = (_desk.id.label("desk"), _desk.name, _account.code)
    joined = models.desk.outerjoin(models.ledger_account, _account.id == _desk.cash_account_id)
    expected, entries = _account.debits_minor - _account.credits_minor, func.coalesce(moved.c.total, 0)
    own = literal(desk_code(0).removesuffix("0")) + cast(_desk.cash_account_id, String)
    return (
        Check(
            7,
            "a desk's expected cash is the sum of its entries",
            select(*one, expected.label("expected_minor"), entries.label("sum_of_entries"))
            .select_from(joined.outerjoin(moved, moved.c.account_id == _desk.cash_account_id))
            .where(or_(expected.is_(None), expected != entries)),
        ),
        Check(
            7,
            "a desk keeps its cash in an asset account of its own",
            select(*one, _account.kind)
            .select_from(joined)
            .where(or_(func.coalesce(_account.kind, "") != "asset", _account.code != own)),
        ),
    )


def _receipt_checks() -> tuple[Check, ...]:
    """Invariant 7: receipt numbers have no gap, and every sale and top-up at a desk has one."""
    counted = (
        select(
            _receipt.desk_id,
            func.count().label("receipts"),
            func.min(_receipt.number).label("first"),
            func.max(_receipt.number).label("highest"),
        )
        .where(_receipt.desk_id.is_not(None))
        .group_by(_receipt.desk_id)
        .subquery()
    )
    receipts, first, highest = (func.coalesce(counted.c[name], 0) for name in ("receipts", "first", "highest"))
    whole = and_(receipts == highest, highest == _desk.last_receipt_number, or_(highest == 0, first == 1))
    found = (receipts.label("receipts"), highest.label("highest"), _desk.last_receipt_number)
    has_receipt = exists().where(_receipt.entry_id == _entry.id, _receipt.desk_id == _desk.id)
    at_desk = models.journal_entry.join(models.transfer, _transfer.entry_id == _entry.id).join(
        models.desk, _desk.cash_account_id == _transfer.debit_account_id
    )
    return (
        Check(
            7,
            "receipt numbers of a desk have no gap",
            select(_desk.id.label("desk"), _desk.name, *found)
            .select_from(models.desk.outerjoin(counted, counted.c.desk_id == _desk.id))
            .where(~whole),
        ),
        Check(
            7,
            "a sale or top-up at a desk has a receipt of that desk",
            select(_entry.id.label("entry"), _entry.event, _desk.name)
            .select_from(at_desk)
            .where(_entry.event.in_(("top up", "card issued")), ~has_receipt),
        ),
    )


def _sides(account: Any, amount: Any) -> Select[Any]:  # noqa: ANN401 - any column expression
    """Select what moved the desks' accounts, on one side, from the transfers that have an entry."""
    cash = select(_desk.cash_account_id)
    joined = models.transfer.join(models.journal_entry, _entry.id == _transfer.entry_id)
    return select(account.label("account_id"), amount.label("amount")).select_from(joined).where(account.in_(cash))
