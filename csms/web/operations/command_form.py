"""The form of any action: what was typed becomes a payload, a payload becomes what would have been typed.

Knows the fields of `commands.fields` and no single action. A part that is optional and in which nothing was typed is
left out; what is wrong is marked at its field. The names of the form's fields are paths: `p.connectorId`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from csms.commands.field_words import usual_values
from csms.commands.fields import Field, fields_of
from csms.commands.requests import CommandInvalid
from csms.masking import MASK
from csms.web.forms import Form

PREFIX = "p"
MOST_ROWS = 40  # of a list; longer ones come as JSON
_INTEGER = re.compile(r"-?\d{1,10}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}([.,]\d{1,6})?", re.ASCII)
_EMPTY_IS_A_VALUE = frozenset({"value"})  # a key may be set to an empty text


def fresh_form(action: str, now: datetime, given: Mapping[str, str]) -> Form:
    """Return the form with which an action begins: usual values, and those that a link brought, by path."""
    return Form({f"{PREFIX}.{path}": value for path, value in (usual_values(action, now) | dict(given)).items()})


def filled_form(payload: Any) -> Form:  # noqa: ANN401 - JSON
    """Return the form in which a payload was typed; what was masked is left empty."""
    found: dict[str, str] = {}
    _fill(found, PREFIX, payload)
    return Form(found)


def _fill(found: dict[str, str], path: str, value: Any) -> None:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for name, part in value.items():
            _fill(found, f"{path}.{name}", part)
    elif isinstance(value, list):
        found[rows_name(path)] = str(len(value))
        for number, part in enumerate(value):
            _fill(found, f"{path}.{number}", part)
    elif value is not None and value != MASK:
        found[path] = str(value)


def rows_name(path: str) -> str:
    """Return the name of the form's field that says how many rows a list has."""
    return f"rows.{path}"


def rows_of(form: Form, path: str) -> int:
    """Return how many rows of a list are shown."""
    typed = form.typed(rows_name(path))
    return min(max(1, int(typed)), MOST_ROWS) if typed.isascii() and typed.isdigit() and len(typed) <= 3 else 1  # noqa: PLR2004


def with_another_row(fields: Mapping[str, str], path: str) -> Form:
    """Return the form with one more row in a list."""
    return Form({**fields, rows_name(path): str(rows_of(Form(fields), path) + 1)})


def read_payload(form: Form, action: str) -> dict[str, Any]:
    """Return the payload that was typed; what is wrong is marked in the form."""
    return _object(form, fields_of(action), PREFIX)


def read_json(form: Form) -> dict[str, Any]:
    """Return the payload that was written as JSON; empty and marked where it is none."""
    try:
        payload = json.loads(form.typed("json").strip() or "{}", parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        form.refuse("json", f"This is not JSON: {error}"[:200])
        return {}
    if not isinstance(payload, dict):
        form.refuse("json", "The payload is an object: { … }.")
        return {}
    return payload


def mark(form: Form, error: CommandInvalid, *, as_json: bool) -> None:
    """Mark what the schema says at the field that it is about."""
    form.refuse("json" if as_json else f"{PREFIX}.{error.field}" if error.field else "form", error.explanation[:300])


def written(payload: Mapping[str, Any]) -> str:
    """Return a payload as text that a person can change."""
    return json.dumps(payload, indent=2, ensure_ascii=False, default=_number_of)


def _number_of(value: object) -> int | float:
    """Write a Decimal; JSON has no other numbers."""
    number = Decimal(str(value))
    return int(number) if number == number.to_integral_value() else float(number)


def _object(form: Form, fields: Iterable[Field], path: str) -> dict[str, Any]:
    found = {field.name: _value(form, field, f"{path}.{field.name}") for field in fields}
    return {name: value for name, value in found.items() if value is not None}


def _value(form: Form, field: Field, path: str) -> Any:  # noqa: ANN401 - JSON
    if field.kind == "object":
        return _object(form, field.parts, path) if field.required or _typed_below(form, path) else None
    if field.kind == "list":
        return _rows(form, field, path)
    typed = form.typed(path)
    text = typed if field.kind == "long text" else typed.strip()
    if not text:
        if field.required and field.name in _EMPTY_IS_A_VALUE:
            return ""
        if field.required:
            form.refuse(path, "Please fill this in.")
        return None
    return _scalar(form, field, path, text)


def _rows(form: Form, field: Field, path: str) -> list[Any] | None:
    row = field.parts[0]
    rows = [f"{path}.{number}" for number in range(rows_of(form, path))]
    if row.kind == "object":
        found: list[Any] = [_object(form, row.parts, each) for each in rows if _typed_below(form, each)]
    else:
        found = [value for each in rows if (value := _value(form, row, each)) is not None]
    if field.required and not found:
        form.refuse(path, "At least one row.")
    return found if found or field.required else None


def _typed_below(form: Form, path: str) -> bool:
    return any(value.strip() for value in form.below(f"{path}."))


def _scalar(form: Form, field: Field, path: str, text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return _READERS.get(field.kind, _text)(field, text)
    except ValueError as error:
        form.refuse(path, str(error))
        return None


def _integer(_field: Field, text: str) -> int:
    if not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise ValueError("A whole number.")
    return int(text)


def _number(_field: Field, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError("A number, such as 16 or 7.5.")
    return Decimal(text.replace(",", "."))


def _text(field: Field, text: str) -> str:
    if field.choices and text not in field.choices:
        raise ValueError("Please choose one of these.")
    if field.longest is not None and len(text) > field.longest:
        raise ValueError(f"At most {field.longest} characters.")
    return text


def _moment(_field: Field, text: str) -> str:
    """Read a moment and write it as every station reads it: in UTC, with Z."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("A moment in UTC, such as 2026-12-01T06:00:00Z.") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


_READERS: dict[str, Callable[[Field, str], Any]] = {"integer": _integer, "number": _number, "moment": _moment}
