"""The editor's form: what was typed of a charging profile, read into a `Profile`, with every wrong field marked.

Reads and marks only. A period is a row of fields `period_<n>_...`; rows that are empty are no periods.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from csms import clock
from csms.billing.wall_clock import read_moment, write_moment
from csms.operations.profile_library import MOST_PERIODS, LibraryProfile, Problem
from csms.operations.profile_schedules import (
    KINDS,
    PURPOSES,
    RECURRENCIES,
    UNITS,
    Period,
    Profile,
    Recurrency,
    Schedule,
)
from csms.operations.profile_words import read_limit, read_span, write_span
from csms.web.forms import Form

FEWEST_ROWS = 3
_PARTS = ("start", "limit", "phases")
_PERIOD_FIELDS = {"start_period": "start", "limit": "limit", "number_phases": "phases"}
_FIELDS = {"charging_profile_kind": "kind", "charging_schedule_period": "period_1_start"}

Result = TypeVar("Result")


def rows_of(form: Form) -> int:
    """Return how many rows of periods the form has, at least the few that an empty one shows."""
    asked = form.typed("rows")
    rows = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 4 else 0  # noqa: PLR2004 - digits
    return max(FEWEST_ROWS, min(rows, MOST_PERIODS))


def filled_rows(form: Form) -> list[int]:
    """Return the numbers of the rows in which something was typed, from 1."""
    return [
        row for row in range(1, rows_of(form) + 1) if any(form.typed(f"period_{row}_{part}").strip() for part in _PARTS)
    ]


def zone_of(form: Form) -> ZoneInfo:
    """Return the time zone of the form's moments; UTC where the field is marked."""
    typed = form.typed("time_zone").strip()
    if typed not in clock.time_zones():
        form.refuse("time_zone", "A name of the tz database, such as Europe/Sofia.")
        return ZoneInfo("UTC")
    return ZoneInfo(typed)


def read_profile(form: Form) -> tuple[str, Profile]:
    """Read the name and the profile; where a field is marked, its value means nothing."""
    zone = zone_of(form)
    kind = form.choice("kind", KINDS)
    recurrency: Recurrency | None = None
    if kind == "Recurring":
        recurrency = form.choice("recurrency_kind", RECURRENCIES)

    def moment(name: str) -> datetime | None:
        return _read(form, name, lambda text: read_moment(text, zone))

    schedule = Schedule(
        form.choice("unit", UNITS),
        tuple(_period(form, f"period_{row}_") for row in filled_rows(form)),
        duration=_read(form, "duration", read_span),
        start_schedule=moment("start_schedule"),
        min_charging_rate=_read(form, "min_charging_rate", read_limit),
    )
    profile = Profile(
        0,
        form.number("stack_level") or 0,
        form.choice("purpose", PURPOSES),
        kind,
        schedule,
        recurrency_kind=recurrency,
        valid_from=moment("valid_from"),
        valid_to=moment("valid_to"),
    )
    return form.text("name", longest=100), profile


def _read(form: Form, name: str, read: Callable[[str], Result]) -> Result | None:
    typed = form.typed(name).strip()
    if not typed:
        return None
    try:
        return read(typed)
    except ValueError as error:
        form.refuse(name, f"{error}.")
        return None


def _period(form: Form, prefix: str) -> Period:
    if not form.typed(f"{prefix}start").strip():
        form.refuse(f"{prefix}start", "Please fill this in; the first row begins at 0:00.")
    if not form.typed(f"{prefix}limit").strip():
        form.refuse(f"{prefix}limit", "Please fill this in; 0 gives no power.")
    return Period(
        _read(form, f"{prefix}start", read_span) or 0,
        _read(form, f"{prefix}limit", read_limit) or Decimal(0),
        form.number(f"{prefix}phases"),
    )


def mark(form: Form, problems: list[Problem]) -> None:
    """Mark the fields of what the rules found wrong; a period's in the row where it was typed."""
    rows = filled_rows(form)
    unread = {row for row in rows if any(form.error(f"period_{row}_{part}") for part in _PARTS)}
    for one in problems:
        why = f"{one.why[:1].upper()}{one.why[1:]}."
        if one.period is None:
            form.refuse(_FIELDS.get(one.field, one.field), why)
        elif not unread:
            form.refuse(f"period_{rows[one.period - 1]}_{_PERIOD_FIELDS[one.field]}", why)


def fill(one: LibraryProfile) -> dict[str, str]:
    """Return the fields of a form that says what a profile says."""
    zone, profile, schedule = ZoneInfo(one.time_zone), one.profile, one.profile.charging_schedule
    fields = {
        "name": one.name,
        "time_zone": one.time_zone,
        "purpose": profile.charging_profile_purpose,
        "kind": profile.charging_profile_kind,
        "recurrency_kind": profile.recurrency_kind or "",
        "stack_level": str(profile.stack_level),
        "unit": schedule.charging_rate_unit,
        "duration": "" if schedule.duration is None else write_span(schedule.duration),
        "min_charging_rate": _number(schedule.min_charging_rate),
        "rows": str(len(schedule.charging_schedule_period) + 1),
    }
    moments = (
        ("start_schedule", schedule.start_schedule),
        ("valid_from", profile.valid_from),
        ("valid_to", profile.valid_to),
    )
    for name, at in moments:
        fields[name] = "" if at is None else write_moment(at, zone)
    for row, period in enumerate(schedule.charging_schedule_period, 1):
        fields |= {
            f"period_{row}_start": write_span(period.start_period),
            f"period_{row}_limit": _number(period.limit),
            f"period_{row}_phases": "" if period.number_phases is None else str(period.number_phases),
        }
    return fields


def _number(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():f}"
