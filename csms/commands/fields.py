"""The fields of every call that a central system may send, derived from the types of its messages: what forms, help and
checks need to know of them. Knows the shape; words and usual values stand in `field_words`.

A path names a field within a payload: `csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.limit`.
"""

from functools import cache
from typing import Literal

import msgspec
from msgspec import inspect

from csms.commands.actions import ACTIONS
from csms.commands.field_words import LONG_TEXTS, help_for, label_for
from csms.handlers.messages import CALLS

Kind = Literal["text", "long text", "moment", "integer", "number", "choice", "switch", "object", "list"]

_MOMENT_LENGTH = 64  # of every date-time, and of nothing else, among the messages


class Field(msgspec.Struct, frozen=True):
    """A field of a payload. Of an object `parts` are its fields, of a list the one field that each of its rows is."""

    name: str
    kind: Kind
    required: bool
    label: str
    help: str
    choices: tuple[str, ...] = ()
    longest: int | None = None
    parts: tuple["Field", ...] = ()


@cache
def fields_of(action: str) -> tuple[Field, ...]:
    """Return the fields of a call, those that it must have first; KeyError for an action that we do not send."""
    return _parts(CALLS[ACTIONS[action].name], action)


def _parts(kind: type[msgspec.Struct], action: str) -> tuple[Field, ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType), "a message"
    found = [_field(one.encode_name, one.type, action, required=one.required) for one in described.fields]
    return tuple(sorted(found, key=lambda one: not one.required))


def _field(name: str, described: inspect.Type, action: str, *, required: bool) -> Field:
    if isinstance(described, inspect.UnionType):
        described = next(one for one in described.types if not isinstance(one, inspect.NoneType))
    label, text = label_for(name), help_for(action, name)
    if isinstance(described, inspect.StructType):
        return Field(name, "object", required, label, text, parts=_parts(described.cls, action))
    if isinstance(described, inspect.VarTupleType):
        row = _field(name, described.item_type, action, required=False)
        return Field(name, "list", required, label, text, parts=(row,))
    if isinstance(described, inspect.LiteralType):
        return Field(name, "choice", required, label, text, choices=tuple(str(one) for one in described.values))
    if isinstance(described, inspect.StrType):
        longest = described.max_length
        kind: Kind = "moment" if longest == _MOMENT_LENGTH else "long text" if name in LONG_TEXTS else "text"
        return Field(name, kind, required, label, text, longest=longest)
    kinds: dict[type[inspect.Type], Kind] = {
        inspect.IntType: "integer",
        inspect.DecimalType: "number",
        inspect.BoolType: "switch",
    }
    return Field(name, kinds[type(described)], required, label, text)
