"""The editor's form: what was typed of a tariff, read into `NewTariff`, with every wrong field marked.

Reads and marks only. A band is a row of fields `band_<n>_...`; rows that are empty are no bands.
"""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from csms import clock
from csms.billing.bands import Band, joined, split
from csms.billing.money import Currency, format_amount
from csms.billing.price_lists import MOST_BANDS, NewTariff, PriceList, Problem
from csms.billing.tariffs import Usage, example
from csms.billing.wall_clock import read_clock, read_moment, read_weekdays, write_clock, write_moment, write_weekdays
from csms.web.forms import Form

FEWEST_ROWS = 2
_HUNDRED = 100
_MOST_UNITS = 1_000  # of currency that a start or a minimum may cost
_MOST_MINUTES = 100_000
_MOST_KWH = 10_000
_BAND_FIELDS = ("name", "begin", "end", "weekdays", "rate_per_kwh", "rate_per_minute")
_FIELDS = {
    "start_fee_minor": "start_fee",
    "idle_grace_s": "idle_grace",
    "free_wh": "free_kwh",
    "minimum_minor": "minimum",
    "maximum_minor": "maximum",
    "valid_from": "valid_from",
    "valid_to": "valid_to",
}


def rows_of(form: Form) -> int:
    """Return how many rows of bands the form has, at least the few that an empty one shows."""
    asked = form.typed("rows")
    rows = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 4 else 0  # noqa: PLR2004 - digits
    return max(FEWEST_ROWS, min(rows, MOST_BANDS))


def filled_rows(form: Form) -> list[int]:
    """Return the numbers of the rows in which something was typed, from 1."""
    return [
        row
        for row in range(1, rows_of(form) + 1)
        if any(form.typed(f"band_{row}_{field}").strip() for field in _BAND_FIELDS)
    ]


def read_tariff(form: Form, currency: Currency) -> NewTariff:
    """Read the form; where a field is marked, its value means nothing."""
    scale = currency.scale
    zone = _zone(form)
    tax_percent = form.rate("tax_percent")
    if not form.typed("tax_percent").strip():
        form.refuse("tax_percent", "Please fill this in; 0 is no tax.")
    if tax_percent >= _HUNDRED:
        form.refuse("tax_percent", "Less than 100.")

    def amount(name: str) -> int:
        return form.amount_minor(name, currency, most_minor=_MOST_UNITS * scale, least_minor=0)

    free_wh = form.rate("free_kwh", most=Decimal(_MOST_KWH)) * 1000
    if free_wh != free_wh.to_integral_value():
        form.refuse("free_kwh", "In kWh, with at most three decimals.")
    moments = {}
    for name in ("valid_from", "valid_to"):
        if typed := form.typed(name).strip():
            try:
                moments[name] = read_moment(typed, zone)
            except ValueError as error:
                form.refuse(name, f"{error}.")
    return NewTariff(
        form.text("name", longest=100),
        form.rate("rate_per_kwh"),
        form.rate("rate_per_minute"),
        amount("start_fee"),
        tax_percent,
        make_default=form.typed("is_default") == "yes",
        time_zone=zone.key,
        bands=_bands(form),
        rate_per_idle_minute=form.rate("rate_per_idle_minute"),
        idle_grace_s=int(form.rate("idle_grace", most=Decimal(_MOST_MINUTES)) * 60),
        free_wh=int(free_wh),
        minimum_minor=amount("minimum"),
        maximum_minor=amount("maximum") if form.typed("maximum").strip() else None,
        valid_from=moments.get("valid_from"),
        valid_to=moments.get("valid_to"),
    )


def _zone(form: Form) -> ZoneInfo:
    typed = form.typed("time_zone").strip()
    if typed not in clock.time_zones():
        form.refuse("time_zone", "A name of the tz database, such as Europe/Sofia.")
        return ZoneInfo("UTC")
    return ZoneInfo(typed)


def _bands(form: Form) -> tuple[Band, ...]:
    return tuple(part for _, part in _parts(form))


def _parts(form: Form) -> list[tuple[int, Band]]:
    """Return the bands with the rows in which they were typed: a night is one row and two bands."""
    return [(row, part) for row in filled_rows(form) for part in split(_band(form, f"band_{row}_"))]


