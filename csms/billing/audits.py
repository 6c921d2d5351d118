"""What people did, whether money moved or not: cards, customers, alarms, decisions in the review queue. Reads only.

`ledger.write_audits` writes the rows, in the unit of work of what was done. Afterwards the database refuses to change
them.
"""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select, true

from csms.billing.models import audit
from csms.db import as_fact


class AuditView(msgspec.Struct, frozen=True):
    """One act: `subject` says on what, such as "card 04A1B2C3", "transaction 17"."""

    recorded_at: datetime
    actor: str
    act: str
    subject: str
    reason: str


def list_audits(
    connection: Connection, subjects: list[str] | None = None, *, limit: int, offset: int = 0
) -> list[AuditView]:
    """Return acts, newest first; with `subjects` only those on one of them."""
    columns = [audit.c[name] for name in AuditView.__struct_fields__]
    statement = select(*columns).where(_on(subjects)).order_by(audit.c.id.desc()).limit(limit).offset(offset)
    return [as_fact(AuditView, row) for row in connection.execute(statement)]


def count_audits(connection: Connection, subjects: list[str] | None = None) -> int:
    """Return how many `list_audits` would list in all."""
    return connection.execute(select(func.count()).select_from(audit).where(_on(subjects))).scalar_one()


def _on(subjects: list[str] | None) -> ColumnElement[bool]:
    return true() if subjects is None else audit.c.subject.in_(subjects)
