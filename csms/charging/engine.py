"""The engine: gathers what arrived, loads, decides, writes, commits once, answers.

It only calls things in order. What a message means is decided by pure functions (`DECIDERS`), what is loaded and
written by `store`. Everything that arrived while the previous batch was being committed is the next batch, so the
cost of SQL and of the durable commit is shared by all who wait. One thread of its own runs it; the event loop never
blocks.

    submit() ──▶ waiting ──▶ [ load ─ decide each ─ write ─ commit ] ──▶ futures, then commands ring
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from csms.billing import cards, prepaid
from csms.billing.books import Decision
from csms.billing.money import Currency
from csms.charging import (
    admission,
    authorization,
    command_queue,
    credit_guard,
    debts,
    defects,
    display_messages,
    doubts,
    follow_ups,
    metering,
    reviews,
    settings_plan,
    stations,
    store,
    transactions,
    zombies,
)
from csms.charging.facts import Policy, Watch
from csms.charging.working_set import Names, WorkingSet
from csms.clock import Clock, Seconds, monotonic_s
from csms.db import Database, is_conflict, is_storage_failure, notify
from csms.errors import CsmsError, DecisionFailed, Overloaded, StorageUnavailable

log = structlog.get_logger()

_SIBLINGS = 8  # a batch of more than so many: there is load, and to gather pays
_MS_PER_S = 1000
_LONGEST_END_S = 30  # a database that does not answer shall not keep the process from ending
DOORBELL = "csms_commands"  # rings other processes on PostgreSQL: "node|charge point charge point ..."
_LONGEST_RING = 7000  # of 8000 bytes; who is not named is found by the slow poll
_ATTEMPTS = 3  # of a batch that met another process, before its inputs are tried one by one


class Input(Protocol):
    """A frozen fact or wish that the engine takes: it says what must be loaded to decide it."""

    def name(self, names: Any, /) -> None:  # noqa: ANN401 - Names, or the part of it that billing knows
        """Add what must be loaded."""


Decide = Callable[[Any, WorkingSet, Any], Decision[Any]]


def _of_money(decide: Callable[..., Decision[Any]]) -> Callable[..., Decision[Any]]:
    """Give a rule of billing the books only."""
    return lambda asked, working_set, now: decide(asked, working_set.books, now)


DECIDERS: dict[type, Decide] = {
    authorization.Authorize: display_messages.shown(authorization.authorize, display_messages.after_authorize),
    transactions.StartTransaction: display_messages.shown(transactions.start, display_messages.after_start),
    metering.MeterValues: display_messages.shown(metering.meter_values, display_messages.after_meter_values),
    transactions.StopTransaction: display_messages.shown(transactions.stop, display_messages.after_stop),
    display_messages.ConnectorUnplugged: display_messages.unplugged,
    credit_guard.GuardDue: zombies.due,
    stations.Connect: admission.connect,
    stations.Open: stations.opened,
    stations.Disconnect: stations.disconnect,
    stations.HeardOf: stations.heard_of,
    stations.Boot: stations.boot,
    stations.StatusNotification: stations.status_notification,
    stations.AddChargePoint: stations.add,
    stations.ChangeKey: stations.change_key,
    command_queue.QueueCommand: command_queue.queue,
    command_queue.ClaimCommand: command_queue.claim,
    command_queue.AnswerCommand: follow_ups.answered,
    reviews.ResolveReview: reviews.resolve,
    doubts.DoubtCharge: doubts.doubt,
    defects.KeepDefect: defects.keep,
    settings_plan.CheckSettings: settings_plan.check,
    prepaid.TopUp: _of_money(prepaid.top_up),
    prepaid.IssueCard: _of_money(prepaid.issue_card),
    prepaid.ChangeCardState: _of_money(prepaid.change_card_state),
    cards.SetExpiry: _of_money(cards.set_expiry),
    cards.JoinCard: _of_money(cards.join_card),
    cards.ImportCards: _of_money(cards.import_cards),
}


@dataclass(frozen=True)
class Rules:
    """What an engine decides, and what is loaded and written for it beside charging's own rows."""

    deciders: Mapping[type, Decide]
    loaders: tuple[store.Loader, ...] = ()
    writers: Mapping[type, store.Writer] = field(default_factory=dict)
    recorders: tuple[store.Recorder, ...] = ()  # write down, last of all, what the unit of work did


class Effects:
    """What is to be started once a batch is committed: commands that wait, guards to set, accounts that changed."""

    def __init__(self) -> None:
        """Nothing, so far."""
        self.ringing: set[int] = set()
        self.watches: dict[int, Watch] = {}
        self.accounts: set[int] = set()
        self.decided: set[int] = set()  # commands of which it is known now what became of them

    def add(self, other: "Effects") -> None:
        """Take another batch's effects in."""
        self.ringing |= other.ringing
        self.watches |= other.watches
        self.accounts |= other.accounts
        self.decided |= other.decided