def _band(form: Form, prefix: str) -> Band:
    name = form.text(f"{prefix}name", longest=60)
    minutes = {}
    for edge in ("begin", "end"):
        try:
            minutes[edge] = read_clock(form.typed(f"{prefix}{edge}"))
        except ValueError as error:
            form.refuse(f"{prefix}{edge}", f"{error}.")
    days: tuple[int, ...] = ()
    try:
        days = read_weekdays(form.typed(f"{prefix}weekdays"))
    except ValueError as error:
        form.refuse(f"{prefix}weekdays", f"{error}.")
    if not form.typed(f"{prefix}rate_per_kwh").strip():
        form.refuse(f"{prefix}rate_per_kwh", "Please fill this in; 0 is free.")
    if len(minutes) == len(("begin", "end")) and minutes["end"] == minutes["begin"]:
        form.refuse(f"{prefix}end", "It ends when it begins; a whole day is 00:00 to 24:00.")
    return Band(
        name,
        days,
        minutes.get("begin", 0),
        minutes.get("end", 0),
        form.rate(f"{prefix}rate_per_kwh"),
        form.rate(f"{prefix}rate_per_minute"),
    )


def read_example(form: Form, zone: ZoneInfo) -> Usage | None:
    """Read the example to be priced; None where one of its fields is marked."""
    kwh = form.rate("example_kwh", most=Decimal(_MOST_KWH))
    minutes = form.rate("example_minutes", most=Decimal(_MOST_MINUTES))
    idle = form.rate("example_idle", most=Decimal(_MOST_MINUTES))
    try:
        begin = read_moment(form.typed("example_at"), zone)
    except ValueError as error:
        form.refuse("example_at", f"{error}.")
        return None
    return example(int(kwh * 1000), int(minutes * 60), int(idle * 60), begin)


def mark(form: Form, problems: list[Problem]) -> None:
    """Mark the fields of what the rules found wrong; a band's in the row where it was typed.

    Of a row that is marked already its values mean nothing, so the rules' word on it does not count.
    """
    rows = [row for row, _ in _parts(form)]
    unread = {row for row in rows if any(form.error(f"band_{row}_{field}") for field in _BAND_FIELDS)}
    for one in problems:
        if unread & {rows[number - 1] for number in one.bands}:
            continue
        why = f"{one.why[:1].upper()}{one.why[1:]}."
        if not one.bands:
            form.refuse(_FIELDS.get(one.field, one.field), why)
        for number in one.bands:
            words = f"Rows {' and '.join(str(rows[each - 1]) for each in one.bands)} overlap."
            form.refuse(f"band_{rows[number - 1]}_begin", words if len(one.bands) > 1 else why)


def fill(one: PriceList, currency: Currency, now: datetime) -> dict[str, str]:
    """Return the fields of a form that says what a version says, for the next version of it.

    It begins where that one ends, so that there is no gap; where that has passed, now.
    """

    def rate(value: Decimal) -> str:
        return f"{value.normalize():f}" if value else ""

    def amount(minor: int | None) -> str:
        return format_amount(minor, currency) if minor else ""

    bands = joined(one.bands)
    fields = {
        "name": one.name,
        "rate_per_kwh": rate(one.rate_per_kwh),
        "rate_per_minute": rate(one.rate_per_minute),
        "rate_per_idle_minute": rate(one.rate_per_idle_minute),
        "idle_grace": rate(Decimal(one.idle_grace_s) / 60),
        "start_fee": amount(one.start_fee_minor),
        "free_kwh": rate(Decimal(one.free_wh) / 1000),
        "minimum": amount(one.minimum_minor),
        "maximum": "" if one.maximum_minor is None else format_amount(one.maximum_minor, currency),
        "tax_percent": f"{one.tax_percent.normalize():f}",
        "time_zone": one.time_zone,
        "valid_from": write_moment(one.valid_to, ZoneInfo(one.time_zone))
        if one.valid_to and one.valid_to > now
        else "",
        "rows": str(len(bands) + 1),
    }
    for row, band in enumerate(bands, 1):
        fields |= {
            f"band_{row}_name": band.name,
            f"band_{row}_begin": write_clock(band.begin_minute),
            f"band_{row}_end": write_clock(band.end_minute),
            f"band_{row}_weekdays": write_weekdays(band.weekdays),
            f"band_{row}_rate_per_kwh": f"{band.rate_per_kwh.normalize():f}",
            f"band_{row}_rate_per_minute": rate(band.rate_per_minute),
        }
    return fields
