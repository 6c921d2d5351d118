"""`csms card`: issue, top up, show, list, block, unblock.

Money moves through the engine only. Without --key every call is a new act; with the same key it is booked once.
"""

import secrets
from datetime import datetime
from typing import Annotated

import typer

from csms.billing.books import Card, CardState
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.money import format_amount
from csms.billing.prepaid import Booked, ChangeCardState, IssueCard, RefusalReason, Refused, TopUp
from csms.billing.reports import CardView, find_card, list_cards
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal
from csms.installation import Installation

commands = typer.Typer()

_ATTEMPTS = 5  # to find a printed number that no card has

IdTag = Annotated[str, typer.Argument(metavar="ID_TAG", help="What the reader reads, such as 04A1B2C3.")]
Key = Annotated[str, typer.Option("--key", help="Idempotency key: the same key books once.")]


@commands.command()
def issue(
    id_tag: IdTag,
    credit: Annotated[str, typer.Option(help="First credit, such as 20.00.")] = "0",
    number: Annotated[str, typer.Option(help="The number printed on the card; without it one is made.")] = "",
    label: Annotated[str, typer.Option(help="A note for people.")] = "",
    key: Key = "",
    *,
    as_json: Json = False,
) -> None:
    """Issue a card: it is active at once and has an account of its own."""
    tag = arguments.id_tag(id_tag)
    with opened() as installation:
        credit_minor = arguments.amount(credit, installation.currency, zero=True)
        entry_key = arguments.idempotency_key(key) or secrets.token_hex(16)
        for _ in range(_ATTEMPTS):
            asked = IssueCard(
                tag,
                arguments.printed_number(number) or _random_number(),
                credit_minor,
                CLEARING_COMMAND_LINE,
                entry_key,
                ACTOR,
                installation.limits,
                label=label.strip()[:100],
            )
            outcome = installation.engine.execute(asked)
            if number or outcome != Refused("printed number exists"):
                break
        _tell(outcome, tag, installation, "Issued", as_json=as_json)


@commands.command("top-up")
def top_up(
    id_tag: IdTag,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 20.00.")],
    key: Key = "",
    *,
    as_json: Json = False,
) -> None:
    """Add credit to the account of a card."""
    tag = arguments.id_tag(id_tag)
    with opened() as installation:
        asked = TopUp(
            tag,
            arguments.amount(amount, installation.currency),
            CLEARING_COMMAND_LINE,
            arguments.idempotency_key(key) or secrets.token_hex(16),
            ACTOR,
            installation.limits,
        )
        outcome = installation.engine.execute(asked)
        _tell(outcome, tag, installation, "Topped up", as_json=as_json)


@commands.command()
def show(id_tag: IdTag, *, as_json: Json = False) -> None:
    """Show a card with its balance, what is held for charging cars, and what is available."""
    with opened() as installation:
        card = _find(installation, id_tag)
        if as_json:
            show_json(_as_json(card, installation))
            return
        currency = installation.currency
        show_facts(
            [
                ("id tag", card.id_tag),
                ("printed number", card.printed_number),
                ("state", card.state),
                ("balance", arguments.money(card.balance_minor, currency)),
                ("held", arguments.money(card.held_minor, currency)),
                ("available", arguments.money(card.available_minor, currency)),
                ("label", card.label),
                ("expires", moment(card.expires_at, installation.settings.time_zone)),
                ("issued", moment(card.created_at, installation.settings.time_zone)),
            ],
        )


@commands.command("list")
def show_list(
    search: Annotated[str, typer.Option(help="Part of an id tag, printed number or label.")] = "",
    limit: Limit = 1000,
    *,
    as_json: Json = False,
) -> None:
    """List cards, by printed number."""
    with opened() as installation:
        with installation.database.reading() as connection:
            cards = list_cards(connection, search=search, limit=limit)
        if as_json:
            show_json([_as_json(card, installation) for card in cards])
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


