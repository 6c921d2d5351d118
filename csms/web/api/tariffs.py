"""Tariffs over the API: their versions, a new version, and where they apply."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from sqlalchemy import Connection, select

from csms import clock
from csms.billing import price_lists
from csms.billing.bands import Band as StoredBand
from csms.billing.models import account_group
from csms.billing.price_lists import NewTariff, PriceList, TariffRefused
from csms.charging import assignments, models
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, found
from csms.web.api.problems import Problem
from csms.web.api.values import Id, Moment, Money, PaidAmount, Rate, amount_minor, money, money_or_none, plain, utc

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\s\u0000-\u001f][^\u0000-\u001f]*$")]
Minute = Annotated[int, msgspec.Meta(ge=0, le=1440, description="Of the local day.")]
Weekday = Annotated[int, msgspec.Meta(ge=0, le=6, description="Monday is 0.")]
Percent = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,2}(\.[0-9]{1,4})?$", examples=["20"])]


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices at a time of day, on some weekdays."""

    name: Name
    weekdays: Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)]
    begin_minute: Minute
    end_minute: Minute
    rate_per_kwh: Rate
    rate_per_minute: Rate = "0"


class Tariff(msgspec.Struct, frozen=True):
    """One version of a price list, tax included. The rates apply outside of the bands."""

    id: int
    name: str
    version: int
    is_default: bool
    rate_per_kwh: str
    rate_per_minute: str
    rate_per_idle_minute: str
    idle_grace_s: int
    start_fee: Money
    free_wh: int
    minimum: Money
    maximum: Money | None
    tax_percent: str
    time_zone: str
    bands: tuple[Band, ...]
    valid_from: datetime | None
    valid_to: datetime | None
    created_at: datetime


class Tariffs(msgspec.Struct, frozen=True):
    """Every version of every tariff, by name, the newest version first."""

    items: tuple[Tariff, ...]


class NewVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tariff, or the next version of the one with its name. Amounts are in units of the installation's currency."""

    name: Name
    rate_per_kwh: Rate
    rate_per_minute: Rate = "0"
    rate_per_idle_minute: Rate = "0"
    idle_grace_s: Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400)] = 0
    start_fee: PaidAmount = "0"
    free_wh: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    minimum: PaidAmount = "0"
    maximum: PaidAmount | None = None
    tax_percent: Percent
    time_zone: Annotated[str, msgspec.Meta(max_length=50, examples=["Europe/Sofia"])] = "UTC"
    bands: Annotated[tuple[Band, ...], msgspec.Meta(max_length=price_lists.MOST_BANDS)] = ()
    make_default: bool = False
    valid_from: Moment | None = None
    valid_to: Moment | None = None


class Assignment(msgspec.Struct, frozen=True):
    """A tariff and where it applies: whatever is not null has to fit. Without a number it is a charge point's own."""

    id: int | None
    tariff_name: str
    account_group: str | None
    station_group: str | None
    charge_point_id: int | None
    charge_point: str | None
    connector_id: int | None


class Assignments(msgspec.Struct, frozen=True):
    """Where tariffs apply, what wins first."""

    items: tuple[Assignment, ...]


class NewAssignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where and for whom a tariff applies, instead of the one that did; at least one of the numbers is needed."""

    tariff_name: Name
    account_group_id: Id | None = None
    station_group_id: Id | None = None
    charge_point_id: Id | None = None
    connector_id: Id | None = None


async def show_list(call: ApiCall) -> Tariffs:
    """List tariffs."""
    return Tariffs(tuple(_shown(call, one) for one in await call.read(price_lists.list_tariffs)))


async def show(call: ApiCall) -> Tariff:
    """Show one version of a tariff."""
    tariff_id = call.path_number("tariff_id")
    one = await call.read(lambda connection: price_lists.find_version(connection, tariff_id))
    return _shown(call, found(one, "tariff"))


def _shown(call: ApiCall, one: PriceList) -> Tariff:
    currency = call.portal.currency
    bands = tuple(
        Band(
            name=band.name,
            weekdays=band.weekdays,
            begin_minute=band.begin_minute,
            end_minute=band.end_minute,
            rate_per_kwh=plain(band.rate_per_kwh),
            rate_per_minute=plain(band.rate_per_minute),
        )
        for band in one.bands
    )
    return Tariff(
        one.tariff_id,
        one.name,
        one.version,
        one.is_default,
        plain(one.rate_per_kwh),
        plain(one.rate_per_minute),
        plain(one.rate_per_idle_minute),
        one.idle_grace_s,
        money(one.start_fee_minor, currency),
        one.free_wh,
        money(one.minimum_minor, currency),
        money_or_none(one.maximum_minor, currency),
        plain(one.tax_percent),
        one.time_zone,
        bands,
        one.valid_from,
        one.valid_to,
        one.created_at,
    )


async def create(call: ApiCall, wanted: NewVersion) -> Answer:
    """Add a tariff, or the next version of one."""
    new = _read(call, wanted)
    settings = call.portal.settings
    one_tax = settings.tax_percent if settings.tax_point == "top-up" else None
    stored = await call.write(lambda connection: price_lists.add_tariff(connection, new, call.now, one_tax))
    if isinstance(stored, TariffRefused):
        first = stored.problems[0]
        field = first.field.removesuffix("_minor")
        raise Problem("invalid", f"{first.why[:1].upper()}{first.why[1:]}.", field=field)
    return Answer(_shown(call, stored), headers={"Location": f"/api/v1/tariffs/{stored.tariff_id}"})


def _read(call: ApiCall, wanted: NewVersion) -> NewTariff:
    if wanted.time_zone not in clock.time_zones():
        raise Problem("invalid", "This is no name of the tz database, such as Europe/Sofia.", field="time_zone")

    def minor(field: str) -> int:
        return amount_minor(getattr(wanted, field), call.portal.currency, field)

    return NewTariff(
        name=wanted.name.strip(),
        rate_per_kwh=Decimal(wanted.rate_per_kwh),
        rate_per_minute=Decimal(wanted.rate_per_minute),
        start_fee_minor=minor("start_fee"),
        tax_percent=Decimal(wanted.tax_percent),
        make_default=wanted.make_default,
        time_zone=wanted.time_zone,
        bands=tuple(_band(one) for one in wanted.bands),
        rate_per_idle_minute=Decimal(wanted.rate_per_idle_minute),
        idle_grace_s=wanted.idle_grace_s,
        free_wh=wanted.free_wh,
        minimum_minor=minor("minimum"),
        maximum_minor=None if wanted.maximum is None else minor("maximum"),
        valid_from=utc(wanted.valid_from, "valid_from"),
        valid_to=utc(wanted.valid_to, "valid_to"),
    )


def _band(one: Band) -> StoredBand:
    days = tuple(sorted(set(one.weekdays)))
    rates = Decimal(one.rate_per_kwh), Decimal(one.rate_per_minute)
    return StoredBand(one.name.strip(), days, one.begin_minute, one.end_minute, *rates)


async def show_assignments(call: ApiCall) -> Assignments:
    """List where tariffs apply."""
    rows = await call.read(assignments.list_assignments)
    return Assignments(
        tuple(
            Assignment(
                one.assignment_id,
                one.tariff_name,
                one.account_group,
                one.station_group,
                one.charge_point_id,
                one.charge_point,
                one.connector_id,
            )
            for one in rows
        )
    )


_WHY = {
    "scope": "Say at least one of account_group_id, station_group_id and charge_point_id.",
    "connector_id": "A connector is one of a charge point: say which, in charge_point_id.",
    "charge_point_id": "Either a charge point or a group of charge points.",
    "tariff_name": "There is no tariff of this name.",
}
_PLACES = {
    "account_group_id": account_group,
    "station_group_id": models.station_group,
    "charge_point_id": models.charge_point,
}


async def assign(call: ApiCall, wanted: NewAssignment) -> Assignments:
    """Let a tariff apply somewhere; the answer is what applies then."""
    scope = assignments.Scope(
        wanted.account_group_id, wanted.station_group_id, wanted.charge_point_id, wanted.connector_id
    )

    def change(connection: Connection) -> None:
        for field, table in _PLACES.items():
            number = getattr(wanted, field)
            if (
                number is not None
                and connection.execute(select(table.c.id).where(table.c.id == number)).first() is None
            ):
                raise Problem("invalid", "There is nothing with this number.", field=field)
        wrong = assignments.assign(connection, wanted.tariff_name, scope, call.now)
        if wrong is not None:
            raise Problem("invalid", _WHY[wrong], field=None if wrong == "scope" else wrong)

    await call.write(change)
    return await show_assignments(call)


async def unassign(call: ApiCall) -> None:
    """Take an assignment away; what is assigned more widely applies then."""
    number = call.path_number("assignment_id")
    if not await call.write(lambda connection: assignments.remove_assignment(connection, number)):
        raise Problem("not-found", "There is no such assignment.")


_TAG = "tariffs"
ENDPOINTS = (
    Endpoint("GET", "/tariffs", show_list, "tariffs:read", "List tariffs", Tariffs, _TAG),
    Endpoint(
        "POST",
        "/tariffs",
        create,
        "tariffs:write",
        "Add a tariff or its next version",
        Tariff,
        _TAG,
        status=201,
        request=NewVersion,
        description=(
            "A version is never changed: the next one begins when it says. Every transaction keeps the version that "
            "applied at its start."
        ),
        example={"name": "Night", "rate_per_kwh": "0.29", "start_fee": "0.50", "tax_percent": "20"},
    ),
    Endpoint("GET", "/tariffs/{tariff_id:int}", show, "tariffs:read", "Show a version of a tariff", Tariff, _TAG),
    Endpoint(
        "GET",
        "/tariff-assignments",
        show_assignments,
        "tariffs:read",
        "List where tariffs apply",
        Assignments,
        _TAG,
    ),
    Endpoint(
        "POST",
        "/tariff-assignments",
        assign,
        "tariffs:write",
        "Let a tariff apply somewhere",
        Assignments,
        _TAG,
        request=NewAssignment,
        example={"tariff_name": "standard", "charge_point_id": 1},
        repeatable=True,
    ),
    Endpoint(
        "DELETE",
        "/tariff-assignments/{assignment_id:int}",
        unassign,
        "tariffs:write",
        "Take an assignment away",
        None,
        _TAG,
        status=204,
    ),
)
