"""The security of links: events of all stations; of one station its profile, key, certificate and roots.

Acts on stations only by queueing commands; what a station answers shows in its list of commands.
"""

from typing import Literal

import msgspec
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging import models
from csms.charging.stations import SecurityProfile
from csms.commands.requests import ask
from csms.operations import authority, security_views
from csms.operations.certificate_reading import HashData
from csms.operations.link_security import AskRenewal, SetProfile, rotate_key
from csms.operations.security_views import (
    USES,
    CertificateFilter,
    CertificateView,
    EventFilter,
    EventView,
    InstalledView,
    RequestView,
    StationSecurity,
)
from csms.web.forms import Form
from csms.web.texts import words
from csms.web.visit import PageOf, Visit

_SHOWN = 10
_PROFILES: dict[str, SecurityProfile] = {"0": 0, "1": 1, "2": 2, "3": 3}
_UPGRADES: tuple[Literal["1", "2", "3"], ...] = ("1", "2", "3")
_SOURCES = ("", "station", "central system")
_HASHES = HashData.__struct_fields__


class StationSecurityPage(msgspec.Struct, frozen=True):
    """All that the page of a station's security shows."""

    security: StationSecurity
    certificates: tuple[CertificateView, ...]
    requests: tuple[RequestView, ...]
    installed: tuple[InstalledView, ...]
    roots: tuple[CertificateView, ...]
    events: tuple[EventView, ...]


async def show_events(visit: Visit) -> Response:
    """List security events, the latest first."""
    search, kind = visit.query("station"), visit.query("type")
    source = visit.query("source") if visit.query("source") in _SOURCES else ""
    critical = visit.query("critical") == "yes"

    def load(connection: Connection) -> tuple[PageOf, list[EventView], list[str]]:
        number = _number_of(connection, search) if search else None
        wanted = EventFilter(number, kind, critical, source)
        page = visit.page_of(security_views.count_events(connection, wanted))
        found = security_views.list_events(connection, wanted, limit=page.size, offset=page.offset)
        return page, found, security_views.list_event_types(connection)

    page, events, kinds = await visit.read(load)
    shown = {"station": search, "type": kind, "source": source, "critical": "yes" if critical else ""}
    return visit.page("operations/security_events.html", pages=page, events=events, kinds=kinds, shown=shown)


def _number_of(connection: Connection, identity: str) -> int:
    """Return the number of a station; 0, which is none's, where there is none."""
    statement = select(models.charge_point.c.id).where(models.charge_point.c.identity == identity)
    return connection.execute(statement).scalar() or 0


