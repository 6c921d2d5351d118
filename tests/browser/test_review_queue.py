"""The review queue in a real browser: from the list to the evidence to the decision, wide and narrow."""

import os
from pathlib import Path

from playwright.async_api import expect

from tests.browser.conftest import Visitor
from tests.web.test_review import bring_in, bring_in_parked


async def test_a_person_goes_from_the_queue_to_the_evidence_and_decides(visitor: Visitor) -> None:
    await bring_in(visitor.portal)
    pictures = os.environ.get("REVIEW_PICTURES")
    page = await visitor.logged_in("administrator")
    await page.goto("/review")
    if pictures:
        await page.screenshot(path=Path(pictures) / "queue.png", full_page=True)
    await page.get_by_role("link", name="More energy than can have been delivered").click()
    await expect(page.get_by_text("which costs €2.75")).to_be_visible()
    if pictures:
        await page.screenshot(path=Path(pictures) / "item.png", full_page=True)
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.screenshot(path=Path(pictures) / "item-narrow.png", full_page=True)
        await page.goto("/review")
        await page.screenshot(path=Path(pictures) / "queue-narrow.png", full_page=True)
        await page.go_back()
        await page.set_viewport_size({"width": 1280, "height": 800})
    await page.get_by_label("Decision").select_option("correct")
    await page.get_by_label("Energy").fill("4")
    await page.get_by_label("Reason").fill("read at the meter")
    await page.get_by_role("button", name="Decide").click()
    await expect(page.get_by_text("€3.10 was charged")).to_be_visible()
    await expect(page.get_by_text("There is nothing left to decide here.")).to_be_visible()
    if pictures:
        await page.screenshot(path=Path(pictures) / "decided.png", full_page=True)
    assert visitor.complaints == []


async def test_a_stop_ends_the_transaction_it_was_for_and_its_charge_is_corrected_later(visitor: Visitor) -> None:
    number = await bring_in_parked(visitor.portal)
    pictures = os.environ.get("REVIEW_PICTURES")
    page = await visitor.logged_in("administrator")
    await page.goto("/review")
    await page.get_by_role("link", name="Stop without a transaction").click()
    if pictures:
        await page.screenshot(path=Path(pictures) / "parked.png", full_page=True)
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.screenshot(path=Path(pictures) / "parked-narrow.png", full_page=True)
        await page.set_viewport_size({"width": 1280, "height": 800})
    await page.get_by_label("Decision").select_option("match")
    await page.get_by_label("Transaction").select_option(str(number))
    await page.get_by_label("Reason").fill("it came before its start")
    await page.get_by_role("button", name="Decide").click()
    await expect(page.get_by_text("€2.15 was charged")).to_be_visible()
    await page.goto(f"/transactions/{number}")
    await page.get_by_text("This charge is wrong").click()
    if pictures:
        await page.screenshot(path=Path(pictures) / "doubt.png", full_page=True)
    await page.get_by_label("Why").fill("the meter was misread")
    await page.get_by_role("button", name="Look at it again").click()
    await expect(page.get_by_role("heading", name="Charge that somebody doubts")).to_be_visible()
    if pictures:
        await page.screenshot(path=Path(pictures) / "doubted.png", full_page=True)
    await page.get_by_label("Decision").select_option("correct")
    await page.get_by_label("Energy").fill("2")
    await page.get_by_label("Reason").fill("read again")
    await page.get_by_role("button", name="Decide").click()
    await expect(page.get_by_text("€1.80 was charged in all")).to_be_visible()
    if pictures:
        await page.screenshot(path=Path(pictures) / "corrected.png", full_page=True)
        await page.goto(f"/transactions/{number}")
        await page.screenshot(path=Path(pictures) / "corrected-transaction.png", full_page=True)
    assert visitor.complaints == []
