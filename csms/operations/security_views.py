"""What people and the periodic work read of the security of the link: events, certificates, requests, stations' roots.

Reads only; every list has a limit.
"""

from datetime import datetime
from string import hexdigits

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from csms.charging.models import charge_point, station_setting
from csms.db import as_fact
from csms.operations import security_models as models
from csms.operations.authority import Revoked
from csms.operations.certificate_reading import CertificateFacts, HashData, matching, read_certificates

_cp, _event, _certificate = charge_point.c, models.security_event.c, models.certificate.c
_request, _installed, _station = models.certificate_request.c, models.installed_certificate.c, models.station_security.c

FEWEST_DIGITS = 8
"""So many hexadecimal digits of a fingerprint name a certificate at least; tables show 16."""


class EventView(msgspec.Struct, frozen=True):
    """A security event."""

    event_id: int
    charge_point_id: int
    charge_point: str
    source: str
    type: str
    is_critical: bool
    happened_at: datetime
    recorded_at: datetime
    tech_info: str
    flags: str


class CertificateView(msgspec.Struct, frozen=True):
    """A certificate that is kept here; `charge_point` is None where it belongs to no station."""

    fingerprint: str
    kind: str
    charge_point_id: int | None
    charge_point: str | None
    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    key_kind: str
    pem: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
    revocation_reason: str | None


class RequestView(msgspec.Struct, frozen=True):
    """A request of a station for a certificate."""

    request_id: int
    charge_point_id: int
    charge_point: str
    subject: str
    key_kind: str
    state: str
    reason: str
    requested_at: datetime
    decided_at: datetime | None
    csr_pem: str


class InstalledView(msgspec.Struct, frozen=True):
    """A root that a station has; `subject` is None where it is none of ours."""

    certificate_type: str
    hashes: HashData
    reported_at: datetime
    remark: str
    subject: str | None = None


class StationSecurity(msgspec.Struct, frozen=True):
    """What is known of the security of one station."""

    charge_point_id: int
    identity: str
    security_profile: int
    has_key: bool
    key_on_its_way: bool
    key_changed_at: datetime | None
    upgrade_to: int | None
    upgrade_at: datetime | None
    renewal_asked_at: datetime | None
    shown_fingerprint: str | None
    shown_subject: str | None
    shown_not_after: datetime | None
    shown_at: datetime | None


_EVENTS = select(
    _event.id,
    _event.charge_point_id,
    _cp.identity,
    _event.source,
    _event.type,
    _event.is_critical,
    _event.happened_at,
    _event.recorded_at,
    _event.tech_info,
    _event.flags,
).select_from(models.security_event.join(charge_point, _cp.id == _event.charge_point_id))
_CERTIFICATES = select(
    _certificate.fingerprint,
    _certificate.kind,
    _certificate.charge_point_id,
    _cp.identity,
    _certificate.subject,
    _certificate.issuer,
    _certificate.serial_number,
    _certificate.not_before,
    _certificate.not_after,
    _certificate.key_kind,
    _certificate.pem,
    _certificate.created_at,
    _certificate.created_by,
    _certificate.revoked_at,
    _certificate.revocation_reason,
).select_from(models.certificate.outerjoin(charge_point, _cp.id == _certificate.charge_point_id))
_REQUESTS = select(
    _request.id,
    _request.charge_point_id,
    _cp.identity,
    _request.subject,
    _request.key_kind,
    _request.state,
    _request.reason,
    _request.requested_at,
    _request.decided_at,
    _request.csr_pem,
).select_from(models.certificate_request.join(charge_point, _cp.id == _request.charge_point_id))


class EventFilter(msgspec.Struct, frozen=True):
    """Which events are wanted; what is not given does not matter. `before_id` begins a page."""

    charge_point_id: int | None = None
    type: str = ""
    critical_only: bool = False
    source: str = ""
    before_id: int | None = None


def list_events(connection: Connection, wanted: EventFilter, *, limit: int, offset: int = 0) -> list[EventView]:
    """Return events, the latest first."""
    statement = _EVENTS.where(_of_events(wanted)).order_by(_event.id.desc()).limit(limit).offset(offset)
    return [as_fact(EventView, row) for row in connection.execute(statement)]


def count_events(connection: Connection, wanted: EventFilter) -> int:
    """Return how many events `list_events` would list in all."""
    statement = select(func.count()).select_from(models.security_event).where(_of_events(wanted))
    return connection.execute(statement).scalar_one()


def list_event_types(connection: Connection, *, limit: int = 100) -> list[str]:
    """Return the types of events that there were."""
    return list(connection.execute(select(_event.type).distinct().order_by(_event.type).limit(limit)).scalars())


def _of_events(wanted: EventFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_event.id > 0]
    if wanted.charge_point_id is not None:
        conditions.append(_event.charge_point_id == wanted.charge_point_id)
    if wanted.type:
        conditions.append(func.lower(_event.type) == wanted.type.lower())
    if wanted.critical_only:
        conditions.append(_event.is_critical)
    if wanted.source:
        conditions.append(_event.source == wanted.source)
    if wanted.before_id is not None:
        conditions.append(_event.id < wanted.before_id)
    return and_(*conditions)


class CertificateFilter(msgspec.Struct, frozen=True):
    """Which certificates are wanted. `after` (an end and a fingerprint) begins a page."""

    kinds: tuple[str, ...] = ()
    charge_point_id: int | None = None
    ends_before: datetime | None = None
    after: tuple[datetime, str] | None = None


