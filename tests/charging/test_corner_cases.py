"""The corner cases of charging, played by a station over a real socket, on both databases; messages are repeated."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from csms import clock
from csms.billing.cards import SetExpiry
from csms.billing.prepaid import ChangeCardState
from csms.charging import models
from tests.support.peer import Peer
from tests.support.world import CARD, World


def _alarms(world: World) -> list[tuple[str, bool]]:
    """Return the kinds of all alarms, and whether each still holds."""
    alarm = models.alarm.c
    with world.database.reading() as connection:
        rows = connection.execute(select(alarm.kind, alarm.cleared_at).order_by(alarm.key))
        return [(kind, cleared_at is None) for kind, cleared_at in rows]


async def test_a_whole_transaction_is_charged_once_and_the_credit_goes_down(world: World) -> None:
    async with world.station() as peer:
        assert (await peer.call("Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Accepted"
        started = await peer.start(CARD, 1000, world.at(0))
        assert started["idTagInfo"]["status"] == "Accepted"
        await peer.read(started["transactionId"], world.at(10), 6000)
        assert world.card().held_minor > 0
        await peer.stop(started["transactionId"], 11000, world.at(30), idTag=CARD)
    # 10 kWh x 0.35 + 30 min x 0.02 + 0.50
    assert world.card().balance_minor == 2000 - (350 + 60 + 50)
    assert world.card().held_minor == 0
    (one,) = world.transactions()
    assert (one.state, one.energy_wh, one.cost_minor, one.uncharged_reason) == ("ended", 10_000, 460, None)
    (entry,) = world.entries("settle")
    assert [(t.credit_name, t.amount_minor) for t in entry.transfers] == [("Energy income", 383), ("VAT payable", 77)]


@pytest.mark.parametrize("message_id", [None, "same"])
async def test_a_repeated_start_is_the_same_transaction_with_the_same_status(
    world: World, message_id: str | None
) -> None:
    async with world.station() as peer:
        payload = {"connectorId": 1, "idTag": CARD, "meterStart": 5, "timestamp": world.at(0)}
        first = await peer.call("StartTransaction", payload, message_id=message_id)
        before = world.snapshot()
        again = await peer.call("StartTransaction", payload | {"idTag": CARD.lower()}, message_id=message_id)
    assert again["transactionId"] == first["transactionId"]
    assert again["idTagInfo"]["status"] == first["idTagInfo"]["status"] == "Accepted"
    assert world.snapshot() == before


async def test_a_repeated_start_of_a_refused_card_stays_refused_after_a_top_up(world: World) -> None:
    await world.issue_card("EMPTY", 0)
    async with world.station() as peer:
        first = await peer.start("EMPTY", 5, world.at(0))
        await world.top_up("EMPTY", 1000)
        again = await peer.start("EMPTY", 5, world.at(0))
    assert first["idTagInfo"]["status"] == again["idTagInfo"]["status"] == "Blocked"
    assert first["transactionId"] == again["transactionId"] > 0
    assert world.transactions()[0].refusal == "no credit"


@pytest.mark.parametrize("message_id", [None, "same"])
async def test_a_repeated_stop_is_answered_alike_and_charges_nothing_more(world: World, message_id: str | None) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        payload = {
            "transactionId": started["transactionId"],
            "meterStop": 4000,
            "timestamp": world.at(20),
            "idTag": CARD,
        }
        first = await peer.call("StopTransaction", payload, message_id=message_id)
        before = world.snapshot()
        again = await peer.call("StopTransaction", payload, message_id=message_id)
    assert again["idTagInfo"]["status"] == first["idTagInfo"]["status"] == "Accepted"
    assert world.snapshot() == before


@pytest.mark.parametrize("other", [9000, 2500, 3999, 4001])
async def test_a_second_stop_with_another_meter_charges_nothing_and_is_kept_for_a_person(
    world: World, other: int
) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 4000, world.at(20))
        balance = world.card().balance_minor
        for _ in range(2):
            await peer.stop(started["transactionId"], other, world.at(25))
    assert world.card().balance_minor == balance == 2000 - (140 + 40 + 50)
    assert world.transaction(started["transactionId"]).meter_stop_wh == 4000
    assert [(one.kind, one.transaction_id) for one in world.review_items()] == [
        ("conflicting stop", started["transactionId"])
    ]


@pytest.mark.parametrize(
    ("id_tag", "state", "status", "reason"),
    [
        ("NOBODY", None, "Invalid", "unknown card"),
        ("EMPTY", None, "Blocked", "no credit"),
        ("BAD", "blocked", "Blocked", "card blocked"),
        ("GONE", "lost", "Blocked", "card lost"),
        ("OLD", "expired", "Expired", "card expired"),
    ],
)
async def test_a_refused_start_is_stored_with_a_real_id_and_the_true_reason(
    world: World, id_tag: str, state: Any, status: str, reason: str
) -> None:
    if id_tag != "NOBODY":
        await world.issue_card(id_tag, 0 if id_tag == "EMPTY" else 1000)
    if state == "expired":
        await world.submit(SetExpiry(id_tag, clock.now() - timedelta(days=1), "test"))
    elif state:
        await world.submit(ChangeCardState(id_tag, state, "test"))
    async with world.station() as peer:
        assert (await peer.call("Authorize", {"idTag": id_tag}))["idTagInfo"]["status"] == status
        started = await peer.start(id_tag, 100, world.at(0))
        again = await peer.start(id_tag, 100, world.at(0))
    assert started["transactionId"] == again["transactionId"] > 0
    assert started["idTagInfo"]["status"] == status
    (one,) = world.transactions()
    assert (one.state, one.refusal, one.authorization_status) == ("open", reason, status)


async def test_energy_that_flows_after_a_refused_start_is_stopped_and_charged_to_the_account(world: World) -> None:
    await world.issue_card("EMPTY", 0)
    async with world.station() as peer:
        started = await peer.start("EMPTY", 0, world.at(0))
        await peer.read(started["transactionId"], world.at(1), 500)
        _, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStopTransaction", {"transactionId": started["transactionId"]})
        await peer.stop(started["transactionId"], 600, world.at(2), reason="DeAuthorized")
    assert world.card("EMPTY").balance_minor == -(21 + 4 + 50)
    assert world.card("EMPTY").held_minor == 0


async def test_energy_of_an_unknown_card_is_not_charged_and_says_why(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start("NOBODY", 0, world.at(0))
        for _ in range(2):
            await peer.stop(started["transactionId"], 600, world.at(2))
    (one,) = world.transactions()
    assert (one.state, one.energy_wh, one.uncharged_reason) == ("ended", 600, "no account")
    assert world.entries("settle") == []


async def test_a_late_start_is_processed_like_any_other(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(-60 * 24 * 3))
        await peer.stop(started["transactionId"], 2000, world.at(-60 * 24 * 3 + 10))
    (one,) = world.transactions()
    assert "late" in one.flags
    assert one.ended_at is not None
    assert (one.ended_at - one.started_at).total_seconds() == 600
    assert world.card().balance_minor == 2000 - (70 + 20 + 50)


async def test_a_late_start_without_credit_makes_a_debt_that_refuses_the_card_and_is_told_until_it_is_paid(
    world: World,
) -> None:
    await world.issue_card("LITTLE", 100)
    before = -60 * 24 * 3
    async with world.station() as peer:
        for _ in range(2):
            started = await peer.start("LITTLE", 0, world.at(before))
            assert (await peer.start("LITTLE", 0, world.at(before)))["idTagInfo"]["status"] == "Accepted"
            await peer.read(started["transactionId"], world.at(before + 5), 3000)
            await peer.stop(started["transactionId"], 5000, world.at(before + 10))
        assert world.card("LITTLE").balance_minor == 100 - (175 + 20 + 50)
        assert (world.commands(), _alarms(world)) == ([], [("account in debt", True)])
        for paid, status, holds in ((144, "Blocked", True), (1, "Blocked", False), (100, "Accepted", False)):
            assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == "Blocked"
            await world.top_up("LITTLE", paid)
            assert _alarms(world) == [("account in debt", holds)]
            assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == status
    assert world.card("LITTLE").state == "active"


@pytest.mark.parametrize(("energy_wh", "alarms"), [(3900, []), (6000, [("account in debt", True)])])
async def test_cents_that_the_guard_was_late_are_no_alarm_and_a_debt_of_a_start_credit_is(
    world: World, energy_wh: int, alarms: list[tuple[str, bool]]
) -> None:
    await world.issue_card("LITTLE", 160)
    async with world.station() as peer:
        started = await peer.start("LITTLE", 0, world.at(59))
        for _ in range(2):
            await peer.stop(started["transactionId"], energy_wh, world.at(60))
        assert (await peer.call("Authorize", {"idTag": "LITTLE"}))["idTagInfo"]["status"] == "Blocked"
    owed = -world.card("LITTLE").balance_minor
    assert owed == {3900: 137 + 2 + 50, 6000: 210 + 2 + 50}[energy_wh] - 160
    assert _alarms(world) == alarms


@pytest.mark.parametrize("transaction_id", [-1, 0, -77, 999_999])
async def test_a_stop_without_a_usable_id_ends_the_one_transaction_that_fits(world: World, transaction_id: int) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 1000, world.at(0))
        first = await peer.stop(transaction_id, 3000, world.at(10), idTag=CARD)
        before = world.snapshot()
        again = await peer.stop(transaction_id, 3000, world.at(10), idTag=CARD)
    assert first["idTagInfo"]["status"] == again["idTagInfo"]["status"] == "Accepted"
    one = world.transaction(started["transactionId"])
    assert (one.state, one.energy_wh) == ("ended", 2000)
    assert f"transaction id {transaction_id}" in one.flags
    assert world.snapshot() == before


async def test_a_stop_that_fits_no_transaction_is_answered_and_parked_once(world: World) -> None:
    async with world.station() as peer:
        for _ in range(3):
            assert await peer.stop(4711, 3000, world.at(10)) == {}
    assert [one.kind for one in world.review_items()] == ["stop without a transaction"]
    assert world.card().balance_minor == 2000


async def test_a_stop_for_another_stations_transaction_leaves_it_alone(world: World) -> None:
    await world.add_station("CP2")
    async with world.station("CP1") as one, world.station("CP2") as two:
        started = await one.start(CARD, 0, world.at(0))
        for _ in range(2):
            await two.stop(started["transactionId"], 5000, world.at(5))
    assert world.transaction(started["transactionId"]).state == "open"
    assert [(item.kind, item.charge_point) for item in world.review_items()] == [
        ("stop for another station's transaction", "CP2")
    ]


async def test_a_new_start_on_a_busy_connector_orphans_the_old_transaction_and_keeps_its_hold(world: World) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, world.at(0))
        await peer.read(first["transactionId"], world.at(5), 900)
        second = await peer.start(CARD, 1200, world.at(10))
        assert second["transactionId"] != first["transactionId"]
        old = world.transaction(first["transactionId"])
        assert (old.state, old.energy_wh) == ("orphaned", 900)
        assert old.held_minor is not None
        assert [one.kind for one in world.review_items()] == ["orphaned transaction"]
        # Its stop was only late: it is charged like any other.
        await peer.stop(first["transactionId"], 1200, world.at(9))
        await peer.stop(second["transactionId"], 1300, world.at(20))
    assert [one.state for one in world.transactions()] == ["ended", "ended"]
    assert world.card().held_minor == 0
    assert len(world.entries("settle")) == 2


@pytest.mark.parametrize(
    ("meter_start", "reading", "next_start", "energy_wh"),
    [
        (1000, 1900, 2200, 900),
        (1000, 1900, 1700, 700),
        (1000, 1900, 1900, 900),
        (1000, 1900, 400, 0),
        (1000, None, 1700, 0),
    ],
)
async def test_the_end_of_an_orphan_is_the_lower_one_of_its_last_reading_and_the_next_start(
    world: World, meter_start: int, reading: int | None, next_start: int, energy_wh: int
) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, meter_start, world.at(0))
        if reading is not None:
            await peer.read(first["transactionId"], world.at(5), reading)
        for _ in range(2):
            await peer.start(CARD, next_start, world.at(10))
    one = world.transaction(first["transactionId"])
    assert (one.state, one.energy_wh) == ("orphaned", energy_wh)
    (item,) = world.review_items()
    assert f'"estimate_wh":{energy_wh}' in item.evidence_json


@pytest.mark.parametrize(
    ("meter_start", "reading", "meter_stop", "energy_wh", "reason"),
    [
        (1000, None, 1000, 0, "no energy"),
        (1000, None, 995, 0, "no energy"),
        (1000, 4000, -1, 3000, None),
        (1000, 4000, 0, 3000, None),
        (1000, None, 0, 0, "meter stop below meter start"),
    ],
)
async def test_a_meter_stop_below_the_start_uses_the_last_good_reading_or_charges_nothing(
    world: World, meter_start: int, reading: int | None, meter_stop: int, energy_wh: int, reason: str | None
) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, meter_start, world.at(0))
        if reading is not None:
            await peer.read(started["transactionId"], world.at(5), reading)
        for _ in range(2):
            await peer.stop(started["transactionId"], meter_stop, world.at(10))
    (one,) = world.transactions()
    assert (one.state, one.energy_wh, one.uncharged_reason) == ("ended", energy_wh, reason)
    assert len(world.review_items()) == (reason == "meter stop below meter start")
    assert len(world.entries("settle")) == (energy_wh > 0)
    assert (world.card().held_minor > 0) == (reason == "meter stop below meter start")


@pytest.mark.parametrize(
    "sample",
    [
        {"value": "5.5", "unit": "kWh"},
        {"value": "5500"},
        {"value": "5500.000", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
        {"value": "5500,0"},
        {"value": 5500},
    ],
)
async def test_registers_in_kwh_with_decimals_and_as_numbers_are_read(world: World, sample: dict[str, Any]) -> None:
    others = [
        {"value": "9", "phase": "L1"},
        {"value": "1", "location": "Inlet"},
        {"value": "230", "measurand": "Voltage"},
    ]
    async with world.station() as peer:
        started = await peer.start(CARD, 500, world.at(0))
        for _ in range(2):
            await peer.read(started["transactionId"], world.at(5), *others, sample, *others)
    assert world.transaction(started["transactionId"]).energy_wh == 5000
    assert len(world.readings(started["transactionId"])) == 1


async def test_a_fractional_meter_stop_is_read_and_flagged(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        payload = {"transactionId": started["transactionId"], "meterStop": 1500.5, "timestamp": world.at(5)}
        for _ in range(2):
            await peer.call("StopTransaction", payload)
    (one,) = world.transactions()
    assert one.energy_wh == 1501
    assert "meterStop" in one.flags


@pytest.mark.parametrize(
    ("timestamp", "flag"),
    [
        ("2026-01-05T10:00:00", "timestamp: naive"),
        ("1970-01-01T00:00:00Z", "timestamp: before 2020 (1970-01-01T00:00:00Z)"),
        ("2199-12-31T00:00:00+02:00", "timestamp: ahead (2199-12-31T00:00:00+02:00)"),
        ("yesterday", "timestamp: unreadable"),
        ("", "timestamp: missing"),
    ],
)
async def test_timestamps_without_a_zone_or_sense_are_read_and_flagged(world: World, timestamp: str, flag: str) -> None:
    async with world.station() as peer:
        first = await peer.start(CARD, 0, timestamp)
        again = await peer.start(CARD, 0, timestamp)
        assert first["transactionId"] == again["transactionId"]
        await peer.stop(first["transactionId"], 400, timestamp)
    (one,) = world.transactions()
    assert one.flags.split("; ").count(flag) == 2
    assert (one.state, one.energy_wh) == ("ended", 400)
    assert (one.started_at > world.start_of_time) == (flag != "timestamp: naive")


async def test_any_card_of_the_account_may_stop_and_the_starter_pays(world: World) -> None:
    await world.issue_card("OTHER", 500)
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(5), idTag="OTHER", reason="Local")
    assert world.card("OTHER").balance_minor == 500
    assert world.card().balance_minor == 2000 - (35 + 10 + 50)


@pytest.mark.parametrize(("state", "status"), [("blocked", "Blocked"), ("lost", "Blocked"), (None, "Accepted")])
async def test_a_stop_is_answered_by_the_state_of_the_card_that_stopped_and_charged_whatever_it_is(
    world: World, state: Any, status: str
) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        if state is not None:
            await world.submit(ChangeCardState(CARD, state, "test"))
        for _ in range(2):
            stopped = await peer.stop(started["transactionId"], 1000, world.at(5), idTag=CARD)
            assert stopped["idTagInfo"]["status"] == status
        unknown = await peer.stop(-1, 1000, world.at(6), idTag="NOBODY")
        assert unknown["idTagInfo"]["status"] == "Invalid"
    assert world.card().balance_minor == 2000 - (35 + 10 + 50)


async def test_a_card_that_is_charging_is_accepted_without_credit_to_stop(world: World) -> None:
    await world.issue_card("LITTLE", 110)
    async with world.station() as peer:
        await peer.start("LITTLE", 0, world.at(0))
        assert world.card("LITTLE").available_minor < 100
        answer = await peer.call("Authorize", {"idTag": "LITTLE"})
        assert answer["idTagInfo"]["status"] == "Accepted"
        await world.add_station("CP2")
        async with world.station("CP2") as elsewhere:
            refused = await elsewhere.call("Authorize", {"idTag": "LITTLE"})
            assert refused["idTagInfo"]["status"] == "Blocked"


async def test_a_transaction_whose_cost_reaches_the_credit_is_stopped_with_that_reading(world: World) -> None:
    await world.issue_card("LITTLE", 200)
    async with world.station() as peer:
        started = await peer.start("LITTLE", 0, world.at(0))
        await peer.read(started["transactionId"], world.at(1), 2000)
        assert peer.commands.empty()
        await peer.read(started["transactionId"], world.at(2), 5000)
        message_id, action, payload = await peer.next_command()
        assert (action, payload) == ("RemoteStopTransaction", {"transactionId": started["transactionId"]})
        await peer.answer(message_id, {"status": "Accepted"})
        await peer.stop(started["transactionId"], 5100, world.at(3), reason="Remote")
    assert world.card("LITTLE").held_minor == 0
    assert world.card("LITTLE").balance_minor == 200 - (179 + 6 + 50)


async def test_readings_of_a_stopped_transaction_that_still_draws_ask_for_another_stop(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(5))
        balance = world.card().balance_minor
        ended = world.transaction(started["transactionId"])
        for _ in range(2):
            await peer.read(started["transactionId"], world.at(6), 1500)
        _, action, _ = await peer.next_command()
    assert action == "RemoteStopTransaction"
    assert world.card().balance_minor == balance == 2000 - (35 + 10 + 50)
    after = world.transaction(started["transactionId"])
    assert (after.energy_wh, after.cost_minor, after.register_at) == (1000, 95, ended.register_at)
    assert [one.flags for one in world.readings(started["transactionId"])] == ["after the end"]
    assert len(world.entries("settle")) == 1


async def test_readings_without_a_known_transaction_are_attached_by_connector_and_time_or_kept_alone(
    world: World,
) -> None:
    await world.add_station("CP2")
    async with world.station() as peer:
        await peer.read(None, world.at(-1), 10)
        started = await peer.start(CARD, 0, world.at(0))
        await peer.read(None, world.at(5), 700)
        for _ in range(2):
            await peer.read(4711, world.at(6), 800)
        await peer.read(4711, world.at(-2), 900)  # before it began
        await peer.read(4711, world.at(7), 950, connector_id=2)
        async with world.station("CP2") as other:
            await other.read(started["transactionId"], world.at(8), 990)
    assert world.transaction(started["transactionId"]).energy_wh == 800
    assert [one.register_wh for one in world.readings(started["transactionId"])] == [700, 800]


async def test_two_cars_on_one_account_cannot_spend_the_same_credit(world: World) -> None:
    await world.issue_card("SHARED", 150)
    async with world.station() as peer:
        first = await peer.start("SHARED", 0, world.at(0), connector_id=1)
        second = await peer.start("SHARED", 0, world.at(0), connector_id=2)
    assert (first["idTagInfo"]["status"], second["idTagInfo"]["status"]) == ("Accepted", "Blocked")
    assert world.card("SHARED").available_minor >= 0


async def _session(peer: Peer, world: World) -> int:
    started = await peer.start(CARD, 0, world.at(0))
    transaction_id: int = started["transactionId"]
    return transaction_id


async def test_transaction_ids_are_positive_and_never_given_twice(world: World) -> None:
    await world.add_station("CP2")
    async with world.station("CP1") as one, world.station("CP2") as two:
        ids = [await _session(one, world), await _session(two, world)]
    assert sorted(ids) == sorted(set(ids))
    assert all(0 < each < 2**31 for each in ids)
