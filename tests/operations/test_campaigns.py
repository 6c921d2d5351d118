"""Firmware campaigns: what comes next (pure), and whole campaigns over stations on both databases."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from csms import clock
from csms.charging import groups, models
from csms.commands.file_work import FileWork
from csms.commands.files import FirmwareUpdate, links_of, update_firmware
from csms.operations import campaign_store, firmware_files
from csms.operations.campaigns import Campaign, Turn, next_step, progress_of
from csms.operations.files_models import file_transfer, firmware_campaign
from csms.operations.firmware_files import Firmware
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World

NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
CAMPAIGN = Campaign(1, 1, "Yard", "running", "", False, NOW, None, 2, 2, 0, True, "test", NOW, NOW)
ABOUT = {"chargePointVendor": "Acme", "chargePointModel": "One", "firmwareVersion": "1.0"}


def _turn(number: int, state: str | None = None, *, online: bool = True, charging: bool = False) -> Turn:
    command_id = None if state is None else 100 + number
    return Turn(number, f"CP{number}", command_id, state, "", "", "1.0", online, charging)


# --- What comes next --------------------------------------------------------------------------------------------------


def test_so_many_begin_as_may_at_the_same_time() -> None:
    assert next_step(CAMPAIGN, [_turn(one) for one in range(5)], NOW).start == (0, 1)
    turns = [_turn(0, "running"), *(_turn(one) for one in range(1, 5))]
    assert next_step(CAMPAIGN, turns, NOW).start == (1,)
    turns = [_turn(0, "running"), _turn(1, "waiting"), _turn(2)]
    assert next_step(CAMPAIGN, turns, NOW).start == ()


def test_it_begins_when_its_time_has_come() -> None:
    later = replace(CAMPAIGN, starts_at=NOW + timedelta(seconds=1))
    assert next_step(later, [_turn(1)], NOW).start == ()
    assert next_step(later, [_turn(1)], NOW + timedelta(seconds=1)).start == (1,)


def test_stations_that_are_away_or_charging_wait() -> None:
    turns = [_turn(1, online=False), _turn(2, charging=True), _turn(3)]
    assert next_step(CAMPAIGN, turns, NOW).start == (3,)
    assert next_step(replace(CAMPAIGN, only_idle=False), turns, NOW).start == (2, 3)
    assert progress_of(turns).offline == 1


@pytest.mark.parametrize("failed", ["failed", "rejected", "stalled", "canceled"])
def test_it_pauses_itself_after_so_many_failures(failed: str) -> None:
    turns = [_turn(1, failed), _turn(2, "done"), _turn(3)]
    assert next_step(CAMPAIGN, turns, NOW).state == "running"
    step = next_step(CAMPAIGN, [*turns, _turn(4, failed)], NOW)
    assert (step.state, step.start, step.reason) == ("paused", (), "2 of the updates failed")
    assert next_step(replace(CAMPAIGN, forgiven=1), [*turns, _turn(4, failed)], NOW).state == "running"


def test_it_is_finished_when_nobody_waits_and_nothing_goes_on() -> None:
    assert next_step(CAMPAIGN, [_turn(1, "done"), _turn(2, "running")], NOW).state == "running"
    assert next_step(CAMPAIGN, [_turn(1, "done"), _turn(2, "failed")], NOW).state == "finished"
    assert progress_of([_turn(1, "done"), _turn(2, "failed"), _turn(3)]).percent == 66


# --- Whole campaigns --------------------------------------------------------------------------------------------------


def _firmware(world: World, **changes: Any) -> Firmware:
    new = Firmware(0, "fw.bin", "", "", "2.0", 10, "a" * 64, "b" * 32, "", "", "none", "", "test", clock.now(), None)
    with world.database.unit_of_work() as connection:
        return firmware_files.add_firmware(connection, replace(new, **changes))


async def _stations(world: World, stack: AsyncExitStack, count: int) -> list[Peer]:
    """Connect so many stations, all in the group Yard."""
    with world.database.unit_of_work() as connection:
        group_id = groups.add_station_group(connection, "Yard", groups.StationPolicy(), clock.now())
    peers = []
    for number in range(1, count + 1):
        if number > 1:
            await world.add_station(f"CP{number}")
        peer = await stack.enter_async_context(world.station(f"CP{number}", boot=False))
        await peer.call("BootNotification", ABOUT)
        peers.append(peer)
    with world.database.unit_of_work() as connection:
        connection.execute(update(models.charge_point).values(group_id=group_id))
    return peers


def _begin(world: World, one: Firmware, **changes: Any) -> int:
    now = clock.now()
    with world.database.unit_of_work() as connection:
        group = groups.find_station_group(connection, name="Yard")
        assert group is not None
        new = campaign_store.NewCampaign(
            one,
            group.group_id,
            group.name,
            1,
            1,
            only_idle=True,
            is_signed=False,
            starts_at=None,
            retrieve_at=None,
            requested_by="test",
        )
        made = campaign_store.add_campaign(connection, replace(new, **changes), now)
    assert made is not None
    return made.campaign_id


def _campaign(world: World, campaign_id: int) -> Campaign:
    with world.database.reading() as connection:
        found = campaign_store.find_campaign(connection, campaign_id)
    assert found is not None
    return found


def _states(world: World, campaign_id: int) -> list[str]:
    with world.database.reading() as connection:
        return [one.state for one in campaign_store.turns_of(connection, campaign_id)]


def _act(world: World, campaign_id: int, what: str) -> bool:
    with world.database.unit_of_work() as connection:
        return campaign_store.act(connection, campaign_id, what, "test", clock.now())


async def _updates(peer: Peer, *statuses: str) -> None:
    """Take the update and say how it goes."""
    message_id, action, _ = await peer.next_command()
    assert action == "UpdateFirmware"
    await peer.answer(message_id, {})
    for status in statuses:
        await peer.call("FirmwareStatusNotification", {"status": status})


def _work(world: World, node: str = "") -> FileWork:
    work = FileWork(world.installation, clock.now)
    if node:
        work._node = node
    return work


async def test_a_campaign_goes_from_station_to_station_and_ends(world: World) -> None:
    async with AsyncExitStack() as stack:
        peers = await _stations(world, stack, 3)
        number = _begin(world, _firmware(world))
        for done, peer in enumerate(peers):
            for _ in range(2):  # to look again begins nothing twice
                await _work(world).look()
            assert _states(world, number).count("running") == 1
            await _updates(peer, "Downloading", "Installed")
            assert _states(world, number).count("done") == done + 1
        await _work(world).look()
        assert _campaign(world, number).state == "finished"


async def test_a_campaign_pauses_is_resumed_and_tries_again(world: World) -> None:
    async with AsyncExitStack() as stack:
        first, second = await _stations(world, stack, 2)
        number = _begin(world, _firmware(world))
        await _work(world).look()
        await _updates(first, "DownloadFailed")
        await _work(world).look()
        found = _campaign(world, number)
        assert (found.state, found.reason) == ("paused", "1 of the updates failed")
        await _work(world).look()
        assert _states(world, number) == ["failed", "waiting"]
        assert _act(world, number, "resume")
        await _work(world).look()
        await _updates(second, "Installed")
        await _work(world).look()
        assert _campaign(world, number).state == "finished"
        with world.database.unit_of_work() as connection:
            assert campaign_store.retry_failed(connection, number, clock.now()) == 1
        await _work(world).look()
        await _updates(first, "Installed")
        await _work(world).look()
        assert (_campaign(world, number).state, _states(world, number)) == ("finished", ["done", "done"])


async def test_a_stopped_campaign_begins_nothing_more(world: World) -> None:
    async with AsyncExitStack() as stack:
        first, second = await _stations(world, stack, 2)
        number = _begin(world, _firmware(world))
        await _work(world).look()
        assert _act(world, number, "stop")
        assert not _act(world, number, "resume")
        await _updates(first, "Installed")
        await _work(world).look()
        with pytest.raises(TimeoutError):
            await second.next_command(0.2)
        assert _states(world, number) == ["done", "waiting"]


async def test_a_station_where_somebody_charges_waits_for_the_end(world: World) -> None:
    async with AsyncExitStack() as stack:
        (peer,) = await _stations(world, stack, 1)
        started = await peer.start(CARD, 0, world.at(0))
        number = _begin(world, _firmware(world))
        await _work(world).look()
        assert _states(world, number) == ["waiting"]
        await peer.stop(started["transactionId"], 1000, world.at(5))
        await _work(world).look()
        await _updates(peer, "Installed")
        assert _states(world, number) == ["done"]


async def test_two_nodes_do_not_begin_the_same_twice_and_one_takes_over_from_the_other(world: World) -> None:
    async with AsyncExitStack() as stack:
        peers = await _stations(world, stack, 3)
        number = _begin(world, _firmware(world), parallel=3)
        await asyncio.gather(*(_work(world, node).look() for node in ("one", "two", "one", "two")))
        await until(lambda: _states(world, number).count("running") == 3)
        for peer in peers:
            await _updates(peer, "Downloading")
            with pytest.raises(TimeoutError):
                await peer.next_command(0.1)
        with world.database.reading() as connection:
            assert len(connection.execute(select(file_transfer.c.command_id)).all()) == 3
        holder = _campaign(world, number).claimed_by
        other = {"one": "two", "two": "one"}[holder or ""]
        with world.database.unit_of_work() as connection:
            assert campaign_store.claim_campaigns(connection, other, clock.now()) == []
            connection.execute(update(firmware_campaign).values(claimed_until=clock.now() - timedelta(seconds=1)))
            assert len(campaign_store.claim_campaigns(connection, other, clock.now())) == 1


async def test_a_station_has_its_turn_once_however_often_it_is_asked_for_at_the_same_moment(world: World) -> None:
    async with AsyncExitStack() as stack:
        await _stations(world, stack, 1)
        one = _firmware(world)
        wanted = FirmwareUpdate(one, False, None, campaign_id=_begin(world, one), only_idle=True, expires_s=60)
        links, tokens = links_of(world.installation.settings), ["a" * 43, "b" * 43]
        asked = [update_firmware(1, wanted, links, "test", clock.now(), tokens.pop) for _ in range(2)]
        first, second = (await asyncio.to_thread(world.installation.engine.run, asked)).outcomes
        assert first is not None
        assert second is None


async def test_stations_of_another_make_and_those_that_have_it_are_left_out(world: World) -> None:
    async with AsyncExitStack() as stack:
        await _stations(world, stack, 2)
        one = _firmware(world, vendor="acme", version="2.0")
        with world.database.unit_of_work() as connection:
            connection.execute(
                update(models.charge_point).where(models.charge_point.c.id == 1).values(firmware_version="2.0")
            )
        number = _begin(world, one)
        assert len(_states(world, number)) == 1
        other = _firmware(world, vendor="Other", stored_name="c" * 32)
        with pytest.raises(AssertionError):
            _begin(world, other)
        with world.database.unit_of_work() as connection:
            assert firmware_files.delete_firmware(connection, one.firmware_id, clock.now()) is None
            assert firmware_files.delete_firmware(connection, other.firmware_id, clock.now()) is not None


async def test_a_defect_in_one_campaign_stops_no_other_and_pauses_it_with_an_alarm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        [peer] = await _stations(world, stack, 1)
        broken, sound = (_begin(world, _firmware(world, stored_name=name * 32)) for name in "cd")
        work = _work(world)
        whole = work._advance

        async def failing(campaign: Campaign, turns: list[Turn]) -> None:
            if campaign.campaign_id == broken:
                raise ZeroDivisionError
            await whole(campaign, turns)

        monkeypatch.setattr(work, "_advance", failing)
        await work.look()
        assert work._tidied_at is not None
        assert _states(world, sound) == ["running"]
        await _updates(peer, "Downloading", "Installed")
        await work.look()
        assert (_campaign(world, broken).state, _campaign(world, sound).state) == ("running", "finished")
        await work.look()
        found = _campaign(world, broken)
        assert found.state == "paused"
        assert "ZeroDivisionError" in found.reason
        assert _alarms(world) == [("campaign paused", True)]
        assert _act(world, broken, "resume")
        await _work(world).look()
        assert _alarms(world) == [("campaign paused", False)]


def _alarms(world: World) -> list[tuple[str, bool]]:
    with world.database.reading() as connection:
        return [(one.kind, one.cleared_at is None) for one in connection.execute(models.alarm.select())]
