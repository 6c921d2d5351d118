"""Timestamps of charge points: RFC 3339, what comes near to it, and clocks that cannot be right."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.handlers import timestamps
from csms.handlers.timestamps import read_timestamp, write_timestamp

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
TEN = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "happened_at"),
    [
        ("2026-11-23T10:00:00Z", TEN),
        ("2026-11-23T10:00:00.5Z", TEN + timedelta(milliseconds=500)),
        ("2026-11-23T10:00:00.123456789Z", TEN + timedelta(microseconds=123456)),
        ("2026-11-23T12:00:00+02:00", TEN),
        ("2026-11-23T04:30:00-0530", TEN),
        ("2026-11-23 10:00:00Z", TEN),
        ("2026-11-23t10:00:00z", TEN),
        (" 2026-11-23T10:00:00Z ", TEN),
        ("2026-11-23T10:00:00 Z", TEN),
        ("2026-11-23 10:00:00 UTC", TEN),
        ("2026-11-23T12:00:00 +02:00", TEN),
        ("2026-11-23T09:59:60Z", TEN - timedelta(seconds=1)),
    ],
)
def test_a_date_time_with_a_zone_is_read_without_a_flag(text: str, happened_at: datetime) -> None:
    read = read_timestamp(text, NOW)
    assert (read.happened_at, read.claimed_at, read.flags) == (happened_at, happened_at, ())
    assert read.happened_at.tzinfo is UTC


def test_a_naive_date_time_is_read_as_utc_and_flagged() -> None:
    read = read_timestamp("2026-11-23T10:00:00", NOW)
    assert (read.happened_at, read.flags) == (TEN, (timestamps.NAIVE,))


def test_an_optional_timestamp_that_is_absent_is_the_time_of_receipt_without_a_flag() -> None:
    assert read_timestamp(None, NOW) == timestamps.ReadTimestamp(NOW)


def test_a_required_timestamp_that_is_missing_is_the_time_of_receipt_with_a_flag() -> None:
    assert read_timestamp("", NOW) == timestamps.ReadTimestamp(NOW, (timestamps.MISSING,))


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "2026-11-23",
        "2026-13-23T10:00:00Z",
        "2026-11-23T25:00:00Z",
        "0000-00-00T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1700000000",
        "1700000000000000",
        "2026-11-23T10:00:00Z" + " " * 100,
        "٢٠٢٦-11-23T10:00:00Z",
    ],
)
def test_what_is_no_date_time_is_the_time_of_receipt_with_a_flag(text: str) -> None:
    assert read_timestamp(text, NOW) == timestamps.ReadTimestamp(NOW, (timestamps.UNREADABLE,))


@pytest.mark.parametrize("text", ["1970-01-01T00:00:12Z", "2000-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"])
def test_a_clock_that_was_never_set_gets_our_time(text: str) -> None:
    read = read_timestamp(text, NOW)
    assert (read.happened_at, read.flags) == (NOW, (f"{timestamps.TOO_EARLY} ({text})",))
    assert read.claimed_at == datetime.fromisoformat(text)


def test_the_first_moment_of_2020_is_believed() -> None:
    assert read_timestamp("2020-01-01T00:00:00Z", NOW).flags == ()


def test_a_clock_may_run_ten_minutes_ahead_and_no_more() -> None:
    at_bound = read_timestamp("2026-11-23T12:10:00Z", NOW)
    beyond = read_timestamp("2026-11-23T12:10:00.001Z", NOW)
    assert (at_bound.happened_at, at_bound.flags) == (NOW + timedelta(minutes=10), ())
    assert (beyond.happened_at, beyond.flags) == (NOW, (f"{timestamps.TOO_LATE} (2026-11-23T12:10:00.001Z)",))


def test_a_naive_clock_that_is_wrong_has_both_flags() -> None:
    told = f"{timestamps.TOO_EARLY} (1970-01-01T00:00:00)"
    assert read_timestamp("1970-01-01T00:00:00", NOW).flags == (timestamps.NAIVE, told)


def test_a_text_that_is_kept_cannot_look_like_other_flags() -> None:
    assert read_timestamp("1970-01-01;00:00:00", NOW).flags[-1] == f"{timestamps.TOO_EARLY} (1970-01-01?00:00:00)"


@given(st.text() | st.from_regex(r"\d{1,5}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", fullmatch=True))
def test_any_text_gives_a_moment_between_2020_and_ten_minutes_from_now(text: str) -> None:
    read = read_timestamp(text, NOW)
    assert timestamps.EARLIEST <= read.happened_at <= NOW + timestamps.AHEAD
    assert read.happened_at in {NOW, read.claimed_at}


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (TEN, "2026-11-23T10:00:00Z"),
        (TEN + timedelta(microseconds=250_900), "2026-11-23T10:00:00.250Z"),
        (TEN + timedelta(microseconds=999), "2026-11-23T10:00:00Z"),
        (datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone(timedelta(hours=2))), "2026-11-23T10:00:00Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_z_and_at_most_milliseconds(at: datetime, text: str) -> None:
    assert write_timestamp(at) == text


def test_writing_a_naive_moment_is_a_programming_mistake() -> None:
    with pytest.raises(AssertionError):
        write_timestamp(datetime(2026, 11, 23))  # noqa: DTZ001 - the mistake itself


@given(st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 23), timezones=st.just(UTC)))  # noqa: DTZ001
def test_what_is_written_is_read_back_to_the_millisecond(at: datetime) -> None:
    whole = at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert read_timestamp(write_timestamp(at), NOW) == timestamps.ReadTimestamp(whole, (), whole)
