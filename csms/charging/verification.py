"""Verifies the whole ledger and every transaction on a live database: what `csms ledger verify` and the nightly run do.

Joins transactions with holds and settle entries; `billing.verification` has the checks of the money by itself,
`recomputation`, `credit_history` and `prepayment_tax` those that take more. Reads only, from one snapshot. The
invariants, as in `docs/accounting.md`:

1. every transfer is positive and between two accounts of one currency; the trial balance is zero
2. stored balances and holds equal the sums of their rows; open holds match unfinished transactions one to one
3. every ended transaction is charged exactly once or carries an explicit reason why not
4. available credit is not negative at any authorization
5. repeating a message or a form changes nothing
6. no reversal twice; no hold resolved twice
7. a desk's expected cash is the sum of its entries
8. every charge can be computed again from its stored readings and tariff
9. parallel starts and top-ups allow no more than one sequential order would. It follows from 2 and 4: what was
   available at each start, in the one order in which the account's lock was held, is looked back at there
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    text,
)

from csms.billing import prepayment_tax
from csms.billing.models import hold, journal_entry, transfer
from csms.billing.money import Currency
from csms.billing.verification import Check, Range, Scope, Violation, is_settled, run, settled_minor, within
from csms.billing.verification import checks as checks_of_money
from csms.charging import closing, credit_history, recomputation
from csms.charging.closing import WAITING
from csms.charging.models import charging_transaction, review_item
from csms.charging.reviews import WAIVED
from csms.db import Database

INVARIANTS = range(1, 10)

_TRANSACTIONS_AT_ONCE = 4000
_ENTRIES_AT_ONCE = 20_000
_ACCOUNTS_AT_ONCE = 100
_LEAST, _MOST = -(2**63), 2**63 - 1
_FOLLOWS_FROM = {9: (2, 4)}

_tx, _hold = charging_transaction.c, hold.c


class Progress(msgspec.Struct, frozen=True):
    """So many steps of so many are done."""

    done: int
    steps: int


_Step = Callable[[], Iterator[Violation]]


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """Give one consistent view of a database in use, for as long as it takes; nobody's writing waits for it."""
    with database.reading() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield connection


def verify(
    connection: Connection,
    currency: Currency,
    *,
    invariants: Collection[int] = INVARIANTS,
    on_step: Callable[[Progress], None] = lambda _: None,
    slack: timedelta = credit_history.SLACK,
) -> Iterator[Violation]:
    """Return whatever breaks one of the invariants: nothing, in a sound installation.

    Memory does not grow with the ledger: it goes through it range by range and calls `on_step` after each. `slack` is
    by how much the clocks of several nodes may differ.
    """
    wanted = {each for one in invariants for each in _FOLLOWS_FROM.get(one, (one,))}
    steps = list(_steps(connection, currency, wanted, slack))
    for done, step in enumerate(steps, 1):
        yield from step()
        on_step(Progress(done, len(steps)))


def checks(currency: Currency) -> tuple[Check, ...]:
    """Return all checks that are SELECTs."""
    of_energy = (
        *_hold_checks(),
        *_charge_checks(),
        *_reason_checks(),
        *_settlement_checks(),
        *_repetition_checks(),
        *_energy_checks(),
    )
    return (*checks_of_money(currency), *of_energy)


def _steps(connection: Connection, currency: Currency, wanted: set[int], slack: timedelta) -> Iterator[_Step]:
    found = [one for one in checks(currency) if one.invariant in wanted]
    for one in found:
        if one.scope == "everything":
            yield lambda one=one: run(connection, one)  # type: ignore[misc]
    recomputes = 8 in wanted  # noqa: PLR2004 - the invariant's number
    ranges: tuple[tuple[Scope, Column[int], int], ...] = (
        ("transactions", _tx.id, _TRANSACTIONS_AT_ONCE),
        ("entries", journal_entry.c.id, _ENTRIES_AT_ONCE),
    )
    for scope, column, size in ranges:
        of_scope = [one for one in found if one.scope == scope]
        computed = recomputes and scope == "transactions"
        if not of_scope and not computed:
            continue
        for ids in _divide(connection, column, size):
            yield lambda ids=ids, of_scope=of_scope, computed=computed: _look(  # type: ignore[misc]
                connection, ids, of_scope, currency if computed else None
            )
    if recomputes:
        yield from prepayment_tax.steps(connection)
    if 4 in wanted:  # noqa: PLR2004 - the invariant's number
        for keys in _accounts(connection):
            yield lambda keys=keys: credit_history.look_back(connection, keys, slack)  # type: ignore[misc]


