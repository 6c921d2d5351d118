"""Topping up: the amount, one look at what it will be, and the booking, which happens once per form.

The key is made with the card page's form and travels through the confirmation, so that a double click, a reload or the
way back book once. Knows no ledger account but the cashier's own desk.
"""

import re

from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import prepaid, reports
from csms.billing.account_groups import group_of
from csms.billing.books import normalize_id_tag
from csms.errors import StorageUnavailable
from csms.web.cashier.desk import LONGEST_ID_TAG, card_page
from csms.web.cashier.reading import tag_from
from csms.web.forms import Form
from csms.web.visit import Visit

_KEY = re.compile(r"[A-Za-z0-9_-]{16,100}")

NO_DESK = "You have no desk, so there is no till to put the money in. An administrator can give you one."


def read_key(form: Form) -> str:
    """Return the form's idempotency key; a form without a proper one cannot be booked safely."""
    key = form.typed("key")
    if not _KEY.fullmatch(key):
        raise HTTPException(422, "The form was not complete. Nothing was booked. Please begin again with the card.")
    return key


async def confirm(visit: Visit) -> Response:
    """Show what a top-up will do, with one button to book it. Changes nothing."""
    names = ("tag", "amount", "key")
    form = Form({name: visit.query(name) for name in names})
    quick = visit.query("quick")
    if quick:
        form = Form({"tag": form.typed("tag"), "key": form.typed("key"), "amount": quick})
    read_key(form)
    other = await _another_card(visit, form)
    if other is not None:
        return visit.go("/card", tag=other)
    amount_minor, card = await _check(visit, form)
    if card.expires_at is not None and card.expires_at <= visit.now:
        return await card_page(visit, card.id_tag, form, status=422, problem="card past its expiry")
    if not form.valid:
        return await card_page(visit, card.id_tag, form, status=422)
    return visit.page("cashier/top_up.html", form=form, card=card, amount_minor=amount_minor, unavailable=False)


async def book(visit: Visit) -> Response:
    """Book a top-up and go to the card with its new balance."""
    form = Form(visit.fields)
    key = read_key(form)
    amount_minor, card = await _check(visit, form)
    if not form.valid or visit.staff.cash_account_id is None:
        return await card_page(visit, card.id_tag, form, status=422)
    asked = prepaid.TopUp(
        card.id_tag, amount_minor, visit.staff.cash_account_id, key, visit.staff.actor, visit.portal.limits
    )
    try:
        outcome = await visit.portal.engine.submit(asked)
    except StorageUnavailable:
        return visit.page(
            "cashier/top_up.html", status=503, form=form, card=card, amount_minor=amount_minor, unavailable=True
        )
    match outcome:
        case prepaid.Booked(repeated=repeated):
            return visit.go("/card", tag=card.id_tag, booked=key, again="yes" if repeated else "")
        case prepaid.Refused(reason=reason):
            field = "amount" if reason.startswith(("amount", "balance")) else "card"
            form.refuse(field, reason)
            return await card_page(visit, card.id_tag, form, status=422, problem="" if field == "amount" else reason)
    raise AssertionError("a top-up is booked or refused")


async def _check(visit: Visit, form: Form) -> tuple[int, reports.CardView]:
    """Read the amount against the limits and the card against what is stored; what is wrong is marked in the form."""
    tag = form.typed("tag")
    card = await visit.read(lambda connection: reports.find_card(connection, tag))
    if card is None:
        raise HTTPException(404, "There is no such card. Nothing was booked.")
    most_minor = await _most_minor(visit, card)
    amount_minor = form.amount_minor("amount", visit.portal.currency, most_minor=most_minor)
    if visit.staff.cash_account_id is None:
        form.refuse("amount", NO_DESK)
    return amount_minor, card


async def _most_minor(visit: Visit, card: reports.CardView) -> int:
    """Return the most that one top-up of this card may be: what its account's group says, else the settings."""
    most_minor = visit.portal.limits.maximum_top_up_minor
    account_id = card.account_id
    if account_id is None:
        return most_minor
    group = await visit.read(lambda connection: group_of(connection, account_id))
    own_minor = None if group is None else group.limits.maximum_top_up_minor
    return most_minor if own_minor is None else own_minor


async def _another_card(visit: Visit, form: Form) -> str | None:
    """Return the id tag where the reader typed the next card into the amount field."""
    typed = form.typed("amount")
    if len(normalize_id_tag(typed)) < _SHORTEST_READ or len(typed) > LONGEST_ID_TAG + _SEPARATORS:
        return None
    tag = tag_from(visit, typed)
    card = await visit.read(lambda connection: reports.find_card(connection, tag)) if tag else None
    return None if card is None or tag != card.id_tag else card.id_tag


_SHORTEST_READ = 6  # fewer characters are an amount
_SEPARATORS = 20
