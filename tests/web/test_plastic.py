"""Cards in the portal: readers' formats, stock, replacement, further cards, customers; all of it escaped."""

import asyncio

import pytest
from sqlalchemy import update

from csms.billing.cards import ImportCards, StockCard
from csms.billing.models import desk
from csms.charging.authorization import Authorize
from csms.charging.stations import AddChargePoint
from tests.web.portal import CARD, Browser, PortalWorld

NASTY = "<img src=x>"


async def _upload(browser: Browser, text: str, **fields: str) -> str:
    files = {"file": ("cards.csv", text.encode(), "text/csv")}
    response = await browser.client.post(
        "/cards/import", data={"csrf": browser.csrf, **fields}, files=files, follow_redirects=True
    )
    browser._saw(response)
    return response.text


def _reads(portal: PortalWorld, reader_format: str) -> None:
    with portal.database.unit_of_work() as connection:
        connection.execute(update(desk).values(reader_format=reader_format))


@pytest.mark.parametrize(
    ("reader_format", "typed"),
    [
        ("hex reversed", bytes.fromhex(CARD)[::-1].hex()),
        ("decimal", str(int("04A1B2C3", 16))),
        ("decimal reversed", str(int("C3B2A104", 16))),
    ],
)
async def test_a_desk_reads_cards_in_its_readers_format(
    sqlite_portal: PortalWorld, reader_format: str, typed: str
) -> None:
    _reads(sqlite_portal, reader_format)
    browser = await sqlite_portal.logged_in("supervisor")
    await browser.get("/desk", card="1000 1")
    assert "Card 1000 1" in browser.text  # printed numbers are found as before
    await browser.get("/desk", card=typed)
    if reader_format == "hex reversed":
        assert "Card 1000 1" in browser.text
        return
    assert 'href="/card/sell?tag=04A1B2C3"' in browser.text
    await browser.get("/card/sell", tag="04A1B2C3")
    key = browser.key
    wrong = await browser.post("/card/sell", tag="04A1B2C3", known="04A1B2C3", number="7", key=key, amount="x")
    assert wrong.status_code == 422
    assert 'value="04A1B2C3"' in browser.text  # it is converted once only
    await browser.post("/card/sell", tag=typed, number="7", key=key, amount="5")
    assert sqlite_portal.card("04A1B2C3").balance_minor == 500


