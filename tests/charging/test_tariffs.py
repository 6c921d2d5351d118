"""Tariffs over real sockets, on both databases: bands, idle time, versions, and which assignment wins."""

from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms import clock
from csms.billing import account_groups, price_lists, reports
from csms.billing.account_groups import AccountLimits
from csms.billing.bands import Band
from csms.billing.price_lists import NewTariff, PriceList, TariffRefused
from csms.billing.tariffs import decode_tariff
from csms.charging import assignments, groups
from csms.charging.assignments import Scope
from csms.charging.groups import StationPolicy
from tests.support.ledger import violations
from tests.support.world import CARD, World

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)


def _add(world: World, name: str, now: datetime | None = None, **changes: Any) -> PriceList | TariffRefused:
    values: dict[str, Any] = {
        "rate_per_kwh": Decimal("0.30"),
        "rate_per_minute": Decimal(0),
        "start_fee_minor": 0,
        "tax_percent": Decimal(20),
    }
    with world.database.unit_of_work() as connection:
        return price_lists.add_tariff(connection, NewTariff(name, **(values | changes)), now or clock.now())


def _name_of(world: World, transaction_id: int) -> str:
    return decode_tariff(world.transaction(transaction_id).tariff_json).name


async def test_a_transaction_across_a_band_and_with_idle_time_is_charged_as_by_hand(world: World) -> None:
    night = Band("night", EVERY_DAY, 22 * 60, 24 * 60, Decimal("0.10"), Decimal("0.01"))
    changes = {"rate_per_minute": Decimal("0.02"), "rate_per_idle_minute": Decimal("0.05"), "idle_grace_s": 300}
    _add(world, "Night", make_default=True, bands=(night,), **changes)
    yesterday = datetime.combine(clock.now().date() - timedelta(days=1), time())

    def at(text: str) -> str:
        hour, minute = map(int, text.split(":"))
        return f"{yesterday + timedelta(hours=hour, minutes=minute):%Y-%m-%dT%H:%M:%SZ}"

    async with world.station() as peer:
        number = (await peer.start(CARD, 0, at("21:40")))["transactionId"]
        await peer.read(number, at("22:20"), 10_000)  # 5 kWh and 20 min on each side of the border
        await peer.read(number, at("22:50"), 10_000)  # idle for half an hour, of which 5 min are free
        await peer.stop(number, 12_000, at("23:10"))
    with world.database.reading() as connection:
        lines = reports.charge_lines(connection, number)
    assert [(one.component, one.band, one.quantity, one.amount_minor) for one in lines] == [
        ("energy", "", Decimal(5), 150),
        ("time", "", Decimal(20), 40),
        ("energy", "night", Decimal(7), 70),
        ("time", "night", Decimal(40), 40),
        ("idle", "", Decimal(25), 125),
    ]
    assert world.transaction(number).cost_minor == 425
    assert world.card().balance_minor == 2000 - 425
    (entry,) = world.entries("settle")
    assert [one.amount_minor for one in entry.transfers] == [354, 71]
    assert violations(world.database, world.installation.currency) == []


async def test_a_start_gets_the_version_of_its_own_time_however_late_it_is_told(world: World) -> None:
    begin = world.start_of_time
    _add(world, "Versions", begin, make_default=True)
    change = begin + timedelta(minutes=30)
    _add(world, "Versions", begin, rate_per_kwh=Decimal("0.50"), valid_from=change)
    async with world.station() as peer:
        after = (await peer.start(CARD, 1000, world.at(30)))["transactionId"]
        await peer.stop(after, 2000, world.at(40))
        before = (await peer.start(CARD, 0, world.at(29.9), connectorId=2))["transactionId"]  # told later
        await peer.stop(before, 1000, world.at(40))
    assert [world.transaction(one).cost_minor for one in (before, after)] == [30, 50]


