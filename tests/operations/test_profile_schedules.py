"""Composite schedules: OCPP 1.6, 3.13, by example and against a slow, plain reading of the text."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from csms.operations.profile_schedules import (
    Period,
    Placed,
    Profile,
    Schedule,
    Step,
    active_period,
    composite,
    decode,
    encode,
    in_unit,
)

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY = 86_400


def profile(limits: dict[int, str], **changes: Any) -> Profile:
    """Make a TxDefaultProfile in amperes that begins at NOW, changed as a test needs it."""
    schedule = Schedule(
        changes.pop("unit", "A"),
        tuple(Period(at, Decimal(limit)) for at, limit in limits.items()),
        duration=changes.pop("duration", None),
        start_schedule=changes.pop("start", NOW),
    )
    values: dict[str, Any] = {
        "charging_profile_id": 1,
        "stack_level": 0,
        "charging_profile_purpose": "TxDefaultProfile",
        "charging_profile_kind": "Absolute",
        "charging_schedule": schedule,
    }
    return Profile(**values | changes)


def steps(placed: list[Placed], connector_id: int = 1, duration_s: int = 3600, **more: Any) -> list[tuple[int, Any]]:
    """Return the composite as offsets and limits."""
    found = composite(placed, connector_id, NOW, duration_s, more.pop("unit", "A"), **more)
    return [(one.offset_s, None if one.limit is None else str(one.limit)) for one in found]


def test_without_profiles_nothing_limits() -> None:
    assert composite([], 1, NOW, 3600, "A") == (Step(0, None),)


def test_the_periods_of_one_profile_are_its_steps_until_it_ends() -> None:
    one = profile({0: "16", 600: "8"}, duration=1800)
    assert steps([Placed(0, one)]) == [(0, "16"), (600, "8"), (1800, None)]


def test_the_highest_stack_level_counts_and_the_lower_one_again_when_it_is_over() -> None:
    low = profile({0: "20"}, charging_profile_id=1, stack_level=1)
    high = profile({0: "6"}, charging_profile_id=2, stack_level=3, duration=900)
    assert steps([Placed(1, low), Placed(1, high)]) == [(0, "6"), (900, "20")]


def test_a_profile_counts_only_while_it_is_valid() -> None:
    one = profile({0: "10"}, valid_from=NOW + timedelta(minutes=10), valid_to=NOW + timedelta(minutes=20))
    assert steps([Placed(0, one)]) == [(0, None), (600, "10"), (1200, None)]


def test_a_transaction_s_profile_replaces_the_default_even_where_it_allows_more() -> None:
    default = profile({0: "6"}, charging_profile_id=1, stack_level=5)
    own = profile({0: "32"}, charging_profile_id=2, charging_profile_purpose="TxProfile", transaction_id=7)
    placed = [Placed(0, default), Placed(1, own)]
    assert steps(placed, transaction_id=7) == [(0, "32")]
    assert steps(placed, transaction_id=8) == [(0, "6")], "another transaction's profile has no say"
    assert steps(placed) == [(0, "6")], "without a transaction the default counts"


def test_the_charge_point_s_maximum_bounds_every_connector() -> None:
    most = profile({0: "12"}, charging_profile_id=1, charging_profile_purpose="ChargePointMaxProfile")
    own = profile({0: "10", 600: "20"}, charging_profile_id=2)
    assert steps([Placed(0, most), Placed(1, own)]) == [(0, "10"), (600, "12")]


def test_the_connector_s_own_default_goes_before_that_of_the_charge_point() -> None:
    everywhere, own = profile({0: "16"}), profile({0: "8"}, charging_profile_id=2)
    assert steps([Placed(0, everywhere), Placed(2, own)], 2) == [(0, "8")]
    assert steps([Placed(0, everywhere), Placed(2, own)], 1) == [(0, "16")]
    higher = profile({0: "32"}, charging_profile_id=3, stack_level=7)
    assert steps([Placed(0, higher), Placed(2, own)], 2) == [(0, "8")], "whatever the levels"


def test_a_daily_profile_begins_again_each_day() -> None:
    night = profile(
        {0: "32", 6 * 3600: "10"},
        charging_profile_kind="Recurring",
        recurrency_kind="Daily",
        start=NOW - timedelta(days=3, hours=8),
    )
    assert steps([Placed(0, night)], duration_s=DAY) == [(0, "10"), (16 * 3600, "32"), (22 * 3600, "10")]


def test_a_weekly_profile_with_a_duration_leaves_the_rest_of_the_week_free() -> None:
    weekend = profile(
        {0: "0"},
        charging_profile_kind="Recurring",
        recurrency_kind="Weekly",
        duration=2 * DAY,
        start=NOW - timedelta(days=8),
    )
    assert steps([Placed(0, weekend)], duration_s=8 * DAY) == [(0, "0"), (DAY, None), (6 * DAY, "0")]


def test_a_relative_profile_counts_from_the_begin_of_the_transaction() -> None:
    one = profile({0: "32", 1800: "6"}, charging_profile_kind="Relative", start=None)
    assert steps([Placed(0, one)], begun_at=NOW - timedelta(minutes=20)) == [(0, "32"), (600, "6")]


def test_limits_are_converted_at_230_volts_and_never_allow_more() -> None:
    assert in_unit(Decimal(16), None, "A", "W") == 11_040
    assert in_unit(Decimal(16), 1, "A", "W") == 3680
    assert in_unit(Decimal(5000), 3, "W", "A") == Decimal("7.2")


def test_the_charge_point_as_a_whole_is_allowed_what_its_connectors_are_together() -> None:
    one, two = profile({0: "10"}), profile({0: "6"}, charging_profile_id=2)
    placed = [Placed(1, one), Placed(2, two)]
    assert steps(placed, 0, connectors=(1, 2)) == [(0, "16")]
    most = profile({0: "12"}, charging_profile_id=3, charging_profile_purpose="ChargePointMaxProfile")
    assert steps([*placed, Placed(0, most)], 0, connectors=(1, 2)) == [(0, "12")]
    assert steps([placed[0]], 0, connectors=(1, 2)) == [(0, None)], "connector 2 is not limited"


def test_a_profile_valid_for_ever_by_a_clock_of_america_is_valid_for_ever() -> None:
    america, asia = timezone(timedelta(hours=-5)), timezone(timedelta(hours=5))
    first, last = datetime(1, 1, 1, tzinfo=asia), datetime(9999, 12, 31, 23, 59, 59, tzinfo=america)
    one = profile({0: "16"}, valid_from=first, valid_to=last)
    assert composite([Placed(1, one)], 1, NOW, DAY, "A") == (Step(0, Decimal(16)),)


def test_a_profile_written_and_read_is_the_same() -> None:
    one = profile({0: "6.0", 600: "10.5"}, valid_from=NOW, valid_to=NOW + timedelta(days=1), duration=3600)
    text = encode(one)
    assert '"startSchedule":"2026-11-23T08:00:00Z"' in text
    assert '"limit":10.5' in text
    assert decode(text) == one


# --- against a plain reading of the text ------------------------------------------------------------------------------

_moments = st.integers(-2 * DAY, 2 * DAY).map(lambda seconds: NOW + timedelta(seconds=seconds))
_periods = st.dictionaries(
    st.integers(1, DAY), st.integers(0, 320).map(lambda tenths: str(Decimal(tenths) / 10)), max_size=3
)


@st.composite
def placed_profiles(draw: st.DrawFn) -> Placed:
    kind = draw(st.sampled_from(["Absolute", "Recurring", "Relative"]))
    purpose = draw(st.sampled_from(["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]))
    one = profile(
        {0: draw(st.sampled_from(["0", "6", "16", "32"])), **dict(sorted(draw(_periods).items()))},
        charging_profile_id=draw(st.integers(1, 10**6)),
        stack_level=draw(st.integers(0, 3)),
        charging_profile_purpose=purpose,
        charging_profile_kind=kind,
        recurrency_kind=draw(st.sampled_from(["Daily", "Weekly"])) if kind == "Recurring" else None,
        duration=draw(st.none() | st.integers(1, DAY)),
        start=None if kind == "Relative" else draw(_moments),
        valid_from=draw(st.none() | _moments),
        valid_to=draw(st.none() | _moments),
        unit=draw(st.sampled_from(["A", "W"])),
        transaction_id=draw(st.sampled_from([7, 8])) if purpose == "TxProfile" else None,
    )
    connector_id = 0 if purpose == "ChargePointMaxProfile" else draw(st.integers(1 if purpose == "TxProfile" else 0, 2))
    return Placed(connector_id, one)


def plainly(placed: list[Placed], at: datetime, begun: datetime) -> Decimal | None:
    """Say what connector 1 may draw for transaction 7, one moment at a time and without any cleverness."""

    def leading(purpose: str) -> Decimal | None:
        best: tuple[bool, int, int] | None = None
        limit = None
        for one in placed:
            each = one.profile
            here = one.connector_id in {0, 1} and each.transaction_id in {None, 7}
            period = active_period(each, at, begun)
            if each.charging_profile_purpose != purpose or not here or period is None:
                continue
            own = one.connector_id == 1 and purpose != "ChargePointMaxProfile"
            key = (own, each.stack_level, each.charging_profile_id)
            if best is None or key > best:
                best, limit = key, in_unit(period.limit, None, each.charging_schedule.charging_rate_unit, "A")
        return limit

    limit = leading("TxProfile")
    limit = leading("TxDefaultProfile") if limit is None else limit
    most = leading("ChargePointMaxProfile")
    known = [one for one in (limit, most) if one is not None]
    return min(known, default=None)


@settings(max_examples=150)
@given(st.lists(placed_profiles(), max_size=5), st.integers(0, 2 * DAY), st.data())
def test_a_composite_says_at_every_moment_what_the_text_says(
    placed: list[Placed], ago_s: int, data: st.DataObject
) -> None:
    ids = {one.profile.charging_profile_id for one in placed}
    if len(ids) < len(placed):
        return  # a station has one profile of an id
    begun = NOW - timedelta(seconds=ago_s)
    found = composite(placed, 1, NOW, DAY, "A", transaction_id=7, begun_at=begun)
    assert found[0].offset_s == 0
    assert [one.offset_s for one in found] == sorted({one.offset_s for one in found})
    borders = [one.offset_s for one in found]
    asked = {*borders, *(max(0, one - 1) for one in borders)}
    asked |= set(data.draw(st.lists(st.integers(0, DAY - 1), min_size=10, max_size=10)))
    for offset in asked:
        said = max((one for one in found if one.offset_s <= offset), key=lambda one: one.offset_s)
        assert said.limit == plainly(placed, NOW + timedelta(seconds=offset), begun)


@settings(max_examples=100)
@given(st.lists(placed_profiles(), max_size=4), placed_profiles())
def test_one_more_maximum_of_the_charge_point_never_allows_more(placed: list[Placed], more: Placed) -> None:
    import msgspec

    most = msgspec.structs.replace(
        more.profile, charging_profile_purpose="ChargePointMaxProfile", transaction_id=None, stack_level=9
    )
    bounded = [one for one in placed if one.profile.charging_profile_purpose != "ChargePointMaxProfile"]
    before = composite(bounded, 1, NOW, DAY, "W", transaction_id=7)
    after = composite([*bounded, Placed(0, most)], 1, NOW, DAY, "W", transaction_id=7)
    for offset in {one.offset_s for one in (*before, *after)}:
        was = max((one for one in before if one.offset_s <= offset), key=lambda one: one.offset_s).limit
        is_now = max((one for one in after if one.offset_s <= offset), key=lambda one: one.offset_s).limit
        assert was is None or (is_now is not None and is_now <= was)
