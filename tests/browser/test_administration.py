"""An administrator's and an operator's work in a real browser: adopting a station, and watching one charge."""

import re
from datetime import timedelta

from playwright.async_api import expect

from csms import clock
from csms.charging.doubts import DoubtCharge
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.review_views import list_items
from csms.charging.stations import AddChargePoint, Admitted, Connect
from csms.charging.transactions import StartTransaction, StopTransaction
from tests.browser.conftest import Visitor
from tests.web.portal import CARD


async def test_an_administrator_adopts_a_station_that_asked(visitor: Visitor) -> None:
    submit = visitor.portal.engine.submit
    await submit(Connect("WEST-07", None, "192.0.2.7", False, "00"))
    page = await visitor.logged_in("administrator")
    await page.get_by_role("link", name="to adopt").click()
    await page.get_by_role("button", name="Adopt WEST-07").click()
    await page.get_by_role("button", name="Adopt", exact=True).click()
    await expect(page.get_by_text("This key is shown only now")).to_be_visible()
    key = await page.locator("#key").inner_text()
    assert re.fullmatch(r"[0-9a-f]{40}", key)
    assert isinstance(await submit(Connect("WEST-07", bytes.fromhex(key), "192.0.2.7", False, "00")), Admitted)
    await page.get_by_role("button", name="To the station").click()
    await expect(page.get_by_role("heading", name="WEST-07")).to_be_visible()
    await expect(page.locator("body")).not_to_contain_text(key)
    assert visitor.complaints == []


async def test_the_overview_updates_by_itself_and_says_when_it_cannot(visitor: Visitor) -> None:
    submit = visitor.portal.engine.submit
    station = await submit(AddChargePoint("EAST-01", 0, None, None))
    page = await visitor.logged_in("operator")
    await expect(page.locator("#live")).to_contain_text("Nothing is charging at the moment")
    begin = clock.now() - timedelta(minutes=30)
    started = await submit(StartTransaction(station, 1, CARD, 0, begin, begin.isoformat()))
    samples = (Sample("4000"), Sample("8000", "Power.Active.Import", "W"))
    value = MeterValue(clock.now(), samples, "[]")
    await submit(MeterValues(station, 1, started.transaction_id, (value,)))
    await expect(page.locator("#live")).to_contain_text("4.00 kWh")
    await expect(page.locator("#live")).to_contain_text("8.0 kW")
    await page.get_by_role("link", name="Details").or_(page.get_by_label("Transaction 1")).first.click()
    await expect(page.locator("svg.chart")).to_be_visible()
    assert visitor.complaints == []
    await page.goto("/dashboard")
    await page.route("**/live*", lambda route: route.abort())
    await expect(page.get_by_text("The server does not answer at the moment")).to_be_visible()
    await page.unroute("**/live*")
    await expect(page.get_by_text("The server does not answer at the moment")).to_be_hidden()


async def test_every_page_fits_a_phone_and_the_menu_folds(visitor: Visitor) -> None:
    await visitor.portal.engine.submit(AddChargePoint("EAST-01-WITH-A-RATHER-LONG-IDENTITY-" * 5, 0, None, None))
    page = await visitor.logged_in("administrator", width=390)
    paths = ("/dashboard", "/stations", "/stations/1", "/transactions", "/cards", "/journal", "/audit", "/tariffs")
    others = ("/staff", "/sites", "/accounts", "/review", "/stations/add", "/tariffs/new", "/tariffs/1", "/groups")
    for path in (*paths, *others):
        await page.goto(path)
        overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, path
    await expect(page.get_by_role("link", name="Journal")).to_be_hidden()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Journal").click()
    await expect(page.get_by_role("heading", name="Journal")).to_be_visible()
    assert visitor.complaints == []


