"""A cashier's day in a real browser, with the keyboard alone, as a card reader and a busy person use it."""

from playwright.async_api import expect

from tests.browser.conftest import Visitor


async def test_a_cashier_sells_a_card_and_tops_it_up_with_keyboard_and_reader(visitor: Visitor) -> None:
    page = await visitor.logged_in("cashier")
    await expect(page.get_by_label("Card", exact=True)).to_be_focused()
    await page.keyboard.type("04:de:ad:be:ef")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Sell this card").click()
    await expect(page.get_by_label("First credit")).to_be_focused()
    await page.keyboard.type("15")
    await page.keyboard.press("Enter")
    await expect(page.locator(".booked")).to_contain_text("€15.00")
    await expect(page.get_by_label("Next card")).to_be_focused()
    await page.keyboard.type("04DEADBEEF")  # the same card once more
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Amount")).to_be_focused()
    await page.keyboard.type("7,50")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Book €7.50")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".booked strong")).to_contain_text("€22.50")
    await expect(page.locator(".booked")).to_contain_text("+€7.50")
    assert visitor.portal.card("04DEADBEEF").balance_minor == 2250
    assert visitor.complaints == []


async def test_reload_and_the_way_back_book_nothing_again(visitor: Visitor) -> None:
    page = await visitor.logged_in("cashier")
    await page.goto("/card?tag=04A1B2C3D4")
    await page.get_by_role("button", name="€20.00").click()
    await page.get_by_role("button", name="Book €20.00").dblclick()
    await expect(page.locator(".booked strong")).to_contain_text("€40.00")
    await page.reload()
    await page.go_back()
    await page.get_by_role("button", name="Book €20.00").click()
    await expect(page.locator(".booked")).to_contain_text("not booked again")
    assert visitor.portal.card().balance_minor == 4000


async def test_a_wrong_amount_is_marked_and_keeps_the_focus(visitor: Visitor) -> None:
    page = await visitor.logged_in("cashier")
    await page.goto("/card?tag=04A1B2C3D4")
    await page.get_by_label("Amount").fill("twenty")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Amount")).to_be_focused()
    await expect(page.get_by_label("Amount")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_role("alert")).to_contain_text("“twenty” is not an amount of money")
    await expect(page.get_by_label("Amount")).to_have_value("twenty")
    assert visitor.portal.card().balance_minor == 2000


async def test_the_desk_fits_a_phone(visitor: Visitor) -> None:
    page = await visitor.logged_in("cashier", width=390)
    for path in ("/desk", "/card?tag=04A1B2C3D4", "/card/sell?tag=0499", "/account"):
        await page.goto(path)
        overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, path
