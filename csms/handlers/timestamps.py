"""Reads and writes the date-times of OCPP 1.6, which are RFC 3339 texts.

What a charge point sends is read as far as it can be; a clock that cannot be right (before 2020, or ahead of ours) is
replaced by our time and flagged, because the tariff depends on it. Knows nothing of messages; `now` is an argument.
"""

import re
from datetime import UTC, datetime

import msgspec

from csms.charging.station_clocks import AHEAD, EARLIEST

NAIVE = "timestamp: naive"
MISSING = "timestamp: missing"
UNREADABLE = "timestamp: unreadable"
TOO_EARLY = "timestamp: before 2020"
TOO_LATE = "timestamp: ahead"

_MILLISECOND_US = 1000
_SHORTEST = len("20200101T000000")  # below that the time of day is missing or not whole
_LONGEST = 64
_TOLD = frozenset("0123456789-+:.,TZWUC tz")
_LEAP_SECOND = re.compile(r"(?<=\d\d:\d\d):60")  # RFC 3339 5.6 allows it, Python does not
_BLANK_ZONE = re.compile(r"\s+(?=(?:Z|[+-]\d\d:?\d\d)$)")


class ReadTimestamp(msgspec.Struct, frozen=True):
    """When something happened, as far as the charge point can be believed.

    `happened_at` is aware and in UTC. `claimed_at` is what the text said, if it could be read, for measuring the skew
    of the charge point's clock. `flags` is empty when the text was valid and plausible; where our time takes the place
    of what it said, they keep the text.
    """

    happened_at: datetime
    flags: tuple[str, ...] = ()
    claimed_at: datetime | None = None


def read_timestamp(text: str | None, now: datetime) -> ReadTimestamp:
    """Read the timestamp of a message that arrived `now` (aware); never fails, whatever the text is.

    None is an optional timestamp that was left out (OCPP 1.6, 6.47: the time of receipt is assumed); an empty text is a
    required one that was missing, and is flagged.
    """
    if text is None:
        return ReadTimestamp(now)
    if not text:
        return ReadTimestamp(now, (MISSING,))
    written = _parse(text)
    claimed = None if written is None else _in_utc(written)
    if written is None or claimed is None:
        return ReadTimestamp(now, (UNREADABLE,))
    flags = (NAIVE,) if written.tzinfo is None else ()
    if claimed < EARLIEST:
        return ReadTimestamp(now, (*flags, f"{TOO_EARLY} ({_as_told(text)})"), claimed)
    if claimed - now > AHEAD:
        return ReadTimestamp(now, (*flags, f"{TOO_LATE} ({_as_told(text)})"), claimed)
    return ReadTimestamp(claimed, flags, claimed)


def write_timestamp(at: datetime) -> str:
    """Write an aware moment in UTC with `Z`, in whole seconds if it is one, else in milliseconds.

    Some charge points parse answers strictly and know no other zone than `Z`.
    """
    assert at.tzinfo is not None, "a moment without a zone is no moment"
    utc = at.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds" if utc.microsecond >= _MILLISECOND_US else "seconds") + "Z"


def _as_told(text: str) -> str:
    """Return the text of a date-time as it came, without what separates flags; what separates date and time is any."""
    return " ".join("".join(one if one in _TOLD else "?" for one in text).split())


def _in_utc(written: datetime) -> datetime | None:
    """Return an aware moment in UTC, a naive one taken as UTC; None if it leaves the calendar."""
    if written.tzinfo is None:
        return written.replace(tzinfo=UTC)
    try:
        return written.astimezone(UTC)
    except OverflowError:  # the years 1 and 9999 with an offset
        return None


def _parse(text: str) -> datetime | None:
    """Read a date with a time of day, aware or naive; None if it is neither."""
    if not _SHORTEST <= len(text) <= _LONGEST:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    tidy = _BLANK_ZONE.sub("", _LEAP_SECOND.sub(":59", text.strip().upper().replace("UTC", "Z")))
    try:
        return datetime.fromisoformat(tidy)
    except ValueError:
        return None
