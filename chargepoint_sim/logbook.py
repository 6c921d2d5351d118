"""What a station has written down about itself: the content of diagnostics and logs that it uploads.

Pure but for what it is told. Knows no transfer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from chargepoint_sim.clock import read, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chargepoint_sim.events import Record
    from chargepoint_sim.security_events import SecurityEvent

LINES_LIMIT = 1_000
DIAGNOSTICS, SECURITY = "DiagnosticsLog", "SecurityLog"


@dataclass(frozen=True)
class Span:
    """From when to when a log is wanted; None for no limit."""

    begin: datetime | None = None
    end: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies within."""
        return (self.begin is None or moment >= self.begin) and (self.end is None or moment <= self.end)


class Logbook:
    """The last lines of one station."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._lines: deque[tuple[datetime, str]] = deque(maxlen=LINES_LIMIT)

    def write(self, record: Record) -> None:
        """Keep an event."""
        self._lines.append((record.at, str(record.event)))

    def lines(self, span: Span) -> list[str]:
        """The events of a span, a line each."""
        return [f"{written(at)} {text}" for at, text in self._lines if span.holds(at)]

    def file_name(self, kind: str, now: datetime) -> str:
        """A name for a log that is safe in a URL and in a folder, and that no other log of the station has."""
        word = "security" if kind == SECURITY else "diagnostics"
        moment = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{now.microsecond // 1000:03d}"
        return f"{quote(self._identity, safe='').replace('%', '_')}-{word}-{moment}.log"

    def content(self, lines: Iterable[str], facts: Iterable[str], now: datetime) -> bytes:
        """The file: what the station is now, then its lines."""
        head = [f"# {self._identity} at {written(now)}", *(f"# {fact}" for fact in facts)]
        return "\n".join([*head, *lines, ""]).encode()


def security_lines(events: Iterable[SecurityEvent], span: Span) -> list[str]:
    """The security events of a span, a line each."""
    chosen = (event for event in events if span.holds(read(event.timestamp)))
    return [f"{event.timestamp} {event.kind} {event.tech_info}".rstrip() for event in chosen]
