"""What the credit guard makes of tariffs, clocks and meters that are not simple: the stop still comes at the credit."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from csms.charging import models
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, NOON, Evening
from tests.support.world import add_tariff

SIMPLE = {
    "rate_per_kwh": Decimal("0.36"),
    "rate_per_minute": Decimal(0),
    "start_fee_minor": 0,
}  # a cent in 10 s at 10 kW


@pytest.fixture
def evening_at(settings: Settings) -> Iterator[Callable[..., Evening]]:
    """Make an evening at a tariff."""
    made: list[Evening] = []

    def make(**changes: object) -> Evening:
        installation = open_installation(settings)
        add_tariff(installation, **SIMPLE | changes)
        made.append(Evening(installation))
        return made[-1]

    yield make
    for one in made:
        one.installation.database.close()


def wh_at(seconds: float) -> int:
    """Return what a car has taken at 10 kW."""
    return int(seconds * 10 * KW / 3600)


def stopped_after_s(evening: Evening, transaction_id: int) -> float:
    """Look whenever it is time until the stop is sent; return when that was."""
    while evening.row(transaction_id).stop_requested_at is None:
        evening.look_when_due(transaction_id)
    return (evening.now - NOON).total_seconds()


def read_at(evening: Evening, one: int, seconds: float, watts: int | None = 10 * KW, clock_s: float = 0) -> None:
    """Let a station say, so long after noon, what its meter shows; its clock is `clock_s` ahead."""
    evening.now = NOON + timedelta(seconds=seconds)
    evening.read(one, wh_at(seconds), watts, at=evening.now + timedelta(seconds=clock_s))


def test_a_dear_band_that_is_hours_away_stops_nobody_early(evening_at: Callable[..., Evening]) -> None:
    bands = '[{"name":"dear","weekdays":[0,1,2,3,4,5,6],"begin_minute":1200,"end_minute":1440,"rate_per_kwh":"1.00"}]'
    evening = evening_at(bands_json=bands, time_zone="UTC")
    evening.issue(100)
    one = evening.start()
    evening.pass_s(10)
    evening.look(one)  # the probe is not answered
    read_at(evening, one, 400)
    assert stopped_after_s(evening, one) == pytest.approx(1000 - 5 - 2.5, abs=2)


def test_who_pays_a_minimum_charge_may_draw_what_it_is_for(evening_at: Callable[..., Evening]) -> None:
    evening = evening_at(minimum_minor=100)
    evening.issue(100)
    one = evening.start()
    read_at(evening, one, 60)
    assert evening.row(one).cost_minor == 100
    assert evening.row(one).stop_requested_at is None
    read_at(evening, one, 940)
    assert stopped_after_s(evening, one) == pytest.approx(1000 - 5 - 2.5, abs=2)


def test_a_minimum_charge_above_the_credit_stops_at_the_first_energy(evening_at: Callable[..., Evening]) -> None:
    evening = evening_at(minimum_minor=300)
    evening.issue(200)
    one = evening.start()
    read_at(evening, one, 10)
    assert evening.row(one).stop_requested_at is not None


@pytest.mark.parametrize("credit_minor", [100, 101, 1000])
def test_nobody_is_stopped_who_can_pay_the_maximum_charge(
    evening_at: Callable[..., Evening], credit_minor: int
) -> None:
    evening = evening_at(maximum_minor=100)
    evening.issue(credit_minor)
    one = evening.start()
    for number in range(1, 13):
        read_at(evening, one, number * 300)
        evening.look(one)
    assert evening.row(one).cost_minor == 100
    for _ in range(5):
        evening.look_when_due(one)
    assert evening.row(one).stop_requested_at is None


def test_the_maximum_charge_stops_who_cannot_pay_it(evening_at: Callable[..., Evening]) -> None:
    evening = evening_at(maximum_minor=101)
    evening.issue(100)
    one = evening.start()
    read_at(evening, one, 940)
    assert stopped_after_s(evening, one) == pytest.approx(1000 - 5 - 2.5, abs=2)


def test_a_station_that_let_a_probe_pass_is_looked_at_seldom_until_its_first_reading(
    evening_at: Callable[..., Evening],
) -> None:
    evening = evening_at()
    evening.issue(1000)
    one = evening.start()
    looks = 0
    while evening.now < NOON + timedelta(seconds=300):
        evening.look_when_due(one)
        looks += 1
    assert looks <= 8


@pytest.mark.parametrize("set_s", [-45, -300, -7000])
def test_a_clock_that_is_set_back_ends_no_charge_early(evening_at: Callable[..., Evening], set_s: int) -> None:
    evening = evening_at()
    evening.issue(100)
    one = evening.start()
    for number in range(1, 16):
        read_at(evening, one, number * 60, clock_s=set_s if number > 5 else 0)
        assert evening.row(one).register_wh == wh_at(number * 60)
    assert evening.row(one).heard_at == evening.now
    assert stopped_after_s(evening, one) == pytest.approx(1000 - 5 - 2.5, abs=3)


@pytest.mark.parametrize("set_s", [45, 300, 550])
def test_a_clock_that_is_set_ahead_makes_no_power_look_smaller(evening_at: Callable[..., Evening], set_s: int) -> None:
    evening = evening_at()
    evening.issue(100)
    one = evening.start()
    for number in range(1, 4):
        read_at(evening, one, number * 300, watts=None, clock_s=set_s if number > 1 else 0)
    assert evening.row(one).power_w == pytest.approx(10 * KW, rel=0.05)
    assert evening.row(one).interval_s == 300
    assert stopped_after_s(evening, one) == pytest.approx(1000 - 5 - 2.5, abs=12)


def test_readings_out_of_the_queue_of_a_start_that_came_late_are_no_clock_that_was_set(
    evening_at: Callable[..., Evening],
) -> None:
    evening = evening_at()
    evening.issue(1000)
    begun = evening.now
    evening.now += timedelta(seconds=125)
    one = evening.start(at=begun)
    for seconds in (60, 120):
        evening.now += timedelta(seconds=0.3)
        evening.read(one, wh_at(seconds), None, at=begun + timedelta(seconds=seconds))
        assert evening.row(one).power_w == pytest.approx(10 * KW, rel=0.03)


def test_a_reading_that_comes_late_and_is_lower_moves_nothing_back(evening_at: Callable[..., Evening]) -> None:
    evening = evening_at()
    evening.issue(500)
    one = evening.start()
    read_at(evening, one, 300)
    before = evening.row(one)
    evening.read(one, wh_at(200), 10 * KW, at=NOON + timedelta(seconds=200))
    assert evening.row(one).register_wh == before.register_wh
    assert evening.row(one).register_at == before.register_at


def test_a_reading_right_behind_a_probes_answer_is_not_the_stations_interval(
    evening_at: Callable[..., Evening],
) -> None:
    evening = evening_at()
    evening.issue(1000)
    one = evening.start()
    for asked_at in (10, 298):
        evening.now = NOON + timedelta(seconds=asked_at)
        evening.change(models.charging_transaction, probed_at=evening.now)
        read_at(evening, one, asked_at + 1)
    read_at(evening, one, 300)
    assert evening.row(one).interval_s == 300


def test_the_average_between_close_readings_changes_no_power_that_fits_it(evening_at: Callable[..., Evening]) -> None:
    evening = evening_at()
    evening.issue(1000)
    one = evening.start()
    read_at(evening, one, 600, watts=None)
    known = evening.row(one).power_w
    assert known == pytest.approx(10 * KW, abs=10)
    evening.now += timedelta(seconds=1.8)
    evening.read(one, wh_at(601.8), None, at=NOON + timedelta(seconds=601))  # 5 Wh in "a second"
    assert evening.row(one).power_w == known
    evening.now += timedelta(seconds=60)
    evening.read(one, wh_at(601.8) + 333, None, at=NOON + timedelta(seconds=661))  # 20 kW
    assert evening.row(one).power_w == pytest.approx(20 * KW, rel=0.03)
    evening.now += timedelta(seconds=60)
    evening.read(one, wh_at(601.8) + 333, None, at=NOON + timedelta(seconds=721))
    assert evening.row(one).power_w == 0


def test_an_average_since_the_start_is_taken_for_more_since_the_car_began_later(
    evening_at: Callable[..., Evening],
) -> None:
    evening = evening_at()
    evening.issue(100)  # 2,777 Wh
    one = evening.start()
    evening.pass_s(10)
    evening.look(one)  # the probe is not answered
    evening.now = NOON + timedelta(seconds=300)
    evening.read(one, 1104, None)  # 14.2 kW since 12:00:20, on average 13.2
    assert stopped_after_s(evening, one) == pytest.approx(300 + (2763 - 1104) * 3.6 / 14.2 - 2.5, abs=2)
