"""Time-of-day and weekday bands, idle fees, allowances and limits: exact at every border, in every zone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.billing.bands import Band, Span, band_at, divide, joined, problems, split
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, Usage, price
from csms.billing.tariffs import problems as tariff_problems

EUR = Currency("EUR", 2)
SOFIA = ZoneInfo("Europe/Sofia")
ALL_WEEK = tuple(range(7))
NIGHT = Band("night", ALL_WEEK, 22 * 60, 1440, Decimal("0.20"))
EARLY = Band("early", ALL_WEEK, 0, 6 * 60, Decimal("0.20"))
WEEKEND = Band("weekend", (5, 6), 6 * 60, 22 * 60, Decimal("0.25"))
BANDS = (NIGHT, EARLY, WEEKEND)


def _tariff(**changes: object) -> Tariff:
    values: dict[str, object] = {
        "tariff_id": 1,
        "name": "day and night",
        "rate_per_kwh": Decimal("0.40"),
        "rate_per_minute": Decimal(0),
        "start_fee_minor": 0,
        "tax_percent": Decimal(20),
        "time_zone": "Europe/Sofia",
        "bands": BANDS,
    }
    return Tariff(**(values | changes))  # type: ignore[arg-type]


def _local(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=SOFIA).astimezone(UTC)


def _usage(*spans: Span) -> Usage:
    seconds = sum((span.end - span.begin).total_seconds() for span in spans)
    return Usage(sum(span.energy_wh for span in spans), int(seconds), spans)


def test_energy_is_split_at_the_border_of_a_band() -> None:
    # A Wednesday, 21:00 to 23:00: one hour of day, one of night.
    charge = price(_tariff(), _usage(Span(_local(2026, 3, 4, 21), _local(2026, 3, 4, 23), 10_000)), EUR)
    assert [(line.band, line.quantity, line.amount_minor) for line in charge.lines] == [("", 5, 200), ("night", 5, 100)]


def test_a_line_shows_its_rate_as_the_tariff_has_it_whoever_else_has_the_same() -> None:
    span = Span(_local(2026, 3, 4, 8), _local(2026, 3, 4, 9), 1000)
    for written in ("0.2", "0.20", "0.200"):
        bands = (Band("all", ALL_WEEK, 0, 1440, Decimal(written), Decimal(written)),)
        assert {str(line.rate) for line in price(_tariff(bands=bands), _usage(span), EUR).lines} == {written}


def test_a_weekend_begins_where_its_zone_says() -> None:
    friday_night = Span(_local(2026, 3, 6, 23), _local(2026, 3, 7, 8), 9_000)
    charge = price(_tariff(), _usage(friday_night), EUR)
    assert {line.band: line.quantity for line in charge.lines} == {"night": 1, "early": 6, "weekend": 2}


@pytest.mark.parametrize(
    ("day", "hours"),
    [((2026, 3, 28), 24), ((2026, 3, 29), 23), ((2026, 10, 25), 25)],
)
def test_a_day_on_which_the_clocks_change_has_23_or_25_hours(day: tuple[int, int, int], hours: int) -> None:
    begin = _local(*day)
    end = (datetime(*day, tzinfo=SOFIA) + timedelta(days=1)).astimezone(UTC)
    pieces = list(divide(Span(begin, end, 1000 * hours), BANDS, SOFIA))
    seconds = {name: sum(p.seconds for p in pieces if p.band and p.band.name == name) for name in ("early", "night")}
    assert sum(piece.seconds for piece in pieces) == hours * 3600
    assert seconds == {"early": (6 + hours - 24) * 3600, "night": 2 * 3600}


def test_a_border_that_the_clock_jumps_over_counts_from_the_jump() -> None:
    # On 2026-03-29 the clock of Sofia goes from 03:00 to 04:00: a band from 03:30 begins at the jump.
    late = Band("late", ALL_WEEK, 3 * 60 + 30, 5 * 60, Decimal(1))
    begin = _local(2026, 3, 29, 2)
    pieces = [p for p in divide(Span(begin, begin + timedelta(hours=3), 3000), (late,), SOFIA) if p.band is late]
    assert sum(piece.seconds for piece in pieces) == 3600


moments = st.integers(0, 2 * 365 * 1440).map(
    lambda minute: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
zones = st.sampled_from(
    ["Europe/Sofia", "Europe/London", "Australia/Lord_Howe", "America/St_Johns", "UTC", "Asia/Kathmandu"]
)
energies = st.integers(0, 10**6)
minutes = st.integers(0, 3 * 1440)


@given(moments, minutes, energies, zones)
def test_dividing_loses_neither_energy_nor_time(begin: datetime, length: int, energy_wh: int, zone: str) -> None:
    span = Span(begin, begin + timedelta(minutes=length), energy_wh)
    pieces = list(divide(span, BANDS, ZoneInfo(zone)))
    assert sum(piece.energy_wh for piece in pieces) == energy_wh
    assert sum(piece.seconds for piece in pieces) == length * 60


@given(moments, st.integers(1, 3 * 1440), energies, zones, st.fractions(0, 1))
def test_every_moment_of_a_piece_lies_in_its_band(
    begin: datetime, length: int, energy_wh: int, zone: str, where: Fraction
) -> None:
    at = begin
    for piece in divide(Span(begin, begin + timedelta(minutes=length), energy_wh), BANDS, ZoneInfo(zone)):
        inside = at + timedelta(microseconds=int(piece.seconds * 1_000_000 * where * Fraction(999, 1000)))
        assert band_at(inside, BANDS, ZoneInfo(zone)) == piece.band
        at += timedelta(microseconds=int(piece.seconds * 1_000_000))


@given(moments, st.integers(1, 1440), st.integers(0, 100), st.integers(2, 60), zones)
def test_splitting_readings_changes_nothing(
    begin: datetime,
    minutes_: int,
    wh_per_minute: int,
    parts: int,
    zone: str,
) -> None:
    tariff = _tariff(
        time_zone=zone,
        rate_per_minute=Decimal("0.03"),
        rate_per_idle_minute=Decimal("0.10"),
        idle_grace_s=600,
        free_wh=500,
        minimum_minor=30,
        maximum_minor=5000,
    )
    minutes_ -= minutes_ % parts
    if not minutes_:
        return
    step = timedelta(minutes=minutes_ // parts)
    each = wh_per_minute * (minutes_ // parts)
    whole = Span(begin, begin + step * parts, each * parts)
    split = [Span(begin + step * n, begin + step * (n + 1), each) for n in range(parts)]
    assert price(tariff, _usage(whole), EUR) == price(tariff, _usage(*split), EUR)


@given(moments, st.integers(1, 1440), energies, st.integers(0, 10**5), zones)
def test_more_energy_never_costs_less_in_any_band(
    begin: datetime, length: int, energy_wh: int, more_wh: int, zone: str
) -> None:
    tariff = _tariff(
        time_zone=zone, rate_per_minute=Decimal("0.01"), free_wh=1000, minimum_minor=50, maximum_minor=9000
    )
    end = begin + timedelta(minutes=length)
    less, more = (_usage(Span(begin, end, wh)) for wh in (energy_wh, energy_wh + more_wh))
    assert price(tariff, more, EUR).total_minor >= price(tariff, less, EUR).total_minor


def test_idle_time_costs_only_after_its_grace() -> None:
    tariff = _tariff(bands=(), rate_per_idle_minute=Decimal("0.10"), idle_grace_s=600, rate_per_minute=Decimal("0.02"))
    begin = _local(2026, 3, 4, 12)
    spans = (
        Span(begin, begin + timedelta(minutes=30), 5000),
        Span(begin + timedelta(minutes=30), begin + timedelta(minutes=38), 0),
        Span(begin + timedelta(minutes=38), begin + timedelta(minutes=48), 1000),
        Span(begin + timedelta(minutes=48), begin + timedelta(minutes=78), 0),
    )
    amounts = {line.component: line.amount_minor for line in price(tariff, _usage(*spans), EUR).lines}
    # 40 min charging; the first idle time is within its grace, the second is 20 min beyond it
    assert amounts == {"energy": 240, "time": 80, "idle": 200}


def test_minimum_maximum_and_allowance_stand_as_lines_of_their_own() -> None:
    little = price(_tariff(bands=(), minimum_minor=150, free_wh=1000), Usage(2000, 600), EUR)
    assert [(one.component, one.amount_minor) for one in little.lines] == [
        ("energy", 40),
        ("free energy", 0),
        ("minimum", 110),
    ]
    much = price(_tariff(bands=(), maximum_minor=1000), Usage(50_000, 600), EUR)
    assert [(one.component, one.amount_minor) for one in much.lines] == [("energy", 2000), ("maximum", -1000)]
    assert (much.total_minor, much.tax_minor) == (1000, 167)


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ((Band("a", (0,), 60, 60, Decimal(1)),), "the end must lie after the begin"),
        ((Band("a", (0,), 0, 1441, Decimal(1)),), "the end must lie after the begin"),
        ((Band("a", (), 0, 60, Decimal(1)),), "at least one weekday"),
        ((Band("a", (7,), 0, 60, Decimal(1)),), "at least one weekday"),
        ((Band("a", (0,), 0, 60, Decimal(-1)),), "cannot be negative"),
        ((Band("a", (0, 1), 0, 60, Decimal(1)), Band("b", (1,), 59, 90, Decimal(1))), "bands 1 and 2 overlap"),
    ],
)
def test_bands_that_make_no_sense_are_named(bands: tuple[Band, ...], said: str) -> None:
    assert any(said in str(problem) for problem in problems(bands))


def test_a_good_tariff_has_no_problems_and_a_bad_one_names_its_fields() -> None:
    assert tariff_problems(_tariff()) == []
    bad = _tariff(rate_per_kwh=Decimal(-1), tax_percent=Decimal(101), minimum_minor=5, maximum_minor=4, free_wh=-1)
    fields = {problem.split(":")[0] for problem in tariff_problems(bad)}
    assert fields == {"rate_per_kwh", "tax_percent", "maximum_minor", "free_wh"}


@given(st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(0, 1440))
def test_a_band_across_midnight_covers_what_it_says_on_either_side(
    weekdays: frozenset[int], begin: int, end: int
) -> None:
    night = Band("night", tuple(sorted(weekdays)), begin, end, Decimal("0.20"))
    parts = split(night)
    assert (problems(parts) == []) == (begin != end)
    for weekday in range(7):
        for minute in {0, begin, end, (begin + end) // 2, 1439, max(0, begin - 1), max(0, end - 1)} - {1440}:
            today, since_yesterday = weekday in weekdays, (weekday - 1) % 7 in weekdays
            expected = today and begin <= minute < end
            if end < begin:
                expected = (today and minute >= begin) or (since_yesterday and minute < end)
            assert any(part.covers(weekday, minute) for part in parts) == expected
    assert joined(parts) == (parts if end == 0 and begin else (night,))


def test_only_the_parts_of_one_night_are_joined() -> None:
    night = Band("night", (0, 6), 22 * 60, 6 * 60, Decimal("0.20"))
    evening, morning = split(night)
    assert morning.weekdays == (0, 1)
    other = Band("early", (0, 1), 0, 6 * 60, Decimal("0.20"))
    assert joined((morning, WEEKEND, evening)) == (morning, WEEKEND, evening)
    assert joined((evening, other)) == (evening, other)
    assert joined((WEEKEND, evening, other, morning)) == (WEEKEND, night, other)
