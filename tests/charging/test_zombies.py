"""Transactions that may be over without a stop, played over a real socket: asked, waited for, kept for a person."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from csms.charging.models import charging_transaction
from csms.charging.reviews import Resolved, ResolveReview
from csms.config import Settings
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}


@pytest.fixture
async def impatient(make_settings: Callable[..., Settings]) -> AsyncIterator[World]:
    """A world that waits a second for a sign of life."""
    async with open_world(make_settings(zombie_wait_s=1)) as opened:
        yield opened


async def _available(peer: Peer) -> None:
    await peer.call("StatusNotification", {"connectorId": 1, "status": "Available", "errorCode": "NoError"})


async def _begin(peer: Peer) -> int:
    now = datetime.now(UTC).isoformat()
    number: int = (await peer.start(CARD, 1000, now))["transactionId"]
    await peer.read(number, now, 1200)
    return number


async def _until_over(world: World, number: int) -> None:
    await until(lambda: world.transaction(number).state != "open")


@pytest.mark.parametrize("sign", ["available", "boot"])
async def test_a_transaction_whose_connector_is_free_again_is_asked_for_and_then_closed_into_review(
    impatient: World, sign: str
) -> None:
    world = impatient
    async with world.station() as peer:
        number = await _begin(peer)
        for _ in range(2):
            await (_available(peer) if sign == "available" else peer.call("BootNotification", BOOT))
        message_id, action, payload = await peer.next_command()
        assert (action, payload) == ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
        await peer.answer(message_id, {"status": "Accepted"})
        await _until_over(world, number)
        one = world.transaction(number)
        assert (one.state, one.energy_wh) == ("orphaned", 200)
        assert [item.kind for item in world.review_items()] == ["orphaned transaction"]
        assert one.held_minor == one.cost_minor  # the rest of the credit is free
        # It locks nobody out: the card begins again at once.
        again = await peer.start(CARD, 1300, datetime.now(UTC).isoformat())
        assert again["idTagInfo"]["status"] == "Accepted"


async def test_a_transaction_that_is_heard_of_again_goes_on(world: World) -> None:
    def over_at() -> datetime | None:
        with world.database.reading() as connection:
            return connection.execute(select(charging_transaction.c.zombie_at)).scalar_one()

    async with world.station() as peer:
        number = await _begin(peer)
        await _available(peer)
        assert over_at() is not None
        await peer.read(number, datetime.now(UTC).isoformat(), 1250)
        assert over_at() is None  # what nobody waits for is never taken for over
        assert world.transaction(number).state == "open"
    assert world.review_items() == []


async def test_a_transaction_that_was_taken_for_over_too_early_runs_on_and_is_charged_by_its_stop(
    impatient: World,
) -> None:
    world = impatient
    async with world.station() as peer:
        number = await _begin(peer)
        await _available(peer)
        await _until_over(world, number)
        for _ in range(2):
            await peer.read(number, datetime.now(UTC).isoformat(), 1400)
        assert (world.transaction(number).state, world.transaction(number).energy_wh) == ("open", 400)
        await _available(peer)
        await _until_over(world, number)
        await peer.read(number, datetime.now(UTC).isoformat(), 1450)
        await peer.stop(number, 1500, datetime.now(UTC).isoformat())
    assert (world.transaction(number).state, world.transaction(number).energy_wh) == ("ended", 500)
    (item,) = world.review_items()
    assert item.decision == "stop came"
    assert world.card().held_minor == 0


async def test_the_late_stop_of_a_zombie_is_charged_and_nothing_is_left_to_decide(impatient: World) -> None:
    world = impatient
    async with world.station() as peer:
        number = await _begin(peer)
        await _available(peer)
        await _until_over(world, number)
        for _ in range(2):
            await peer.stop(number, 1500, datetime.now(UTC).isoformat())
    one = world.transaction(number)
    assert (one.state, one.energy_wh, one.uncharged_reason) == ("ended", 500, None)
    (item,) = world.review_items()
    assert (item.decision, item.resolved_by) == ("stop came", "charge point")
    assert world.card().held_minor == 0
    assert len(world.entries("settle")) == 1


async def test_what_a_zombie_drew_is_not_missing_once_a_person_accepted_it(impatient: World) -> None:
    world = impatient
    async with world.station() as peer:
        before = await peer.start(CARD, 900, world.at(0))
        await peer.stop(before["transactionId"], 1000, world.at(1))
        number = await _begin(peer)
        await _available(peer)
        await _until_over(world, number)
        (item,) = world.review_items()
        resolved = await world.submit(ResolveReview(item.key, "accept", "", "staff anna", "form-1"))
        assert isinstance(resolved, Resolved)
        after = await peer.start(CARD, 1200, datetime.now(UTC).isoformat())
    assert world.transaction(after["transactionId"]).flags == ""
