"""Receipts in the portal and as PDF: what they say, that a reprint says COPY, and that nothing hostile gets through."""

import io
import re
from datetime import timedelta

import pytest
from pypdf import PdfReader

from csms import clock
from csms.charging.doubts import DoubtCharge
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.reviews import Resolved, ResolveReview
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.web.receipts.document import Document, Fact, Line
from csms.web.receipts.pdf import PAPERS, Paper, render
from tests.web.portal import CARD, Browser, PortalWorld

SIGNED = '[{"value":"<b>0xSIGNED</b>","format":"SignedData","context":"Transaction.Begin"},{"value":"1100"}]'


async def _topped_up(portal: PortalWorld) -> Browser:
    browser = await portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    await browser.post("/card/top-up", tag=CARD, amount="12.50", key=browser.key)
    return browser


async def _charged(portal: PortalWorld, *, samples: str = "[]") -> int:
    """Charge 10 kWh and return the transaction's number."""
    station = await portal.engine.submit(AddChargePoint("CP<1>", 0, None, None))
    start = clock.now() - timedelta(minutes=30)
    started = await portal.engine.submit(StartTransaction(station, 1, CARD, 1000, start, "a"))
    transaction_id: int = started.transaction_id
    at = start + timedelta(minutes=5)
    value = MeterValue(at, (Sample("1100"),), samples)
    await portal.engine.submit(MeterValues(station, 1, transaction_id, (value,)))
    end = start + timedelta(minutes=20)
    await portal.engine.submit(StopTransaction(station, transaction_id, CARD, 11_000, end, "b", "Local"))
    return transaction_id


def _text(pdf: bytes) -> str:
    pages = PdfReader(io.BytesIO(pdf)).pages
    return "\n".join(page.extract_text() for page in pages).replace("\N{NO-BREAK SPACE}", " ")


