"""The frames of OCPP-J 1.6 (section 4): text in, typed calls and answers out, and back.

Pure functions without I/O. What is wrong with a frame becomes a `FrameError`, what is wrong with the call in a good
frame a `CallRejected`, and nothing else is raised, whatever the bytes are. Knows the shape of messages; not what they
mean, who may send them, nor which of them this central system handles.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from itertools import islice
from typing import Any, Literal, TypeAlias, cast

import msgspec
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError as SchemaViolation

from csms.errors import CsmsError
from csms.handlers import lenient
from csms.handlers.messages import CALLS, Message

# OCPP-J 1.6, 4.2.3, table 7. "Occurence" and "Formation" are its own spelling, which its errata (5.1, 5.2) keep.
CallErrorCode: TypeAlias = Literal[
    "NotImplemented",
    "NotSupported",
    "InternalError",
    "ProtocolError",
    "SecurityError",
    "FormationViolation",
    "PropertyConstraintViolation",
    "OccurenceConstraintViolation",
    "TypeConstraintViolation",
    "GenericError",
]

# 4.1.4: a text of at most 36 characters. Some charge points count in numbers or write more; since an answer carries
# "the exact same ID" (4.2.2), a number stays one.
MessageId: TypeAlias = str | int

CALL, CALL_RESULT, CALL_ERROR = 2, 3, 4  # 4.1.3, table 2
_ANSWERS = frozenset({CALL_RESULT, CALL_ERROR})
_CALL_LENGTH = 4
_INTEGERS = range(-(2**63), 2**63)  # what can be written back
_DESCRIPTION_LENGTH = 255  # 1.6 names no limit; this is the one of OCPP 2.0.1
_EXAMINED_BYTES = 8192  # jsonschema takes about 1 ms for 1 KiB: a larger refused call gets a coarser reason
_EXAMINED_VIOLATIONS = 20
_OBJECT, _NULL = b"{n"
_EMPTY = msgspec.Raw(b"{}")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame may measure: its bytes, how deep its JSON is nested, the characters of its message id."""

    frame_bytes: int = 262_144
    nesting: int = 32
    message_id_characters: int = 128


class Call(msgspec.Struct, frozen=True, array_like=True, tag=CALL, forbid_unknown_fields=True):
    """A call (4.2.1); the payload is the JSON text of an object, read by `read_call`."""

    message_id: MessageId
    action: str
    payload: msgspec.Raw


class CallResult(msgspec.Struct, frozen=True, array_like=True, tag=CALL_RESULT, forbid_unknown_fields=True):
    """The answer to a call of ours (4.2.2); the payload is the JSON text of an object, read by `read_result`."""

    message_id: MessageId
    payload: msgspec.Raw


class CallError(msgspec.Struct, frozen=True, array_like=True, tag=CALL_ERROR, forbid_unknown_fields=True):
    """The refusal of a call of ours (4.2.3); `code` is whatever the charge point calls it, `details` any JSON text."""

    message_id: MessageId
    code: str
    description: str = ""
    details: msgspec.Raw = _EMPTY


Frame: TypeAlias = Call | CallResult | CallError


