"""The prepaid settings of a simulated charge point, pushed by the real central system over a real socket."""

from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import insert, select, update

from chargepoint_sim import Station
from csms import clock
from csms.charging import models
from csms.charging.settings_view import SettingsView, find_settings
from csms.config import Settings
from tests.chargepoint_sim.conftest import QUICK
from tests.support.waiting import until
from tests.support.world import CARD, World, open_world

CP1 = 1
OLD_KEY = "000102030405060708090a0b0c0d0e0f10111213"
WRONG = {
    "AuthorizationCacheEnabled": "true",
    "LocalPreAuthorize": "true",
    "MeterValuesSampledData": "Voltage",
    "MeterValueSampleInterval": "900",
    "WebSocketPingInterval": "0",  # whose change needs a reboot
}


@pytest.fixture
async def looking(make_settings: Callable[..., Settings]) -> AsyncIterator[World]:
    """A world whose stations' settings are looked after."""
    async with open_world(make_settings(settings_check_interval_s=86_400)) as world:
        yield world


def settings_of(world: World) -> SettingsView:
    """Return CP1's settings."""
    with world.database.reading() as connection:
        found = find_settings(connection, CP1)
    assert found is not None
    return found


async def test_a_station_is_set_up_for_prepaid_with_the_reboot_that_it_needs(looking: World) -> None:
    async with Station("CP1", looking.url.rstrip("/"), timing=QUICK, configuration=WRONG) as station:
        await station.wait_online()
        await until(lambda: any(one.action == "Reset" for one in looking.commands()))
        await until(lambda: settings_of(looking).wanted and not settings_of(looking).wrong)
        assert station.configuration["LocalPreAuthorize"] == "false"
        assert station.configuration["AuthorizationCacheEnabled"] == "false"
        assert station.configuration["MeterValuesSampledData"] == "Energy.Active.Import.Register,Power.Active.Import"
        assert station.configuration["MeterValueSampleInterval"] == "60"
        assert station.configuration["TransactionMessageAttempts"] == "10"
        assert station.configuration["WebSocketPingInterval"] == "60"
    actions = [one.action for one in looking.commands()]
    assert actions.count("ClearCache") == 1
    assert actions.count("Reset") == 1
    # A station may reject to clear a cache that is off, and its reboot may cut the answer to Reset off.
    others = [one for one in looking.commands() if one.action not in {"ClearCache", "Reset"}]
    assert {one.state for one in others} == {"accepted"}


async def test_a_new_station_gets_its_own_key_is_accepted_and_comes_back_with_it(looking: World) -> None:
    with looking.database.unit_of_work() as connection:
        group = insert(models.station_group).values(name="yard", created_at=clock.now(), is_onboarded=True)
        key = connection.execute(group).inserted_primary_key
        assert key is not None
        connection.execute(update(models.charge_point).values(group_id=key[0]))
    async with Station("CP1", looking.url.rstrip("/"), timing=QUICK, key=OLD_KEY, configuration=WRONG) as station:
        await station.wait_online(60)  # that is, accepted
        new_key = station.configuration["AuthorizationKey"]
        assert new_key != OLD_KEY
        assert station.configuration["LocalPreAuthorize"] == "false"
        station.cut_link()
        await until(lambda: not station.is_online)
        station.restore_link()
        await station.wait_online(60)
        assert (await station.present_card(1, CARD)).accepted
    with looking.database.reading() as connection:
        row = connection.execute(select(models.charge_point)).one()
        stored = str(connection.execute(select(models.command)).all())
    assert (row.registration, row.security_profile) == ("Accepted", 1)
    assert new_key not in stored
