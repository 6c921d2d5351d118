"""The tariffs of the installation as rows: added in versions, never edited, one of them the default.

Works on a connection inside somebody else's unit of work. What a tariff makes of energy and time is `tariffs`' matter.
A version is in force from when it begins until the next one begins, or until its own end.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from csms import clock
from csms.billing import models
from csms.billing.bands import Band
from csms.billing.bands import problems as band_problems
from csms.billing.naming import alike
from csms.billing.tariffs import Tariff
from csms.billing.tariffs import problems as tariff_problems
from csms.billing.wall_clock import write_moment
from csms.db import as_fact

MOST_RATE_DECIMALS = 6
MOST_BANDS = 40
ABOVE_RATES = 10**6
MOST_WHOLE = 10**9  # of minor units, seconds or Wh
LONGEST_NAME, LONGEST_BAND_NAME = 100, 60

_tariff = models.tariff.c


class NewTariff(msgspec.Struct, frozen=True):
    """A price list to be added, tax included. Rates in currency units, six decimals at most; amounts in minor units.

    Without `valid_from` a first version is valid for whatever began before it, and a later one from now on.
    """

    name: str
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal
    make_default: bool = False
    time_zone: str = "UTC"
    bands: tuple[Band, ...] = ()
    rate_per_idle_minute: Decimal = Decimal(0)
    idle_grace_s: int = 0
    free_wh: int = 0
    minimum_minor: int = 0
    maximum_minor: int | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    @property
    def tariff(self) -> Tariff:
        """What it makes of energy and time, before it has a number."""
        return _to_tariff(self, 0)


class PriceList(msgspec.Struct, frozen=True):
    """A stored version of a tariff."""

    tariff_id: int
    name: str
    version: int
    rate_per_kwh: Decimal
    rate_per_minute: Decimal
    start_fee_minor: int
    tax_percent: Decimal
    is_default: bool
    created_at: datetime
    time_zone: str
    bands_json: str
    rate_per_idle_minute: Decimal
    idle_grace_s: int
    free_wh: int
    minimum_minor: int
    maximum_minor: int | None
    valid_from: datetime | None
    valid_to: datetime | None

    @property
    def bands(self) -> tuple[Band, ...]:
        """The prices by time of day and weekday."""
        return _BANDS.decode(self.bands_json)

    @property
    def tariff(self) -> Tariff:
        """What it makes of energy and time."""
        return _to_tariff(self, self.tariff_id)


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a tariff: a field of `NewTariff`, a sentence, and which bands (counted from 1) it is about."""

    field: str
    why: str
    bands: tuple[int, ...] = ()


class TariffRefused(msgspec.Struct, frozen=True):
    """Nothing was stored, and why."""

    problems: tuple[Problem, ...]


_BANDS = msgspec.json.Decoder(tuple[Band, ...])
_PRICE_LISTS = select(
    _tariff.id,
    _tariff.name,
    _tariff.version,
    _tariff.rate_per_kwh,
    _tariff.rate_per_minute,
    _tariff.start_fee_minor,
    _tariff.tax_percent,
    _tariff.is_default,
    _tariff.created_at,
    _tariff.time_zone,
    _tariff.bands_json,
    _tariff.rate_per_idle_minute,
    _tariff.idle_grace_s,
    _tariff.free_wh,
    _tariff.minimum_minor,
    _tariff.maximum_minor,
    _tariff.valid_from,
    _tariff.valid_to,
)


def _to_tariff(one: NewTariff | PriceList, tariff_id: int) -> Tariff:
    names = (name for name in Tariff.__struct_fields__ if name != "tariff_id")
    return Tariff(tariff_id, **{name: getattr(one, name) for name in names})


