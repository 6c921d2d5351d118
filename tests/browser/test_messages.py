"""The message log in a real browser, while a real station talks: what is said appears by itself."""

import os
from pathlib import Path

from playwright.async_api import expect

from csms.charging.stations import AddChargePoint
from tests.browser.conftest import Program
from tests.support.peer import Peer

_PICTURES = os.environ.get("PICTURES_OF_MESSAGES")  # a folder for whoever wants to look


async def test_what_a_station_says_appears_by_itself_and_can_be_opened(program: Program) -> None:
    await program.portal.installation.engine.submit(AddChargePoint("CP-1", 0, None, None))
    page = await program.logged_in("operator")
    await page.goto("/messages?live=yes")
    await expect(page.get_by_text("No message was kept so far")).to_be_visible()
    async with Peer.connect(f"{program.ocpp_url}/CP-1") as peer:
        await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"}, message_id="b1")
        await peer.call("Heartbeat", {}, message_id="hb-77")
        long = {"vendorId": "com.example", "data": '{"password": "hunter2", "a": "' + "b" * 200 + '"}'}
        await peer.call("DataTransfer", long)
        await peer.socket.send('[2,"half","Heartbeat",{')
        row = page.get_by_role("row").filter(has_text="hb-77").first
        await expect(row).to_be_visible()
        await expect(row).to_contain_text("CP-1")
        await expect(page.get_by_role("row").filter(has_text="Unreadable")).to_be_visible()
    if _PICTURES:
        await page.screenshot(path=Path(_PICTURES) / "messages-1280.png", full_page=True)
    assert "hunter2" not in await page.content()
    await page.get_by_role("button", name="Stop the live view").click()
    await page.get_by_text("com.example").first.click()
    await expect(page.locator("pre").first).to_contain_text("***")
    await page.get_by_label("Action").select_option("Heartbeat")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    narrow = await program.page(width=390)
    await narrow.context.add_cookies(await page.context.cookies())
    await narrow.goto("/messages")
    await expect(narrow.get_by_role("row").filter(has_text="Heartbeat").first).to_be_visible()
    width = await narrow.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "nothing sticks out on a phone"
    if _PICTURES:
        await narrow.screenshot(path=Path(_PICTURES) / "messages-390.png", full_page=True)
    assert program.complaints == []
