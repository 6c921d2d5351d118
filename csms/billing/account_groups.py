"""Groups of prepaid accounts: staff, residents, guests, with limits of their own, and which account is in which.

Works on a connection inside somebody else's unit of work. A limit that is None is what the settings say for everybody.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from csms.billing import models
from csms.billing.naming import alike
from csms.db import as_fact

_group, _account, _card = models.account_group.c, models.ledger_account.c, models.card.c


class AccountLimits(msgspec.Struct, frozen=True):
    """What the accounts of a group may, in minor units; None: what the settings say."""

    minimum_start_credit_minor: int | None = None
    maximum_balance_minor: int | None = None
    maximum_top_up_minor: int | None = None
    daily_spend_minor: int | None = None
    simultaneous_transactions: int | None = None
    is_staff: bool = False
    overdraft_minor: int = 0  # so far below zero an account may be charged


class AccountGroupView(msgspec.Struct, frozen=True):
    """A group with its limits, and how many accounts are in it."""

    group_id: int
    name: str
    limits: AccountLimits
    accounts: int


class Member(msgspec.Struct, frozen=True):
    """A card whose account is in a group."""

    id_tag: str
    printed_number: str
    account_id: int
    label: str


_OF_ITS_GROUP = select(_group.overdraft_minor).where(_group.id == _account.group_id).correlate(models.ledger_account)
OVERDRAFT: ColumnElement[int] = func.coalesce(_OF_ITS_GROUP.scalar_subquery(), 0)
"""The overdraft that the ledger account of a SELECT is allowed, in minor units."""
_ACCOUNTS = (
    select(func.count()).select_from(models.ledger_account).where(_account.group_id == _group.id).scalar_subquery()
)
_GROUPS = select(
    _group.id,
    _group.name,
    _group.minimum_start_credit_minor,
    _group.maximum_balance_minor,
    _group.maximum_top_up_minor,
    _group.daily_spend_minor,
    _group.simultaneous_transactions,
    _group.is_staff,
    _group.overdraft_minor,
    _ACCOUNTS,
).order_by(_group.name)


def nobody_could_start(limits: AccountLimits, everybodys_balance_minor: int) -> bool:
    """Tell whether a start asks for more credit than an account of the group can have."""
    most_minor = everybodys_balance_minor if limits.maximum_balance_minor is None else limits.maximum_balance_minor
    return (limits.minimum_start_credit_minor or 0) > most_minor + limits.overdraft_minor


def list_account_groups(connection: Connection) -> list[AccountGroupView]:
    """Return the groups by name."""
    return [_view(row) for row in connection.execute(_GROUPS).all()]


def find_account_group(
    connection: Connection, *, group_id: int | None = None, name: str | None = None
) -> AccountGroupView | None:
    """Return a group by its number or its name."""
    condition = _group.id == group_id if group_id is not None else _group.name == name
    row = connection.execute(_GROUPS.where(condition)).first()
    return None if row is None else _view(row)


def _view(row: Sequence[Any]) -> AccountGroupView:
    group_id, name, *limits, accounts = row
    return AccountGroupView(group_id, name, AccountLimits(*limits), accounts)


def add_account_group(connection: Connection, name: str, limits: AccountLimits, now: datetime) -> int | None:
    """Add a group and return its number, None where the name is taken."""
    if alike(name, connection.execute(select(_group.name)).scalars()) is not None:
        return None
    row = {"name": name, "created_at": now, **msgspec.structs.asdict(limits)}
    number: int = connection.execute(insert(models.account_group).returning(_group.id), row).scalar_one()
    return number


def change_account_group(connection: Connection, group_id: int, name: str, limits: AccountLimits) -> bool:
    """Change a group; False where another one has the name."""
    others = select(_group.name).where(_group.id != group_id)
    if alike(name, connection.execute(others).scalars()) is not None:
        return False
    values = {"name": name, **msgspec.structs.asdict(limits)}
    connection.execute(update(models.account_group).where(_group.id == group_id).values(values))
    return True


def put_account(connection: Connection, account_id: int, group_id: int | None) -> None:
    """Put a prepaid account into a group, or into none."""
    connection.execute(update(models.ledger_account).where(_account.id == account_id).values(group_id=group_id))


def group_of(connection: Connection, account_id: int) -> AccountGroupView | None:
    """Return the group of an account."""
    group_id = connection.execute(select(_account.group_id).where(_account.id == account_id)).scalar()
    return None if group_id is None else find_account_group(connection, group_id=group_id)


def members(connection: Connection, group_id: int, *, limit: int) -> list[Member]:
    """Return the cards whose accounts are in a group, by printed number."""
    statement = (
        select(_card.id_tag, _card.printed_number, _card.account_id, _card.label)
        .join_from(models.card, models.ledger_account, _account.id == _card.account_id)
        .where(_account.group_id == group_id)
        .order_by(_card.printed_number)
        .limit(limit)
    )
    return [as_fact(Member, row) for row in connection.execute(statement)]
