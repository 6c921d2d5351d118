"""What stations do to the text of frames, and what strict ones expect of it. Pure."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

DATES = frozenset(
    {
        *("currentTime", "expiryDate", "retrieveDate", "startTime", "stopTime", "validFrom", "validTo"),
        *("startSchedule", "retrieveDateTime", "installDateTime", "oldestTimestamp", "latestTimestamp"),
    }
)
LOCATIONS = frozenset({"location", "remoteLocation"})


def with_blanks(frame: str) -> str:
    """The same frame with a blank after each comma and colon, as some stations write it."""
    return json.dumps(json.loads(frame), separators=(", ", ": "))


def looseness(payload: object) -> str | None:
    """What a strict parser finds wrong: a date that does not end in Z, a location that is no URL; None for nothing."""
    if isinstance(payload, list):
        return next((found for one in payload if (found := looseness(one))), None)
    if not isinstance(payload, dict):
        return None
    for name, value in payload.items():
        if name in DATES and not str(value).endswith("Z"):
            return f"{name} does not end in Z: {value}"
        if name in LOCATIONS and not (urlsplit(str(value)).scheme and urlsplit(str(value)).hostname):
            return f"{name} is no URL: {value}"
        if found := looseness(value):
            return found
    return None
