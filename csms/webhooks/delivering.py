"""Delivers: takes events off their rows, queues them for each webhook, sends what is due, and tries again what failed.

The queue and the place in the order of events change in one unit of work, so that every event is queued once; it is
sent at least once. One node delivers for a webhook at a time. Knows neither pages nor the API.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from csms.clock import Clock
from csms.errors import CsmsError
from csms.installation import Installation
from csms.operations.event_store import EventBatch, forget_events, read_events
from csms.operations.webhook_alarms import NoteWebhook
from csms.sealing import Sealer
from csms.webhooks import signing, store
from csms.webhooks.sending import Outcome, send
from csms.webhooks.store import Delivery, NewDelivery, Webhook

log = structlog.get_logger()

Result = TypeVar("Result")
ShowEvents = Callable[[EventBatch, tuple[str, ...]], list[NewDelivery]]
Forget = Callable[[Connection, datetime], bool]

_LOOK_S = 1.0
_LEASE = timedelta(seconds=120)
_ROWS_AT_ONCE = 100
_MOST_WAITING = 2000  # of one webhook; beyond it events stay where they are until some are sent
_AT_ONCE = 2  # deliveries of one webhook: a receiver that is slow leaves threads to the others
_THREADS = 8
_PRUNE_EVERY_S = 600.0
_REST_S = 0.1  # between two steps, so that nobody waits for more than one
_HISTORY = timedelta(days=7)
_BACK_OFF_S = (5, 30, 120, 600, 1800, 3600)
_GONE = 410


def back_off(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts that failed."""
    return timedelta(seconds=_BACK_OFF_S[min(attempts, len(_BACK_OFF_S)) - 1])


