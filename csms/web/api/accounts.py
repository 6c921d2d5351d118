"""Prepaid accounts over the API: the amounts, the cards that draw on them, the statement."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from csms.billing import models, reports
from csms.billing.account_groups import OVERDRAFT
from csms.billing.books import available
from csms.web.api.card_views import Card, cards_of
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.values import Money, money

_account = models.ledger_account.c


class Account(msgspec.Struct, frozen=True):
    """A prepaid account. Available credit is the balance, less what running transactions hold, and the allowed
    overdraft.
    """

    id: int
    group_id: int | None
    balance: Money
    held: Money
    overdraft: Money
    available: Money
    created_at: datetime
    cards: tuple[Card, ...]


class Movement(msgspec.Struct, frozen=True):
    """What one journal entry did to the account, and the balance after it."""

    entry_id: int
    event: str
    happened_at: datetime
    recorded_at: datetime
    actor: str
    transaction_id: int | None
    amount: Money
    balance_after: Money


async def show(call: ApiCall) -> Account:
    """Show an account with its cards."""
    account_id = call.path_number("account_id")
    return found(await call.read(lambda connection: _find(call, connection, account_id)), "account")


def _find(call: ApiCall, connection: Connection, account_id: int) -> Account | None:
    columns = (_account.group_id, _account.credits_minor, _account.debits_minor, _account.held_minor)
    overdraft = OVERDRAFT.label("overdraft_minor")
    statement = select(*columns, overdraft, _account.created_at).where(
        _account.id == account_id, _account.code.like("2100:%")
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    currency, balance_minor = call.portal.currency, row.credits_minor - row.debits_minor
    return Account(
        account_id,
        row.group_id,
        money(balance_minor, currency),
        money(row.held_minor, currency),
        money(row.overdraft_minor, currency),
        money(available(balance_minor, row.held_minor, row.overdraft_minor), currency),
        row.created_at,
        tuple(cards_of(connection, currency, account_id)),
    )


async def show_statement(call: ApiCall, query: Paging) -> Page[Movement]:
    """List what moved an account, the newest first."""
    account_id, currency = call.path_number("account_id"), call.portal.currency
    before = read_cursor(query.cursor, tuple[int])

    def load(connection: Connection) -> list[reports.Movement] | None:
        if _find(call, connection, account_id) is None:
            return None
        behind = None if before is None else before[0]
        return reports.movements(connection, account_id, limit=query.limit + 1, before=behind)

    rows = [
        Movement(
            one.entry_id,
            one.event,
            one.happened_at,
            one.recorded_at,
            one.actor,
            one.reference,
            money(one.amount_minor, currency),
            money(one.balance_after_minor, currency),
        )
        for one in found(await call.read(load), "account")
    ]
    return page_of(rows, query.limit, lambda row: (row.entry_id,))


ENDPOINTS = (
    Endpoint("GET", "/accounts/{account_id:int}", show, "cards:read", "Show an account", Account, "cards"),
    Endpoint(
        "GET",
        "/accounts/{account_id:int}/statement",
        show_statement,
        "cards:read",
        "List what moved an account",
        Page[Movement],
        "cards",
        query=Paging,
        description="The newest first, each with the balance after it.",
    ),
)
