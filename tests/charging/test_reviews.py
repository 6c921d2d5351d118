"""What a person decides, after stations brought it into the queue over a real socket; every decision is repeated."""

from datetime import timedelta
from typing import Any

import pytest

from csms.charging import verification
from csms.charging.reviews import NotResolved, Resolved, ResolveReview
from tests.support.world import CARD, World


async def _implausible(world: World, reading: int | None = 3000) -> int:
    """Bring in a stop of 910 kWh in ten minutes, with a reading of what was really drawn."""
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        number: int = started["transactionId"]
        if reading is not None:
            await peer.read(number, world.at(9), reading)
        await peer.stop(number, 910_000, world.at(10))
    return number


async def _decide(world: World, decision: Any, **more: Any) -> Resolved | NotResolved:
    """Decide about the one item that waits, twice with the same form."""
    (item,) = [one for one in world.review_items() if one.resolved_at is None]
    asked = ResolveReview(item.key, decision, more.pop("reason", "looked at the meter"), "staff anna", "form-1", **more)
    outcome: Resolved | NotResolved = await world.submit(asked)
    before = world.snapshot()
    again = await world.submit(asked)
    if isinstance(outcome, Resolved):
        assert (again.repeated, again.cost_minor) == (True, outcome.cost_minor)
    else:
        assert again == outcome
    assert world.snapshot() == before
    return outcome


def _nothing_is_wrong(world: World) -> None:
    with world.database.reading() as connection:
        assert list(verification.verify(connection, world.installation.currency)) == []


async def test_while_it_waits_the_hold_stays_and_the_ledger_is_sound(world: World) -> None:
    number = await _implausible(world)
    assert world.transaction(number).held_minor == world.card().held_minor > 0
    _nothing_is_wrong(world)


async def test_an_accepted_estimate_is_charged_like_a_stop(world: World) -> None:
    number = await _implausible(world)
    assert isinstance(await _decide(world, "accept", reason=""), Resolved)
    one = world.transaction(number)
    assert (one.energy_wh, one.cost_minor, one.uncharged_reason) == (3000, 105 + 20 + 50, None)
    assert (world.card().balance_minor, world.card().held_minor) == (2000 - 175, 0)
    (entry,) = world.entries("settle")
    assert (entry.idempotency_key, entry.actor) == (f"settle:{number}", "staff anna")
    _nothing_is_wrong(world)


async def test_a_corrected_energy_is_charged_with_its_reason(world: World) -> None:
    number = await _implausible(world, reading=None)
    assert isinstance(await _decide(world, "correct", energy_wh=4000), Resolved)
    one = world.transaction(number)
    assert (one.energy_wh, one.cost_minor) == (4000, 140 + 20 + 50)
    assert "reviewed: correct (looked at the meter)" in one.flags
    _nothing_is_wrong(world)


async def test_what_is_waived_costs_nothing_and_frees_the_hold(world: World) -> None:
    number = await _implausible(world)
    assert isinstance(await _decide(world, "waive"), Resolved)
    one = world.transaction(number)
    assert (one.cost_minor, one.uncharged_reason) == (0, "waived")
    assert (world.card().balance_minor, world.card().held_minor) == (2000, 0)
    (item,) = world.review_items()
    assert (item.decision, item.reason, item.resolved_by) == ("waive", "looked at the meter", "staff anna")
    _nothing_is_wrong(world)


