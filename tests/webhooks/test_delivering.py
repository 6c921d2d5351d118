"""Webhooks: every event arrives, signed, in spite of receivers that fail; one that is away for long is disabled."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from csms import clock
from csms.charging import models
from csms.config import Settings
from csms.db import Database
from csms.operations.event_models import event_batch
from csms.operations.event_store import newest_position
from csms.sealing import Sealer
from csms.web.api import repetitions
from csms.web.api.event_views import deliveries
from csms.webhooks import signing, store
from csms.webhooks.delivering import Deliveries, back_off
from csms.webhooks.models import webhook_delivery
from tests.conftest import settings_for
from tests.support.receiver import Receiver, receiving
from tests.support.world import CARD, World, open_world

SECRET = signing.new_secret()


class Hooks:
    """The webhooks' work on a world, at a moment that the test says."""

    def __init__(self, world: World, receiver: Receiver, node: str = "") -> None:
        self.world = world
        self.receiver = receiver
        self.now: datetime = clock.now()
        self.number = 0
        self.work = Deliveries(
            world.installation,
            lambda: self.now,
            lambda batch, types: deliveries(batch, types, world.installation.currency),
            repetitions.forget,
        )
        self.work._node = node or self.work._node

    def add(self, *types: str, url: str = "") -> int:
        """Make a webhook for what happens from now on."""
        with self.world.database.unit_of_work() as connection:
            self.number = store.add_webhook(
                connection,
                name="Books",
                url=url or self.receiver.url,
                types=types,
                sealed_secret=Sealer(self.world.installation.settings).seal(SECRET),
                created_by="test",
                position=newest_position(connection),
                now=self.now,
            )
        return self.number

    async def look(self, later: timedelta = timedelta(0)) -> None:
        """Let time pass and everything that is due be done."""
        self.now += later
        await self.work._look()
        await asyncio.gather(*self.work._tasks.values())

    def webhook(self) -> store.Webhook:
        """Return the webhook."""
        with self.world.database.reading() as connection:
            found = store.find_webhook(connection, self.number)
        assert found is not None
        return found

    def history(self) -> list[store.Delivery]:
        """Return the deliveries, oldest first."""
        with self.world.database.reading() as connection:
            return store.list_deliveries(connection, self.number, limit=1000)[::-1]

    def change(self, **values: object) -> None:
        """Change the webhook."""
        with self.world.database.unit_of_work() as connection:
            store.change_webhook(connection, self.number, values)


@pytest.fixture
async def hooks(settings: Settings) -> AsyncIterator[Hooks]:
    """A world on each database, and a receiver at 127.0.0.1, which the settings allow."""
    allowing = settings.model_copy(update={"webhook_hosts": "127.0.0.1", "webhook_timeout_s": 1})
    async with open_world(allowing) as world, receiving() as receiver:
        yield Hooks(world, receiver)


async def _charge(world: World, minutes: int = 0) -> int:
    async with world.station() as peer:
        started = await peer.start(CARD, minutes * 10, world.at(minutes))
        number: int = started["transactionId"]
        await peer.stop(number, minutes * 10 + 1000, world.at(minutes + 5))
    return number


async def test_every_event_is_delivered_once_and_signed(hooks: Hooks) -> None:
    hooks.add()
    await _charge(hooks.world)
    await hooks.look()
    await hooks.look()
    types = hooks.receiver.types()
    assert types.count("transaction.started") == types.count("transaction.ended") == 1
    for one in hooks.receiver.came:
        identity, timestamp = one.headers["webhook-id"], one.headers["webhook-timestamp"]
        assert one.headers["webhook-signature"] == f"v1,{signing.signature(SECRET, identity, timestamp, one.body)}"
        assert one.json["id"] == identity
        assert one.path == "/hook?a=1"
    assert len({one.headers["webhook-id"] for one in hooks.receiver.came}) == len(types)
    assert {one.state for one in hooks.history()} == {"delivered"}
    assert hooks.webhook().delivered_at == hooks.now


async def test_only_the_types_that_were_asked_for_are_sent_with_their_money(hooks: Hooks) -> None:
    hooks.add("transaction.ended", "account.paid_in")
    await _charge(hooks.world)
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    ended, paid = sorted(hooks.receiver.came, key=lambda one: one.json["id"])
    assert ended.json["data"]["cost"] == {"amount": "0.95", "currency": "EUR"}
    assert paid.json["data"]["amount"] == {"amount": "5.00", "currency": "EUR"}


async def test_what_happened_before_a_webhook_was_made_is_not_sent(hooks: Hooks) -> None:
    await hooks.world.top_up(CARD, 500)
    hooks.add()
    await hooks.look()
    assert hooks.receiver.came == []


@pytest.mark.parametrize("status", [500, 404, 301, None])
async def test_a_receiver_that_fails_is_tried_again_later_and_later(hooks: Hooks, status: int | None) -> None:
    hooks.add("account.paid_in")
    hooks.receiver.status = status
    hooks.receiver.more_headers = "Location: http://127.0.0.1:9/\r\n" if status == 301 else ""
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    await hooks.look(timedelta(seconds=4))
    assert len(hooks.receiver.came) == 1
    await hooks.look(timedelta(seconds=1))
    await hooks.look(timedelta(seconds=29))
    assert len(hooks.receiver.came) == 2
    [delivery] = hooks.history()
    assert (delivery.state, delivery.attempts, delivery.status) == ("waiting", 2, status)
    assert delivery.error
    hooks.receiver.status = 200
    await hooks.look(timedelta(seconds=1))
    assert [one.headers["webhook-id"] for one in hooks.receiver.came] == [delivery.event_id] * 3
    assert (hooks.history()[0].state, hooks.webhook().failing_since) == ("delivered", None)


