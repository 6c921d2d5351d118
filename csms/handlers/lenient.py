"""Reads what fails its schema and can still be understood, so that no energy is lost to a formality.

Calls: StartTransaction, StopTransaction, MeterValues and StatusNotification become the same types as valid ones, with a
short, stable flag for each liberty taken. Results: the answers of charge points to our calls, read without flags.
Nothing here invents what identifies or measures: a call without connector, id tag or register is `Unreadable`. Knows
no database, no tariff and no call error; pure functions of the JSON text.
"""

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar, cast, get_args

import msgspec
from msgspec import inspect

from csms.handlers import messages
from csms.handlers.messages import Message

T = TypeVar("T")

INTEGER_MIN, INTEGER_MAX = -(2**31), 2**31 - 1
UNKNOWN_TRANSACTION = -1  # errata 3.18: charge points themselves say so when they never learned their transaction id
ID_TAG_LENGTH, TIMESTAMP_LENGTH = 20, 64
FLAGS_MAX, NAME_LENGTH = 16, 40  # more flags tell nobody more, and how many and how long would be the sender's choice
DROPPED_MAX = 1000  # of one list; what follows is dropped unread, so that rubbish cannot hold up the event loop

_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_LARGEST_EXPONENT = 20  # int(Decimal("1e999999999")) would take all memory


class Unreadable(ValueError):  # noqa: N818 - says what the text is
    """The text cannot be understood; the argument says where and why."""

    @classmethod
    def at(cls, name: str, what: str) -> "Unreadable":
        """Say what is wrong with a property."""
        return cls(f"{name}: {what}")


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise Unreadable.at(name, "missing")
    return value


def decode_number(text: str) -> Decimal:
    """Read a JSON number exactly; one beyond what Decimal holds becomes NaN, which nobody takes for a number."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


_JSON = msgspec.json.Decoder(float_hook=decode_number)


def decode_json(text: bytes | msgspec.Raw) -> object:
    """Read any JSON; numbers with a fraction or an exponent are Decimal. Unreadable if it is none."""
    try:
        return cast("object", _JSON.decode(text))
    except (ValueError, RecursionError) as error:  # msgspec's own errors and UnicodeDecodeError are ValueErrors
        raise Unreadable(str(error)) from error


def read(action: str, payload: bytes | msgspec.Raw) -> tuple[Message, tuple[str, ...]]:
    """Read a call of one of `ACTIONS` with tolerance; return it with at most `FLAGS_MAX` flags.

    Unreadable if it cannot be understood; no other error, whatever the text is.
    """
    fields = Fields(decode_json(payload), {})
    message = ACTIONS[action](fields)
    return message, tuple(fields.flags)[:FLAGS_MAX]


class Fields:
    """The properties of one JSON object, each asked for by name once; collects flags, also for what nobody asked."""

    def __init__(self, value: object, flags: dict[str, None]) -> None:
        """Take a decoded JSON value; `flags` is shared by all parts of a message and keeps their order."""
        if not isinstance(value, dict):
            raise Unreadable.at(name="payload", what="not an object")
        self._values = value  # null is as good as absent (OCPP-J 4.2.1 says so of a payload)
        self.flags = flags

    def flag(self, name: str, what: str) -> None:
        """Note a liberty taken with a property."""
        self.flags[f"{name}: {what}"] = None

    def close(self) -> None:
        """Flag what nobody asked for; to be called when everything has been read."""
        for name in self._values:
            self.flags[f"extra property: {name[:NAME_LENGTH]}"] = None

    def number(self, name: str) -> Decimal | None:
        """Take a number, also one in a text or with a decimal comma; None if there is nothing that is one."""
        value = self._values.pop(name, None)
        if isinstance(value, str):
            self.flag(name, "text")
        return _as_number(value)

    def integer(self, name: str) -> int:
        """Take a required whole number of 32 bits."""
        number = self.number(name)
        integer = _as_integer(number)
        if number is None or integer is None:
            raise Unreadable.at(name, "not an integer")
        if number.as_tuple().exponent != 0:
            self.flag(name, "fractional")
        return integer

    def optional_integer(self, name: str, otherwise: int | None = None) -> int | None:
        """Take a whole number; None if there is nothing, `otherwise` if what is there is none."""
        if self._values.get(name) is None:
            self._values.pop(name, None)
            return None
        try:
            return self.integer(name)
        except Unreadable:
            self.flag(name, "unreadable")
            return otherwise

    def register_wh(self, name: str) -> int:
        """Take a meter register, rounded half up to whole Wh.

        One beyond 32 bits (an unsigned minus one, for instance) is kept at the bound: it is implausible there too, so
        the transaction goes to review and not to a call error, after which the charge point would discard it.
        """
        number = self.number(name)
        if number is None:
            raise Unreadable.at(name, "not a number")
        if number.as_tuple().exponent != 0:
            self.flag(name, "fractional")
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            self.flag(name, "out of range")
        rounded = int(number.to_integral_value(ROUND_HALF_UP))
        return min(max(rounded, INTEGER_MIN), INTEGER_MAX)

    def text(self, name: str, length: int | None = None) -> str | None:
        """Take an optional text, cut to its length; a number is written out, anything else is dropped."""
        value = self._values.pop(name, None)
        text = _as_text(value)
        if text is None:
            if value is not None:
                self.flag(name, "unreadable")
            return None
        if not isinstance(value, str):
            self.flag(name, "not a text")
        if length is not None and len(text) > length:
            self.flag(name, "too long")
            return text[:length]
        return text

    def id_tag(self, name: str) -> str | None:
        """Take an id tag without blanks around it; None if there is none.

        One that is too long must not match a card by its beginning, so its end is replaced by a character that no card
        can have (OCPP 1.6 section 2: CiString is printable ASCII).
        """
        written = self.text(name)
        if written is None:
            return None
        text = written.strip()
        if text != written:
            self.flag(name, "blanks")
        if len(text) > ID_TAG_LENGTH:
            self.flag(name, "too long")
            return text[: ID_TAG_LENGTH - 1] + "…"
        return text

    def timestamp(self, name: str = "timestamp") -> str:
        """Take a required date-time as it was written; empty if it is missing or no such text."""
        if self._values.get(name) is None:
            self.flag(name, "missing")
        return self.text(name, TIMESTAMP_LENGTH) or ""

    def choice(self, name: str, known: dict[str, T], otherwise: T | None = None) -> T | None:
        """Take an optional enumeration, in whatever case; one that is not known becomes `otherwise`, or Unreadable."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        found = known.get(value.strip().casefold()) if isinstance(value, str) else None
        if found is not None:
            if found != value:
                self.flag(name, "case")
            return found
        if otherwise is None:
            raise Unreadable.at(name, "unknown")
        self.flag(name, "unknown")
        return otherwise

    def parts(self, name: str, read_part: Callable[["Fields"], T]) -> tuple[T, ...] | None:
        """Take a list of objects; one object alone counts as a list of one, and an unreadable one is dropped."""
        value = self._values.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, list):
            self.flag(name, "not a list")
            value = [value]
        found = []
        for seen, item in enumerate(value, 1):
            try:
                found.append(read_part(Fields(item, self.flags)))
            except Unreadable as error:
                self.flag(f"{name} dropped", str(error))
                if seen - len(found) == DROPPED_MAX:
                    break
        return tuple(found)


