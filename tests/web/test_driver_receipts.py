"""The receipt that a driver gets by a QR code: who sees it, in which language, and that nobody finds it by guessing."""

import io
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import insert, select

from csms import clock
from csms.billing.models import customer
from csms.charging import models
from csms.charging.receipt_links import is_genuine, token_of, transaction_of
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.installation import RECEIPTS
from csms.sealing import Sealer
from csms.web.receipts import pdf as pdf_module
from csms.web.receipts.pdf import render
from csms.web.receipts.words import TEXTS, Words, preferred
from tests.web.portal import CARD, Browser, PortalWorld


async def charged(portal: PortalWorld, *, stop: int | None = 11_000) -> int:
    """Charge 10 kWh; without a stop the car still charges."""
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    start = clock.now() - timedelta(minutes=30)
    started = await portal.engine.submit(StartTransaction(station, 1, CARD, 1000, start, "a"))
    transaction_id: int = started.transaction_id
    if stop is not None:
        end = start + timedelta(minutes=20)
        await portal.engine.submit(StopTransaction(station, transaction_id, CARD, stop, end, "b", "Local"))
    return transaction_id


def link_of(portal: PortalWorld, transaction_id: int) -> str:
    tx = models.charging_transaction.c
    with portal.database.reading() as connection:
        key = connection.execute(select(tx.natural_key).where(tx.id == transaction_id)).scalar_one()
    return "/r/" + token_of(transaction_id, key, Sealer(portal.settings).derive(RECEIPTS))


def speaks(portal: PortalWorld, language: str) -> None:
    row = {"account_id": portal.card().account_id, "name": "Mära Ivanova", "email": "", "phone": "+359 2 123"}
    with portal.database.unit_of_work() as connection:
        values = row | {"language": language, "created_at": clock.now(), "changed_at": clock.now()}
        connection.execute(insert(customer), values)


