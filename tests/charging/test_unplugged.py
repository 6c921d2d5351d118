"""The car is unplugged before its transaction ends: time after that costs nothing, and it never costs more."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from csms.billing import reports
from csms.billing.bands import Band
from csms.billing.models import journal_entry, tariff
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, encode_tariff
from csms.charging.display_messages import VENDOR
from csms.charging.facts import Point, Transaction
from csms.charging.pricing import charge_of, cost_of
from csms.charging.reviews import ResolveReview
from tests.support.ledger import violations
from tests.support.peer import Peer
from tests.support.world import CARD, World, add_tariff

EURO = Currency("EUR", 2)
OTHER = "04FFEEDD01"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
IDLE = {"name": "idle", "rate_per_minute": Decimal(0), "rate_per_idle_minute": Decimal("0.10"), "idle_grace_s": 300}

_rates = st.integers(0, 10**6).map(lambda millionths: Decimal(millionths) / 10**6)
_bands = st.lists(
    st.builds(
        lambda begin, rate, minute: Band("b", tuple(range(7)), begin * 60, begin * 60 + 60, rate, minute),
        st.integers(0, 23),
        _rates,
        _rates,
    ),
    max_size=3,
    unique_by=lambda band: band.begin_minute,
)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    return Tariff(
        1,
        "any",
        draw(_rates),
        draw(_rates),
        draw(st.integers(0, 100)),
        Decimal(20),
        bands=tuple(draw(_bands)),
        rate_per_idle_minute=draw(st.just(Decimal(0)) | _rates),
        idle_grace_s=draw(st.integers(0, 1800)),
        minimum_minor=draw(st.integers(0, 100)),
        maximum_minor=draw(st.none() | st.integers(100, 1000)),
    )


def begun(priced: Tariff, unplugged_at: datetime | None) -> Transaction:
    """Return what pricing looks at."""
    return Transaction(
        1, "k", 1, 1, CARD, 1, "Accepted", None, "open", 0, NOON, NOON, encode_tariff(priced), 0, NOON,
        needs_spans=priced.needs_spans, unplugged_at=unplugged_at,
    )  # fmt: skip


@settings(max_examples=300)
@given(
    tariffs(),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 5000)), max_size=6),
    st.integers(0, 20_000),
    st.integers(-3600, 30_000),
)
def test_unplugging_never_raises_the_price(
    priced: Tariff, steps: list[tuple[int, int]], end_s: int, unplugged_s: int
) -> None:
    register, points = 0, []
    for seconds, wh in sorted(steps):
        register += wh
        points.append(Point(NOON + timedelta(seconds=seconds), register))
    end_at = NOON + timedelta(seconds=max([end_s, *(seconds for seconds, _ in steps)]))
    gone_at = NOON + timedelta(seconds=unplugged_s)
    plugged = charge_of(begun(priced, None), register, end_at, points, EURO)
    gone = charge_of(begun(priced, gone_at), register, end_at, points, EURO)
    assert gone.total_minor <= plugged.total_minor
    assert sum(line.amount_minor for line in gone.lines) == gone.total_minor
    assert cost_of(begun(priced, gone_at), register, end_at, points, EURO) == gone.total_minor
    if gone_at >= end_at:
        assert gone == plugged


def lines_of(world: World, transaction_id: int) -> list[Any]:
    """Return the lines of a charge."""
    with world.database.reading() as connection:
        return list(reports.charge_lines(connection, transaction_id))


def events_of(world: World, transaction_id: int) -> list[str]:
    """Return what was booked about a transaction, oldest first."""
    entry = journal_entry.c
    with world.database.reading() as connection:
        statement = select(entry.event).where(entry.reference == transaction_id).order_by(entry.id)
        return list(connection.execute(statement).scalars())


def assert_exact(world: World) -> None:
    assert violations(world.database, world.installation.currency) == []


def use_idle_tariff(world: World) -> None:
    """Let time without energy cost, after a grace time."""
    add_tariff(world.installation, **IDLE | {"version": 1, "is_default": False})
    with world.database.unit_of_work() as connection:
        connection.execute(update(tariff).values(is_default=tariff.c.name == "idle"))


async def tell(peer: Peer, transaction_id: int, timestamp: str) -> None:
    data = json.dumps({"transactionId": transaction_id, "timestamp": timestamp})
    payload = {"vendorId": VENDOR, "messageId": "ConnectorUnplugged", "data": data}
    for _ in range(2):  # and repeated
        assert await peer.call("DataTransfer", payload) == {"status": "Accepted"}


async def charge_and_stand(
    world: World, peer: Peer, unplugged_minute: float | None, card: str = CARD, connector_id: int = 1
) -> int:
    """Charge 10 kWh in ten minutes, stand for thirty, unplugged before the end where a minute is given."""
    transaction_id: int = (await peer.start(card, 0, world.at(0), connector_id))["transactionId"]
    await peer.read(transaction_id, world.at(10), 10_000, connector_id=connector_id)
    await peer.read(transaction_id, world.at(20), 10_000, connector_id=connector_id)
    if unplugged_minute is not None:
        await tell(peer, transaction_id, world.at(unplugged_minute))
    await peer.read(transaction_id, world.at(30), 10_000, connector_id=connector_id)
    await peer.stop(transaction_id, 10_000, world.at(40))
    return transaction_id


@pytest.mark.parametrize(
    ("minute", "cost_minor"),
    [(None, 50 + 350 + 250), (40, 50 + 350 + 250), (25, 50 + 350 + 100), (15, 50 + 350), (12, 50 + 350), (5, 50 + 350)],
)
async def test_the_idle_fee_ends_when_the_car_is_unplugged(world: World, minute: float | None, cost_minor: int) -> None:
    use_idle_tariff(world)
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, minute)
    one = world.transaction(transaction_id)
    assert one.cost_minor == cost_minor
    assert one.unplugged_at == (None if minute is None else world.start_of_time + timedelta(minutes=minute))
    assert world.card().balance_minor == 2000 - cost_minor
    assert_exact(world)


async def test_the_price_per_minute_ends_when_the_car_is_unplugged(world: World) -> None:
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, 20)
    assert world.transaction(transaction_id).cost_minor == 50 + 350 + 40
    assert_exact(world)


@pytest.mark.parametrize("has_idle_fee", [False, True])
@pytest.mark.parametrize("minute", [39, 25, 20, 12])
async def test_a_message_that_comes_after_the_charge_corrects_it_to_what_it_had_been_in_time(
    world: World,
    minute: float,
    has_idle_fee: bool,  # noqa: FBT001 - a column of the table
) -> None:
    await world.issue_card(OTHER, 2000)
    if has_idle_fee:
        use_idle_tariff(world)
    async with world.station() as peer:
        in_time = await charge_and_stand(world, peer, minute)
        late = await charge_and_stand(world, peer, None, OTHER, 2)
        charged = world.transaction(late)
        lines = lines_of(world, late)
        await tell(peer, late, world.at(minute))
        after = world.snapshot()
        await tell(peer, late, world.at(minute - 1))  # the first one counts
    assert world.card(OTHER).balance_minor == world.card().balance_minor
    assert world.card().balance_minor == 2000 - world.transaction(in_time).cost_minor
    assert world.card(OTHER).balance_minor > 2000 - charged.cost_minor
    assert world.transaction(late).cost_minor == charged.cost_minor  # the charge stays; the difference is an entry
    assert lines_of(world, late) == lines
    assert events_of(world, late) == ["settle", "adjustment"]
    assert "told after it" in world.transaction(late).flags
    assert world.review_items() == []
    assert world.snapshot() == after
    assert_exact(world)


async def test_where_time_costs_nothing_a_message_after_the_charge_moves_no_money(world: World) -> None:
    add_tariff(world.installation, name="energy", rate_per_minute=Decimal(0), version=1, is_default=False)
    with world.database.unit_of_work() as connection:
        connection.execute(update(tariff).values(is_default=tariff.c.name == "energy"))
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, None)
        before = world.snapshot()
        await tell(peer, transaction_id, world.at(20))
    assert world.snapshot() == before
    assert_exact(world)


@pytest.mark.parametrize(
    ("minute", "why"), [(5, "readings say that it drew energy afterwards"), (-1, "that is before the start")]
)
async def test_a_message_after_the_charge_that_readings_contradict_is_for_a_person(
    world: World, minute: float, why: str
) -> None:
    async with world.station() as peer:
        transaction_id: int = (await peer.start(CARD, 0, world.at(0)))["transactionId"]
        for reading in (8, 10, 20):
            await peer.read(transaction_id, world.at(reading), reading * 1000)
        await peer.stop(transaction_id, 20_000, world.at(40))
        before = world.card().balance_minor
        await tell(peer, transaction_id, world.at(minute))
    assert world.card().balance_minor == before
    (item,) = world.review_items()
    assert (item.kind, item.transaction_id) == ("unplugged before the stop", transaction_id)
    assert why in item.explanation
    assert_exact(world)


async def test_what_is_told_before_a_person_charges_a_card_counts_in_its_charge(world: World) -> None:
    async with world.station() as peer:
        transaction_id: int = (await peer.start("NOBODY", 0, world.at(0)))["transactionId"]
        await peer.read(transaction_id, world.at(10), 10_000)
        await peer.stop(transaction_id, 10_000, world.at(40))
        await tell(peer, transaction_id, world.at(20))
    (item,) = [one for one in world.review_items() if one.transaction_id == transaction_id]
    asked = ResolveReview(item.key, "assign", "It was Ann's.", "anna", "form-1", id_tag=CARD)
    resolved = await world.submit(asked)
    assert resolved.cost_minor == 50 + 350 + 40
    assert_exact(world)


async def test_a_message_about_the_end_or_later_needs_nobody(world: World) -> None:
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, None)
        await tell(peer, transaction_id, world.at(41))
    assert world.transaction(transaction_id).unplugged_at is not None
    assert world.review_items() == []
    assert_exact(world)
