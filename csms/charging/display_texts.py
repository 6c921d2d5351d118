"""The sentences on the displays of charge points, in the languages that ship: prices and costs. Pure.

Short, since displays are small and a configuration value has at most 500 characters.
"""

from decimal import Decimal
from typing import Literal, get_args

import msgspec

from csms.billing.idling import grace_of
from csms.billing.money import Currency, format_amount
from csms.billing.tariffs import Tariff

Language = Literal["en", "bg", "de"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


class _Texts(msgspec.Struct, frozen=True):
    comma: bool
    per_minute: str
    per_idle_minute: str
    after_minutes: str
    start: str
    free: str
    varies: str
    offline: str
    paid: str
    nothing: str


_TEXTS: dict[Language, _Texts] = {
    "en": _Texts(
        comma=False,
        per_minute="{} {}/min",
        per_idle_minute="idle {} {}/min",
        after_minutes=" after {} min",
        start="start {} {}",
        free="Free of charge",
        varies="other prices at other times",
        offline="Charging is not possible while the station is offline.",
        paid="{} {} for {} kWh",
        nothing="Nothing to pay",
    ),
    "bg": _Texts(
        comma=True,
        per_minute="{} {}/мин",
        per_idle_minute="престой {} {}/мин",
        after_minutes=" след {} мин",
        start="начална такса {} {}",
        free="Безплатно",
        varies="други цени в други часове",
        offline="Без връзка станцията не зарежда.",
        paid="{} {} за {} kWh",
        nothing="Няма нищо за плащане",
    ),
    "de": _Texts(
        comma=True,
        per_minute="{} {}/min",
        per_idle_minute="Standzeit {} {}/min",
        after_minutes=" nach {} min",
        start="Startgebühr {} {}",
        free="Kostenlos",
        varies="zu anderen Zeiten andere Preise",
        offline="Solange die Station keine Verbindung hat, kann nicht geladen werden.",
        paid="{} {} für {} kWh",
        nothing="Nichts zu zahlen",
    ),
}


def price_text(tariff: Tariff, currency: Currency, language: Language) -> str:
    """Say what charging costs under a tariff, tax included."""
    texts = _TEXTS[language]
    parts = []
    if tariff.rate_per_kwh:
        parts.append(f"{_rate(tariff.rate_per_kwh, texts)} {currency.code}/kWh")
    if tariff.rate_per_minute:
        parts.append(texts.per_minute.format(_rate(tariff.rate_per_minute, texts), currency.code))
    if tariff.rate_per_idle_minute:
        idle = texts.per_idle_minute.format(_rate(tariff.rate_per_idle_minute, texts), currency.code)
        parts.append(idle + texts.after_minutes.format(grace_of(tariff.idle_grace_s) // 60))
    if tariff.start_fee_minor:
        parts.append(texts.start.format(_amount(tariff.start_fee_minor, currency, texts), currency.code))
    if tariff.bands:
        parts.append(texts.varies)
    return ", ".join(parts) or texts.free


def cost_text(cost_minor: int, energy_wh: int, currency: Currency, language: Language) -> str:
    """Say what a transaction cost in the end."""
    texts = _TEXTS[language]
    if not cost_minor:
        return texts.nothing
    energy = f"{energy_wh // 1000}.{energy_wh % 1000 // 10:02}"
    return texts.paid.format(_amount(cost_minor, currency, texts), currency.code, _point(energy, texts))


def offline_text(language: Language) -> str:
    """Say what is shown while the link is down."""
    return _TEXTS[language].offline


def _amount(amount_minor: int, currency: Currency, texts: _Texts) -> str:
    return _point(format_amount(amount_minor, currency), texts)


def _rate(rate: Decimal, texts: _Texts) -> str:
    """Write a rate with at least two decimals and no needless zeros."""
    whole, _, decimals = f"{rate:f}".partition(".")
    return _point(f"{whole}.{decimals.rstrip('0').ljust(2, '0')}", texts)


def _point(number: str, texts: _Texts) -> str:
    return number.replace(".", ",") if texts.comma else number
