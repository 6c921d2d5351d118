"""Reserving a connector and giving a station its list in a real browser, with a simulated charge point that does it."""

import re

from playwright.async_api import expect

from chargepoint_sim import Station, ac
from csms.charging.stations import AddChargePoint
from tests.browser.conftest import Program
from tests.chargepoint_sim.conftest import QUICK
from tests.web.portal import CARD


def _station(program: Program) -> Station:
    return Station("CP1", program.ocpp_url, connectors=[ac(1), ac(2)], seed=1, timing=QUICK)


async def test_an_operator_reserves_a_connector_sees_the_answer_and_cancels(program: Program) -> None:
    await program.portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    page = await program.logged_in("operator")
    async with _station(program) as station:
        await station.wait_for_status(2, "Available")
        await page.goto("/stations/1")
        await page.locator("#reserve-2").click()
        await page.get_by_label("Card", exact=True).fill("1000 1")
        await expect(page.get_by_label("Connector", exact=True)).to_have_value("2")
        await page.get_by_role("button", name="Reserve", exact=True).click()
        await expect(page.get_by_role("status")).to_contain_text("on its way to the station")
        live = page.locator("#live")
        await expect(live.get_by_role("row", name=re.compile("Connector 2"))).to_contain_text("Reserved")
        await station.wait_for_status(2, "Reserved")
        assert [one.id_tag for one in station.reservations] == [CARD]
        await page.get_by_role("button", name=re.compile("Cancel reservation")).click()
        await expect(live.get_by_role("row", name=re.compile("Connector 2"))).to_contain_text("Cancelled")
        await station.wait_for_status(2, "Available")
        assert station.reservations == ()
    assert program.complaints == []


async def test_an_administrator_gives_a_station_a_list_and_sees_that_it_has_it(program: Program) -> None:
    await program.portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    page = await program.logged_in("administrator")
    async with _station(program) as station:
        await station.wait_online(60)
        await page.goto("/local-lists")
        await page.get_by_label("Name").fill("Depot")
        await page.get_by_role("button", name="Add list").click()
        await page.get_by_label("Card", exact=True).fill("1000 1")
        await page.get_by_role("button", name="Put into the list").click()
        await page.get_by_label("Station optional").fill("CP1")
        await page.get_by_role("button", name="Give it the list").click()
        await page.get_by_role("link", name="CP1").last.click()
        await page.get_by_role("button", name="Send it whole now").click()
        await expect(page.locator("#live")).to_contain_text("In step")
        await expect(page.locator("#live")).to_contain_text(CARD)
        assert [tag.upper() for tag in station.local_list.entries] == [CARD]
    assert program.complaints == []


async def test_the_pages_fit_a_phone(program: Program) -> None:
    await program.portal.engine.submit(AddChargePoint("CP1-WITH-A-RATHER-LONG-IDENTITY" * 5, 0, None, None))
    page = await program.logged_in("administrator", width=390)
    for path in ("/reservations", "/local-lists", "/stations/1/reservations", "/stations/1/local-list"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
    assert program.complaints == []
