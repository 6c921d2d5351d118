"""Checks that every transaction stands in the ledger as it must: the energy's part of `csms ledger verify`.

Joins transactions with holds and settle entries; `billing.verification` checks the money by itself and lists the
invariants. Reads only; each check is one SELECT that finds only violations.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from csms.billing.models import hold, journal_entry, transfer
from csms.billing.verification import Check, Violation, run, settlements
from csms.charging.models import charging_transaction

_tx, _hold = charging_transaction.c, hold.c


def verify(connection: Connection) -> Iterator[Violation]:
    """Return the transactions and holds that do not fit each other: none, in a sound installation."""
    yield from run(connection, (*_hold_checks(), *_charge_checks(), *_settlement_checks(), *_repetition_checks()))


def _hold_checks() -> tuple[Check, ...]:
    """Invariant 2: open holds match unfinished transactions (open or orphaned, with an account) one to one."""
    unfinished = _tx.state != "ended"
    same = and_(_hold.reference == _tx.id, _hold.account_id == _tx.account_id, _hold.state == "open")
    return (
        Check(
            2,
            "an unfinished transaction has an open hold on its account",
            select(_tx.id.label("transaction"), _tx.state, _tx.account_id.label("account")).where(
                unfinished, _tx.account_id.is_not(None), ~exists().where(same)
            ),
        ),
        Check(
            2,
            "an open hold belongs to an unfinished transaction of its account",
            select(_hold.reference.label("transaction"), _hold.account_id.label("account"), _hold.amount_minor).where(
                _hold.state == "open", ~exists().where(same, unfinished)
            ),
        ),
    )


def _charge_checks() -> tuple[Check, ...]:
    """Invariant 3: every ended transaction is charged exactly once or carries an explicit reason why not."""
    settled = settlements()
    ended, reason = _tx.state == "ended", _tx.uncharged_reason
    with_settlement = charging_transaction.outerjoin(settled, settled.c.reference == _tx.id)
    has_settlement = settled.c.reference.is_not(None)
    one = (_tx.id.label("transaction"), _tx.cost_minor)

    def joined(*more: ColumnElement[Any], where: ColumnElement[bool]) -> Any:  # noqa: ANN401 - SQLAlchemy's Select
        return select(*one, *more).select_from(with_settlement).where(where)

    return (
        Check(
            3,
            "an ended transaction is charged or says why not",
            joined(_tx.account_id.label("account"), where=and_(ended, reason.is_(None), ~has_settlement)),
        ),
        Check(
            3,
            "a transaction that says why it is not charged has no settle entry and no cost",
            joined(
                reason,
                settled.c.total_minor.label("settled_minor"),
                where=and_(ended, reason.is_not(None), or_(has_settlement, _tx.cost_minor != 0)),
            ),
        ),
        Check(
            3,
            "the settle entry of a transaction sums to its cost",
            joined(
                settled.c.total_minor.label("settled_minor"),
                where=and_(ended, reason.is_(None), has_settlement, settled.c.total_minor != _tx.cost_minor),
            ),
        ),
    )


def _settlement_checks() -> tuple[Check, ...]:
    """Invariant 3, from the other side: what was settled is a transaction that ended, and its account paid."""
    settled = settlements()
    ended = _tx.state == "ended"
    return (
        Check(
            3,
            "only an ended transaction is settled",
            select(settled.c.reference.label("transaction"), settled.c.total_minor.label("settled_minor")).where(
                ~exists().where(_tx.id == settled.c.reference, ended)
            ),
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
                journal_entry.c.event == "settle",
                or_(_tx.account_id.is_(None), transfer.c.debit_account_id != _tx.account_id),
            ),
        ),
    )


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
