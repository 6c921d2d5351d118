"""What the API shows of cards, read from the tables. Reads only."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from csms.billing import reports
from csms.billing.books import CardState
from csms.billing.money import Currency
from csms.web.api.values import Money, money


class Card(msgspec.Struct, frozen=True):
    """A card and the amounts of its account, which other cards may share; in stock it has none. `available` is what the
    account may spend: the balance, less what running transactions hold, and the allowed overdraft.
    """

    id_tag: str
    printed_number: str
    state: CardState
    label: str
    expires_at: datetime | None
    created_at: datetime
    account_id: int | None
    balance: Money
    held: Money
    overdraft: Money
    available: Money


def list_cards(
    connection: Connection, currency: Currency, *, search: str, state: CardState | None, after: str, limit: int
) -> list[Card]:
    """Return cards by id tag, those behind `after`."""
    rows = reports.cards_after(connection, after, search=search, state=state, limit=limit)
    return [_card(one, currency) for one in rows]


def card_of(connection: Connection, currency: Currency, id_tag: str) -> Card | None:
    """Return the card with this id tag (normalised), or None."""
    one = reports.card_with(connection, id_tag)
    return None if one is None else _card(one, currency)


def cards_of(connection: Connection, currency: Currency, account_id: int) -> list[Card]:
    """Return the cards of an account, the oldest first."""
    return [_card(one, currency) for one in reports.cards_of(connection, account_id)]


def _card(one: reports.CardView, currency: Currency) -> Card:
    return Card(
        one.id_tag,
        one.printed_number,
        one.state,
        one.label,
        one.expires_at,
        one.created_at,
        one.account_id,
        money(one.balance_minor, currency),
        money(one.held_minor, currency),
        money(one.overdraft_minor, currency),
        money(one.available_minor, currency),
    )
