"""What a rule could not decide alone: the queue, and one item with its evidence, where a person decides.

A decision is an act of the engine, made once per form; this page only reads what was typed and shows what is known.
"""

import re
from decimal import Decimal

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.books import normalize_id_tag
from csms.charging import review_views, reviews
from csms.charging.review_views import ReviewEvidence
from csms.errors import StorageUnavailable
from csms.web.forms import Form
from csms.web.visit import PageOf, Visit

_KEY = re.compile(r"[0-9a-f]{32}")
_FORM_KEY = re.compile(r"[A-Za-z0-9_-]{16,100}")
_READINGS_SHOWN = 40
_STATES: dict[str, bool | None] = {"open": True, "resolved": False, "all": None}
_FIELD_BY_REASON: dict[str, str] = {
    "reason missing": "reason",
    "energy missing": "energy",
    "energy too much": "energy",
    "unknown card": "card",
}


class _Typed(msgspec.Struct, frozen=True):
    decision: reviews.Choice
    energy_wh: int | None
    id_tag: str | None
    reason: str


async def show(visit: Visit) -> Response:
    """List review items, newest first; those that wait, unless others are asked for."""
    state = visit.query("state") if visit.query("state") in _STATES else "open"
    is_open = _STATES[state]

    def load(connection: Connection) -> tuple[PageOf, list[review_views.ReviewView]]:
        page = visit.page_of(review_views.count_items(connection, is_open=is_open))
        items = review_views.list_items(connection, is_open=is_open, limit=page.size, offset=page.offset)
        return page, items

    page, items = await visit.read(load)
    return visit.page("operations/review.html", pages=page, items=items, state=state)


async def show_one(visit: Visit) -> Response:
    """Show an item with its evidence, and the form where it waits."""
    return await _page(visit, await _load(visit), Form({"key": visit.portal.new_token()}))


async def resolve(visit: Visit) -> Response:
    """Carry out what was decided, once per form."""
    evidence = await _load(visit)
    form = Form(visit.fields)
    form_key = form.typed("key")
    if not _FORM_KEY.fullmatch(form_key):
        raise HTTPException(422, "The form was not complete. Nothing was changed.")
    typed = await _read(visit, form, evidence)
    if not form.valid:
        return await _page(visit, evidence, form, status=422)
    asked = reviews.ResolveReview(
        evidence.item.key, typed.decision, typed.reason, visit.staff.actor, form_key, typed.energy_wh, typed.id_tag
    )
    try:
        outcome = await visit.portal.engine.submit(asked)
    except StorageUnavailable:
        return await _page(visit, evidence, form, status=503, unavailable=True)
    if isinstance(outcome, reviews.NotResolved):
        form.refuse(_FIELD_BY_REASON.get(outcome.reason, "decision"), outcome.reason)
        return await _page(visit, await _load(visit), form, status=422)
    return visit.go(f"/review/{evidence.item.key}", done="yes")


async def _read(visit: Visit, form: Form, evidence: ReviewEvidence) -> _Typed:
    decision = form.choice("decision", evidence.choices or reviews.CHOICES)
    energy_wh = None
    if decision in {"correct", "assign"} and form.typed("energy").strip():
        energy_wh = int(form.rate("energy", most=Decimal(reviews.MOST_ENERGY_WH // 1000)) * 1000)
    id_tag = None
    if decision == "assign":
        text = form.text("card", longest=60)
        card = await visit.read(lambda connection: reports.find_card(connection, text)) if text else None
        id_tag = normalize_id_tag(text) if card is None else card.id_tag
    return _Typed(decision, energy_wh, id_tag, form.text("reason", longest=300, required=decision != "accept"))


async def _load(visit: Visit) -> ReviewEvidence:
    key = visit.request.path_params["key"]
    found = None
    if _KEY.fullmatch(key):
        found = await visit.read(lambda c: review_views.evidence_for(c, key, visit.portal.currency))
    if found is None:
        raise HTTPException(404, "There is no such item.")
    return found


async def _page(
    visit: Visit, evidence: ReviewEvidence, form: Form, *, status: int = 200, unavailable: bool = False
) -> Response:
    readings = evidence.readings
    if len(readings) > _READINGS_SHOWN:
        readings = (*readings[: _READINGS_SHOWN // 2], *readings[-_READINGS_SHOWN // 2 :])
    return visit.page(
        "operations/review_item.html",
        status=status,
        evidence=evidence,
        item=evidence.item,
        one=evidence.transaction,
        readings=readings,
        left_out=len(evidence.readings) - len(readings),
        form=form,
        done=visit.query("done") == "yes",
        unavailable=unavailable,
    )