def problems(new: NewTariff, one_tax_percent: Decimal | None = None) -> list[Problem]:
    """Say what is wrong with a tariff by itself; `one_tax_percent` is the only one there may be, where tax is payable
    at the top-up.
    """
    unfit = [*_unfit(new), *(each for number, one in enumerate(new.bands, 1) for each in _unfit_band(one, number))]
    if unfit:
        return unfit  # nothing can be compared with them
    found = [
        Problem(field, why) for field, _, why in (each.partition(": ") for each in tariff_problems(new.tariff))
        if field != "bands"
    ]  # fmt: skip
    found += [Problem("bands", str(fault), fault.numbers) for fault in band_problems(new.bands)]
    prices = (new.rate_per_kwh, new.rate_per_minute, *(rate for one in new.bands for rate in _rates(one)))
    if not any(prices):
        found.append(Problem("rate_per_kwh", "a tariff needs a price per kWh or per minute"))
    if new.idle_grace_s and not new.rate_per_idle_minute:
        found.append(Problem("rate_per_idle_minute", "a grace needs a price per idle minute to come before"))
    if len(new.bands) > MOST_BANDS:
        found.append(Problem("bands", f"at most {MOST_BANDS} bands"))
    if one_tax_percent is not None and new.tax_percent != one_tax_percent:
        found.append(
            Problem("tax_percent", f"has to be {one_tax_percent:f}: tax is payable at the top-up, at that one rate")
        )
    if new.valid_from is not None and new.valid_to is not None and new.valid_to <= new.valid_from:
        found.append(Problem("valid_to", "has to lie after the begin"))
    return found


def _unfit(new: NewTariff) -> Iterator[Problem]:
    """Say which fields nobody can compute with."""
    if not 0 < len(new.name) <= LONGEST_NAME:
        yield Problem("name", f"from 1 to {LONGEST_NAME} characters")
    for field in ("rate_per_kwh", "rate_per_minute", "rate_per_idle_minute", "tax_percent"):
        if why := _why_no_rate(getattr(new, field)):
            yield Problem(field, why)
    for field in ("start_fee_minor", "idle_grace_s", "free_wh", "minimum_minor", "maximum_minor"):
        if (getattr(new, field) or 0) > MOST_WHOLE:
            yield Problem(field, "is too large")
    if new.time_zone not in clock.time_zones():
        yield Problem("time_zone", "this is no name of the tz database, such as Europe/Sofia")


def _unfit_band(band: Band, number: int) -> Iterator[Problem]:
    if not 0 < len(band.name) <= LONGEST_BAND_NAME:
        yield Problem("bands", f"a name of from 1 to {LONGEST_BAND_NAME} characters", (number,))
    for why in filter(None, map(_why_no_rate, _rates(band))):
        yield Problem("bands", f"a rate {why}", (number,))


def _why_no_rate(rate: Decimal) -> str:
    if not rate.is_finite() or abs(rate) >= ABOVE_RATES:
        return f"has to be below {ABOVE_RATES}"
    return "" if rate == round(rate, MOST_RATE_DECIMALS) else f"has more than {MOST_RATE_DECIMALS} decimals"


def _rates(band: Band) -> tuple[Decimal, Decimal]:
    return band.rate_per_kwh, band.rate_per_minute


def add_tariff(
    connection: Connection,
    new: NewTariff,
    now: datetime,
    one_tax_percent: Decimal | None = None,
    *,
    next_version: int | None = None,
) -> PriceList | TariffRefused:
    """Add a tariff, or the next version of the one with its name; with `next_version` only as that one.

    The first tariff becomes the default, as does a new version of the default one, or its prices would change nothing.
    """
    connection.execute(select(models.installation.c.id).with_for_update())  # one at a time, on PostgreSQL too
    newest = newest_version(connection, new.name)
    begin = new.valid_from or (None if newest is None else now)
    found = _name_problems(connection, new.name, newest, next_version) + problems(new, one_tax_percent)
    if newest is not None and begin is not None:
        found += _validity_problems(begin, new.valid_to, newest, now)
    if found:
        return TariffRefused(tuple(found))
    default = connection.execute(select(_tariff.name).where(_tariff.is_default)).scalar()
    is_default = new.make_default or default is None or default == new.name
    if is_default:
        connection.execute(update(models.tariff).where(_tariff.is_default).values(is_default=False))
    row = msgspec.structs.asdict(new) | {
        "version": 1 if newest is None else newest.version + 1,
        "bands_json": msgspec.json.encode(new.bands).decode(),
        "valid_from": begin,
        "is_default": is_default,
        "created_at": now,
    }
    del row["bands"], row["make_default"]
    tariff_id = connection.execute(insert(models.tariff).returning(_tariff.id), row).scalar_one()
    return as_fact(PriceList, connection.execute(_PRICE_LISTS.where(_tariff.id == tariff_id)).one())