async def test_an_administrator_finds_a_readers_format_by_a_sample(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/sites", sample=bytes.fromhex(CARD)[::-1].hex())
    assert f"<code>{CARD}</code>" in browser.text
    assert "<strong>1000 1</strong>" in browser.text
    await browser.get("/sites", sample=NASTY)
    assert "not possible" in browser.text
    response = await browser.post(f"/desks/{sqlite_portal.desk.desk_id}/reader", reader_format="hex reversed")
    assert "format is stored" in response.text
    assert (await browser.post("/desks/99/reader", reader_format="hex")).status_code == 404
    assert (await browser.post("/desks/1/reader", reader_format="octal")).status_code == 422


async def test_a_delivery_is_looked_at_before_it_is_imported_and_sold(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/cards/import")
    text = "id_tag,printed_number,label\nAB01,2026 1,blue\nAB02,2026 2,\n"
    assert "2 cards in cards.csv, nothing wrong" in await _upload(browser, text)
    assert 'name="text" hidden>\nid_tag,printed_number' in browser.text
    await browser.get("/cards")
    assert "AB01" not in browser.text
    response = await browser.client.post(
        "/cards/import",
        data={"csrf": browser.csrf, "act": "import"},
        files={"text": (None, text)},
        follow_redirects=True,
    )
    assert "2 cards are in stock" in response.text
    cashier = await portal.logged_in("cashier")
    await cashier.get("/card/sell", tag="AB01")
    assert "From stock: card <strong>2026 1</strong>" in cashier.text
    await cashier.post("/card/sell", tag="AB01", known="AB01", number="2026 1", amount="5", key=cashier.key)
    assert portal.card("AB01").printed_number == "2026 1"


async def test_a_bad_line_imports_nothing_and_every_bad_line_is_shown(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/cards/import")
    html = await _upload(browser, f"id_tag,printed_number\nAB01,1\n{NASTY},2\n{CARD},3\nAB04,1000 1\n", act="import")
    assert "3 lines are wrong" in browser.text
    assert NASTY not in html
    assert "The card 04A1B2C3D4 exists already." in browser.text
    assert "1000 1 is another card" in browser.text
    await browser.get("/cards")
    assert "AB01" not in browser.text
    assert "is not text in UTF-8" in await _broken(browser)


async def _broken(browser: Browser) -> str:
    files = {"file": ("cards.csv", b"\xff\xfe\x00", "text/csv")}
    return (await browser.client.post("/cards/import", data={"csrf": browser.csrf}, files=files)).text


async def test_an_upload_is_limited_and_needs_its_token(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/cards/import")
    too_large = {"file": ("a", b"x" * (sqlite_portal.settings.max_upload_bytes + 1))}
    assert (await browser.client.post("/cards/import", data={"csrf": browser.csrf}, files=too_large)).status_code == 413
    small = {"file": ("a", b"x")}
    assert (await browser.client.post("/cards/import", data={"csrf": "no"}, files=small)).status_code == 403
    headers = {"content-type": "multipart/form-data"}
    assert (await browser.client.post("/cards/import", content=b"x", headers=headers)).status_code == 400


async def test_a_lost_card_is_replaced_once_however_often_the_button_is_pressed(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    await browser.get("/card/replace", tag=CARD)
    assert "€20.00" in browser.text
    fields = {"csrf": browser.csrf, "tag": CARD, "new_tag": "04:D4:E5", "number": "77", "reason": "lost"}
    answers = await asyncio.gather(*(browser.client.post("/card/replace", data=fields) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {303}
    assert (portal.card().state, portal.card("04D4E5").balance_minor) == ("lost", 2000)
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    assert (await portal.engine.submit(Authorize(station, CARD))).status == "Blocked"
    assert (await portal.engine.submit(Authorize(station, "04D4E5"))).status == "Accepted"
    await browser.get("/card", tag="04D4E5")
    assert "Shares its account with" in browser.text
    without = await browser.post("/card/replace", tag="04D4E5", new_tag="04FF", number="78")
    assert (without.status_code, "Please fill this in" in browser.text) == (422, True)
    taken = await browser.post("/card/add", tag="04D4E5", new_tag=CARD, number="78")
    assert taken.url.path == "/card"  # it is one of this account's already
    fresh = await browser.post("/card/add", tag="04D4E5", new_tag="04FF", number="77")
    assert (fresh.status_code, "Another card has this printed number" in browser.text) == (422, True)


async def test_a_card_from_stock_is_taken_by_the_number_that_is_printed_on_it(sqlite_portal: PortalWorld) -> None:
    cards = (StockCard(2, "04FFEE", "9 7", "", None),)
    await sqlite_portal.engine.submit(ImportCards(cards, "test"))
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card/add", tag=CARD)
    response = await browser.post("/card/add", tag=CARD, new_tag="9 7", number="")
    assert (response.url.path, sqlite_portal.card("04FFEE").balance_minor) == ("/card", 2000)


async def test_the_card_itself_is_managed_with_a_reason_that_is_shown(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("supervisor")
    await browser.get("/card/manage", tag=CARD)
    assert (await browser.post("/card/state", tag=CARD, state="blocked", reason="")).status_code == 422
    assert sqlite_portal.card().state == "active"
    page = await browser.post("/card/state", tag=CARD, state="blocked", reason=NASTY)
    assert NASTY in browser.text
    assert NASTY not in page.text
    await browser.post("/card/state", tag=CARD, state="active", reason="found")
    await browser.post("/card/expiry", tag=CARD, last_day="2020-01-31")
    await browser.get("/card", tag=CARD)
    assert ">Expired<" in browser.text
    await browser.get("/card/manage", tag=CARD)
    assert 'value="2020-01-31"' in browser.text
    assert (await browser.post("/card/expiry", tag=CARD, last_day="31.12.2029")).status_code == 422
    await browser.post("/card/expiry", tag=CARD, last_day="")
    assert sqlite_portal.card().expires_at is None
    await browser.post("/card/state", tag=CARD, state="retired", reason="broken")
    again = await browser.post("/card/state", tag=CARD, state="active", reason="no")
    assert (again.status_code, "stays retired" in browser.text) == (422, True)


async def test_a_customer_is_kept_found_and_erased(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/card/customer", tag=CARD)
    page = await browser.post(
        "/card/customer", tag=CARD, name=f"Ива {NASTY}", email="iva@example.com", phone="+359 88", language="bg"
    )
    assert f"Ива {NASTY}" in browser.text
    assert NASTY not in page.text
    await browser.get("/cards", search="iva@example")
    assert CARD in browser.text
    operator = await sqlite_portal.logged_in("operator")
    await operator.get("/cards", search="iva@example")
    assert CARD not in operator.text
    await operator.get("/card", tag=CARD)
    assert "iva@example" not in operator.text
    wrong = await browser.post("/card/customer", tag=CARD, name="x", email="nobody", language="bg")
    assert (wrong.status_code, "maria@example.com" in browser.text) == (422, True)
    before = sqlite_portal.entries()
    assert (await browser.post("/card/customer/erase", tag=CARD)).status_code == 422
    await browser.post("/card/customer/erase", tag=CARD, reason="asked for it")
    assert "The data is erased" in browser.text
    assert "iva@example" not in browser.text
    assert sqlite_portal.entries() == before
    cashier = await sqlite_portal.logged_in("cashier")
    assert (await cashier.post("/card/customer/erase", tag=CARD, reason="x")).status_code == 403
