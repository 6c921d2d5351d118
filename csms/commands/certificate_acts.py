"""What people do with certificates, the same from a page, the API and the command line: revoke, bring in, hand out.

Says what is wrong in a sentence. Knows tables, files of the built-in authority and the engine's inputs; no request.
"""

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from csms.config import Settings
from csms.errors import CsmsError
from csms.operations import authority, security_store, security_views
from csms.operations.authority import REASONS
from csms.operations.certificate_reading import certifies, read_certificates
from csms.operations.certificates import IssueCertificate, NewCertificate, record_of
from csms.operations.link_security import CERTIFICATE_REVOKED
from csms.operations.security_events import of_ours

LONGEST_ROOT = 5500  # characters (InstallCertificate.req)
_ENOUGH = 500  # requests that wait, at most


class CertificateRefused(CsmsError):  # noqa: N818 - an answer, not a mistake of the program
    """It cannot be done; the sentence says why."""


def revoke(
    connection: Connection, fingerprint: str, reason: str, revoked_by: str, now: datetime
) -> security_views.CertificateView:
    """Revoke a certificate of a station: it counts no more, on every node, and an open link is closed
    (`SecurityWork.watch`). `write_lists` is next.
    """
    if reason not in REASONS:
        raise CertificateRefused(f"The reason has to be one of: {', '.join(REASONS)}.")
    found = security_views.find_certificate(connection, fingerprint)
    if found is None:
        raise CertificateRefused(
            "There is no such certificate, or several begin like this. Give its fingerprint, or at least "
            f"{security_views.FEWEST_DIGITS} digits from its beginning."
        )
    if found.kind != "station":
        raise CertificateRefused("Only certificates of stations are revoked here.")
    if not security_store.revoke(connection, found.fingerprint, reason, revoked_by, now):
        raise CertificateRefused("It was revoked before.")
    if found.charge_point_id is not None:
        what = f"{found.serial_number} by {revoked_by}: {reason}"
        security_store.add_event(connection, of_ours(found.charge_point_id, CERTIFICATE_REVOKED, what, now), now)
    return found


def write_lists(connection: Connection, settings: Settings, now: datetime) -> tuple[Path, ...]:
    """Write the revocation lists of the built-in authority, where there is one, and return where they are."""
    if not authority.exists(settings.authority_dir):
        return ()
    signer = authority.load(settings.authority_dir, settings.ca_passphrase)
    return signer.write_lists(security_views.list_revoked(connection), now)


def root_of(pem: str, kind: str, added_by: str) -> NewCertificate:
    """Read a root that shall be installed at stations; `kind` is one of `security_views.ROOT_KINDS`."""
    if kind not in security_views.ROOT_KINDS:
        raise CertificateRefused(f"It has to be a {' or a '.join(security_views.ROOT_KINDS)}.")
    try:
        (root,) = read_certificates(pem)
    except ValueError:
        raise CertificateRefused("This is not one certificate in PEM.") from None
    if not root.is_authority:
        raise CertificateRefused("This certificate is not that of an authority.")
    if len(root.pem) > LONGEST_ROOT:
        raise CertificateRefused(f"It has more than {LONGEST_ROOT} characters, which no station takes.")
    return record_of(root, kind, None, added_by)


def add_root(connection: Connection, root: NewCertificate, now: datetime) -> None:
    """Keep a root for stations."""
    if not security_store.add_certificate(connection, root, now):
        raise CertificateRefused("This certificate is here already.")


def answer_of(connection: Connection, chain: str, issued_by: str, *, most: int) -> IssueCertificate:
    """Find the request that a chain from an authority outside answers; the certificate comes first in it."""
    try:
        parts = read_certificates(chain)
    except ValueError:
        raise CertificateRefused("This is no chain of certificates in PEM.") from None
    leaf = parts[0]
    for one in security_views.list_requests(connection, state="waiting", limit=_ENOUGH):
        if certifies(leaf.pem, one.csr_pem):
            longest = security_views.longest_chain(connection, one.charge_point_id, most)
            whole = "".join(each.pem for each in parts)
            if len(whole) > longest:
                raise CertificateRefused(f"The chain has {len(whole)} characters; the station takes {longest}.")
            return IssueCertificate(one.request_id, leaf, whole, issued_by)
    raise CertificateRefused("No request that waits is for the key of this certificate.")
