"""What people read of the energy: stations, connectors, transactions, readings, refusals.

Reads only, for the portal and the command line; every list has a limit. Energy in Wh, power in W, cost in minor units.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from csms.billing.account_groups import OVERDRAFT
from csms.billing.books import available, normalize_id_tag
from csms.billing.models import hold, ledger_account
from csms.charging import models
from csms.db import as_fact

_tx, _cp = models.charging_transaction.c, models.charge_point.c


class TransactionView(msgspec.Struct, frozen=True):
    """A transaction as people see it; `credit_minor` is what its account can still give to it (None without an
    account).
    """

    transaction_id: int
    charge_point: str
    charge_point_id: int
    connector_id: int
    id_tag: str
    account_id: int | None
    state: str
    authorization_status: str
    refusal: str | None
    started_at: datetime
    ended_at: datetime | None
    meter_start_wh: int
    meter_stop_wh: int | None
    register_at: datetime
    energy_wh: int
    power_w: int | None
    cost_minor: int
    held_minor: int | None
    stop_reason: str | None
    stop_id_tag: str | None
    stop_requested_at: datetime | None
    uncharged_reason: str | None
    tariff_json: str
    flags: str
    unplugged_at: datetime | None = None
    corrected_energy_wh: int | None = None
    corrected_ended_at: datetime | None = None
    available_minor: int | None = None

    @property
    def charged_energy_wh(self) -> int:
        """The energy that its charge is for, corrections included."""
        return self.energy_wh if self.corrected_energy_wh is None else self.corrected_energy_wh

    @property
    def charged_until(self) -> datetime | None:
        """The end that its charge is for, corrections included; None while it runs."""
        return self.corrected_ended_at or self.ended_at

    @property
    def credit_minor(self) -> int | None:
        """What is left for this transaction: its hold and the account's available credit, minus the cost so far."""
        if self.held_minor is None or self.available_minor is None:
            return None
        return self.held_minor + self.available_minor - self.cost_minor


class ReadingView(msgspec.Struct, frozen=True):
    """One stored meter value."""

    happened_at: datetime
    recorded_at: datetime
    register_wh: int | None
    power_w: int | None
    samples_json: str
    flags: str


class ConnectorView(msgspec.Struct, frozen=True):
    """What a connector said last."""

    connector_id: int
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    happened_at: datetime


class StationView(msgspec.Struct, frozen=True):
    """A charge point with its connection (None: offline) and connectors."""

    charge_point_id: int
    identity: str
    site: str | None
    time_zone: str | None
    tariff_id: int | None
    security_profile: int
    registration: str
    vendor: str
    model: str
    serial_number: str
    firmware_version: str
    firmware_status: str
    diagnostics_status: str
    booted_at: datetime | None
    last_seen_at: datetime | None
    created_at: datetime
    connected_at: datetime | None
    address: str | None
    node: str | None
    clock_skew_s: int | None
    has_relative_readings: bool
    connectors: tuple[ConnectorView, ...]

    @property
    def online(self) -> bool:
        """Whether a node holds its socket."""
        return self.connected_at is not None


class UnknownStationView(msgspec.Struct, frozen=True):
    """An identity that asked to connect and is not known."""

    identity: str
    address: str
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime


class RefusalView(msgspec.Struct, frozen=True):
    """A card refused at a station, with the true reason."""

    charge_point: str
    id_tag: str
    status: str
    reason: str
    attempts: int
    last_at: datetime


_TRANSACTIONS = select(
    _tx.id,
    _cp.identity,
    _tx.charge_point_id,
    _tx.connector_id,
    _tx.id_tag,
    _tx.account_id,
    _tx.state,
    _tx.authorization_status,
    _tx.refusal,
    _tx.started_at,
    _tx.ended_at,
    _tx.meter_start_wh,
    _tx.meter_stop_wh,
    _tx.register_at,
    _tx.energy_wh,
    _tx.power_w,
    _tx.cost_minor,
    hold.c.amount_minor,
    _tx.stop_reason,
    _tx.stop_id_tag,
    _tx.stop_requested_at,
    _tx.uncharged_reason,
    _tx.tariff_json,
    _tx.flags,
    _tx.unplugged_at,
    _tx.corrected_energy_wh,
    _tx.corrected_ended_at,
    ledger_account.c.credits_minor - ledger_account.c.debits_minor,
    ledger_account.c.held_minor,
    OVERDRAFT,
).select_from(
    models.charging_transaction.join(models.charge_point, _cp.id == _tx.charge_point_id)
    .outerjoin(hold, and_(hold.c.reference == _tx.id, hold.c.state == "open"))
    .outerjoin(ledger_account, ledger_account.c.id == _tx.account_id)
)


def list_transactions(
    connection: Connection,
    *,
    state: str | None = None,
    charge_point_id: int | None = None,
    id_tag: str | None = None,
    account_id: int | None = None,
    limit: int,
    offset: int = 0,
) -> list[TransactionView]:
    """Return transactions, newest first, narrowed by what is given. `state`: open, orphaned or ended."""
    wanted = _wanted(state, charge_point_id, id_tag, account_id)
    return select_transactions(connection, wanted, limit=limit, offset=offset)


def select_transactions(
    connection: Connection, wanted: ColumnElement[bool], *, limit: int, offset: int = 0
) -> list[TransactionView]:
    """Return transactions that meet a condition on `charging_transaction`, newest first."""
    statement = _TRANSACTIONS.where(wanted).order_by(_tx.id.desc()).limit(limit).offset(offset)
    return [_view(row) for row in connection.execute(statement)]


def _view(row: Sequence[Any]) -> TransactionView:
    """Return a transaction; the last columns are its account's balance, open holds and allowed overdraft."""
    *fields, balance_minor, held_minor, overdraft_minor = row
    return as_fact(
        TransactionView,
        fields,
        None if balance_minor is None else available(balance_minor, held_minor, overdraft_minor),
    )