class Deliveries:
    """The webhooks' work in one process."""

    def __init__(self, installation: Installation, clock: Clock, show: ShowEvents, forget: Forget) -> None:
        """Nothing happens before `run`. `show` turns events into what is sent; `forget` removes some of what else is
        old, and tells whether there may be more.
        """
        settings = installation.settings
        self._installation = installation
        self._database = installation.database
        self._clock = clock
        self._show = show
        self._forget = forget
        self._sealer = Sealer(settings)
        self._node = settings.node_name
        self._allowed = settings.allowed_webhook_hosts
        self._timeout_s = settings.webhook_timeout_s
        self._give_up = timedelta(hours=settings.webhook_give_up_h)
        self._retention = timedelta(hours=settings.event_retention_h)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook")
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self, *, look_s: float = _LOOK_S) -> None:
        """Deliver until cancelled, and forget beside it what is old."""
        forgetting = asyncio.create_task(self._forget_now_and_then())
        try:
            while True:
                try:
                    await self._look()
                except Exception:  # the next look tries again; the database's state is logged by the engine
                    log.warning("webhooks cannot be looked at", exc_info=True)
                await asyncio.sleep(look_s)
        finally:
            for task in (forgetting, *self._tasks.values()):
                task.cancel()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> None:
        if not self._installation.engine.available:
            return
        for one in await self._read(lambda connection: store.list_webhooks(connection, state="active")):
            task = self._tasks.get(one.webhook_id)
            if task is None or task.done():
                self._tasks[one.webhook_id] = asyncio.create_task(self._serve(one))
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}

    async def _forget_now_and_then(self) -> None:
        while True:
            try:
                if self._installation.engine.available:
                    await self.prune()
            except Exception:  # the next time tries again; the database's state is logged by the engine
                log.warning("old events not deleted", exc_info=True)
            await asyncio.sleep(_PRUNE_EVERY_S)

    async def prune(self, *, rest_s: float = _REST_S) -> None:
        """Delete what is too old in steps, each a unit of work of its own, so that no station waits for all of it."""
        now = self._clock()
        steps: tuple[Callable[[Connection], bool], ...] = (
            lambda connection: forget_events(connection, now - self._retention),
            lambda connection: store.forget_deliveries(connection, now - _HISTORY),
            lambda connection: self._forget(connection, now),
        )
        for step in steps:
            there_is_more = True
            while there_is_more:
                there_is_more = await self._write(step)
                await asyncio.sleep(rest_s)

    async def _serve(self, one: Webhook) -> None:
        """Queue what happened for a webhook and send what is due, until nothing is."""
        try:
            while await self._write(partial(self._lease, one.webhook_id)):
                current = await self._read(lambda connection: store.find_webhook(connection, one.webhook_id))
                if current is None or current.state != "active":
                    return
                moved = await self._write(partial(self._take_events, current))
                due = await self._read(partial(self._due, current))
                await asyncio.gather(*(self._deliver(current, each) for each in due))
                if not moved and not due:
                    return
        except CsmsError as error:
            log.warning("a webhook's deliveries wait", webhook=one.name, error=str(error))
        except Exception:
            log.exception("defect in webhooks", webhook=one.name)

    def _lease(self, webhook_id: int, connection: Connection) -> bool:
        now = self._clock()
        return store.lease(connection, webhook_id, self._node, now, now + _LEASE)

    def _take_events(self, one: Webhook, connection: Connection) -> bool:
        """Queue the next events of a webhook; tell whether there were any."""
        if store.count_waiting(connection, one.webhook_id) >= _MOST_WAITING:
            return False
        batches = read_events(connection, one.position, limit=_ROWS_AT_ONCE)
        if not batches:
            return False
        wanted = [delivery for batch in batches for delivery in self._show(batch, one.named_types)]
        store.add_deliveries(connection, one.webhook_id, wanted, batches[-1].position, self._clock())
        return True

    def _due(self, one: Webhook, connection: Connection) -> list[Delivery]:
        """Return what is due: one at a time while the receiver is away, so that it is not met with everything."""
        limit = _AT_ONCE if one.failing_since is None else 1
        return store.due_deliveries(connection, one.webhook_id, self._clock(), limit=limit)

    async def _deliver(self, one: Webhook, delivery: Delivery) -> None:
        outcome = await self._send(one, delivery)
        now = self._clock()
        is_over = not outcome.is_taken and now - delivery.created_at > self._give_up
        state: store.DeliveryState = "delivered" if outcome.is_taken else "failed" if is_over else "waiting"

        def note(connection: Connection) -> None:
            store.note_delivery(
                connection,
                delivery.delivery_id,
                state=state,
                due_at=now + back_off(delivery.attempts + 1),
                status=outcome.status,
                error=outcome.error,
                now=now,
            )
            store.note_standing(connection, one.webhook_id, now, is_taken=outcome.is_taken)

        await self._write(note)
        away = one.failing_since is not None and now - one.failing_since > self._give_up
        if not outcome.is_taken and (away or outcome.status == _GONE):
            await self._disable(one, outcome)

    async def _send(self, one: Webhook, delivery: Delivery) -> Outcome:
        secret = self._sealer.open(one.secret)
        if secret is None:
            return Outcome(None, "its secret was sealed with another CSMS_SECRET_KEY; make the webhook again")
        body = delivery.body.encode()
        headers = signing.headers(secret, delivery.event_id, self._clock(), body)
        call = partial(send, one.url, body, headers, allowed=self._allowed, timeout_s=self._timeout_s)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _disable(self, one: Webhook, outcome: Outcome) -> None:
        log.error("webhook disabled", webhook=one.name, error=outcome.error)
        await self._write(lambda connection: store.change_webhook(connection, one.webhook_id, {"state": "disabled"}))
        text = f"The webhook {one.name} takes nothing any more: {outcome.error}"
        await self._installation.engine.submit(NoteWebhook(one.webhook_id, text[:300]))

    async def _read(self, query: Callable[[Connection], Result]) -> Result:
        def reading() -> Result:
            with self._database.reading() as connection:
                return query(connection)

        return await asyncio.to_thread(reading)

    async def _write(self, change: Callable[[Connection], Result]) -> Result:
        def unit_of_work() -> Result:
            with self._database.unit_of_work() as connection:
                return change(connection)

        return await asyncio.to_thread(unit_of_work)
