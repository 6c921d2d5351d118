"""The journal: entries with their transfers, of all, of one account or of one transaction; and the accounts' totals.

Reads only: what is in the journal stays as it is.
"""

import msgspec
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import models, reports
from csms.charging.verification_runs import VerificationRun, last_run
from csms.web.visit import PageOf, Visit


class AccountName(msgspec.Struct, frozen=True):
    """Which account a list is of; `id_tag` where it is a customer's."""

    account_id: int
    code: str
    name: str
    id_tag: str | None


async def show_list(visit: Visit) -> Response:
    """List journal entries, newest first."""
    account_id, reference = visit.query_number("account"), visit.query_number("transaction")

    def load(
        connection: Connection,
    ) -> tuple[PageOf, list[reports.EntryView], AccountName | None, VerificationRun | None]:
        page = visit.page_of(reports.count_entries(connection, account_id=account_id, reference=reference))
        entries = reports.list_entries(
            connection, account_id=account_id, reference=reference, limit=page.size, offset=page.offset
        )
        account = None if account_id is None else _account(connection, account_id)
        return page, entries, account, last_run(connection)

    page, entries, account, verified = await visit.read(load)
    if account_id is not None and account is None:
        raise HTTPException(404, "There is no such account.")
    movements: list[reports.Movement] = []
    if account is not None and account.id_tag is not None:
        movements = await visit.read(
            lambda connection: reports.movements(connection, account.account_id, limit=page.size, offset=page.offset)
        )
    return visit.page(
        "accounting/journal.html",
        pages=page,
        entries=entries,
        account=account,
        reference=reference,
        movements={one.entry_id: one for one in movements},
        verified=verified,
    )


async def show_entry(visit: Visit) -> Response:
    """Show one journal entry."""
    entry_id = visit.path_number("entry_id")
    entry = await visit.read(lambda connection: reports.find_entry(connection, entry_id))
    if entry is None:
        raise HTTPException(404, "There is no such journal entry.")
    return visit.page("accounting/entry.html", entry=entry)


async def show_accounts(visit: Visit) -> Response:
    """Show what every account of the chart comes to."""
    totals = await visit.read(reports.trial_balance)
    return visit.page(
        "accounting/accounts.html",
        totals=totals,
        debits_minor=sum(one.debits_minor for one in totals),
        credits_minor=sum(one.credits_minor for one in totals),
    )


def _account(connection: Connection, account_id: int) -> AccountName | None:
    statement = (
        select(
            models.ledger_account.c.id,
            models.ledger_account.c.code,
            models.ledger_account.c.name,
            models.card.c.id_tag,
        )
        .join_from(
            models.ledger_account, models.card, models.card.c.account_id == models.ledger_account.c.id, isouter=True
        )
        .where(models.ledger_account.c.id == account_id)
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else AccountName(*row)
