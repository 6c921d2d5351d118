"""Issue, top up, block: booked once, or refused with a reason, on both databases."""

from datetime import datetime, timedelta

import pytest

from csms import clock
from csms.billing import prepaid
from csms.billing.cards import ImportCards, Imported, JoinCard, SetExpiry, StockCard
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from tests.support.world import CARD, World


async def test_a_top_up_sent_twice_is_booked_once(world: World) -> None:
    first = await world.top_up(CARD, 500, key="form-1")
    again = await world.top_up(CARD, 500, key="form-1")
    assert isinstance(first, prepaid.Booked)
    assert isinstance(again, prepaid.Booked)
    assert (first.repeated, again.repeated) == (False, True)
    assert world.card().balance_minor == first.balance_minor == again.balance_minor == 2500


async def test_the_same_key_with_other_content_is_refused(world: World) -> None:
    await world.top_up(CARD, 500, key="form-1")
    assert await world.top_up(CARD, 600, key="form-1") == prepaid.Refused("key used before")
    await world.issue_card("OTHER", 0)
    assert await world.top_up("OTHER", 500, key="form-1") == prepaid.Refused("key used before")
    assert world.card().balance_minor == 2500


@pytest.mark.parametrize(
    ("id_tag", "amount_minor", "reason"),
    [
        (CARD, 0, "amount not positive"),
        (CARD, -100, "amount not positive"),
        (CARD, 50_001, "amount above the limit"),
        ("NOBODY", 100, "unknown card"),
        ("BLOCKED", 100, "card not active"),
        ("RICH", 50_000, "balance above the limit"),
    ],
)
async def test_a_top_up_that_may_not_be_is_refused_with_its_reason(
    world: World, id_tag: str, amount_minor: int, reason: prepaid.RefusalReason
) -> None:
    await world.issue_card("BLOCKED", 0)
    await world.submit(prepaid.ChangeCardState("BLOCKED", "blocked", "test"))
    await world.issue_card("RICH", 50_000)
    await world.top_up("RICH", 40_000)
    before = world.snapshot()
    assert await world.top_up(id_tag, amount_minor) == prepaid.Refused(reason)
    assert world.snapshot() == before


async def test_a_card_past_its_expiry_takes_no_top_up_and_a_repeat_is_answered_as_before(world: World) -> None:
    booked = await world.top_up(CARD, 500, key="form-1")
    assert isinstance(booked, prepaid.Booked)
    await world.submit(SetExpiry(CARD, clock.now() - timedelta(seconds=1), "test"))
    before = world.snapshot()
    assert await world.top_up(CARD, 500) == prepaid.Refused("card past its expiry")
    again = await world.top_up(CARD, 500, key="form-1")
    assert isinstance(again, prepaid.Booked)
    assert again.repeated
    assert world.snapshot() == before
    await world.submit(SetExpiry(CARD, clock.now() + timedelta(days=1), "test"))
    assert isinstance(await world.top_up(CARD, 500), prepaid.Booked)


async def test_a_card_is_sold_once_and_its_printed_number_is_its_own(world: World) -> None:
    limits = world.installation.limits

    def sale(id_tag: str, number: str, key: str, credit_minor: int = 1000) -> prepaid.IssueCard:
        return prepaid.IssueCard(id_tag, number, credit_minor, CLEARING_COMMAND_LINE, key, "test", limits)

    first = await world.submit(sale("NEW", "1234", "sale-1"))
    again = await world.submit(sale("NEW", "1234", "sale-1"))
    assert (first.repeated, again.repeated) == (False, True)
    assert await world.submit(sale("NEW", "1234", "sale-2")) == prepaid.Refused("card exists")
    assert await world.submit(sale("NEWER", "1234", "sale-3")) == prepaid.Refused("printed number exists")
    assert await world.submit(sale("NEWER", "5678", "sale-1")) == prepaid.Refused("key used before")
    assert world.card("NEW").balance_minor == 1000
    assert len(world.entries("card issued")) == 2


@pytest.mark.parametrize("id_tag", ["", "X" * 21, "ÄÖÜ", "lower", "A B"])
async def test_what_cannot_be_an_id_tag_is_not_sold(world: World, id_tag: str) -> None:
    asked = prepaid.IssueCard(id_tag, "1234", 0, CLEARING_COMMAND_LINE, "sale-1", "test", world.installation.limits)
    assert await world.submit(asked) == prepaid.Refused("id tag not valid")


async def test_a_card_without_credit_is_sold_once_as_well(world: World) -> None:
    limits = world.installation.limits
    asked = prepaid.IssueCard("NEW", "1234", 0, CLEARING_COMMAND_LINE, "sale-1", "test", limits)
    await world.submit(asked)
    again = await world.submit(asked)
    assert again.repeated
    assert world.card("NEW").balance_minor == 0


async def test_a_top_up_repays_a_negative_balance_first(world: World) -> None:
    await world.issue_card("LITTLE", 100)
    async with world.station() as peer:
        started = await peer.start("LITTLE", 0, world.at(0))
        await peer.stop(started["transactionId"], 10_000, world.at(5))
        assert world.card("LITTLE").balance_minor == 100 - 350 - 10 - 50
        assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == "Blocked"
        await world.top_up("LITTLE", 350)
        assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == "Blocked"
        await world.top_up("LITTLE", 200)
        assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == "Accepted"


async def test_a_card_past_its_expiry_is_neither_sold_nor_takes_the_place_of_another(world: World) -> None:
    limits, over = world.installation.limits, clock.now() - timedelta(seconds=1)

    def sale(id_tag: str, expires_at: datetime | None = None) -> prepaid.IssueCard:
        return prepaid.IssueCard(
            id_tag, "1234", 1000, CLEARING_COMMAND_LINE, f"sale-{id_tag}", "test", limits, expires_at
        )

    stock = StockCard(1, "STOCK", "1", expires_at=over)
    assert isinstance(await world.submit(ImportCards((stock,), "test")), Imported)
    before = world.snapshot()
    for asked in (sale("NEW", over), sale("STOCK"), JoinCard(CARD, "STOCK", "", replaces=True, actor="test")):
        assert await world.submit(asked) == prepaid.Refused("card past its expiry")
    assert world.snapshot() == before
    assert world.card().state == "active"
    await world.submit(SetExpiry("STOCK", None, "test"))
    assert isinstance(await world.submit(sale("STOCK")), prepaid.Booked)
