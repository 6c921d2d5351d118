"""What a person decides, after stations brought it into the queue over a real socket; every decision is repeated."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from csms import clock
from csms.billing import account_groups, price_lists
from csms.charging import models, verification
from csms.charging.doubts import DoubtCharge, Doubted, NotDoubted
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


async def test_energy_assigned_to_a_card_costs_what_its_own_group_pays_at_the_place(world: World) -> None:
    with world.database.unit_of_work() as connection:
        new = price_lists.NewTariff("Staff", Decimal("0.10"), Decimal(0), 0, Decimal(20))
        assert isinstance(price_lists.add_tariff(connection, new, clock.now()), price_lists.PriceList)
        group = account_groups.add_account_group(connection, "Staff", account_groups.AccountLimits(), clock.now())
        account_groups.put_account(connection, world.card().account_id or 0, group)
        assigned = {"tariff_name": "Staff", "account_group_id": group, "created_at": clock.now()}
        connection.execute(insert(models.tariff_assignment), assigned)
    async with world.station() as peer:
        number = (await peer.start("STRANGER", 0, world.at(0)))["transactionId"]
        await peer.read(number, world.at(10), 6000)
        await peer.stop(number, 10_000, world.at(30))
    assert isinstance(await _decide(world, "assign", id_tag=CARD), Resolved)
    assert world.transaction(number).cost_minor == 100
    assert world.card().balance_minor == 1900
    _nothing_is_wrong(world)


async def test_energy_cannot_be_assigned_to_a_card_that_nobody_has(world: World) -> None:
    async with world.station() as peer:
        await peer.stop(-1, 5000, world.at(10))
    assert await _decide(world, "assign", id_tag="GHOST", energy_wh=5) == NotResolved("unknown card")
    assert await _decide(world, "assign", id_tag=CARD) == NotResolved("energy missing")


# --- the end, where time costs ----------------------------------------------------------------------------------------


def _moment(world: World, minutes: float) -> datetime:
    return world.start_of_time + timedelta(minutes=minutes)


async def test_the_end_of_what_waits_is_corrected_and_time_is_charged_until_then(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.read(first["transactionId"], world.at(5), 900)
        await peer.start(CARD, 1200, world.at(10))
    decided = await _decide(world, "correct", ended_at=_moment(world, 9))
    assert isinstance(decided, Resolved)
    one = world.transaction(first["transactionId"])
    assert (one.energy_wh, one.ended_at, one.cost_minor) == (900, _moment(world, 9), 32 + 18 + 50)
    _nothing_is_wrong(world)


async def test_the_end_of_a_stop_with_a_wrong_clock_is_corrected_together_with_its_energy(world: World) -> None:
    number = await _implausible(world)
    assert isinstance(await _decide(world, "correct", energy_wh=4000, ended_at=_moment(world, 50)), Resolved)
    one = world.transaction(number)
    assert (one.energy_wh, one.ended_at, one.cost_minor) == (4000, _moment(world, 50), 140 + 100 + 50)
    _nothing_is_wrong(world)


async def test_a_stop_before_its_start_is_charged_without_time_and_its_end_is_asked_of_a_person(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(20))
        for _ in range(2):
            await peer.stop(started["transactionId"], 400, world.at(-60 * 24 * 400))
    (item,) = world.review_items()
    assert item.kind == "stop before its start"
    assert world.card().balance_minor == 2000 - (14 + 50)
    assert isinstance(await _decide(world, "correct", ended_at=_moment(world, 50)), Resolved)
    assert world.card().balance_minor == 2000 - (14 + 60 + 50)
    _nothing_is_wrong(world)


async def test_a_clock_that_was_set_back_by_seconds_asks_nobody(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(20))
        await peer.stop(started["transactionId"], 400, world.at(19.5))
    assert world.review_items() == []
    assert world.card().balance_minor == 2000 - (14 + 50)


@pytest.mark.parametrize("minutes", [-1, 75])
async def test_an_end_before_the_start_or_in_the_future_is_not_taken(world: World, minutes: int) -> None:
    await _implausible(world)
    assert await _decide(world, "correct", ended_at=_moment(world, minutes)) == NotResolved("end not possible")


@pytest.mark.parametrize(
    ("decision", "more"),
    [
        ("accept", {"energy_wh": 5}),
        ("waive", {"energy_wh": 5}),
        ("correct", {"energy_wh": 5, "id_tag": CARD}),
        ("correct", {"energy_wh": 5, "transaction_id": 1}),
    ],
)
async def test_what_a_decision_does_not_take_is_refused_with_it(
    world: World, decision: str, more: dict[str, Any]
) -> None:
    await _implausible(world)
    assert await _decide(world, decision, **more) == NotResolved("too much said")
    assert world.card().balance_minor == 2000


# --- a charge that somebody doubts ------------------------------------------------------------------------------------


async def _doubt(world: World, number: int, reason: str = "the customer complained") -> Doubted | NotDoubted:
    """Doubt a charge, twice with the same form."""
    asked = DoubtCharge(number, reason, "staff anna", f"form {len(world.review_items())}")
    outcome: Doubted | NotDoubted = await world.submit(asked)
    before = world.snapshot()
    assert await world.submit(asked) == outcome
    assert world.snapshot() == before
    return outcome


async def _charged(world: World) -> int:
    """Let a transaction of 1 kWh and 30 minutes be charged: 35 + 60 + 50."""
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(30))
    number: int = started["transactionId"]
    return number


async def test_a_charge_in_doubt_is_corrected_in_its_time_alone(world: World) -> None:
    number = await _charged(world)
    assert isinstance(await _doubt(world, number), Doubted)
    decided = await _decide(world, "correct", ended_at=_moment(world, 10))
    assert isinstance(decided, Resolved)
    assert (decided.cost_minor, world.card().balance_minor) == (105, 2000 - 105)
    one = world.transaction(number)
    assert (one.ended_at, one.cost_minor, one.charged_until) == (_moment(world, 30), 145, _moment(world, 10))
    (entry,) = world.entries("adjustment")
    assert [(each.debit_code, each.credit_name, each.amount_minor) for each in entry.transfers] == [
        ("4000", "Prepaid 9000 0001", 34),
        ("2300", "Prepaid 9000 0001", 6),
    ]
    _nothing_is_wrong(world)


async def test_a_wrong_correction_is_taken_back_by_another_one(world: World) -> None:
    number = await _charged(world)
    for energy_wh, ended_at, cost_minor in (
        (10_000, None, 350 + 60 + 50),
        (None, _moment(world, 5), 350 + 10 + 50),
        (2000, None, 70 + 10 + 50),
        (1000, _moment(world, 30), 145),
        (0, None, 0),
        (1000, None, 145),
    ):
        assert isinstance(await _doubt(world, number), Doubted)
        more = {"energy_wh": energy_wh, "ended_at": ended_at}
        assert isinstance(await _decide(world, "correct", **more), Resolved)
        assert world.card().balance_minor == 2000 - cost_minor
        _nothing_is_wrong(world)
    assert len(world.entries("settle")) == 1
    assert len(world.entries("adjustment")) == 6


async def test_what_was_waived_by_mistake_can_be_charged_after_all(world: World) -> None:
    number = await _implausible(world)
    assert isinstance(await _decide(world, "waive"), Resolved)
    assert isinstance(await _doubt(world, number), Doubted)
    assert isinstance(await _decide(world, "correct", energy_wh=3000), Resolved)
    assert world.card().balance_minor == 2000 - (105 + 20 + 50)
    assert world.card().held_minor == 0
    _nothing_is_wrong(world)


async def test_what_was_waived_without_an_account_can_be_charged_to_a_card_after_all(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start("NOBODY", 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(10))
    assert isinstance(await _decide(world, "waive"), Resolved)
    assert isinstance(await _doubt(world, started["transactionId"]), Doubted)
    assert isinstance(await _decide(world, "assign", id_tag=CARD), Resolved)
    assert world.card().balance_minor == 2000 - (35 + 20 + 50)
    _nothing_is_wrong(world)


async def test_only_an_ended_transaction_that_does_not_wait_can_be_doubted_and_only_with_a_reason(world: World) -> None:
    assert await _doubt(world, 4711) == NotDoubted("unknown transaction")
    waiting = await _implausible(world)
    assert await _doubt(world, waiting) == NotDoubted("waits already")
    async with world.station() as peer:
        started = await peer.start(CARD, 910_000, world.at(20))
        assert await _doubt(world, started["transactionId"]) == NotDoubted("not ended")
        await peer.stop(started["transactionId"], 911_000, world.at(30))
    assert await _doubt(world, started["transactionId"], " ") == NotDoubted("reason missing")
    assert [one.kind for one in world.review_items()] == ["implausible energy"]


# --- a stop whose transaction a person knows --------------------------------------------------------------------------


async def _parked(world: World, meter_stop: int = 1500) -> int:
    """Bring in a stop before its start, and leave the transaction open."""
    async with world.station() as peer:
        await peer.stop(-1, meter_stop, world.at(10), idTag=CARD)
        started = await peer.start(CARD, 1000, world.at(0))
    number: int = started["transactionId"]
    return number


async def test_a_person_ends_a_transaction_by_a_stop_that_came_before_its_start(world: World) -> None:
    number = await _parked(world)
    assert isinstance(await _decide(world, "match", transaction_id=number), Resolved)
    one = world.transaction(number)
    assert (one.state, one.energy_wh, one.meter_stop_wh, one.ended_at) == ("ended", 500, 1500, _moment(world, 10))
    assert (one.cost_minor, one.uncharged_reason, one.stop_id_tag) == (18 + 20 + 50, None, CARD)
    assert (world.card().balance_minor, world.card().held_minor) == (2000 - 88, 0)
    (entry,) = world.entries("settle")
    assert (entry.idempotency_key, entry.actor) == (f"settle:{number}", "staff anna")
    before = world.snapshot()
    async with world.station() as peer:
        again = await peer.stop(-1, 1500, world.at(10), idTag=CARD)
        assert again["idTagInfo"]["status"] == "Accepted"
        assert world.snapshot() == before
        await peer.stop(number, 1500, world.at(10), idTag=CARD)
    assert world.snapshot() == before
    (item,) = world.review_items()
    assert (item.decision, item.transaction_id) == ("match", number)
    _nothing_is_wrong(world)


async def test_a_stop_ends_one_of_several_that_it_could_mean_and_an_orphan_is_settled_with_it(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0), connector_id=1)
        await peer.read(first["transactionId"], world.at(5), 900)
        second = await peer.start(CARD, 950, world.at(6), connector_id=1)
        await peer.stop(-1, 955, world.at(6.5))
    (parked,) = [one for one in world.review_items() if one.kind == "stop without a transaction"]
    asked = ResolveReview(
        parked.key, "match", "the first one", "staff anna", "form-1", transaction_id=first["transactionId"]
    )
    assert isinstance(await world.submit(asked), Resolved)
    assert world.transaction(first["transactionId"]).energy_wh == 955
    assert world.transaction(second["transactionId"]).state == "open"
    assert {one.decision for one in world.review_items()} == {"match", "stop came"}
    _nothing_is_wrong(world)


async def test_a_stop_that_cannot_be_for_its_transaction_waits_again_with_what_is_wrong(world: World) -> None:
    number = await _parked(world, meter_stop=2_000_000)
    decided = await _decide(world, "match", transaction_id=number)
    assert isinstance(decided, Resolved)
    assert decided.cost_minor == 0
    assert world.transaction(number).uncharged_reason == "implausible energy"
    assert world.card().held_minor > 0
    assert isinstance(await _decide(world, "correct", energy_wh=100), Resolved)
    assert world.card().held_minor == 0
    _nothing_is_wrong(world)


async def test_a_stop_ends_no_transaction_that_ended_that_is_elsewhere_or_that_nobody_knows(world: World) -> None:
    await world.add_station("CP2")
    async with world.station("CP2") as peer:
        elsewhere = await peer.start(CARD, 0, world.at(0))
    number = await _parked(world)
    async with world.station() as peer:
        await peer.stop(number, 1200, world.at(9))
    for other in (number, elsewhere["transactionId"], 4711, None):
        assert await _decide(world, "match", transaction_id=other) == NotResolved("unknown transaction")
    assert world.transaction(elsewhere["transactionId"]).state == "open"


async def test_two_stops_and_two_people_end_a_transaction_once(world: World) -> None:
    number = await _parked(world)
    async with world.station() as peer:
        await peer.stop(-7, 1600, world.at(11), idTag="NOBODY")
    items = world.review_items()
    asked = [
        ResolveReview(item.key, "match", "mine", f"staff {form}", f"form-{form}", transaction_id=number)
        for item in items
        for form in (1, 2)
    ]
    outcomes = await asyncio.gather(*(world.submit(one) for one in asked))
    assert len([one for one in outcomes if isinstance(one, Resolved)]) == 1
    assert len(world.entries("settle")) == 1
    _nothing_is_wrong(world)
