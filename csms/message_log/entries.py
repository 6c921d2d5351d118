"""What a frame becomes in the log: its kind, its action, its duration where it answers, and its text without secrets.

Pure. Reads only as much of a frame as people search by; what is no frame is kept as "unreadable".
"""

from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias, get_args

import msgspec

from csms.clock import Seconds
from csms.masking import masked, may_hold_secrets
from csms.message_log.tables import LONGEST_ACTION, LONGEST_MESSAGE_ID

Kind: TypeAlias = Literal["call", "result", "error", "unreadable", "gap"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BY_NUMBER: dict[bytes, Kind] = {b"2": "call", b"3": "result", b"4": "error"}  # OCPP-J 1.6, 4.1.3
_SHORTEST_FRAME = 3  # elements
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ID: msgspec.json.Decoder[str | int] = msgspec.json.Decoder(str | int)
_TEXT = msgspec.json.Decoder(str)
# Most of what is said: numbers, states and id tags only.
_NO_SECRETS = frozenset({"Authorize", "Heartbeat", "MeterValues", "StartTransaction"})


class Entry(NamedTuple):
    """A row, in the order of the table's columns."""

    charge_point_id: int | None
    recorded_at: datetime
    is_outgoing: bool
    kind: Kind
    action: str
    message_id: str
    duration_ms: int | None
    size_bytes: int
    text: str


class Heard(NamedTuple):
    """A frame as it went by; `at_s` is of the monotonic clock."""

    charge_point_id: int
    is_outgoing: bool
    at_s: Seconds
    data: bytes


class Exchanges:
    """Remembers calls until they are answered, to tell an answer's action and duration."""

    def __init__(self, *, text_max: int, calls_max: int = 20_000) -> None:
        """`calls_max` bounds what is remembered; the oldest are forgotten first."""
        self._text_max = text_max
        self._calls_max = calls_max
        self._calls: dict[tuple[int, bool, str], tuple[str, Seconds]] = {}

    def entry(self, heard: Heard, recorded_at: datetime) -> Entry:
        """Return the row of a frame."""
        charge_point_id, is_outgoing, at_s, data = heard
        kind, message_id, action = _read(data)
        duration_ms = None
        if kind == "call":
            self._remember((charge_point_id, is_outgoing, message_id), action, at_s)
        elif kind != "unreadable":
            action, asked_s = self._calls.pop((charge_point_id, not is_outgoing, message_id), ("", None))
            duration_ms = None if asked_s is None else int((at_s - asked_s) * 1000)
        text = data.decode(errors="replace").replace("\x00", "\ufffd")
        if action not in _NO_SECRETS and may_hold_secrets(data):
            text = masked(text)
        return Entry(
            charge_point_id,
            recorded_at,
            is_outgoing,
            kind,
            action[:LONGEST_ACTION],
            message_id[:LONGEST_MESSAGE_ID],
            duration_ms,
            len(data),
            text[: self._text_max],
        )

    def _remember(self, key: tuple[int, bool, str], action: str, at_s: Seconds) -> None:
        while len(self._calls) >= self._calls_max:
            del self._calls[next(iter(self._calls))]
        self._calls[key] = action, at_s


def gap(count: int, at: datetime) -> Entry:
    """Return the row that says how many frames were not kept."""
    return Entry(None, at, False, "gap", "", "", None, 0, f"{count} messages were not kept")


def _read(data: bytes) -> tuple[Kind, str, str]:
    """Return kind, message id and (of a call) action; "unreadable" where it is no frame."""
    try:
        elements = _ELEMENTS.decode(data)
        kind = _BY_NUMBER.get(bytes(elements[0])) if len(elements) >= _SHORTEST_FRAME else None
        if kind is None:
            return "unreadable", "", ""
        message_id = _without_nul(str(_ID.decode(elements[1])))
        return kind, message_id, _without_nul(_TEXT.decode(elements[2])) if kind == "call" else ""
    except (ValueError, RecursionError):
        return "unreadable", "", ""


def _without_nul(text: str) -> str:
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