async def show_station(visit: Visit) -> Response:
    """Show the security of a station."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    number = visit.path_number("charge_point_id")

    def load(connection: Connection) -> StationSecurityPage | None:
        security = security_views.find_station_security(connection, number)
        if security is None:
            return None
        own = CertificateFilter(charge_point_id=number)
        return StationSecurityPage(
            security,
            tuple(security_views.list_certificates(connection, own, limit=_SHOWN)),
            tuple(security_views.list_requests(connection, charge_point_id=number, limit=_SHOWN)),
            tuple(security_views.list_installed(connection, number)),
            tuple(security_views.list_roots(connection)),
            tuple(security_views.list_events(connection, EventFilter(number), limit=_SHOWN)),
        )

    page = await visit.read(load)
    if page is None:
        raise HTTPException(404, "There is no such station.")
    settings = visit.portal.settings
    return visit.page(
        "operations/station_security.html",
        status=status,
        page=page,
        one=page.security,
        form=form,
        tls_port=settings.ocpp_tls_port,
        has_authority=authority.exists(settings.authority_dir),
        cpo_name=settings.cpo_name,
        done=visit.query("done"),
    )


async def new_key(visit: Visit) -> Response:
    """Give a station a new key over its connection."""
    one = await _found(visit)
    await visit.portal.engine.submit(rotate_key(one.charge_point_id, visit.staff.actor))
    return _done(visit, one, "key")


async def renew(visit: Visit) -> Response:
    """Ask a station for a request for a new certificate."""
    one = await _found(visit)
    await visit.portal.engine.submit(AskRenewal(one.charge_point_id, visit.staff.actor))
    return _done(visit, one, "renew")


async def upgrade(visit: Visit) -> Response:
    """Tell a station to use a higher profile (A05)."""
    one = await _found(visit)
    form = Form(visit.fields)
    wanted = form.choice("upgrade_to", _UPGRADES)
    if form.valid and int(wanted) <= one.security_profile:
        form.refuse("upgrade_to", "The station uses this profile, or a higher one, already.")
    if not form.valid:
        return await _page(visit, form, status=422)
    payload = {"key": "SecurityProfile", "value": wanted}
    await visit.portal.engine.submit(ask(one.charge_point_id, "ChangeConfiguration", payload, visit.staff.actor))
    return _done(visit, one, "upgrade")


async def set_profile(visit: Visit) -> Response:
    """Say which profile a station has to reach from now on."""
    one = await _found(visit)
    form = Form(visit.fields)
    wanted = form.choice("profile", tuple(_PROFILES))
    reason = form.text("reason", longest=200, required=False)
    outcome = ""
    if form.valid:
        asked = SetProfile(one.charge_point_id, _PROFILES[wanted], reason, visit.staff.actor)
        outcome = await visit.portal.engine.submit(asked)
    if outcome:
        form.refuse("reason" if outcome == "reason missing" else "profile", words(f"profile: {outcome}"))
    if not form.valid:
        return await _page(visit, form, status=422)
    return _done(visit, one, "profile")


async def install(visit: Visit) -> Response:
    """Install a root of the library at a station (M05)."""
    one = await _found(visit)
    form = Form(visit.fields)
    root = await visit.read(lambda c: security_views.find_certificate(c, form.typed("root")))
    if root is None or root.kind not in USES:
        form.refuse("root", "Please choose one of these.")
        return await _page(visit, form, status=422)
    payload = {"certificateType": USES[root.kind], "certificate": root.pem}
    await visit.portal.engine.submit(ask(one.charge_point_id, "InstallCertificate", payload, visit.staff.actor))
    return _done(visit, one, "install")


async def ask_installed(visit: Visit) -> Response:
    """Ask a station which roots it has (M03)."""
    one = await _found(visit)
    for use in USES.values():
        payload = {"certificateType": use}
        asked = ask(one.charge_point_id, "GetInstalledCertificateIds", payload, visit.staff.actor)
        await visit.portal.engine.submit(asked)
    return _done(visit, one, "ask")


async def uninstall(visit: Visit) -> Response:
    """Delete a root at a station, named exactly as the station named it (M04)."""
    one = await _found(visit)
    form = Form(visit.fields)
    named = HashData(*(form.typed(name) for name in _HASHES))
    installed = await visit.read(lambda c: security_views.list_installed(c, one.charge_point_id))
    if named not in [each.hashes for each in installed]:
        return _done(visit, one, "gone")
    payload = {
        "certificateHashData": {
            "hashAlgorithm": named.hash_algorithm,
            "issuerNameHash": named.issuer_name_hash,
            "issuerKeyHash": named.issuer_key_hash,
            "serialNumber": named.serial_number,
        }
    }
    await visit.portal.engine.submit(ask(one.charge_point_id, "DeleteCertificate", payload, visit.staff.actor))
    return _done(visit, one, "delete")


async def _found(visit: Visit) -> StationSecurity:
    number = visit.path_number("charge_point_id")
    found = await visit.read(lambda connection: security_views.find_station_security(connection, number))
    if found is None:
        raise HTTPException(404, "There is no such station.")
    return found


def _done(visit: Visit, one: StationSecurity, what: str) -> Response:
    return visit.go(f"/stations/{one.charge_point_id}/security", done=what)
