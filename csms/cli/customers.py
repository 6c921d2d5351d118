"""`csms customer`: set, show, erase. A customer is named by a card; the ledger never learns of it."""

from typing import Annotated

import typer

from csms import clock
from csms.billing import customers
from csms.billing.customers import Customer, CustomerView
from csms.billing.reports import find_card
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, say, show_facts, show_json
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation

commands = typer.Typer()

OfCard = Annotated[str, typer.Argument(metavar="CARD", help="Id tag or printed number of one of the customer's cards.")]

_LONGEST_REASON = 200


@commands.command("set")
def set_(
    card: OfCard,
    name: Annotated[str, typer.Option(help="Name.")] = "",
    email: Annotated[str, typer.Option(help="E-mail address.")] = "",
    phone: Annotated[str, typer.Option(help="Phone number.")] = "",
    language: Annotated[str, typer.Option(help="en, bg or de.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Keep what a customer told, in place of what was there."""
    one = Customer(name.strip(), email.strip(), phone.strip(), language.strip())
    wrong = customers.problems(one)
    if wrong:
        raise WrongArgument(" ".join(f"--{field}: {why}" for field, why in wrong.items()))
    if one == Customer():
        raise WrongArgument("Give a --name, --email, --phone or --language; `csms customer erase` takes them away.")
    with opened() as installation:
        account_id = _account(installation, card)
        with installation.database.unit_of_work() as connection:
            customers.set_customer(connection, account_id, one, actor=ACTOR, now=clock.now())
        if as_json:
            show_json(_as_json(_found(installation, account_id)))
            return
        say(f"The customer of card {card} is stored.")


@commands.command()
def show(card: OfCard, *, as_json: Json = False) -> None:
    """Show what is known of the customer of a card."""
    with opened() as installation:
        found = _found(installation, _account(installation, card))
        if found is None or found.erased_at is not None:
            raise Refusal(f"No customer was entered for the card {card}, or it was erased.")
        if as_json:
            show_json(_as_json(found))
            return
        show_facts(
            [("name", found.name), ("e-mail", found.email), ("phone", found.phone), ("language", found.language)]
        )


@commands.command()
def erase(
    card: OfCard,
    reason: Annotated[str, typer.Option(help="Why, without a name; it is kept.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Erase a customer's data and the labels of the cards; account, cards and ledger stay."""
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise WrongArgument(f"--reason has to be at most {_LONGEST_REASON} printable characters.")
    with opened() as installation:
        account_id = _account(installation, card)
        with installation.database.unit_of_work() as connection:
            erased = customers.erase_customer(connection, account_id, actor=ACTOR, reason=reason, now=clock.now())
        if as_json:
            show_json({"account_id": account_id, "erased": erased})
            return
        say(
            f"The customer of card {card} is erased."
            if erased
            else f"Nothing was known of the customer of card {card}."
        )


def _account(installation: Installation, typed: str) -> int:
    with installation.database.reading() as connection:
        found = find_card(connection, typed)
    if found is None or found.account_id is None:
        raise Refusal(f"There is no card {typed} with an account; `csms card list` shows the cards.")
    return found.account_id


def _found(installation: Installation, account_id: int) -> CustomerView | None:
    with installation.database.reading() as connection:
        return customers.find_customer(connection, account_id)


def _as_json(one: CustomerView | None) -> dict[str, object]:
    assert one is not None, "it was stored"
    return {name: getattr(one, name) for name in CustomerView.__struct_fields__}
