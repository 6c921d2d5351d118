"""The car is unplugged before its transaction ends: time after that costs nothing, and it never costs more."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from csms.billing.bands import Band
from csms.billing.models import tariff
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, encode_tariff
from csms.charging.display_messages import VENDOR
from csms.charging.facts import Point, Transaction
from csms.charging.pricing import charge_of, cost_of
from tests.support.ledger import violations
from tests.support.peer import Peer
from tests.support.world import CARD, World, add_tariff

EURO = Currency("EUR", 2)
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


def assert_exact(world: World) -> None:
    assert violations(world.database, world.installation.currency) == []


async def tell(peer: Peer, transaction_id: int, timestamp: str) -> None:
    data = json.dumps({"transactionId": transaction_id, "timestamp": timestamp})
    payload = {"vendorId": VENDOR, "messageId": "ConnectorUnplugged", "data": data}
    for _ in range(2):  # and repeated
        assert await peer.call("DataTransfer", payload) == {"status": "Accepted"}


async def charge_and_stand(world: World, peer: Peer, unplugged_minute: float | None) -> int:
    """Charge 10 kWh in ten minutes, stand for thirty, unplugged before the end where a minute is given."""
    transaction_id: int = (await peer.start(CARD, 0, world.at(0)))["transactionId"]
    await peer.read(transaction_id, world.at(10), 10_000)
    await peer.read(transaction_id, world.at(20), 10_000)
    if unplugged_minute is not None:
        await tell(peer, transaction_id, world.at(unplugged_minute))
    await peer.read(transaction_id, world.at(30), 10_000)
    await peer.stop(transaction_id, 10_000, world.at(40))
    return transaction_id


@pytest.mark.parametrize(
    ("minute", "cost_minor"),
    [(None, 50 + 350 + 250), (40, 50 + 350 + 250), (25, 50 + 350 + 100), (15, 50 + 350), (12, 50 + 350), (5, 50 + 350)],
)
async def test_the_idle_fee_ends_when_the_car_is_unplugged(world: World, minute: float | None, cost_minor: int) -> None:
    add_tariff(world.installation, **IDLE | {"version": 1, "is_default": False})
    with world.database.unit_of_work() as connection:
        connection.execute(update(tariff).values(is_default=tariff.c.name == "idle"))
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


async def test_a_message_that_comes_after_the_charge_changes_nothing_and_is_shown_to_a_person(world: World) -> None:
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, None)
        before = world.card().balance_minor
        await tell(peer, transaction_id, world.at(20))
    assert world.transaction(transaction_id).unplugged_at is None
    assert world.card().balance_minor == before
    (item,) = world.review_items()
    assert (item.kind, item.transaction_id) == ("unplugged before the stop", transaction_id)
    assert "20 min before the stop" in item.explanation
    assert_exact(world)


async def test_a_message_about_the_end_or_later_needs_nobody(world: World) -> None:
    async with world.station() as peer:
        transaction_id = await charge_and_stand(world, peer, None)
        await tell(peer, transaction_id, world.at(41))
    assert world.transaction(transaction_id).unplugged_at is not None
    assert world.review_items() == []
    assert_exact(world)
