"""Certificates over the API: those of charge points, roots for them, requests and what became of them."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from csms.commands import certificate_acts
from csms.commands.certificate_acts import CertificateRefused
from csms.operations import security_views
from csms.operations.authority import REASONS
from csms.operations.certificates import LONGEST_CHAIN
from csms.operations.security_views import CertificateFilter, CertificateView
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem

ChargePointId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Pem = Annotated[str, msgspec.Meta(max_length=LONGEST_CHAIN, description="Certificates in PEM.")]
_EXAMPLE = """-----BEGIN CERTIFICATE-----
MIIBVjCB/aADAgECAgIP/zAKBggqhkjOPQQDAjApMRUwEwYDVQQDDAxFeGFtcGxl
IHJvb3QxEDAOBgNVBAoMB0V4YW1wbGUwIBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAx
MDEwMDAwMDBaMCkxFTATBgNVBAMMDEV4YW1wbGUgcm9vdDEQMA4GA1UECgwHRXhh
bXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJqNk2CiRPeowF6BsmPdc0BK
XTzlrDr/MeEhOjp4aJk+ccoVpcTmyRtSd3xBRrvatGQr9GDHvzBOy+2+5Qamfduj
EzARMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAP9tDv0318ce
4qxR/14p1A3s1hFYBdQ0WZDHlQhJIfAkAiBQ1qTup8BD4kd6PMMf3i9r5QXYm6g+
ZcmFx7Qzpmahgg==
-----END CERTIFICATE-----
"""  # a root of an authority that has no key


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that is kept here. `fingerprint` is the SHA-256 of its DER."""

    fingerprint: str
    kind: str
    charge_point_id: int | None
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


