"""Desks: where tills stand. A desk gets its cash account in the chart when it is added.

Works on a connection inside somebody else's unit of work; knows a site only as a number.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select, update

from csms.billing import models
from csms.billing.chart_of_accounts import desk_code
from csms.billing.money import Currency
from csms.billing.naming import alike
from csms.billing.reader_formats import ReaderFormat
from csms.db import as_fact, take_ids

_desk, _account = models.desk.c, models.ledger_account.c


class DeskView(msgspec.Struct, frozen=True):
    """A desk with what its cash account says is in it, in minor units."""

    desk_id: int
    name: str
    site_id: int | None
    cash_account_id: int
    cash_account_code: str
    cash_minor: int
    reader_format: ReaderFormat = "hex"


def add_desk(
    connection: Connection, *, name: str, site_id: int | None, currency: Currency, now: datetime
) -> DeskView | None:
    """Add a desk with its cash account, or return None where the name is taken."""
    if alike(name, connection.execute(select(_desk.name)).scalars()) is not None:
        return None
    account_id = take_ids(connection, models.ledger_account_ids, 1)[0]
    code = desk_code(account_id)
    account = {
        "id": account_id,
        "code": code,
        "kind": "asset",
        "name": _account_name(name),
        "currency": currency.code,
        "created_at": now,
    }
    connection.execute(insert(models.ledger_account), account)
    row = {"name": name, "site_id": site_id, "cash_account_id": account_id, "created_at": now}
    desk_id = connection.execute(insert(models.desk).returning(_desk.id), row).scalar_one()
    return DeskView(desk_id, name, site_id, account_id, code, 0)


def _account_name(desk_name: str) -> str:
    return f"Cash: {desk_name}"[:100]


def rename_desk(connection: Connection, desk_id: int, name: str) -> bool:
    """Give a desk and its cash account another name; False where another desk has it. Numbers of receipts go on."""
    others = select(_desk.name).where(_desk.id != desk_id)
    if alike(name, connection.execute(others).scalars()) is not None:
        return False
    renamed = update(models.desk).where(_desk.id == desk_id).values(name=name).returning(_desk.cash_account_id)
    account_id = connection.execute(renamed).scalar()
    account = update(models.ledger_account).where(_account.id == account_id)
    connection.execute(account.values(name=_account_name(name)))
    return True


def list_desks(connection: Connection) -> list[DeskView]:
    """Return the desks by name."""
    cash = _account.debits_minor - _account.credits_minor
    statement = select(_desk.id, _desk.name, _desk.site_id, _account.id, _account.code, cash, _desk.reader_format)
    joined = statement.join_from(models.desk, models.ledger_account, _account.id == _desk.cash_account_id)
    return [as_fact(DeskView, row) for row in connection.execute(joined.order_by(_desk.name))]


def set_reader_format(connection: Connection, desk_id: int, reader_format: ReaderFormat) -> bool:
    """Say what the card reader of a desk types; tell whether there is such a desk."""
    changed = connection.execute(update(models.desk).where(_desk.id == desk_id).values(reader_format=reader_format))
    return bool(changed.rowcount)