async def test_after_the_end_of_a_tariff_nobody_starts_where_no_other_applies(world: World) -> None:
    end = world.start_of_time + timedelta(minutes=10)
    _add(world, "Short", world.start_of_time, make_default=True, valid_to=end)
    async with world.station() as peer:
        assert (await peer.call("Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Blocked"
        (refusal,) = _refusals(world)
    assert refusal == "no tariff"


def _refusals(world: World) -> list[str]:
    from csms.charging import overview

    with world.database.reading() as connection:
        return [one.reason for one in overview.list_refusals(connection, id_tag=CARD, limit=10)]


def _places(world: World) -> tuple[int, int]:
    """Put CP1 into a group and the card's account into another; return their numbers."""
    account_id = world.card().account_id
    assert account_id is not None
    with world.database.unit_of_work() as connection:
        place = groups.add_station_group(connection, "Harbour", StationPolicy(), clock.now())
        group = account_groups.add_account_group(connection, "Residents", AccountLimits(), clock.now())
        assert place is not None
        assert group is not None
        assert groups.put_station(connection, "CP1", place)
        account_groups.put_account(connection, account_id, group)
    return place, group


async def test_a_tariff_that_has_ended_begins_again_now_and_not_later(world: World) -> None:
    end = clock.now() - timedelta(days=1)
    _add(world, "Summer", end - timedelta(days=1), valid_to=end)
    later = _add(world, "Summer", valid_from=clock.now() + timedelta(hours=1))
    assert isinstance(later, TariffRefused)
    assert [one.field for one in later.problems] == ["valid_from"]
    assert "for now on" in later.problems[0].why
    again = _add(world, "Summer", rate_per_kwh=Decimal("0.40"))
    assert isinstance(again, PriceList)
    assert again.version == 2


async def test_the_narrowest_assignment_wins_and_an_account_groups_own_before_all(world: World) -> None:
    place, group = _places(world)
    steps = [
        ("standard", None),
        ("Place", Scope(station_group_id=place)),
        ("Station", Scope(charge_point_id=1)),
        ("Connector", Scope(charge_point_id=1, connector_id=1)),
        ("Residents", Scope(account_group_id=group)),
        ("Residents here", Scope(account_group_id=group, charge_point_id=1)),
    ]
    async with world.station() as peer:
        for minute, (name, scope) in enumerate(steps):
            if scope is not None:
                _add(world, name)
                with world.database.unit_of_work() as connection:
                    assert assignments.assign(connection, name, scope, clock.now()) is None
            number = (await peer.start(CARD, 0, world.at(minute)))["transactionId"]
            await peer.stop(number, 0, world.at(minute + 0.5))
            assert _name_of(world, number) == name
        await world.issue_card("STRANGER", 500)
        number = (await peer.start("STRANGER", 0, world.at(50)))["transactionId"]
        await peer.stop(number, 0, world.at(51))
        assert _name_of(world, number) == "Connector"
        other = (await peer.start("STRANGER", 0, world.at(52), connectorId=2))["transactionId"]
    assert _name_of(world, other) == "Station"


async def test_a_price_at_one_connector_only_lets_cards_start_there_and_nowhere_else(world: World) -> None:
    with world.database.unit_of_work() as connection:
        connection.execute(price_lists.models.tariff.update().values(is_default=False))
        wrong = assignments.assign(connection, "standard", Scope(charge_point_id=1, connector_id=2), clock.now())
    assert wrong is None
    async with world.station() as peer:
        assert (await peer.call("Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Accepted"
        first = await peer.start(CARD, 0, world.at(0), connectorId=1)
        assert first["idTagInfo"]["status"] == "Blocked"
        await peer.stop(first["transactionId"], 0, world.at(1))
        second = await peer.start(CARD, 0, world.at(2), connectorId=2)
    assert second["idTagInfo"]["status"] == "Accepted"


@pytest.mark.parametrize(("wrong", "scope"), [("scope", Scope()), ("connector_id", Scope(connector_id=1))])
async def test_an_assignment_to_nothing_is_refused(world: World, wrong: str, scope: Scope) -> None:
    with world.database.unit_of_work() as connection:
        assert assignments.assign(connection, "standard", scope, clock.now()) == wrong
        assert assignments.assign(connection, "none", Scope(charge_point_id=1), clock.now()) == "tariff_name"
