"""`csms card`: issue, top up, show, list; what becomes of the plastic is in `plastic`.

Money moves through the engine only. Without --key every call is a new act; with the same key it is booked once.
"""

import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

import typer

from csms.billing.account_groups import group_of
from csms.billing.audits import AuditView, list_audits
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.customers import find_customer
from csms.billing.money import format_amount
from csms.billing.prepaid import Booked, IssueCard, Refused, TopUp
from csms.billing.reports import CardView, cards_of, find_card, list_cards
from csms.cli import arguments, plastic
from csms.cli.card_words import AnyCard, IdTag, card_as_json, find, why_refused
from csms.cli.desks import find_desk
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, last_day, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal
from csms.installation import Installation

commands = typer.Typer()
plastic.add_commands(commands)

_ACTS = 20
_ATTEMPTS = 5  # to find a printed number that no card has
_TAKEN = (Refused("printed number exists"), Refused("key used before"))  # perhaps under a later number

Key = Annotated[str, typer.Option("--key", help="Idempotency key: the same key books once.")]
AtDesk = Annotated[
    str, typer.Option("--desk", help="The desk whose cash it is paid into; it gets a receipt of that desk.")
]


@commands.command()
def issue(
    id_tag: IdTag,
    credit: Annotated[str, typer.Option(help="First credit, such as 20.00.")] = "0",
    number: Annotated[str, typer.Option(help="The number printed on the card; without it one is made.")] = "",
    label: Annotated[str, typer.Option(help="A note for people.")] = "",
    expires: Annotated[str, typer.Option(help="The last day on which it is valid, such as 2029-12-31.")] = "",
    key: Key = "",
    desk: AtDesk = "",
    *,
    as_json: Json = False,
) -> None:
    """Issue a card: it is active at once and has an account of its own."""
    tag = arguments.id_tag(id_tag)
    with opened() as installation:
        credit_minor = arguments.amount(credit, installation.currency, "--credit", zero=True)
        entry_key = arguments.idempotency_key(key) or secrets.token_hex(16)
        source = _source(installation, desk)
        expires_at = arguments.day(expires, "--expires", installation.settings.time_zone) if expires else None
        for attempt in range(_ATTEMPTS):
            asked = IssueCard(
                tag,
                arguments.printed_number(number) or _number_for(f"{entry_key} {attempt}"),
                credit_minor,
                source,
                entry_key,
                ACTOR,
                installation.limits,
                expires_at,
                label=label.strip()[:100],
            )
            outcome = installation.engine.execute(asked)
            if number or outcome not in _TAKEN:
                break
        _tell(outcome, tag, installation, "Issued", as_json=as_json)


@commands.command("top-up")
def top_up(
    card: AnyCard,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 20.00.")],
    key: Key = "",
    desk: AtDesk = "",
    *,
    as_json: Json = False,
) -> None:
    """Add credit to the account of a card."""
    with opened() as installation:
        with installation.database.reading() as connection:
            known = find_card(connection, card)
        tag = arguments.id_tag(card) if known is None else known.id_tag
        asked = TopUp(
            tag,
            arguments.amount(amount, installation.currency),
            _source(installation, desk),
            arguments.idempotency_key(key) or secrets.token_hex(16),
            ACTOR,
            installation.limits,
        )
        outcome = installation.engine.execute(asked)
        _tell(outcome, tag, installation, "Topped up", as_json=as_json)


