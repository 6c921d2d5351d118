"""The simulations of the credit guard and of lost links, played small: that they work and repeat."""

import pytest

from bench import guard_link_loss, guard_simulation
from bench.guard_parts import Car

pytestmark = pytest.mark.timeout(1200)  # they compute all the time, and a machine may do so for others beside


def test_a_car_takes_the_energy_under_its_line_of_power() -> None:
    car = Car([(0.0, 0.0), (3600.0, 0.0), (7200.0, 1000.0), (10_800.0, 1000.0)])
    assert car.energy_wh(3600) == 0
    assert car.power_w(5400) == 500
    assert car.energy_wh(7200) == 500
    assert car.energy_wh(14_400) == 2500


def test_sessions_land_on_the_credit_and_the_same_seed_gives_the_same_figures() -> None:
    pairs = list(guard_simulation.simulate(1))
    assert guard_simulation.table(pairs) == guard_simulation.table(list(guard_simulation.simulate(1)))
    assert len(pairs) == 7 * 3 * guard_simulation.SESSIONS_EACH
    over = [max(0, one.guarded.over_minor) for one in pairs]
    naive = [max(0, one.naive.over_minor) for one in pairs]
    assert sorted(over)[len(over) * 9 // 10] <= 1
    assert sum(over) < sum(naive) / 20
    assert all(one.guarded.over_wh <= one.guarded.bound_wh for one in pairs)
    assert all(one.guarded.probes <= 25 for one in pairs)


def test_a_limit_bounds_what_a_lost_link_costs_and_holds_no_car_back() -> None:
    found = list(guard_link_loss.simulate(1))
    assert guard_link_loss.table(found)[-1].startswith("| **all** | 63 |")
    limited = sorted(one.limited_wh for one in found if one.came_in_time)
    assert limited[len(limited) // 2] == 0
    assert sum(limited) < sum(one.unlimited_wh for one in found) / 20
    # What the limit leaves unsold where the link holds is what the guard alone leaves, too.
    left = sorted(max(0, -one.held.over_minor) for one in found if one.kind.interval_s < 300)
    assert left[-1] <= 20
