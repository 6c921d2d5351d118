"""`csms ledger`: verify recomputes the books from their rows; journal shows the entries behind a balance, audit what
people decided and changed.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from csms.billing.audits import list_audits
from csms.billing.money import Currency, format_amount
from csms.billing.reports import EntryView, find_card, list_entries
from csms.billing.verification import Violation
from csms.charging.verification import INVARIANTS, Progress, snapshot
from csms.charging.verification import verify as verify_ledger
from csms.charging.verification_runs import last_run
from csms.cli.opening import opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal
from csms.installation import Installation

commands = typer.Typer()

_MOST_SHOWN = 1000

Wanted = Annotated[
    list[int] | None,
    typer.Option(
        "--invariant",
        min=INVARIANTS[0],
        max=INVARIANTS[-1],
        help="Only this one (docs/accounting.md); may be repeated.",
    ),
]


Last = Annotated[bool, typer.Option("--last", help="Only tell how the last nightly verification ended.")]


@commands.command()
def verify(*, invariant: Wanted = None, last: Last = False, as_json: Json = False) -> None:
    """Check all nine invariants on the live database: exit status 0: everything fits; 1: something does not, and is
    named.
    """
    with opened() as installation:
        if last:
            _tell_last(installation, as_json=as_json)
            return
        found: list[Violation] = []
        count = 0
        with _progress(shown=not as_json) as on_step, snapshot(installation.database) as connection:
            wanted = invariant or INVARIANTS
            for violation in verify_ledger(connection, installation.currency, invariants=wanted, on_step=on_step):
                count += 1
                if count <= _MOST_SHOWN:
                    found.append(violation)
        if as_json:
            show_json({"sound": not count, "violations": count, "first": found})
        else:
            for one in found:
                say(f"Violated (invariant {one.invariant}): {one.rule}. Found: {one.found}")
            say(
                f"The ledger does not verify: {count} violations." if count else "The ledger verifies: everything fits."
            )
    if count:
        raise typer.Exit(1)


@commands.command()
def journal(
    card: Annotated[str, typer.Option(help="Only what moved the account of this card.")] = "",
    transaction: Annotated[int | None, typer.Option(help="Only what belongs to this transaction.")] = None,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """Show journal entries with their transfers, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            view = find_card(connection, card) if card else None
            if card and (view is None or view.account_id is None):
                raise Refusal(f"There is no card {card} with an account; `csms card list` shows the cards.")
            account_id = None if view is None else view.account_id
            entries = list_entries(connection, account_id=account_id, reference=transaction, limit=limit)
        currency = installation.currency
        if as_json:
            show_json([_as_json(one, currency) for one in entries])
            return
        columns = ("entry", "recorded", "event", "by", "transaction", "debit", "credit", "amount")
        rows = (row for one in entries for row in _rows(one, currency, installation.settings.time_zone))
        show_table(columns, rows, right=("entry", "transaction", "amount"))


@commands.command()
def audit(
    subject: Annotated[str, typer.Option("--on", help="Only on this, such as 'transaction 17'.")] = "",
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """Show what people decided and changed, whether money moved or not, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            acts = list_audits(connection, [subject] if subject else None, limit=limit)
        if as_json:
            show_json(acts)
            return
        zone = installation.settings.time_zone
        rows = ((moment(one.recorded_at, zone), one.act, one.subject, one.actor, one.reason) for one in acts)
        show_table(("recorded", "what", "on", "by", "reason"), rows)


def _tell_last(installation: Installation, *, as_json: bool) -> None:
    with installation.database.reading() as connection:
        run = last_run(connection)
    if run is None:
        raise Refusal("No nightly verification came to its end yet.")
    if as_json:
        show_json({"last": run, "sound": run.is_sound})
    else:
        ended = moment(run.finished_at, installation.settings.time_zone)
        found = (
            f"{run.violations} violations. The first: {run.first_violation}" if run.violations else "everything fits."
        )
        say(f"Last verified: {ended} by {run.node}, {found}")
    if not run.is_sound:
        raise typer.Exit(1)


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """Show on a terminal how far the verification is; elsewhere say nothing."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("Verifying"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.steps)


def _rows(one: EntryView, currency: Currency, time_zone: str) -> Iterator[tuple[object, ...]]:
    head: tuple[object, ...] = (
        one.entry_id,
        moment(one.recorded_at, time_zone),
        one.event,
        one.actor,
        one.reference,
    )
    if not one.transfers:
        yield (*head, "", "", "")
    for transfer in one.transfers:
        amount = format_amount(transfer.amount_minor, currency)
        debit = f"{transfer.debit_code} {transfer.debit_name}"
        yield (*head, debit, f"{transfer.credit_code} {transfer.credit_name}", amount)
        head = ("",) * len(head)


def _as_json(one: EntryView, currency: Currency) -> dict[str, object]:
    return {
        "entry_id": one.entry_id,
        "event": one.event,
        "key": one.idempotency_key,
        "transaction_id": one.reference,
        "happened_at": one.happened_at,
        "recorded_at": one.recorded_at,
        "actor": one.actor,
        "currency": currency.code,
        "transfers": [
            {
                "debit": each.debit_code,
                "debit_name": each.debit_name,
                "credit": each.credit_code,
                "credit_name": each.credit_name,
                "amount": format_amount(each.amount_minor, currency),
            }
            for each in one.transfers
        ],
    }