def _look(connection: Connection, ids: Range, found: list[Check], currency: Currency | None) -> Iterator[Violation]:
    """Run the checks of a range while its rows are near; with a currency, compute its charges again."""
    for one in found:
        yield from run(connection, one, ids)
    if currency is not None:
        yield from recomputation.recompute(connection, ids, currency)


def _divide(connection: Connection, column: Column[int], size: int) -> Iterator[Range]:
    """Divide all numbers there are, so that about `size` rows of the column fall into each range."""
    borders = [_LEAST]
    while True:
        after = literal(borders[-1], BigInteger)
        following = select(column).where(column > after).order_by(column).limit(1).offset(size - 1)
        border = connection.execute(following).scalar()
        if border is None:
            break
        borders.append(border)
    for before, last in pairwise([*borders, _MOST]):
        yield Range(before if before == _LEAST else before + 1, last)


def _accounts(connection: Connection) -> Iterator[list[int]]:
    """Divide the accounts for which something was ever charged."""
    last = _LEAST
    while True:
        following = select(_tx.account_id).where(_tx.account_id > last).group_by(_tx.account_id)
        keys = list(connection.execute(following.order_by(_tx.account_id).limit(_ACCOUNTS_AT_ONCE)).scalars())
        if not keys:
            return
        yield keys
        last = keys[-1]


def _hold_checks() -> tuple[Check, ...]:
    """Invariant 2: open holds match unfinished transactions (with an account) one to one: open, orphaned, or ended in
    a way that a person has to decide about.
    """
    unfinished = or_(_tx.state != "ended", _tx.uncharged_reason.in_(WAITING))
    same = and_(_hold.reference == _tx.id, _hold.account_id == _tx.account_id, _hold.state == "open")
    return (
        Check(
            2,
            "an unfinished transaction has an open hold on its account",
            select(_tx.id.label("transaction"), _tx.state, _tx.account_id.label("account")).where(
                within(_tx.id), unfinished, _tx.account_id.is_not(None), ~exists().where(same)
            ),
            "transactions",
        ),
        Check(
            2,
            "an open hold belongs to an unfinished transaction of its account",
            select(_hold.reference.label("transaction"), _hold.account_id.label("account"), _hold.amount_minor).where(
                within(_hold.reference), _hold.state == "open", ~exists().where(same, unfinished)
            ),
            "transactions",
        ),
    )


def _charge_checks() -> tuple[Check, ...]:
    """Invariant 3: every ended transaction is charged exactly once or carries an explicit reason why not."""
    ended, reason, settled = and_(within(_tx.id), _tx.state == "ended"), _tx.uncharged_reason, is_settled(_tx.id)
    total = settled_minor(_tx.id)
    one = (_tx.id.label("transaction"), _tx.cost_minor)
    return (
        Check(
            3,
            "an ended transaction is charged or says why not",
            select(*one, _tx.account_id.label("account")).where(ended, reason.is_(None), ~settled),
            "transactions",
        ),
        Check(
            3,
            "a transaction that says why it is not charged has no settle entry and no cost",
            select(*one, reason, total.label("settled_minor")).where(
                ended, reason.is_not(None), or_(settled, _tx.cost_minor != 0)
            ),
            "transactions",
        ),
        Check(
            3,
            "the settle entry of a transaction sums to its cost",
            select(*one, total.label("settled_minor")).where(ended, reason.is_(None), total != _tx.cost_minor),
            "transactions",
        ),
    )


def _reason_checks() -> tuple[Check, ...]:
    """Invariant 3: a reason why nothing is charged is one that there is, and true; what waits is in the queue."""
    ended, reason = and_(within(_tx.id), _tx.state == "ended"), _tx.uncharged_reason
    asked = exists().where(review_item.c.transaction_id == _tx.id)
    true_reasons = (
        and_(reason == closing.NO_ENERGY, _tx.energy_wh == 0),
        and_(reason == closing.NO_ACCOUNT, _tx.account_id.is_(None)),
        and_(reason == closing.NO_TARIFF, _tx.tariff_json == ""),
        and_(reason == WAIVED, asked.where(review_item.c.decision == "waive")),
        reason.in_((closing.NOTHING_TO_CHARGE, *WAITING)),
    )
    waits = or_(_tx.state == "orphaned", reason.in_((*WAITING, closing.NO_ACCOUNT)))
    one = (_tx.id.label("transaction"), _tx.state, reason, _tx.energy_wh)
    return (
        Check(
            3,
            "the reason why a transaction is not charged is true",
            select(*one).where(ended, reason.is_not(None), not_(or_(*true_reasons))),
            "transactions",
        ),
        Check(
            3,
            "what waits for a person is in the review queue",
            select(*one).where(within(_tx.id), waits, ~asked.where(review_item.c.resolved_at.is_(None))),
            "transactions",
        ),
    )