class FrameError(CsmsError):
    """A frame that is none.

    `message_id` is what a call error has to carry, and None where there is nobody to answer: the frame has no legible
    message id, or is itself an answer. In that case `answered_id` names the call of ours that it was meant for.
    """

    def __init__(
        self,
        code: CallErrorCode,
        reason: str,
        message_id: MessageId | None = None,
        answered_id: MessageId | None = None,
    ) -> None:
        """Take the code and reason to answer with, and whom."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.message_id = message_id
        self.answered_id = answered_id


class CallRejected(CsmsError):  # noqa: N818 - says what happened to the call
    """A call that cannot be read; to be answered with this call error."""

    def __init__(self, code: CallErrorCode, description: str) -> None:
        """Take the code and description to answer with."""
        super().__init__(description)
        self.code = code
        self.description = description


class ResultUnreadable(CsmsError):  # noqa: N818 - says what the result is
    """The answer to a call of ours cannot be understood; the argument says why."""


DEFAULT_LIMITS = Limits()
_FRAMES = msgspec.json.Decoder(Frame)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ELEMENT: msgspec.json.Decoder[MessageId] = msgspec.json.Decoder(MessageId)
_CALLS = {action: msgspec.json.Decoder(kind) for action, kind in CALLS.items()}
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def decode(data: str | bytes, limits: Limits = DEFAULT_LIMITS) -> Frame:
    """Read one frame; bytes are cheaper than text. FrameError if it is none or exceeds the limits.

    A null payload is an empty object (4.2.1). NUL characters in texts are replaced by U+FFFD: no card, no name has one,
    and PostgreSQL cannot store them. A call error may leave out its description and details.
    """
    raw = _encoded(data) if isinstance(data, str) else data
    if len(raw) > limits.frame_bytes:
        reason = f"the frame is larger than {limits.frame_bytes} bytes"
        raise FrameError("GenericError", reason, *_legible_ids(raw))
    if b"\\" in raw and b"\\u0000" in raw:  # one byte is found several times faster than six
        raw = _NUL.sub(rb"\1\\ufffd", raw)
    try:
        frame = _FRAMES.decode(raw)
    except (ValueError, RecursionError):  # msgspec's own errors and UnicodeDecodeError are ValueErrors
        raise _explained(raw) from None
    frame = _checked(frame, limits)
    if raw.count(b"[") + raw.count(b"{") > limits.nesting and _nests_deeper(raw, limits.nesting):
        reason = f"the frame nests deeper than {limits.nesting} levels"
        raise FrameError("FormationViolation", reason, *_ids_of(frame))
    return frame


def read_call(action: str, payload: bytes | msgspec.Raw) -> tuple[Message, tuple[str, ...]]:
    """Read the payload of a call; return the message and a flag for each liberty taken, none if it was valid.

    The transactional actions are read with tolerance where they fail their schema (see `lenient`). CallRejected with
    the code to answer if the action is unknown or the payload cannot be read.
    """
    decoder = _CALLS.get(action)
    if decoder is None:
        raise CallRejected("NotImplemented", _cut(f"the action {action} is not known"))
    try:
        return decoder.decode(payload), ()
    except (ValueError, RecursionError) as error:
        reason = str(error)
    if action in lenient.ACTIONS:
        try:
            return lenient.read(action, payload)
        except lenient.Unreadable as error:
            reason = str(error)
    raise _rejection(action, payload, reason)


def read_result(action: str, payload: bytes | msgspec.Raw) -> Message:
    """Read the result of our call `action`, with tolerance; ResultUnreadable if it cannot be understood."""
    try:
        return lenient.read_result(action, payload)
    except lenient.Unreadable as error:
        raise ResultUnreadable(str(error)) from error


# What is encoded is a UTF-8 text frame in bytes: `connection.send(frame, text=True)` sends it without another copy.


def encode_call(message_id: str, message: Message) -> bytes:
    """Write a call (4.2.1); its action is the name of the message's type."""
    return _ENCODER.encode((CALL, message_id, type(message).__name__, message))


def encode_result(message_id: MessageId, message: Message) -> bytes:
    """Write a call result (4.2.2)."""
    return _ENCODER.encode((CALL_RESULT, message_id, message))


def encode_again(call: Call) -> bytes:
    """Write a call that was read, its payload as it came."""
    return _ENCODER.encode(call)


def encode_error(
    message_id: MessageId,
    code: CallErrorCode,
    description: str,
    details: Mapping[str, str] | None = None,
) -> bytes:
    """Write a call error (4.2.3); the description is cut to 255 characters."""
    return _ENCODER.encode((CALL_ERROR, message_id, code, _cut(description), details or {}))


def _cut(description: str) -> str:
    return description[:_DESCRIPTION_LENGTH]


# --- What a frame must hold -------------------------------------------------------------------------------------------

_Ids: TypeAlias = tuple[MessageId | None, MessageId | None]  # the id to answer, the id of our call that was answered

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_FRAME_START = re.compile(rb'\s*\[\s*(\d)\s*,\s*(?:"([^"\\\x00-\x1f\x80-\xff]{1,128})"|(\d{1,18}))\s*,')


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise FrameError("FormationViolation", "the frame is not UTF-8") from None


def _nests_deeper(raw: bytes, levels: int) -> bool:
    """Tell whether valid JSON nests deeper than allowed: each pass takes the innermost pairs of brackets away."""
    brackets = _STRING.sub(b"", raw).translate(_BRACKETS, _NO_BRACKET)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _checked(frame: Frame, limits: Limits) -> Frame:
    """Return a well-formed frame, its payload an object; FrameError if the message id or the payload cannot be."""
    message_id = frame.message_id
    if isinstance(message_id, int):
        if message_id not in _INTEGERS:
            raise FrameError("PropertyConstraintViolation", "the message id is too large a number")
    elif len(message_id) > limits.message_id_characters:
        raise FrameError("PropertyConstraintViolation", "the message id is too long", *_ids_of(frame))
    if isinstance(frame, CallError):
        return frame
    first = memoryview(frame.payload)[0]
    if first == _OBJECT:
        return frame
    if first == _NULL:
        return msgspec.structs.replace(frame, payload=_EMPTY)
    raise FrameError("FormationViolation", "the payload is not an object", *_ids_of(frame))


