"""Reads a delivery of cards from CSV: every line becomes a card for the stock, or a list of what is wrong with it.

Pure. The first line names the columns; comma, semicolon or tab between them, whichever it has. Knows nothing of the
cards that exist.
"""

import csv
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from csms.billing.books import normalize_id_tag
from csms.billing.cards import PRINTED_NUMBER, SOLD_ID_TAG, ImportProblem, StockCard, within

MOST_LINES = 20_000
_LONGEST_LABEL = 100
_LONGEST_SHOWN = 40
_COLUMNS = {
    "id_tag": "id_tag",
    "id tag": "id_tag",
    "idtag": "id_tag",
    "uid": "id_tag",
    "printed_number": "printed_number",
    "printed number": "printed_number",
    "number": "printed_number",
    "label": "label",
    "expires": "expires",
    "expiry": "expires",
    "valid_until": "expires",
}


class StockFile(msgspec.Struct, frozen=True):
    """What was read. `lines` are all that could be taken apart, also those at fault, to be compared with others."""

    cards: tuple[StockCard, ...]
    problems: tuple[ImportProblem, ...]
    lines: tuple[StockCard, ...] = ()


def decode(data: bytes) -> str | None:
    """Return the text of a file in UTF-8 (with or without its mark), or None where it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def read(text: str, zone: ZoneInfo) -> StockFile:
    """Read the file; a card is valid through the day in `expires` (YYYY-MM-DD, in `zone`)."""
    lines = text.removeprefix("\N{BYTE ORDER MARK}").splitlines()
    if not any(line.strip() for line in lines):
        return StockFile((), (ImportProblem(1, "file", "The file is empty."),))
    separator = max(",;\t", key=lines[0].count)
    header = [_COLUMNS.get(name.strip().lower(), "") for name in next(csv.reader([lines[0]], delimiter=separator))]
    missing = [name for name in ("id_tag", "printed_number") if header.count(name) != 1]
    if missing or any(header.count(name) > 1 for name in header if name):
        why = "The first line has to name the columns id_tag and printed_number, and may name label and expires."
        return StockFile((), (ImportProblem(1, "columns", why),))
    if len(lines) - 1 > MOST_LINES:
        return StockFile((), (ImportProblem(MOST_LINES + 2, "file", f"At most {MOST_LINES} cards at once."),))
    found: list[StockCard] = []
    problems: list[ImportProblem] = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            card, wrong = _read_line(number, line, separator, header, zone)
            problems += wrong
            if card is not None:
                found.append(card)
    if not found and not problems:
        problems.append(ImportProblem(2, "file", "There is no card in the file."))
    problems += within(found)
    bad = {one.line for one in problems}
    good = tuple(one for one in found if one.line not in bad)
    return StockFile(good, tuple(sorted(problems, key=lambda one: one.line)), tuple(found))


def _read_line(
    number: int, line: str, separator: str, header: list[str], zone: ZoneInfo
) -> tuple[StockCard | None, list[ImportProblem]]:
    try:
        fields = next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return None, [ImportProblem(number, "line", "The quotation marks do not close.")]
    if len(fields) != len(header):
        there = "is 1 field" if len(fields) == 1 else f"are {len(fields)} fields"
        why = f"There {there}, and the first line names {len(header)}."
        return None, [ImportProblem(number, "line", why)]
    values = {name: " ".join(value.split()) for name, value in zip(header, fields, strict=True) if name}
    problems: list[ImportProblem] = []
    tag = normalize_id_tag(values["id_tag"])
    if not SOLD_ID_TAG.fullmatch(tag):
        why = f"{_shown(values['id_tag'])} is no id tag: 1 to 20 letters and digits."
        problems.append(ImportProblem(number, "id_tag", why))
    if not PRINTED_NUMBER.fullmatch(values["printed_number"]):
        why = f"{_shown(values['printed_number'])} is no printed number: 1 to 30 letters, digits and blanks."
        problems.append(ImportProblem(number, "printed_number", why))
    label = values.get("label", "")
    if len(label) > _LONGEST_LABEL or not label.isprintable():
        problems.append(ImportProblem(number, "label", f"At most {_LONGEST_LABEL} printable characters."))
    expires_at, why = _expiry(values.get("expires", ""), zone)
    if why:
        problems.append(ImportProblem(number, "expires", why))
    return StockCard(number, tag, values["printed_number"], label, expires_at), problems


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Return the moment at which a card that is valid through `day` expires."""
    return datetime.combine(day + timedelta(days=1), time(), zone)


def _expiry(text: str, zone: ZoneInfo) -> tuple[datetime | None, str]:
    if not text:
        return None, ""
    try:
        return end_of_day(date.fromisoformat(text), zone), ""
    except (ValueError, OverflowError):
        return None, f"{_shown(text)} is no day, such as 2029-12-31."


def _shown(text: str) -> str:
    return f"“{text[:_LONGEST_SHOWN]}”" if text else "An empty field"
