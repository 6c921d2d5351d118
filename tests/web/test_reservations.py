"""The pages of reservations: a connector is reserved for a card from its station's page, shown, and cancelled."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from csms import clock
from csms.billing.cards import JoinCard
from csms.charging import sites
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.stations import AddChargePoint
from csms.commands.history import CommandFilter, CommandRow, list_commands
from csms.commands.requests import ask
from tests.web.portal import CARD, PortalWorld

STATION = 1


@pytest.fixture
async def stocked(sqlite_portal: PortalWorld) -> PortalWorld:
    """A portal with a station."""
    await _furnish(sqlite_portal)
    return sqlite_portal


async def _furnish(portal: PortalWorld) -> None:
    assert await portal.engine.submit(AddChargePoint("YARD-<1>", 0, None, None)) == STATION
    with portal.database.unit_of_work() as connection:
        sites.move_station(connection, charge_point_id=STATION, site_id=1)


def _commands(portal: PortalWorld) -> list[CommandRow]:
    with portal.database.reading() as connection:
        return list_commands(connection, CommandFilter(STATION), limit=20)


async def _answer(portal: PortalWorld, status: str = "Accepted") -> Any:
    """Let the station take the next command and answer it; return what it was asked."""
    command = await portal.engine.submit(ClaimCommand(STATION))
    text = f'{{"status":"{status}"}}'
    state = "accepted" if status == "Accepted" else "rejected"
    await portal.engine.submit(AnswerCommand(command.command_id, command.attempts, state, text))
    return msgspec.json.decode(command.payload_json)


def _until(portal: PortalWorld, minutes: int = 90) -> str:
    """Return a time of the site, Europe/Sofia, as the browser's field has it. In the night in which the clocks are set
    back an hour is there twice and read as the first: more than an hour ahead is ahead then, too.
    """
    from zoneinfo import ZoneInfo

    return f"{(clock.now() + timedelta(minutes=minutes)).astimezone(ZoneInfo('Europe/Sofia')):%Y-%m-%dT%H:%M}"


async def test_a_connector_is_reserved_from_its_stations_page_and_cancelled(portal: PortalWorld) -> None:
    await _furnish(portal)
    browser = await portal.logged_in("operator")
    await browser.get(f"/stations/{STATION}/reservations", connector=0)
    assert "Nothing was ever reserved here" in browser.text
    assert "Time of the site: Europe/Sofia" in browser.text
    until = _until(portal)
    await browser.post(
        f"/stations/{STATION}/reservations", id_tag="1000 1", connector_id="0", until=until, with_account="yes"
    )
    assert "on its way to the station" in browser.text
    assert "Waits for the station" in browser.text
    sent = await _answer(portal)
    account_id = portal.card().account_id
    asked = {"connectorId": 0, "idTag": CARD, "reservationId": 1, "parentIdTag": f"A{account_id}"}
    assert {name: sent[name] for name in asked} == asked
    assert sent["expiryDate"].endswith("Z")
    await browser.get(f"/stations/{STATION}/reservations/live")
    assert "Reserved" in browser.text
    assert "Waits for the station" not in browser.text
    await browser.get("/reservations")
    assert "Reserved" in browser.text
    assert "or its account" in browser.text
    assert "YARD-<1>" in browser.text
    await browser.get(f"/stations/{STATION}/reservations")
    response = await browser.post("/reservations/1/cancel", back="station")
    assert response.url.path == f"/stations/{STATION}/reservations"
    assert await _answer(portal) == {"reservationId": 1}
    await browser.get("/reservations", state="all")
    assert "Cancelled" in browser.text
    assert "By staff operator" in browser.text
    await browser.post("/reservations/1/cancel")
    assert "was over already" in browser.text


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"id_tag": ""}, "Please fill this in"),
        ({"id_tag": "nobody"}, "no such card"),
        ({"connector_id": ""}, "choose a connector"),
        ({"connector_id": "x"}, "A whole number"),
        ({"until": ""}, "Please fill this in"),
        ({"until": "soon"}, "is no date"),
        ({"until": "2020-01-01T00:00"}, "must lie ahead"),
        ({"until": "2099-01-01T00:00"}, "must lie ahead"),
    ],
)
async def test_a_wrong_reservation_is_marked_and_nothing_is_sent(
    stocked: PortalWorld, fields: dict[str, str], why: str
) -> None:
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}/reservations")
    right = {"id_tag": CARD, "connector_id": "1", "until": _until(stocked)}
    response = await browser.post(f"/stations/{STATION}/reservations", **(right | fields))
    assert (response.status_code, why in browser.text) == (422, True)
    assert _commands(stocked) == []


async def test_a_card_that_could_not_charge_is_refused_and_one_with_little_credit_warned_of(
    stocked: PortalWorld,
) -> None:
    from csms.billing import prepaid

    desk = stocked.desk.cash_account_id
    asked = prepaid.IssueCard("04EE", "1000 2", 50, desk, "n" * 20, "test", stocked.installation.limits)
    await stocked.engine.submit(asked)
    await stocked.engine.submit(JoinCard("04EE", "04FF", "1000 3", replaces=True, actor="test"))
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}/reservations")
    right = {"connector_id": "1", "until": _until(stocked)}
    response = await browser.post(f"/stations/{STATION}/reservations", id_tag="04EE", **right)
    assert (response.status_code, "reported lost, so it could not charge" in browser.text) == (422, True)
    await browser.post(f"/stations/{STATION}/reservations", id_tag="04FF", **right)
    assert "less credit than a start needs" in browser.text
    assert [one.action for one in _commands(stocked)] == ["ReserveNow"]


async def test_the_stations_page_says_which_connector_is_reserved(stocked: PortalWorld) -> None:
    from csms.charging.facts import ConnectorStatus
    from csms.charging.stations import StatusNotification

    said = ConnectorStatus(STATION, 1, "Available", "NoError", "", "", clock.now())
    await stocked.engine.submit(StatusNotification(said))
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}")
    assert f'href="/stations/{STATION}/reservations?connector=1"' in browser.text
    payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": "2099-01-01T00:00:00Z"}
    await stocked.engine.submit(ask(STATION, "ReserveNow", payload, "test"))
    await _answer(stocked)
    await browser.get(f"/stations/{STATION}")
    assert "reservation 7" in browser.text


async def test_an_accountant_sees_no_reservations(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("accountant")
    assert (await browser.get("/reservations")).status_code == 403
    assert (await browser.get(f"/stations/{STATION}/reservations")).status_code == 403