def _ids_of(frame: Frame) -> _Ids:
    return _ids(CALL if isinstance(frame, Call) else CALL_RESULT, frame.message_id)


def _legible_ids(raw: bytes) -> _Ids:
    """Find the ids of a frame that is not whole JSON."""
    found = _FRAME_START.match(raw.lstrip()[:200])
    if found is None:
        return None, None
    kind, text, number = found.groups()
    message_id: MessageId = int(number) if text is None else text.decode()
    return _ids(int(kind), message_id)


def _ids(kind: int, message_id: MessageId) -> _Ids:
    """Tell the id to answer from the id answered: an answer must not be answered again."""
    return (None, message_id) if kind in _ANSWERS else (message_id, None)


def _explained(raw: bytes) -> FrameError:
    """Say why a text is not a frame."""
    try:
        elements = _ELEMENTS.decode(raw)
    except msgspec.ValidationError:
        return FrameError("FormationViolation", "the frame is not an array")
    except (ValueError, RecursionError):
        return FrameError("FormationViolation", "the frame is not JSON", *_legible_ids(raw))
    kind, message_id = (*map(_element, elements[:2]), None, None)[:2]
    if message_id is None:
        return FrameError("FormationViolation", "the message id is missing or not a text")
    if kind in _ANSWERS:
        return FrameError("FormationViolation", "the answer is malformed", answered_id=message_id)
    if kind != CALL:
        return FrameError("FormationViolation", "the message type is not 2, 3 or 4", message_id)
    return _explained_call(len(elements), message_id)


def _explained_call(length: int, message_id: MessageId) -> FrameError:
    if length < _CALL_LENGTH:
        return FrameError("ProtocolError", "the call is incomplete: it has an id, an action and a payload", message_id)
    if length > _CALL_LENGTH:
        return FrameError("FormationViolation", "the call has more than four elements", message_id)
    return FrameError("FormationViolation", "the action is not a text", message_id)


def _element(raw: msgspec.Raw) -> MessageId | None:
    """Return a text or number among the elements of a frame; None for what is neither, or too large to repeat."""
    try:
        value = _ELEMENT.decode(raw)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(value, int) and value not in _INTEGERS else value


# --- Which code a refused payload gets --------------------------------------------------------------------------------

# Of several violations the first of these is told. Table 7: a form that does not conform, then occurrence, type, value.
_VIOLATIONS: dict[object, CallErrorCode] = {
    "additionalProperties": "FormationViolation",
    "required": "OccurenceConstraintViolation",
    "minItems": "OccurenceConstraintViolation",
    "type": "TypeConstraintViolation",
    "enum": "PropertyConstraintViolation",
    "maxLength": "PropertyConstraintViolation",
}
_RANKS = {keyword: rank for rank, keyword in enumerate(_VIOLATIONS)}


def _rejection(action: str, payload: bytes | msgspec.Raw, reason: str) -> CallRejected:
    """Find the code for a payload that could not be read."""
    if memoryview(payload).nbytes > _EXAMINED_BYTES:
        return CallRejected("FormationViolation", _cut(reason))
    try:
        value = lenient.decode_json(payload)
    except lenient.Unreadable:
        return CallRejected("FormationViolation", "the payload is not JSON")
    violations = list(islice(_validator(action).iter_errors(cast("Any", value)), _EXAMINED_VIOLATIONS))
    if not violations:  # stricter than the schema: an integer of more than 32 bits, a date-time without end
        return CallRejected("PropertyConstraintViolation", _cut(reason))
    worst = min(violations, key=lambda each: _RANKS[each.validator])
    return CallRejected(_VIOLATIONS[worst.validator], _cut(_described(worst)))


def _described(violation: SchemaViolation) -> str:
    path = ".".join(str(step) for step in violation.absolute_path)
    return f"{path}: {violation.message}" if path else violation.message


@cache
def _validator(action: str) -> Draft4Validator:
    """Load the schema of a call from the `ocpp` package."""
    text = (resources.files("ocpp.v16") / "schemas" / f"{action}.json").read_text("utf-8-sig")
    return Draft4Validator(json.loads(text, object_hook=_without_multiples))


def _without_multiples(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out multipleOf, which the messages do not check, and jsonschema only for numbers that a float can hold."""
    return {key: value for key, value in schema.items() if key != "multipleOf"}