async def test_a_receiver_that_is_away_for_days_is_disabled_with_an_alarm(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    hooks.receiver.status = 500
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    await hooks.look(timedelta(hours=71))
    assert hooks.webhook().state == "active"
    await hooks.look(timedelta(hours=2))
    assert hooks.webhook().state == "disabled"
    assert hooks.history()[0].state == "failed"
    with hooks.world.database.reading() as connection:
        [alarm] = connection.execute(models.alarm.select()).all()
    assert (alarm.kind, alarm.cleared_at) == ("webhook disabled", None)
    sent = len(hooks.receiver.came)
    await hooks.look(timedelta(hours=2))
    assert len(hooks.receiver.came) == sent


async def test_a_receiver_that_is_gone_is_disabled_at_once(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    hooks.receiver.status = 410
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    assert hooks.webhook().state == "disabled"


async def test_while_the_receiver_is_away_one_delivery_tries_the_way(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    hooks.receiver.status = 503
    await hooks.world.top_up(CARD, 100)
    await hooks.look()
    for _ in range(10):
        await hooks.world.top_up(CARD, 100)
    await hooks.look(timedelta(seconds=60))
    hooks.receiver.status = 200
    hooks.receiver.came.clear()
    await hooks.look(timedelta(hours=2))
    assert len(hooks.receiver.came) == 11
    assert {one.state for one in hooks.history()} == {"delivered"}


async def test_a_paused_webhook_is_sent_what_it_missed_when_it_goes_on(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    hooks.change(state="paused")
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    assert hooks.receiver.came == []
    hooks.change(state="active")
    await hooks.look()
    assert hooks.receiver.types() == ["account.paid_in"]


async def test_a_slow_receiver_leaves_threads_to_the_others(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    for _ in range(5):
        await hooks.world.top_up(CARD, 100)
    running: list[int] = []
    most = 0
    whole = hooks.work._send

    async def counting(one: Any, delivery: Any) -> Any:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        try:
            return await whole(one, delivery)
        finally:
            running.pop()

    hooks.work._send = counting  # type: ignore[method-assign]
    await hooks.look()
    assert most == 2
    assert len(hooks.receiver.came) == 5


async def test_two_nodes_deliver_every_event_once(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    other = Hooks(hooks.world, hooks.receiver, node="other")
    for _ in range(5):
        await hooks.world.top_up(CARD, 100)
    await asyncio.gather(hooks.look(), other.look())
    assert len(hooks.receiver.came) == 5


async def test_another_node_goes_on_where_one_ended(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    await hooks.look()
    await hooks.world.top_up(CARD, 100)
    other = Hooks(hooks.world, hooks.receiver, node="other")
    other.now = hooks.now
    await other.look(timedelta(seconds=60))
    assert hooks.receiver.came == []  # the first may still be there
    await other.look(timedelta(seconds=61))
    assert len(hooks.receiver.came) == 1


async def test_a_secret_that_cannot_be_opened_is_told(hooks: Hooks) -> None:
    hooks.add("account.paid_in")
    hooks.change(secret="sealed:AAAA")
    await hooks.world.top_up(CARD, 500)
    await hooks.look()
    assert hooks.receiver.came == []
    assert "CSMS_SECRET_KEY" in hooks.history()[0].error


async def test_an_address_in_our_own_network_is_never_asked(sqlite_url: str, tmp_path: object) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path)) as world, receiving() as receiver:  # type: ignore[arg-type]
        hooks = Hooks(world, receiver)
        hooks.add("account.paid_in")
        await world.top_up(CARD, 500)
        await hooks.look()
        assert receiver.came == []
        assert "network of our own" in hooks.history()[0].error


def test_the_waits_grow_and_stop_growing() -> None:
    waits = [back_off(attempts).total_seconds() for attempts in range(1, 12)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5, 3600)


async def test_what_is_old_is_deleted_in_small_units_of_work(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.add("account.paid_in")
    database = hooks.world.database
    long_ago, old = hooks.now - timedelta(days=400), range(-4500, 0)
    row = {"event_type": "account.paid_in", "body": "{}", "state": "delivered", "webhook_id": hooks.number}
    row |= {"created_at": long_ago, "due_at": long_ago}
    with database.unit_of_work() as connection:
        connection.execute(
            event_batch.insert(),
            [{"position": each, "recorded_at": long_ago, "events_json": "[]"} for each in old],
        )
        connection.execute(webhook_delivery.insert(), [row | {"event_id": f"{each}"} for each in old])
    await hooks.world.top_up(CARD, 500)
    deleted: list[int] = []
    whole = hooks.work._write

    async def counting(change: Any) -> Any:
        before = _count(database)
        result = await whole(change)
        deleted.append(before - _count(database))
        return result

    monkeypatch.setattr(hooks.work, "_write", counting)
    await hooks.work.prune(rest_s=0)
    assert sum(deleted) >= 9000
    assert max(deleted) == 2000
    with database.reading() as connection:
        assert connection.execute(select(func.min(event_batch.c.recorded_at))).scalar_one() > long_ago
        assert connection.execute(select(func.count()).select_from(webhook_delivery)).scalar_one() == 0
    await hooks.look()
    assert hooks.receiver.types() == ["account.paid_in"]


def _count(database: Database) -> int:
    with database.reading() as connection:
        tables = (event_batch, webhook_delivery)
        return sum(connection.execute(select(func.count()).select_from(each)).scalar_one() for each in tables)
