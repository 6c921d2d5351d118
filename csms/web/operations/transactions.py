"""Transactions: the list with its filters, and one transaction with all its evidence.

From a cost to its lines, to the journal entry, to the readings behind it. Reads only.
"""

import re

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import reports
from csms.billing.tariffs import Tariff, decode_tariff
from csms.charging import closing, doubts, overview, review_views
from csms.errors import StorageUnavailable
from csms.web.forms import Form
from csms.web.operations.charts import Chart, draw
from csms.web.visit import PageOf, Visit

_STATES = ("open", "orphaned", "ended")
_READINGS = 2000
_READINGS_SHOWN = 40
_ENTRIES = 10
FORM_KEY = re.compile(r"[A-Za-z0-9_-]{16,100}")


class Evidence(msgspec.Struct, frozen=True):
    """All that is known of a transaction."""

    one: overview.TransactionView
    tariff: Tariff | None
    lines: tuple[reports.ChargeLineView, ...]
    entries: tuple[reports.EntryView, ...]
    readings: tuple[overview.ReadingView, ...]
    readings_left_out: int
    chart: Chart | None
    review_items: tuple[review_views.ReviewView, ...]

    @property
    def can_be_doubted(self) -> bool:
        """Whether it has ended and waits for nobody."""
        waits = self.one.uncharged_reason in closing.WAITING or any(not item.resolved_at for item in self.review_items)
        return self.one.state == "ended" and not waits


async def show_list(visit: Visit) -> Response:
    """List transactions, newest first, narrowed by state, station or card."""
    state = visit.query("state") if visit.query("state") in _STATES else None
    typed_station, typed_card = visit.query("station"), visit.query("card")

    def load(connection: Connection) -> tuple[PageOf, list[overview.TransactionView]]:
        station = overview.find_station(connection, typed_station) if typed_station else None
        card = reports.find_card(connection, typed_card) if typed_card else None
        charge_point_id = (station.charge_point_id if station else -1) if typed_station else None
        id_tag = (card.id_tag if card else typed_card) if typed_card else None
        page = visit.page_of(
            overview.count_transactions(connection, state=state, charge_point_id=charge_point_id, id_tag=id_tag)
        )
        rows = overview.list_transactions(
            connection,
            state=state,
            charge_point_id=charge_point_id,
            id_tag=id_tag,
            limit=page.size,
            offset=page.offset,
        )
        return page, rows

    page, transactions = await visit.read(load)
    filters = {"state": state or "", "station": typed_station, "card": typed_card}
    return visit.page("operations/transactions.html", pages=page, transactions=transactions, filters=filters)


async def show_one(visit: Visit) -> Response:
    """Show one transaction with its evidence."""
    return await _page(visit, "operations/transaction.html")


async def live(visit: Visit) -> Response:
    """Return a transaction's evidence, for as long as it runs."""
    return await _page(visit, "operations/_transaction_live.html")


async def doubt(visit: Visit) -> Response:
    """Put the charge of a transaction into the review queue, once for each form."""
    form = Form(visit.fields)
    form_key = form.typed("key")
    if not FORM_KEY.fullmatch(form_key):
        raise HTTPException(422, "The form was not complete. Nothing was changed.")
    reason = form.text("reason", longest=doubts.LONGEST_REASON)
    if not form.valid:
        return await _page(visit, "operations/transaction.html", form)
    asked = doubts.DoubtCharge(visit.path_number("transaction_id"), reason, visit.staff.actor, form_key)
    try:
        outcome = await visit.portal.engine.submit(asked)
    except StorageUnavailable:
        form.refuse("reason", "The server could not store it at the moment. Please try again.")
        return await _page(visit, "operations/transaction.html", form)
    if isinstance(outcome, doubts.NotDoubted):
        form.refuse("reason", outcome.reason)
        return await _page(visit, "operations/transaction.html", form)
    return visit.go(f"/review/{outcome.key}")


async def _page(visit: Visit, template: str, form: Form | None = None) -> Response:
    transaction_id = visit.path_number("transaction_id")
    evidence = await visit.read(lambda connection: _load(connection, transaction_id))
    if evidence is None:
        raise HTTPException(404, "There is no such transaction.")
    form = form or Form({"key": visit.portal.new_token()})
    return visit.page(template, status=200 if form.valid else 422, evidence=evidence, one=evidence.one, form=form)


def _load(connection: Connection, transaction_id: int) -> Evidence | None:
    one = overview.find_transaction(connection, transaction_id)
    if one is None:
        return None
    readings = overview.list_readings(connection, transaction_id, limit=_READINGS)
    shown = readings
    if len(readings) > _READINGS_SHOWN:
        half = _READINGS_SHOWN // 2
        shown = [*readings[:half], *readings[-half:]]
    return Evidence(
        one,
        decode_tariff(one.tariff_json) if one.tariff_json else None,
        tuple(reports.charge_lines(connection, transaction_id)),
        tuple(reports.list_entries(connection, reference=transaction_id, limit=_ENTRIES)),
        tuple(shown),
        len(readings) - len(shown),
        draw(readings, one.meter_start_wh, one.started_at),
        tuple(review_views.list_items(connection, transaction_id=transaction_id, limit=_ENTRIES)),
    )
