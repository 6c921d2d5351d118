"""The credit guard's alarm clock: wakes up when a transaction is due and hands `GuardDue` to the engine.

Derived state: the moments stand in the rows, and a node takes up those of a station when it connects here. Decides
nothing; what is due and what follows is `credit_guard`'s matter. A change of an account makes all its transactions
be looked at, at once.
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Engine
from csms.charging.facts import Watch
from csms.clock import Clock
from csms.errors import CsmsError

log = structlog.get_logger()

_RETRY = timedelta(seconds=2)
_AT_ONCE = 64  # inputs handed to the engine together


class Guards:
    """The transactions of this process's stations, by when they are due."""

    def __init__(self, engine: Engine, clock: Clock, lag_ms: Callable[[int], int | None]) -> None:
        """`lag_ms` tells how long a charge point takes to answer, or None where it is not connected here."""
        self._engine = engine
        self._clock = clock
        self._lag_ms = lag_ms
        self._watches: dict[int, Watch] = {}
        self._by_account: dict[int, set[int]] = {}
        self._heap: list[tuple[datetime, int]] = []
        self._earliest: dict[int, datetime] = {}  # of each transaction's entries in the heap that still count
        self._changed: set[int] = set()  # transactions whose account changed
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """How many transactions are watched."""
        return len(self._watches)

    @property
    def scheduled(self) -> int:
        """How many entries the alarm clock has: about one for each transaction, however many readings came."""
        return len(self._heap)

    def watch(self, watches: dict[int, Watch], accounts: set[int] | None = None) -> None:
        """Take new moments; transactions of `accounts` that got none are looked at once, since their credit changed."""
        for transaction_id, watch in watches.items():
            self._set(transaction_id, watch)
        for account_id in accounts or ():
            self._changed |= self._by_account.get(account_id, set()) - watches.keys()
        self._wake.set()

    def _set(self, transaction_id: int, watch: Watch) -> None:
        old = self._watches.get(transaction_id)
        if watch.guard_at is None or (old is None and self._lag_ms(watch.charge_point_id) is None):
            self._forget(transaction_id)
            return
        if old is not None and old.account_id != watch.account_id:
            self._forget(transaction_id)
            old = None
        self._watches[transaction_id] = watch
        if old is None and watch.account_id is not None:
            self._by_account.setdefault(watch.account_id, set()).add(transaction_id)
        earliest = self._earliest.get(transaction_id)
        if earliest is None or watch.guard_at < earliest:  # else the entry that is there wakes up soon enough
            self._schedule(transaction_id, watch.guard_at)

    def _forget(self, transaction_id: int) -> None:
        old = self._watches.pop(transaction_id, None)
        if old is not None and old.account_id is not None:
            self._by_account[old.account_id].discard(transaction_id)
            if not self._by_account[old.account_id]:
                del self._by_account[old.account_id]
        self._earliest.pop(transaction_id, None)
        self._changed.discard(transaction_id)

    def _schedule(self, transaction_id: int, at: datetime) -> None:
        self._earliest[transaction_id] = at
        heapq.heappush(self._heap, (at, transaction_id))

    async def run(self) -> None:
        """Look at what is due, for ever."""
        while True:
            due = self._take_due()
            if due:
                await asyncio.gather(*(self._look(transaction_id) for transaction_id in due))
                continue
            self._wake.clear()
            wait_s = None
            if self._heap:
                wait_s = max(0, (self._heap[0][0] - self._clock()) / timedelta(seconds=1))
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                continue

    def _take_due(self) -> list[int]:
        now = self._clock()
        due = {self._changed.pop() for _ in range(min(len(self._changed), _AT_ONCE))}
        while self._heap and self._heap[0][0] <= now and len(due) < _AT_ONCE:
            at, transaction_id = heapq.heappop(self._heap)
            watch = self._watches.get(transaction_id)
            if watch is None or watch.guard_at is None or self._earliest.get(transaction_id) != at:
                continue  # it ended, or an earlier entry took this one's place
            del self._earliest[transaction_id]
            if watch.guard_at > now:  # it was put off since
                self._schedule(transaction_id, watch.guard_at)
            else:
                due.add(transaction_id)
        return sorted(due)

    async def _look(self, transaction_id: int) -> None:
        watch = self._watches.get(transaction_id)
        if watch is None:
            return
        lag_ms = self._lag_ms(watch.charge_point_id)
        if lag_ms is None:  # its station is gone; whoever it connects to takes the transaction up
            self._forget(transaction_id)
            return
        try:
            # The next moment comes with the commit.
            if not await self._engine.submit(GuardDue(transaction_id, lag_ms)):
                self._forget(transaction_id)
        except CsmsError as error:
            log.warning("credit guard not served", transaction=transaction_id, error=str(error))
        if self._watches.get(transaction_id) is watch and transaction_id not in self._earliest:
            self._schedule(transaction_id, self._clock() + _RETRY)  # nothing was stored: look again
