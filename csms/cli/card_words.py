"""What the commands of `csms card` share: how a card is named, found, told as JSON, and why something was refused."""

from datetime import datetime
from typing import Annotated

import typer

from csms.billing.money import format_amount
from csms.billing.prepaid import RefusalReason, Refused
from csms.billing.reports import CardView, find_card
from csms.cli import arguments
from csms.cli.refusals import Refusal
from csms.installation import Installation

AnyCard = Annotated[str, typer.Argument(metavar="CARD", help="Id tag or printed number.")]
IdTag = Annotated[str, typer.Argument(metavar="ID_TAG", help="What the reader reads, such as 04A1B2C3.")]


def find(installation: Installation, typed: str) -> CardView:
    """Return a card by its id tag or printed number; Refusal where there is none."""
    with installation.database.reading() as connection:
        card = find_card(connection, typed)
    if card is None:
        raise Refusal(f"There is no card {typed}. `csms card list` shows the cards; `csms card issue` makes one.")
    return card


def card_as_json(card: CardView, installation: Installation) -> dict[str, str | int | bool | datetime | None]:
    """Return what scripts are told of a card."""
    currency = installation.currency
    return {
        "id_tag": card.id_tag,
        "printed_number": card.printed_number,
        "state": card.state,
        "balance": format_amount(card.balance_minor, currency),
        "held": format_amount(card.held_minor, currency),
        "overdraft": format_amount(card.overdraft_minor, currency),
        "available": format_amount(card.available_minor, currency),
        "currency": currency.code,
        "account_id": card.account_id,
        "label": card.label,
        "expires_at": card.expires_at,
        "created_at": card.created_at,
    }


def why_refused(refused: Refused, tag: str, installation: Installation) -> str:
    """Say why nothing was booked, and what to do."""
    most_at_once = arguments.money(installation.limits.maximum_top_up_minor, installation.currency)
    most_in_all = arguments.money(installation.limits.maximum_balance_minor, installation.currency)
    sentences: dict[RefusalReason, str] = {
        "unknown card": f"There is no card {tag}. Issue it first: csms card issue {tag}",
        "card not active": f"The card {tag} is not active, so nothing was booked; see: csms card show {tag}",
        "card past its expiry": f"The last day on which {tag} is valid is over, so nothing was booked; "
        "see: csms card expire --help",
        "card exists": f"The card {tag} exists already. To add credit: csms card top-up {tag} AMOUNT",
        "printed number exists": "Another card has this printed number. Give another one with --number.",
        "amount not positive": "The amount has to be more than zero.",
        "amount above the limit": f"One top-up is at most {most_at_once} (CSMS_MAXIMUM_TOP_UP), or what the limits of "
        "its account's group say. Nothing was booked.",
        "balance above the limit": f"A balance is at most {most_in_all} (CSMS_MAXIMUM_BALANCE), or what the limits of "
        "its account's group say. Nothing was booked.",
        "id tag not valid": f"{tag} is no id tag: 1 to 20 letters and digits.",
        "change not allowed": f"The card {tag} is in a state that cannot change like that; see: csms card show {tag}",
        "printed number missing": f"The card {tag} is not in stock: say with --number what is printed on it.",
        "key used before": "This key was used for something else before, so nothing was booked. Use a new key.",
    }
    return sentences[refused.reason]
