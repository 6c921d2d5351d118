"""Looks back at the credit of an account at each moment it was authorized: invariants 4 and 9.

What can be checked afterwards: for every accepted StartTransaction, what its account had then, computed again from
the entries recorded before and from the holds placed before and not resolved yet, with the overdraft that was allowed
then (it stands with the hold, since a group's limit may change), was at least one minor unit and at least what was set
aside for it. A hold counts with what it was *placed* with. How far it had grown by then is not stored, so a grown hold
that was ignored would not be found; nor can an Authorize, which leaves no row, be checked.

Transaction ids of one account rise in the order in which they were decided under the account's lock. Of what else
happened around a start, only the time is stored, which several nodes write by their own clocks: what lies within
`slack` of it, or in the same unit of work, counts in the account's favour. Reads only.
"""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Connection, and_, case, cast, func, select

from csms.billing.books import available
from csms.billing.models import hold, journal_entry, transfer
from csms.billing.verification import Violation, violation
from csms.charging.closing import MADE_OF_A_STOP, UNHEARD_OF
from csms.charging.models import charging_transaction, review_item
from csms.db import any_of, as_fact

SLACK = timedelta(minutes=1)
RULE = "credit was available when a transaction was accepted"
RULES = (RULE,)

_NEVER = datetime.max.replace(tzinfo=UTC)
_FREE = '{"tariff_id":0,%'  # what a transaction at a station carries where nobody pays

_tx, _hold, _entry, _transfer = charging_transaction.c, hold.c, journal_entry.c, transfer.c


class _Start(msgspec.Struct, frozen=True, gc=False):
    """A transaction that began, and the hold that was placed for it."""

    account_id: int
    transaction_id: int
    at: datetime
    placed_minor: int
    freed_at: datetime | None
    was_judged: bool
    overdraft_minor: int


class _Totals:
    """Amounts by the moment they were recorded, added up."""

    def __init__(self) -> None:
        self._rows: list[tuple[datetime, int]] = []

    def add(self, at: datetime, amount_minor: int) -> None:
        """Take an amount; all of them before the first question."""
        self._rows.append((at, amount_minor))

    def sort(self) -> None:
        """Prepare for questions."""
        self._rows.sort()
        self._times = [at for at, _ in self._rows]
        self._sums = [0, *accumulate(amount for _, amount in self._rows)]

    def until(self, at: datetime) -> int:
        """Return what was recorded until then, that moment included."""
        return self._sums[bisect_right(self._times, at)]

    def before(self, at: datetime) -> int:
        """Return what was recorded before then."""
        return self._sums[bisect_left(self._times, at)]


# The hold of a transaction that is taken for over because nothing is heard of it is lowered: the rest is free then.
_TAKEN_FOR_OVER_AT = (
    select(func.min(review_item.c.recorded_at)).where(review_item.c.transaction_id == _tx.id).scalar_subquery()
)
_STARTS = (
    select(
        _tx.account_id,
        _hold.reference,
        _tx.recorded_at,
        _hold.placed_minor,
        case((_tx.flags.contains(UNHEARD_OF), _TAKEN_FOR_OVER_AT), else_=_hold.resolved_at),
        and_(
            _tx.authorization_status == "Accepted",
            _tx.tariff_json.not_like(_FREE),
            _tx.flags.not_like(f"{MADE_OF_A_STOP}%"),  # a person decided whose it was, no card was judged
        ),
        _hold.overdraft_minor,
    )
    .select_from(charging_transaction.join(hold, _hold.reference == _tx.id))
    # a hold that a person placed later had no part in what was answered
    .where(any_of(_tx.account_id, "keys"), _hold.placed_at == _tx.recorded_at)
    .order_by(_tx.id)
)


def _moved(account: Any) -> Any:  # noqa: ANN401 - a column; SQLAlchemy's Select
    joined = transfer.join(journal_entry, _entry.id == _transfer.entry_id)
    moved = cast(func.sum(_transfer.amount_minor), BigInteger)  # net and tax of a charge at once: half the rows to read
    each = select(account, _entry.recorded_at, moved).select_from(joined).where(any_of(account, "keys"))
    return each.group_by(account, _entry.recorded_at)


_CREDITS, _DEBITS = _moved(_transfer.credit_account_id), _moved(_transfer.debit_account_id)


def look_back(connection: Connection, account_ids: Sequence[int], slack: timedelta = SLACK) -> Iterator[Violation]:
    """Return the accepted starts of some accounts for which there was no credit."""
    parameters = {"keys": list(account_ids)}
    starts: dict[int, list[_Start]] = {}
    for row in connection.execute(_STARTS, parameters):
        starts.setdefault(row[0], []).append(as_fact(_Start, row))
    paid_in = _totals(connection.execute(_CREDITS, parameters))
    taken = _totals(connection.execute(_DEBITS, parameters))
    for account_id, of_account in sorted(starts.items()):
        yield from _follow(of_account, paid_in.get(account_id), taken.get(account_id), slack)


def _totals(rows: Any) -> dict[int, _Totals]:  # noqa: ANN401 - a result
    by_account: dict[int, _Totals] = {}
    for account_id, at, amount_minor in rows:
        totals = by_account.get(account_id)
        if totals is None:
            totals = by_account[account_id] = _Totals()
        totals.add(at, amount_minor)
    for totals in by_account.values():
        totals.sort()
    return by_account


def _follow(
    starts: list[_Start], paid_in: _Totals | None, taken: _Totals | None, slack: timedelta
) -> Iterator[Violation]:
    open_holds: list[tuple[datetime, int]] = []  # by the moment they were free again
    held_minor = 0
    for one in starts:
        while open_holds and open_holds[0][0] <= one.at + slack:
            held_minor -= heapq.heappop(open_holds)[1]
        needed_minor = max(1, one.placed_minor)
        balance_minor = 0 if paid_in is None else paid_in.until(one.at + slack)
        balance_minor -= 0 if taken is None else taken.before(one.at - slack)
        if one.was_judged and available(balance_minor, held_minor, one.overdraft_minor) < needed_minor:
            found = {
                "transaction": one.transaction_id,
                "account": one.account_id,
                "balance_minor": balance_minor,
                "held_minor": held_minor,
                "overdraft_minor": one.overdraft_minor,
                "needed_minor": needed_minor,
            }
            yield violation(4, RULE, found.items())
        heapq.heappush(open_holds, (one.freed_at or _NEVER, one.placed_minor))
        held_minor += one.placed_minor
