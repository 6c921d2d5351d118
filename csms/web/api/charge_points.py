"""Charge points over the API: listed, shown, created (an unknown one is adopted so), changed, given a new key."""

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from csms.billing.models import tariff
from csms.charging import models, overview
from csms.charging.facts import Registration
from csms.charging.stations import AddChargePoint, ChangeKey, hash_key
from csms.web.api.charge_point_views import ChargePoint, Place, find_charge_point, find_place, list_charge_points
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id, Search

_KEY_BYTES = 20  # the most that OCPP allows (Security Whitepaper, A00.FR.205)
_SALT_BYTES = 16

Identity = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=255,
        pattern=r"^[^\s:][^:\u0000-\u001f]*$",
        description="As it stands at the end of the address at which the charge point connects.",
        examples=["CP-0042"],
    ),
]
Profile = Annotated[
    Literal[0, 1, 2, 3],
    msgspec.Meta(description="Security profile: 0 nothing, 1 password, 2 TLS and password, 3 TLS and certificate."),
]
Power = Annotated[int, msgspec.Meta(ge=1, le=2_000_000, description="Of its strongest connector, in W.")]


class NewChargePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A charge point that may connect from now on."""

    identity: Identity
    security_profile: Profile = 1
    site_id: Id | None = None
    group_id: Id | None = None
    tariff_id: Id | None = None
    max_power_w: Power | None = None


class ChargePointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changes; what is not named stays. Null takes a charge point out of its site, group, or own tariff."""

    site_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    group_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    tariff_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    max_power_w: Power | msgspec.UnsetType | None = msgspec.UNSET


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the charge point proves from now on who it is."""

    security_profile: Profile = 1


class Keyed(msgspec.Struct, frozen=True):
    """A charge point and its new password, in hex: shown here, once. Null where its profile has none."""

    charge_point: ChargePoint
    authorization_key: str | None


class UnknownChargePoint(msgspec.Struct, frozen=True):
    """An identity that asked to connect and is not known."""

    identity: str
    address: str
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime


class UnknownChargePoints(msgspec.Struct, frozen=True):
    """The latest of them first."""

    items: tuple[UnknownChargePoint, ...]


class ChargePointFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which charge points of the list."""

    search: Search | None = None
    connected: bool | None = None
    registration: Registration | None = None
    site_id: Id | None = None
    group_id: Id | None = None


async def show_list(call: ApiCall, query: ChargePointFilter) -> Page[ChargePoint]:
    """List charge points by their number."""
    after = read_cursor(query.cursor, tuple[int])
    wanted = {
        "search": query.search,
        "connected": query.connected,
        "registration": query.registration,
        "site_id": query.site_id,
        "group_id": query.group_id,
    }
    rows = await call.read(
        lambda connection: list_charge_points(connection, wanted, after=after[0] if after else 0, limit=query.limit + 1)
    )
    return page_of(rows, query.limit, lambda row: (row.id,))


async def show(call: ApiCall) -> ChargePoint:
    """Show one charge point."""
    return await _shown(call, call.path_number("charge_point_id"))


async def _shown(call: ApiCall, charge_point_id: int) -> ChargePoint:
    return found(await call.read(lambda connection: find_charge_point(connection, charge_point_id)), "charge point")


async def show_place(call: ApiCall) -> Place:
    """Show what happens at a charge point now."""
    charge_point_id, currency = call.path_number("charge_point_id"), call.portal.currency
    return found(
        await call.read(lambda connection: find_place(connection, charge_point_id, currency)),
        "charge point",
    )


async def create(call: ApiCall, wanted: NewChargePoint) -> Answer:
    """Create a charge point and show its password, once."""
    await call.read(lambda connection: _check_places(connection, wanted))
    key, salt, digest = _new_key(wanted.security_profile)
    number = await call.submit(AddChargePoint(wanted.identity, wanted.security_profile, salt, digest))
    if number is None:
        raise Problem("conflict", "There is a charge point with this identity already.", field="identity")
    values = {name: getattr(wanted, name) for name in ChargePointChange.__struct_fields__}
    await call.write(lambda connection: _change(connection, number, values))
    body = Keyed(await _shown(call, number), key)
    return Answer(body, headers={"Location": f"/api/v1/charge-points/{number}"})


