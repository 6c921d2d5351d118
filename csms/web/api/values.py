"""Values that several resources share: money, numbers of things, texts; how they are read and written."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from csms.billing.money import Currency, format_amount, to_minor
from csms.web.api.problems import Problem

Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Amount = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$", description="In units of the currency.", examples=["12.50"]
    ),
]
PaidAmount = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,4})?$", description="Not negative.", examples=["20.00"])
]
CurrencyCode = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$", examples=["EUR"])]
Rate = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$", description="In units of the currency, tax included.", examples=["0.35"]
    ),
]
IdTag = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=40,
        pattern=r"^[^\u0000-\u001f/]+$",
        description="Of a card, in upper or lower case, with or without separators.",
        examples=["04A1B2C3D4"],
    ),
]
Moment = Annotated[datetime, msgspec.Meta(tz=True, examples=["2026-05-01T09:30:00Z"])]
Search = Annotated[str, msgspec.Meta(max_length=100, description="A part of what is looked for.")]

_YEARS = range(1970, 9999)


class Money(msgspec.Struct, frozen=True):
    """An amount of money, written as text so that no program turns it into a binary fraction."""

    amount: Amount
    currency: CurrencyCode


class Paid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An amount of money that somebody paid."""

    amount: PaidAmount
    currency: CurrencyCode


def money(amount_minor: int, currency: Currency) -> Money:
    """Write minor units."""
    return Money(format_amount(amount_minor, currency), currency.code)


def money_or_none(amount_minor: int | None, currency: Currency) -> Money | None:
    """Write minor units where there are any."""
    return None if amount_minor is None else money(amount_minor, currency)


def minor(paid: Paid, currency: Currency, field: str) -> int:
    """Read an amount as minor units; `Problem` names the field where it is of another currency, or too fine."""
    if paid.currency != currency.code:
        raise Problem("invalid", f"Money is kept in {currency.code} here.", field=f"{field}currency")
    return amount_minor(paid.amount, currency, f"{field}amount")


def amount_minor(text: str, currency: Currency, field: str) -> int:
    """Read an amount in units; `Problem` where it is finer than the currency."""
    try:
        return to_minor(Decimal(text), currency)
    except ValueError as error:
        raise Problem("invalid", f"The amount {error}.", field=field) from None


def plain(rate: Decimal) -> str:
    """Write a rate without needless zeros and never with an exponent."""
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def utc(moment: datetime | None, field: str) -> datetime | None:
    """Return a moment in UTC; `Problem` for one that no calendar of ours holds."""
    if moment is None:
        return None
    if moment.year not in _YEARS:
        raise Problem("invalid", f"The year has to lie from {_YEARS[0]} to {_YEARS[-1]}.", field=field)
    return moment.astimezone(UTC)