@commands.command()
def block(id_tag: IdTag, *, as_json: Json = False) -> None:
    """Block a card: it starts no charging any more; its credit stays."""
    _change(id_tag, "blocked", as_json=as_json)


@commands.command()
def unblock(id_tag: IdTag, *, as_json: Json = False) -> None:
    """Make a blocked card active again."""
    _change(id_tag, "active", as_json=as_json)


def _change(id_tag: str, state: CardState, *, as_json: bool) -> None:
    tag = arguments.id_tag(id_tag)
    with opened() as installation:
        before = _find(installation, tag)
        if before.state not in {"active", "blocked"}:
            raise Refusal(
                f"The card {tag} is {before.state}; only active cards are blocked, and blocked ones unblocked."
            )
        outcome: Card | Refused = installation.engine.execute(ChangeCardState(tag, state, ACTOR))
        if isinstance(outcome, Refused):
            raise Refusal(_why(outcome, tag, installation))
        if as_json:
            show_json(_as_json(_find(installation, tag), installation))
            return
        say(f"The card {tag} is {outcome.state}.")


def _find(installation: Installation, typed: str) -> CardView:
    with installation.database.reading() as connection:
        card = find_card(connection, typed)
    if card is None:
        raise Refusal(f"There is no card {typed}. `csms card list` shows the cards; `csms card issue` makes one.")
    return card


def _tell(outcome: Booked | Refused, tag: str, installation: Installation, done: str, *, as_json: bool) -> None:
    if isinstance(outcome, Refused):
        raise Refusal(_why(outcome, tag, installation))
    card = _find(installation, tag)
    if as_json:
        show_json(_as_json(card, installation) | {"repeated": outcome.repeated})
        return
    balance = arguments.money(card.balance_minor, installation.currency)
    what = f"{done} the card {tag} (printed number {card.printed_number})"
    if outcome.repeated:
        what = f"This key was booked before for the card {tag}, and was not booked again"
    say(f"{what}. Balance {balance}, available {arguments.money(card.available_minor, installation.currency)}.")


def _as_json(card: CardView, installation: Installation) -> dict[str, str | int | bool | datetime | None]:
    currency = installation.currency
    return {
        "id_tag": card.id_tag,
        "printed_number": card.printed_number,
        "state": card.state,
        "balance": format_amount(card.balance_minor, currency),
        "held": format_amount(card.held_minor, currency),
        "available": format_amount(card.available_minor, currency),
        "currency": currency.code,
        "account_id": card.account_id,
        "label": card.label,
        "expires_at": card.expires_at,
        "created_at": card.created_at,
    }


def _random_number() -> str:
    return f"{secrets.randbelow(10_000):04} {secrets.randbelow(10_000):04}"


def _why(refused: Refused, tag: str, installation: Installation) -> str:
    """Say why nothing was booked, and what to do."""
    most_at_once = arguments.money(installation.limits.maximum_top_up_minor, installation.currency)
    most_in_all = arguments.money(installation.limits.maximum_balance_minor, installation.currency)
    sentences: dict[RefusalReason, str] = {
        "unknown card": f"There is no card {tag}. Issue it first: csms card issue {tag}",
        "card not active": f"The card {tag} is not active, so nothing was booked; see: csms card show {tag}",
        "card exists": f"The card {tag} exists already. To add credit: csms card top-up {tag} AMOUNT",
        "printed number exists": "Another card has this printed number. Give another one with --number.",
        "amount not positive": "The amount has to be more than zero.",
        "amount above the limit": f"One top-up is at most {most_at_once} (CSMS_MAXIMUM_TOP_UP). Nothing was booked.",
        "balance above the limit": f"A balance is at most {most_in_all} (CSMS_MAXIMUM_BALANCE). Nothing was booked.",
        "key used before": "This key was used for something else before, so nothing was booked. Use a new key.",
    }
    return sentences[refused.reason]
