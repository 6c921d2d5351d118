"""Which group the account of a card is in, for the card's page. Reads only; it is changed by administration."""

import msgspec
from sqlalchemy import Connection

from csms.billing.account_groups import AccountGroupView, group_of, list_account_groups
from csms.web.forms import Form


class GroupChoice(msgspec.Struct, frozen=True):
    """The group of an account, and those there are."""

    present: AccountGroupView | None
    every: tuple[AccountGroupView, ...]
    form: Form


def load_groups(connection: Connection, account_id: int | None) -> GroupChoice:
    """Read them; a card in stock has no account and so no group."""
    present = None if account_id is None else group_of(connection, account_id)
    return GroupChoice(present, tuple(list_account_groups(connection)), Form())
