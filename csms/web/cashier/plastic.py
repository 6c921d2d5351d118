"""The card itself: its state and expiry with a reason, a new card for a lost one, a further card for its account.

No money moves here. What was done stands in the audit rows, which the page shows.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.audits import AuditView, list_audits
from csms.billing.books import Card, CardState, normalize_id_tag
from csms.billing.cards import JoinCard, Joined, SetExpiry
from csms.billing.prepaid import ALLOWED_CHANGES, ChangeCardState, Refused
from csms.billing.stock_file import end_of_day
from csms.errors import StorageUnavailable
from csms.web.cashier.reading import LONGEST_TYPED, with_tag
from csms.web.cashier.sell import read_printed_number, read_sold_tag, suggest_number
from csms.web.forms import Form
from csms.web.visit import Visit

_STATES: tuple[CardState, ...] = ("active", "blocked", "lost", "retired")
_AUDITS = 20
_LONGEST_REASON = 200
_LONGEST_ID_TAG = 20
_FIELD_BY_REASON: dict[str, str] = {
    "printed number exists": "number",
    "printed number missing": "number",
}


class Plastic(msgspec.Struct, frozen=True):
    """What the page shows of a card."""

    card: reports.CardView
    others: tuple[reports.CardView, ...]
    audits: tuple[AuditView, ...]


async def show(visit: Visit) -> Response:
    """Show what can be done with a card, and what was done."""
    return await _page(visit, visit.query("tag"), Form())


async def _page(visit: Visit, id_tag: str, form: Form, *, status: int = 200) -> Response:
    shown = await visit.read(lambda connection: _load(connection, id_tag))
    expires_at = shown.card.expires_at
    last_day = "" if expires_at is None else _last_day(visit, expires_at)
    return visit.page(
        "cashier/plastic.html",
        status=status,
        form=form,
        shown=shown,
        card=shown.card,
        allowed=ALLOWED_CHANGES[shown.card.state],
        last_day=last_day,
        done=visit.query("done"),
    )


def _load(connection: Connection, id_tag: str) -> Plastic:
    card = reports.find_card(connection, id_tag)
    if card is None:
        raise HTTPException(404, "There is no such card.")
    others = [] if card.account_id is None else reports.cards_of(connection, card.account_id)
    subjects = [f"card {card.id_tag}", *([] if card.account_id is None else [f"account {card.account_id}"])]
    audits = list_audits(connection, subjects, limit=_AUDITS)
    return Plastic(card, tuple(one for one in others if one.id_tag != card.id_tag), tuple(audits))


def _last_day(visit: Visit, expires_at: datetime) -> str:
    zone = ZoneInfo(visit.portal.settings.time_zone)
    return datetime.fromtimestamp(expires_at.timestamp() - 1, zone).date().isoformat()


async def change_state(visit: Visit) -> Response:
    """Block a card, unblock it, mark it lost or retire it."""
    form = Form(visit.fields)
    state = form.choice("state", _STATES)
    id_tag = normalize_id_tag(form.text("tag", longest=_LONGEST_ID_TAG))
    if not form.valid:
        raise HTTPException(422, "The form could not be read. Nothing was changed.")
    reason = form.text("reason", longest=_LONGEST_REASON)
    if not form.valid:
        return await _page(visit, id_tag, form, status=422)
    outcome = await visit.portal.engine.submit(ChangeCardState(id_tag, state, visit.staff.actor, reason))
    if isinstance(outcome, Card):
        return visit.go("/card/manage", tag=id_tag, done=state)
    if outcome.reason != "change not allowed":
        raise HTTPException(404, "There is no such card, or it was never sold.")
    form.refuse("reason", outcome.reason)
    return await _page(visit, id_tag, form, status=422)


async def set_expiry(visit: Visit) -> Response:
    """Set the last day on which a card is valid, or clear it."""
    form = Form(visit.fields)
    id_tag = normalize_id_tag(form.text("tag", longest=_LONGEST_ID_TAG))
    if not form.valid:
        raise HTTPException(422, "The form could not be read. Nothing was changed.")
    typed = form.text("last_day", longest=10, required=False)
    expires_at: datetime | None = None
    if typed:
        try:
            expires_at = end_of_day(date.fromisoformat(typed), ZoneInfo(visit.portal.settings.time_zone))
        except (ValueError, OverflowError):
            form.refuse("last_day", "A day, such as 2029-12-31.")
    if not form.valid:
        return await _page(visit, id_tag, form, status=422)
    outcome = await visit.portal.engine.submit(SetExpiry(id_tag, expires_at, visit.staff.actor))
    if isinstance(outcome, Card):
        return visit.go("/card/manage", tag=id_tag, done="expiry")
    if outcome.reason == "unknown card":
        raise HTTPException(404, "There is no such card.")
    form.refuse("last_day", outcome.reason)
    return await _page(visit, id_tag, form, status=422)


async def show_replace(visit: Visit) -> Response:
    """Show the form that takes a new card for a lost one."""
    return await _show_join(visit, replaces=True)


async def show_add(visit: Visit) -> Response:
    """Show the form that takes a further card for an account."""
    return await _show_join(visit, replaces=False)


async def replace(visit: Visit) -> Response:
    """Let a new card take the place of a lost one; the account keeps its credit."""
    return await _join(visit, replaces=True)


async def add(visit: Visit) -> Response:
    """Let a further card draw on an account."""
    return await _join(visit, replaces=False)


async def _show_join(visit: Visit, *, replaces: bool) -> Response:
    number = await visit.read(lambda connection: suggest_number(connection, visit.now.year))
    return await _join_page(visit, visit.query("tag"), Form({"number": number}), replaces=replaces)


async def _join_page(
    visit: Visit, id_tag: str, form: Form, *, replaces: bool, status: int = 200, unavailable: bool = False
) -> Response:
    card = await visit.read(lambda connection: reports.find_card(connection, id_tag))
    if card is None or card.account_id is None:
        raise HTTPException(404, "There is no such card, or it was never sold.")
    return visit.page(
        "cashier/join.html", status=status, form=form, card=card, replaces=replaces, unavailable=unavailable
    )


async def _join(visit: Visit, *, replaces: bool) -> Response:
    typed = visit.fields.get("new_tag", "")[:LONGEST_TYPED]
    found = await visit.read(lambda connection: reports.find_card(connection, typed, visit.staff.reader_format))
    form = with_tag(visit, "new_tag")
    if found is not None and found.state == "in stock":  # also by the number that is printed on it
        form = form.with_value("new_tag", found.id_tag)
    id_tag = normalize_id_tag(form.text("tag", longest=_LONGEST_ID_TAG))
    new_tag = read_sold_tag(form, "new_tag")
    number = read_printed_number(form, required=False)
    reason = form.text("reason", longest=_LONGEST_REASON, required=replaces)
    if not form.valid:
        return await _join_page(visit, id_tag, form, replaces=replaces, status=422)
    asked = JoinCard(id_tag, new_tag, number, replaces, visit.staff.actor, reason)
    try:
        outcome: Joined | Refused = await visit.portal.engine.submit(asked)
    except StorageUnavailable:
        return await _join_page(visit, id_tag, form, replaces=replaces, status=503, unavailable=True)
    if isinstance(outcome, Joined):
        return visit.go("/card", tag=new_tag, done="replaced" if replaces else "joined")
    form.refuse(_FIELD_BY_REASON.get(outcome.reason, "new_tag"), _why(outcome))
    return await _join_page(visit, id_tag, form, replaces=replaces, status=422)


def _why(outcome: Refused) -> str:
    """Word a refusal for this page, where `texts` words it for the till."""
    if outcome.reason == "card not active":
        return "The old card is blocked or retired, so no other card can join its account."
    return outcome.reason