def count_transactions(
    connection: Connection,
    *,
    state: str | None = None,
    charge_point_id: int | None = None,
    id_tag: str | None = None,
    account_id: int | None = None,
) -> int:
    """Return how many transactions `list_transactions` would list in all."""
    wanted = _wanted(state, charge_point_id, id_tag, account_id)
    return connection.execute(select(func.count()).select_from(models.charging_transaction).where(wanted)).scalar_one()


def _wanted(
    state: str | None, charge_point_id: int | None, id_tag: str | None, account_id: int | None
) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_tx.id > 0]
    if state is not None:
        conditions.append(_tx.state == state)
    if charge_point_id is not None:
        conditions.append(_tx.charge_point_id == charge_point_id)
    if id_tag is not None:
        conditions.append(_tx.id_tag == normalize_id_tag(id_tag))
    if account_id is not None:
        conditions.append(_tx.account_id == account_id)
    return and_(*conditions)


def find_transaction(connection: Connection, transaction_id: int) -> TransactionView | None:
    """Return one transaction, or None."""
    row = connection.execute(_TRANSACTIONS.where(_tx.id == transaction_id)).first()
    return None if row is None else _view(row)


def list_readings(connection: Connection, transaction_id: int, *, limit: int = 2000) -> list[ReadingView]:
    """Return the readings of a transaction, oldest first."""
    reading = models.reading.c
    statement = select(
        reading.happened_at,
        reading.recorded_at,
        reading.register_wh,
        reading.power_w,
        reading.samples_json,
        reading.flags,
    )
    rows = connection.execute(
        statement.where(reading.transaction_id == transaction_id).order_by(reading.happened_at).limit(limit)
    )
    return [as_fact(ReadingView, row) for row in rows]


_STATIONS = select(
    _cp.id,
    _cp.identity,
    models.site.c.name,
    models.site.c.time_zone,
    _cp.tariff_id,
    _cp.security_profile,
    _cp.registration,
    _cp.vendor,
    _cp.model,
    _cp.serial_number,
    _cp.firmware_version,
    _cp.firmware_status,
    _cp.diagnostics_status,
    _cp.booted_at,
    _cp.last_seen_at,
    _cp.created_at,
    models.connection.c.connected_at,
    models.connection.c.address,
    models.connection.c.node,
    _cp.clock_skew_s,
    _cp.has_relative_readings,
).select_from(
    models.charge_point.outerjoin(models.connection, models.connection.c.charge_point_id == _cp.id).outerjoin(
        models.site, models.site.c.id == _cp.site_id
    )
)


def list_stations(connection: Connection, *, search: str = "", limit: int, offset: int = 0) -> list[StationView]:
    """Return charge points whose identity, vendor or model contains `search`, by identity."""
    rows = connection.execute(_STATIONS.where(_like(search)).order_by(_cp.identity).limit(limit).offset(offset)).all()
    connectors = _connectors(connection, [row[0] for row in rows])
    return [as_fact(StationView, row, tuple(connectors.get(row[0], ()))) for row in rows]


def count_stations(connection: Connection, *, search: str = "") -> int:
    """Return how many charge points `list_stations` would list in all."""
    return connection.execute(select(func.count()).select_from(models.charge_point).where(_like(search))).scalar_one()


def _like(search: str) -> ColumnElement[bool]:
    text = search.strip().lower()
    columns = (_cp.identity, _cp.vendor, _cp.model)
    return or_(*(func.lower(column).contains(text, autoescape=True) for column in columns))


def find_station(connection: Connection, identity: str) -> StationView | None:
    """Return one charge point by its identity, or None."""
    row = connection.execute(_STATIONS.where(_cp.identity == identity)).first()
    return None if row is None else as_fact(StationView, row, tuple(_connectors(connection, [row[0]]).get(row[0], ())))


def _connectors(connection: Connection, charge_point_ids: list[int]) -> dict[int, list[ConnectorView]]:
    connector = models.connector.c
    statement = select(
        connector.charge_point_id,
        connector.connector_id,
        connector.status,
        connector.error_code,
        connector.info,
        connector.vendor_error_code,
        connector.happened_at,
    ).where(connector.charge_point_id.in_(charge_point_ids))
    found: dict[int, list[ConnectorView]] = {}
    for charge_point_id, *fields in connection.execute(statement.order_by(connector.connector_id)):
        found.setdefault(charge_point_id, []).append(as_fact(ConnectorView, fields))
    return found


def list_unknown_stations(connection: Connection, *, limit: int) -> list[UnknownStationView]:
    """Return identities that asked to connect and are not known, the latest first."""
    unknown = models.unknown_charge_point.c
    statement = select(unknown.identity, unknown.address, unknown.attempts, unknown.first_seen_at, unknown.last_seen_at)
    return [
        as_fact(UnknownStationView, row)
        for row in connection.execute(statement.order_by(unknown.last_seen_at.desc()).limit(limit))
    ]


def list_refusals(connection: Connection, *, id_tag: str | None = None, limit: int) -> list[RefusalView]:
    """Return cards that were refused at stations, the latest first."""
    refusal = models.authorization_refusal.c
    statement = select(
        _cp.identity, refusal.id_tag, refusal.status, refusal.reason, refusal.attempts, refusal.last_at
    ).join_from(models.authorization_refusal, models.charge_point, _cp.id == refusal.charge_point_id)
    if id_tag is not None:
        statement = statement.where(refusal.id_tag == normalize_id_tag(id_tag))
    return [
        as_fact(RefusalView, row) for row in connection.execute(statement.order_by(refusal.last_at.desc()).limit(limit))
    ]