class CertificateQuery(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which certificates of the list."""

    kind: Literal["station", "central system root", "manufacturer root"] | None = None
    charge_point_id: ChargePointId | None = None
    ends_before: datetime | None = None


class NewRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A root to be kept for stations."""

    kind: Literal["central system root", "manufacturer root"]
    pem: Pem


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a certificate counts no more."""

    reason: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(REASONS)})] = REASONS[0]


class CertificateRequest(msgspec.Struct, frozen=True):
    """A request of a charge point for a certificate (CSR)."""

    id: int
    charge_point_id: int
    subject: str
    key_kind: str
    state: str
    reason: str
    requested_at: datetime
    decided_at: datetime | None
    csr: str


class RequestQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which requests; the latest first."""

    state: Literal["waiting", "refused", "signed", "installed", "not taken"] | None = None
    charge_point_id: ChargePointId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class CertificateRequests(msgspec.Struct, frozen=True):
    """Requests, the latest first."""

    items: tuple[CertificateRequest, ...]


class Chain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an authority outside signed: the certificate, then its intermediates."""

    chain: Pem


def _certificate(one: CertificateView) -> Certificate:
    return Certificate(**{name: getattr(one, name) for name in Certificate.__struct_fields__})


async def show_certificates(call: ApiCall, query: CertificateQuery) -> Page[Certificate]:
    """List certificates, those that end first at the beginning."""
    after = read_cursor(query.cursor, tuple[datetime, str])
    kinds = () if query.kind is None else (query.kind,)
    if query.ends_before is not None and query.ends_before.tzinfo is None:
        raise Problem("invalid", "Needs a zone, such as Z.", field="ends_before")
    wanted = CertificateFilter(kinds, query.charge_point_id, query.ends_before, after)
    rows = await call.read(lambda c: security_views.list_certificates(c, wanted, limit=query.limit + 1))
    return page_of(
        [_certificate(one) for one in rows], query.limit, lambda one: (one.not_after.isoformat(), one.fingerprint)
    )


async def show_certificate(call: ApiCall) -> Certificate:
    """Show one certificate."""
    fingerprint = call.path_text("fingerprint")
    row = await call.read(lambda c: security_views.find_certificate(c, fingerprint))
    return _certificate(found(row, "certificate"))


async def add_root(call: ApiCall, wanted: NewRoot) -> Certificate:
    """Keep a root, so that it can be installed at charge points."""
    try:
        root = certificate_acts.root_of(wanted.pem, wanted.kind, call.actor)
    except CertificateRefused as error:
        raise Problem("invalid", str(error), field="pem") from None
    try:
        await call.write(lambda c: certificate_acts.add_root(c, root, call.now))
    except CertificateRefused as error:
        raise Problem("conflict", str(error)) from None
    row = await call.read(lambda c: security_views.find_certificate(c, root.fingerprint))
    return _certificate(found(row, "certificate"))


async def revoke(call: ApiCall, query: Revocation) -> Certificate:
    """Revoke the certificate of a charge point."""
    fingerprint = call.path_text("fingerprint")
    found(await call.read(lambda c: security_views.find_certificate(c, fingerprint)), "certificate")
    try:
        await call.write(lambda c: certificate_acts.revoke(c, fingerprint, query.reason, call.actor, call.now))
    except CertificateRefused as error:
        raise Problem("refused", str(error)) from None
    await call.read(lambda c: certificate_acts.write_lists(c, call.portal.settings, call.now))
    return await show_certificate(call)


async def show_requests(call: ApiCall, query: RequestQuery) -> CertificateRequests:
    """List requests for certificates."""
    rows = await call.read(
        lambda c: security_views.list_requests(
            c, state=query.state or "", charge_point_id=query.charge_point_id, limit=query.limit
        )
    )
    return CertificateRequests(
        tuple(
            CertificateRequest(
                one.request_id,
                one.charge_point_id,
                one.subject,
                one.key_kind,
                one.state,
                one.reason,
                one.requested_at,
                one.decided_at,
                one.csr_pem,
            )
            for one in rows
        )
    )


async def bring_chain(call: ApiCall, wanted: Chain) -> Certificate:
    """Take what an authority outside signed, and send it to the charge point that asked."""
    try:
        issued = await call.read(lambda c: certificate_acts.answer_of(c, wanted.chain, call.actor, most=LONGEST_CHAIN))
    except CertificateRefused as error:
        raise Problem("invalid", str(error), field="chain") from None
    if not await call.submit(issued):
        raise Problem("refused", "The request was decided already.")
    row = await call.read(lambda c: security_views.find_certificate(c, issued.certificate.fingerprint))
    return _certificate(found(row, "certificate"))


_TAG = "security"
ENDPOINTS = (
    Endpoint(
        "GET",
        "/certificates",
        show_certificates,
        "security:read",
        "List certificates",
        Page[Certificate],
        _TAG,
        query=CertificateQuery,
    ),
    Endpoint(
        "GET",
        "/certificates/{fingerprint}",
        show_certificate,
        "security:read",
        "Show a certificate",
        Certificate,
        _TAG,
        problems=("not-found",),
    ),
    Endpoint(
        "POST",
        "/certificates",
        add_root,
        "security:write",
        "Keep a root for charge points",
        Certificate,
        _TAG,
        status=201,
        request=NewRoot,
        example={"kind": "manufacturer root", "pem": _EXAMPLE},
        problems=("conflict", "not-found"),
    ),
    Endpoint(
        "POST",
        "/certificates/{fingerprint}/revocation",
        revoke,
        "security:write",
        "Revoke a certificate",
        Certificate,
        _TAG,
        query=Revocation,
        problems=("not-found", "refused"),
    ),
    Endpoint(
        "GET",
        "/certificate-requests",
        show_requests,
        "security:read",
        "List requests for certificates",
        CertificateRequests,
        _TAG,
        query=RequestQuery,
    ),
    Endpoint(
        "POST",
        "/certificate-requests/chains",
        bring_chain,
        "security:write",
        "Bring in what an authority outside signed",
        Certificate,
        _TAG,
        request=Chain,
        example={"chain": _EXAMPLE},
        problems=("not-found", "refused"),
    ),
)
