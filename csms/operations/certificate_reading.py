"""Reads certificates and requests for certificates: names, keys, dates, and the hashes by which stations name them.

Whatever a peer sends is read or named as unreadable; nothing is trusted here. Knows neither files nor tables.
"""

from base64 import b64decode
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

HashAlgorithm = Literal["SHA256", "SHA384", "SHA512"]

_RSA_BITS, _EC_BITS = 2048, 224  # Security Whitepaper, A00.FR.502 and 503
_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_LONGEST_NAME = 300
_WRONG = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


class Csr(msgspec.Struct, frozen=True):
    """A request for a certificate; `problem` says why nobody can sign it ("" where one can)."""

    pem: str
    digest: str  # SHA-256 of what was sent, hex
    subject: str = ""
    common_name: str = ""
    organization: str = ""
    key_kind: str = ""
    problem: str = ""


class CertificateFacts(msgspec.Struct, frozen=True):
    """What a certificate says of itself."""

    fingerprint: str  # SHA-256 of the DER, hex, lower case
    subject: str
    common_name: str
    issuer: str
    serial_number: str  # hex, upper case, no leading zeros
    not_before: datetime
    not_after: datetime
    key_kind: str
    is_authority: bool
    pem: str


class HashData(msgspec.Struct, frozen=True):
    """How stations name a certificate (CertificateHashDataType), in lower case."""

    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str


def read_csr(text: str) -> Csr:
    """Read a request as a station sent it; one that cannot be read has that as its problem."""
    digest = sha256(text.strip().encode()).hexdigest()
    try:
        request = x509.load_pem_x509_csr(text.strip().encode())
        subject = request.subject.rfc4514_string()[:_LONGEST_NAME]
        names = (_name(request.subject, NameOID.COMMON_NAME), _name(request.subject, NameOID.ORGANIZATION_NAME))
        kind, problem = _key(request.public_key())
        if not request.is_signature_valid:
            problem = "its signature is not that of its key"
    except _WRONG:
        return Csr(text, digest, problem="it is no request for a certificate in PEM")
    return Csr(text, digest, subject, *names, kind, problem)


def read_certificates(text: str) -> tuple[CertificateFacts, ...]:
    """Read the certificates of a PEM text in their order; ValueError where there is none or one cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        return tuple(facts_of(one) for one in found)
    except _WRONG:
        raise ValueError("these are no certificates in PEM") from None


def facts_of(one: x509.Certificate) -> CertificateFacts:
    """Return what a certificate says of itself."""
    return CertificateFacts(
        one.fingerprint(hashes.SHA256()).hex(),
        one.subject.rfc4514_string()[:_LONGEST_NAME],
        _name(one.subject, NameOID.COMMON_NAME),
        one.issuer.rfc4514_string()[:_LONGEST_NAME],
        f"{one.serial_number:X}",
        one.not_valid_before_utc,
        one.not_valid_after_utc,
        _key(one.public_key())[0],
        _is_authority(one),
        one.public_bytes(Encoding.PEM).decode(),
    )


def fingerprint_of(pem: str) -> str:
    """Return the fingerprint of the first certificate of a PEM text, "" where there is none."""
    _, begun, rest = pem.partition(_BEGIN)
    body, ended, _ = rest.partition(_END)
    if not begun or not ended:
        return ""
    try:
        return sha256(b64decode("".join(body.split()), validate=True)).hexdigest()
    except ValueError:
        return ""


def certifies(certificate_pem: str, csr_pem: str) -> bool:
    """Tell whether a certificate is for the key of a request."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        request = x509.load_pem_x509_csr(csr_pem.strip().encode())
        return _public_bytes(certificate.public_key()) == _public_bytes(request.public_key())
    except _WRONG:
        return False


def hash_data(pem: str, issuer_pem: str | None = None) -> tuple[HashData, ...]:
    """Return how a certificate is named with each hash (RFC 6960, 4.1.1); without an issuer it is its own."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    issuer = certificate if issuer_pem is None else x509.load_pem_x509_certificate(issuer_pem.encode())
    key = _key_bits(issuer)
    serial = f"{certificate.serial_number:x}"
    return tuple(
        HashData(name, _hashed(hashing, certificate.issuer.public_bytes()), _hashed(hashing, key), serial)
        for name, hashing in _HASHES.items()
    )


def matching(reported: HashData, known: Iterable[CertificateFacts]) -> CertificateFacts | None:
    """Return the root that a station names by its hashes, if it is one of those that are known."""
    wanted = comparable(reported)
    return next((one for one in known if any(comparable(each) == wanted for each in hash_data(one.pem))), None)


def comparable(one: HashData) -> HashData:
    """Return hashes without differences in case and leading zeros, which mean nothing."""
    return HashData(
        one.hash_algorithm.upper(),
        one.issuer_name_hash.lower(),
        one.issuer_key_hash.lower(),
        one.serial_number.lower().lstrip("0") or "0",
    )


def _name(subject: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _key(key: Any) -> tuple[str, str]:  # noqa: ANN401 - any kind of key that there is
    """Return what kind of key it is, and what is wrong with it."""
    if isinstance(key, rsa.RSAPublicKey):
        weak = f"its RSA key has {key.key_size} bits, and needs {_RSA_BITS}" if key.key_size < _RSA_BITS else ""
        return f"RSA {key.key_size}", weak
    if isinstance(key, ec.EllipticCurvePublicKey):
        weak = f"its key has {key.key_size} bits, and needs {_EC_BITS}" if key.key_size < _EC_BITS else ""
        return f"EC {key.key_size}", weak
    return "other", "its key is neither RSA nor of an elliptic curve"


def _is_authority(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _public_bytes(key: Any) -> bytes:  # noqa: ANN401 - any kind of key that there is
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _key_bits(issuer: x509.Certificate) -> bytes:
    """Return the value of the subject public key field, without tag and length."""
    key: Any = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _hashed(hashing: hashes.HashAlgorithm, data: bytes) -> str:
    digest = hashes.Hash(hashing)
    digest.update(data)
    return digest.finalize().hex()
