"""Set-wise reads and writes of the security of the link: events, certificates, requests, what stations have.

Knows the tables; decides nothing. What people read is in `security_views`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Connection as Sql
from sqlalchemy import Table, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging.admission import REVOKED
from csms.charging.models import charge_point
from csms.charging.store import Writer
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of
from csms.operations import security_models as models
from csms.operations.certificates import (
    NAMED,
    REQUEST_IDS,
    REQUESTS,
    Asked,
    CertificateShown,
    CertificateTaken,
    Installed,
    InstalledReport,
    NewCertificate,
    RequestDecided,
    RequestMade,
    StoredRequest,
    Uninstalled,
)
from csms.operations.link_security import KeyTaken, RenewalAsked, UpgradeTaken
from csms.operations.security_events import EVENTS, RECENT, SecurityEvent

_event, _certificate, _request = models.security_event, models.certificate, models.certificate_request
_installed, _station = models.installed_certificate, models.station_security
_KNOWN_EVENTS = select(_event.c.natural_key).where(any_of(_event.c.natural_key, "keys"))
_RECENT_EVENTS = (
    select(_event.c.charge_point_id, func.count())
    .where(any_of(_event.c.charge_point_id, "keys"), _event.c.recorded_at > bindparam("since"))
    .group_by(_event.c.charge_point_id)
)
_REVOKED = select(_certificate.c.fingerprint).where(
    any_of(_certificate.c.fingerprint, "keys"), _certificate.c.revoked_at.is_not(None)
)
_REQUEST_STATES = select(_request.c.charge_point_id, _request.c.digest, _request.c.state).where(
    any_of(_request.c.digest, "keys")
)
_LATELY = (
    select(_request.c.charge_point_id, func.count())
    .where(any_of(_request.c.charge_point_id, "keys"), _request.c.requested_at > bindparam("since"))
    .group_by(_request.c.charge_point_id)
)
_NAMED = select(charge_point.c.id, charge_point.c.identity, charge_point.c.serial_number).where(
    or_(any_of(charge_point.c.identity, "keys"), any_of(charge_point.c.serial_number, "keys"))
)
_REQUESTS_BY_ID = (
    select(*(_request.c["id" if name == "request_id" else name] for name in StoredRequest.__struct_fields__))
    .where(any_of(_request.c.id, "keys"))
    .with_for_update()
)


def load(connection: Sql, names: Names, working_set: WorkingSet) -> None:
    """Bring what is known already of the events, certificates and requests that are named."""
    more = working_set.more
    if keys := names.more.get(EVENTS):
        more[EVENTS] = dict.fromkeys(connection.execute(_KNOWN_EVENTS, {"keys": sorted(keys)}).scalars(), True)
        since = min(at for _, at in names.more[RECENT])
        stations = {"keys": sorted({one for one, _ in names.more[RECENT]}), "since": since}
        more[RECENT] = {row[0]: row[1] for row in connection.execute(_RECENT_EVENTS, stations)}
    if keys := names.more.get("certificates"):
        more[REVOKED] = dict.fromkeys(connection.execute(_REVOKED, {"keys": sorted(keys)}).scalars(), True)
    if asked := names.more.get(REQUESTS):
        more[REQUESTS] = _asked(connection, asked)
        more[NAMED] = _named(connection, names.more[NAMED])
    if ids := names.more.get(REQUEST_IDS):
        rows = connection.execute(_REQUESTS_BY_ID, {"keys": sorted(ids)})
        more[REQUEST_IDS] = {row.id: StoredRequest(*row) for row in rows}


def _asked(connection: Sql, asked: set[tuple[int, str, datetime]]) -> dict[tuple[int, str], Asked]:
    rows = connection.execute(_REQUEST_STATES, {"keys": sorted({digest for _, digest, _ in asked})})
    states = {(row.charge_point_id, row.digest): row.state for row in rows}
    since = min(since for *_, since in asked)
    keys = {"keys": sorted({charge_point_id for charge_point_id, *_ in asked}), "since": since}
    lately = {row[0]: row[1] for row in connection.execute(_LATELY, keys)}
    return {
        (charge_point_id, digest): Asked(lately.get(charge_point_id, 0), states.get((charge_point_id, digest)))
        for charge_point_id, digest, _ in asked
    }


def _named(connection: Sql, common_names: set[str]) -> dict[str, set[int]]:
    """Return the charge points that a certificate with such a name would let in."""
    found: dict[str, set[int]] = {}
    for row in connection.execute(_NAMED, {"keys": sorted(common_names)}):
        for name in (row.identity, row.serial_number):
            found.setdefault(name, set()).add(row.id)
    return found


_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _put_new(table: Table, names: Sequence[str]) -> Many:
    return Many(lambda dialect: _INSERTS[dialect](table).on_conflict_do_nothing(), names)


def _upsert(table: Table, keys: Sequence[str], names: Sequence[str]) -> Many:
    def statement(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
        inserted = _INSERTS[dialect](table)
        changes = {name: inserted.excluded[name] for name in names if name not in keys}
        return inserted.on_conflict_do_update(index_elements=list(keys), set_=changes)

    return Many(statement, names)


_PUT_EVENT = _put_new(_event, [*SecurityEvent.__struct_fields__, "recorded_at"])
_PUT_CERTIFICATE = _put_new(_certificate, [*NewCertificate.__struct_fields__, "created_at"])
_PUT_REQUEST = _upsert(_request, ("charge_point_id", "digest"), RequestMade.__struct_fields__)
_DECIDE_REQUEST = Many(
    update(_request)
    .where(_request.c.id == bindparam("b_id"))
    .values(state="signed", fingerprint=bindparam("b_fingerprint"), decided_at=bindparam("b_at")),
    ["b_id", "b_fingerprint", "b_at"],
)
_TAKE = Many(
    update(_request)
    .where(_request.c.charge_point_id == bindparam("b_at"), _request.c.fingerprint == bindparam("b_fingerprint"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason")),
    ["b_at", "b_fingerprint", "b_state", "b_reason"],
)
_HASHES = ("hash_algorithm", "issuer_name_hash", "issuer_key_hash", "serial_number")
_INSTALLED_KEY = ("charge_point_id", "certificate_type", *_HASHES)
_PUT_INSTALLED = _upsert(_installed, _INSTALLED_KEY, [*_INSTALLED_KEY, "reported_at", "remark"])
_FORGET_INSTALLED = Many(
    delete(_installed).where(
        _installed.c.charge_point_id == bindparam("b_at"), _installed.c.certificate_type == bindparam("b_type")
    ),
    ["b_at", "b_type"],
)
_same_hashes = (
    _installed.c.charge_point_id == bindparam("b_at"),
    *(func.lower(_installed.c[name]) == func.lower(bindparam(f"b_{name}")) for name in _HASHES),
)
_BOUND_HASHES = ["b_at", *(f"b_{name}" for name in _HASHES)]
_DELETE_INSTALLED = Many(delete(_installed).where(*_same_hashes), _BOUND_HASHES)
_REMARK_INSTALLED = Many(
    update(_installed).where(*_same_hashes).values(remark=bindparam("b_remark")), [*_BOUND_HASHES, "b_remark"]
)
_hashes = attrgetter(*_HASHES)


def _row(fact: type[msgspec.Struct]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*fact.__struct_fields__)


def write_events(connection: Sql, events: Sequence[SecurityEvent], now: datetime) -> None:
    """Insert the events that are not there."""
    _PUT_EVENT.execute(connection, [(*_row(SecurityEvent)(one), now) for one in events])


def write_certificates(connection: Sql, certificates: Sequence[NewCertificate], now: datetime) -> None:
    """Insert the certificates that are not there."""
    _PUT_CERTIFICATE.execute(connection, [(*_row(NewCertificate)(one), now) for one in certificates])


def write_requests(connection: Sql, made: Sequence[RequestMade], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Insert requests, or store those anew that come again."""
    _PUT_REQUEST.execute(connection, map(_row(RequestMade), made))


