"""Local lists over real sockets, on both databases: what stations answer, and how their lists are kept in step."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from csms import clock
from csms.billing import account_groups, cards, prepaid
from csms.billing.account_groups import AccountLimits
from csms.charging import groups, models
from csms.charging.groups import StationPolicy
from csms.commands.requests import ask
from csms.commands.upkeep import Upkeep
from csms.operations import local_lists_views as views
from csms.operations.local_lists_keeping import KeepList
from csms.operations.local_lists_views import StationListView
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World

OTHER, THIRD = "04FFFFFF", "04EEEEEE"


def _write(world: World, change: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with world.database.unit_of_work() as connection:
        return change(connection, *arguments, **named)


def _list_of(world: World, *id_tags: str, station: int | None = 1) -> int:
    """Make a list of chosen cards and give it to a station."""
    number: int = _write(world, views.add_list, "Depot", None, clock.now(), has_staff=False)
    for tag in id_tags:
        _write(world, views.put_card, number, tag, chosen=True)
    if station is not None:
        _write(world, views.put_target, number, charge_point_id=station)
    return number


def _station(world: World) -> StationListView:
    with world.database.reading() as connection:
        (one,) = views.list_stations(connection, clock.now(), charge_point_id=1, limit=2)
    return one


async def _look(world: World) -> None:
    await Upkeep(world.installation, world.connections, clock.now).look()


async def _version(peer: Peer, version: int) -> None:
    message_id, action, sent = await peer.next_command()
    assert (action, sent) == ("GetLocalListVersion", {})
    await peer.answer(message_id, {"listVersion": version})


async def _list(peer: Peer, status: str = "Accepted") -> dict[str, Any]:
    message_id, action, sent = await peer.next_command()
    assert action == "SendLocalList"
    await peer.answer(message_id, {"status": status})
    return sent


def _tags(sent: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["idTag"], (one.get("idTagInfo") or {}).get("status")) for one in sent["localAuthorizationList"]]


async def _in_step(world: World, version: int) -> None:
    await until(lambda: (_station(world).held.state, _station(world).held.version) == ("in step", version))
    assert _station(world).is_current
    await _look(world)
    assert not [one for one in world.commands() if one.state in {"queued", "sent"}]


async def test_a_station_gets_its_list_whole_and_then_only_what_changes(world: World) -> None:
    await world.issue_card(OTHER, 500)
    number = _list_of(world, CARD)
    async with world.station() as peer:
        await _look(world)
        await _look(world)  # a second look asks nothing more
        await _version(peer, 0)
        sent = await _list(peer)
        account_id = world.card().account_id
        info = {"status": "Accepted", "parentIdTag": f"A{account_id}"}
        assert sent == {
            "listVersion": 1,
            "updateType": "Full",
            "localAuthorizationList": [{"idTag": CARD, "idTagInfo": info}],
        }
        await _in_step(world, 1)
        _write(world, views.put_card, number, OTHER, chosen=True)
        await _look(world)
        sent = await _list(peer)
        assert (sent["updateType"], sent["listVersion"], _tags(sent)) == ("Differential", 2, [(OTHER, "Accepted")])
        await _in_step(world, 2)
        _write(world, views.put_card, number, CARD, chosen=False)
        await _look(world)
        sent = await _list(peer)
        assert (sent["listVersion"], sent["localAuthorizationList"]) == (3, [{"idTag": CARD}])
        await _in_step(world, 3)


async def test_a_station_with_an_unknown_list_gets_all_of_ours(world: World) -> None:
    _list_of(world, CARD)
    async with world.station() as peer:
        await _look(world)
        await _version(peer, 41)
        sent = await _list(peer)
        assert (sent["updateType"], sent["listVersion"], _tags(sent)) == ("Full", 42, [(CARD, "Accepted")])
        await _in_step(world, 42)


async def test_a_card_that_changes_changes_in_the_lists_that_have_it(world: World) -> None:
    await world.issue_card(OTHER, 500)
    _list_of(world, CARD, OTHER)
    limits = world.installation.limits
    assert limits
    async with world.station() as peer:
        await _look(world)
        await _version(peer, 0)
        await _list(peer)
        await _in_step(world, 1)
        await world.submit(prepaid.ChangeCardState(CARD, "blocked", "test", "seen"))
        await _look(world)
        assert _tags(await _list(peer)) == [(CARD, "Blocked")]
        await _in_step(world, 2)
        soon = clock.now() + timedelta(seconds=0.2)
        await world.submit(cards.SetExpiry(OTHER, soon, "test"))
        await until(lambda: clock.now() > soon)
        await _look(world)
        assert _tags(await _list(peer)) == [(OTHER, "Expired")]
        await _in_step(world, 3)
        await world.submit(cards.SetExpiry(OTHER, None, "test"))
        await world.submit(cards.JoinCard(OTHER, THIRD, "9000 99", replaces=True, actor="test"))
        await _look(world)
        assert _tags(await _list(peer)) == [(OTHER, "Blocked"), (THIRD, "Accepted")]
        await _in_step(world, 4)
        await world.submit(prepaid.ChangeCardState(OTHER, "retired", "test", "done"))
        await _look(world)
        assert (await _list(peer))["localAuthorizationList"] == [{"idTag": OTHER}]
        await _in_step(world, 5)


async def test_lists_of_groups_and_of_staff_follow_their_accounts(world: World) -> None:
    await world.issue_card(OTHER, 500)
    account, other = world.card().account_id, world.card(OTHER).account_id
    assert account is not None
    assert other is not None
    residents = _write(world, account_groups.add_account_group, "Residents", AccountLimits(), clock.now())
    staff = _write(world, account_groups.add_account_group, "Crew", AccountLimits(is_staff=True), clock.now())
    place = _write(world, groups.add_station_group, "Yard", StationPolicy(), clock.now())
    _write(world, groups.put_station, "CP1", place)
    number = _write(world, views.add_list, "Yard", residents, clock.now(), has_staff=True)
    _write(world, views.put_target, number, group_id=place)
    _write(world, account_groups.put_account, account, residents)
    async with world.station() as peer:
        await _look(world)
        await _version(peer, 0)
        assert _tags(await _list(peer)) == [(CARD, "Accepted")]
        await _in_step(world, 1)
        _write(world, account_groups.put_account, other, staff)
        await _look(world)
        assert _tags(await _list(peer)) == [(OTHER, "Accepted")]
        await _in_step(world, 2)
        own = _write(world, views.add_list, "Own", None, clock.now(), has_staff=True)
        _write(world, views.put_target, own, charge_point_id=1)  # its own list goes before its group's
        await _look(world)
        assert (await _list(peer))["localAuthorizationList"] == [{"idTag": CARD}]
        await _in_step(world, 3)
        for one in (own, number):
            _write(world, views.remove_list, one)
        await _look(world)
        assert (await _list(peer))["localAuthorizationList"] == [{"idTag": OTHER}]
        await until(lambda: _station(world).held.list_id is None)
        await _look(world)
    assert len([one for one in world.commands() if one.action == "SendLocalList"]) == 4


async def test_a_version_that_does_not_match_is_followed_by_the_whole_list(world: World) -> None:
    number = await _with_a_card_to_add(world)
    async with world.station() as peer:
        await _first(world, peer)
        _write(world, views.put_card, number, OTHER, chosen=True)
        await _look(world)
        assert (await _list(peer, "VersionMismatch"))["updateType"] == "Differential"
        sent = await _list(peer)
        assert (sent["updateType"], sent["listVersion"]) == ("Full", 3)
        await _in_step(world, 3)


async def _with_a_card_to_add(world: World) -> int:
    await world.issue_card(OTHER, 500)
    return _list_of(world, CARD)


async def _first(world: World, peer: Peer) -> None:
    await _look(world)
    await _version(peer, 0)
    await _list(peer)
    await _in_step(world, 1)


async def test_a_list_that_fails_is_sent_once_more_as_a_whole_and_then_an_alarm_is_raised(world: World) -> None:
    number = await _with_a_card_to_add(world)
    async with world.station() as peer:
        await _first(world, peer)
        _write(world, views.put_card, number, OTHER, chosen=True)
        await _look(world)
        assert (await _list(peer, "Failed"))["updateType"] == "Differential"
        assert (await _list(peer, "Failed"))["updateType"] == "Full"
        await until(lambda: _alarms(world) == [("local list not taken", None)])
        assert _station(world).held.state == "refused"
        await _look(world)  # it is left alone until something changes, or somebody says so
        assert not [one for one in world.commands() if one.state in {"queued", "sent"}]
        assert await world.submit(KeepList(1, "maria", full=True)) == "sent"
        sent = await _list(peer)
        assert (sent["updateType"], world.commands()[0].requested_by) == ("Full", "local list: maria")
        await _in_step(world, sent["listVersion"])
    ((_, cleared_at),) = _alarms(world)
    assert cleared_at is not None


def _alarms(world: World) -> list[tuple[str, Any]]:
    with world.database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(models.alarm.c.kind, models.alarm.c.cleared_at))]


@pytest.mark.parametrize("how", ["version", "status", "call error"])
async def test_a_station_without_local_lists_is_remembered(world: World, how: str) -> None:
    _list_of(world, CARD)
    async with world.station() as peer:
        await _look(world)
        if how == "version":
            await _version(peer, -1)
        else:
            await _version(peer, 3)
            message_id, _, _ = await peer.next_command()
            if how == "status":
                await peer.answer(message_id, {"status": "NotSupported"})
            else:
                await peer.socket.send(f'[4,"{message_id}","NotImplemented","",{{}}]')
        await until(lambda: _station(world).held.state == "not supported")
        await _look(world)
        assert not [one for one in world.commands() if one.state in {"queued", "sent"}]
        assert await world.submit(KeepList(1, full=True)) == "sent"  # it may have learned it: its version is asked
        await _version(peer, 0)
        await _list(peer)
        await _in_step(world, 1)


def _reports(world: World, **values: str) -> None:
    rows = [
        {
            "charge_point_id": 1,
            "key": key,
            "reported_value": value,
            "is_readonly": True,
            "state": "free",
            "checked_at": clock.now(),
        }
        for key, value in values.items()
    ]
    with world.database.unit_of_work() as connection:
        connection.execute(insert(models.station_setting), rows)


async def test_a_long_list_goes_in_parts_that_the_station_takes(world: World) -> None:
    tags = sorted([CARD, *(f"04CC{number:04}" for number in range(6))])
    for tag in tags[1:]:
        await world.issue_card(tag, 100)
    _list_of(world, *tags)
    _reports(world, SendLocalListMaxLength="3", LocalAuthListMaxLength="7")
    async with world.station() as peer:
        await _look(world)
        await _version(peer, 8)
        parts = [await _list(peer) for _ in range(3)]
        await _in_step(world, 11)
    assert [one["updateType"] for one in parts] == ["Full", "Differential", "Differential"]
    assert [tag for part in parts for tag, _ in _tags(part)] == tags


async def test_a_list_longer_than_the_station_takes_is_refused_before_it_is_sent(world: World) -> None:
    await world.issue_card(OTHER, 100)
    number = _list_of(world, CARD, OTHER)
    _reports(world, LocalAuthListMaxLength="1")
    async with world.station() as peer:
        await _look(world)
        await until(lambda: _station(world).held.state == "too long")
        assert _station(world).held.explanation == "The list has 2 cards, and the station takes 1."
        await _look(world)
        assert world.commands() == []
        _write(world, views.put_card, number, OTHER, chosen=False)
        await _look(world)
        await _version(peer, 0)
        assert _tags(await _list(peer)) == [(CARD, "Accepted")]


async def test_what_somebody_sends_by_hand_is_noted_and_nothing_is_added(world: World) -> None:
    async with world.station() as peer:
        entry = {"idTag": "abc", "idTagInfo": {"status": "Accepted"}}
        payload = {"listVersion": 5, "updateType": "Full", "localAuthorizationList": [entry, {"idTag": "bare"}]}
        await world.submit(ask(1, "SendLocalList", payload, "test"))
        assert await _list(peer) == payload
        await until(lambda: _station(world).held.version == 5)
        assert sorted(_station(world).held.entries or {}) == ["ABC", "BARE"]
        await _look(world)
        more = {"listVersion": 6, "updateType": "Differential", "localAuthorizationList": [{"idTag": "ABC"}]}
        await world.submit(ask(1, "SendLocalList", more, "test"))
        await _list(peer)
        await until(lambda: _station(world).held.version == 6)
        assert sorted(_station(world).held.entries or {}) == ["BARE"]
        await world.submit(ask(1, "SendLocalList", more | {"listVersion": 7}, "test"))
        await _list(peer, "Failed")
        await until(lambda: _station(world).held.state == "refused")
    assert (len(world.commands()), _alarms(world)) == (3, [])


async def test_a_station_that_does_not_answer_is_asked_again_later(world: World) -> None:
    world.dispatcher._call_timeout_s = 0.02
    _list_of(world, CARD)
    async with world.station():
        await _look(world)
        await until(lambda: _station(world).held.state == "no answer")
        await _look(world)
        assert await world.submit(KeepList(1)) == "not now"
    assert [one.action for one in world.commands()] == ["GetLocalListVersion"]


async def test_after_a_boot_a_station_is_asked_whether_it_still_has_its_list(world: World) -> None:
    _list_of(world, CARD)
    async with world.station() as peer:
        await _first(world, peer)
        await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
        await _look(world)
        await _look(world)  # the question is on its way already
        await _version(peer, 1)
        await until(lambda: all(one.state == "accepted" for one in world.commands()))
        await _in_step(world, 1)
        assert [one.action for one in world.commands()].count("SendLocalList") == 1
        await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
        await _look(world)
        await _version(peer, 0)  # it lost its list
        assert _tags(await _list(peer)) == [(CARD, "Accepted")]
        await _in_step(world, 1)


async def test_a_call_is_asked_for_once_however_many_ask_at_the_same_time(world: World) -> None:
    _list_of(world, CARD)
    asked = (KeepList(1), KeepList(1, "maria", full=True), KeepList(1))
    outcomes = await asyncio.gather(*(world.submit(one) for one in asked))
    assert sorted(outcomes) == ["busy", "busy", "sent"]
    assert [one.action for one in world.commands()] == ["GetLocalListVersion"]
