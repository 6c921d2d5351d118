"""Security of the link over the API: events, certificates, requests, what stations have installed, keys, profiles."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from csms.charging.stations import SecurityProfile
from csms.operations import security_views
from csms.operations.link_security import SetProfile, rotate_key
from csms.operations.security_views import (
    EventFilter,
    StationSecurity,
)
from csms.web.api import commands
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem

ChargePointId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class SecurityEvent(msgspec.Struct, frozen=True):
    """Something that happened to the security of a charge point, as it said or as it was noted here."""

    id: int
    charge_point_id: int
    source: str
    type: str
    is_critical: bool
    happened_at: datetime
    recorded_at: datetime
    tech_info: str
    flags: str


class SecurityEventFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events of the list."""

    charge_point_id: ChargePointId | None = None
    type: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    critical: bool = False
    source: Literal["station", "central system"] | None = None


class InstalledCertificate(msgspec.Struct, frozen=True):
    """A root that a charge point has, as it reported it; `subject` where it is one that is kept here."""

    certificate_type: str
    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str
    reported_at: datetime
    remark: str
    subject: str | None


class InstalledCertificates(msgspec.Struct, frozen=True):
    """Every root that a charge point has."""

    items: tuple[InstalledCertificate, ...]


class NewProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The security profile that a charge point has to reach; a lower one takes a reason."""

    security_profile: SecurityProfile
    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class KeyRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long to wait for the answer of the charge point."""

    wait_s: commands.WaitSeconds = 10


async def show_events(call: ApiCall, query: SecurityEventFilter) -> Page[SecurityEvent]:
    """List events, the latest first."""
    after = read_cursor(query.cursor, tuple[int])
    wanted = EventFilter(
        query.charge_point_id, query.type or "", query.critical, query.source or "", None if after is None else after[0]
    )
    rows = await call.read(lambda c: security_views.list_events(c, wanted, limit=query.limit + 1))
    items = [
        SecurityEvent(
            one.event_id,
            one.charge_point_id,
            one.source,
            one.type,
            one.is_critical,
            one.happened_at,
            one.recorded_at,
            one.tech_info,
            one.flags,
        )
        for one in rows
    ]
    return page_of(items, query.limit, lambda one: (one.id,))


async def show_installed(call: ApiCall) -> InstalledCertificates:
    """List the roots that a charge point has, as it reported."""
    number = call.path_number("charge_point_id")
    found(await call.read(lambda c: security_views.find_station_security(c, number)), "charge point")
    rows = await call.read(lambda c: security_views.list_installed(c, number))
    return InstalledCertificates(
        tuple(
            InstalledCertificate(
                one.certificate_type,
                one.hashes.hash_algorithm,
                one.hashes.issuer_name_hash,
                one.hashes.issuer_key_hash,
                one.hashes.serial_number,
                one.reported_at,
                one.remark,
                one.subject,
            )
            for one in rows
        )
    )


async def show_station(call: ApiCall) -> StationSecurity:
    """Show the security of a charge point."""
    number = call.path_number("charge_point_id")
    return found(await call.read(lambda c: security_views.find_station_security(c, number)), "charge point")


async def set_profile(call: ApiCall, wanted: NewProfile) -> StationSecurity:
    """Say which security profile a charge point has to reach."""
    number = call.path_number("charge_point_id")
    outcome: str = await call.submit(SetProfile(number, wanted.security_profile, wanted.reason, call.actor))
    if outcome == "unknown station":
        raise Problem("not-found", "There is no such charge point.")
    if outcome == "reason missing":
        raise Problem("invalid", "A lower profile takes a reason.", field="reason")
    if outcome == "no key":
        raise Problem("refused", "It has no key yet.", reason="no key")
    return await show_station(call)


async def change_key(call: ApiCall, wanted: KeyRotation) -> Answer:
    """Give a charge point a new key over its connection; nobody ever sees it."""
    number = call.path_number("charge_point_id")
    found(await call.read(lambda c: security_views.find_station_security(c, number)), "charge point")
    command = await call.submit(rotate_key(number, call.actor))
    return await commands.answered(call, command.command_id, wanted.wait_s)


_OF_STATION = "/charge-points/{charge_point_id:int}"
_TAG = "security"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/security-events",
        show_events,
        "security:read",
        "List security events",
        Page[SecurityEvent],
        _TAG,
        query=SecurityEventFilter,
    ),
    Endpoint(
        "GET",
        f"{_OF_STATION}/installed-certificates",
        show_installed,
        "security:read",
        "List the roots that a charge point has",
        InstalledCertificates,
        _TAG,
        problems=("not-found",),
    ),
    Endpoint(
        "GET",
        f"{_OF_STATION}/security",
        show_station,
        "security:read",
        "Show the security of a charge point",
        StationSecurity,
        _TAG,
        problems=("not-found",),
    ),
    Endpoint(
        "PUT",
        f"{_OF_STATION}/security-profile",
        set_profile,
        "security:write",
        "Set the security profile that a charge point has to reach",
        StationSecurity,
        _TAG,
        request=NewProfile,
        example={"security_profile": 0, "reason": "an example"},
        problems=("not-found", "refused"),
    ),
    Endpoint(
        "POST",
        f"{_OF_STATION}/key-rotation",
        change_key,
        "security:write",
        "Give a charge point a new key",
        commands.CommandRow,
        _TAG,
        request=KeyRotation,
        more={202: "The charge point has not answered yet."},
        example={"wait_s": 0},
        problems=("not-found",),
    ),
)
