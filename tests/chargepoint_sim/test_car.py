"""The charge curve: limits hold, energy only rises, and power ramps up, stays and tapers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargepoint_sim.car import Car, accepted_w, charge, random_car

cars = st.builds(
    Car,
    battery_wh=st.floats(10_000, 120_000),
    soc=st.floats(0, 1),
    target_soc=st.floats(0.5, 1),
    max_ac_w=st.floats(3_700, 22_000),
    max_dc_w=st.floats(50_000, 150_000),
    charging_s=st.floats(0, 100),
)
steps = st.lists(st.tuples(st.floats(0, 200_000), st.floats(0, 10)), max_size=40)


@given(cars, st.sampled_from(["AC", "DC"]), steps)
def test_a_car_never_takes_more_than_is_offered_nor_than_it_can(
    car: Car, current: str, offers: list[tuple[float, float]]
) -> None:
    most_w = car.max_ac_w if current == "AC" else car.max_dc_w
    for offered_w, seconds in offers:
        step = charge(car, current, offered_w, seconds)
        assert 0 <= step.power_w <= min(offered_w, most_w)
        assert 0 <= step.energy_wh <= min(offered_w, most_w) * seconds / 3600 + 1e-6
        assert car.soc <= step.car.soc <= max(car.target_soc, car.soc)
        car = step.car


@given(cars)
def test_the_energy_metered_until_full_is_what_the_car_wanted(car: Car) -> None:
    wanted_wh, metered_wh = car.wanted_wh, 0.0
    for _ in range(100_000):
        if car.full:
            break
        step = charge(car, "DC", 150_000.0, 10.0)
        metered_wh += step.energy_wh
        car = step.car
    assert car.full
    assert metered_wh == pytest.approx(wanted_wh, abs=1.0)


def test_power_ramps_up_then_stays_constant_then_tapers_from_80_percent() -> None:
    beginning, moving = Car(soc=0.3), Car(soc=0.3, charging_s=60)
    assert accepted_w(beginning, "AC", 22_000) < 1_000
    assert accepted_w(moving, "AC", 22_000) == 11_000
    assert accepted_w(Car(soc=0.79, charging_s=60), "AC", 22_000) == 11_000
    tapering = [accepted_w(Car(soc=soc / 100, charging_s=60), "AC", 22_000) for soc in range(80, 100)]
    assert tapering == sorted(tapering, reverse=True)
    assert tapering[-1] < 2_000


def test_the_same_seed_brings_the_same_cars() -> None:
    first, second = random.Random(7), random.Random(7)
    assert [random_car(first) for _ in range(5)] == [random_car(second) for _ in range(5)]