async def test_no_button_and_no_amount_is_cut_off_on_a_phone(visitor: Visitor) -> None:
    page = await visitor.logged_in("administrator", width=390)
    await page.goto("/tariffs/new")
    await page.get_by_label("Name", exact=True).fill("Night at the harbour")
    await page.get_by_label("Price per kWh").fill("0.25")
    await page.get_by_role("button", name="Store tariff").click()
    await page.goto("/groups")
    await page.get_by_label("Name").first.fill("Stations at the harbour")
    await page.get_by_role("button", name="Add group").first.click()
    await page.goto("/tariffs")
    await page.get_by_label("Group of stations").select_option(label="Stations of Stations at the harbour")
    await page.get_by_role("button", name="Assign").click()
    hidden = "[...document.querySelectorAll('main .scroll')].map(one => one.scrollWidth - one.clientWidth)"
    for path, shown in (("/tariffs", 2), ("/sites", 2), ("/journal", 1), (f"/card?tag={CARD}", 1)):
        await page.goto(path)
        cut = await page.evaluate(hidden)
        assert len(cut) >= shown, path
        assert max(cut) <= 0, (path, cut)


async def test_no_name_of_a_person_is_broken_in_pieces_and_no_button_beside_it_cut_off(visitor: Visitor) -> None:
    page = await visitor.logged_in("administrator")
    await page.goto("/sites")
    await page.locator("#f-desk_name").fill("Supermarket at the harbour, counter by the east door")
    await page.get_by_role("button", name="Add desk").click()
    await expect(page.get_by_text("Added.")).to_be_visible()
    for width in (1280, 390):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.goto("/staff")
        name = page.locator("td.breakable strong").first
        pieces = await name.evaluate("one => one.getClientRects().length")
        assert pieces <= len((await name.inner_text()).split()), width
        assert await page.locator(".scroll").evaluate("one => one.scrollWidth - one.clientWidth") <= 0, width


async def test_nothing_is_cut_off_where_a_car_charges_and_where_people_are_listed(visitor: Visitor) -> None:
    submit = visitor.portal.engine.submit
    station = await submit(AddChargePoint("EAST-01", 0, None, None))
    begin = clock.now() - timedelta(minutes=30)
    first = await submit(StartTransaction(station, 1, CARD, 0, begin, begin.isoformat()))
    reading = MeterValue(
        begin + timedelta(minutes=20), (Sample("4000"), Sample("8000", "Power.Active.Import", "W")), "[]"
    )
    await submit(MeterValues(station, 1, first.transaction_id, (reading,)))
    at = begin + timedelta(minutes=25)
    await submit(StopTransaction(station, first.transaction_id, CARD, 4500, at, at.isoformat(), "Local"))
    await submit(StartTransaction(station, 1, CARD, 4500, clock.now(), clock.now().isoformat()))
    await submit(DoubtCharge(first.transaction_id, "the customer says less", "test", "doubt-1"))
    with visitor.portal.database.reading() as connection:
        (item,) = list_items(connection, is_open=True, charge_point_id=None, kind=None, limit=2)
    page = await visitor.logged_in("administrator", width=390)
    hidden = "[...document.querySelectorAll('main .scroll')].map(one => one.scrollWidth - one.clientWidth)"
    pages = ("/dashboard", "/transactions/1", f"/review/{item.key}", "/journal/2", "/audit", "/accounts", "/staff")
    for path in pages:
        await page.goto(path)
        cut = await page.evaluate(hidden)
        assert max(cut) <= 0, (path, cut)
    await page.goto("/accounts")
    await expect(page.locator("tfoot")).to_contain_text("of debits €")
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.goto("/staff")
    assert max(await page.evaluate(hidden)) <= 0
    assert visitor.complaints == []


async def test_an_administrator_takes_a_desk_and_renames_it(visitor: Visitor) -> None:
    page = await visitor.logged_in("administrator")
    await page.goto("/desk")
    await expect(page.get_by_text("You have no desk")).to_be_visible()
    await page.goto("/staff")
    await page.get_by_label("Desk of administrator", exact=True).select_option(label="Desk 1")
    await page.get_by_role("button", name="Set the desk of administrator").click()
    await expect(page.get_by_text("The desk is set")).to_be_visible()
    await page.goto("/sites")
    await page.locator("summary[aria-label='Rename Desk 1']").click()
    await page.get_by_label("New name of Desk 1").fill("Kiosk")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Renamed.")).to_be_visible()
    await page.goto("/desk")
    await expect(page.locator("main")).to_contain_text("Kiosk")
    assert visitor.complaints == []