def _as_number(value: object) -> Decimal | None:
    """Read a number, also one in a text or with a decimal comma; None for anything else."""
    if isinstance(value, str):
        text = value.strip().replace(",", ".")
        return Decimal(text) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if number.is_finite() and number.adjusted() <= _LARGEST_EXPONENT else None


def _as_integer(value: object) -> int | None:
    """Read a whole number of 32 bits; None for anything else."""
    number = _as_number(value)
    if number is None or number != number.to_integral_value() or not INTEGER_MIN <= number <= INTEGER_MAX:
        return None
    return int(number)


def _as_text(value: object) -> str | None:
    """Write a text or a number as text; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= _LARGEST_EXPONENT:
        return format(value, "f")
    return str(value)


def _folded(alias: object) -> dict[str, Any]:
    """Return the values of an enumeration by their folded form."""
    return {value.casefold(): value for value in get_args(alias)}


_REASONS: dict[str, messages.Reason] = _folded(messages.Reason)
_ERROR_CODES: dict[str, messages.ChargePointErrorCode] = _folded(messages.ChargePointErrorCode)
_STATUSES: dict[str, messages.ChargePointStatus] = _folded(messages.ChargePointStatus)
_CONTEXTS: dict[str, messages.ReadingContext] = _folded(messages.ReadingContext)
_FORMATS: dict[str, messages.ValueFormat] = _folded(messages.ValueFormat)
_MEASURANDS: dict[str, messages.Measurand] = _folded(messages.Measurand)
_PHASES: dict[str, messages.Phase] = _folded(messages.Phase)
_LOCATIONS: dict[str, messages.Location] = _folded(messages.Location)
_UNITS: dict[str, messages.UnitOfMeasure] = _folded(messages.UnitOfMeasure)


def _start_transaction(fields: Fields) -> messages.StartTransaction:
    message = messages.StartTransaction(
        connector_id=fields.integer("connectorId"),
        id_tag=_required(fields.id_tag("idTag"), "idTag"),
        meter_start=fields.register_wh("meterStart"),
        reservation_id=fields.optional_integer("reservationId"),
        timestamp=fields.timestamp(),
    )
    fields.close()
    return message


def _stop_transaction(fields: Fields) -> messages.StopTransaction:
    message = messages.StopTransaction(
        id_tag=fields.id_tag("idTag"),
        meter_stop=fields.register_wh("meterStop"),
        timestamp=fields.timestamp(),
        transaction_id=_required(fields.optional_integer("transactionId", UNKNOWN_TRANSACTION), "transactionId"),
        reason=fields.choice("reason", _REASONS, "Other"),
        transaction_data=fields.parts("transactionData", _meter_value),
    )
    fields.close()
    return message


def _meter_values(fields: Fields) -> messages.MeterValues:
    message = messages.MeterValues(
        connector_id=fields.integer("connectorId"),
        transaction_id=fields.optional_integer("transactionId", UNKNOWN_TRANSACTION),
        meter_value=_required(fields.parts("meterValue", _meter_value), "meterValue"),
    )
    if not message.meter_value:
        fields.flag("meterValue", "empty")
    fields.close()
    return message


def _meter_value(fields: Fields) -> messages.MeterValue:
    timestamp = fields.timestamp()
    sampled_value = fields.parts("sampledValue", _sampled_value)
    if sampled_value is None:
        fields.flag("sampledValue", "missing")
    fields.close()
    return messages.MeterValue(timestamp=timestamp, sampled_value=sampled_value or ())


def _sampled_value(fields: Fields) -> messages.SampledValue:
    # Only an unknown context has a stand-in: the default of a measurand, unit, phase, location or format would make
    # another quantity of the value, so a sample that names an unknown one is dropped.
    sample = messages.SampledValue(
        value=_required(fields.text("value"), "value"),
        context=fields.choice("context", _CONTEXTS, "Other"),
        format=fields.choice("format", _FORMATS),
        measurand=fields.choice("measurand", _MEASURANDS),
        phase=fields.choice("phase", _PHASES),
        location=fields.choice("location", _LOCATIONS),
        unit=fields.choice("unit", _UNITS),
    )
    fields.close()
    return sample


def _status_notification(fields: Fields) -> messages.StatusNotification:
    error_code = fields.choice("errorCode", _ERROR_CODES, "OtherError")
    if error_code is None:
        fields.flag("errorCode", "missing")
    message = messages.StatusNotification(
        connector_id=fields.integer("connectorId"),
        error_code=error_code or "NoError",
        info=fields.text("info", 50),
        status=_required(fields.choice("status", _STATUSES), "status"),
        timestamp=fields.text("timestamp", TIMESTAMP_LENGTH),
        vendor_id=fields.text("vendorId", 255),
        vendor_error_code=fields.text("vendorErrorCode", 50),
    )
    fields.close()
    return message


# The transactional actions and the status: what a call error would make the charge point throw away.
ACTIONS: dict[str, Callable[[Fields], Message]] = {
    "MeterValues": _meter_values,
    "StartTransaction": _start_transaction,
    "StatusNotification": _status_notification,
    "StopTransaction": _stop_transaction,
}


def read_result(action: str, payload: bytes | msgspec.Raw) -> Message:
    """Read the answer of a charge point to our call `action`, which is one of `messages.RESULTS`.

    Extra properties are dropped, texts may be longer than the schema says, numbers and texts stand for each other, and
    enumerations are read in any case. Unreadable if a required property or a known value is missing.
    """
    return cast("Message", _build(decode_json(payload), _result_type(action), action))


@cache
def _result_type(action: str) -> inspect.Type:
    return inspect.type_info(messages.RESULTS[action])


def _build(value: object, kind: inspect.Type, name: str) -> object:
    """Make a value of the wanted type from decoded JSON."""
    if isinstance(kind, inspect.UnionType):  # always `T | None`; None itself has been left out before
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        return _build_struct(value, kind, name)
    if isinstance(kind, inspect.VarTupleType):
        items = value if isinstance(value, list) else [value]
        return tuple(_build(item, kind.item_type, name) for item in items)
    found = _build_scalar(value, kind)
    if found is None:
        raise Unreadable.at(name, "unreadable")
    return found


def _build_struct(value: object, kind: inspect.StructType, name: str) -> object:
    if not isinstance(value, dict):
        raise Unreadable.at(name, "not an object")
    arguments = {}
    for field in kind.fields:
        item = value.get(field.encode_name)
        if item is not None:
            arguments[field.name] = _build(item, field.type, field.encode_name)
        elif field.required:
            raise Unreadable.at(field.encode_name, "missing")
    return kind.cls(**arguments)


def _build_scalar(value: object, kind: inspect.Type) -> object:
    """Read a scalar; None if the value cannot be read as one."""
    if isinstance(kind, inspect.LiteralType):
        folded = value.strip().casefold() if isinstance(value, str) else None
        return next((each for each in kind.values if str(each).casefold() == folded), None)
    if isinstance(kind, inspect.IntType):
        return _as_integer(value)
    if isinstance(kind, inspect.DecimalType):
        return _as_number(value)
    if isinstance(kind, inspect.BoolType):
        return _BOOLEANS.get(str(value).strip().casefold())
    return str(value).lower() if isinstance(value, bool) else _as_text(value)
