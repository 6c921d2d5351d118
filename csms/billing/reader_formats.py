"""What a desk's card reader types, and the id tag that a station sends for the same card. Pure.

Stations send the bytes of a card's UID as hex; readers at tills type the same bytes, the reversed bytes, or either as
one decimal number. Knows no card and no desk.
"""

import re
from typing import Literal, get_args

from csms.billing.books import is_id_tag, normalize_id_tag

ReaderFormat = Literal["hex", "hex reversed", "decimal", "decimal reversed"]

READER_FORMATS: tuple[ReaderFormat, ...] = get_args(ReaderFormat)

_BYTES = re.compile(r"(?:[0-9A-F]{2}){2,10}")
_NUMBER = re.compile(r"[0-9]{1,25}")
_UID_LENGTHS = (4, 7, 8, 10)  # of ISO 14443 cards, and of ISO 15693 tags


def id_tag_of(typed: str, reader_format: ReaderFormat) -> str | None:
    """Return the id tag of the card whose reader typed this, or None where such a reader does not type that.

    A number is taken for the shortest UID (4, 7, 8 or 10 bytes) that it fits.
    """
    text = normalize_id_tag(typed)
    if reader_format == "hex":
        return text if is_id_tag(text) else None
    if reader_format == "hex reversed":
        return bytes.fromhex(text)[::-1].hex().upper() if _BYTES.fullmatch(text) else None
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text)
    length = next((one for one in _UID_LENGTHS if number < 1 << 8 * one), None)
    if length is None:
        return None
    uid = number.to_bytes(length, "big" if reader_format == "decimal" else "little")
    return uid.hex().upper()


def typed_by(id_tag: str, reader_format: ReaderFormat) -> str:
    """Return what a reader of a format types for a card whose id tag is the hex of its UID; the way back."""
    uid = bytes.fromhex(id_tag)
    if reader_format == "hex":
        return id_tag
    if reader_format == "hex reversed":
        return uid[::-1].hex().upper()
    return str(int.from_bytes(uid, "big" if reader_format == "decimal" else "little"))
