"""The desk page and the card page: from a card held to the reader to its balance, movements and refusals.

Reads only, apart from a card's state. Knows what a till is called, not what is in it.
"""

from typing import Literal

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.books import Card, normalize_id_tag
from csms.billing.prepaid import ChangeCardState
from csms.charging import overview
from csms.charging.overview import RefusalView, TransactionView
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
    card = await visit.read(lambda connection: reports.find_card(connection, typed))
    if card is not None:
        return visit.go("/card", tag=card.id_tag)
    id_tag = normalize_id_tag(typed)
    sellable = 0 < len(id_tag) <= LONGEST_ID_TAG and id_tag.isascii()
    return await _desk(visit, typed, problem="unknown", id_tag=id_tag if sellable else "")


async def _desk(visit: Visit, typed: str, *, problem: str, id_tag: str = "") -> Response:
    account_id = visit.staff.cash_account_id
    bookings: list[reports.EntryView] = []
    if account_id is not None:
        bookings = await visit.read(
            lambda connection: reports.list_entries(connection, account_id=account_id, limit=_BOOKINGS)
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
    return visit.page(
        "cashier/card.html",
        status=status,
        form=form,
        problem=problem,
        booking=booking,
        repeated=visit.query("again") == "yes",
        done=visit.query("done"),
        quick_minor=quick_amounts(visit),
        shown=shown,
        card=shown.card,
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
    if card.account_id is not None:
        movements = reports.movements(connection, card.account_id, limit=_MOVEMENTS)
        running = overview.list_transactions(connection, state="open", account_id=card.account_id, limit=_RUNNING)
    refusals = overview.list_refusals(connection, id_tag=card.id_tag, limit=_REFUSALS)
    return CardPage(card, tuple(movements), tuple(refusals), tuple(running))


def _booking(connection: Connection, shown: CardPage, key: str) -> reports.Movement | None:
    """Return the movement that a form's key booked on this card's account."""
    entry_ids = {
        entry.entry_id
        for entry in reports.list_entries(connection, account_id=shown.card.account_id, limit=_MOVEMENTS)
        if entry.idempotency_key in {f"top-up:{key}", f"issue:{key}"}
    }
    return next((one for one in shown.movements if one.entry_id in entry_ids), None)


_STATES: tuple[Literal["active", "blocked", "lost"], ...] = ("active", "blocked", "lost")


async def change_state(visit: Visit) -> Response:
    """Block a card, mark it lost, or let it charge again."""
    form = Form(visit.fields)
    state = form.choice("state", _STATES)
    id_tag = normalize_id_tag(form.text("tag", longest=LONGEST_ID_TAG))
    if not form.valid:
        raise HTTPException(422, "The form could not be read. Nothing was changed.")
    outcome = await visit.portal.engine.submit(ChangeCardState(id_tag, state, visit.staff.actor))
    if not isinstance(outcome, Card):
        raise HTTPException(404, "There is no such card, or it was never sold.")
    return visit.go("/card", tag=id_tag, done=state)
