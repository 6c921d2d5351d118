"""The nightly verifications, each a row: which node does it, when it ran, how it ended; and the alarm when it found
something.

A row is claimed by its due moment, so that of several nodes one verifies. Works on the tables; verifies nothing itself.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from csms.billing.verification import Violation
from csms.charging.models import alarm, verification_run
from csms.db import as_fact

ALARM_KEY = "ledger verification"
ALARM_KIND = "ledger verification failed"
_ABANDONED_AFTER = timedelta(hours=6)
_TEXT_LENGTH = 300

_run, _alarm = verification_run.c, alarm.c


class VerificationRun(msgspec.Struct, frozen=True):
    """One nightly verification; without `finished_at` it is under way, or its node died."""

    due_at: datetime
    node: str
    started_at: datetime
    finished_at: datetime | None
    violations: int | None
    first_violation: str

    @property
    def is_sound(self) -> bool:
        """Whether it ended and found nothing."""
        return self.finished_at is not None and not self.violations


def claim(connection: Connection, due_at: datetime, node: str, now: datetime) -> bool:
    """Take the verification that was due, unless another node has it; one that its node left undone is taken over."""
    known = connection.execute(select(_run.due_at).where(_run.due_at == due_at).with_for_update()).first()
    if known is None:
        connection.execute(insert(verification_run), {"due_at": due_at, "node": node, "started_at": now})
        return True
    left = or_(_run.node == node, _run.started_at < now - _ABANDONED_AFTER)
    taken = update(verification_run).where(_run.due_at == due_at, _run.finished_at.is_(None), left)
    return bool(connection.execute(taken.values(node=node, started_at=now)).rowcount)


def release(connection: Connection, due_at: datetime, node: str) -> None:
    """Give a verification back that was not brought to its end."""
    connection.execute(delete(verification_run).where(_mine(due_at, node)))


def finish(
    connection: Connection, due_at: datetime, node: str, violations: int, first: Violation | None, now: datetime
) -> None:
    """Store how a verification ended; raise the alarm, or clear it."""
    text = "" if first is None else f"{first.rule}: {first.found}"[:_TEXT_LENGTH]
    ended = {"finished_at": now, "violations": violations, "first_violation": text}
    connection.execute(update(verification_run).where(_mine(due_at, node)).values(ended))
    mine = _alarm.key == ALARM_KEY
    if first is None:
        connection.execute(update(alarm).where(mine, _alarm.cleared_at.is_(None)).values(cleared_at=now))
        return
    said = {"text": f"{violations} violations; {text}"[:_TEXT_LENGTH], "last_at": now, "cleared_at": None}
    if not connection.execute(update(alarm).where(mine).values(**said, attempts=_alarm.attempts + 1)).rowcount:
        new = {"key": ALARM_KEY, "kind": ALARM_KIND, "attempts": 1, "first_seen_at": now}
        connection.execute(insert(alarm), said | new)


def last_run(connection: Connection) -> VerificationRun | None:
    """Return the last verification that came to its end, if there was one."""
    columns = [_run[name] for name in VerificationRun.__struct_fields__]
    ended = select(*columns).where(_run.finished_at.is_not(None)).order_by(_run.due_at.desc()).limit(1)
    row = connection.execute(ended).first()
    return None if row is None else as_fact(VerificationRun, row)


def _mine(due_at: datetime, node: str) -> ColumnElement[bool]:
    return and_(_run.due_at == due_at, _run.node == node, _run.finished_at.is_(None))
