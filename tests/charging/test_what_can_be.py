"""What a connector can have delivered, by which clock, and what a person is asked: on a clock that a test moves."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from csms.charging import models
from csms.charging.charge_receipts import find_charge_receipt
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, NOON, Evening
from tests.support.ledger import violations
from tests.support.world import CARD, add_tariff

CREDIT = 20_000


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """Energy costs 0.36 per kWh; the card has 200.00, the stations give 22 kW."""
    installation = open_installation(settings)
    add_tariff(installation, rate_per_kwh="0.36", rate_per_minute=0, start_fee_minor=0)
    made = Evening(installation)
    made.issue(CREDIT)
    yield made
    assert violations(made.database, installation.currency) == []
    installation.database.close()


def _start(evening: Evening, meter_start_wh: int, at: datetime | None = None) -> int:
    at = at or evening.now
    started: int = evening.engine.execute(
        StartTransaction(1, 1, CARD, meter_start_wh, at, at.isoformat())
    ).transaction_id
    return started


def _read(evening: Evening, one: int, minutes: float, wh: int, clock_minutes: float = 0) -> None:
    """Let a reading come so long after noon, taken at once by a clock that is so far off."""
    evening.now = NOON + timedelta(minutes=minutes)
    evening.read(one, wh, None, at=evening.now + timedelta(minutes=clock_minutes))


def _answer(
    evening: Evening, one: int, seconds: float, wh: int, clock_minutes: float, context: str = "Trigger"
) -> None:
    """Let a reading come so long after noon that says why it was taken."""
    evening.now = NOON + timedelta(seconds=seconds)
    at = evening.now + timedelta(minutes=clock_minutes)
    value = MeterValue(at, (Sample(str(wh), context=context),), f"{wh} {at} {context}")
    evening.engine.execute(MeterValues(1, 1, one, (value,)))


def _flags(evening: Evening, one: int) -> list[str]:
    table = models.reading.c
    with evening.database.reading() as connection:
        found = select(table.flags).where(table.transaction_id == one).order_by(table.happened_at)
        return list(connection.execute(found).scalars())


def _waits(evening: Evening, one: int) -> None:
    """Check that no money moved, that a person is asked and an alarm raised."""
    row: Any = evening.row(one)
    assert (row.state, row.cost_minor, row.uncharged_reason) == ("ended", 0, "implausible energy")
    assert evening.credit_minor() == CREDIT
    with evening.database.reading() as connection:
        assert list(connection.execute(select(models.review_item.c.kind)).scalars()) == ["implausible energy"]
        assert "implausible energy" in connection.execute(select(models.alarm.c.kind)).scalars().all()


def _is_charged(evening: Evening, one: int, energy_wh: int) -> None:
    """Check that nobody is asked."""
    row: Any = evening.row(one)
    assert (row.state, row.energy_wh, row.uncharged_reason) == ("ended", energy_wh, None)
    assert evening.credit_minor() == CREDIT - row.cost_minor < CREDIT
    with evening.database.reading() as connection:
        assert connection.execute(select(models.review_item.c.kind)).all() == []


@pytest.mark.parametrize("meter_start_wh", [0, 1_000])
def test_a_stop_that_waited_in_a_queue_for_days_is_held_to_the_minutes_of_its_transaction(
    evening: Evening, meter_start_wh: int
) -> None:
    one = _start(evening, meter_start_wh)
    evening.pass_s(48 * 3600)
    for _ in range(2):
        evening.stop(one, 910_000, at=NOON + timedelta(minutes=5))
    _waits(evening, one)


def test_a_stop_that_waited_in_a_queue_is_charged_where_it_can_be(evening: Evening) -> None:
    one = _start(evening, 1_000)
    evening.pass_s(48 * 3600)
    evening.stop(one, 3_000, at=NOON + timedelta(minutes=5))
    _is_charged(evening, one, 2_000)


def test_a_whole_transaction_out_of_a_queue_is_charged(evening: Evening) -> None:
    one = _start(evening, 1_000, at=NOON - timedelta(days=3))
    evening.stop(one, 41_000, at=NOON - timedelta(days=3) + timedelta(hours=2))
    _is_charged(evening, one, 40_000)


def test_a_car_that_draws_for_days_is_charged(evening: Evening) -> None:
    one = _start(evening, 1_000)
    _read(evening, one, 60 * 24, 90_000)
    evening.pass_s(24 * 3600)
    evening.stop(one, 180_000)
    _is_charged(evening, one, 179_000)


@pytest.mark.parametrize(("max_power_w", "meter_start_wh"), [(None, 0), (None, 1_000), (22 * KW, 0)])
def test_more_than_cars_take_is_not_charged_where_the_power_or_the_meter_start_is_in_doubt(
    evening: Evening, max_power_w: int | None, meter_start_wh: int
) -> None:
    evening.change(models.charge_point, max_power_w=max_power_w)
    one = _start(evening, meter_start_wh)
    evening.pass_s(48 * 3600)
    evening.stop(one, 151_001)
    _waits(evening, one)


def test_a_lifetime_register_is_not_believed_because_time_goes_by(evening: Evening) -> None:
    one = _start(evening, 0)
    for minutes in (1, 60, 120, 480, 600):
        _read(evening, one, minutes, 90_000 + minutes)
        assert evening.row(one).energy_wh == 0
    assert _flags(evening, one) == ["implausible"] * 5
    evening.stop(one, 90_700)
    _waits(evening, one)


def test_a_slip_of_the_meter_between_good_readings_asks_nobody(evening: Evening) -> None:
    one = _start(evening, 1_000)
    _read(evening, one, 10, 2_000)
    _read(evening, one, 20, 20_000)
    for minutes, wh in ((30, 4_000), (120, 19_000), (180, 28_000)):
        _read(evening, one, minutes, wh)
        assert evening.row(one).energy_wh == wh - 1_000
    _read(evening, one, 20, 20_000)  # told again
    evening.now = NOON + timedelta(minutes=190)
    evening.stop(one, 29_000)
    _is_charged(evening, one, 28_000)


def test_a_clock_that_was_set_back_while_readings_came_asks_nobody(evening: Evening) -> None:
    one = _start(evening, 1_000)
    for minutes in range(10, 130, 10):  # 18 kW; after an hour the clock is set back by two
        _read(evening, one, minutes, 1_000 + 300 * minutes, clock_minutes=0 if minutes <= 60 else -120)
        assert evening.row(one).energy_wh == 300 * minutes
    evening.now = NOON + timedelta(minutes=125)
    evening.stop(one, 1_000 + 300 * 125, at=evening.now - timedelta(hours=2))
    _is_charged(evening, one, 300 * 125)


def test_a_clock_that_was_set_back_lets_no_stop_out_of_a_queue_charge_more(evening: Evening) -> None:
    one = _start(evening, 1_000)
    for minutes in range(10, 130, 10):
        _read(evening, one, minutes, 1_000 + 300 * minutes, clock_minutes=0 if minutes <= 60 else -120)
    evening.now = NOON + timedelta(hours=50)
    evening.stop(one, 150_000, at=NOON + timedelta(minutes=10))
    _waits(evening, one)


def _draw_until_a_register_is_in_doubt(evening: Evening) -> int:
    """20 of 22 kW; between two readings the clock is set back by five minutes, so the second one cannot be by it."""
    one = _start(evening, 1_000)
    _read(evening, one, 10, 1_000 + 3_333)
    _read(evening, one, 20, 1_000 + 6_667, clock_minutes=-5)
    assert evening.row(one).energy_wh == 3_333
    return one


def _end_it(evening: Evening, one: int) -> None:
    for minutes in (30, 40):
        _read(evening, one, minutes, 1_000 + 1_000 * minutes // 3, clock_minutes=-5)
    evening.now = NOON + timedelta(minutes=45)
    evening.stop(one, 16_000, at=evening.now - timedelta(minutes=5))


def test_a_clock_that_was_set_back_between_two_readings_is_found_out_by_asking_and_nobody_else_is_asked(
    evening: Evening,
) -> None:
    one = _draw_until_a_register_is_in_doubt(evening)
    assert evening.actions() == ["TriggerMessage"]
    _answer(evening, one, 1202, 1_000 + 6_678, -5)
    row = evening.row(one)
    assert (row.energy_wh, row.heard_at) == (6_678, evening.now)
    _end_it(evening, one)
    assert _flags(evening, one) == ["", "implausible", "", "", ""]
    _is_charged(evening, one, 15_000)


@pytest.mark.parametrize(
    ("seconds", "clock_minutes", "context"),
    [(1202, -5, "Sample.Periodic"), (1221, -5, "Trigger"), (1202, -0.1, "Trigger"), (None, 0, "")],
    ids=["not asked for", "too late", "the clock is right", "none"],
)
def test_no_other_reading_proves_that_the_clock_was_set_back(
    evening: Evening, seconds: float | None, clock_minutes: float, context: str
) -> None:
    one = _draw_until_a_register_is_in_doubt(evening)
    if seconds is not None:
        _answer(evening, one, seconds, 1_000 + 6_678, clock_minutes, context)
    assert evening.row(one).energy_wh == 3_333
    _end_it(evening, one)
    assert evening.actions() == ["TriggerMessage"]  # once
    _waits(evening, one)


def test_a_register_that_can_be_by_no_clock_is_asked_about_by_nobody_and_stays_disbelieved(evening: Evening) -> None:
    one = _start(evening, 1_000)
    _read(evening, one, 10, 1_000 + 3_333)
    _read(evening, one, 20, 1_000 + 9_500)  # a slip, while the clock is right; it is set back by an hour later
    assert evening.actions() == []
    evening.change(models.charging_transaction, probed_at=NOON + timedelta(minutes=120))
    _answer(evening, one, 7202, 1_000 + 20_000, -60)
    assert evening.row(one).energy_wh == 3_333
    evening.stop(one, 1_000 + 20_100, at=evening.now)
    _waits(evening, one)


def test_a_station_that_answers_no_questions_is_not_asked(evening: Evening) -> None:
    one = _start(evening, 1_000)
    _read(evening, one, 10, 1_000 + 3_333)
    evening.change(models.charging_transaction, answers_probes=False)
    _read(evening, one, 20, 1_000 + 6_667, clock_minutes=-5)
    assert evening.actions() == []


@pytest.mark.parametrize("wh", [12_000, 40_000])
def test_a_slip_that_is_told_again_later_is_no_proof_of_a_clock_that_was_set_back(evening: Evening, wh: int) -> None:
    one = _start(evening, 1_000)
    for minutes in (10, 30, 45):
        _read(evening, one, minutes, 1_000 + 100 * minutes)
        if minutes == 10:
            _read(evening, one, 20, wh)
    evening.pass_s(30)
    evening.read(one, wh, None, at=NOON + timedelta(minutes=20))  # told again
    assert evening.row(one).energy_wh == 4_500
    assert _flags(evening, one) == ["", "implausible", "", ""]
    evening.now = NOON + timedelta(minutes=60)
    evening.stop(one, 7_000)
    assert evening.row(one).flags == ""
    _is_charged(evening, one, 6_000)


def test_a_receipt_shows_the_readings_that_count_and_no_other(evening: Evening) -> None:
    one = _start(evening, 1_000)
    for minutes, wh in ((10, 3_000), (15, 900_000), (20, 5_000)):
        _read(evening, one, minutes, wh)
    evening.stop(one, 6_000)
    _read(evening, one, 30, 9_000)
    with evening.database.reading() as connection:
        receipt = find_charge_receipt(connection, one)
    assert receipt is not None
    assert (receipt.one.meter_start_wh, receipt.one.meter_stop_wh) == (1_000, 6_000)
    shown = (receipt.first_reading, receipt.last_reading, receipt.reading_count)
    assert shown == ((NOON + timedelta(minutes=10), 3_000), (NOON + timedelta(minutes=20), 5_000), 2)
