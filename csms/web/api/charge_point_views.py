"""What the API shows of charge points, read from the tables. Reads only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select

from csms.billing.money import Currency
from csms.charging import models, overview
from csms.charging.facts import Registration
from csms.db import as_fact
from csms.web.api.values import Money, money, money_or_none

_MOST_RUNNING = 200
_cp, _connection = models.charge_point.c, models.connection.c


class Connector(msgspec.Struct, frozen=True):
    """What a connector said last; 0 is the whole charge point."""

    id: int
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    happened_at: datetime


class ChargePoint(msgspec.Struct, frozen=True):
    """A charge point."""

    id: int
    identity: str
    is_connected: bool
    registration: Registration
    security_profile: int
    site_id: int | None
    group_id: int | None
    tariff_id: int | None
    max_power_w: int | None
    vendor: str
    model: str
    serial_number: str
    firmware_version: str
    firmware_status: str
    diagnostics_status: str
    clock_skew_s: int | None
    booted_at: datetime | None
    last_seen_at: datetime | None
    created_at: datetime


class ConnectionState(msgspec.Struct, frozen=True):
    """The WebSocket that a charge point has open."""

    connected_at: datetime
    address: str
    node: str
    subprotocol: str


class RunningTransaction(msgspec.Struct, frozen=True):
    """A transaction that has not ended; `remaining_credit` is what its account can still give to it."""

    id: int
    connector_id: int
    id_tag: str
    started_at: datetime
    register_at: datetime
    energy_wh: int
    power_w: int | None
    cost: Money
    remaining_credit: Money | None
    stop_requested_at: datetime | None


class Place(msgspec.Struct, frozen=True):
    """What happens at a charge point now."""

    charge_point_id: int
    identity: str
    connection: ConnectionState | None
    last_seen_at: datetime | None
    connectors: tuple[Connector, ...]
    transactions: tuple[RunningTransaction, ...]


_ROWS = select(
    _cp.id,
    _cp.identity,
    _connection.connected_at.is_not(None),
    _cp.registration,
    _cp.security_profile,
    _cp.site_id,
    _cp.group_id,
    _cp.tariff_id,
    _cp.max_power_w,
    _cp.vendor,
    _cp.model,
    _cp.serial_number,
    _cp.firmware_version,
    _cp.firmware_status,
    _cp.diagnostics_status,
    _cp.clock_skew_s,
    _cp.booted_at,
    _cp.last_seen_at,
    _cp.created_at,
).select_from(models.charge_point.outerjoin(models.connection, _connection.charge_point_id == _cp.id))


def list_charge_points(
    connection: Connection, wanted: Mapping[str, Any], *, after: int, limit: int
) -> list[ChargePoint]:
    """Return charge points whose numbers are higher than `after`, by number; `wanted` may narrow by search, connected,
    registration, site_id and group_id, None meaning any.
    """
    statement = _ROWS.where(_cp.id > after)
    for name in ("registration", "site_id", "group_id"):
        if wanted.get(name) is not None:
            statement = statement.where(_cp[name] == wanted[name])
    if wanted.get("connected") is not None:
        statement = statement.where(_connection.connected_at.is_not(None) == wanted["connected"])
    if text := (wanted.get("search") or "").strip().lower():
        columns = (_cp.identity, _cp.vendor, _cp.model)
        statement = statement.where(or_(*(func.lower(one).contains(text, autoescape=True) for one in columns)))
    return [as_fact(ChargePoint, row) for row in connection.execute(statement.order_by(_cp.id).limit(limit))]


def find_charge_point(connection: Connection, charge_point_id: int) -> ChargePoint | None:
    """Return one charge point, or None."""
    row = connection.execute(_ROWS.where(_cp.id == charge_point_id)).first()
    return None if row is None else as_fact(ChargePoint, row)


def find_place(connection: Connection, charge_point_id: int, currency: Currency) -> Place | None:
    """Return what happens at a charge point now, or None."""
    one = connection.execute(
        select(_cp.identity, _cp.last_seen_at).where(_cp.id == charge_point_id),
    ).first()
    if one is None:
        return None
    columns = (_connection.connected_at, _connection.address, _connection.node, _connection.subprotocol)
    link = connection.execute(select(*columns).where(_connection.charge_point_id == charge_point_id)).first()
    running = overview.list_transactions(connection, state="open", charge_point_id=charge_point_id, limit=_MOST_RUNNING)
    return Place(
        charge_point_id,
        one.identity,
        None if link is None else as_fact(ConnectionState, link),
        one.last_seen_at,
        tuple(_connectors(connection, charge_point_id)),
        tuple(_running(each, currency) for each in running),
    )


def _connectors(connection: Connection, charge_point_id: int) -> list[Connector]:
    columns = models.connector.c
    statement = select(
        columns.connector_id,
        columns.status,
        columns.error_code,
        columns.info,
        columns.vendor_error_code,
        columns.happened_at,
    ).where(columns.charge_point_id == charge_point_id)
    return [as_fact(Connector, row) for row in connection.execute(statement.order_by(columns.connector_id))]


def _running(one: overview.TransactionView, currency: Currency) -> RunningTransaction:
    return RunningTransaction(
        one.transaction_id,
        one.connector_id,
        one.id_tag,
        one.started_at,
        one.register_at,
        one.energy_wh,
        one.power_w,
        money(one.cost_minor, currency),
        money_or_none(one.credit_minor, currency),
        one.stop_requested_at,
    )