class Batch:
    """One unit of work over several inputs: the outcomes (or errors) in order, and its effects."""

    def __init__(self, outcomes: list[Any], effects: Effects | None = None) -> None:
        """Keep what came out."""
        self.outcomes = outcomes
        self.effects = effects or Effects()


class Engine:
    """The single writer of a process."""

    def __init__(
        self,
        database: Database,
        currency: Currency,
        policy: Policy,
        clock: Clock,
        *,
        batch_max: int,
        queue_max: int,
        linger_ms: int = 0,
        rules: Rules | None = None,
    ) -> None:
        """Nothing runs before `start`; `execute` works without it. Without `rules` it knows those of charging."""
        self._database = database
        self._currency = currency
        self._policy = policy
        self._clock = clock
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._linger_ms = linger_ms
        self._rules = rules or Rules(DECIDERS)
        self._waiting: deque[tuple[Input, asyncio.Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._ending = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: list[asyncio.Future[Any]] = []
        self._since_s: Seconds | None = (
            None  # when the batch that runs was begun; None where none runs, or it was given up
        )
        self.available = True
        self.node = ""  # who rings other nodes; one does not ring at itself
        self.on_commands: Callable[[set[int]], None] = lambda _: None
        self.on_watches: Callable[[dict[int, Watch], set[int]], None] = lambda _watches, _accounts: None
        self.on_availability: Callable[[bool], None] = lambda _: None
        self.on_decided: list[Callable[[set[int]], None]] = []  # told which commands got their final answer

    @property
    def waiting(self) -> int:
        """How many inputs wait for the next batch."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the thread; to be called in the event loop whose futures it resolves."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Let what waits be committed and answered, then end the thread."""
        with self._wake:
            self._stopping = True
            self._ending.set()
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _LONGEST_END_S)
        await asyncio.sleep(0)  # let the last answers through

    async def submit(self, asked: Input) -> Any:  # noqa: ANN401 - the outcome of the input's rule
        """Return the outcome once it is committed; raise `StorageUnavailable` or `DecisionFailed` if nothing was
        stored.
        """
        if not self.available:
            raise StorageUnavailable("the database does not take anything at the moment")
        assert self._loop is not None, "the engine was not started"
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._wake:
            if self._stopping:
                raise StorageUnavailable("the server is stopping")
            if len(self._waiting) >= self._queue_max:
                raise Overloaded("too much is waiting to be stored")
            self._waiting.append((asked, future))
            self._wake.notify()
        return await future

    def execute(self, asked: Input) -> Any:  # noqa: ANN401 - the outcome of the input's rule
        """Decide and commit one input in the calling thread; for commands beside a running server."""
        batch = self.run([asked])
        if isinstance(batch.outcomes[0], CsmsError):
            raise batch.outcomes[0]
        return batch.outcomes[0]

    def run(self, inputs: Sequence[Input]) -> Batch:
        """Load, decide, write and commit `inputs` as one unit of work. On a conflict with another process, do it
        again.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._unit_of_work(inputs)
            except SQLAlchemyError as error:
                if not is_conflict(error):
                    return self._failed(inputs, error)
                log.info("batch meets another writer", inputs=len(inputs), error=str(error.__cause__))
            except Exception as error:  # noqa: BLE001 - whatever one input did, the others shall not suffer
                return self._failed(inputs, error)
        return self._alone(inputs, "it meets another writer each time")

    def _unit_of_work(self, inputs: Sequence[Input]) -> Batch:
        names = Names()
        for one in inputs:
            one.name(names)
        with self._database.unit_of_work() as connection:
            now = self._clock()
            working_set = store.load(connection, names, self._currency, self._policy, now, self._rules.loaders)
            outcomes = [self._decide(one, working_set, now) for one in inputs]
            working_set.take(debts.noted(working_set))
            effects = Effects()
            effects.ringing = store.write(connection, working_set, now, self._rules.writers)
            if effects.ringing:
                notify(
                    connection, DOORBELL, f"{self.node}|{' '.join(map(str, sorted(effects.ringing)))}"[:_LONGEST_RING]
                )
            for record in self._rules.recorders:
                record(connection, working_set, now)
        effects.watches = working_set.watches()
        effects.accounts = set(working_set.books.touched_accounts())
        effects.decided = working_set.decided_commands()
        return Batch(outcomes, effects)

    def _decide(self, asked: Input, working_set: WorkingSet, now: Any) -> Any:  # noqa: ANN401 - any outcome
        try:
            decision = self._rules.deciders[type(asked)](asked, working_set, now)
        except Exception:
            log.exception("decision failed", input=type(asked).__name__)
            return DecisionFailed(f"a defect met while deciding {type(asked).__name__}")
        working_set.take(decision.intents)
        return decision.outcome

    def _failed(self, inputs: Sequence[Input], error: Exception) -> Batch:
        if not is_storage_failure(error):
            return self._alone(inputs, str(error.__cause__ or error))
        log.error("storage failed", inputs=len(inputs), error=str(error.__cause__ or error))
        failure = StorageUnavailable("the database did not take it; nothing was stored")
        return Batch([failure] * len(inputs))

    def _alone(self, inputs: Sequence[Input], why: str) -> Batch:
        """One input is at fault: do each in a unit of work of its own, so that the others do not suffer."""
        if len(inputs) == 1:
            log.error("input cannot be stored", input=type(inputs[0]).__name__, error=why)
            return Batch([DecisionFailed(f"{type(inputs[0]).__name__} cannot be stored")])
        outcomes: list[Any] = []
        effects = Effects()
        for one in inputs:
            single = self.run([one])
            effects.add(single.effects)
            outcomes += single.outcomes
            if isinstance(single.outcomes[0], StorageUnavailable):  # nor will it take those after it
                outcomes += single.outcomes * (len(inputs) - len(outcomes))
                break
        return Batch(outcomes, effects)

    def _run(self) -> None:
        size = 0
        while True:
            if size > _SIBLINGS:  # whoever was just answered asks again at once: together they cost less
                self._ending.wait(self._linger_ms / _MS_PER_S)
            with self._wake:
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                if not self._waiting:
                    return
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_max))]
            size = len(taken)
            self._running, self._since_s = [future for _, future in taken], monotonic_s()
            try:
                batch = self.run([asked for asked, _ in taken])
            except Exception:
                log.exception("engine defect")
                batch = Batch([DecisionFailed("a defect of the engine")] * len(taken))
            given_up = self._since_s is None
            self._since_s = None
            self.available = not any(isinstance(one, StorageUnavailable) for one in batch.outcomes)
            self._to_loop(self._answer, self._running, batch)
            if not self.available:
                self._wait_for_storage()
            elif given_up:
                self._to_loop(self.on_availability, True)

    def look_again(self, accounts: set[int]) -> None:
        """Have what charges on accounts looked at, at once: what they may spend was changed beside the engine."""
        self.on_watches({}, accounts)

    async def watch(self, longest_s: Seconds) -> None:
        """Notice a database that neither answers nor fails, for ever: nobody waits for it longer than `longest_s`.

        What it was given may still be committed when it wakes up; whoever asked was told nothing and asks again.
        """
        while True:
            await asyncio.sleep(longest_s / 4)
            since_s = self._since_s
            if since_s is None or monotonic_s() - since_s < longest_s:
                continue
            log.error("the database does not answer", inputs=len(self._running))
            self.available, self._since_s = False, None
            with self._wake:
                given_up = [*self._running, *(future for _, future in self._waiting)]
                self._waiting.clear()
            failure = StorageUnavailable("the database does not answer")
            self._answer(given_up, Batch([failure] * len(given_up)))
            self.on_availability(False)

    def _answer(self, futures: list[asyncio.Future[Any]], batch: Batch) -> None:
        for future, outcome in zip(futures, batch.outcomes, strict=True):
            if future.done():
                continue  # whoever asked is gone; it is stored all the same
            if isinstance(outcome, CsmsError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if batch.effects.ringing:
            self.on_commands(batch.effects.ringing)
        if batch.effects.watches or batch.effects.accounts:
            self.on_watches(batch.effects.watches, batch.effects.accounts)
        if batch.effects.decided:
            for tell in self.on_decided:
                tell(batch.effects.decided)

    def _wait_for_storage(self) -> None:
        """Refuse everything until a durable write succeeds again; nobody has to restart anything."""
        with self._wake:
            refused = [future for _, future in self._waiting]
            self._waiting.clear()
        failure = StorageUnavailable("the database does not take anything at the moment")
        self._to_loop(self._answer, refused, Batch([failure] * len(refused)))
        self._to_loop(self.on_availability, False)
        while not self._stopping and not store.probe(self._database, self._clock()):
            with self._wake:
                self._wake.wait(timeout=1.0)
        self.available = True
        log.warning("storage is back")
        self._to_loop(self.on_availability, True)

    def _to_loop(self, callback: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - the callback's own
        assert self._loop is not None, "the engine was not started"
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)
