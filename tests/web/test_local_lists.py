"""The pages of local lists: which cards a list has, where it belongs, and what stations have of it."""

import pytest
from sqlalchemy import select

from csms import clock
from csms.billing import account_groups
from csms.billing.account_groups import AccountLimits
from csms.charging import groups
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.groups import StationPolicy
from csms.charging.stations import AddChargePoint
from csms.commands.history import CommandFilter, list_commands
from csms.operations.local_lists_models import local_list, local_list_card, local_list_target
from tests.web.portal import CARD, PortalWorld

STATION = 1


@pytest.fixture
async def stocked(sqlite_portal: PortalWorld) -> PortalWorld:
    """A portal with a station, a group of stations and a group of accounts."""
    await _furnish(sqlite_portal)
    return sqlite_portal


async def _furnish(portal: PortalWorld) -> None:
    assert await portal.engine.submit(AddChargePoint("YARD-1", 0, None, None)) == STATION
    with portal.database.unit_of_work() as connection:
        groups.add_station_group(connection, "Yard", StationPolicy(), clock.now())
        account_groups.add_account_group(connection, "Crew", AccountLimits(is_staff=True), clock.now())


def _actions(portal: PortalWorld) -> list[str]:
    with portal.database.reading() as connection:
        return [one.action for one in list_commands(connection, CommandFilter(STATION), limit=20)]


async def _answer(portal: PortalWorld, text: str) -> None:
    command = await portal.engine.submit(ClaimCommand(STATION))
    await portal.engine.submit(AnswerCommand(command.command_id, command.attempts, "accepted", text))


async def test_a_list_gets_cards_and_stations_and_is_sent_when_somebody_says_so(portal: PortalWorld) -> None:
    await _furnish(portal)
    browser = await portal.logged_in("administrator")
    await browser.get("/local-lists")
    assert "There is no list yet" in browser.text
    assert "LocalAuthListEnabled" in browser.text
    response = await browser.post("/local-lists", name="Depot <b>")
    assert response.url.path == "/local-lists/1"
    assert "<b>" not in response.text
    await browser.post("/local-lists/1", name="Depot", account_group_id="1", has_staff="yes")
    assert "Saved" in browser.text
    await browser.post("/local-lists/1/cards", card="1000 1", act="add")
    assert "The card is in the list" in browser.text
    await browser.post("/local-lists/1/targets", station="YARD-1", station_group_id="", act="add")
    await browser.post("/local-lists/1/targets", station="", station_group_id="1", act="add")
    assert "All of" in browser.text
    await browser.get("/local-lists")
    assert "accounts of Crew, all staff, 1 chosen card" in browser.text
    await browser.get(f"/stations/{STATION}/local-list")
    assert "It is not known what the station holds" in browser.text
    await browser.post(f"/stations/{STATION}/local-list/send")
    assert "on its way to the station" in browser.text
    await _answer(portal, '{"listVersion":0}')
    await _answer(portal, '{"status":"Accepted"}')
    await browser.get(f"/stations/{STATION}/local-list/live")
    assert "In step" in browser.text
    await browser.get(f"/stations/{STATION}/local-list")
    assert "In step" in browser.text
    assert CARD in browser.text
    await browser.post(f"/stations/{STATION}/local-list/version")
    assert "asked for the version" in browser.text
    assert _actions(portal) == ["GetLocalListVersion", "SendLocalList", "GetLocalListVersion"]
    await browser.get("/local-lists/1")
    await browser.post("/local-lists/1/cards", card=CARD, act="remove")
    await browser.post("/local-lists/1/targets", station="YARD-1", act="remove")
    assert "To be updated" in browser.text
    await browser.post("/local-lists/1/remove")
    assert "The list is removed" in browser.text
    with portal.database.reading() as connection:
        for table in (local_list, local_list_card, local_list_target):
            assert connection.execute(select(table)).all() == []


@pytest.mark.parametrize(
    ("path", "fields", "why"),
    [
        ("/local-lists", {"name": ""}, "Please fill this in"),
        ("/local-lists", {"name": "Depot"}, "name already"),
        ("/local-lists/1", {"name": "Other"}, "name already"),
        ("/local-lists/1", {"name": "Depot", "account_group_id": "9"}, "no such group"),
        ("/local-lists/1/cards", {"card": "nobody"}, "no such card"),
        ("/local-lists/1/targets", {"station": "CP9"}, "no such station"),
        ("/local-lists/1/targets", {"station": "", "station_group_id": "9"}, "no such group"),
        ("/local-lists/1/targets", {"station": ""}, "Name a station or choose a group"),
    ],
)
async def test_a_wrong_list_is_marked(stocked: PortalWorld, path: str, fields: dict[str, str], why: str) -> None:
    browser = await stocked.logged_in("administrator")
    await browser.get("/local-lists")
    await browser.post("/local-lists", name="Depot")
    await browser.post("/local-lists", name="Other")
    response = await browser.post(path, **fields)
    assert (response.status_code, why in browser.text) == (422, True)


async def test_an_operator_sends_lists_and_changes_none(stocked: PortalWorld) -> None:
    administrator = await stocked.logged_in("administrator")
    await administrator.get("/local-lists")
    await administrator.post("/local-lists", name="Depot")
    browser = await stocked.logged_in("operator")
    await browser.get("/local-lists/1")
    assert "Choose a card" not in browser.text
    assert (await browser.post("/local-lists/1/cards", card=CARD)).status_code == 403
    await browser.get(f"/stations/{STATION}/local-list")
    await browser.post(f"/stations/{STATION}/local-list/send")
    assert "This station has no list" in browser.text
    assert _actions(stocked) == []


async def test_what_is_not_there_is_not_found(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("administrator")
    for path in ("/local-lists/7", "/stations/7/local-list", "/stations/7/reservations"):
        assert (await browser.get(path)).status_code == 404
    await browser.get("/local-lists")
    assert (await browser.post("/reservations/7/cancel")).status_code == 404
