"""Reads what an account has running and what it charged today, for the limits of its group. Knows the tables; decides
nothing.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, bindparam, case, func, or_, select, union_all

from csms.billing import ledger
from csms.charging import models, silence
from csms.charging.daily_limit import last_point
from csms.charging.facts import AFTER_THE_END, Running, Transaction
from csms.charging.points import IMPLAUSIBLE, points_of
from csms.charging.unfinished import is_open, is_unfinished
from csms.charging.working_set import Names, WorkingSet
from csms.db import Instant, any_of, as_fact

_LONGEST = timedelta(days=31)  # an ended transaction that began longer ago is not looked for in an account's history

_tx = models.charging_transaction.c
_RUNNING = select(
    _tx.id,
    _tx.account_id,
    _tx.id_tag,
    _tx.charge_point_id,
    _tx.connector_id,
    _tx.started_at,
    func.coalesce(_tx.heard_at, _tx.recorded_at),
    _tx.zombie_at,
).where(is_open(_tx.state), _tx.authorization_status == "Accepted", any_of(_tx.account_id, "keys"))
_MIDNIGHT = bindparam("midnight", type_=Instant)
_TRANSACTIONS = select(*(_tx["id" if name == "transaction_id" else name] for name in Transaction.__struct_fields__))
# One that is locked is being heard of just now: nobody waits for it, and no two processes for each other.
_SILENT = _TRANSACTIONS.where(any_of(_tx.id, "keys")).order_by(_tx.id).with_for_update(skip_locked=True)
_TODAYS = union_all(
    _TRANSACTIONS.where(any_of(_tx.account_id, "keys"), is_unfinished(_tx.state)),
    _TRANSACTIONS.where(
        any_of(_tx.account_id, "keys"),
        _tx.started_at >= bindparam("earliest", type_=Instant),
        _tx.state == "ended",
        or_(_tx.started_at >= _MIDNIGHT, _tx.ended_at > _MIDNIGHT, _tx.corrected_ended_at > _MIDNIGHT),
    ),
)
# Where the price depends on nothing else, the two readings around midnight say what was drawn before it.
_reading, _near = models.reading.c, models.reading.alias()
_OF_IT = and_(
    _near.c.transaction_id == _tx.id,
    _near.c.register_wh.is_not(None),
    _near.c.flags.not_like(f"%{AFTER_THE_END}"),
    _near.c.flags.not_like(f"%{IMPLAUSIBLE}"),
)
_LAST = select(func.max(_near.c.happened_at)).where(_OF_IT, _near.c.happened_at <= _MIDNIGHT).scalar_subquery()
_NEXT = select(func.min(_near.c.happened_at)).where(_OF_IT, _near.c.happened_at > _MIDNIGHT).scalar_subquery()
_AROUND = (
    select(_reading.transaction_id, _reading.happened_at, _reading.register_wh, _reading.power_w, _reading.flags)
    .join_from(models.charging_transaction, models.reading, _reading.transaction_id == _tx.id)
    .where(
        any_of(_tx.id, "keys"),
        _reading.happened_at >= case((_tx.needs_spans, _tx.started_at), else_=func.coalesce(_LAST, _tx.started_at)),
        _reading.happened_at <= func.coalesce(_NEXT, _MIDNIGHT),
    )
)


def load(connection: Connection, names: Names, working_set: WorkingSet, now: datetime) -> None:
    """Read the open transactions of the accounts that may begin one, and today's where a group limits their cost."""
    accounts = working_set.books.accounts
    if names.tariffs and accounts:
        for row in connection.execute(_RUNNING, {"keys": sorted(accounts)}):
            one = as_fact(Running, row)
            working_set.running.setdefault(one.account_id, []).append(one)
        _load_silent(connection, working_set, now)
    limited = [one.account_id for one in accounts.values() if _is_limited(one.group_id, working_set)]
    if limited:
        working_set.midnight = _midnight(now, working_set)
        _load_todays(connection, limited, working_set.midnight, working_set)


def _load_silent(connection: Connection, working_set: WorkingSet, now: datetime) -> None:
    """Load what may have to be asked for: the transactions of which nothing was heard for a while."""
    running = [one for found in working_set.running.values() for one in found]
    silent = {one.transaction_id for one in running if now - (one.heard_at or one.started_at) >= silence.SOONEST}
    if unknown := sorted(silent - set(working_set.transactions)):
        for row in connection.execute(_SILENT, {"keys": unknown}):
            working_set.transactions[row[0]] = Transaction(*row)


def _load_todays(connection: Connection, accounts: list[int], midnight: datetime, working_set: WorkingSet) -> None:
    parameters = {"keys": sorted(accounts), "midnight": midnight, "earliest": midnight - _LONGEST}
    todays = [Transaction(*row) for row in connection.execute(_TODAYS, parameters)]
    for one in todays:
        if one.account_id is not None:
            working_set.todays.setdefault(one.account_id, []).append(one)
    corrected = {one.transaction_id for one in todays if one.corrected_ended_at is not None}
    ledger.load_billed(connection, corrected - working_set.books.billed.keys(), working_set.books)
    over = [one.transaction_id for one in todays if one.started_at < midnight < last_point(one).at]
    if over:
        for transaction_id, *told in connection.execute(_AROUND, {"keys": over, "midnight": midnight}):
            working_set.points_at_midnight.setdefault(transaction_id, []).extend(points_of([told]))


def _is_limited(group_id: int | None, working_set: WorkingSet) -> bool:
    group = None if group_id is None else working_set.books.account_groups.get(group_id)
    return group is not None and group.daily_spend_minor is not None


def _midnight(now: datetime, working_set: WorkingSet) -> datetime:
    zone = ZoneInfo(working_set.policy.time_zone)
    return datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone).astimezone(UTC)
