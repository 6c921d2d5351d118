"""The cash desk: finding, topping up and selling cards; nothing is booked twice, and nothing on a wrong field."""

import asyncio
from datetime import timedelta

import pytest

from csms import clock
from csms.billing.cards import SetExpiry
from csms.charging.authorization import Authorize
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction
from csms.errors import StorageUnavailable
from csms.web.cashier.sell import suggest_number
from tests.web.portal import CARD, Browser, PortalWorld


async def _confirmed(browser: Browser, amount: str) -> str:
    """Go from the card to the confirmation of a top-up and return the form's key."""
    await browser.get("/card", tag=CARD)
    key = browser.key
    response = await browser.get("/card/top-up", tag=CARD, amount=amount, key=key)
    assert response.status_code == 200
    return key


@pytest.mark.parametrize("typed", [CARD, CARD.lower(), "04:A1:B2:C3:D4", "04-a1-b2-c3-d4 ", "1000 1", "10001"])
async def test_a_card_is_found_as_readers_and_people_type_it(sqlite_portal: PortalWorld, typed: str) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    response = await browser.get("/desk", card=typed)
    assert response.url.path == "/card"
    assert "Card 1000 1" in browser.text
    assert "€20.00" in browser.text


async def test_an_unknown_card_is_offered_for_sale(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/desk", card="04:99:aa")
    assert "No card “04:99:aa”" in browser.text
    assert 'href="/card/sell?tag=0499AA"' in browser.text
    await browser.get("/desk", card="x" * 30)
    assert "It is too long for a card" in browser.text


async def test_a_top_up_is_shown_before_it_is_booked_and_after(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    key = await _confirmed(browser, "12,50")
    assert portal.card().balance_minor == 2000
    assert "€32.50" in browser.text
    response = await browser.post("/card/top-up", tag=CARD, amount="12.50", key=key)
    assert response.url.path == "/card"
    assert portal.card().balance_minor == 3250
    assert "Balance after" in browser.text
    assert 'name="card" type="text"' in browser.text
    assert browser.text.count("autofocus") == 1
    entry = portal.entries()[0]
    assert (entry.event, entry.actor) == ("top up", "staff cashier")
    assert entry.transfers[0].debit_account_id == portal.desk.cash_account_id
    await browser.get("/desk")
    assert "+€12.50" in browser.text


async def test_a_card_past_its_expiry_is_not_offered_a_top_up(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    key = browser.key
    await sqlite_portal.engine.submit(SetExpiry(CARD, clock.now() - timedelta(seconds=1), "test"))
    response = await browser.get("/card/top-up", tag=CARD, amount="5", key=key)
    assert (response.status_code, "This card has expired, so it cannot be topped up" in browser.text) == (422, True)
    response = await browser.post("/card/top-up", tag=CARD, amount="5", key=key)
    assert (response.status_code, "This card has expired" in browser.text) == (422, True)
    assert sqlite_portal.card().balance_minor == 2000


async def test_a_quick_amount_goes_to_the_same_confirmation(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    for amount in ("10.00", "20.00", "50.00"):
        assert f'name="quick" value="{amount}"' in browser.text
    await browser.get("/card/top-up", tag=CARD, amount="", quick="20.00", key=browser.key)
    assert "Book €20.00" in browser.text


async def test_a_double_click_books_once(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    key = await _confirmed(browser, "20")
    fields = {"csrf": browser.csrf, "tag": CARD, "amount": "20.00", "key": key}
    answers = await asyncio.gather(*(browser.client.post("/card/top-up", data=fields) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert portal.card().balance_minor == 4000
    response = await browser.post("/card/top-up", tag=CARD, amount="20.00", key=key)  # the way back
    assert "not booked again" in response.text
    assert portal.card().balance_minor == 4000


async def test_a_used_form_cannot_book_another_amount(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    key = await _confirmed(browser, "20")
    await browser.post("/card/top-up", tag=CARD, amount="20.00", key=key)
    response = await browser.post("/card/top-up", tag=CARD, amount="30.00", key=key)
    assert response.status_code == 422
    assert "This form was used for another amount before" in browser.text
    assert portal.card().balance_minor == 4000


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        ("", "Please enter an amount"),
        ("abc", "“abc” is not an amount of money"),
        ("0", "must be more than zero"),
        ("-5", "must be more than zero"),
        ("5.001", "more than 2 decimals"),
        ("500.01", "At most 500.00 EUR"),
        ("1e3", "is not an amount of money"),
        ("٢٠", "is not an amount of money"),
        ("<script>", "“<script>” is not an amount"),
    ],
)
async def test_a_wrong_amount_is_marked_kept_and_not_booked(sqlite_portal: PortalWorld, amount: str, why: str) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    key = browser.key
    for response in (
        await browser.get("/card/top-up", tag=CARD, amount=amount, key=key),
        await browser.post("/card/top-up", tag=CARD, amount=amount, key=key),
    ):
        assert response.status_code == 422
        assert why in browser.text
        assert f'value="{amount}"' in browser.text
        assert 'aria-invalid="true"' in browser.text
        assert "<script>" not in response.text
        assert browser.key == key
    assert sqlite_portal.card().balance_minor == 2000


async def test_a_balance_above_the_limit_is_refused(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    for _ in range(2):
        await browser.post("/card/top-up", tag=CARD, amount="490", key=await _confirmed(browser, "490"))
    assert sqlite_portal.card().balance_minor == 2000 + 49000 + 49000
    response = await browser.post("/card/top-up", tag=CARD, amount="490", key=await _confirmed(browser, "490"))
    assert response.status_code == 422
    assert "above what one card may hold" in browser.text
    assert sqlite_portal.card().balance_minor == 100_000


async def test_a_form_without_its_key_books_nothing(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    for key in ("", "short", "with blanks in the middle of it"):
        assert (await browser.post("/card/top-up", tag=CARD, amount="20", key=key)).status_code == 422
    assert sqlite_portal.card().balance_minor == 2000


async def test_the_next_card_read_into_the_amount_field_opens_that_card(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await _sell(browser, "0499AABBCC", "7")
    await browser.get("/card", tag=CARD)
    response = await browser.get("/card/top-up", tag=CARD, amount="0499AABBCC", key=browser.key)
    assert str(response.url).endswith("/card?tag=0499AABBCC")
    assert sqlite_portal.card().balance_minor == 2000


async def _sell(browser: Browser, tag: str, amount: str, number: str = "") -> str:
    await browser.get("/card/sell", tag=tag)
    key = browser.key
    fields = {"tag": tag, "number": number or f"77 {tag[-4:]}", "amount": amount, "label": "", "key": key}
    await browser.post("/card/sell", **fields)
    return key


async def test_a_card_is_sold_with_its_first_credit_once(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    await browser.get("/card/sell", tag="04:99:aa:bb")
    assert 'value="0499AABB"' in browser.text
    fields = {"tag": "0499aabb", "number": "55 1", "amount": "25", "label": "A & B", "key": browser.key}
    for _ in range(2):
        response = await browser.post("/card/sell", **fields)
        assert response.url.path == "/card"
    assert "A & B" in browser.text
    card = portal.card("0499AABB")
    assert (card.state, card.balance_minor, card.printed_number) == ("active", 2500, "55 1")
    assert [entry.event for entry in portal.entries()].count("card issued") == 2  # this one, and the world's


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tag": ""}, "Please fill this in"),
        ({"tag": "X" * 21}, "At most 20 letters and digits"),
        ({"tag": "ab/../c"}, "At most 20 letters and digits"),
        ({"tag": CARD}, "This card is sold already"),
        ({"number": ""}, "Please fill this in"),
        ({"number": "<b>"}, "Letters, digits and blanks"),
        ({"number": "1000 1"}, "Another card has this printed number"),
        ({"amount": "600"}, "At most 500.00 EUR"),
        ({"amount": "-1"}, "cannot be negative"),
        ({"label": "x" * 101}, "At most 100 characters"),
    ],
)
async def test_a_wrong_field_sells_nothing(sqlite_portal: PortalWorld, changed: dict[str, str], why: str) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    await browser.get("/card/sell", tag="0499")
    fields = {"tag": "0499", "number": "55 1", "amount": "25", "label": "", "key": browser.key} | changed
    before = sqlite_portal.entries()
    response = await browser.post("/card/sell", **fields)
    assert response.status_code == 422
    assert why in browser.text
    assert sqlite_portal.entries() == before
    assert "<b>" not in response.text


async def test_staff_without_a_desk_take_no_money(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/card", tag=CARD)
    assert "You have no desk" in browser.text
    response = await browser.post("/card/top-up", tag=CARD, amount="20", key="k" * 20)
    assert response.status_code == 422
    assert sqlite_portal.card().balance_minor == 2000
    await browser.get("/card/sell", tag="0499AABBCC")
    assert "no till to put the money in" in browser.text
    before = sqlite_portal.entries()
    for amount in ("50", ""):
        response = await browser.post("/card/sell", tag="0499AABBCC", number="7", amount=amount, key="k" * 20)
        assert (response.status_code, "no till to put the money in" in browser.text) == (422, True)
    assert sqlite_portal.entries() == before


async def test_while_nothing_can_be_stored_the_form_is_kept_and_books_later(
    portal: PortalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await portal.logged_in("cashier")
    key = await _confirmed(browser, "20")
    submit = portal.engine.submit

    async def unavailable(_asked: object) -> None:
        raise StorageUnavailable("the database does not take it")

    monkeypatch.setattr(portal.engine, "submit", unavailable)
    response = await browser.post("/card/top-up", tag=CARD, amount="20.00", key=key)
    assert response.status_code == 503
    assert "Nothing was booked" in browser.text
    assert browser.key == key
    await browser.get("/card/sell", tag="0499")
    sold = await browser.post("/card/sell", tag="0499", number="5", amount="", label="", key="k" * 20)
    assert (sold.status_code, "Nothing was booked" in browser.text) == (503, True)
    monkeypatch.setattr(portal.engine, "submit", submit)
    await browser.post("/card/top-up", tag=CARD, amount="20.00", key=key)
    assert portal.card().balance_minor == 4000


async def test_a_supervisor_blocks_a_card_and_lets_it_charge_again(portal: PortalWorld) -> None:
    browser = await portal.logged_in("supervisor")
    await browser.get("/card", tag=CARD)
    response = await browser.post("/card/state", tag=CARD, state="blocked", reason="seen twice")
    assert "The card is blocked" in response.text
    assert portal.card().state == "blocked"
    refused = await browser.post("/card/top-up", tag=CARD, amount="20", key="k" * 20)
    assert (refused.status_code, "cannot be topped up" in browser.text) == (422, True)
    await browser.post("/card/state", tag=CARD, state="active", reason="was a mistake")
    assert portal.card().state == "active"
    assert (await browser.post("/card/state", tag=CARD, state="in stock")).status_code == 422
    assert (await browser.post("/card/state", tag="NOBODY", state="blocked", reason="x")).status_code == 404


async def test_the_card_page_tells_refusals_and_what_is_charging(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP<1>", 0, None, None))
    await portal.engine.submit(Authorize(station, "0000"))
    now = clock.now()
    started = StartTransaction(station, 1, CARD, 0, now - timedelta(minutes=5), "a")
    await portal.engine.submit(started)
    browser = await portal.logged_in("cashier")
    response = await browser.get("/card", tag=CARD)
    assert "CP<1>" not in response.text
    assert "CP<1>, connector 1" in browser.text
    assert "Held for charging" in browser.text
    await _sell(browser, "0000", "")
    await browser.get("/card", tag="0000")
    assert "This card is not known" in browser.text  # what the station was told of it, before it was sold


async def test_the_suggested_number_follows_the_highest_of_the_year(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    with sqlite_portal.database.reading() as connection:
        assert suggest_number(connection, 2030) == "2030 00001"
    await _sell(browser, "0499", "", number="2030 00041")
    with sqlite_portal.database.reading() as connection:
        assert suggest_number(connection, 2030) == "2030 00042"