def _energy_checks() -> tuple[Check, ...]:
    """Invariant 8: the energy of a charge is what its registers say, or a flag says what else it is."""
    ended, told_wh = and_(within(_tx.id), _tx.state == "ended"), _tx.meter_stop_wh - _tx.meter_start_wh
    explained = or_(*(_tx.flags.contains(flag) for flag in closing.OTHER_ENERGY))
    is_estimate = func.coalesce(_tx.uncharged_reason, "").in_(WAITING)
    is_whole = _tx.corrected_energy_wh.is_(None) == _tx.corrected_ended_at.is_(None)
    one = (_tx.id.label("transaction"), _tx.corrected_energy_wh, _tx.corrected_ended_at)
    return (
        Check(
            8,
            "a correction says both energy and end, of a transaction that ended",
            select(*one).where(
                within(_tx.id),
                or_(~is_whole, and_(_tx.corrected_ended_at.is_not(None), _tx.state != "ended")),
            ),
            "transactions",
        ),
        Check(
            8,
            "the energy of a charge is that between its registers, or says why not",
            select(_tx.id.label("transaction"), _tx.energy_wh, _tx.meter_start_wh, _tx.meter_stop_wh).where(
                ended, ~is_estimate, func.coalesce(told_wh, -1) != _tx.energy_wh, ~explained
            ),
            "transactions",
        ),
    )


def _settlement_checks() -> tuple[Check, ...]:
    """Invariant 3, from the other side: what was settled is a transaction that ended, and its account paid."""
    entry = journal_entry.c
    has_ended = exists().where(_tx.id == entry.reference, _tx.state == "ended")
    return (
        Check(
            3,
            "only an ended transaction is settled",
            select(entry.reference.label("transaction"), settled_minor(entry.reference).label("settled_minor")).where(
                within(entry.reference), entry.event == "settle", ~has_ended
            ),
            "transactions",
        ),
        Check(
            3,
            "a charge is paid by the account of its transaction",
            select(journal_entry.c.id.label("entry"), _tx.id.label("transaction"), transfer.c.debit_account_id)
            .select_from(
                transfer.join(journal_entry, journal_entry.c.id == transfer.c.entry_id).join(
                    charging_transaction, _tx.id == journal_entry.c.reference
                )
            )
            .where(
                within(journal_entry.c.reference),
                journal_entry.c.event == "settle",
                or_(_tx.account_id.is_(None), transfer.c.debit_account_id != _tx.account_id),
            ),
            "transactions",
        ),
        Check(
            3,
            "an adjustment is about an ended transaction and moves money of its account",
            select(entry.id.label("entry"), entry.reference.label("transaction"), entry.idempotency_key).where(
                entry.event == "adjustment", ~exists().where(_is_adjusted(entry))
            ),
        ),
        Check(
            8,
            "a transaction with an adjustment says what it was corrected to",
            select(entry.id.label("entry"), entry.reference.label("transaction"), entry.idempotency_key).where(
                entry.event == "adjustment",
                exists().where(_tx.id == entry.reference, _tx.corrected_ended_at.is_(None)),
            ),
        ),
    )


def _is_adjusted(entry: Any) -> ColumnElement[bool]:  # noqa: ANN401 - the columns of entries
    """Tell whether an adjustment's transaction ended, and whether each transfer has its account on one side."""
    sides = (transfer.c.debit_account_id, transfer.c.credit_account_id)
    stranger = exists().where(transfer.c.entry_id == entry.id, _tx.account_id.not_in(sides))
    stranger = stranger.correlate(journal_entry, charging_transaction)  # else it looks at the transfers of all entries
    return and_(_tx.id == entry.reference, _tx.state == "ended", _tx.account_id.is_not(None), ~stranger)


def _repetition_checks() -> tuple[Check, ...]:
    """Invariant 5: a repeated StartTransaction or StopTransaction left one transaction."""
    times = func.count()
    return (
        Check(
            5,
            "one StartTransaction begins one transaction",
            select(_tx.natural_key, times.label("transactions"), func.min(_tx.id).label("first"))
            .group_by(_tx.natural_key)
            .having(times > 1),
        ),
        Check(
            5,
            "one StopTransaction ends one transaction",
            select(_tx.stop_key, times.label("transactions"), func.min(_tx.id).label("first"))
            .where(_tx.stop_key.is_not(None))
            .group_by(_tx.stop_key)
            .having(times > 1),
        ),
    )
