"""Small questions about charge points and transactions that pages and commands outside charging ask. Reads only."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.db import any_of


class Span(msgspec.Struct, frozen=True):
    """Where and when, by our clock, the messages of a transaction came; no end while it runs."""

    charge_point_id: int
    since: datetime
    until: datetime | None


def identities(connection: Connection, charge_point_ids: Collection[int] | None = None) -> dict[int, str]:
    """Return the identities of charge points by their numbers, of all where none are named."""
    charge_point = models.charge_point.c
    statement = select(charge_point.id, charge_point.identity)
    if charge_point_ids is None:
        rows = connection.execute(statement)
    else:
        rows = connection.execute(statement.where(any_of(charge_point.id, "ids")), {"ids": list(charge_point_ids)})
    return {row.id: row.identity for row in rows}


def number_of(connection: Connection, identity: str) -> int | None:
    """Return the number of a charge point, None where there is none with this identity."""
    charge_point = models.charge_point.c
    return connection.execute(select(charge_point.id).where(charge_point.identity == identity)).scalar()


def span_of(connection: Connection, transaction_id: int) -> Span | None:
    """Return the span of a transaction, None where there is no such transaction."""
    one = models.charging_transaction.c
    statement = select(one.charge_point_id, one.recorded_at, one.end_recorded_at).where(one.id == transaction_id)
    row = connection.execute(statement).first()
    return None if row is None else Span(*row)
