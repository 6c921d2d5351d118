"""Idle time, priced from what readings and statuses tell: whatever is not told, nobody pays more idle time for.

The curve of a car is known here; its readings are any of those that a station may have told of it, by a meter that
counts in steps. Each amount comes out of `charge_of`, which prices the charges.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.billing.bands import Band
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, encode_tariff
from csms.charging.facts import Point, Transaction
from csms.charging.points import Turn
from csms.charging.pricing import charge_of, cost_of
from tests.support import pencil

EUR = Currency("EUR", 2)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = 3600


def tariff(grace_s: int = 600, per_minute: str = "0", **changes: Any) -> Tariff:
    """Return a tariff of 0.40 per kWh and 0.10 per idle minute."""
    values: dict[str, Any] = {
        "rate_per_minute": Decimal(per_minute),
        "start_fee_minor": 0,
        "rate_per_idle_minute": Decimal("0.10"),
        "idle_grace_s": grace_s,
    }
    return Tariff(1, "t", Decimal("0.40"), tax_percent=Decimal(20), **(values | changes))


def begun(priced: Tariff) -> Transaction:
    """Return a transaction that begins at noon on a register of 0."""
    return Transaction(
        1, "k", 1, 1, "AA", 1, "Accepted", None, "open", 0, NOON, NOON, encode_tariff(priced), 0, NOON, needs_spans=True
    )


def at(seconds: float) -> datetime:
    """Return a moment so long after the start."""
    return NOON + timedelta(seconds=seconds)


def lines(priced: Tariff, end_wh: int, end_s: float, points: Iterable[Point | Turn] = ()) -> dict[str, Decimal]:
    """Return the quantities of a charge by what they are for."""
    told = tuple(points)
    charge = charge_of(begun(priced), end_wh, at(end_s), told, EUR)
    assert cost_of(begun(priced), end_wh, at(end_s), told, EUR) == charge.total_minor
    return {line.component: line.quantity for line in charge.lines}


def idle_min(priced: Tariff, end_wh: int, end_s: float, points: Iterable[Point | Turn] = ()) -> Decimal:
    """Return the idle minutes of a charge."""
    return lines(priced, end_wh, end_s, points).get("idle", Decimal(0))


def steady(power_w: int, end_s: int, every_s: int, step_wh: int = 1, *, told: bool = False) -> list[Point]:
    """Return what a meter with such steps tells of a steady power."""
    power = power_w if told else None
    return [Point(at(s), power_w * s // (HOUR * step_wh) * step_wh, power) for s in range(every_s, end_s, every_s)]


# --- what an auditor played -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("power_w", "minutes"), [(50, 110), (90, 14)])
def test_a_trickle_costs_the_same_however_often_it_is_read(power_w: int, minutes: int) -> None:
    # Of 4 h at 50 W half is charging; the other half is idle, less a grace of 10 min.
    for every_s in (10, 30, 60, 300, 4 * HOUR):
        end_wh = power_w * 4
        assert abs(idle_min(tariff(), end_wh, 4 * HOUR, steady(power_w, 4 * HOUR, every_s)) - minutes) <= Decimal("0.6")


def test_around_the_threshold_the_price_does_not_jump() -> None:
    charges = [charge_of(begun(tariff()), wh, at(6 * HOUR), (), EUR).total_minor for wh in range(580, 620)]
    assert all(abs(after - before) <= 7 for before, after in pairwise(charges))


@pytest.mark.parametrize(("step_wh", "grace_s"), [(1, 0), (100, 0), (1000, 0), (1000, 600)])
def test_a_car_whose_power_is_told_is_never_idle_however_coarse_its_meter_is(step_wh: int, grace_s: int) -> None:
    points = steady(3700, 3 * HOUR, 60, step_wh, told=True)
    assert idle_min(tariff(grace_s), 11_100 // step_wh * step_wh, 3 * HOUR, points) == 0


def test_time_in_which_the_station_held_back_costs_nothing_and_leaves_the_grace_as_it_is() -> None:
    priced = tariff(per_minute="0.02")
    points = [Point(at(60 * m), min(m, 30) * 180 + max(0, m - 90) * 180, 0) for m in range(1, 120)]
    held = [Turn(at(30 * 60), is_held=True), Turn(at(90 * 60), is_held=False)]
    assert lines(priced, 60 * 180, 120 * 60, points)["idle"] == 50
    assert lines(priced, 60 * 180, 120 * 60, [*points, *held]) == {"energy": Decimal("10.8"), "time": 60}
    # Then the car stands: the grace of 10 min is whole, and is used up before and after a further time of that kind.
    more = [Turn(at(125 * 60), is_held=True), Turn(at(185 * 60), is_held=False)]
    assert idle_min(priced, 60 * 180, 195 * 60, [*points, Point(at(120 * 60), 10_800), *held, *more]) == 5
    assert idle_min(priced, 60 * 180, 195 * 60, [*points, Point(at(120 * 60), 10_800), *more, *held]) == 5


def test_a_pause_that_goes_on_to_the_end_costs_nothing() -> None:
    assert idle_min(tariff(), 100, 5 * HOUR, [Point(at(60), 100), Turn(at(60), is_held=True)]) == 0


def test_a_moment_with_two_statuses_is_the_customers() -> None:
    turns = [Turn(at(60), is_held=True), Turn(at(60), is_held=False)]
    for told in (turns, turns[::-1]):
        assert idle_min(tariff(), 100, 5 * HOUR, [Point(at(60), 100), *told]) == 0


def test_the_grace_begins_anew_when_the_car_charged_and_costs_nothing() -> None:
    points = [Point(at(60 * m), wh) for m, wh in ((30, 5000), (38, 5000), (48, 6000))]
    # 40 min charging; the first pause is within its grace, the second is 20 min beyond it
    assert lines(tariff(per_minute="0.02"), 6000, 78 * 60, points) == {"energy": 6, "time": 40, "idle": 20}


def test_nobody_is_idle_for_less_than_five_minutes() -> None:
    points = [Point(at(60), 5000)]
    assert [idle_min(tariff(0), 5000, 60 + s, points) for s in (299, 300, 360)] == [0, 0, 1]


def test_a_duration_is_whole_seconds_whatever_the_tariff_knows_of_the_time() -> None:
    all_day = (Band("all", tuple(range(7)), 0, 1440, Decimal("0.40"), Decimal(1)),)
    flat = tariff(per_minute="1", rate_per_idle_minute=Decimal(0))
    banded = tariff(per_minute="1", rate_per_idle_minute=Decimal(0), bands=all_day)
    idling = tariff(per_minute="1")
    for seconds in (59, 59.9, 60.000001, 3.5):
        paid = {charge_of(begun(one), 5000, at(seconds), (), EUR).total_minor for one in (flat, banded, idling)}
        assert len(paid) == 1


# --- what always holds ------------------------------------------------------------------------------------------------

graces = st.sampled_from([0, 300, 600, 1800])
steps = st.sampled_from([1, 10, 100, 1000])
legs = st.lists(
    st.tuples(st.integers(1, 7200), st.sampled_from([0, 0, 20, 50, 90, 100, 110, 1400, 3700, 22_000])),
    min_size=1,
    max_size=6,
)


def joules_at(curve: list[tuple[int, int]], second: int) -> int:
    """Return what a car has drawn by a second, in J; a curve is made of seconds and the power in them."""
    drawn = 0
    for seconds, power_w in curve:
        drawn += power_w * min(seconds, second)
        second -= min(seconds, second)
    return drawn


@st.composite
def sessions(draw: st.DrawFn) -> tuple[int, int, list[Point]]:
    """Return the energy, the duration and all readings of a car that charges, trickles and pauses."""
    curve, step = draw(legs), draw(steps)
    end_s = sum(seconds for seconds, _ in curve)
    moments = draw(st.sets(st.integers(1, max(1, end_s - 1)), max_size=25))
    points = [Point(at(s), joules_at(curve, s) // (HOUR * step) * step) for s in sorted(moments)]
    return joules_at(curve, end_s) // (HOUR * step) * step, end_s, points


@settings(max_examples=300)
@given(sessions(), graces, st.data())
def test_a_register_that_nobody_told_never_makes_more_idle_time(
    session: tuple[int, int, list[Point]], grace_s: int, data: st.DataObject
) -> None:
    end_wh, end_s, points = session
    kept = [point for point in points if data.draw(st.booleans())]
    priced = tariff(grace_s)
    assert idle_min(priced, end_wh, end_s, kept) <= idle_min(priced, end_wh, end_s, points)
    few = charge_of(begun(priced), end_wh, at(end_s), kept, EUR).total_minor
    assert few <= charge_of(begun(priced), end_wh, at(end_s), points, EUR).total_minor


@settings(max_examples=300)
@given(sessions(), graces, st.data())
def test_more_energy_in_the_same_time_never_makes_more_idle_time(
    session: tuple[int, int, list[Point]], grace_s: int, data: st.DataObject
) -> None:
    end_wh, end_s, points = session
    more, extra_wh = [], 0
    for point in points:
        extra_wh += data.draw(st.sampled_from([0, 0, 1, 40, 5000]))
        told = data.draw(st.none() | st.integers(0, 22_000))
        more.append(Point(point.at, point.register_wh + extra_wh, told))
    assert (
        idle_min(tariff(grace_s), end_wh + extra_wh, end_s, more) <= idle_min(tariff(grace_s), end_wh, end_s, points)
        or not end_wh
    )


@settings(max_examples=200)
@given(
    wh_each=st.integers(0, 5000),
    minutes=st.integers(1, 10),
    where=st.sets(st.integers(1, 99)),
    grace_s=graces,
    held=st.booleans(),
)
def test_splitting_readings_changes_nothing(
    *, wh_each: int, minutes: int, where: set[int], grace_s: int, held: bool
) -> None:
    night = Band("night", tuple(range(7)), 13 * 60, 24 * 60, Decimal("0.10"), Decimal("0.01"))
    priced = tariff(grace_s, "0.03", bands=(night,), free_wh=500)
    turns = [Turn(at(1000), is_held=True), Turn(at(2300), is_held=False)] if held else []
    begin = [Point(at(1000), 700), Point(at(2300), 700)] if held else []
    base, start_s = (700, 2300) if held else (0, 0)
    split = [Point(at(start_s + 60 * minutes * n), base + wh_each * n) for n in sorted(where)]
    end = base + wh_each * 100, start_s + 60 * minutes * 100
    whole = charge_of(begun(priced), end[0], at(end[1]), [*begin, *turns], EUR)
    assert charge_of(begun(priced), end[0], at(end[1]), [*begin, *split, *turns], EUR) == whole


@settings(max_examples=200)
@given(
    power_w=st.integers(100, 22_000),
    step_wh=steps,
    every_s=st.sampled_from([10, 30, 60, 900]),
    grace_s=graces,
    told=st.booleans(),
)
def test_a_steady_power_of_a_hundred_watts_is_never_idle_where_the_grace_outlasts_a_step(
    *, power_w: int, step_wh: int, every_s: int, grace_s: int, told: bool
) -> None:
    end_s = 6 * HOUR
    end_wh = power_w * 6 // step_wh * step_wh
    grace_s = max(grace_s, 0 if told else step_wh * HOUR // power_w + 2 * every_s)
    found = idle_min(tariff(grace_s), end_wh, end_s, steady(power_w, end_s, every_s, step_wh, told=told))
    after_the_last = Decimal(max(0, every_s - 300)) / 60
    assert found <= (after_the_last if told else 0)


@settings(max_examples=200)
@given(sessions(), graces, st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=6))
def test_holding_back_never_makes_a_price_higher_and_its_order_does_not_matter(
    session: tuple[int, int, list[Point]], grace_s: int, told: list[tuple[int, bool]]
) -> None:
    end_wh, end_s, points = session
    turns = [Turn(at(seconds), is_held=is_held) for seconds, is_held in told]
    priced = tariff(grace_s, "0.05")
    held = charge_of(begun(priced), end_wh, at(end_s), [*points, *turns], EUR)
    assert held.total_minor <= charge_of(begun(priced), end_wh, at(end_s), points, EUR).total_minor
    assert held == charge_of(begun(priced), end_wh, at(end_s), [*turns[::-1], *points[::-1]], EUR)


BY_TIME = (
    Band("noon", tuple(range(7)), 14 * 60, 16 * 60, Decimal("0.60"), Decimal("0.03")),
    Band("evening", (2, 6), 20 * 60, 24 * 60, Decimal("0.21")),
)


@settings(max_examples=200, deadline=None)
@given(
    session=sessions(),
    grace_s=graces,
    turns=st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=4),
    powers=st.lists(st.none() | st.integers(0, 22_000), min_size=25, max_size=25),
    per_idle_minute=st.sampled_from(["0", "0.10", "0.333333"]),
    bands=st.sampled_from([(), BY_TIME]),
    started_us=st.sampled_from([0, 250_000]),
)
def test_pencil_and_paper_come_to_the_same_price(
    *,
    session: tuple[int, int, list[Point]],
    grace_s: int,
    turns: list[tuple[int, bool]],
    powers: list[int | None],
    per_idle_minute: str,
    bands: tuple[Band, ...],
    started_us: int,
) -> None:
    end_wh, end_s, registers = session
    priced = tariff(
        grace_s, "0.02", rate_per_idle_minute=Decimal(per_idle_minute), bands=bands, free_wh=300,
        time_zone="Europe/Sofia", start_fee_minor=30, minimum_minor=50, maximum_minor=4000,
    )  # fmt: skip
    one = msgspec.structs.replace(begun(priced), started_at=NOON + timedelta(microseconds=started_us))
    points = [msgspec.structs.replace(one, power_w=power) for one, power in zip(registers, powers, strict=False)]
    told = [*points, *(Turn(at(seconds), is_held=is_held) for seconds, is_held in turns)]
    rows: list[pencil.Row] = [(each.at, each.register_wh, each.power_w, "") for each in points]
    words = {True: "held back by the station", False: "not held back"}
    rows += [(at(seconds), None, None, words[is_held]) for seconds, is_held in turns]
    rows += [(at(5), 1, None, "implausible"), (at(7), 1, None, "naive; after the end")]
    if priced.needs_spans:
        by_hand = pencil.cost(one.tariff_json, one.started_at, 0, end_wh, at(end_s), tuple(rows))
        assert charge_of(one, end_wh, at(end_s), told, EUR).total_minor == by_hand