@commands.command()
def show(card: AnyCard, *, as_json: Json = False) -> None:
    """Show a card with its balance, what is held for charging cars, the overdraft that it is allowed, and what all this
    leaves available; and what was done to it.
    """
    with opened() as installation:
        found = find(installation, card)
        known = _around(installation, found)
        if as_json:
            around = {"group": known.group, "customer": known.customer, "cards_of_account": known.others}
            show_json(card_as_json(found, installation) | around | {"acts": known.acts})
            return
        time_zone = installation.settings.time_zone
        currency = installation.currency
        show_facts(
            [
                ("id tag", found.id_tag),
                ("printed number", found.printed_number),
                ("state", found.state),
                ("balance", arguments.money(found.balance_minor, currency)),
                ("held", arguments.money(found.held_minor, currency)),
                ("overdraft", arguments.money(found.overdraft_minor, currency)),
                ("available", arguments.money(found.available_minor, currency)),
                ("group", known.group),
                ("customer", known.customer),
                ("other cards", ", ".join(known.others)),
                ("label", found.label),
                ("valid through", last_day(found.expires_at, time_zone)),
                ("issued", moment(found.created_at, time_zone)),
            ],
        )
        if known.acts:
            rows = [(moment(one.recorded_at, time_zone), one.act, one.reason, one.actor) for one in known.acts]
            show_table(("time", "what was done", "reason", "by"), rows)


@dataclass(frozen=True)
class _Around:
    """What is known of a card beside itself; its account's other cards by their id tags."""

    group: str | None
    customer: str | None
    others: tuple[str, ...]
    acts: tuple[AuditView, ...]


def _around(installation: Installation, card: CardView) -> _Around:
    with installation.database.reading() as connection:
        subjects = [f"card {card.id_tag}", *([] if card.account_id is None else [f"account {card.account_id}"])]
        acts = tuple(list_audits(connection, subjects, limit=_ACTS))
        if card.account_id is None:
            return _Around(None, None, (), acts)
        group = group_of(connection, card.account_id)
        customer = find_customer(connection, card.account_id)
        cards = cards_of(connection, card.account_id)
        return _Around(
            None if group is None else group.name,
            None if customer is None or customer.erased_at is not None else customer.name or None,
            tuple(one.id_tag for one in cards if one.id_tag != card.id_tag),
            acts,
        )


@commands.command("list")
def show_list(
    search: Annotated[str, typer.Option(help="Part of an id tag, printed number, label or customer's data.")] = "",
    limit: Limit = 1000,
    *,
    as_json: Json = False,
) -> None:
    """List cards, by printed number."""
    with opened() as installation:
        with installation.database.reading() as connection:
            cards = list_cards(connection, search=search, by_customer=True, limit=limit)
        if as_json:
            show_json([card_as_json(card, installation) for card in cards])
            return
        columns = ("id tag", "printed number", "state", "balance", "held", "available", "label")
        amounts = (
            [
                format_amount(each, installation.currency)
                for each in (one.balance_minor, one.held_minor, one.available_minor)
            ]
            for one in cards
        )
        rows = [
            (one.id_tag, one.printed_number, one.state, *each, one.label)
            for one, each in zip(cards, amounts, strict=True)
        ]
        show_table(columns, rows, right=columns[3:6])


def _tell(outcome: Booked | Refused, tag: str, installation: Installation, done: str, *, as_json: bool) -> None:
    if isinstance(outcome, Refused):
        raise Refusal(why_refused(outcome, tag, installation))
    card = find(installation, tag)
    if as_json:
        show_json(card_as_json(card, installation) | {"repeated": outcome.repeated})
        return
    balance = arguments.money(card.balance_minor, installation.currency)
    what = f"{done} the card {tag} (printed number {card.printed_number})"
    if outcome.repeated:
        what = f"This key was booked before for the card {tag}, and was not booked again"
    say(f"{what}. Balance {balance}, available {arguments.money(card.available_minor, installation.currency)}.")


def _source(installation: Installation, desk: str) -> int:
    """Return the ledger account into which is paid."""
    if not desk:
        return CLEARING_COMMAND_LINE
    with installation.database.reading() as connection:
        return find_desk(connection, desk).cash_account_id


def _number_for(text: str) -> str:
    """Return a printed number for a card that was given none: the same one when the sale comes again under its key."""
    number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) % 10**8
    return f"{number // 10_000:04} {number % 10_000:04}"
