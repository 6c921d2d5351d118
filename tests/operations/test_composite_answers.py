"""Answers to GetCompositeSchedule, as they come in the field."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms.operations.composite_answers import Answer, Difference, differences, read_answer
from csms.operations.profile_schedules import Step

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def read(schedule: Any, **more: Any) -> Answer:
    said = {"status": "Accepted", "connectorId": 1, "scheduleStart": "2026-11-23T08:00:00Z"} | more
    if schedule is not None:
        said["chargingSchedule"] = schedule
    return read_answer("accepted", json.dumps(said), None, NOW + timedelta(seconds=1), 3600, "A")


def test_a_plain_answer_is_its_steps_without_a_remark() -> None:
    periods = [{"startPeriod": 0, "limit": 16.0}, {"startPeriod": 600, "limit": 6.5, "numberPhases": 1}]
    found = read({"duration": 3600, "chargingRateUnit": "A", "chargingSchedulePeriod": periods})
    assert found == Answer((Step(0, Decimal("16.0")), Step(600, Decimal("6.5"), 1)), NOW, 3600, "A", ())


def test_a_limit_of_minus_one_is_no_limit_and_is_explained() -> None:
    found = read({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": -1}]})
    assert found.steps == (Step(0, None),)
    assert "-1 is shown as no limit" in found.remarks[0]


def test_an_empty_list_of_periods_is_no_limit_and_is_explained() -> None:
    found = read({"chargingRateUnit": "A", "chargingSchedulePeriod": []})
    assert found.steps == (Step(0, None),)
    assert "empty" in found.remarks[0]


def test_an_answer_without_a_schedule_is_explained() -> None:
    found = read(None)
    assert found.steps is None
    assert "without a schedule" in found.remarks[0]


@pytest.mark.parametrize(
    ("state", "answer", "failure", "word"),
    [
        ("rejected", '{"status": "Rejected"}', None, "rejected"),
        ("failed", "{}", "NotSupported: no Smart Charging", "NotSupported"),
        ("timed out", None, "no answer within 60 s", "no answer"),
        ("failed", "not json", "unreadable", "unreadable"),
    ],
)
def test_no_answer_at_all_is_explained(state: str, answer: str | None, failure: str | None, word: str) -> None:
    found = read_answer(state, answer, failure, NOW, 3600, "")
    assert found.steps is None
    assert word in found.remarks[0]


def test_other_odd_answers_are_read_as_far_as_they_go() -> None:
    periods = [{"startPeriod": 900, "limit": 6}, {"startPeriod": 600, "limit": 10}, {"limit": "all"}, 7]
    found = read({"duration": 1800, "chargingRateUnit": "W", "chargingSchedulePeriod": periods}, scheduleStart="soon")
    assert found.steps == (Step(0, None), Step(600, Decimal(10)), Step(900, Decimal(6)))
    assert (found.duration_s, found.unit, found.begin) == (1800, "W", NOW + timedelta(seconds=1))
    assert len(found.remarks) == 7


def test_differences_are_the_times_in_which_both_say_something_else() -> None:
    station = (Step(0, Decimal(16)), Step(600, None))
    ours = (Step(0, Decimal("16.0")), Step(300, Decimal(6)), Step(900, None))
    assert differences(station, ours, 3600) == (
        Difference(300, 600, Decimal(16), Decimal(6)),
        Difference(600, 900, None, Decimal(6)),
    )
    assert differences(station, station, 3600) == ()


def test_what_a_station_can_give_at_most_is_no_difference() -> None:
    station = (Step(0, Decimal(22_000)), Step(600, Decimal(11_000)))
    assert differences(station, (Step(0, None),), 3600) == (), "no profile of ours limits"
    ours = (Step(0, Decimal(43_000)),)
    assert differences(station, ours, 3600, Decimal(22_000)) == (
        Difference(600, 3600, Decimal(11_000), Decimal(43_000)),
    )
    assert len(differences(station, ours, 3600)) == 2