def write_decisions(connection: Sql, decided: Sequence[RequestDecided], now: datetime) -> None:
    """Note which certificate a request became."""
    _DECIDE_REQUEST.execute(connection, [(one.request_id, one.fingerprint, now) for one in decided])


def write_taken(connection: Sql, taken: Sequence[CertificateTaken], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Note what stations answered to their certificates."""
    _TAKE.execute(connection, map(_row(CertificateTaken), taken))


def write_reports(connection: Sql, reports: Sequence[InstalledReport], now: datetime) -> None:
    """Replace what is known of the roots of a kind at a station."""
    for report in reports:
        key = (report.charge_point_id, report.certificate_type)
        _FORGET_INSTALLED.execute(connection, [key])
        rows = {_hashes(one): (*key, *_hashes(one), now, "") for one in report.certificates}
        _PUT_INSTALLED.execute(connection, rows.values())


def write_installed(connection: Sql, installed: Sequence[Installed], now: datetime) -> None:
    """Note roots that were taken."""
    rows = [
        (one.charge_point_id, one.certificate_type, *_hashes(one.certificate), now, one.remark) for one in installed
    ]
    _PUT_INSTALLED.execute(connection, rows)


def write_uninstalled(connection: Sql, told: Sequence[Uninstalled], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Forget roots that were deleted, and remark why others were not."""
    gone = [(one.charge_point_id, *_hashes(one.certificate)) for one in told if not one.remark]
    _DELETE_INSTALLED.execute(connection, gone)
    kept = [(one.charge_point_id, *_hashes(one.certificate), one.remark) for one in told if one.remark]
    _REMARK_INSTALLED.execute(connection, kept)


def _put_station(*names: str) -> Many:
    return _upsert(_station, ("charge_point_id",), ["charge_point_id", *names])


_SHOWN = _put_station(*CertificateShown.__struct_fields__[1:], "shown_at")
_KEY = _put_station("key_changed_at")
_UPGRADE = _put_station("upgrade_to", "upgrade_at")
_RENEWAL = _put_station("renewal_asked_at")


def write_shown(connection: Sql, shown: Sequence[CertificateShown], now: datetime) -> None:
    """Note the client certificates of connections."""
    latest = {one.charge_point_id: one for one in shown}
    _SHOWN.execute(connection, [(*_row(CertificateShown)(one), now) for _, one in sorted(latest.items())])


def write_keys(connection: Sql, taken: Sequence[KeyTaken], now: datetime) -> None:
    """Note since when stations have their key."""
    _KEY.execute(connection, [(key, now) for key in sorted({one.charge_point_id for one in taken})])


def write_upgrades(connection: Sql, upgrades: Sequence[UpgradeTaken], now: datetime) -> None:
    """Note which profile a station took."""
    latest = {one.charge_point_id: one for one in upgrades}
    _UPGRADE.execute(connection, [(key, one.security_profile, now) for key, one in sorted(latest.items())])


def write_renewals(connection: Sql, asked: Sequence[RenewalAsked], now: datetime) -> None:
    """Note when a station was asked for a new request."""
    _RENEWAL.execute(connection, [(key, now) for key in sorted({one.charge_point_id for one in asked})])


WRITERS: dict[type, Writer] = {
    SecurityEvent: write_events,
    NewCertificate: write_certificates,
    RequestMade: write_requests,
    RequestDecided: write_decisions,
    CertificateTaken: write_taken,
    InstalledReport: write_reports,
    Installed: write_installed,
    Uninstalled: write_uninstalled,
    CertificateShown: write_shown,
    KeyTaken: write_keys,
    UpgradeTaken: write_upgrades,
    RenewalAsked: write_renewals,
}


def add_certificate(connection: Sql, one: NewCertificate, now: datetime) -> bool:
    """Store a certificate that somebody brought in; False where it is here already."""
    found = connection.execute(select(_certificate.c.fingerprint).where(_certificate.c.fingerprint == one.fingerprint))
    if found.first() is not None:
        return False
    connection.execute(insert(_certificate), [{**msgspec.structs.asdict(one), "created_at": now}])
    return True


def remove_root(connection: Sql, fingerprint: str) -> bool:
    """Take a root out of the library; False where there is none. What stations have installed stays there."""
    statement = delete(_certificate).where(
        _certificate.c.fingerprint == fingerprint, _certificate.c.kind.like("% root")
    )
    return bool(connection.execute(statement).rowcount)


def add_event(connection: Sql, event: SecurityEvent, now: datetime) -> None:
    """Keep one event."""
    connection.execute(insert(_event).values({**msgspec.structs.asdict(event), "recorded_at": now}))


def revoke(connection: Sql, fingerprint: str, reason: str, revoked_by: str, now: datetime) -> bool:
    """Mark a certificate as revoked; False where it is unknown or was revoked before."""
    statement = (
        update(_certificate)
        .where(_certificate.c.fingerprint == fingerprint, _certificate.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=revoked_by[:100], revocation_reason=reason)
    )
    return bool(connection.execute(statement).rowcount)
