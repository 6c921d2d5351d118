"""Selling a card: its id tag from the reader, the number printed on it, and a first credit.

A staff member without a desk has no till, so they sell nothing. Booked once per form, as a top-up is.
"""

from sqlalchemy import Connection, select
from starlette.responses import Response

from csms.billing import prepaid
from csms.billing.books import normalize_id_tag
from csms.billing.cards import PRINTED_NUMBER, SOLD_ID_TAG
from csms.billing.models import card as card_table
from csms.billing.reports import find_card
from csms.errors import StorageUnavailable
from csms.web.cashier.desk import LONGEST_ID_TAG, quick_amounts
from csms.web.cashier.reading import with_tag
from csms.web.cashier.top_up import NO_DESK, read_key
from csms.web.forms import Form
from csms.web.visit import Visit

_LABEL = 100
_FIELD_BY_REASON: dict[str, str] = {
    "card exists": "tag",
    "printed number exists": "number",
    "amount above the limit": "amount",
    "balance above the limit": "amount",
    "amount not positive": "amount",
}


async def show(visit: Visit) -> Response:
    """Show the form for a card that is not known yet, with a number suggested."""
    tag = normalize_id_tag(visit.query("tag"))
    number = await visit.read(lambda connection: suggest_number(connection, visit.now.year))
    form = Form({"tag": tag, "known": tag, "number": number, "key": visit.portal.new_token()})
    return await _page(visit, form)


async def sell(visit: Visit) -> Response:
    """Issue the card, active at once, and go to its page."""
    form = with_tag(visit, "tag")
    key = read_key(form)
    asked = _read(visit, form, key)
    if asked is None:
        return await _page(visit, form, status=422)
    try:
        outcome = await visit.portal.engine.submit(asked)
    except StorageUnavailable:
        return await _page(visit, form, status=503, unavailable=True)
    if isinstance(outcome, prepaid.Refused):
        form.refuse(_FIELD_BY_REASON.get(outcome.reason, "tag"), outcome.reason)
        return await _page(visit, form, status=422)
    again = "yes" if outcome.repeated else ""
    return visit.go("/card", tag=asked.id_tag, booked=key, done="sold", again=again)


def _read(visit: Visit, form: Form, key: str) -> prepaid.IssueCard | None:
    id_tag = read_sold_tag(form, "tag")
    number = read_printed_number(form)
    label = form.text("label", longest=_LABEL, required=False)
    most_minor = visit.portal.limits.maximum_top_up_minor
    credit_minor = form.amount_minor("amount", visit.portal.currency, most_minor=most_minor, least_minor=0)
    if visit.staff.cash_account_id is None:
        form.refuse("amount", NO_DESK)
    if not form.valid or visit.staff.cash_account_id is None:
        return None
    source = visit.staff.cash_account_id
    return prepaid.IssueCard(
        id_tag, number, credit_minor, source, key, visit.staff.actor, visit.portal.limits, label=label
    )


def read_sold_tag(form: Form, field: str) -> str:
    """Return the id tag of a card that is sold or joins an account."""
    id_tag = normalize_id_tag(form.text(field, longest=2 * LONGEST_ID_TAG))
    if form.valid and not SOLD_ID_TAG.fullmatch(id_tag):
        form.refuse(field, f"At most {LONGEST_ID_TAG} letters and digits, as the card reader types them.")
    return id_tag


def read_printed_number(form: Form, *, required: bool = True) -> str:
    """Return what is printed on that card; from stock it is known."""
    number = " ".join(form.text("number", longest=30, required=required).split())
    if number and not PRINTED_NUMBER.fullmatch(number):
        form.refuse("number", "Letters, digits and blanks, as printed on the card.")
    return number


async def _page(visit: Visit, form: Form, *, status: int = 200, unavailable: bool = False) -> Response:
    tag = form.typed("tag")
    card = await visit.read(lambda connection: find_card(connection, tag)) if tag else None
    return visit.page(
        "cashier/sell.html",
        status=status,
        form=form,
        quick_minor=quick_amounts(visit),
        unavailable=unavailable,
        in_stock=card if card is not None and card.state == "in stock" and card.id_tag == tag else None,
    )


def suggest_number(connection: Connection, year: int) -> str:
    """Return the number after the highest one of this year's form "2026 0042"; only a suggestion."""
    numbers = connection.execute(
        select(card_table.c.printed_number)
        .where(card_table.c.printed_number.like(f"{year} %"))
        .order_by(card_table.c.printed_number.desc())
        .limit(1),
    ).scalars()
    highest = 0
    for number in numbers:
        rest = number.removeprefix(f"{year} ")
        highest = int(rest) if rest.isascii() and rest.isdigit() else 0
    return f"{year} {highest + 1:05}"
