"""Cards over the API: issued, shown, blocked, topped up; by the same rules as at a desk.

What is paid over the API is owed by whoever holds the key: its account of the chart is "Clearing: API".
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection

from csms.billing.books import CardState, normalize_id_tag
from csms.billing.cards import SetExpiry
from csms.billing.chart_of_accounts import CLEARING_API
from csms.billing.prepaid import Booked, ChangeCardState, IssueCard, Refused, TopUp
from csms.web.api.card_views import Card, card_of, list_cards
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Moment, Money, Paid, Search, minor, money, utc
from csms.web.texts import words

Reason = Annotated[str, msgspec.Meta(max_length=300, description="Kept with the change.")]


class NewCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A card with an account of its own, active at once. One from stock keeps its printed number."""

    id_tag: Annotated[
        str,
        msgspec.Meta(pattern=r"^[A-Z0-9.*|=@+_]{1,20}$", description="Upper case.", examples=["04A1B2C3D4"]),
    ]
    printed_number: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./-]{0,29}$", examples=["2026 00042"])]
    credit: Paid | None = None
    label: Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\u0000-\u001f]*$")] = ""
    expires_at: Moment | None = None


class CardChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changes; what is not named stays. `expires_at` null: the card never expires."""

    state: Literal["active", "blocked", "lost", "retired"] | msgspec.UnsetType = msgspec.UNSET
    expires_at: Moment | msgspec.UnsetType | None = msgspec.UNSET
    reason: Reason = ""


class Because(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why somebody does it."""

    reason: Reason = ""


class NewTopUp(Paid, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Credit for the account of a card."""


class ToppedUp(msgspec.Struct, frozen=True):
    """It is in the ledger."""

    id_tag: str
    account_id: int
    amount: Money
    balance: Money
    available: Money


class CardFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which cards of the list."""

    search: Search | None = None
    state: CardState | None = None


async def show_list(call: ApiCall, query: CardFilter) -> Page[Card]:
    """List cards by id tag."""
    after = read_cursor(query.cursor, tuple[str])
    search, state, currency = query.search or "", query.state, call.portal.currency

    def load(connection: Connection) -> list[Card]:
        behind = after[0] if after else ""
        return list_cards(connection, currency, search=search, state=state, after=behind, limit=query.limit + 1)

    return page_of(await call.read(load), query.limit, lambda row: (row.id_tag,))


async def show(call: ApiCall) -> Card:
    """Show one card."""
    return await _shown(call, normalize_id_tag(call.path_text("id_tag")))


async def _shown(call: ApiCall, id_tag: str) -> Card:
    return found(await call.read(lambda connection: card_of(connection, call.portal.currency, id_tag)), "card")


async def issue(call: ApiCall, wanted: NewCard) -> Answer:
    """Issue a card, active at once, with its first credit."""
    credit_minor = 0 if wanted.credit is None else minor(wanted.credit, call.portal.currency, "credit.")
    asked = IssueCard(
        wanted.id_tag,
        " ".join(wanted.printed_number.split()),
        credit_minor,
        CLEARING_API,
        call.repetition,
        call.actor,
        call.portal.limits,
        expires_at=utc(wanted.expires_at, "expires_at"),
        label=wanted.label.strip(),
    )
    _booked(await call.submit(asked))
    body = await _shown(call, wanted.id_tag)
    return Answer(body, headers={"Location": f"/api/v1/cards/{wanted.id_tag}"})


async def change(call: ApiCall, wanted: CardChange) -> Card:
    """Change a card's state or expiry, where that is allowed."""
    id_tag = (await show(call)).id_tag
    if wanted.state is not msgspec.UNSET:
        _taken(await call.submit(ChangeCardState(id_tag, wanted.state, call.actor, wanted.reason)))
    if wanted.expires_at is not msgspec.UNSET:
        moment: datetime | None = utc(wanted.expires_at, "expires_at")
        _taken(await call.submit(SetExpiry(id_tag, moment, call.actor, wanted.reason)))
    return await _shown(call, id_tag)


async def block(call: ApiCall, wanted: Because) -> Card:
    """Block a card; its credit stays on its account."""
    return await change(call, CardChange(state="blocked", reason=wanted.reason))


async def unblock(call: ApiCall, wanted: Because) -> Card:
    """Let a blocked card charge again."""
    return await change(call, CardChange(state="active", reason=wanted.reason))


async def top_up(call: ApiCall, wanted: NewTopUp) -> ToppedUp:
    """Top up the account of a card, once for each Idempotency-Key."""
    id_tag, currency = (await show(call)).id_tag, call.portal.currency
    amount_minor = minor(wanted, currency, "")
    asked = TopUp(id_tag, amount_minor, CLEARING_API, call.repetition, call.actor, call.portal.limits)
    booked = _booked(await call.submit(asked))
    return ToppedUp(
        id_tag,
        booked.account_id,
        money(amount_minor, currency),
        money(booked.balance_minor, currency),
        money(booked.available_minor, currency),
    )


def _booked(outcome: Booked | Refused) -> Booked:
    if isinstance(outcome, Refused):
        raise Problem("refused", words(outcome.reason), reason=outcome.reason)
    return outcome


def _taken(outcome: object) -> None:
    if isinstance(outcome, Refused):
        raise Problem("refused", words(outcome.reason), reason=outcome.reason)


_TAG = "cards"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/cards",
        show_list,
        "cards:read",
        "List cards",
        Page[Card],
        _TAG,
        query=CardFilter,
        description="`search` looks for a part of id tag, printed number or label.",
    ),
    Endpoint(
        "POST",
        "/cards",
        issue,
        "cards:write",
        "Issue a card",
        Card,
        _TAG,
        status=201,
        request=NewCard,
        example={
            "id_tag": "04AA00BB11",
            "printed_number": "2026 00042",
            "credit": {"amount": "20.00", "currency": "EUR"},
        },
        problems=("refused",),
        repeatable=True,
    ),
    Endpoint("GET", "/cards/{id_tag}", show, "cards:read", "Show a card", Card, _TAG),
    Endpoint(
        "PATCH",
        "/cards/{id_tag}",
        change,
        "cards:write",
        "Change a card",
        Card,
        _TAG,
        request=CardChange,
        example={"state": "lost", "reason": "reported by telephone"},
        problems=("refused",),
        repeatable=True,
    ),
    Endpoint(
        "POST",
        "/cards/{id_tag}/block",
        block,
        "cards:write",
        "Block a card",
        Card,
        _TAG,
        request=Because,
        example={"reason": "misuse"},
        problems=("refused",),
        repeatable=True,
    ),
    Endpoint(
        "POST",
        "/cards/{id_tag}/unblock",
        unblock,
        "cards:write",
        "Unblock a card",
        Card,
        _TAG,
        request=Because,
        example={},
        problems=("refused",),
        repeatable=True,
    ),
    Endpoint(
        "POST",
        "/cards/{id_tag}/top-ups",
        top_up,
        "top-ups:write",
        "Top up a card",
        ToppedUp,
        _TAG,
        status=201,
        request=NewTopUp,
        description=(
            "Books credit by the same rules as at a desk: the card has to be active, the amount and the balance within "
            "the limits. The Idempotency-Key is the key of the journal entry: what was booked once is not booked "
            "again, even if the server ended between booking and answer."
        ),
        example={"amount": "20.00", "currency": "EUR"},
        problems=("refused",),
        repeatable=True,
        keyed=True,
    ),
)
