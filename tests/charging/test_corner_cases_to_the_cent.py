"""The corner cases of charging once more, to the cent: whose money moved, what waits for a person, which alarm holds.

Each is played over a real socket, each message that matters is sent twice, and the whole ledger is verified afterwards.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from csms.billing.cards import JoinCard
from csms.charging import models
from csms.charging.reviews import ResolveReview
from tests.support.ledger import violations
from tests.support.peer import Peer
from tests.support.world import CARD, World, change_prices

OTHER = "0BADCAFE"


def _alarms(world: World) -> list[str]:
    """Return the kinds of the alarms that hold."""
    alarm = models.alarm.c
    statement = select(alarm.kind).where(alarm.cleared_at.is_(None)).order_by(alarm.key)
    with world.database.reading() as connection:
        return list(connection.execute(statement).scalars())


def _waiting(world: World) -> list[str]:
    return sorted(one.kind for one in world.review_items() if one.resolved_at is None)


def _stands(world: World, *, balance: int, held: bool = False, settled: int = 0, card: str = CARD) -> None:
    """Check what a card has, whether anything is on hold, how many charges were taken in all, and every invariant."""
    assert world.card(card).balance_minor == balance
    assert (world.card(card).held_minor > 0) is held
    assert len(world.entries("settle")) == settled
    assert violations(world.database, world.installation.currency) == []


async def _stop_twice(peer: Peer, number: int, meter_stop: int, at: str, **more: Any) -> dict[str, Any]:
    first = await peer.stop(number, meter_stop, at, **more)
    again = await peer.stop(number, meter_stop, at, **more)
    for answer in (first, again):
        answer.get("idTagInfo", {}).pop("expiryDate", None)
    assert again == first
    return first


# --- stops that name no transaction (errata 3.18, 3.54) ---------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 0, -77, 999_999])
@pytest.mark.parametrize(
    ("meter_stop", "minute", "tag"), [(900, 10, CARD), (3000, -5, CARD), (3000, 10, OTHER), (900, 10, None)]
)
async def test_a_stop_that_does_not_fit_the_open_transaction_is_parked_and_leaves_it_alone(
    world: World, number: int, meter_stop: int, minute: int, tag: str | None
) -> None:
    await world.issue_card(OTHER, 1000)
    async with world.station() as peer:
        started = await peer.start(CARD, 1000, world.at(0))
        await _stop_twice(peer, number, meter_stop, world.at(minute), **({"idTag": tag} if tag else {}))
        assert world.transaction(started["transactionId"]).state == "open"
        assert _waiting(world) == _alarms(world) == ["stop without a transaction"]
        _stands(world, balance=2000, held=True)
        _stands(world, balance=1000, card=OTHER)
        await _stop_twice(peer, started["transactionId"], 3000, world.at(10))
    _stands(world, balance=2000 - (70 + 20 + 50), settled=1)


async def test_a_stop_that_fits_two_open_transactions_is_parked_and_ends_neither(world: World) -> None:
    await world.issue_card(OTHER, 1000)
    async with world.station() as peer:
        await peer.start(CARD, 1000, world.at(0), connector_id=1)
        await peer.start(OTHER, 2000, world.at(1), connector_id=2)
        await _stop_twice(peer, -1, 3000, world.at(10))
        assert [one.state for one in world.transactions()] == ["open", "open"]
        assert _waiting(world) == _alarms(world) == ["stop without a transaction"]
        _stands(world, balance=2000, held=True)
        await _stop_twice(peer, -1, 3100, world.at(10), idTag=OTHER)  # the card says which one is meant
    assert [one.state for one in world.transactions()] == ["open", "ended"]
    _stands(world, balance=1000 - (39 + 18 + 50), settled=1, card=OTHER)
    _stands(world, balance=2000, held=True, settled=1)


async def test_a_stop_for_another_stations_transaction_moves_nobodys_money_and_raises_an_alarm(world: World) -> None:
    await world.add_station("CP2")
    await world.issue_card(OTHER, 1000)
    async with world.station("CP1") as one, world.station("CP2") as two:
        started = await one.start(CARD, 0, world.at(0))
        await two.start(OTHER, 0, world.at(0))  # it would fit, had the id not been somebody else's
        await _stop_twice(two, started["transactionId"], 5000, world.at(5))
        assert [each.state for each in world.transactions()] == ["open", "open"]
        assert _waiting(world) == _alarms(world) == ["stop for another station's transaction"]
        _stands(world, balance=2000, held=True)
        _stands(world, balance=1000, held=True, card=OTHER)
        await _stop_twice(one, started["transactionId"], 1000, world.at(10))
    _stands(world, balance=2000 - (35 + 20 + 50), settled=1)


async def test_a_second_stop_with_another_meter_takes_nothing_more_and_a_later_time_neither(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await _stop_twice(peer, started["transactionId"], 4000, world.at(20))
        await _stop_twice(peer, started["transactionId"], 4000, world.at(50))
        assert _waiting(world) == []
        await _stop_twice(peer, started["transactionId"], 9000, world.at(25))
    assert _waiting(world) == ["conflicting stop"]
    _stands(world, balance=2000 - (140 + 40 + 50), settled=1)


async def test_a_stop_without_id_tag_and_reason_takes_the_starters_money_and_is_local(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        assert await _stop_twice(peer, started["transactionId"], 1000, world.at(10)) == {}
    one = world.transaction(started["transactionId"])
    assert (one.stop_reason, one.stop_id_tag) == ("Local", None)
    _stands(world, balance=2000 - (35 + 20 + 50), settled=1)


# --- registers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meter_stop", "waits"), [(1000, False), (990, False), (989, True), (999, False), (0, True), (-1, True)]
)
async def test_a_deficit_of_ten_wh_is_nothing_and_of_eleven_waits_with_an_alarm_and_the_hold(
    world: World, meter_stop: int, *, waits: bool
) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 1000, world.at(0))
        await _stop_twice(peer, started["transactionId"], meter_stop, world.at(10))
    assert _waiting(world) == _alarms(world) == ["meter stop below meter start"] * waits
    _stands(world, balance=2000, held=waits)


async def test_what_is_signed_is_kept_as_it_came_and_is_not_the_total(world: World) -> None:
    signed = {"value": "770000", "format": "SignedData", "context": "Transaction.End"}
    data = [{"timestamp": world.at(10), "sampledValue": [{"value": "1000"}, signed]}]
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await _stop_twice(peer, started["transactionId"], 1000, world.at(10), transactionData=data)
    (reading,) = world.readings(started["transactionId"])
    assert reading.register_wh == 1000
    assert json.loads(reading.samples_json)[1] == signed
    _stands(world, balance=2000 - (35 + 20 + 50), settled=1)


# --- cards ------------------------------------------------------------------------------------------------------------


async def test_cards_of_one_account_share_a_parent_and_each_may_stop_without_credit(world: World) -> None:
    await world.issue_card("FIRST", 110)
    await world.submit(JoinCard("FIRST", "SECOND", "9001 1", replaces=False, actor="test"))
    async with world.station() as peer:
        started = await peer.start("FIRST", 0, world.at(0))
        assert world.card("FIRST").available_minor < 100  # not enough to begin with
        told = [await peer.call("Authorize", {"idTag": tag}) for tag in ("FIRST", "SECOND")]
        assert [one["idTagInfo"]["status"] for one in told] == ["Accepted", "Accepted"]
        assert told[0]["idTagInfo"]["parentIdTag"] == told[1]["idTagInfo"]["parentIdTag"]
        for number in (started["transactionId"], -1):
            stopped = await peer.stop(number, 1000, world.at(2), idTag="SECOND")
            assert stopped["idTagInfo"]["status"] == "Accepted"
            assert stopped["idTagInfo"]["parentIdTag"] == told[0]["idTagInfo"]["parentIdTag"]
    one = world.transaction(started["transactionId"])
    assert (one.id_tag, one.stop_id_tag, one.state) == ("FIRST", "SECOND", "ended")
    _stands(world, balance=110 - (35 + 4 + 50), settled=1, card="FIRST")


async def test_a_stop_without_an_id_is_matched_by_another_card_of_the_account(world: World) -> None:
    await world.submit(JoinCard(CARD, "SECOND", "9001 1", replaces=False, actor="test"))
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await _stop_twice(peer, -1, 1000, world.at(10), idTag="SECOND")
    assert world.transaction(started["transactionId"]).state == "ended"
    assert _waiting(world) == []
    _stands(world, balance=2000 - (35 + 20 + 50), settled=1)


async def test_no_station_may_rely_on_a_card_for_more_than_a_few_minutes(world: World) -> None:
    async with world.station() as peer:
        asked = await peer.call("Authorize", {"idTag": CARD})
        started = await peer.start(CARD, 0, world.at(0))
        again = await peer.start(CARD, 0, world.at(0))
    for answer in (asked, started, again):
        expires = datetime.fromisoformat(answer["idTagInfo"]["expiryDate"])
        assert timedelta(minutes=2) < expires - datetime.now(UTC) <= timedelta(seconds=120 + 180)


async def test_energy_after_a_refused_start_is_taken_once_and_the_card_is_blocked_until_topped_up(world: World) -> None:
    await world.issue_card("EMPTY", 0)
    async with world.station() as peer:
        started = await peer.start("EMPTY", 0, world.at(0))
        for _ in range(2):
            await peer.read(started["transactionId"], world.at(1), 500)
        _, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStopTransaction", {"transactionId": started["transactionId"]})
        await _stop_twice(peer, started["transactionId"], 600, world.at(2), reason="DeAuthorized")
        _stands(world, balance=-(21 + 4 + 50), settled=1, card="EMPTY")
        assert (await peer.call("Authorize", {"idTag": "EMPTY"}))["idTagInfo"]["status"] == "Blocked"
        await world.top_up("EMPTY", 75)  # first the debt is repaid
        assert (await peer.call("Authorize", {"idTag": "EMPTY"}))["idTagInfo"]["status"] == "Blocked"
        await world.top_up("EMPTY", 100)
        assert (await peer.call("Authorize", {"idTag": "EMPTY"}))["idTagInfo"]["status"] == "Accepted"


async def test_an_orphan_takes_no_money_until_its_stop_comes_and_then_its_own_alone(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.read(first["transactionId"], world.at(5), 900)
        for _ in range(2):
            second = await peer.start(CARD, 1200, world.at(10))
        _stands(world, balance=2000, held=True)
        assert _waiting(world) == ["orphaned transaction"]
        await _stop_twice(peer, second["transactionId"], 2200, world.at(20))
        _stands(world, balance=2000 - (35 + 20 + 50), held=True, settled=1)
        await _stop_twice(peer, first["transactionId"], 1200, world.at(9))
    assert _waiting(world) == []
    _stands(world, balance=2000 - (35 + 20 + 50) - (42 + 18 + 50), settled=2)


# --- a stop of ours that is not obeyed --------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
async def test_a_station_that_refuses_to_stop_or_says_nothing_is_asked_again_and_an_alarm_is_raised(
    world: World, *, answers: bool
) -> None:
    policy = msgspec.structs.replace(world.engine._policy, stop_retry_s=1, stop_retry_max_s=1, alarm_after_attempts=2)
    world.engine._policy = policy
    world.dispatcher._call_timeout_s = 0.3
    await world.issue_card("LITTLE", 200)
    async with world.station() as peer:
        started = await peer.start("LITTLE", 0, world.at(0))
        await peer.read(started["transactionId"], world.at(2), 5000)
        asked = 0
        while "transaction does not stop" not in _alarms(world):
            message_id, action, payload = await peer.next_command()
            if action == "RemoteStopTransaction":
                assert payload == {"transactionId": started["transactionId"]}
                asked += 1
            if answers:
                await peer.answer(message_id, {"status": "Rejected"})
        assert asked >= 2
        _stands(world, balance=200, held=True, card="LITTLE")
        await _stop_twice(peer, started["transactionId"], 6000, world.at(3))
    assert "transaction does not stop" not in _alarms(world)
    _stands(world, balance=200 - (210 + 6 + 50), settled=1, card="LITTLE")


# --- what is told late ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("meter_stop", "minute"), [(3000, 9), (1000, 19)])
@pytest.mark.parametrize("has_ended", [False, True])
async def test_a_late_stop_that_reaches_into_the_next_transaction_charges_nothing_of_it(
    world: World, meter_stop: int, minute: int, *, has_ended: bool
) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.read(first["transactionId"], world.at(5), 900)
        second = await peer.start(CARD, 1200, world.at(10))
        if has_ended:
            await _stop_twice(peer, second["transactionId"], 4200, world.at(20))
        await _stop_twice(peer, first["transactionId"], meter_stop, world.at(minute))
        assert _waiting(world) == ["energy of the next transaction"]
        assert _alarms(world).count("energy of the next transaction") == 1
        if not has_ended:
            await _stop_twice(peer, second["transactionId"], 4200, world.at(20))
    _stands(world, balance=2000 - (105 + 20 + 50), held=True, settled=1)
    (item,) = [one for one in world.review_items() if one.resolved_at is None]
    await world.submit(ResolveReview(item.key, "accept", "", "staff anna", "form-1"))
    one = world.transaction(first["transactionId"])
    assert one.energy_wh <= 1200
    assert one.cost_minor == (32 if one.energy_wh == 900 else 35) + 2 * min(minute, 10) + 50
    _stands(world, balance=2000 - (105 + 20 + 50) - one.cost_minor, settled=2)


async def test_a_queued_start_from_before_the_one_that_goes_on_takes_its_own_money_and_not_its_place(
    world: World,
) -> None:
    await world.issue_card(OTHER, 2000)
    async with world.station() as peer:
        live = await peer.start(CARD, 3000, world.at(55))
        for _ in range(2):
            queued = await peer.start(OTHER, 0, world.at(5))
        await peer.read(live["transactionId"], world.at(58), 3500)
        assert world.transaction(live["transactionId"]).state == "open"
        assert world.transaction(live["transactionId"]).energy_wh == 500
        await _stop_twice(peer, queued["transactionId"], 2500, world.at(35))
        assert _waiting(world) == []
        await _stop_twice(peer, live["transactionId"], 4000, world.at(59))
    _stands(world, balance=2000 - (35 + 8 + 50), settled=2)
    _stands(world, balance=2000 - (88 + 60 + 50), settled=2, card=OTHER)


async def test_a_start_from_before_any_price_costs_what_applies_when_it_is_told(world: World) -> None:
    change_prices(world.installation, valid_from=world.start_of_time - timedelta(days=1))
    behind = -400 * 24 * 60
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(behind))
        assert (await peer.start(CARD, 0, world.at(behind)))["transactionId"] == started["transactionId"]
        await _stop_twice(peer, started["transactionId"], 1000, world.at(behind + 10))
    assert "no price at its time" in world.transaction(started["transactionId"]).flags
    _stands(world, balance=2000 - (35 + 20 + 50), settled=1)
