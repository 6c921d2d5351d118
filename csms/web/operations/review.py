"""What a rule could not decide alone: the queue, and one item with its evidence, where a person decides.

A decision is an act of the engine, made once per form; this page only reads what was typed and shows what is known.
"""

import re
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.books import normalize_id_tag
from csms.billing.wall_clock import read_moment, write_moment
from csms.charging import lookups, review_views, reviews
from csms.charging.review_views import ReviewEvidence
from csms.errors import StorageUnavailable
from csms.message_log.reading import LoggedMessage, MessageReader, Search
from csms.web.forms import Form
from csms.web.operations.transactions import FORM_KEY
from csms.web.visit import PageOf, Visit

_KEY = re.compile(r"[0-9a-f]{32}")
_READINGS_SHOWN = 40
_RAW_ACTIONS = ("StartTransaction", "StopTransaction")
_RAW_OF_EACH = 12
_RAW_LOOKED_THROUGH = 20_000  # messages of the station; more is found on the page of the log
_NOBODY = -1  # no charge point has this number
_STATES: dict[str, bool | None] = {"open": True, "resolved": False, "all": None}
_TAKES: dict[reviews.Choice, frozenset[str]] = {
    "correct": frozenset({"energy", "ended"}),
    "assign": frozenset({"energy", "ended", "card"}),
    "match": frozenset({"transaction"}),
}
_FIELDS = frozenset({"energy", "ended", "card", "transaction"})
_FIELD_BY_REASON: dict[str, str] = {
    "reason missing": "reason",
    "energy missing": "energy",
    "energy too much": "energy",
    "end not possible": "ended",
    "unknown card": "card",
    "unknown transaction": "transaction",
}


class _Typed(msgspec.Struct, frozen=True):
    decision: reviews.Choice
    energy_wh: int | None
    id_tag: str | None
    reason: str
    ended_at: datetime | None
    transaction_id: int | None


async def show(visit: Visit) -> Response:
    """List review items, newest first; those that wait, unless others are asked for."""
    filters = {name: visit.query(name) for name in ("state", "station", "kind")}
    if filters["state"] not in _STATES:
        filters["state"] = "open"
    is_open = _STATES[filters["state"]]

    def load(connection: Connection) -> tuple[PageOf, list[review_views.ReviewView], list[str]]:
        station = None
        if filters["station"]:
            station = lookups.number_of(connection, filters["station"]) or _NOBODY
        kind = filters["kind"] or None
        total = review_views.count_items(connection, is_open=is_open, charge_point_id=station, kind=kind)
        page = visit.page_of(total)
        items = review_views.list_items(
            connection, is_open=is_open, charge_point_id=station, kind=kind, limit=page.size, offset=page.offset
        )
        return page, items, review_views.list_kinds(connection)

    page, items, kinds = await visit.read(load)
    return visit.page("operations/review.html", pages=page, items=items, filters=filters, kinds=kinds)


async def show_one(visit: Visit) -> Response:
    """Show an item with its evidence, and the form where it waits."""
    return await _page(visit, await _load(visit), Form({"key": visit.portal.new_token()}))


async def resolve(visit: Visit) -> Response:
    """Carry out what was decided, once per form."""
    evidence = await _load(visit)
    form = Form(visit.fields)
    form_key = form.typed("key")
    if not FORM_KEY.fullmatch(form_key):
        raise HTTPException(422, "The form was not complete. Nothing was changed.")
    typed = await _read(visit, form, evidence)
    if not form.valid:
        return await _page(visit, evidence, form, status=422)
    asked = reviews.ResolveReview(
        evidence.item.key,
        typed.decision,
        typed.reason,
        visit.staff.actor,
        form_key,
        typed.energy_wh,
        typed.id_tag,
        typed.ended_at,
        typed.transaction_id,
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
    """Read what the decision takes. What was typed into other fields was meant for another decision."""
    decision = form.choice("decision", evidence.choices or reviews.CHOICES)
    for name in _FIELDS - _TAKES.get(decision, frozenset()):
        if form.typed(name).strip():
            form.refuse(name, "This decision does not take it. Choose another one, or leave this empty.")
    energy_wh = ended_at = id_tag = transaction_id = None
    if decision in {"correct", "assign"}:
        if form.typed("energy").strip():
            energy_wh = int(form.rate("energy", most=Decimal(reviews.MOST_ENERGY_WH // 1000)) * 1000)
        ended_at = _moment(visit, form)
    if decision == "assign":
        text = form.text("card", longest=60)
        card = await visit.read(lambda connection: reports.find_card(connection, text)) if text else None
        id_tag = normalize_id_tag(text) if card is None else card.id_tag
    if decision == "match":
        transaction_id = form.number("transaction")
    reason = form.text("reason", longest=300, required=decision != "accept")
    return _Typed(decision, energy_wh, id_tag, reason, ended_at, transaction_id)


def _moment(visit: Visit, form: Form) -> datetime | None:
    text = form.typed("ended").strip()
    if not text:
        return None
    try:
        return read_moment(text, ZoneInfo(visit.portal.settings.time_zone))
    except ValueError as error:
        form.refuse("ended", f"{error}.")
        return None


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
        raw=await _raw(visit, evidence),
        written=lambda at: write_moment(at, ZoneInfo(visit.portal.settings.time_zone)),
        form=form,
        done=visit.query("done") == "yes",
        unavailable=unavailable,
    )


async def _raw(visit: Visit, evidence: ReviewEvidence) -> list[LoggedMessage] | None:
    """Return the starts and stops that the station told meanwhile, oldest first; None where the log cannot be read."""
    try:
        return await run_in_threadpool(_starts_and_stops, visit.portal.messages, evidence)
    except StorageUnavailable:
        return None


def _starts_and_stops(reader: MessageReader, evidence: ReviewEvidence) -> list[LoggedMessage]:
    found: list[LoggedMessage] = []
    for action in _RAW_ACTIONS:
        search = Search(
            charge_point_id=evidence.item.charge_point_id,
            action=action,
            since=evidence.said_since,
            until=evidence.said_until,
        )
        found += reader.page(search, limit=_RAW_OF_EACH, looked_through=_RAW_LOOKED_THROUGH).messages
    return sorted(found, key=lambda one: one.number)
