"""The portal's pure parts: fields, formats, limits, the picture of a charge."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.billing.money import Currency
from csms.charging.overview import ReadingView
from csms.web.formatting import DASH, Formats, choose_locale
from csms.web.forms import Form, decode_form
from csms.web.limits import FailureLimiter
from csms.web.operations.charts import HEIGHT, WIDTH, draw

EUR = Currency("EUR", 2)
NOW = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)


def _formats(language: str = "", currency: Currency = EUR) -> Formats:
    return Formats(choose_locale(language), ZoneInfo("Europe/Sofia"), currency, NOW)


def test_amounts_follow_language_and_currency() -> None:
    assert _formats().money(-123456) == "\N{MINUS SIGN}€1,234.56"
    assert _formats().money(500, signed=True) == "+€5.00"
    assert _formats("en-US,en;q=0.9").money(123456) == "€1,234.56"
    assert _formats(currency=Currency("JPY", 0)).money(1234).endswith("1,234")
    assert "1.234" in _formats(currency=Currency("KWD", 3)).money(1234)
    assert "12.3456" in _formats(currency=Currency("EUR", 4)).money(123456)
    assert _formats().rate(Decimal("0.355")) == "€0.355"
    assert _formats().rate(Decimal("0.3")) == "€0.30"


@pytest.mark.parametrize("header", ["", "xx", "de-DE", "en", "*", "en-ZZZZZZZZZZ", ",;,;q=", "en_GB;q=x" * 50])
def test_any_accept_language_gives_a_locale(header: str) -> None:
    assert choose_locale(header).language == "en"


def test_what_expires_at_midnight_is_valid_through_the_day_before() -> None:
    zone = ZoneInfo("Europe/Sofia")
    formats = Formats(choose_locale("en-GB"), zone, EUR, datetime(2026, 11, 23, tzinfo=UTC))
    assert formats.last_day(datetime(2031, 1, 1, tzinfo=zone)) == "31 Dec 2030"
    assert formats.last_day(datetime(2031, 1, 1, 12, tzinfo=zone)) == "1 Jan 2031"
    assert formats.last_day(None) == DASH


def test_moments_are_written_in_the_zone_across_the_change_of_clocks() -> None:
    formats = _formats()
    assert formats.exactly(datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)) == "29 Mar 2026, 02:59:59"
    assert formats.exactly(datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC)) == "29 Mar 2026, 04:00:00"
    assert formats.moment(None) == DASH


@pytest.mark.parametrize(
    ("before", "written"),
    [
        (5, "5 s ago"),
        (119, "119 s ago"),
        (600, "10 min ago"),
        (7200, "2 h ago"),
        (3 * 86400, "3 days ago"),
        (-9, "0 s ago"),
    ],
)
def test_ages_have_one_unit(before: int, written: str) -> None:
    assert _formats().ago(NOW - timedelta(seconds=before)) == written


@pytest.mark.parametrize(("seconds", "written"), [(30, "30 s"), (61, "1 min"), (3660, "1 h 01 min"), (-5, "0 s")])
def test_durations_are_short(seconds: int, written: str) -> None:
    assert _formats().duration(NOW, NOW + timedelta(seconds=seconds)) == written


@given(st.binary(max_size=200))
def test_any_body_is_a_form_or_a_value_error(body: bytes) -> None:
    try:
        fields = decode_form(body)
    except ValueError:
        return
    assert not any(ord(letter) < 32 for value in fields.values() for letter in value)


@given(st.text(max_size=40))
def test_any_text_is_an_amount_within_the_limits_or_marked(typed: str) -> None:
    form = Form({"amount": typed})
    amount_minor = form.amount_minor("amount", EUR, most_minor=50_000)
    assert (1 <= amount_minor <= 50_000) if form.valid else amount_minor == 0


@given(st.text(max_size=40))
def test_any_text_is_a_rate_or_marked(typed: str) -> None:
    form = Form({"rate": typed})
    assert 0 <= form.rate("rate") <= 1_000_000


def test_a_secret_is_not_kept_for_showing() -> None:
    form = Form({"password": "x"})
    assert form.secret("password") == "x"
    assert form.typed("password") == ""


def test_failures_are_forgotten_after_a_minute() -> None:
    limiter = FailureLimiter(2)
    limiter.failed(("a", "b"), NOW)
    assert not limiter.exceeded(("a",), NOW)
    limiter.failed(("a",), NOW + timedelta(seconds=30))
    assert limiter.exceeded(("c", "a"), NOW + timedelta(seconds=59))
    assert not limiter.exceeded(("a", "b"), NOW + timedelta(seconds=60))
    limiter.failed(("a",), NOW + timedelta(seconds=61))
    limiter.succeeded(("a",))
    assert not limiter.exceeded(("a",), NOW + timedelta(seconds=61))


def _reading(minutes: int, register_wh: int | None, power_w: int | None = None) -> ReadingView:
    at = NOW + timedelta(minutes=minutes)
    return ReadingView(at, at, register_wh, power_w, "[]", "")


def test_a_charge_is_drawn_within_its_picture() -> None:
    readings = [_reading(minute, 1000 + 180 * minute, 11_000) for minute in range(1, 61)]
    chart = draw(readings, 1000, NOW)
    assert chart is not None
    assert chart.energy_ticks[-1].value >= 180 * 60
    assert chart.power_ticks[-1].value >= 11_000
    numbers = [int(part) for part in chart.energy_path.replace("M", "").replace("L", "").split()]
    assert all(0 <= x <= WIDTH for x in numbers[::2])
    assert all(0 <= y <= HEIGHT for y in numbers[1::2])
    assert len(chart.time_ticks) >= 3


def test_too_little_is_not_drawn() -> None:
    assert draw([], 0, NOW) is None
    assert draw([_reading(5, None, 100)], 0, NOW) is None


@given(
    st.lists(
        st.tuples(
            st.integers(-100, 10_000),
            st.none() | st.integers(-(10**15), 10**15),
            st.none() | st.integers(-(10**9), 10**9),
        ),
        max_size=30,
    ),
)
def test_any_readings_can_be_drawn(points: list[tuple[int, int | None, int | None]]) -> None:
    chart = draw([_reading(*point) for point in sorted(points, key=lambda one: one[0])], 0, NOW)
    if chart is not None:
        assert len(chart.energy_ticks) <= 12
        assert chart.energy_path.startswith("M")
