"""The tariffs of the installation as rows: added in versions, never edited, one of them the default.

Works on a connection inside somebody else's unit of work. What a tariff makes of energy and time is `tariffs`' matter.
"""

from datetime import datetime
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from csms.billing import models
from csms.db import as_fact

MOST_RATE_DECIMALS = 6

_tariff = models.tariff.c


class NewTariff(msgspec.Struct, frozen=True):
    """A price list to be added, tax included. Rates in currency units, six decimals at most; the fee in minor units."""

    name: str
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal
    make_default: bool = False


class PriceList(msgspec.Struct, frozen=True):
    """A stored tariff."""

    tariff_id: int
    name: str
    version: int
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal
    is_default: bool
    created_at: datetime


_PRICE_LISTS = select(
    _tariff.id,
    _tariff.name,
    _tariff.version,
    _tariff.rate_per_kwh,
    _tariff.rate_per_minute,
    _tariff.start_fee_minor,
    _tariff.tax_percent,
    _tariff.is_default,
    _tariff.created_at,
)


def add_tariff(connection: Connection, new: NewTariff, now: datetime) -> PriceList:
    """Add a tariff, or the next version of the one with its name.

    The first tariff becomes the default, as does a new version of the default one, or its prices would change nothing.
    """
    connection.execute(select(models.installation.c.id).with_for_update())  # one at a time, on PostgreSQL too
    newest = connection.execute(select(func.max(_tariff.version)).where(_tariff.name == new.name)).scalar()
    default = connection.execute(select(_tariff.name).where(_tariff.is_default)).scalar()
    is_default = new.make_default or default is None or default == new.name
    if is_default:
        connection.execute(update(models.tariff).where(_tariff.is_default).values(is_default=False))
    row = {
        "name": new.name,
        "version": (newest or 0) + 1,
        "rate_per_kwh": new.rate_per_kwh,
        "rate_per_minute": new.rate_per_minute,
        "start_fee_minor": new.start_fee_minor,
        "tax_percent": new.tax_percent,
        "is_default": is_default,
        "created_at": now,
    }
    tariff_id = connection.execute(insert(models.tariff).returning(_tariff.id), row).scalar_one()
    return as_fact(PriceList, connection.execute(_PRICE_LISTS.where(_tariff.id == tariff_id)).one())


def list_tariffs(connection: Connection) -> list[PriceList]:
    """Return every version of every tariff, by name, the newest version first."""
    rows = connection.execute(_PRICE_LISTS.order_by(_tariff.name, _tariff.version.desc()))
    return [as_fact(PriceList, row) for row in rows]
