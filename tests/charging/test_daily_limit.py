"""What an account spends from midnight to midnight, on a clock of the test's own, on both databases."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import select

from csms.billing import account_groups, price_lists
from csms.billing.account_groups import AccountLimits
from csms.billing.bands import Band
from csms.charging.authorization import Authorize
from csms.charging.engine import Engine
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import review_item
from csms.charging.reviews import ResolveReview
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, POLICY, Evening
from tests.support.world import CARD, add_tariff

# An ordinary day, one of 23 hours and one of 25, on either side of UTC.
DAYS = [
    ("America/New_York", datetime(2026, 6, 2)),  # noqa: DTZ001 - a date on a wall
    ("America/New_York", datetime(2026, 3, 8)),  # noqa: DTZ001
    ("America/New_York", datetime(2026, 11, 1)),  # noqa: DTZ001
    ("Europe/Berlin", datetime(2026, 3, 29)),  # noqa: DTZ001
    ("Europe/Berlin", datetime(2026, 10, 25)),  # noqa: DTZ001
    ("Pacific/Auckland", datetime(2026, 6, 2)),  # noqa: DTZ001
]
ZONE = ZoneInfo("America/New_York")
MIDNIGHT = datetime(2026, 6, 2, tzinfo=ZONE)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """An evening in New York; energy costs 0.36 per kWh and nothing else."""
    installation = open_installation(settings)
    add_tariff(installation, rate_per_kwh=Decimal("0.36"), rate_per_minute=Decimal(0), start_fee_minor=0)
    evening = Evening(installation)
    _move_to(evening, ZONE.key)
    evening.issue(40_000)
    yield evening
    installation.database.close()


def _move_to(evening: Evening, zone: str) -> None:
    policy = msgspec.structs.replace(POLICY, time_zone=zone)
    evening.engine = Engine(
        evening.database, evening.installation.currency, policy, lambda: evening.now, batch_max=500, queue_max=1000
    )


def _limit(evening: Evening, daily_spend_minor: int) -> None:
    limits = AccountLimits(daily_spend_minor=daily_spend_minor)
    with evening.database.unit_of_work() as connection:
        group = account_groups.find_account_group(connection, name="Group")
        if group is None:
            number = account_groups.add_account_group(connection, "Group", limits, evening.now)
            account_groups.put_account(connection, 1000, number)
        else:
            account_groups.change_account_group(connection, group.group_id, "Group", limits)


def _left(evening: Evening) -> int:
    """Return what may still be spent, by the highest limit at which nobody may begin any more."""
    low, high = 0, 2048
    while high - low > 1:
        middle = (low + high) // 2
        _limit(evening, middle)
        refused = evening.engine.execute(Authorize(2, CARD)).reason == "daily limit"
        low, high = (middle, high) if refused else (low, middle)
    return low


def _waiting(evening: Evening) -> list[Any]:
    with evening.database.reading() as connection:
        return list(connection.execute(select(review_item).where(review_item.c.resolved_at.is_(None))).all())


def _drive(evening: Evening, transaction_id: int, watts: int, until: datetime, every: timedelta) -> None:
    """Read a constant power until a moment, or until the transaction is to be stopped."""
    row = evening.row(transaction_id)
    while evening.now < until and evening.row(transaction_id).stop_requested_at is None:
        evening.now = min(until, evening.now + every)
        evening.read(transaction_id, int((evening.now - row.started_at) / timedelta(hours=1) * watts), watts)


@pytest.mark.parametrize(("zone", "day"), DAYS)
def test_a_transaction_spends_of_each_day_what_it_draws_after_its_midnight(
    evening: Evening, zone: str, day: datetime
) -> None:
    midnight = day.replace(tzinfo=ZoneInfo(zone)).astimezone(tz=ZoneInfo("UTC"))
    _move_to(evening, zone)
    _limit(evening, 500)
    evening.now = midnight - timedelta(hours=1)
    one = evening.start()
    _drive(evening, one, 10 * KW, midnight + 80 * MINUTE, 10 * MINUTE)  # 3.60 before midnight and 4.80 after it
    assert evening.row(one).stop_requested_at is None
    _drive(evening, one, 10 * KW, midnight + 120 * MINUTE, 10 * MINUTE)
    assert evening.row(one).stop_requested_at == midnight + 90 * MINUTE
    evening.stop(one, 25_000)
    tomorrow = (day + timedelta(days=1)).replace(tzinfo=ZoneInfo(zone)).astimezone(tz=ZoneInfo("UTC"))
    evening.now = tomorrow - timedelta(seconds=1)
    assert evening.engine.execute(Authorize(1, CARD)).reason == "daily limit"
    evening.now = tomorrow
    assert evening.engine.execute(Authorize(1, CARD)).status == "Accepted"
    assert evening.start() > 0


def test_the_guard_stops_on_what_is_left_of_the_new_day(evening: Evening) -> None:
    _limit(evening, 500)
    evening.now = MIDNIGHT - timedelta(hours=1)
    stopped = evening.charge({evening.start(): 10 * KW}, interval_s=300)
    assert len(stopped) == 1
    after_s = (min(stopped.values()) - MIDNIGHT).total_seconds()
    assert after_s == pytest.approx(5000, abs=12)  # 5.00 at a cent in ten seconds


def test_what_was_stopped_before_midnight_begins_anew_after_it(evening: Evening) -> None:
    _limit(evening, 100)
    evening.now = MIDNIGHT - timedelta(minutes=30)
    one = evening.start()
    _drive(evening, one, 10 * KW, MIDNIGHT, MINUTE)
    assert evening.row(one).stop_requested_at == MIDNIGHT - 13 * MINUTE  # 1.00 in 16 minutes and 40 seconds
    evening.stop(one, 2800)
    assert evening.engine.execute(Authorize(1, CARD)).reason == "daily limit"
    evening.now = MIDNIGHT
    two = evening.start()
    assert evening.row(two).authorization_status == "Accepted"
    _drive(evening, two, 10 * KW, MIDNIGHT + timedelta(hours=1), MINUTE)
    assert evening.row(two).stop_requested_at == MIDNIGHT + 17 * MINUTE


def test_energy_between_two_readings_is_spread_over_midnight(evening: Evening) -> None:
    evening.now = MIDNIGHT - timedelta(minutes=30)
    one = evening.start()
    evening.now = MIDNIGHT - timedelta(minutes=10)
    evening.read(one, 1000, 12 * KW)
    evening.now = MIDNIGHT + timedelta(minutes=30)
    evening.read(one, 9000, 12 * KW)  # 6 kWh since midnight
    assert _left(evening) == 6 * 36
    evening.now += timedelta(minutes=10)
    evening.stop(one, 10_000)
    assert _left(evening) == 7 * 36


def test_a_reading_that_cannot_be_moves_nothing_over_midnight(evening: Evening) -> None:
    evening.now = MIDNIGHT - timedelta(minutes=30)
    one = evening.start()
    evening.now = MIDNIGHT - timedelta(minutes=10)
    evening.read(one, 2_000_000, 0)
    evening.now = MIDNIGHT + timedelta(minutes=30)
    evening.read(one, 9000, 9 * KW)  # half of it since midnight
    assert _left(evening) == 162


def test_a_transaction_without_a_reading_is_spread_over_midnight_from_start_to_stop(evening: Evening) -> None:
    evening.now = MIDNIGHT - timedelta(hours=3)
    one = evening.start()
    evening.now = MIDNIGHT + timedelta(hours=1)
    evening.stop(one, 10_000)
    assert _left(evening) == 90


def test_what_was_charged_yesterday_and_is_told_today_spends_nothing_today(evening: Evening) -> None:
    begun = MIDNIGHT - timedelta(hours=3)
    evening.now = MIDNIGHT + timedelta(hours=2)
    one = evening.start(at=begun)
    evening.stop(one, 10_000, at=begun + timedelta(hours=1))
    assert evening.row(one).cost_minor == 360
    assert _left(evening) == 0


BY_NIGHT = price_lists.NewTariff(
    "by night",
    Decimal("0.40"),
    Decimal(0),
    50,
    Decimal(20),
    time_zone=ZONE.key,
    bands=(Band("night", tuple(range(7)), 0, 360, Decimal("0.10")),),
    make_default=True,
)
BY_TIME = price_lists.NewTariff("by time", Decimal(0), Decimal("0.10"), 50, Decimal(20), make_default=True)


@pytest.mark.parametrize(("tariff", "before", "after"), [(BY_NIGHT, 50 + 400, 100), (BY_TIME, 50 + 600, 600)])
def test_each_day_has_its_prices_and_the_start_fee_is_the_first_days(
    evening: Evening, tariff: price_lists.NewTariff, before: int, after: int
) -> None:
    with evening.database.unit_of_work() as connection:
        assert isinstance(price_lists.add_tariff(connection, tariff, evening.now), price_lists.PriceList)
    evening.now = MIDNIGHT - timedelta(hours=1)
    one = evening.start()
    _drive(evening, one, 10 * KW, MIDNIGHT - MINUTE, MINUTE)
    evening.now = MIDNIGHT - timedelta(microseconds=1)
    evening.read(one, 9999, 10 * KW)
    assert _left(evening) == pytest.approx(before, abs=10)
    _limit(evening, 100_000)
    _drive(evening, one, 10 * KW, MIDNIGHT + timedelta(hours=1), MINUTE)
    assert _left(evening) == pytest.approx(after, abs=1)
    evening.stop(one, 20_000)
    assert _left(evening) == pytest.approx(after, abs=1)
    assert evening.row(one).cost_minor == before + after


def test_a_corrected_charge_spends_what_it_was_corrected_to(evening: Evening) -> None:
    evening.now = MIDNIGHT + timedelta(hours=8)
    one = evening.start()
    evening.pass_s(3600)
    evening.stop(one, 20_000)
    evening.pass_s(60)
    evening.stop(one, 2_000)  # another register: a person looks at it
    assert _left(evening) == 720
    (item,) = _waiting(evening)
    evening.engine.execute(ResolveReview(item.key, "correct", "seen on the meter", "test", "form", energy_wh=2000))
    assert _left(evening) == 72


def test_a_correction_of_yesterdays_charge_leaves_today_alone(evening: Evening) -> None:
    evening.now = MIDNIGHT - timedelta(hours=3)
    one = evening.start()
    evening.pass_s(3600)
    evening.stop(one, 20_000)
    evening.stop(one, 2_000)
    evening.now = MIDNIGHT + timedelta(hours=1)
    (item,) = _waiting(evening)
    evening.engine.execute(ResolveReview(item.key, "correct", "seen on the meter", "test", "form", energy_wh=2000))
    assert _left(evening) == 0


def test_readings_of_one_batch_spend_the_day_once(evening: Evening) -> None:
    _limit(evening, 500)
    evening.now = MIDNIGHT + timedelta(hours=8)
    one = evening.start()
    evening.pass_s(3600)

    def read(wh: int, at: datetime) -> MeterValues:
        return MeterValues(1, 1, one, (MeterValue(at, (Sample(str(wh)),), str(wh)),))

    outcomes: list[Any] = evening.run(read(8_400, evening.now - MINUTE), read(14_000, evening.now))
    assert [each.stop_requested for each in outcomes] == [False, True]


def test_two_cars_over_midnight_spend_one_days_limit_together(evening: Evening) -> None:
    _limit(evening, 500)
    evening.now = MIDNIGHT - timedelta(hours=1)
    numbers = evening.start(1), evening.start(2)
    stopped: dict[int, int] = {}
    for minute in range(1, 200):
        evening.now = MIDNIGHT + (minute - 60) * MINUTE
        for one in numbers:
            if one not in stopped and evening.read(one, minute * 100, 6 * KW).stop_requested:
                evening.stop(one, minute * 100)
                stopped[one] = minute - 60
    # 3.6 cents a minute each: 2.16 each before midnight, and 5.00 after it in 69 minutes and a half
    assert list(stopped.values()) == [70, 70]