async def test_a_top_up_leads_to_its_receipt_and_a_repeated_form_to_the_same(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    await browser.get("/card", tag=CARD)
    key = browser.key
    for _ in range(2):
        await browser.post("/card/top-up", tag=CARD, amount="12.50", key=key)
        assert "Receipt D1-000002" in browser.text
    entry_id = portal.entries()[0].entry_id
    await browser.get(f"/receipts/{entry_id}")
    for what in ("Receipt D1-000002", "Desk 1", "cashier", "€20.00", "€12.50", "€32.50", "Tax is part of the price"):
        assert what in browser.text, what
    assert CARD not in browser.text.split("<article")[1]
    assert "1000 1" not in browser.text.split("<article")[1]


async def _corrected(portal: PortalWorld, transaction_id: int, energy_wh: int) -> None:
    doubt = DoubtCharge(transaction_id, "read at the meter", "staff a", f"doubt {transaction_id}")
    waiting = await portal.engine.submit(doubt)
    decided = ResolveReview(waiting.key, "correct", "read at the meter", "staff a", "decision", energy_wh)
    assert isinstance(await portal.engine.submit(decided), Resolved)


async def test_the_receipt_of_a_corrected_charge_says_what_it_is_in_all_and_of_it_the_tax(portal: PortalWorld) -> None:
    transaction_id = await _charged(portal)  # 3.50, 0.40 and 0.50
    await _corrected(portal, transaction_id, 4000)  # 1.40, 0.40 and 0.50
    browser = await portal.logged_in("accountant")
    await browser.get("/receipts", number=f"C{transaction_id}")
    shown = " ".join(re.sub("<[^>]+>", " ", browser.text.split("<article")[1]).split())
    for what in (
        "Corrected to 4.000 kWh until",
        "Total €4.40 Tax included 20 % €0.73",
        "Charged in all €2.30 Tax included 20 % €0.38",
        "+€2.10",
    ):
        assert what in shown, what
    assert portal.card().balance_minor == 2000 - 230


async def test_a_transaction_that_cost_nothing_before_it_was_corrected_has_a_receipt(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    start = clock.now() - timedelta(minutes=30)
    number = (await portal.engine.submit(StartTransaction(station, 1, CARD, 1000, start, "a"))).transaction_id
    end = start + timedelta(minutes=20)
    await portal.engine.submit(StopTransaction(station, number, CARD, 1000, end, "b", "Local"))
    browser = await portal.logged_in("accountant")
    assert (await browser.get(f"/transactions/{number}/receipt")).status_code == 404
    await _corrected(portal, number, 10_000)
    assert (await browser.get(f"/transactions/{number}/receipt")).status_code == 200
    shown = " ".join(re.sub("<[^>]+>", " ", browser.text.split("<article")[1]).split())
    assert "Total €0.00 Balance before €20.00 Balance after €20.00" in shown
    assert "Charged in all €4.40 Tax included 20 % €0.73" in shown
    for paper in ("A4", "page"):
        await browser.post(f"/transactions/{number}/receipt/print", act=paper)
    assert "COPY" in browser.text


async def test_the_first_print_is_the_original_and_every_further_one_a_copy(portal: PortalWorld) -> None:
    browser = await _topped_up(portal)
    entry_id = portal.entries()[0].entry_id
    page = await browser.get(f"/receipts/{entry_id}")
    assert 'class="copy-mark print-only"' in page.text  # a page that was not asked to be printed is no original
    first = await browser.post(f"/receipts/{entry_id}/print", act="page")
    assert "COPY" not in first.text.split("<article")[1]
    second = await browser.post(f"/receipts/{entry_id}/print", act="page")
    assert 'class="copy-mark">COPY' in second.text
    third = await browser.post(f"/receipts/{entry_id}/print", act="A4")
    assert third.headers["content-type"] == "application/pdf"
    assert "COPY" in _text(third.content)
    assert 'class="copy-mark">COPY' in (await browser.get(f"/receipts/{entry_id}")).text


async def test_the_pdf_says_what_the_page_says(sqlite_portal: PortalWorld) -> None:
    browser = await _topped_up(sqlite_portal)
    entry_id = sqlite_portal.entries()[0].entry_id
    text = _text((await browser.post(f"/receipts/{entry_id}/print", act="80 mm")).content)
    for what in ("Receipt D1-000002", "Desk 1", "cashier", "€20.00", "€12.50", "€32.50", "***0 1"):
        assert what in text, what
    assert "COPY" not in text


async def test_a_charge_has_a_receipt_with_lines_tax_readings_and_balances(portal: PortalWorld) -> None:
    transaction_id = await _charged(portal, samples=SIGNED)
    browser = await portal.logged_in("accountant")
    await browser.get(f"/transactions/{transaction_id}")
    assert f'href="/transactions/{transaction_id}/receipt"' in browser.text
    page = await browser.get(f"/transactions/{transaction_id}/receipt")
    # 10 kWh x 0.35 + 20 min x 0.02 + 0.50 = 4.40, of which 20 % tax included: 0.73
    shown = (f"C{transaction_id}", "10.000 kWh", "€3.50", "€0.40", "€0.50", "€4.40", "Tax included 20 %", "€0.73")
    for what in (*shown, "€20.00", "€15.60", "1.100 kWh", "Readings"):
        assert what in browser.text, what
    assert "CP<1>" not in page.text
    assert "CP&lt;1&gt;" in page.text
    assert "<b>0xSIGNED" not in page.text
    assert "<b>0xSIGNED</b>" in browser.text
    data = await browser.client.get(f"/transactions/{transaction_id}/signed-data")
    assert data.json()["signed"][0]["value"] == "<b>0xSIGNED</b>"
    assert "attachment" in data.headers["content-disposition"]
    first = await browser.post(f"/transactions/{transaction_id}/receipt/print", act="A4")
    text = _text(first.content)
    assert "COPY" not in text
    for what in ("€4.40", "€0.73", "€15.60", "10.000 kWh", "CP<1>", "<b>0xSIGNED</b>"):
        assert what in text, what
    again = await browser.post(f"/transactions/{transaction_id}/receipt/print", act="80 mm")
    assert "COPY" in _text(again.content)


async def test_there_is_no_receipt_where_nothing_was_paid(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    for path in ("/receipts/999", "/transactions/999/receipt", "/transactions/999/signed-data"):
        assert (await browser.get(path)).status_code == 404
    assert (await browser.post("/receipts/999/print", act="A4")).status_code == 404


@pytest.mark.parametrize("paper", PAPERS)
def test_cyrillic_the_euro_and_long_words_are_printed(paper: Paper) -> None:
    document = Document(
        "Receipt",
        "D1-000001",
        ("Зареждане ЕООД", "ул. „Цар Симеон“ 12, София"),
        is_copy=True,
        facts=(Fact("Обслужил", "Ива Щерева"), Fact("Station", "X" * 120)),
        lines=(Line("Енергия", "10 kWh x €0.35/kWh", "€3.50"),),
        sums=(Fact("Общо", "€3.50", strong=True),),
        signed=(Fact("Begin", "ab" * 200),),
        notes=("Благодарим!",),
    )
    pdf = render(document, paper)
    text = _text(pdf)
    for what in ("Зареждане ЕООД", "„Цар Симеон“", "Щерева", "€3.50", "COPY", "Благодарим!"):
        assert what in text, what
    assert text.replace("\n", "").count("X") == 120
    assert len(pdf) < 100_000  # only the letters that are used
    assert render(document, paper) == pdf
    width = float(PdfReader(io.BytesIO(pdf)).pages[0].mediabox.width)
    assert round(width * 25.4 / 72) == (80 if paper == "80 mm" else 210)


def test_a_receipt_that_is_longer_than_a_page_goes_on_on_the_next() -> None:
    lines = tuple(Line(f"Line {number}", "1 x €1.00", "€1.00") for number in range(80))
    document = Document("Receipt", "C1", (), False, (), lines, (Fact("Total", "€80.00"),), (), ())
    assert len(PdfReader(io.BytesIO(render(document, "A4"))).pages) > 1
    assert len(PdfReader(io.BytesIO(render(document, "80 mm"))).pages) == 1
    assert "€80.00" in _text(render(document, "A4"))
