"""Reads what an account has running and what it spent today, for the limits of its group. Knows the tables; decides
nothing.
"""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, func, select

from csms.charging import models
from csms.charging.facts import Running
from csms.charging.working_set import Names, WorkingSet
from csms.db import Instant, any_of, as_fact

_tx = models.charging_transaction.c
_RUNNING = select(
    _tx.id,
    _tx.account_id,
    _tx.id_tag,
    _tx.charge_point_id,
    _tx.connector_id,
    _tx.started_at,
    func.coalesce(_tx.heard_at, _tx.recorded_at),
).where(_tx.state == "open", any_of(_tx.account_id, "keys"))
_SPENT = (
    select(_tx.account_id, func.sum(_tx.cost_minor))
    .where(any_of(_tx.account_id, "keys"), _tx.started_at >= bindparam("midnight", type_=Instant))
    .group_by(_tx.account_id)
)


def load(connection: Connection, names: Names, working_set: WorkingSet, now: datetime) -> None:
    """Read the open transactions of the accounts that may begin one, and today's cost where a group limits it."""
    accounts = working_set.books.accounts
    if names.tariffs and accounts:
        for row in connection.execute(_RUNNING, {"keys": sorted(accounts)}):
            one = as_fact(Running, row)
            working_set.running.setdefault(one.account_id, []).append(one)
    limited = [one.account_id for one in accounts.values() if _is_limited(one.group_id, working_set)]
    if limited:
        spent = connection.execute(_SPENT, {"keys": sorted(limited), "midnight": _midnight(now, working_set)})
        working_set.spent_today = {account_id: int(amount_minor) for account_id, amount_minor in spent}


def _is_limited(group_id: int | None, working_set: WorkingSet) -> bool:
    group = None if group_id is None else working_set.books.account_groups.get(group_id)
    return group is not None and group.daily_spend_minor is not None


def _midnight(now: datetime, working_set: WorkingSet) -> datetime:
    zone = ZoneInfo(working_set.policy.time_zone)
    return datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone)
