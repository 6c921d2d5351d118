"""What people read of the review queue: its items, and the evidence for one of them. Reads only.

Evidence is what was told (the message itself), what is known of the transaction, its readings, what the same connector
did before and after, and what the estimate would cost.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true

from csms.billing import ledger
from csms.billing.books import Billed
from csms.billing.money import Currency
from csms.charging import closing, lookups, models, overview
from csms.charging.defects import DEFECT
from csms.charging.lookups import Span
from csms.charging.overview import ReadingView, TransactionView
from csms.charging.points import points_of
from csms.charging.pricing import charge_of
from csms.charging.reviews import Choice, choices_for
from csms.charging.transactions import StopTransaction
from csms.db import as_fact

_NEIGHBOURS = 2
_READINGS = 2000
_LOOSE = 20
_CANDIDATES = 20
_AROUND = timedelta(hours=1)
_BESIDE = timedelta(minutes=1)  # before and after what is looked at, in the message log

_item, _cp, _tx, _reading = models.review_item.c, models.charge_point.c, models.charging_transaction.c, models.reading.c


class ReviewView(msgspec.Struct, frozen=True):
    """Something a person has to look at, and what was decided."""

    key: str
    kind: str
    charge_point: str
    charge_point_id: int
    connector_id: int | None
    transaction_id: int | None
    explanation: str
    evidence_json: str
    recorded_at: datetime
    resolved_at: datetime | None
    decision: str | None
    reason: str | None
    resolved_by: str | None


class ReviewEvidence(msgspec.Struct, frozen=True):
    """All that helps to decide about an item; `estimate_minor` is what its energy so far would cost."""

    item: ReviewView
    transaction: TransactionView | None
    stop: StopTransaction | None  # that is the evidence, and fitted no transaction or contradicts another one
    candidates: tuple[TransactionView, ...]  # that a stop without a transaction may be for
    choices: tuple[Choice, ...]
    reported: Span | None  # when, by our clock, the transaction's start and stop were told
    said_since: datetime  # by our clock, the messages that it is about
    said_until: datetime | None
    told_wh: int | None
    estimate_wh: int | None
    estimate_minor: int | None
    readings: tuple[ReadingView, ...]
    loose_readings: tuple[ReadingView, ...]  # of the connector, around the time, that belong to no transaction
    before: tuple[TransactionView, ...]
    after: tuple[TransactionView, ...]
    taken_minor: int  # for the transaction in all, corrections included


_ITEMS = select(
    _item.key,
    _item.kind,
    _cp.identity,
    _item.charge_point_id,
    _item.connector_id,
    _item.transaction_id,
    _item.explanation,
    _item.evidence_json,
    _item.recorded_at,
    _item.resolved_at,
    _item.decision,
    _item.reason,
    _item.resolved_by,
).join_from(models.review_item, models.charge_point, _cp.id == _item.charge_point_id)


def list_items(
    connection: Connection,
    *,
    is_open: bool | None = None,
    transaction_id: int | None = None,
    charge_point_id: int | None = None,
    kind: str | None = None,
    limit: int,
    offset: int = 0,
) -> list[ReviewView]:
    """Return items, newest first, narrowed by what is given; `is_open` None: decided or not."""
    wanted = _wanted(is_open=is_open, transaction_id=transaction_id, charge_point_id=charge_point_id, kind=kind)
    statement = _ITEMS.where(wanted).order_by(_item.recorded_at.desc(), _item.key)
    return [as_fact(ReviewView, row) for row in connection.execute(statement.limit(limit).offset(offset))]


def count_items(
    connection: Connection,
    *,
    is_open: bool | None = None,
    charge_point_id: int | None = None,
    kind: str | None = None,
) -> int:
    """Return how many items `list_items` would list in all."""
    wanted = _wanted(is_open=is_open, charge_point_id=charge_point_id, kind=kind)
    return connection.execute(select(func.count()).select_from(models.review_item).where(wanted)).scalar_one()


def list_kinds(connection: Connection) -> list[str]:
    """Return the kinds of items that there ever were."""
    return list(connection.execute(select(_item.kind).distinct().order_by(_item.kind)).scalars())


def _wanted(
    *, is_open: bool | None, transaction_id: int | None = None, charge_point_id: int | None, kind: str | None
) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if is_open is not None:
        conditions.append(_item.resolved_at.is_(None) if is_open else _item.resolved_at.is_not(None))
    for column, value in (
        (_item.transaction_id, transaction_id),
        (_item.charge_point_id, charge_point_id),
        (_item.kind, kind),
    ):
        if value is not None:
            conditions.append(column == value)
    return and_(*conditions)


def find_item(connection: Connection, key: str) -> ReviewView | None:
    """Return one item by its key, or None."""
    row = connection.execute(_ITEMS.where(_item.key == key)).first()
    return None if row is None else as_fact(ReviewView, row)


def evidence_for(connection: Connection, key: str, currency: Currency) -> ReviewEvidence | None:
    """Return all that helps to decide about an item, or None where there is none."""
    item = find_item(connection, key)
    if item is None:
        return None
    one = None if item.transaction_id is None else overview.find_transaction(connection, item.transaction_id)
    readings = [] if one is None else overview.list_readings(connection, one.transaction_id, limit=_READINGS)
    stop, candidates = _stop_of(item), _candidates(connection, item)
    choices = _choices(item, one, has_candidates=bool(candidates))
    reported = None if one is None else lookups.span_of(connection, one.transaction_id)
    since, until = _said(item, reported)
    waits = one is not None and (one.state == "orphaned" or one.uncharged_reason in closing.WAITING)
    told_wh = None if one is None or one.meter_stop_wh is None else one.meter_stop_wh - one.meter_start_wh
    before, after = _neighbours(connection, item, one)
    return ReviewEvidence(
        item,
        one,
        stop,
        tuple(candidates),
        choices,
        reported,
        since,
        until,
        told_wh,
        one.energy_wh if one is not None and waits else None,
        _cost(one, readings, currency) if one is not None and waits else None,
        tuple(readings),
        tuple(_loose(connection, item, one)),
        tuple(before),
        tuple(after),
        _taken(connection, one),
    )


def _taken(connection: Connection, one: TransactionView | None) -> int:
    if one is None:
        return 0
    billed = ledger.list_billed(connection, {one.transaction_id}).get(one.transaction_id, Billed())
    return billed.net_minor + billed.tax_minor


def _choices(item: ReviewView, one: TransactionView | None, *, has_candidates: bool) -> tuple[Choice, ...]:
    if item.resolved_at is not None:
        return ()
    if one is None:
        possible = choices_for(None, None, has_account=False, kind=item.kind)
        return possible if has_candidates else tuple(choice for choice in possible if choice != "match")
    return choices_for(one.state, one.uncharged_reason, has_account=one.account_id is not None)


def _stop_of(item: ReviewView) -> StopTransaction | None:
    try:
        return msgspec.json.decode(item.evidence_json, type=StopTransaction)
    except msgspec.DecodeError:  # it is about something else
        return None


def _candidates(connection: Connection, item: ReviewView) -> list[TransactionView]:
    """Return the transactions that a stop without one may be for: all that did not end yet at its charge point."""
    if item.transaction_id is not None or item.resolved_at is not None or item.kind == DEFECT:
        return []
    wanted = and_(_tx.charge_point_id == item.charge_point_id, _tx.state != "ended")
    return overview.select_transactions(connection, wanted, limit=_CANDIDATES)


def _said(item: ReviewView, reported: Span | None) -> tuple[datetime, datetime | None]:
    """Return from when until when, by our clock, the messages came that an item is about."""
    if reported is None:
        return item.recorded_at - _BESIDE, item.recorded_at + _BESIDE
    return reported.since - _BESIDE, None if reported.until is None else reported.until + _BESIDE


def _cost(one: TransactionView, readings: list[ReadingView], currency: Currency) -> int | None:
    if not one.tariff_json or not one.energy_wh:
        return None
    points = points_of((each.happened_at, each.register_wh, each.power_w, each.flags) for each in readings)
    end_at = one.ended_at or max(one.register_at, one.started_at)
    return charge_of(one, one.meter_start_wh + one.energy_wh, end_at, points, currency).total_minor


def _moment(item: ReviewView, one: TransactionView | None) -> datetime:
    return item.recorded_at if one is None else one.started_at


def _neighbours(
    connection: Connection, item: ReviewView, one: TransactionView | None
) -> tuple[list[TransactionView], list[TransactionView]]:
    """Return what the same connector (or, where it is not known, the station) did before and after."""
    at = _moment(item, one)
    here: list[Any] = [_tx.charge_point_id == item.charge_point_id]
    connector_id = item.connector_id if one is None else one.connector_id
    if connector_id is not None:
        here.append(_tx.connector_id == connector_id)
    if one is not None:
        here.append(_tx.id != one.transaction_id)
    ids = select(_tx.id).where(*here)
    earlier = ids.where(_tx.started_at <= at).order_by(_tx.started_at.desc()).limit(_NEIGHBOURS)
    later = ids.where(_tx.started_at > at).order_by(_tx.started_at).limit(_NEIGHBOURS)
    return _all(connection, earlier)[::-1], _all(connection, later)


def _all(connection: Connection, ids: Any) -> list[TransactionView]:  # noqa: ANN401 - a SELECT of ids
    found = (overview.find_transaction(connection, each) for each in connection.execute(ids).scalars().all())
    return [one for one in found if one is not None]


def _loose(connection: Connection, item: ReviewView, one: TransactionView | None) -> list[ReadingView]:
    begin = _moment(item, one) - _AROUND
    end = (item.recorded_at if one is None or one.ended_at is None else one.ended_at) + _AROUND
    connector_id = item.connector_id if one is None else one.connector_id
    statement = (
        select(*(_reading[name] for name in ReadingView.__struct_fields__))
        .where(
            _reading.charge_point_id == item.charge_point_id,
            or_(true() if connector_id is None else _reading.connector_id == connector_id),
            _reading.transaction_id.is_(None),
            _reading.happened_at.between(begin, end),
        )
        .order_by(_reading.happened_at)
        .limit(_LOOSE)
    )
    return [as_fact(ReadingView, row) for row in connection.execute(statement)]