async def test_whoever_has_the_address_sees_the_receipt_without_a_login_or_a_cookie(portal: PortalWorld) -> None:
    transaction_id = await charged(portal)
    speaks(portal, "en")
    browser = portal.browser()
    response = await browser.get(link_of(portal, transaction_id))
    assert response.status_code == 200
    for what in ("Charge receipt C1", "10.000 kWh", "€4.40", "Tax included 20 %", "Meter at start", "***0 1", "€15.60"):
        assert what in browser.text, what
    for hidden in (CARD, "1000 1", "Mära", "Ivanova", "+359"):
        assert hidden not in browser.text, hidden
    assert "set-cookie" not in response.headers
    assert "noindex" in response.headers["x-robots-tag"]
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "same-origin"
    pdf = await browser.client.get(f"{link_of(portal, transaction_id)}/pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    assert "Charge receipt C1" in text
    assert "Mära" not in text


async def test_a_pdf_is_not_drawn_in_the_event_loop(
    sqlite_portal: PortalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def drawn(*given: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return render(*given)

    monkeypatch.setattr(pdf_module, "render", drawn)
    transaction_id = await charged(sqlite_portal)
    response = await sqlite_portal.browser().client.get(f"{link_of(sqlite_portal, transaction_id)}/pdf")
    assert response.status_code == 200
    browser = sqlite_portal.browser()
    await browser.log_in("accountant")
    response = await browser.post(f"/transactions/{transaction_id}/receipt/print", act="A4")
    assert response.headers["content-type"] == "application/pdf"
    assert len(threads) == 2
    assert all(name.startswith("receipt") for name in threads)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("bg", ("Разписка за зареждане C1", "Енергия", "10,000 kWh", "4,40 €", "данък 20 %", "CP1, конектор 1")),
        ("de", ("Ladebeleg C1", "Energie", "10,000 kWh", "4,40 €", "Darin enthaltene Steuer 20 %", "CP1, Anschluss 1")),
    ],
)
async def test_it_is_in_the_customer_s_language_on_the_page_in_the_pdf_and_at_the_desk(
    sqlite_portal: PortalWorld, language: str, words: tuple[str, ...]
) -> None:
    transaction_id = await charged(sqlite_portal)
    speaks(sqlite_portal, language)
    driver = sqlite_portal.browser()
    await driver.get(link_of(sqlite_portal, transaction_id))
    assert f'<html lang="{language}"' in driver.text
    pdf = await driver.client.get(f"{link_of(sqlite_portal, transaction_id)}/pdf")
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    desk = await sqlite_portal.logged_in("cashier")
    await desk.get(f"/transactions/{transaction_id}/receipt")
    for what in words:
        assert what in driver.text, what
        assert what in text, what
        assert what in desk.text, what
    await driver.get(link_of(sqlite_portal, transaction_id), lang="en")
    assert "Charge receipt C1" in driver.text


async def test_a_receipt_of_a_desk_is_in_the_customer_s_language_too(sqlite_portal: PortalWorld) -> None:
    speaks(sqlite_portal, "de")
    desk = await sqlite_portal.logged_in("cashier")
    await desk.get("/card", tag=CARD)
    await desk.post("/card/top-up", tag=CARD, amount="12.50", key=desk.key)
    entry_id = sqlite_portal.entries()[0].entry_id
    await desk.get(f"/receipts/{entry_id}")
    for what in ("Quittung D1-000002", "Kasse", "Aufladung", "12,50 €", "Guthaben nachher"):
        assert what in desk.text, what


async def refused(browser: Browser, path: str) -> str:
    response = await browser.get(path)
    assert response.status_code == 404, path
    assert "set-cookie" not in response.headers
    return browser.text


async def test_an_address_that_was_guessed_shows_nothing(sqlite_portal: PortalWorld) -> None:
    transaction_id = await charged(sqlite_portal)
    genuine = link_of(sqlite_portal, transaction_id)
    browser = sqlite_portal.browser()
    number, mac = genuine.removeprefix("/r/").split(".")
    turned = mac[:-2] + ("AA" if mac[-2:] != "AA" else "BB")
    for wrong in (
        f"/r/{number}.{turned}",
        f"/r/2.{mac}",
        f"/r/{number}.",
        f"/r/.{mac}",
        f"/r/{number}",
        "/r/x.y",
        "/r/ffffffffff.aaaa",
        f"/r/{number}.%C3%A9",
        f"/r/{number}.{turned}/pdf",
    ):
        assert "There is no such receipt." in await refused(browser, wrong)
    response = await browser.client.get("/r/1.x", headers={"accept-language": "bg-BG,bg;q=0.9"})
    assert "Няма такава разписка." in response.text
    assert response.status_code == 404


async def test_whoever_looks_too_often_has_to_wait(sqlite_portal: PortalWorld) -> None:
    sqlite_portal.now = clock.now()  # whoever takes a minute for it does not look too often
    browser = sqlite_portal.browser("192.0.2.9")
    for _ in range(60):
        await refused(browser, "/r/1.x")
    response = await browser.get("/r/1.x")
    assert response.status_code == 429
    assert response.headers["retry-after"] == "60"
    assert (await sqlite_portal.browser("192.0.2.10").get("/r/1.x")).status_code == 404


async def test_a_transaction_without_a_receipt_says_why(sqlite_portal: PortalWorld) -> None:
    transaction_id = await charged(sqlite_portal, stop=None)
    path = link_of(sqlite_portal, transaction_id)
    browser = sqlite_portal.browser()
    assert (await browser.get(path)).status_code == 200
    assert "The car is still charging." in browser.text
    assert (await browser.get(f"{path}/pdf")).status_code == 404
    end = clock.now()
    await sqlite_portal.engine.submit(StopTransaction(1, transaction_id, CARD, 1000, end, "b", "Local"))
    await browser.get(path)
    assert "Nothing was charged." in browser.text


async def test_a_charge_that_a_person_looks_at_says_so(sqlite_portal: PortalWorld) -> None:
    transaction_id = await charged(sqlite_portal, stop=910_000_000)
    browser = sqlite_portal.browser()
    await browser.get(link_of(sqlite_portal, transaction_id))
    assert "This charge is being checked." in browser.text


def test_a_token_is_only_that_of_its_transaction_and_its_key() -> None:
    token = token_of(17, "natural", b"k" * 32)
    assert re.fullmatch(r"11\.[A-Za-z0-9_-]{22}", token)
    assert transaction_of(token) == 17
    assert is_genuine(token, 17, "natural", b"k" * 32)
    assert not is_genuine(token, 17, "other", b"k" * 32)
    assert not is_genuine(token, 18, "natural", b"k" * 32)
    assert not is_genuine(token, 17, "natural", b"x" * 32)
    assert transaction_of("ffffffff.x") is None


def test_every_text_of_receipts_is_there_in_each_language_with_the_same_places_for_values() -> None:
    for english, others in TEXTS.items():
        for text in others:
            assert text.strip()
            assert text.count("{}") == english.count("{}"), english
    assert Words("bg")("Times: {}", "Europe/Sofia") == "Часове: Europe/Sofia"
    assert Words("en")("Total") == "Total"
    assert Words("de")("a name of the day") == "a name of the day"
    assert preferred("fr, de-AT;q=0.8, en;q=0.5", "en") == "de"
    assert preferred("", "bg") == "bg"


async def test_a_card_sold_without_credit_gets_a_receipt_of_the_desk(sqlite_portal: PortalWorld) -> None:
    desk = await sqlite_portal.logged_in("cashier")
    await desk.get("/card/sell", tag="04EEFF0011")
    await desk.post("/card/sell", tag="04EEFF0011", number="2026 77", amount="", key=desk.key)
    assert "without credit so far" in desk.text
    assert "Receipt D1-000002" in desk.text
    await desk.get("/receipts")
    assert "D1-000002" in desk.text
    await desk.get("/receipts", number="d1-2")
    for what in ("Card sold", "Balance after", "€0.00"):
        assert what in desk.text, what
