"""A message as one line of JSON, for the export of the portal, of the command line and of the API alike. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from csms.message_log.entries import Kind
from csms.message_log.reading import LoggedMessage


class MessageLine(msgspec.Struct, frozen=True):
    """A frame as it is handed out. `text` is without secrets and may be cut, `size_bytes` is of the whole frame."""

    id: int
    recorded_at: datetime
    charge_point_id: int | None
    charge_point: str | None
    direction: Literal["received", "sent"]
    kind: Kind
    action: str | None
    message_id: str | None
    duration_ms: int | None
    size_bytes: int
    text: str


_AT_ONCE = 500
_ENCODER = msgspec.json.Encoder()


def line_of(one: LoggedMessage, charge_point: str | None) -> MessageLine:
    """Return a message with the identity of its charge point."""
    return MessageLine(
        one.number,
        one.recorded_at,
        one.charge_point_id,
        charge_point,
        "sent" if one.is_outgoing else "received",
        one.kind,
        one.action or None,
        one.message_id or None,
        one.duration_ms,
        one.size_bytes,
        one.text,
    )


def write_lines(found: Iterable[LoggedMessage], charge_points: Mapping[int, str]) -> Iterator[bytes]:
    """Yield the same as lines of JSON, some hundred at once; `charge_points` are identities by number."""
    lines: list[bytes] = []
    for one in found:
        lines.append(_ENCODER.encode(line_of(one, charge_points.get(one.charge_point_id or 0))) + b"\n")
        if len(lines) == _AT_ONCE:
            yield b"".join(lines)
            lines.clear()
    if lines:
        yield b"".join(lines)
