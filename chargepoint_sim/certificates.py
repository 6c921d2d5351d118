"""The certificates a station trusts, and the checks of those it is shown (OCPP 1.6 Security Whitepaper, edition 3, 4).

Root certificates are installed, listed and deleted by their hash data; chains are checked against them. Pure: the
caller gives the moment. Knows no file and no connection.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from chargepoint_sim.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

CENTRAL_SYSTEM, MANUFACTURER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"
ALGORITHMS: dict[str, hashes.HashAlgorithm] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}


class HashData(msgspec.Struct, frozen=True):
    """What a certificate is named by (CertificateHashDataType): hex texts."""

    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str

    def same_as(self, other: HashData) -> bool:
        """Whether both name one certificate; hex digits have no case, and a number may have zeros in front."""
        return self._plain() == other._plain()

    def _plain(self) -> tuple[str, str, str, str]:
        number = self.serial_number.lower().lstrip("0")
        return (self.hash_algorithm, self.issuer_name_hash.lower(), self.issuer_key_hash.lower(), number)


class Installed(msgspec.Struct, frozen=True):
    """A root certificate and what it is trusted for."""

    use: str
    pem: str


def read_chain(pem: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, in their order. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        message = f"it is no certificate in PEM: {error}"
        raise CertificateError(message) from error


def hash_data(certificate: x509.Certificate, issuer: x509.Certificate, algorithm: str) -> HashData:
    """The hash data of a certificate, computed as OCSP does (RFC 6960, 4.1.1)."""
    request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, ALGORITHMS[algorithm]).build()
    return HashData(
        algorithm, request.issuer_name_hash.hex(), request.issuer_key_hash.hex(), f"{request.serial_number:x}"
    )


def check_dates(certificate: x509.Certificate, now: datetime) -> None:
    """Raise CertificateError outside the validity of a certificate."""
    name = certificate.subject.rfc4514_string()
    if now < certificate.not_valid_before_utc:
        message = f"the certificate of {name} is not valid yet"
        raise CertificateError(message)
    if now > certificate.not_valid_after_utc:
        message = f"the certificate of {name} has expired"
        raise CertificateError(message)


def check_root(certificate: x509.Certificate, now: datetime) -> None:
    """Raise CertificateError unless a certificate may sign others and is valid now."""
    check_dates(certificate, now)
    try:
        authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = issued_by(certificate, certificate)
    if not authority:
        message = "it is not the certificate of an authority"
        raise CertificateError(message)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether a certificate carries the signature of an issuer."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def check_chain(chain: Sequence[x509.Certificate], roots: Iterable[x509.Certificate], now: datetime) -> None:
    """Raise CertificateError unless a chain, leaf first, leads to one of the roots and all of it is valid now."""
    if not chain:
        message = "there is no certificate in it"
        raise CertificateError(message)
    for certificate in chain:
        check_dates(certificate, now)
    for certificate, issuer in pairwise(chain):
        if not issued_by(certificate, issuer):
            message = (
                f"the certificate of {certificate.subject.rfc4514_string()} is not signed by the next in the chain"
            )
            raise CertificateError(message)
    top = chain[-1]
    for root in roots:
        if top == root or issued_by(top, root):
            check_dates(root, now)
            return
    message = f"no installed root has signed the certificate of {top.subject.rfc4514_string()}"
    raise CertificateError(message)


class CertificateStore:
    """The root certificates of one station.

    maximum: how many fit (CertificateStoreMaxLength). chained: a new root of the central system must be signed by one
    that is there (AdditionalRootCertificateCheck).
    """

    def __init__(self, installed: Iterable[Installed] = (), *, maximum: int = 10, chained: bool = False) -> None:
        self.installed: tuple[Installed, ...] = tuple(installed)
        self._maximum = maximum
        self._chained = chained

    def __len__(self) -> int:
        return len(self.installed)

    def roots(self, use: str) -> list[x509.Certificate]:
        """The certificates trusted for a use."""
        return [read_chain(one.pem)[0] for one in self.installed if one.use == use]

    def pem(self, use: str) -> str:
        """The same as one PEM text."""
        return "\n".join(one.pem for one in self.installed if one.use == use)

    def install(self, use: str, pem: str, now: datetime) -> str:
        """InstallCertificate: "Accepted", or "Failed" where there is no room. Raises CertificateError."""
        chain = read_chain(pem)
        if len(chain) != 1:
            message = "it is more than one certificate"
            raise CertificateError(message)
        check_root(chain[0], now)
        known = self.roots(use)
        if chain[0] in known:
            return "Accepted"
        if self._chained and use == CENTRAL_SYSTEM and known and not any(issued_by(chain[0], one) for one in known):
            message = "it is not signed by the root that is installed"
            raise CertificateError(message)
        if len(self.installed) >= self._maximum:
            return "Failed"
        self.installed = (*self.installed, Installed(use, pem))
        return "Accepted"

    def ids(self, use: str, algorithm: str) -> tuple[HashData, ...]:
        """GetInstalledCertificateIds: the hash data of what is installed for a use."""
        return tuple(self._named(one, algorithm) for one in self.installed if one.use == use)

    def find(self, wanted: HashData) -> Installed | None:
        """The certificate that hash data name."""
        found = (one for one in self.installed if self._named(one, wanted.hash_algorithm).same_as(wanted))
        return next(found, None)

    def delete(self, one: Installed) -> None:
        """Take a certificate out."""
        self.installed = tuple(other for other in self.installed if other is not one)

    def _named(self, one: Installed, algorithm: str) -> HashData:
        certificate = read_chain(one.pem)[0]
        issuers = (root for root in self.roots(one.use) if issued_by(certificate, root))
        return hash_data(certificate, next(issuers, certificate), algorithm)
