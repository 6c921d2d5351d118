"""Form fields read into typed values, with one error per field, in words that stand after the field's label.

What was typed is kept for showing the form again. Knows fields and types; not what a form is for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from urllib.parse import parse_qsl

from csms.billing.money import Currency, format_amount, parse_amount

_MOST_FIELDS = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LARGEST_NUMBER = 2**31 - 1
_RATE = re.compile(r"\d{1,9}([.,]\d{1,6})?", re.ASCII)
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"  # in amounts that were copied from a page

Choice = TypeVar("Choice", bound=str)


def decode_form(body: bytes, *, lines: bool = False) -> dict[str, str]:
    """Read an urlencoded body; of a repeated field the last one counts. Raises ValueError when it is not one.

    With `lines` the ends of lines are kept, as certificates need them.
    """
    pairs = parse_qsl(
        body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, encoding="utf-8", errors="strict"
    )
    return {name: clean_lines(value) if lines else clean(value) for name, value in pairs}


def clean(text: str) -> str:
    """Remove control characters: card readers and clipboards add them, and databases refuse some."""
    return _CONTROL.sub("", text)


def clean_lines(text: str) -> str:
    """Remove control characters but for the ends of lines, which become those of Unix."""
    return "\n".join(clean(line) for line in text.replace("\r\n", "\n").split("\n"))


class Form:
    """The fields of one form as typed, and what is wrong with them."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        """Without fields it is an empty form, to be filled."""
        self._fields = dict(fields or {})
        self.errors: dict[str, str] = {}

    @property
    def valid(self) -> bool:
        """Whether nothing was found wrong so far."""
        return not self.errors

    def typed(self, name: str, default: str = "") -> str:
        """Return what was typed, for showing it again."""
        return self._fields.get(name, default)

    def with_value(self, name: str, value: str) -> "Form":
        """Return a form in which a field is typed."""
        return Form({**self._fields, name: value})

    def below(self, prefix: str) -> Iterator[str]:
        """Return what was typed in all fields whose name begins so."""
        return (value for name, value in self._fields.items() if name.startswith(prefix))

    def error(self, name: str) -> str:
        """Return what is wrong with a field, empty when nothing is."""
        return self.errors.get(name, "")

    def refuse(self, name: str, why: str) -> None:
        """Mark a field; the first reason stays."""
        self.errors.setdefault(name, why)

    def text(self, name: str, *, longest: int, required: bool = True) -> str:
        """Return the text without blanks around it."""
        text = self.typed(name).strip()
        if required and not text:
            self.refuse(name, "Please fill this in.")
        if len(text) > longest:
            self.refuse(name, f"At most {longest} characters.")
        return text

    def secret(self, name: str) -> str:
        """Return a password as it was typed."""
        secret = self._fields.pop(name, "")
        if not secret:
            self.refuse(name, "Please fill this in.")
        return secret

    def amount_minor(self, name: str, currency: Currency, *, most_minor: int, least_minor: int = 1) -> int:
        """Return an amount of money in minor units; 0 where the field is marked."""
        typed = self.typed(name).strip()
        if not typed and least_minor == 0:
            return 0
        if not typed:
            self.refuse(name, "Please enter an amount.")
            return 0
        amount_minor, why = _amount(typed, currency)
        if why:
            self.refuse(name, f"“{typed[:30]}” {why}.")
            return 0
        if amount_minor < least_minor:
            self.refuse(name, "The amount must be more than zero." if least_minor else "The amount cannot be negative.")
        if amount_minor > most_minor:
            self.refuse(name, f"At most {format_amount(most_minor, currency)} {currency.code}.")
        return amount_minor if self.valid else 0

    def rate(self, name: str, *, most: Decimal = Decimal(1_000_000)) -> Decimal:
        """Return a price or a percentage with up to six decimals; 0 where it is empty or marked."""
        typed = self.typed(name).strip()
        if not typed:
            return Decimal(0)
        try:
            value = Decimal(typed.replace(",", ".")) if _RATE.fullmatch(typed) else None
        except InvalidOperation:
            value = None
        if value is None or value > most:
            self.refuse(name, f"A number from 0 to {most}, with at most six decimals.")
            return Decimal(0)
        return value

    def choice(self, name: str, allowed: Sequence[Choice]) -> Choice:
        """Return one of `allowed`; the first of them where the field is marked."""
        typed = self.typed(name)
        for one in allowed:
            if typed == one:
                return one
        self.refuse(name, "Please choose one of these.")
        return allowed[0]

    def number(self, name: str) -> int | None:
        """Return a whole number from 0, None where the field is empty or marked."""
        typed = self.typed(name).strip()
        if not typed:
            return None
        if not re.fullmatch(r"\d{1,10}", typed, re.ASCII) or int(typed) > _LARGEST_NUMBER:
            self.refuse(name, "A whole number.")
            return None
        return int(typed)


def _amount(typed: str, currency: Currency) -> tuple[int, str]:
    """Read an amount; return it in minor units, or what is wrong with it. Digits of other scripts are not ours."""
    if not typed.replace(_NO_BREAK_SPACE, "").isascii():
        return 0, "is not an amount of money, such as 20.00"
    try:
        return parse_amount(typed, currency), ""
    except ValueError as error:
        return 0, str(error)
