"""Set-wise reads and writes of the core family, and what people read and administrate of it. Decides nothing."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection as Sql
from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging import models
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of, as_fact
from csms.operations.core import AvailabilityOfAll, Outcome, WantedAvailability
from csms.operations.core_models import data_transfer, data_transfer_vendor, station_outcome, wanted_availability
from csms.operations.data_transfers import VENDORS, DataTransferTaken, Vendor, vendor_key

KEPT_PER_STATION = 500  # messages of vendors

_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _upsert(table: Table, fact: type[msgspec.Struct]) -> Many:
    def statement(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
        inserted = _INSERTS[dialect](table)
        changes = {name: inserted.excluded[name] for name in fact.__struct_fields__ if not table.c[name].primary_key}
        return inserted.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)

    return Many(statement, fact.__struct_fields__)


_vendor, _transfer = data_transfer_vendor.c, data_transfer.c
_VENDORS = select(*(_vendor[name] for name in Vendor.__struct_fields__))
_PUT_WANTED, _PUT_OUTCOME = _upsert(wanted_availability, WantedAvailability), _upsert(station_outcome, Outcome)
_FORGET_WANTED = delete(wanted_availability).where(any_of(wanted_availability.c.charge_point_id, "keys"))
_PUT_TRANSFER = Many(insert(data_transfer), DataTransferTaken.__struct_fields__)
_OLDEST_KEPT = (
    select(_transfer.id)
    .where(_transfer.charge_point_id == bindparam("b_key"))
    .order_by(_transfer.id.desc())
    .limit(1)
    .offset(KEPT_PER_STATION - 1)
    .scalar_subquery()
)
_TRIM = Many(
    delete(data_transfer).where(_transfer.charge_point_id == bindparam("b_key"), _transfer.id < _OLDEST_KEPT),
    ["b_key"],
)
_wanted_row, _outcome_row = attrgetter(*WantedAvailability.__struct_fields__), attrgetter(*Outcome.__struct_fields__)
_transfer_row = attrgetter(*DataTransferTaken.__struct_fields__)


def load(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    """Bring the registered vendors that messages name."""
    if keys := names.more.get(VENDORS):
        rows = connection.execute(_VENDORS.where(any_of(_vendor.vendor_key, "keys")), {"keys": sorted(keys)})
        working_set.more[VENDORS] = {row.vendor_key: as_fact(Vendor, row) for row in rows}


def forget_wanted(connection: Sql, switched: Sequence[AvailabilityOfAll], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Delete what was wanted of single connectors."""
    connection.execute(_FORGET_WANTED, {"keys": sorted({one.charge_point_id for one in switched})})


def write_wanted(connection: Sql, wanted: Sequence[WantedAvailability], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Keep the latest wish for each connector."""
    latest = {(one.charge_point_id, one.connector_id): one for one in wanted}
    _PUT_WANTED.execute(connection, [_wanted_row(one) for _, one in sorted(latest.items())])


def write_outcomes(connection: Sql, outcomes: Sequence[Outcome], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Keep the latest outcome of each act."""
    latest = {(one.charge_point_id, one.action, one.subject): one for one in outcomes}
    _PUT_OUTCOME.execute(connection, [_outcome_row(one) for _, one in sorted(latest.items())])


def write_transfers(connection: Sql, taken: Sequence[DataTransferTaken], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Keep messages of vendors, and of each charge point only the latest."""
    _PUT_TRANSFER.execute(connection, map(_transfer_row, taken))
    _TRIM.execute(connection, [(key,) for key in sorted({one.charge_point_id for one in taken})])


# --- What people read and administrate --------------------------------------------------------------------------------


class VendorView(msgspec.Struct, frozen=True):
    """A registered vendor as people see it."""

    id: int
    vendor_id: str
    message_ids: str
    status: str
    keeps_data: bool
    created_at: datetime


class TransferView(msgspec.Struct, frozen=True):
    """A message that a charge point sent."""

    charge_point_id: int
    charge_point: str
    vendor_id: str
    message_id: str | None
    data: str | None
    length: int
    status: str
    received_at: datetime


def wanted_of(connection: Sql, charge_point_id: int) -> dict[int, WantedAvailability]:
    """Return what is wanted of the connectors of a charge point, by connector."""
    columns = [wanted_availability.c[name] for name in WantedAvailability.__struct_fields__]
    rows = connection.execute(select(*columns).where(wanted_availability.c.charge_point_id == charge_point_id))
    found = [as_fact(WantedAvailability, row) for row in rows]
    return {one.connector_id: one for one in sorted(found, key=lambda one: one.connector_id)}


def outcomes_of(connection: Sql, charge_point_id: int, *, limit: int = 30) -> list[Outcome]:
    """Return what acts at a charge point came to, the latest first."""
    columns = [station_outcome.c[name] for name in Outcome.__struct_fields__]
    statement = select(*columns).where(station_outcome.c.charge_point_id == charge_point_id)
    rows = connection.execute(statement.order_by(station_outcome.c.answered_at.desc()).limit(limit))
    return [as_fact(Outcome, row) for row in rows]


def list_vendors(connection: Sql, *, limit: int = 200) -> list[VendorView]:
    """Return the registered vendors by name."""
    columns = [_vendor[name] for name in VendorView.__struct_fields__]
    rows = connection.execute(select(*columns).order_by(_vendor.vendor_key).limit(limit))
    return [as_fact(VendorView, row) for row in rows]


def register_vendor(
    connection: Sql, vendor_id: str, message_ids: Sequence[str], status: str, now: datetime, *, keeps_data: bool
) -> None:
    """Register a vendor, or change how it is registered."""
    values = {
        "vendor_id": vendor_id.strip(),
        "message_ids": "\n".join(one.strip() for one in message_ids if one.strip()),
        "status": status,
        "keeps_data": keeps_data,
    }
    key = vendor_key(vendor_id)
    changed = connection.execute(update(data_transfer_vendor).where(_vendor.vendor_key == key).values(values))
    if not changed.rowcount:
        connection.execute(insert(data_transfer_vendor).values(vendor_key=key, created_at=now, **values))


def remove_vendor(connection: Sql, vendor_row_id: int) -> bool:
    """Forget a vendor; what it sent stays. False where there is none."""
    return bool(connection.execute(delete(data_transfer_vendor).where(_vendor.id == vendor_row_id)).rowcount)


_TRANSFERS = select(
    _transfer.charge_point_id,
    models.charge_point.c.identity,
    _transfer.vendor_id,
    _transfer.message_id,
    _transfer.data,
    _transfer.length,
    _transfer.status,
    _transfer.received_at,
).join_from(data_transfer, models.charge_point, models.charge_point.c.id == _transfer.charge_point_id)


def list_transfers(
    connection: Sql, *, charge_point_id: int | None = None, limit: int, offset: int = 0
) -> list[TransferView]:
    """Return messages of vendors, the latest first."""
    statement = _TRANSFERS
    if charge_point_id is not None:
        statement = statement.where(_transfer.charge_point_id == charge_point_id)
    rows = connection.execute(statement.order_by(_transfer.id.desc()).limit(limit).offset(offset))
    return [as_fact(TransferView, row) for row in rows]


def count_transfers(connection: Sql, *, charge_point_id: int | None = None) -> int:
    """Return how many `list_transfers` would list in all."""
    statement = select(func.count()).select_from(data_transfer)
    if charge_point_id is not None:
        statement = statement.where(_transfer.charge_point_id == charge_point_id)
    return connection.execute(statement).scalar_one()
