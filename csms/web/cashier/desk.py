"""The desk page and the card page: from a card held to the reader to its balance, movements and refusals.

Reads only. Knows what a till is called, not what is in it.
"""

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import customers, receipts, reports
from csms.charging import overview
from csms.charging.overview import RefusalView, TransactionView
from csms.web.cashier.group import load_groups
from csms.web.cashier.reading import tag_from
from csms.web.forms import Form
from csms.web.visit import Visit

LONGEST_ID_TAG = 20  # OCPP 1.6, 7.27 IdToken
_BOOKINGS = 8
_MOVEMENTS = 8
_REFUSALS = 5
_RUNNING = 10


class CardPage(msgspec.Struct, frozen=True):
    """All that the card page shows of a card."""

    card: reports.CardView
    movements: tuple[reports.Movement, ...]
    refusals: tuple[RefusalView, ...]
    running: tuple[TransactionView, ...]
    receipts: dict[int, str]  # numbers of the movements' receipts, by entry
    others: tuple[reports.CardView, ...]  # further cards of the account
    customer: customers.CustomerView | None


class Booking(msgspec.Struct, frozen=True):
    """What was booked a moment ago, for the page after it."""

    event: str
    amount_minor: int
    happened_at: object
    repeated: bool


async def show_desk(visit: Visit) -> Response:
    """Show the one big field, or go to the card that was typed into it."""
    typed = visit.query("card")
    if not typed:
        return await _desk(visit, "", problem="")
    reader_format = visit.staff.reader_format
    card = await visit.read(lambda connection: reports.find_card(connection, typed, reader_format))
    if card is not None:
        return visit.go("/card", tag=card.id_tag)
    return await _desk(visit, typed, problem="unknown", id_tag=tag_from(visit, typed))


async def _desk(visit: Visit, typed: str, *, problem: str, id_tag: str = "") -> Response:
    desk_id = visit.staff.desk_id
    bookings: list[receipts.ReceiptRow] = []
    if desk_id is not None:
        bookings = await visit.read(
            lambda connection: receipts.list_receipts(connection, desk_id=desk_id, limit=_BOOKINGS)
        )
    return visit.page("cashier/desk.html", typed=typed, problem=problem, id_tag=id_tag, bookings=bookings)


async def show_card(visit: Visit) -> Response:
    """Show a card; after a booking also what was booked."""
    return await card_page(visit, visit.query("tag"), Form({"key": visit.portal.new_token()}))


async def card_page(visit: Visit, id_tag: str, form: Form, *, status: int = 200, problem: str = "") -> Response:
    """Render the card page with a top-up form, marked where something is wrong with it."""
    shown = await visit.read(lambda connection: _load(connection, id_tag))
    if shown is None:
        raise HTTPException(404, "There is no such card.")
    key = visit.query("booked")
    booking = await visit.read(lambda connection: _booking(connection, shown, key)) if key else None
    sale = await visit.read(lambda connection: receipts.find_sale(connection, key)) if key and booking is None else None
    return visit.page(
        "cashier/card.html",
        status=status,
        form=form,
        problem=problem,
        booking=booking,
        sale=sale if sale is not None and sale.id_tag == shown.card.id_tag else None,
        repeated=visit.query("again") == "yes",
        done=visit.query("done"),
        quick_minor=quick_amounts(visit),
        shown=shown,
        card=shown.card,
        account_group=await visit.read(lambda connection: load_groups(connection, shown.card.account_id)),
    )


def quick_amounts(visit: Visit) -> tuple[int, ...]:
    """Return the amounts of the quick buttons, in minor units, as far as a top-up may go."""
    scale = visit.portal.currency.scale
    most = visit.portal.limits.maximum_top_up_minor
    return tuple(units * scale for units in (10, 20, 50) if units * scale <= most)


def _load(connection: Connection, id_tag: str) -> CardPage | None:
    card = reports.find_card(connection, id_tag)
    if card is None:
        return None
    movements: list[reports.Movement] = []
    running: list[TransactionView] = []
    others: list[reports.CardView] = []
    customer = None
    if card.account_id is not None:
        movements = reports.movements(connection, card.account_id, limit=_MOVEMENTS)
        running = overview.list_transactions(connection, state="open", account_id=card.account_id, limit=_RUNNING)
        others = [one for one in reports.cards_of(connection, card.account_id) if one.id_tag != card.id_tag]
        customer = customers.find_customer(connection, card.account_id)
    numbers = receipts.numbers_of(connection, [one.entry_id for one in movements])
    refusals = overview.list_refusals(connection, id_tag=card.id_tag, limit=_REFUSALS)
    return CardPage(card, tuple(movements), tuple(refusals), tuple(running), numbers, tuple(others), customer)


def _booking(connection: Connection, shown: CardPage, key: str) -> reports.Movement | None:
    """Return the movement that a form's key booked on this card's account."""
    entry_ids = {
        entry.entry_id
        for entry in reports.list_entries(connection, account_id=shown.card.account_id, limit=_MOVEMENTS)
        if entry.idempotency_key in {f"top-up:{key}", f"issue:{key}"}
    }
    return next((one for one in shown.movements if one.entry_id in entry_ids), None)
