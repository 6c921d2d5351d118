"""Transactions over the API: listed, shown with their charge, and their readings."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, select, true

from csms.billing import reports
from csms.billing.books import normalize_id_tag
from csms.billing.receipts import find_settlement
from csms.billing.tariffs import decode_tariff
from csms.charging import models, overview
from csms.db import as_fact
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.values import Id, IdTag, Moment, Money, money, money_or_none, plain, utc

State = Literal["open", "orphaned", "ended"]
_tx, _reading = models.charging_transaction.c, models.reading.c


class Transaction(msgspec.Struct, frozen=True):
    """A charging transaction. `cost` is so far, and final when it has ended; `uncharged_reason` says why an ended one
    was not charged; `flags` what was odd.
    """

    id: int
    charge_point_id: int
    charge_point: str
    connector_id: int
    id_tag: str
    account_id: int | None
    state: State
    authorization_status: str
    refusal: str | None
    started_at: datetime
    ended_at: datetime | None
    meter_start_wh: int
    meter_stop_wh: int | None
    register_at: datetime
    energy_wh: int
    power_w: int | None
    cost: Money
    remaining_credit: Money | None
    stop_reason: str | None
    stop_id_tag: str | None
    stop_requested_at: datetime | None
    uncharged_reason: str | None
    flags: tuple[str, ...]


class ChargeLine(msgspec.Struct, frozen=True):
    """One line of a charge: quantity times rate, rounded once."""

    component: str
    quantity: str
    unit: str
    rate: str
    amount: Money
    band: str


class Correction(msgspec.Struct, frozen=True):
    """What was booked about a charge later, as the account's holder sees it."""

    entry_id: int
    event: str
    recorded_at: datetime
    amount: Money


class Charge(msgspec.Struct, frozen=True):
    """The priced result of a transaction; the tax is included in the total."""

    entry_id: int
    account_id: int
    recorded_at: datetime
    lines: tuple[ChargeLine, ...]
    total: Money
    tax: Money
    balance_before: Money
    balance_after: Money
    corrections: tuple[Correction, ...]


class TransactionDetail(msgspec.Struct, frozen=True):
    """A transaction, the tariff that applied at its start, and its charge (null until it is charged)."""

    transaction: Transaction
    tariff: str | None
    charge: Charge | None


class Reading(msgspec.Struct, frozen=True):
    """One meter value. `samples` is what came over the wire."""

    happened_at: datetime
    recorded_at: datetime
    register_wh: int | None
    power_w: int | None
    samples: Any
    flags: str


class TransactionFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which transactions of the list."""

    state: State | None = None
    charge_point_id: Id | None = None
    id_tag: IdTag | None = None
    account_id: Id | None = None
    started_from: Moment | None = None
    started_before: Moment | None = None


async def show_list(call: ApiCall, query: TransactionFilter) -> Page[Transaction]:
    """List transactions, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    conditions: list[ColumnElement[bool]] = [_tx.id > 0]
    if before is not None:
        conditions.append(_tx.id < before[0])
    for name in ("state", "charge_point_id", "account_id"):
        value = getattr(query, name)
        conditions.append(true() if value is None else _tx[name] == value)
    if query.id_tag is not None:
        conditions.append(_tx.id_tag == normalize_id_tag(query.id_tag))
    if (begin := utc(query.started_from, "started_from")) is not None:
        conditions.append(_tx.started_at >= begin)
    if (end := utc(query.started_before, "started_before")) is not None:
        conditions.append(_tx.started_at < end)

    def load(connection: Connection) -> list[overview.TransactionView]:
        return overview.select_transactions(connection, and_(*conditions), limit=query.limit + 1)

    rows = [_shown(call, one) for one in await call.read(load)]
    return page_of(rows, query.limit, lambda row: (row.id,))


async def show(call: ApiCall) -> TransactionDetail:
    """Show a transaction with its charge."""
    transaction_id = call.path_number("transaction_id")

    def load(connection: Connection) -> TransactionDetail | None:
        one = overview.find_transaction(connection, transaction_id)
        if one is None:
            return None
        tariff = decode_tariff(one.tariff_json).name if one.tariff_json else None
        return TransactionDetail(_shown(call, one), tariff, _charge(call, connection, transaction_id))

    return found(await call.read(load), "transaction")


def _shown(call: ApiCall, one: overview.TransactionView) -> Transaction:
    currency = call.portal.currency
    fields = {name: getattr(one, name) for name in Transaction.__struct_fields__ if hasattr(one, name)}
    return Transaction(
        **fields
        | {
            "id": one.transaction_id,
            "cost": money(one.cost_minor, currency),
            "remaining_credit": money_or_none(one.credit_minor if one.state == "open" else None, currency),
            "flags": tuple(flag for flag in one.flags.split("; ") if flag),
        }
    )


def _charge(call: ApiCall, connection: Connection, transaction_id: int) -> Charge | None:
    settled = find_settlement(connection, transaction_id)
    if settled is None:
        return None
    currency = call.portal.currency
    lines = tuple(
        ChargeLine(
            one.component,
            plain(one.quantity),
            one.unit,
            plain(one.rate),
            money(one.amount_minor, currency),
            one.band,
        )
        for one in reports.charge_lines(connection, transaction_id)
    )
    corrections = tuple(
        Correction(one.entry_id, one.event, one.recorded_at, money(one.amount_minor, currency)) for one in settled.later
    )
    return Charge(
        settled.entry_id,
        settled.account_id,
        settled.recorded_at,
        lines,
        money(settled.total_minor, currency),
        money(settled.tax_minor, currency),
        money(settled.balance_before_minor, currency),
        money(settled.balance_after_minor, currency),
        corrections,
    )


async def show_readings(call: ApiCall, query: Paging) -> Page[Reading]:
    """List the readings of a transaction, the oldest first."""
    transaction_id = call.path_number("transaction_id")
    after = read_cursor(query.cursor, tuple[Moment, int])

    def load(connection: Connection) -> list[tuple[Any, ...]] | None:
        if overview.find_transaction(connection, transaction_id) is None:
            return None
        columns = (
            _reading.happened_at,
            _reading.recorded_at,
            _reading.register_wh,
            _reading.power_w,
            _reading.samples_json,
            _reading.flags,
            _reading.digest,
        )
        statement = select(*columns).where(_reading.transaction_id == transaction_id)
        if after is not None:
            later = and_(_reading.happened_at == after[0], _reading.digest > after[1])
            statement = statement.where((_reading.happened_at > after[0]) | later)
        ordered = statement.order_by(_reading.happened_at, _reading.digest).limit(query.limit + 1)
        return [tuple(row) for row in connection.execute(ordered)]

    rows = found(await call.read(load), "transaction")
    page = page_of(rows, query.limit, lambda row: (row[0].isoformat(), row[6]))
    return Page(tuple(as_fact(Reading, (*row[:4], _json(row[4]), row[5])) for row in page.items), page.next_cursor)


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


_TAG = "transactions"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/transactions",
        show_list,
        "transactions:read",
        "List transactions",
        Page[Transaction],
        _TAG,
        query=TransactionFilter,
    ),
    Endpoint(
        "GET",
        "/transactions/{transaction_id:int}",
        show,
        "transactions:read",
        "Show a transaction with its charge",
        TransactionDetail,
        _TAG,
    ),
    Endpoint(
        "GET",
        "/transactions/{transaction_id:int}/readings",
        show_readings,
        "transactions:read",
        "List the readings of a transaction",
        Page[Reading],
        _TAG,
        query=Paging,
    ),
)
