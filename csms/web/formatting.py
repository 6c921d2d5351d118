"""How amounts, energy, power and moments are written for a reader: in their language, in the installation's time zone.

Knows no page. The languages whose texts ship decide which locale is chosen; English ships first.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal, get_currency_precision

from csms.billing.money import Currency, format_amount

LANGUAGES = ("en",)
_DEFAULT = Locale("en", "GB")
DASH = "\N{EN DASH}"  # where there is nothing to show
_MINUS = "\N{MINUS SIGN}"
_TICK = timedelta(microseconds=1)
_MOST_LOCALES = 10  # of an Accept-Language header
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def choose_locale(accept_language: str) -> Locale:
    """Return the reader's locale among the languages that ship; English as Europe writes it otherwise."""
    for item in accept_language.split(",")[:_MOST_LOCALES]:
        tag = item.split(";")[0].strip().replace("-", "_")
        if tag.split("_")[0].lower() not in LANGUAGES or "_" not in tag:
            continue
        try:
            return Locale.parse(tag)
        except (UnknownLocaleError, ValueError):
            continue
    return _DEFAULT


class Formats:
    """The filters of one page."""

    def __init__(self, locale: Locale, zone: ZoneInfo, currency: Currency, now: datetime) -> None:
        """Fix language, zone, currency and the moment against which ages are told."""
        self.locale = locale
        self.zone = zone
        self.currency = currency
        self.now = now

    def money(self, amount_minor: int, *, signed: bool = False) -> str:
        """Write minor units with the currency's sign; `signed` puts a plus before a gain."""
        amount = Decimal(amount_minor) / self.currency.scale
        pattern = None
        if self.currency.decimals != get_currency_precision(self.currency.code):
            pattern = "¤#,##0." + "0" * self.currency.decimals if self.currency.decimals else "¤#,##0"
        text = format_currency(
            amount, self.currency.code, pattern, locale=self.locale, currency_digits=pattern is None
        ).replace("-", _MINUS)
        return f"+{text}" if signed and amount_minor > 0 else text

    def plain_amount(self, amount_minor: int) -> str:
        """Write minor units as a person would type them into a field."""
        return format_amount(amount_minor, self.currency)

    def energy(self, energy_wh: int, decimals: int = 2) -> str:
        """Write Wh as kWh."""
        number = format_decimal(Decimal(energy_wh) / 1000, "#,##0." + "0" * decimals, locale=self.locale)
        return f"{number}\N{NO-BREAK SPACE}kWh"

    def power(self, power_w: int | None) -> str:
        """Write W as kW; a dash where it is not known."""
        if power_w is None:
            return DASH
        return f"{format_decimal(Decimal(power_w) / 1000, '#,##0.0', locale=self.locale)}\N{NO-BREAK SPACE}kW"

    def number(self, value: Decimal | int) -> str:
        """Write a number with as many decimals as it has, without needless zeros."""
        return format_decimal(value, "#,##0.######", locale=self.locale)

    def size(self, size_bytes: int) -> str:
        """Write a number of bytes in the unit that suits it."""
        value, unit = Decimal(size_bytes), "B"
        for larger in ("KiB", "MiB", "GiB", "TiB"):
            if value < 1024:  # noqa: PLR2004 - as the units have it
                break
            value, unit = value / 1024, larger
        pattern = "#,##0" if unit == "B" else "#,##0.#"
        return f"{format_decimal(value, pattern, locale=self.locale)}\N{NO-BREAK SPACE}{unit}"

    def rate(self, value: Decimal) -> str:
        """Write a price in currency units with at least the currency's decimals."""
        number = "#,##0." + "0" * self.currency.decimals + "#" * (6 - self.currency.decimals)
        is_behind = self.locale.currency_formats["standard"].pattern.rstrip().endswith("¤")
        pattern = f"{number}\N{NO-BREAK SPACE}¤" if is_behind else f"¤{number}"
        return format_currency(value, self.currency.code, pattern, locale=self.locale, currency_digits=False)

    def moment(self, at: datetime | None) -> str:
        """Write a moment to the minute."""
        return self._written(at, "d MMM y, HH:mm")

    def last_day(self, expires_at: datetime | None) -> str:
        """Write the last day before a moment of expiry: what expires at midnight is valid through the day before."""
        return self._written(None if expires_at is None else expires_at - _TICK, "d MMM y")

    def exactly(self, at: datetime | None) -> str:
        """Write a moment to the second."""
        return self._written(at, "d MMM y, HH:mm:ss")

    def clock_time(self, at: datetime | None) -> str:
        """Write the time of day to the second."""
        return self._written(at, "HH:mm:ss")

    def _written(self, at: datetime | None, pattern: str) -> str:
        return DASH if at is None else format_datetime(at, pattern, tzinfo=self.zone, locale=self.locale)

    def ago(self, at: datetime | None) -> str:
        """Write how long ago a moment was, in one unit."""
        if at is None:
            return "never"
        seconds = max(0, int((self.now - at).total_seconds()))
        if seconds < 2 * _MINUTE_S:
            return f"{seconds} s ago"
        if seconds < 2 * _HOUR_S:
            return f"{seconds // _MINUTE_S} min ago"
        if seconds < 2 * _DAY_S:
            return f"{seconds // _HOUR_S} h ago"
        return f"{seconds // _DAY_S} days ago"

    def duration(self, start: datetime, end: datetime | None = None) -> str:
        """Write the time between two moments (until now without an end)."""
        between = max(timedelta(0), (end or self.now) - start)
        minutes = int(between.total_seconds()) // _MINUTE_S
        if minutes < 1:
            return f"{int(between.total_seconds())} s"
        return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004 - an hour

    @property
    def zone_name(self) -> str:
        """The zone's name and its present abbreviation."""
        return f"{self.zone.key} ({self.now.astimezone(self.zone).tzname()})"