async def test_energy_of_an_unknown_card_is_charged_to_the_card_it_is_assigned_to(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start("NOBODY", 0, world.at(0))
        for _ in range(2):
            await peer.stop(started["transactionId"], 1000, world.at(10))
    assert isinstance(await _decide(world, "assign", id_tag=CARD), Resolved)
    assert world.card().balance_minor == 2000 - (35 + 20 + 50)
    assert world.transaction(started["transactionId"]).uncharged_reason is None
    _nothing_is_wrong(world)


async def test_a_stop_without_a_transaction_is_charged_to_a_card_and_its_repetition_answered(world: World) -> None:
    async with world.station() as peer:
        await peer.stop(-1, 5000, world.at(10))
        assert isinstance(await _decide(world, "assign", id_tag=CARD, energy_wh=2000), Resolved)
        before = world.snapshot()
        await peer.stop(-1, 5000, world.at(10))
        assert world.snapshot() == before
    (one,) = world.transactions()
    assert (one.state, one.energy_wh, one.cost_minor, one.meter_stop_wh) == ("ended", 2000, 70 + 50, 5000)
    assert world.review_items()[0].transaction_id == one.transaction_id
    _nothing_is_wrong(world)


async def test_a_stop_that_came_before_its_start_stays_with_the_person_however_often_it_is_repeated(
    world: World,
) -> None:
    async with world.station() as peer:
        await peer.stop(-1, 1500, world.at(10), idTag=CARD)
        started = await peer.start(CARD, 1000, world.at(0))
        before = world.snapshot()
        await peer.stop(-1, 1500, world.at(10), idTag=CARD)
        assert world.snapshot() == before
        (item,) = world.review_items()
        assert item.resolved_at is None
        asked = ResolveReview(item.key, "assign", "mine", "staff anna", "form-1", 500, CARD)
        assert isinstance(await world.submit(asked), Resolved)
        charged = world.snapshot()
        await peer.stop(-1, 1500, world.at(10), idTag=CARD)
        assert world.snapshot() == charged
    assert len(world.entries("settle")) == 1
    assert world.transaction(started["transactionId"]).state == "open"


async def test_a_parked_stop_does_not_end_the_transaction_that_is_given_its_number_later(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.stop(first["transactionId"], 100, world.at(1))
        number = first["transactionId"] + 1
        await peer.stop(number, 1500, world.at(10), idTag=CARD)
        started = await peer.start(CARD, 1000, world.at(5))
        assert started["transactionId"] == number
        before = world.snapshot()
        await peer.stop(number, 1500, world.at(10), idTag=CARD)
        assert world.snapshot() == before
        assert world.transaction(number).state == "open"
        await peer.stop(number, 1600, world.at(12), idTag=CARD)
        assert world.transaction(number).energy_wh == 600
    assert len(world.entries("settle")) == 2


async def test_a_stop_assigned_to_a_card_without_credit_is_no_start_that_was_judged(world: World) -> None:
    async with world.station() as peer:
        await peer.stop(-1, 90_000, world.at(600))
        for number in range(2):
            await peer.stop(-1, 90_000 + number, world.at(700))
    for item in world.review_items():
        asked = ResolveReview(item.key, "assign", "mine", "staff anna", f"form-{item.key}", 60_000, CARD)
        assert isinstance(await world.submit(asked), Resolved)
    assert world.card().balance_minor < 0
    with world.database.reading() as connection:
        found = list(verification.verify(connection, world.installation.currency, slack=timedelta(0)))
    assert found == []


async def test_an_orphan_is_charged_by_its_estimate_and_a_stop_after_that_changes_nothing(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.read(first["transactionId"], world.at(5), 900)
        second = await peer.start(CARD, 1200, world.at(10))
        assert isinstance(await _decide(world, "accept"), Resolved)
        one = world.transaction(first["transactionId"])
        assert (one.state, one.energy_wh, one.cost_minor) == ("ended", 900, 32 + 10 + 50)
        balance = world.card().balance_minor
        await peer.stop(first["transactionId"], 1200, world.at(9))
        assert world.card().balance_minor == balance
        assert isinstance(await _decide(world, "keep"), Resolved)
        await peer.stop(second["transactionId"], 1300, world.at(20))
    assert world.card().held_minor == 0
    assert all(item.resolved_at is not None for item in world.review_items())
    _nothing_is_wrong(world)


async def _conflicting(world: World) -> int:
    """Bring in two stops: 1 kWh, for 35 + 20 + 50, and then 2 kWh."""
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(10))
        await peer.stop(started["transactionId"], 2000, world.at(10))
    number: int = started["transactionId"]
    return number


async def test_the_charge_of_a_conflicting_stop_can_be_kept(world: World) -> None:
    await _conflicting(world)
    assert await _decide(world, "accept") == NotResolved("not possible here")
    balance = world.card().balance_minor
    assert isinstance(await _decide(world, "keep"), Resolved)
    assert world.card().balance_minor == balance == 2000 - 105
    assert world.entries("adjustment") == []


@pytest.mark.parametrize(("energy_wh", "cost_minor"), [(2000, 140), (1000, 105), (500, 88), (0, 0)])
async def test_a_charge_is_corrected_by_an_entry_of_the_difference(
    world: World, energy_wh: int, cost_minor: int
) -> None:
    number = await _conflicting(world)
    decided = await _decide(world, "correct", energy_wh=energy_wh)
    assert isinstance(decided, Resolved)
    assert decided.cost_minor == cost_minor
    assert world.card().balance_minor == 2000 - cost_minor
    one = world.transaction(number)
    assert (one.energy_wh, one.cost_minor) == (1000, 105)  # what was charged stays as it was
    assert "reviewed: correct (looked at the meter)" in one.flags
    assert len(world.entries("adjustment")) == (cost_minor != 105)
    _nothing_is_wrong(world)


async def test_a_second_correction_begins_where_the_first_one_ended(world: World) -> None:
    number = await _conflicting(world)
    assert isinstance(await _decide(world, "correct", energy_wh=2000), Resolved)
    async with world.station() as peer:
        await peer.stop(number, 3000, world.at(10))
    assert isinstance(await _decide(world, "correct", energy_wh=3000), Resolved)
    assert world.card().balance_minor == 2000 - (105 + 20 + 50)
    tax = [one for entry in world.entries("adjustment") for one in entry.transfers if one.credit_code == "2300"]
    assert len(tax) == len(world.entries("adjustment")) == 2
    _nothing_is_wrong(world)


async def test_a_waived_transaction_without_an_account_stays_waived(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start("NOBODY", 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(10))
    assert isinstance(await _decide(world, "waive"), Resolved)
    assert world.transaction(started["transactionId"]).uncharged_reason == "waived"
    _nothing_is_wrong(world)


async def test_what_somebody_decided_is_not_decided_again(world: World) -> None:
    await _implausible(world)
    await _decide(world, "waive")
    (item,) = world.review_items()
    for decision, form in (("accept", "form-2"), ("waive", "form-2"), ("accept", "form-1")):
        asked = ResolveReview(item.key, decision, "again", "staff ben", form)  # type: ignore[arg-type]
        assert await world.submit(asked) == NotResolved("resolved already")
    assert world.card().balance_minor == 2000


@pytest.mark.parametrize(
    ("decision", "more", "reason"),
    [
        ("correct", {}, "energy missing"),
        ("correct", {"energy_wh": -1}, "energy too much"),
        ("correct", {"energy_wh": 10_000_001}, "energy too much"),
        ("correct", {"energy_wh": 5, "reason": " "}, "reason missing"),
        ("waive", {"reason": "x" * 301}, "reason missing"),
        ("assign", {"id_tag": CARD}, "not possible here"),
        ("keep", {}, "not possible here"),
    ],
)
async def test_a_decision_without_what_it_needs_changes_nothing(
    world: World, decision: str, more: dict[str, Any], reason: str
) -> None:
    await _implausible(world)
    assert await _decide(world, decision, **more) == NotResolved(reason)  # type: ignore[arg-type]
    assert world.card().held_minor > 0


async def test_energy_cannot_be_assigned_to_a_card_that_nobody_has(world: World) -> None:
    async with world.station() as peer:
        await peer.stop(-1, 5000, world.at(10))
    assert await _decide(world, "assign", id_tag="GHOST", energy_wh=5) == NotResolved("unknown card")
    assert await _decide(world, "assign", id_tag=CARD) == NotResolved("energy missing")
