"""The receipt of a charge for its driver: at an address from a QR code, without a login and without a cookie.

Shows what the printed receipt shows, which names nobody, in the customer's language. Whoever tries addresses is slowed
down, and learns nothing.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select
from starlette.responses import Response

from csms.charging import models
from csms.charging.charge_receipts import ChargeReceipt, find_charge_receipt
from csms.charging.closing import WAITING
from csms.charging.display_texts import LANGUAGES, Language
from csms.charging.receipt_links import is_genuine, transaction_of
from csms.db import as_fact
from csms.web.receipts.document import Document, Fact, heading_of
from csms.web.receipts.pages import charge_document, formats_in
from csms.web.receipts.pdf import render_aside
from csms.web.receipts.words import NAMES, Words, known, language_of, preferred
from csms.web.visit import Visit

_tx = models.charging_transaction.c
_HIDDEN = {"X-Robots-Tag": "noindex, nofollow, noarchive"}
_BUSY, _UNKNOWN = 429, 404


class _Begun(msgspec.Struct, frozen=True):
    """What is known of a transaction before it is charged, or when nothing was."""

    transaction_id: int
    natural_key: str
    account_id: int | None
    state: str
    uncharged_reason: str | None
    charge_point: str
    connector_id: int
    started_at: datetime
    ended_at: datetime | None
    energy_wh: int


async def show(visit: Visit) -> Response:
    """Show the receipt, or say why there is none yet."""
    found = await _find(visit)
    if isinstance(found, int):
        return _unknown(visit, found)
    begun, receipt, language = found
    say = Words(language)
    document = _uncharged(visit, begun, language) if receipt is None else _document(visit, receipt, language)
    response = visit.page(
        "receipts/public.html",
        document=document,
        say=say,
        note=None if receipt is not None else say(_why(begun)),
        has_pdf=receipt is not None,
        language=language,
        languages=[(each, NAMES[each]) for each in LANGUAGES],
    )
    response.headers.update(_HIDDEN)
    return response


async def download(visit: Visit) -> Response:
    """Return the receipt as PDF."""
    found = await _find(visit)
    if isinstance(found, int):
        return _unknown(visit, found)
    _, receipt, language = found
    if receipt is None:
        return _sorry(visit, language, _UNKNOWN)
    document = _document(visit, receipt, language)
    name = f"receipt-{document.code}.pdf"
    headers = _HIDDEN | {"content-disposition": f'inline; filename="{name}"'}
    return Response(await render_aside(document, "A4"), media_type="application/pdf", headers=headers)


def _unknown(visit: Visit, status: int) -> Response:
    """Say that there is no such receipt, or that it was asked for too often, in a language of the browser."""
    settings = visit.portal.settings
    accepted = visit.request.headers.get("accept-language", "")
    return _sorry(visit, known(visit.query("lang")) or preferred(accepted, settings.language), status)


async def _find(visit: Visit) -> tuple[_Begun, ChargeReceipt | None, Language] | int:
    """Find what a token is about; the status of the answer where there is nothing, or where it is asked too often."""
    portal, token = visit.portal, str(visit.request.path_params["token"])
    keys = (f"receipt {visit.address}",)
    if portal.receipt_views.exceeded(keys, visit.now):
        return _BUSY
    portal.receipt_views.failed(keys, visit.now)  # each look counts: a driver looks a few times, a guesser for ever
    number = transaction_of(token)
    if number is None:
        return _UNKNOWN

    def load(connection: Connection) -> tuple[_Begun, ChargeReceipt | None, Language] | None:
        begun = _begun(connection, number)
        if begun is None or not is_genuine(token, number, begun.natural_key, portal.receipt_key):
            return None
        language = known(visit.query("lang")) or language_of(connection, begun.account_id, portal.settings.language)
        return begun, find_charge_receipt(connection, number), language

    return await visit.read(load) or _UNKNOWN


def _begun(connection: Connection, number: int) -> _Begun | None:
    statement = (
        select(
            _tx.id,
            _tx.natural_key,
            _tx.account_id,
            _tx.state,
            _tx.uncharged_reason,
            models.charge_point.c.identity,
            _tx.connector_id,
            _tx.started_at,
            _tx.ended_at,
            _tx.energy_wh,
        )
        .join_from(models.charging_transaction, models.charge_point)
        .where(_tx.id == number)
    )
    row = connection.execute(statement).first()
    return None if row is None else as_fact(_Begun, row)


def _why(begun: _Begun) -> str:
    if begun.state == "open":
        return "The car is still charging. The receipt is here when it has ended."
    if begun.state == "orphaned" or begun.uncharged_reason in WAITING:
        return "This charge is being checked. The receipt is here when that is done; nothing has been taken yet."
    return "Nothing was charged."


def _document(visit: Visit, one: ChargeReceipt, language: Language) -> Document:
    return charge_document(visit, one, language, is_copy=False)


def _uncharged(visit: Visit, begun: _Begun, language: Language) -> Document:
    """Write what is known of a transaction that has no receipt."""
    f, say = formats_in(visit, language), Words(language)
    facts = (
        Fact(say("Transaction"), str(begun.transaction_id)),
        Fact(say("Station"), say("{}, connector {}", begun.charge_point, begun.connector_id)),
        Fact(say("Started"), f.exactly(begun.started_at)),
        Fact(say("Ended"), f.exactly(begun.ended_at)),
        Fact(say("Energy"), f.energy(begun.energy_wh, 3), strong=True),
    )
    heading = heading_of(visit.portal.settings.receipt_heading)
    notes = (say("Times: {}", f.zone_name),)
    return Document(say("Your charge"), "", heading, False, facts, (), (), (), notes, language)


def _sorry(visit: Visit, language: Language, status: int) -> Response:
    say = Words(language)
    text = "There is no such receipt. Please look at the link again: it is on the display after charging."
    if status == _BUSY:
        text = "Please try again in a minute."
    response = visit.page("receipts/no_receipt.html", status=status, say=say, text=say(text), language=language)
    response.headers.update(_HIDDEN)
    if status == _BUSY:
        response.headers["Retry-After"] = "60"
    return response
