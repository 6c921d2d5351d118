"""Moments as SQLite keeps them: text that sorts as time does, and comes back as the same moment."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from csms.db import to_text

_OFFSETS = st.integers(-14 * 3600, 14 * 3600).map(lambda seconds: timezone(timedelta(seconds=seconds)))
_MOMENTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - its zone is drawn
    datetime(9999, 12, 29),  # noqa: DTZ001 - its zone is drawn
    timezones=st.just(UTC) | _OFFSETS,
)


@given(_MOMENTS, st.booleans())
def test_a_moment_is_kept_to_the_microsecond_in_utc(moment: datetime, whole: bool) -> None:  # noqa: FBT001 - drawn
    moment = moment.replace(microsecond=0) if whole else moment
    written = to_text(moment)
    assert written == moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@given(_MOMENTS, _MOMENTS)
def test_its_text_sorts_as_time_does(one: datetime, other: datetime) -> None:
    first, second = to_text(one), to_text(other)
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


def test_no_moment_stays_none() -> None:
    assert to_text(None) is None
