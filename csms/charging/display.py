"""What the display of a charge point shows of prices and costs: keys of its configuration. Pure.

From the Open Charge Alliance's application note on price and cost in OCPP 1.6: a charge point that reports
`CustomDisplayCostAndPrice` shows what it is told. Prices are decimal numbers in currency units, never binary floats.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from csms.billing.money import Currency
from csms.billing.tariffs import Tariff
from csms.charging.display_texts import LANGUAGES, Language, offline_text, price_text
from csms.charging.facts import ChargePoint
from csms.charging.prepaid_settings import Reported, Wish
from csms.charging.pricing import FREE, tariff_at
from csms.charging.working_set import WorkingSet

_MINUTES_PER_HOUR = 60
_SEARCHED_DAYS = 366
_LONGEST_TAG = 8  # three of them fit into their column
ENCODER = msgspec.json.Encoder(decimal_format="number")


class Display(msgspec.Struct, frozen=True):
    """What a charge point says of its display: whether it shows costs, and ours of its languages as it writes them
    ("" for one only).
    """

    shows_cost: bool
    languages: str


class ChargingPrice(msgspec.Struct, frozen=True, rename="camel"):
    """Prices while the car charges, in currency units."""

    k_wh_price: Decimal = msgspec.field(name="kWhPrice")
    hour_price: Decimal
    flat_fee: Decimal


class DefaultPrice(msgspec.Struct, frozen=True, rename="camel"):
    """What is shown while nobody is known."""

    price_text: str
    price_text_offline: str
    charging_price: ChargingPrice


class DefaultText(msgspec.Struct, frozen=True, rename="camel"):
    """The same in another language."""

    price_text: str
    price_text_offline: str


def display_of(report: Sequence[Reported]) -> Display:
    """Read from a report what the display can do."""
    values = {one.key.casefold(): (one.value or "").strip().casefold() for one in report}
    shows_cost = values.get("customdisplaycostandprice") == "true"
    if not shows_cost or values.get("custommultilanguagemessages") != "true":
        return Display(shows_cost, "")
    said = next((one.value or "" for one in report if one.key.casefold() == "supportedlanguages"), "")
    return Display(shows_cost, ",".join(tag for tag, _ in tags_of(said)))


def tags_of(languages: str) -> tuple[tuple[str, Language], ...]:
    """Return the first tag (RFC 5646) of each language of ours in a list, as it is written there: `de-DE` stays so."""
    found: dict[Language, str] = {}
    for tag in (part.strip() for part in languages.split(",")):
        primary = tag.replace("_", "-").partition("-")[0].casefold()
        language = next((one for one in LANGUAGES if one == primary), None)
        if language is not None:
            found.setdefault(language, tag if len(tag) <= _LONGEST_TAG else language)
    return tuple((found[one], one) for one in LANGUAGES if one in found)


def wishes(charge_point: ChargePoint, working_set: WorkingSet, now: datetime) -> tuple[Wish, ...]:
    """Return what the keys of the display shall be; none for a charge point that shows no costs."""
    if not charge_point.shows_cost:
        return ()
    return (*_prices(charge_point, working_set, now), *_clock(charge_point, working_set, now))


def _prices(charge_point: ChargePoint, working_set: WorkingSet, now: datetime) -> Iterable[Wish]:
    tariff = shown_tariff(charge_point, None, working_set, now)
    if tariff is None:
        return
    currency, language = working_set.books.currency, working_set.policy.language
    prices = charging_price(tariff, currency)
    shown = DefaultPrice(price_text(tariff, currency, language), offline_text(language), prices)
    yield Wish("DefaultPrice", ENCODER.encode(shown).decode(), is_json=True)
    for tag, each in tags_of(charge_point.shows_languages):
        if each == language:
            yield Wish("Language", tag)  # texts without a tag are in it
        text = DefaultText(price_text(tariff, currency, each), offline_text(each))
        yield Wish(f"DefaultPriceText,{tag}", ENCODER.encode(text).decode(), is_json=True, is_hidden=True)


def _clock(charge_point: ChargePoint, working_set: WorkingSet, now: datetime) -> Iterable[Wish]:
    """Tell the offset of the site's clock, and its next change: displays show local time."""
    zone = ZoneInfo(working_set.time_zones.get(charge_point.charge_point_id, working_set.policy.time_zone))
    yield Wish("TimeOffset", _offset(zone, now))
    change = next_transition(zone, now)
    if change is not None:
        yield Wish("NextTimeOffsetTransitionDateTime", f"{change:%Y-%m-%dT%H:%M:%SZ}")
        yield Wish("TimeOffsetNextTransition", _offset(zone, change))


def next_transition(zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return the next moment (UTC, to the minute) at which the offset of a time zone changes; None if none is near."""
    before = now.astimezone(UTC).replace(second=0, microsecond=0)
    present = before.astimezone(zone).utcoffset()
    after = next(
        (
            day
            for day in (before + timedelta(days=n) for n in range(1, _SEARCHED_DAYS + 1))
            if day.astimezone(zone).utcoffset() != present
        ),
        None,
    )
    if after is None:
        return None
    before = after - timedelta(days=1)
    while after - before > timedelta(minutes=1):
        middle = (before + (after - before) / 2).replace(second=0, microsecond=0)
        middle = middle if middle > before else before + timedelta(minutes=1)
        if middle.astimezone(zone).utcoffset() == present:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: ZoneInfo, at: datetime) -> str:
    offset = at.astimezone(zone).utcoffset() or timedelta(0)
    minutes = abs(offset) // timedelta(minutes=1)
    sign = "-" if offset < timedelta(0) else "+"
    return f"{sign}{minutes // _MINUTES_PER_HOUR:02}:{minutes % _MINUTES_PER_HOUR:02}"


def shown_tariff(
    charge_point: ChargePoint, account_group_id: int | None, working_set: WorkingSet, now: datetime
) -> Tariff | None:
    """Return the tariff that is shown at a charge point; where nobody pays, the one that says so."""
    group = working_set.station_group_of(charge_point.charge_point_id)
    if group is not None and group.is_free:
        return FREE
    return tariff_at(charge_point.charge_point_id, None, account_group_id, now, working_set)


def charging_price(tariff: Tariff, currency: Currency) -> ChargingPrice:
    """Return a tariff's prices as the display wants them."""
    return ChargingPrice(
        k_wh_price=tariff.rate_per_kwh,
        hour_price=tariff.rate_per_minute * _MINUTES_PER_HOUR,
        flat_fee=units(tariff.start_fee_minor, currency),
    )


def units(amount_minor: int, currency: Currency) -> Decimal:
    """Return an amount in currency units with all its decimals."""
    return Decimal(amount_minor).scaleb(-currency.decimals)