async def change(call: ApiCall, wanted: ChargePointChange) -> ChargePoint:
    """Change where a charge point stands, its group, its own tariff, its power."""
    charge_point_id = call.path_number("charge_point_id")
    await _shown(call, charge_point_id)
    await call.read(lambda connection: _check_places(connection, wanted))
    values = {
        name: value
        for name in ChargePointChange.__struct_fields__
        if (value := getattr(wanted, name)) is not msgspec.UNSET
    }
    await call.write(lambda connection: _change(connection, charge_point_id, values))
    return await _shown(call, charge_point_id)


async def new_key(call: ApiCall, wanted: NewKey) -> Keyed:
    """Give a charge point a new password and show it, once; the old one stops working at the next connection."""
    one = await _shown(call, call.path_number("charge_point_id"))
    key, salt, digest = _new_key(wanted.security_profile)
    await call.submit(ChangeKey(one.identity, wanted.security_profile, salt, digest))
    return Keyed(await _shown(call, one.id), key)


async def show_unknown(call: ApiCall) -> UnknownChargePoints:
    """List identities that asked to connect and are not known."""
    rows = await call.read(lambda connection: overview.list_unknown_stations(connection, limit=200))
    items = (UnknownChargePoint(*(getattr(one, name) for name in one.__struct_fields__)) for one in rows)
    return UnknownChargePoints(tuple(items))


def _new_key(profile: int) -> tuple[str | None, str | None, str | None]:
    """Make a key where the profile has one: the key in hex, the salt, the digest."""
    if profile not in {1, 2}:
        return None, None, None
    key, salt = secrets.token_bytes(_KEY_BYTES), secrets.token_hex(_SALT_BYTES)
    return key.hex(), salt, hash_key(key, salt)


def _change(connection: Connection, charge_point_id: int, values: dict[str, Any]) -> None:
    if not values:
        return
    statement = update(models.charge_point).where(models.charge_point.c.id == charge_point_id)
    try:
        connection.execute(statement.values(values))
    except IntegrityError:
        raise Problem("conflict", "The site, group or tariff does not exist any more.") from None


def _check_places(connection: Connection, wanted: NewChargePoint | ChargePointChange) -> None:
    """Find that site, group and tariff exist; `Problem` names the one that does not."""
    for field, table in _PLACES.items():
        value = getattr(wanted, field)
        if isinstance(value, int) and connection.execute(select(table.c.id).where(table.c.id == value)).first() is None:
            raise Problem("invalid", "There is nothing with this number.", field=field)


_PLACES = {"site_id": models.site, "group_id": models.station_group, "tariff_id": tariff}

_TAG = "charge points"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/charge-points",
        show_list,
        "charge-points:read",
        "List charge points",
        Page[ChargePoint],
        _TAG,
        query=ChargePointFilter,
        description="`search` looks for a part of identity, vendor or model.",
    ),
    Endpoint(
        "POST",
        "/charge-points",
        create,
        "charge-points:write",
        "Create a charge point",
        Keyed,
        _TAG,
        status=201,
        request=NewChargePoint,
        description=(
            "An unknown charge point is adopted by creating it under the identity with which it tried to connect. "
            "Its password is in this answer and nowhere else."
        ),
        example={"identity": "CP-0042", "security_profile": 1, "max_power_w": 22000},
        problems=("conflict",),
    ),
    Endpoint(
        "GET",
        "/charge-points/{charge_point_id:int}",
        show,
        "charge-points:read",
        "Show a charge point",
        ChargePoint,
        _TAG,
    ),
    Endpoint(
        "PATCH",
        "/charge-points/{charge_point_id:int}",
        change,
        "charge-points:write",
        "Change a charge point",
        ChargePoint,
        _TAG,
        request=ChargePointChange,
        example={"max_power_w": 50000},
        problems=("conflict",),
        repeatable=True,
    ),
    Endpoint(
        "GET",
        "/charge-points/{charge_point_id:int}/state",
        show_place,
        "charge-points:read",
        "Show what happens at a charge point now",
        Place,
        _TAG,
        description="Its connection, its connectors, and the transactions that run.",
    ),
    Endpoint(
        "POST",
        "/charge-points/{charge_point_id:int}/key",
        new_key,
        "charge-points:write",
        "Give a charge point a new password",
        Keyed,
        _TAG,
        request=NewKey,
        description="The old one stops working at the next connection. The new one is in this answer and nowhere else.",
        example={"security_profile": 1},
    ),
    Endpoint(
        "GET",
        "/unknown-charge-points",
        show_unknown,
        "charge-points:read",
        "List unknown charge points",
        UnknownChargePoints,
        _TAG,
        description="Identities that asked to connect and are not known, the latest first, at most 200.",
    ),
)
