"""Money as integers of the currency's minor unit, and the one rounding: half up, away from zero.

Pure arithmetic; knows no account and no tariff. No binary float ever enters.
"""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import msgspec

TaxPoint = Literal["consumption", "top-up"]  # when the tax in a prepaid amount becomes payable

_AMOUNT = re.compile(r"[+-]?\d{1,12}([.,]\d{1,6})?", re.ASCII)


class Currency(msgspec.Struct, frozen=True):
    """The one currency of an installation: ISO 4217 code and number of decimals of its minor unit."""

    code: str
    decimals: int

    @property
    def scale(self) -> int:
        """How many minor units make one unit."""
        return int(10**self.decimals)


def round_half_up(value: Decimal) -> int:
    """Round to a whole number, halves away from zero (0.5 → 1, -0.5 → -1)."""
    return int(value.to_integral_value(rounding=ROUND_HALF_UP))


def to_minor(amount: Decimal, currency: Currency) -> int:
    """Convert an amount in units to minor units; raise ValueError where it has more decimals than the currency."""
    scaled = amount * currency.scale
    if scaled != scaled.to_integral_value():
        raise ValueError(f"has more than {currency.decimals} decimals")
    return int(scaled)


def parse_amount(text: str, currency: Currency) -> int:
    """Read what a person typed ("20", "20.00", "20,00") as minor units; raise ValueError that says what is wrong."""
    cleaned = text.strip().replace("\N{NO-BREAK SPACE}", "")
    if not _AMOUNT.fullmatch(cleaned):
        raise ValueError("is not an amount of money, such as 20.00")
    return to_minor(Decimal(cleaned.replace(",", ".")), currency)


def format_amount(amount_minor: int, currency: Currency) -> str:
    """Write minor units as a plain decimal string ("-3.05"), for scripts and files; pages format by language."""
    if not currency.decimals:
        return str(amount_minor)
    units, rest = divmod(abs(amount_minor), currency.scale)
    return f"{'-' if amount_minor < 0 else ''}{units}.{rest:0{currency.decimals}}"


def tax_between(before_minor: int, after_minor: int, tax_percent: Decimal) -> int:
    """Return by how much the tax in a balance rises; negative where it falls. All such steps add up without a rest."""
    return tax_included(after_minor, tax_percent) - tax_included(before_minor, tax_percent)


def tax_included(total_minor: int, tax_percent: Decimal) -> int:
    """Return the tax inside a total whose price includes it, rounded once: total x rate / (100 + rate)."""
    return round_half_up(Decimal(total_minor) * tax_percent / (100 + tax_percent))
