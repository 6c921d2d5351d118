"""What stations answer to GetCompositeSchedule: read leniently, odd answers explained, compared with our own. Pure.

In the field a limit of -1 stands for none, the list of periods is empty, or there is no schedule at all (OCPP 1.6, 5.7
allows all of that). Knows no table.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from csms.operations.profile_schedules import UNITS, Step, Unit, utc

_LARGEST = 2**31


class Answer(msgspec.Struct, frozen=True):
    """What could be read: the steps (None: no schedule), from when, for how long, in which unit; what was odd."""

    steps: tuple[Step, ...] | None
    begin: datetime
    duration_s: int
    unit: Unit
    remarks: tuple[str, ...]


class Difference(msgspec.Struct, frozen=True):
    """From `offset_s` to `until_s` the station says something else than we compute."""

    offset_s: int
    until_s: int
    station: Decimal | None
    ours: Decimal | None


def read_answer(
    state: str, answer_json: str | None, failure: str | None, received_at: datetime, asked_s: int, asked_unit: str
) -> Answer:
    """Read an answer. Negative limits are none; a schedule without a begin begins when it was received."""
    remarks: list[str] = []
    unit: Unit = "W" if asked_unit == "W" else "A"
    said = _object(answer_json)
    if state in {"failed", "timed out"}:
        remarks.append(f"The station did not answer as it should: {failure or state}.")
    elif state == "rejected" or said.get("status") == "Rejected":
        remarks.append("The station rejected the question: it cannot tell its schedule.")
    schedule = said.get("chargingSchedule")
    begin = _moment(said.get("scheduleStart"))
    if state == "accepted" and not isinstance(schedule, dict):
        remarks.append("The station answered Accepted without a schedule: nothing limits it, or it does not tell.")
    if not isinstance(schedule, dict):
        return Answer(None, begin or utc(received_at), asked_s, unit, tuple(remarks))
    if begin is None:
        begin = _moment(schedule.get("startSchedule")) or utc(received_at)
        remarks.append("The station did not say when the schedule begins: taken from when the answer came.")
    told = schedule.get("chargingRateUnit")
    if told in UNITS:
        if asked_unit and told != asked_unit:
            remarks.append(f"The station was asked for {asked_unit} and answered in {told}.")
        unit = told
    duration_s = _whole(schedule.get("duration"))
    if duration_s is not None and duration_s < asked_s:
        remarks.append(f"The station tells {duration_s} s of the {asked_s} s it was asked for.")
    steps = _steps(schedule.get("chargingSchedulePeriod"), remarks)
    return Answer(steps, begin, min(asked_s, duration_s or asked_s), unit, tuple(remarks))


def differences(
    station: Sequence[Step], ours: Sequence[Step], duration_s: int, most: Decimal | None = None
) -> tuple[Difference, ...]:
    """Return where two schedules differ within a duration; neighbours with the same difference are one.

    Where no profile limits, a station tells what it can give at most, which is no difference; nor is it where it can
    give no more than `most`.
    """
    borders = sorted({0, *(one.offset_s for one in (*station, *ours) if 0 < one.offset_s < duration_s)})
    found: list[Difference] = []
    for at, until in zip(borders, [*borders[1:], duration_s], strict=True):
        one, other = _at(station, at), _at(ours, at)
        if other is None or one == other or (most is not None and one == most < other):
            continue
        last = found[-1] if found else None
        if last is not None and last.until_s == at and (last.station, last.ours) == (one, other):
            found[-1] = Difference(last.offset_s, until, one, other)
        else:
            found.append(Difference(at, until, one, other))
    return tuple(found)


def _at(steps: Sequence[Step], offset_s: int) -> Decimal | None:
    begun = [one for one in steps if one.offset_s <= offset_s]
    return max(begun, key=lambda one: one.offset_s).limit if begun else None


def _steps(periods: Any, remarks: list[str]) -> tuple[Step, ...]:  # noqa: ANN401 - whatever a station sent
    if not isinstance(periods, list) or not periods:
        remarks.append("The list of periods is empty: at many makes that means that nothing limits.")
        return (Step(0, None),)
    steps = []
    for one in periods:
        limit = one.get("limit") if isinstance(one, dict) else None
        start = _whole(one.get("startPeriod")) if isinstance(one, dict) else None
        if start is None or not isinstance(limit, int | Decimal) or isinstance(limit, bool):
            remarks.append("A period cannot be read, and is left out.")
            continue
        if limit < 0:
            words = f"A limit of {limit} is shown as no limit: that is what it stands for at some makes."
            remarks.extend([words] if words not in remarks else [])
        steps.append(Step(start, None if limit < 0 else Decimal(limit), _whole(one.get("numberPhases"))))
    ordered = sorted(steps, key=lambda one: one.offset_s)
    if ordered != steps:
        remarks.append("The periods were not in order.")
    if ordered and ordered[0].offset_s:
        remarks.append("The first period does not begin at 0: until it begins no limit is known.")
        ordered.insert(0, Step(0, None))
    return tuple(ordered) or (Step(0, None),)


def _object(text: str | None) -> dict[str, Any]:
    try:
        said = json.loads(text or "{}", parse_float=Decimal)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _whole(value: Any) -> int | None:  # noqa: ANN401 - whatever a station sent
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < _LARGEST:
        return None
    return int(value)


def _moment(value: Any) -> datetime | None:  # noqa: ANN401 - whatever a station sent
    try:
        at = datetime.fromisoformat(str(value)) if value is not None else None
        return None if at is None else utc(at)
    except (ValueError, OverflowError):
        return None


def begin_of(now: datetime) -> datetime:
    """Return from when a schedule is computed now: whole minutes read better."""
    return now.astimezone(UTC).replace(second=0, microsecond=0)
