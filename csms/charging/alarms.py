"""What the administrator has to know: the alarms that hold, those that are over, and that a person has seen one.

An alarm ends by itself where its cause ends. One whose cause is past (energy that is missing, say) ends when a person
has seen it; who that was stands in the audit. Those of review items end with their decision and are not listed here.
"""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, select, true, update

from csms.billing import ledger
from csms.billing.books import Audit
from csms.charging import models
from csms.db import as_fact

_alarm, _cp = models.alarm.c, models.charge_point.c
_OWN = _alarm.key.not_like("review: %")


class AlarmView(msgspec.Struct, frozen=True):
    """An alarm; `attempts` is how often it was noticed, `cleared_at` None while it holds."""

    key: str
    kind: str
    text: str
    charge_point_id: int | None
    charge_point: str | None
    transaction_id: int | None
    attempts: int
    first_seen_at: datetime
    last_at: datetime
    cleared_at: datetime | None


def list_alarms(
    connection: Connection, *, holds: bool | None = True, limit: int, offset: int = 0, since: datetime | None = None
) -> list[AlarmView]:
    """Return alarms that hold (or, with False, are over; with None, both), the latest first."""
    statement = (
        select(
            _alarm.key,
            _alarm.kind,
            _alarm.text,
            _alarm.charge_point_id,
            _cp.identity,
            _alarm.transaction_id,
            _alarm.attempts,
            _alarm.first_seen_at,
            _alarm.last_at,
            _alarm.cleared_at,
        )
        .select_from(models.alarm.outerjoin(models.charge_point, _cp.id == _alarm.charge_point_id))
        .where(_wanted(holds), true() if since is None else _alarm.last_at >= since)
        .order_by(_alarm.last_at.desc(), _alarm.key)
    )
    return [as_fact(AlarmView, row) for row in connection.execute(statement.limit(limit).offset(offset))]


def count_alarms(connection: Connection, *, holds: bool | None = True) -> int:
    """Return how many `list_alarms` would list in all."""
    return connection.execute(select(func.count()).select_from(models.alarm).where(_wanted(holds))).scalar_one()


def acknowledge(connection: Connection, key: str, actor: str, reason: str, now: datetime) -> bool:
    """End an alarm that somebody has seen; return whether it held. It comes back when its cause is noticed again."""
    ended = update(models.alarm).where(_OWN, _alarm.key == key, _alarm.cleared_at.is_(None)).values(cleared_at=now)
    if not connection.execute(ended.returning(_alarm.key)).all():
        return False
    ledger.write_audits(connection, [Audit("alarm acknowledged", key[:60], actor, reason[:200])], now)
    return True


def _wanted(holds: bool | None) -> ColumnElement[bool]:  # noqa: FBT001 - three answers
    if holds is None:
        return _OWN
    return and_(_OWN, _alarm.cleared_at.is_(None) if holds else _alarm.cleared_at.is_not(None))
