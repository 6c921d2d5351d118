"""Receipts in the portal: shown, printed and written as PDF; the second print on says COPY, and the page itself too.

Printing is a form, because it counts. A receipt of a desk is named by its entry, that of a charge by its transaction.
"""

from collections.abc import Callable
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing.receipts import DeskReceipt, find_receipt, note_print
from csms.charging.charge_receipts import ChargeReceipt, find_charge_receipt, signed_samples
from csms.charging.display_texts import Language
from csms.web.formatting import Formats, choose_locale
from csms.web.forms import Form
from csms.web.receipts.document import Document, heading_of, of_charge, of_desk
from csms.web.receipts.pdf import PAPERS, render_aside
from csms.web.receipts.words import language_of, locale_of
from csms.web.visit import Visit, link

Receipt = TypeVar("Receipt", DeskReceipt, ChargeReceipt)
_NO_RECEIPT = "There is no such receipt: nothing was paid, or the car is still charging."


async def show(visit: Visit) -> Response:
    """Show the receipt of an entry at a desk."""
    one, language = await visit.read(lambda c: _with_language(visit, c, _of_entry(visit)(c)))
    document = _document(visit, one, language, is_copy=one.printed_count > 0)
    return _shown(visit, document, link("/card", tag=one.id_tag), one)


async def print_one(visit: Visit) -> Response:
    """Print the receipt of an entry at a desk, or write it as PDF."""
    form = Form(visit.fields)
    entry_id = visit.path_number("entry_id")

    def count(connection: Connection) -> tuple[DeskReceipt, Language, int]:
        one, language = _with_language(visit, connection, _of_entry(visit)(connection))
        return one, language, note_print(connection, entry_id)

    one, language, before = await visit.write(count)
    document = _document(visit, one, language, is_copy=before > 0)
    return await _printed(visit, form, document, link("/card", tag=one.id_tag))


async def show_charge(visit: Visit) -> Response:
    """Show the receipt of a charge."""
    one, language = await visit.read(lambda c: _with_language(visit, c, _of_transaction(visit)(c)))
    document = charge_document(visit, one, language, is_copy=one.settlement.printed_count > 0)
    return _shown(visit, document, f"/transactions/{one.one.transaction_id}", one)


async def print_charge(visit: Visit) -> Response:
    """Print the receipt of a charge, or write it as PDF."""
    form = Form(visit.fields)

    def count(connection: Connection) -> tuple[ChargeReceipt, Language, int]:
        one, language = _with_language(visit, connection, _of_transaction(visit)(connection))
        return one, language, note_print(connection, one.settlement.entry_id, reference=one.one.transaction_id)

    one, language, before = await visit.write(count)
    back = f"/transactions/{one.one.transaction_id}"
    return await _printed(visit, form, charge_document(visit, one, language, is_copy=before > 0), back)


async def download_signed(visit: Visit) -> Response:
    """Return what the meter signed in a transaction, whole, for the customer's verification software."""
    transaction_id = visit.path_number("transaction_id")
    samples = await visit.read(lambda connection: signed_samples(connection, transaction_id))
    if not samples:
        raise HTTPException(404, "The station sent no signed meter data for this transaction.")
    name = f"signed-meter-data-{transaction_id}.json"
    body = msgspec.json.format(msgspec.json.encode({"transaction_id": transaction_id, "signed": samples}), indent=2)
    return Response(
        body, media_type="application/json", headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _of_entry(visit: Visit) -> Callable[[Connection], DeskReceipt]:
    entry_id = visit.path_number("entry_id")

    def find(connection: Connection) -> DeskReceipt:
        one = find_receipt(connection, entry_id)
        if one is None:
            raise HTTPException(404, _NO_RECEIPT)
        return one

    return find


def _of_transaction(visit: Visit) -> Callable[[Connection], ChargeReceipt]:
    transaction_id = visit.path_number("transaction_id")

    def find(connection: Connection) -> ChargeReceipt:
        one = find_charge_receipt(connection, transaction_id)
        if one is None:
            raise HTTPException(404, _NO_RECEIPT)
        return one

    return find


def _with_language(visit: Visit, connection: Connection, one: Receipt) -> tuple[Receipt, Language]:
    """Find the language of the customer whose receipt it is."""
    account_id = one.account_id if isinstance(one, DeskReceipt) else one.settlement.account_id
    return one, language_of(connection, account_id, visit.portal.settings.language)


def formats_in(visit: Visit, language: Language) -> Formats:
    """Return how numbers and dates are written in a language."""
    locale = locale_of(language, choose_locale(visit.request.headers.get("accept-language", "")))
    return Formats(locale, ZoneInfo(visit.portal.settings.time_zone), visit.portal.currency, visit.now)


def _document(visit: Visit, one: DeskReceipt, language: Language, *, is_copy: bool) -> Document:
    heading = heading_of(visit.portal.settings.receipt_heading)
    return of_desk(one, formats_in(visit, language), heading, is_copy=is_copy, language=language)


def charge_document(visit: Visit, one: ChargeReceipt, language: Language, *, is_copy: bool) -> Document:
    """Write the receipt of a charge in a language."""
    heading = heading_of(visit.portal.settings.receipt_heading)
    return of_charge(one, formats_in(visit, language), heading, is_copy=is_copy, language=language)


def _shown(visit: Visit, document: Document, back: str, one: DeskReceipt | ChargeReceipt) -> Response:
    signed_of = one.one.transaction_id if isinstance(one, ChargeReceipt) and one.signed else None
    return visit.page("receipts/receipt.html", document=document, back=back, printing=False, signed_of=signed_of)


async def _printed(visit: Visit, form: Form, document: Document, back: str) -> Response:
    act = form.typed("act")
    if act not in PAPERS:
        return visit.page("receipts/receipt.html", document=document, back=back, printing=True, signed_of=None)
    name = f"receipt-{document.code}{'-copy' if document.is_copy else ''}.pdf"
    headers = {"content-disposition": f'inline; filename="{name}"'}
    return Response(await render_aside(document, act), media_type="application/pdf", headers=headers)