def _name_problems(
    connection: Connection, name: str, newest: PriceList | None, next_version: int | None
) -> list[Problem]:
    """Say whether a new tariff would be taken for another one, or a version for one that somebody else just made."""
    if newest is None:
        other = alike(name, connection.execute(select(_tariff.name).distinct()).scalars())
        why = f"there is a tariff {other}: write it like that, or choose another name"
        return [] if other is None else [Problem("name", why)]
    if next_version in (None, newest.version + 1):
        return []
    why = f"there is a tariff of this name: stored once more, this becomes its version {newest.version + 1}"
    return [Problem("name", why)]


def _validity_problems(begin: datetime, end: datetime | None, newest: PriceList, now: datetime) -> list[Problem]:
    """Say how a new version does not fit after the newest one. One that begins with it replaces it altogether."""
    found = []
    zone = ZoneInfo(newest.time_zone)
    number = f"version {newest.version}"
    if newest.valid_from is not None and begin < newest.valid_from:
        found.append(Problem("valid_from", f"{number} begins at {_wall(newest.valid_from, zone)}: not before that"))
    elif begin < now:
        found.append(Problem("valid_from", "lies in the past: the next version begins now at the earliest"))
    elif newest.valid_to is not None and newest.valid_to <= now:
        if begin > now:  # what has passed without a price cannot be mended; what is to come can
            ended = f"{number} ended at {_wall(newest.valid_to, zone)}"
            found.append(Problem("valid_from", f"{ended}: there would be a gap until this; leave it empty, for now on"))
    elif newest.valid_to is not None and begin > newest.valid_to:
        ends = f"{number} ends at {_wall(newest.valid_to, zone)}"
        found.append(Problem("valid_from", f"{ends}: there would be a gap until this"))
    elif newest.valid_to is not None and begin < newest.valid_to and begin != newest.valid_from:
        until = _wall(newest.valid_to, zone)
        found.append(Problem("valid_from", f"overlaps {number}, which is valid until {until}: begin then"))
    if end is not None and end <= begin:
        found.append(Problem("valid_to", "has to lie after the begin"))
    return found


def _wall(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment so that it can be typed as it stands."""
    return f"{write_moment(moment, zone)} ({zone.key})"


def make_default(connection: Connection, tariff_id: int) -> bool:
    """Let a tariff apply wherever none is assigned, from the next transaction on; False where there is none such."""
    connection.execute(select(models.installation.c.id).with_for_update())  # one at a time, on PostgreSQL too
    if find_version(connection, tariff_id) is None:
        return False
    connection.execute(update(models.tariff).where(_tariff.is_default).values(is_default=False))
    connection.execute(update(models.tariff).where(_tariff.id == tariff_id).values(is_default=True))
    return True


def newest_version(connection: Connection, name: str) -> PriceList | None:
    """Return the newest version of a tariff, None where there is no tariff of this name."""
    newest = select(func.max(_tariff.version)).where(_tariff.name == name).scalar_subquery()
    row = connection.execute(_PRICE_LISTS.where(_tariff.name == name, _tariff.version == newest)).first()
    return None if row is None else as_fact(PriceList, row)


def find_version(connection: Connection, tariff_id: int) -> PriceList | None:
    """Return a version by its number."""
    row = connection.execute(_PRICE_LISTS.where(_tariff.id == tariff_id)).first()
    return None if row is None else as_fact(PriceList, row)


def list_tariffs(connection: Connection) -> list[PriceList]:
    """Return every version of every tariff, by name, the newest version first."""
    rows = connection.execute(_PRICE_LISTS.order_by(_tariff.name, _tariff.version.desc()))
    return [as_fact(PriceList, row) for row in rows]


def in_force(versions: list[PriceList], now: datetime) -> PriceList | None:
    """Return which of a tariff's versions applies: the newest that has begun, unless it has ended."""
    begun = [one for one in versions if one.valid_from is None or one.valid_from <= now]
    newest = max(begun, key=lambda one: one.version, default=None)
    return None if newest is None or (newest.valid_to is not None and newest.valid_to <= now) else newest
