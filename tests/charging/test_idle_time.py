"""When energy was drawn, as stations tell: what cannot be moves no money, and what the station holds back is free."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import func, select, update

from csms.billing.bands import Band
from csms.billing.price_lists import NewTariff
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import charge_point, reading
from csms.charging.stations import StatusNotification
from tests.charging.test_exactness import Counter

EVERY_DAY = tuple(range(7))
FLAT = NewTariff("flat", Decimal("0.40"), Decimal("0.02"), 0, Decimal(20))
IDLING = NewTariff(
    "idling", Decimal("0.40"), Decimal(0), 0, Decimal(20), rate_per_idle_minute=Decimal("0.10"), idle_grace_s=600
)
BANDED = msgspec.structs.replace(
    FLAT,
    name="banded",
    rate_per_minute=Decimal(0),
    bands=(Band("cheap", EVERY_DAY, 13 * 60, 13 * 60 + 2, Decimal("0.10")),),
)


@pytest.fixture
def books(database_url: str) -> Iterator[Counter]:
    opened = Counter(database_url)
    opened.now = datetime(2026, 3, 28, 13, tzinfo=UTC)
    with opened.installation.database.unit_of_work() as connection:
        connection.execute(update(charge_point).values(max_power_w=22_000))
    yield opened
    opened.installation.database.close()


def values(at: datetime, register: int, power_w: int | None = None) -> MeterValue:
    """Return a reading, perhaps with a power."""
    samples = [Sample(str(register))]
    if power_w is not None:
        samples.append(Sample(str(power_w), "Power.Active.Import", "W"))
    return MeterValue(at, tuple(samples), repr(samples))


def read(counter: Counter, register: int, power_w: int | None = None) -> MeterValues:
    return MeterValues(1, 1, 1, (values(counter.now, register, power_w),))


def status(counter: Counter, word: str, at: datetime | None = None) -> StatusNotification:
    said = ConnectorStatus(1, 1, word, "NoError", "", "", at or counter.now)
    return StatusNotification(said, said.happened_at)


def to(counter: Counter, minute: float) -> None:
    """Let it be so many minutes past 13:00."""
    counter.now = datetime(2026, 3, 28, 13, tzinfo=UTC) + timedelta(minutes=minute)


def readings_without_a_register(counter: Counter) -> int:
    with counter.installation.database.reading() as connection:
        statement = select(func.count()).where(reading.c.register_wh.is_(None))
        return connection.execute(statement).scalar_one()


@pytest.mark.parametrize("with_the_stop", [False, True])
def test_a_reading_that_cannot_be_moves_no_energy_into_another_band(books: Counter, *, with_the_stop: bool) -> None:
    books.tariff(BANDED)
    books.run(books.start())
    bogus = values(books.now + timedelta(minutes=1), 15_000)
    good = values(books.now + timedelta(minutes=60), 10_000)
    to(books, 60)
    if not with_the_stop:
        books.run(MeterValues(1, 1, 1, (bogus, good)))
    to(books, 120)
    stop = books.stop(1, 20_000)
    books.run(msgspec.structs.replace(stop, values=(bogus, good)) if with_the_stop else stop)
    # 2 of 120 min lie in the cheap band: 1/3 kWh of 20
    assert (books.transaction(1).cost_minor, books.violations()) == (3 + 787, [])


def test_a_slip_that_is_told_again_moves_no_energy_into_another_band(books: Counter) -> None:
    books.tariff(BANDED)
    books.run(books.start())
    to(books, 1)
    slip = read(books, 15_000)
    books.run(slip)
    to(books, 60)
    books.run(read(books, 10_000))
    books.run(slip)
    to(books, 120)
    books.run(books.stop(1, 20_000))
    assert (books.transaction(1).cost_minor, books.violations()) == (3 + 787, [])


def test_a_reading_that_cannot_be_is_another_one_when_it_can(books: Counter) -> None:
    books.tariff(BANDED)
    books.run(books.start())
    to(books, 1)
    early = read(books, 15_000)
    books.run(early)
    to(books, 60)
    books.run(early)
    to(books, 120)
    books.run(early, books.stop(1, 20_000))
    assert books.violations() == []


@pytest.mark.parametrize("told_late", [False, True])
def test_the_idle_fee_and_the_grace_stand_still_while_the_station_holds_back(
    books: Counter, *, told_late: bool
) -> None:
    books.tariff(IDLING)
    books.run(books.start())
    held, goes_on = (status(books, "SuspendedEVSE"), status(books, "Charging"))
    for minute in range(1, 121):
        to(books, minute)
        if minute == 30:
            held = status(books, "SuspendedEVSE")
        if minute == 90:
            goes_on = status(books, "Charging")
        if not told_late and minute in {30, 90}:
            books.run(held if minute == 30 else goes_on)
        books.run(read(books, 180 * (min(minute, 30) + max(0, minute - 90)), 0))
    if told_late:
        books.run(goes_on)
        books.run(held)
    to(books, 125)  # of its grace of ten minutes five are used
    books.run(status(books, "SuspendedEVSE"))
    to(books, 185)
    books.run(status(books, "SuspendedEV"), status(books, "SuspendedEV"))
    stored = readings_without_a_register(books)
    books.run(held, goes_on)
    assert readings_without_a_register(books) == stored == 4
    to(books, 192)
    books.run(read(books, 10_800, 0))
    assert books.transaction(1).cost_minor == 432 + 20
    to(books, 193)
    books.run(books.stop(1, 10_800))
    assert (books.transaction(1).cost_minor, books.violations()) == (432 + 30, [])


def test_a_status_is_kept_only_where_idle_time_has_a_price(books: Counter) -> None:
    books.tariff(FLAT)
    books.run(books.start())
    books.run(status(books, "SuspendedEVSE"))
    assert readings_without_a_register(books) == 0


def test_a_told_power_keeps_a_coarse_meter_from_being_idle_while_the_car_charges(books: Counter) -> None:
    books.tariff(msgspec.structs.replace(IDLING, idle_grace_s=0))
    books.run(books.start())
    for minute in range(1, 60):
        to(books, minute)
        told_wh = 3700 * minute // 60_000 * 1000
        books.run(read(books, told_wh, 3700))
        assert books.transaction(1).cost_minor == 40 * told_wh // 1000
    to(books, 60)
    books.run(books.stop(1, 3000))
    assert (books.transaction(1).cost_minor, books.violations()) == (120, [])