def list_certificates(
    connection: Connection, wanted: CertificateFilter, *, limit: int, offset: int = 0
) -> list[CertificateView]:
    """Return certificates, those that end first at the beginning."""
    statement = _CERTIFICATES.where(_of_certificates(wanted)).order_by(_certificate.not_after, _certificate.fingerprint)
    return [as_fact(CertificateView, row) for row in connection.execute(statement.limit(limit).offset(offset))]


def count_certificates(connection: Connection, wanted: CertificateFilter) -> int:
    """Return how many certificates `list_certificates` would list in all."""
    statement = select(func.count()).select_from(models.certificate).where(_of_certificates(wanted))
    return connection.execute(statement).scalar_one()


def _of_certificates(wanted: CertificateFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_certificate.fingerprint != ""]
    if wanted.kinds:
        conditions.append(_certificate.kind.in_(wanted.kinds))
    if wanted.charge_point_id is not None:
        conditions.append(_certificate.charge_point_id == wanted.charge_point_id)
    if wanted.ends_before is not None:
        conditions.append(and_(_certificate.not_after < wanted.ends_before, _certificate.revoked_at.is_(None)))
    if wanted.after is not None:
        at, fingerprint = wanted.after
        later = and_(_certificate.not_after == at, _certificate.fingerprint > fingerprint)
        conditions.append(or_(_certificate.not_after > at, later))
    return and_(*conditions)


def find_certificate(connection: Connection, fingerprint: str) -> CertificateView | None:
    """Return a certificate by its fingerprint or the beginning of it that names one alone, or None.

    A beginning of fewer than `FEWEST_DIGITS` names none: a slip of the hand would revoke whatever begins with it.
    """
    prefix = fingerprint.lower().replace(":", "")
    if len(prefix) < FEWEST_DIGITS or not set(prefix) <= set(hexdigits):
        return None
    rows = connection.execute(_CERTIFICATES.where(_certificate.fingerprint.like(f"{prefix}%")).limit(2)).all()
    return as_fact(CertificateView, rows[0]) if len(rows) == 1 else None


def list_requests(
    connection: Connection, *, state: str = "", charge_point_id: int | None = None, limit: int
) -> list[RequestView]:
    """Return requests for certificates, the latest first."""
    conditions: list[ColumnElement[bool]] = [_request.id > 0]
    if state:
        conditions.append(_request.state == state)
    if charge_point_id is not None:
        conditions.append(_request.charge_point_id == charge_point_id)
    statement = _REQUESTS.where(*conditions).order_by(_request.requested_at.desc(), _request.id.desc()).limit(limit)
    return [as_fact(RequestView, row) for row in connection.execute(statement)]


def list_roots(connection: Connection, *, limit: int = 100) -> list[CertificateView]:
    """Return the roots that can be installed at stations."""
    return list_certificates(connection, CertificateFilter(kinds=ROOT_KINDS), limit=limit)


ROOT_KINDS = ("central system root", "manufacturer root")
USES = {"central system root": "CentralSystemRootCertificate", "manufacturer root": "ManufacturerRootCertificate"}


def list_installed(connection: Connection, charge_point_id: int) -> list[InstalledView]:
    """Return the roots that a station has, with the names of those that are known here."""
    known = known_roots(connection)
    statement = (
        select(models.installed_certificate)
        .where(_installed.charge_point_id == charge_point_id)
        .order_by(_installed.certificate_type, _installed.serial_number, _installed.hash_algorithm)
    )
    found = []
    for row in connection.execute(statement):
        hashes = HashData(row.hash_algorithm, row.issuer_name_hash, row.issuer_key_hash, row.serial_number)
        same = matching(hashes, known)
        subject = None if same is None else same.subject
        found.append(InstalledView(row.certificate_type, hashes, row.reported_at, row.remark, subject))
    return found


def known_roots(connection: Connection) -> tuple[CertificateFacts, ...]:
    """Return the roots of the library, read."""
    return tuple(read_certificates(one.pem)[0] for one in list_roots(connection))


def find_station_security(connection: Connection, charge_point_id: int) -> StationSecurity | None:
    """Return what is known of the security of a station, or None where there is none."""
    statement = (
        select(
            _cp.id,
            _cp.identity,
            _cp.security_profile,
            _cp.key_hash.is_not(None),
            _cp.new_key_hash.is_not(None),
            _station.key_changed_at,
            _station.upgrade_to,
            _station.upgrade_at,
            _station.renewal_asked_at,
            _station.shown_fingerprint,
            _station.shown_subject,
            _station.shown_not_after,
            _station.shown_at,
        )
        .select_from(charge_point.outerjoin(models.station_security, _station.charge_point_id == _cp.id))
        .where(_cp.id == charge_point_id)
    )
    row = connection.execute(statement).first()
    return None if row is None else as_fact(StationSecurity, row)


def list_revoked(connection: Connection) -> list[Revoked]:
    """Return what belongs into revocation lists."""
    statement = select(
        _certificate.issuer, _certificate.serial_number, _certificate.revoked_at, _certificate.revocation_reason
    ).where(_certificate.revoked_at.is_not(None))
    return [as_fact(Revoked, row) for row in connection.execute(statement)]


def longest_chain(connection: Connection, charge_point_id: int, most: int) -> int:
    """Return how many characters a chain for a station may have: `most`, or less where it says so itself."""
    statement = select(station_setting.c.reported_value).where(
        station_setting.c.charge_point_id == charge_point_id,
        func.lower(station_setting.c.key).in_(("certificatesignedmaxchainsize", "certificatesignedmaxchain")),
    )
    values = [value for value in connection.execute(statement).scalars() if value]
    told = [int(value) for value in values if value.isascii() and value.isdigit()]
    return min([most, *(one for one in told if one > 0)])
