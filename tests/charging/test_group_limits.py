"""What a group of accounts may, and who may charge at a group of stations, over real sockets on both databases."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from csms import clock
from csms.billing import account_groups
from csms.billing.account_groups import AccountLimits
from csms.billing.prepaid import Refused
from csms.charging import groups, overview
from csms.charging.groups import StationPolicy
from csms.config import Settings
from tests.support.ledger import violations
from tests.support.peer import Peer
from tests.support.world import CARD, World, change_prices, open_world


@pytest.fixture
async def noon(make_settings: Callable[..., Settings]) -> AsyncIterator[World]:
    """A world in whose time zone it is about noon, so that the day of a daily limit does not end within the test."""
    ahead = 12 - clock.now().hour
    zone = "Etc/GMT" if not ahead else f"Etc/GMT{-ahead:+d}"
    async with open_world(make_settings(time_zone=zone)) as opened:
        yield opened


def _put_into_group(world: World, limits: AccountLimits, *allowed: int) -> None:
    account_id = world.card().account_id
    assert account_id is not None
    with world.database.unit_of_work() as connection:
        number = account_groups.add_account_group(connection, "Group", limits, clock.now())
        assert number is not None
        groups.allow_groups(connection, number, set(allowed))
        account_groups.put_account(connection, account_id, number)


def _station_group(world: World, name: str, identity: str, **policy: Any) -> int:
    with world.database.unit_of_work() as connection:
        number = groups.add_station_group(connection, name, StationPolicy(**policy), clock.now())
        assert number is not None
        assert groups.put_station(connection, identity, number)
    return number


async def _authorized(peer: Peer, id_tag: str = CARD) -> str:
    status: str = (await peer.call("Authorize", {"idTag": id_tag}))["idTagInfo"]["status"]
    return status


def _last_reason(world: World, id_tag: str = CARD) -> str:
    with world.database.reading() as connection:
        return overview.list_refusals(connection, id_tag=id_tag, limit=1)[0].reason


async def test_a_group_may_need_more_credit_to_start(world: World) -> None:
    _put_into_group(world, AccountLimits(minimum_start_credit_minor=2001))
    async with world.station() as peer:
        assert await _authorized(peer) == "Blocked"
        assert _last_reason(world) == "no credit"
        await world.top_up(CARD, 1)
        started = await peer.start(CARD, 0, world.at(0))
    assert started["idTagInfo"]["status"] == "Accepted"
    assert world.card().held_minor == 2001


@pytest.mark.parametrize("price", [{"start_fee_minor": 300}, {"start_fee_minor": 0, "minimum_minor": 300}])
async def test_a_card_that_cannot_pay_the_least_that_a_charge_costs_may_not_begin(
    world: World, price: dict[str, int]
) -> None:
    change_prices(world.installation, **price)
    await world.issue_card("LITTLE", 299)
    async with world.station() as peer:
        for _ in range(2):
            assert await _authorized(peer, "LITTLE") == "Blocked"
        assert _last_reason(world, "LITTLE") == "no credit"
        await world.top_up("LITTLE", 1)
        assert await _authorized(peer, "LITTLE") == "Accepted"
        for _ in range(2):
            started = await peer.start("LITTLE", 0, world.at(0))
        assert started["idTagInfo"]["status"] == "Accepted"
        assert world.card("LITTLE").held_minor == 300
        for _ in range(2):
            await peer.stop(started["transactionId"], 1, world.at(0))
    assert (world.card("LITTLE").balance_minor, world.card("LITTLE").held_minor) == (0, 0)
    assert violations(world.database, world.installation.currency) == []


async def test_a_group_has_its_own_limits_of_top_up_and_balance(world: World) -> None:
    _put_into_group(world, AccountLimits(maximum_top_up_minor=1000, maximum_balance_minor=2500))
    assert await world.top_up(CARD, 1001) == Refused("amount above the limit")
    assert await world.top_up(CARD, 501) == Refused("balance above the limit")
    assert not isinstance(await world.top_up(CARD, 500), Refused)
    assert world.card().balance_minor == 2500


async def test_a_days_limit_counts_what_is_charging_now(noon: World) -> None:
    world = noon
    _put_into_group(world, AccountLimits(daily_spend_minor=300, simultaneous_transactions=5))
    await world.add_station("CP2")
    async with world.station() as first, world.station("CP2") as second:
        number = (await first.start(CARD, 0, world.at(0)))["transactionId"]
        await first.read(number, world.at(10), 6000)  # 2.10 + 0.20 + 0.50
        assert await _authorized(second) == "Accepted"
        await first.read(number, world.at(20), 6300)  # 2.21 + 0.40 + 0.50
        assert await _authorized(second) == "Blocked"
        assert _last_reason(world) == "daily limit"
        assert await _authorized(first) == "Accepted"  # it has come to stop
        await first.stop(number, 6300, world.at(20))
        assert await _authorized(first) == "Blocked"
    assert world.card().balance_minor == 2000 - 311


async def test_a_group_may_charge_so_many_cars_at_once(world: World) -> None:
    _put_into_group(world, AccountLimits(simultaneous_transactions=2))
    async with world.station() as peer:
        statuses = []
        for connector_id in (1, 2, 3):
            started = await peer.start(CARD, 0, world.at(59), connectorId=connector_id)
            statuses.append(started["idTagInfo"]["status"])
    assert statuses == ["Accepted", "Accepted", "ConcurrentTx"]


async def test_without_a_group_a_card_charges_one_car_at_once(world: World) -> None:
    async with world.station() as peer:
        statuses = [(await peer.start(CARD, 0, world.at(59), connectorId=one))["idTagInfo"]["status"] for one in (1, 2)]
    assert statuses == ["Accepted", "ConcurrentTx"]


async def test_a_group_of_accounts_may_be_limited_to_places(world: World) -> None:
    await world.add_station("CP2")
    await world.add_station("CP3")
    here = _station_group(world, "Here", "CP1")
    _station_group(world, "There", "CP2")
    _put_into_group(world, AccountLimits(), here)
    async with world.station() as first, world.station("CP2") as second, world.station("CP3") as third:
        assert await _authorized(first) == "Accepted"
        for elsewhere in (second, third):  # in another group, and in none
            assert await _authorized(elsewhere) == "Blocked"
        assert _last_reason(world) == "not at this station"
        started = await second.start(CARD, 0, world.at(0))
    assert started["idTagInfo"]["status"] == "Blocked"


async def test_a_station_for_staff_takes_accounts_of_staff_only(world: World) -> None:
    _station_group(world, "Yard", "CP1", is_staff_only=True)
    await world.issue_card("GUEST", 1000)
    _put_into_group(world, AccountLimits(is_staff=True))
    async with world.station() as peer:
        assert await _authorized(peer) == "Accepted"
        assert await _authorized(peer, "GUEST") == "Blocked"
    assert _last_reason(world, "GUEST") == "staff only"


async def test_where_nobody_pays_a_card_without_credit_charges_and_nothing_is_booked(world: World) -> None:
    _station_group(world, "Gift", "CP1", is_free=True)
    await world.issue_card("POOR", 0)
    async with world.station() as peer:
        assert await _authorized(peer, "POOR") == "Accepted"
        number = (await peer.start("POOR", 0, world.at(0)))["transactionId"]
        await peer.read(number, world.at(10), 5000)
        await peer.stop(number, 9000, world.at(20))
    one = world.transaction(number)
    assert (one.state, one.energy_wh, one.cost_minor, one.uncharged_reason) == ("ended", 9000, 0, "nothing to charge")
    assert world.entries("settle") == []
    assert violations(world.database, world.installation.currency) == []


async def test_two_cars_on_one_account_never_hold_the_same_credit(world: World) -> None:
    _put_into_group(world, AccountLimits(simultaneous_transactions=2))
    await world.add_station("CP2")
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(world.station(identity)) for identity in ("CP1", "CP2")]
        numbers = [(await peer.start(CARD, 0, world.at(0)))["transactionId"] for peer in peers]
        for step in range(1, 10):
            for peer, number, power in zip(peers, numbers, (44, 22), strict=True):
                await peer.read(number, world.at(5 * step), step * power * 1000 * 5 // 60)
                card = world.card()
                holds = [world.transaction(one).held_minor for one in numbers]
                assert sum(held or 0 for held in holds) == card.held_minor <= card.balance_minor
        queued = {each for point in (1, 2) for each in (one.action for one in world.commands(point))}
        assert "RemoteStopTransaction" in queued  # together they would have used up the credit
        for peer, number, power in zip(peers, numbers, (44, 22), strict=True):
            await peer.stop(number, 9 * power * 1000 * 5 // 60, world.at(45))
    costs = [world.transaction(one).cost_minor for one in numbers]
    assert costs == [1155 + 90 + 50, 578 + 90 + 50]
    assert world.card().balance_minor == 2000 - sum(costs)
    assert violations(world.database, world.installation.currency) == []
