"""Recomputes the ledger from its rows and names every row that does not fit: the money's part of `csms ledger verify`.

Each check is one SELECT that finds only violations, so it sees one state of a database in use, and memory does not
grow with the ledger. Reads only; knows a charging transaction only as the number `reference`. The invariants checked:

1. every transfer is positive and between two accounts of one currency; the trial balance is zero
2. stored balances and holds equal the sums of their rows; open holds match unfinished transactions one to one
3. every ended transaction is charged exactly once or carries an explicit reason why not
5. repeating a message or a form changes nothing
6. no reversal twice; no hold resolved twice
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, String, Subquery, and_, case, cast, exists, func, literal, or_, select

from csms.billing import models
from csms.billing.money import Currency

_ROWS_AT_ONCE = 500

_account, _entry = models.ledger_account.c, models.journal_entry.c
_transfer, _hold, _line = models.transfer.c, models.hold.c, models.charge_line.c


class Violation(msgspec.Struct, frozen=True):
    """Something that must always hold and does not: the invariant's number, the rule in words, the rows at fault."""

    invariant: int
    rule: str
    found: str


class Check(msgspec.Struct, frozen=True):
    """A rule, and the SELECT that returns what breaks it."""

    invariant: int
    rule: str
    violations: Select[Any]


def verify(connection: Connection, currency: Currency) -> Iterator[Violation]:
    """Return what is wrong with the ledger: nothing, in a sound one. Amounts are in minor units of `currency`."""
    yield from run(connection, (*_transfer_checks(currency), *_entry_checks(), *_total_checks()))
    yield from run(connection, (*_repetition_checks(), *_hold_checks(), *_charge_checks()))


def run(connection: Connection, checks: Sequence[Check]) -> Iterator[Violation]:
    """Run checks one by one and name each row they find."""
    for check in checks:
        rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(check.violations)
        for row in rows.mappings():
            found = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items())
            yield Violation(check.invariant, check.rule, found)


def settlements() -> Subquery:
    """Return what was charged per `reference`: number of settle entries and their total."""
    return (
        select(
            _entry.reference.label("reference"),
            func.count(_entry.id.distinct()).label("entries"),
            func.coalesce(func.sum(_transfer.amount_minor), 0).label("total_minor"),
        )
        .select_from(models.journal_entry.outerjoin(models.transfer, _transfer.entry_id == _entry.id))
        .where(_entry.event == "settle", _entry.reference.is_not(None))
        .group_by(_entry.reference)
        .subquery("settlement")
    )


def _transfer_checks(currency: Currency) -> tuple[Check, ...]:
    """Invariant 1: every transfer is positive and between two accounts of one currency."""
    one = (_transfer.entry_id.label("entry"), _transfer.position, _transfer.amount_minor)
    sides = (_transfer.debit_account_id.label("debit_account"), _transfer.credit_account_id.label("credit_account"))
    debit, credit = models.ledger_account.alias("debit"), models.ledger_account.alias("credit")
    joined = models.transfer.outerjoin(debit, debit.c.id == _transfer.debit_account_id).outerjoin(
        credit, credit.c.id == _transfer.credit_account_id
    )
    strange = or_(*(func.coalesce(side.c.currency, "") != currency.code for side in (debit, credit)))
    return (
        Check(1, "a transfer has a positive amount", select(*one).where(_transfer.amount_minor <= 0)),
        Check(
            1,
            "a transfer is between two accounts",
            select(*one, *sides).where(_transfer.debit_account_id == _transfer.credit_account_id),
        ),
        Check(
            1,
            "a transfer is between accounts of the installation's currency",
            select(*one, *sides).select_from(joined).where(strange),
        ),
    )


def _entry_checks() -> tuple[Check, ...]:
    """Invariant 1: transfers and entries belong together, and all the accounts add up to nothing."""
    debits, credits_ = func.sum(_account.debits_minor), func.sum(_account.credits_minor)
    totals = select(debits.label("debits_minor"), credits_.label("credits_minor"))
    has_entry = exists().where(_entry.id == _transfer.entry_id)
    has_transfer = exists().where(_transfer.entry_id == _entry.id)
    moves_money = _entry.event != "card issued"  # a card may be issued without credit
    lost = select(_transfer.entry_id.label("entry"), _transfer.position, _transfer.amount_minor)
    return (
        Check(1, "a transfer belongs to a journal entry", lost.where(~has_entry)),
        Check(
            1,
            "a journal entry moves money",
            select(_entry.id.label("entry"), _entry.event).where(moves_money, ~has_transfer),
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
            select(_hold.reference.label("transaction"), _hold.state).where(is_open != _hold.resolved_at.is_(None)),
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
    settled = settlements()
    key = literal("settle:") + cast(_entry.reference, String)
    return (
        Check(
            5,
            "an idempotency key is used once",
            select(_entry.idempotency_key, times.label("entries")).group_by(_entry.idempotency_key).having(times > 1),
        ),
        Check(
            5,
            "a transaction is settled once",
            select(settled.c.reference.label("transaction"), settled.c.entries).where(settled.c.entries > 1),
        ),
        Check(
            5,
            "the key of a settle entry comes from its transaction",
            select(_entry.id.label("entry"), _entry.reference.label("transaction"), _entry.idempotency_key).where(
                _entry.event == "settle", or_(_entry.reference.is_(None), _entry.idempotency_key != key)
            ),
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
    settled = settlements()
    with_entry = models.hold.outerjoin(settled, settled.c.reference == _hold.reference)
    has_hold = exists().where(_hold.reference == settled.c.reference)
    other_account = and_(_entry.event == "settle", _transfer.debit_account_id != _hold.account_id)
    return (
        Check(
            3,
            "a hold is settled exactly where there is a settle entry",
            select(_hold.reference.label("transaction"), _hold.state.label("hold"), settled.c.entries)
            .select_from(with_entry)
            .where((_hold.state == "settled") != settled.c.reference.is_not(None)),
        ),
        Check(
            3,
            "a settle entry resolves a hold",
            select(settled.c.reference.label("transaction"), settled.c.total_minor).where(~has_hold),
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
            .where(other_account),
        ),
    )


def _charge_checks() -> tuple[Check, ...]:
    """Invariant 3: a charge explains itself, its lines sum to what was taken."""
    settled = settlements()
    lines = select(_line.reference.label("reference"), func.sum(_line.amount_minor).label("total"))
    lined = lines.group_by(_line.reference).subquery("lined")
    return (
        Check(
            3,
            "the lines of a charge sum to its settle entry",
            select(settled.c.reference.label("transaction"), settled.c.total_minor, lined.c.total.label("lines_minor"))
            .select_from(settled.outerjoin(lined, lined.c.reference == settled.c.reference))
            .where(settled.c.total_minor != func.coalesce(lined.c.total, 0)),
        ),
        Check(
            3,
            "charge lines belong to a settle entry",
            select(lined.c.reference.label("transaction"), lined.c.total.label("lines_minor")).where(
                ~exists().where(_entry.reference == lined.c.reference, _entry.event == "settle")
            ),
        ),
    )
