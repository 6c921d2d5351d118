"""Certificates: those of stations and of the server with their ends, requests that wait, roots, the built-in authority.

Files come as uploads. A key is never shown and never leaves its file.
"""

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from csms.commands import certificate_acts
from csms.commands.certificate_acts import CertificateRefused
from csms.operations import authority, security_views
from csms.operations.authority import REASONS
from csms.operations.certificates import LONGEST_CHAIN
from csms.operations.security_views import ROOT_KINDS, CertificateFilter, CertificateView, RequestView
from csms.web.forms import Form
from csms.web.visit import PageOf, Visit

_WAITING = 50
_KINDS = ("", "station", "server", *ROOT_KINDS)


class CertificatesPage(msgspec.Struct, frozen=True):
    """All that the page of certificates shows."""

    pages: PageOf
    certificates: tuple[CertificateView, ...]
    waiting: tuple[RequestView, ...]


async def show(visit: Visit) -> Response:
    """List certificates, those that end first at the beginning."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    kind = visit.query("kind") if visit.query("kind") in _KINDS else ""

    def load(connection: Connection) -> CertificatesPage:
        wanted = CertificateFilter(kinds=(kind,) if kind else ())
        pages = visit.page_of(security_views.count_certificates(connection, wanted))
        found = security_views.list_certificates(connection, wanted, limit=pages.size, offset=pages.offset)
        waiting = security_views.list_requests(connection, state="waiting", limit=_WAITING)
        return CertificatesPage(pages, tuple(found), tuple(waiting))

    page = await visit.read(load)
    settings = visit.portal.settings
    return visit.page(
        "administration/certificates.html",
        status=status,
        page=page,
        kind=kind,
        kinds=_KINDS,
        form=form,
        reasons=REASONS,
        has_authority=authority.exists(settings.authority_dir),
        settings=settings,
        done=visit.query("done"),
    )


async def download(visit: Visit) -> Response:
    """Hand a certificate out as a PEM file."""
    fingerprint = str(visit.request.path_params["fingerprint"])
    found = await visit.read(lambda connection: security_views.find_certificate(connection, fingerprint))
    if found is None:
        raise HTTPException(404, "There is no such certificate.")
    name = f"{found.kind.replace(' ', '-')}-{found.fingerprint[:16]}.pem"
    return PlainTextResponse(found.pem, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def download_request(visit: Visit) -> Response:
    """Hand a request out, to be signed by an authority outside."""
    number = visit.path_number("request_id")
    waiting = await visit.read(lambda c: security_views.list_requests(c, state="waiting", limit=1000))
    found = next((one for one in waiting if one.request_id == number), None)
    if found is None:
        raise HTTPException(404, "There is no such request, or it was decided already.")
    headers = {"Content-Disposition": f'attachment; filename="request-{number}.csr"'}
    return PlainTextResponse(found.csr_pem, headers=headers)


async def bring_chain(visit: Visit) -> Response:
    """Take what an authority outside signed, and send it to the station that asked."""
    form = Form(visit.fields)
    chain = visit.file.decode("ascii", errors="replace")
    try:
        issued = await visit.read(lambda c: certificate_acts.answer_of(c, chain, visit.staff.actor, most=LONGEST_CHAIN))
    except CertificateRefused as error:
        form.refuse("chain", str(error))
        return await _page(visit, form, status=422)
    taken = await visit.portal.engine.submit(issued)
    return visit.go("/certificates", done="chain" if taken else "decided")


async def add_root(visit: Visit) -> Response:
    """Keep a root that can be installed at stations."""
    form = Form(visit.fields)
    kind = form.choice("kind", ROOT_KINDS)
    try:
        root = certificate_acts.root_of(visit.file.decode("ascii", errors="replace"), kind, visit.staff.actor)
        if form.valid:
            await visit.write(lambda connection: certificate_acts.add_root(connection, root, visit.now))
    except CertificateRefused as error:
        form.refuse("root", str(error))
    if not form.valid:
        return await _page(visit, form, status=422)
    return visit.go("/certificates", done="root")


async def revoke(visit: Visit) -> Response:
    """Revoke the certificate of a station."""
    form = Form(visit.fields)
    fingerprint, reason = str(visit.request.path_params["fingerprint"]), form.choice("reason", REASONS)
    try:
        if form.valid:
            await visit.write(lambda c: certificate_acts.revoke(c, fingerprint, reason, visit.staff.actor, visit.now))
            await visit.read(lambda c: certificate_acts.write_lists(c, visit.portal.settings, visit.now))
    except CertificateRefused as error:
        form.refuse("revoke", str(error))
    if not form.valid:
        return await _page(visit, form, status=422)
    return visit.go("/certificates", done="revoked")
