"""Reservations and local lists of a simulated charge point, asked for and kept by the real central system."""

from datetime import timedelta

from chargepoint_sim import Clock, Station, ac
from chargepoint_sim.car import Car
from csms import clock
from csms.charging.command_queue import QueueCommand
from csms.commands.reservations import cancel, reserve
from csms.commands.upkeep import Upkeep
from csms.operations import local_lists_views, reservations_views
from csms.operations.local_lists_views import StationListView
from tests.chargepoint_sim.conftest import QUICK
from tests.support.waiting import until
from tests.support.world import CARD, World

OTHER = "04FFEEDD"
CP1 = 1


def _station(world: World) -> Station:
    url = world.url.rstrip("/")
    return Station("CP1", url, connectors=[ac(1), ac(2)], clock=Clock(), seed=1, timing=QUICK)


def _states(world: World) -> list[tuple[int, str]]:
    with world.database.reading() as connection:
        found = reservations_views.list_reservations(connection, clock.now(), state="all", before=10**9, limit=50)
    return [(one.reservation_id, one.state) for one in reversed(found)]


def _reserve(number: int, connector_id: int = 1, seconds: float = 600) -> QueueCommand:
    now = clock.now()
    return reserve(CP1, connector_id, CARD, number, now + timedelta(seconds=seconds), now, "test")


async def test_a_reserved_connector_takes_its_card_alone_and_the_table_says_what_became_of_it(world: World) -> None:
    await world.issue_card(OTHER, 2000)
    async with _station(world) as station:
        await station.wait_online()
        await world.submit(_reserve(1))
        await station.wait_for_status(1, "Reserved")
        await until(lambda: _states(world) == [(1, "active")])
        await world.submit(_reserve(2, connector_id=2))
        await station.wait_for_status(2, "Reserved")
        await until(lambda: _states(world)[1:] == [(2, "active")])
        await world.submit(cancel(CP1, 2, "test"))
        await station.wait_for_status(2, "Available")
        station.plug_in(1, Car(soc=0.3))
        await station.present_card(1, OTHER)
        assert not world.transactions()
        await station.present_card(1, CARD)
        await station.wait_for_status(1, "Charging")
        await until(lambda: _states(world) == [(1, "used"), (2, "cancelled")])
        (transaction,) = world.transactions()
        assert transaction.id_tag == CARD
        await world.submit(_reserve(3))  # it is in use
        await until(lambda: _states(world)[2:] == [(3, "refused")])
        await world.submit(_reserve(4, connector_id=2, seconds=2))
        await station.wait_for_status(2, "Reserved")
        await station.wait_for_status(2, "Available")
        await until(lambda: _states(world)[3:] == [(4, "expired")])


def _held(world: World) -> StationListView:
    with world.database.reading() as connection:
        (found,) = local_lists_views.list_stations(connection, clock.now(), charge_point_id=CP1, limit=1)
    return found


async def test_a_list_reaches_the_station_and_follows_its_cards(world: World) -> None:
    await world.issue_card(OTHER, 2000)
    with world.database.unit_of_work() as connection:
        number = local_lists_views.add_list(connection, "Depot", None, clock.now(), has_staff=False)
        assert number is not None
        local_lists_views.put_card(connection, number, CARD, chosen=True)
        local_lists_views.put_target(connection, number, charge_point_id=CP1)
    upkeep = Upkeep(world.installation, world.connections, clock.now)
    async with _station(world) as station:
        await station.wait_online()
        await upkeep.look()
        await until(lambda: _held(world).held.state == "in step")
        first = _held(world)
        assert (first.is_current, sorted(first.held.entries or {})) == (True, [CARD])
        with world.database.unit_of_work() as connection:
            local_lists_views.put_card(connection, number, OTHER, chosen=True)
            local_lists_views.put_card(connection, number, CARD, chosen=False)
        await upkeep.look()
        await until(lambda: sorted(_held(world).held.entries or {}) == [OTHER])
    assert first.held.version is not None
    assert _held(world).held.version == first.held.version + 1
    actions = [one.action for one in world.commands()][::-1]
    assert actions == ["GetLocalListVersion", "SendLocalList", "SendLocalList"]
