"""What was typed, read and checked: amounts, rates, id tags, identities, keys. A wrong one says what is allowed.

Amounts and rates are exact decimals from the first character on.
"""

import re
import string
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from csms import clock
from csms.billing.books import normalize_id_tag
from csms.billing.money import Currency, format_amount, parse_amount
from csms.billing.price_lists import MOST_RATE_DECIMALS
from csms.billing.stock_file import end_of_day
from csms.billing.wall_clock import read_moment
from csms.cli.refusals import WrongArgument

_LONGEST_ID_TAG = 20  # OCPP 1.6, 7.28: CiString20Type
_LONGEST_IDENTITY = 255
_LONGEST_NAME = 100
_LONGEST_KEY = 150
_LONGEST_NUMBER = 30
_KEY_BYTES = range(16, 21)  # Security Whitepaper, A00.FR.204
_RATE = re.compile(rf"[0-9]{{1,6}}([.,][0-9]{{1,{MOST_RATE_DECIMALS}}})?")
_UNSAFE_IN_IDENTITY = frozenset("/?#%:\\")


def amount(text: str, currency: Currency, option: str = "", *, zero: bool = False) -> int:
    """Return minor units of an amount above zero, or of zero where that is possible."""
    try:
        minor = parse_amount(text, currency)
    except ValueError as error:
        raise WrongArgument(f"{option}: {text!r} {error}.".removeprefix(": ")) from None
    if minor < 0 or (not minor and not zero):
        least = "zero or more" if zero else "more than zero"
        raise WrongArgument(f"{option or 'The amount'} is {text}, and has to be {least}.")
    return minor


def rate(text: str, option: str, what: str = "a price") -> Decimal:
    """Return a price per unit, in currency units, or what else it is, with up to six decimals."""
    if not _RATE.fullmatch(text.strip()):
        raise WrongArgument(f"{option} is {text!r}: {what} from 0 to 999999 with up to six decimals, such as 0.35.")
    return Decimal(text.strip().replace(",", "."))


def percent(text: str, option: str) -> Decimal:
    """Return a percentage from 0 to below 100."""
    value = rate(text, option, "a percentage")
    if value >= 100:  # noqa: PLR2004 - of a hundred
        raise WrongArgument(f"{option} is {text}: a percentage from 0 to below 100, such as 20.")
    return value


def whole(text: str, option: str, *, most: int = 2**31 - 1) -> int:
    """Return a whole number from zero."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) > most:
        raise WrongArgument(f"{option} is {text!r}: a whole number from 0 to {most}.")
    return int(text)


def energy_wh(text: str, option: str) -> int:
    """Return Wh of an energy in kWh with up to three decimals."""
    wh = rate(text, option, "kWh") * 1000
    if wh != wh.to_integral_value():
        raise WrongArgument(f"{option} is {text!r}: kWh with up to three decimals, such as 12.5.")
    return int(wh)


def seconds(text: str, option: str) -> int:
    """Return seconds of a time in minutes."""
    return int(rate(text, option, "minutes") * 60)


def moment(text: str, option: str, time_zone: str) -> datetime:
    """Return a moment from a date, or a date and a time, on the wall clock of a zone."""
    try:
        return read_moment(text, ZoneInfo(time_zone))
    except ValueError as error:
        raise WrongArgument(f"{option}: {error}.") from None


def time_zone(text: str) -> str:
    """Return the name of a time zone."""
    if text not in clock.time_zones():
        raise WrongArgument(f"--time-zone is {text!r}: it must be a name of the tz database, such as Europe/Sofia.")
    return text


def id_tag(text: str) -> str:
    """Return an id tag as it is stored: upper case, without separators, 1 to 20 characters."""
    tag = normalize_id_tag(text)
    if not 1 <= len(tag) <= _LONGEST_ID_TAG or not tag.isascii() or not tag.isprintable():
        raise WrongArgument(
            f"{text!r} is no id tag: 1 to {_LONGEST_ID_TAG} letters and digits, such as 04A1B2C3D4E5F6."
        )
    return tag


def day(text: str, option: str, time_zone: str) -> datetime:
    """Return the end of a last valid day, on the wall clock of a zone."""
    try:
        return end_of_day(date.fromisoformat(text), ZoneInfo(time_zone))
    except (ValueError, OverflowError):
        raise WrongArgument(f"{option} is {text!r}: a day, such as 2029-12-31.") from None


def identity(text: str) -> str:
    """Return a charge point's identity: it has to fit a URL's path and a user name (OCPP-J 1.6, 3.1.1; RFC 7617)."""
    fits = text.isprintable() and " " not in text and not _UNSAFE_IN_IDENTITY.intersection(text)
    if not 1 <= len(text) <= _LONGEST_IDENTITY or not fits:
        unsafe = " ".join(sorted(_UNSAFE_IN_IDENTITY))
        raise WrongArgument(
            f"{text!r} is no identity of a charge point: 1 to {_LONGEST_IDENTITY} characters, "
            f"no blank and none of {unsafe}",
        )
    return text


def key(text: str) -> bytes:
    """Return a station's key from its hex digits."""
    if set(text) <= set(string.hexdigits) and len(text) % 2 == 0 and len(text) // 2 in _KEY_BYTES:
        return bytes.fromhex(text)
    raise WrongArgument("The key has to be 16 to 20 bytes, written as 32 to 40 hex digits.")


def idempotency_key(text: str) -> str:
    """Return a client's key, or "" where none was given."""
    if len(text) > _LONGEST_KEY or not text.isprintable():
        raise WrongArgument(f"--key has to be at most {_LONGEST_KEY} printable characters.")
    return text


def printed_number(text: str) -> str:
    """Return the number printed on a card, or "" where none was given."""
    stripped = " ".join(text.split())
    if len(stripped) > _LONGEST_NUMBER or not stripped.isprintable():
        raise WrongArgument(f"--number has to be at most {_LONGEST_NUMBER} printable characters.")
    return stripped


def name(text: str, what: str) -> str:
    """Return the name of a thing or a person, without blanks around it."""
    stripped = text.strip()
    if not 1 <= len(stripped) <= _LONGEST_NAME or not stripped.isprintable():
        raise WrongArgument(f"{text!r} is no name of a {what}: 1 to {_LONGEST_NAME} printable characters.")
    return stripped


def money(minor: int, currency: Currency) -> str:
    """Return an amount with the currency's code, for people."""
    return f"{format_amount(minor, currency)} {currency.code}"
