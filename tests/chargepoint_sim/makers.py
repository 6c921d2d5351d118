"""Certificates and signatures of the simulator's tests, made anew for each."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)
LONG = timedelta(days=3650)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(encoding, kind, serialization.NoEncryption()).decode()


def _key(*, is_rsa: bool) -> Key:
    return rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())


def authority(name: str, issuer: Signed | None = None, *, is_rsa: bool = False, expired: bool = False) -> Signed:
    """An authority: a root, or signed by another one."""
    return _signed(name, issuer, is_ca=True, key=_key(is_rsa=is_rsa), expired=expired)


def leaf(name: str, issuer: Signed, *, is_rsa: bool = False, expired: bool = False) -> Signed:
    """A certificate for somebody who signs files or shows who he is."""
    return _signed(name, issuer, is_ca=False, key=_key(is_rsa=is_rsa), expired=expired)


def _signed(name: str, issuer: Signed | None, *, is_ca: bool, key: Key, expired: bool) -> Signed:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = NOW - LONG if expired else NOW - timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number() >> 80)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def sign_request(csr_pem: str, issuer: Signed, name: str | None = None) -> str:
    """A certificate for a request, as PEM. name: for another subject than it asks for."""
    request = x509.load_pem_x509_csr(csr_pem.encode())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if name else request.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number() >> 80)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
    )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def signature(content: bytes, signer: Signed) -> str:
    """The signature of a file, in base64."""
    digest = hashes.SHA256()
    if isinstance(signer.key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.MAX_LENGTH)
        return base64.b64encode(signer.key.sign(content, pss, digest)).decode()
    return base64.b64encode(signer.key.sign(content, ec.ECDSA(digest))).decode()
