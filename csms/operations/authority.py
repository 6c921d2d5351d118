"""The built-in certificate authority of a small installation: two roots in a folder, and what they sign.

An ECDSA root signs what has an elliptic key and an RSA root what has an RSA key, because some stations know only one of
them (Security Whitepaper, A00.FR.317 and 421). Keys are readable by their owner alone, and encrypted where there is a
passphrase. Knows files and certificates, no tables.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from csms.errors import ConfigurationError
from csms.operations.certificate_reading import CertificateFacts, Csr, facts_of

Kind = Literal["ecdsa", "rsa"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

KINDS: tuple[Kind, ...] = ("ecdsa", "rsa")
REASONS = ("unspecified", "key compromise", "affiliation changed", "superseded", "cessation of operation")
_RSA_BITS, _ROOT_RSA_BITS, _EXPONENT = 2048, 3072, 65537
_SLACK = timedelta(minutes=10)  # clocks of stations run behind
_LIST_LIFETIME = timedelta(days=30)
_FLAGS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key compromise": x509.ReasonFlags.key_compromise,
    "affiliation changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation of operation": x509.ReasonFlags.cessation_of_operation,
}


class Issued(msgspec.Struct, frozen=True):
    """A certificate with its chain, and the key where it was made here."""

    facts: CertificateFacts
    chain: str
    key_pem: str = ""


class Revoked(msgspec.Struct, frozen=True):
    """A certificate that counts no more."""

    issuer: str
    serial_number: str
    revoked_at: datetime
    reason: str


class Authority:
    """The roots of a folder, ready to sign."""

    def __init__(self, folder: Path, roots: dict[Kind, tuple[x509.Certificate, PrivateKey]]) -> None:
        """Made by `create` or `load`."""
        self.folder = folder
        self._roots = roots

    @property
    def roots(self) -> tuple[CertificateFacts, ...]:
        """What the roots say of themselves."""
        return tuple(facts_of(root) for root, _ in self._roots.values())

    def issue_server(self, host: str, organization: str, days: int, now: datetime) -> tuple[Issued, ...]:
        """Issue the server's two certificates and put them where the listener looks for them (A00.FR.509 to 511)."""
        issued = []
        for kind in KINDS:
            key = _new_key(kind, _RSA_BITS)
            names = _subject(host, organization)
            alternative = x509.SubjectAlternativeName([_general_name(host)])
            one = self._sign(kind, names, key.public_key(), days, now, server=alternative)
            _write(self.folder / f"server-{kind}.key", _key_pem(key, b""), secret=True)
            _write(self.folder / f"server-{kind}.pem", one.facts.pem.encode())  # stations have the root
            issued.append(one)
        return tuple(issued)

    def issue_station(self, common_name: str, organization: str, kind: Kind, days: int, now: datetime) -> Issued:
        """Issue a certificate with its key, for a station that can make none itself."""
        key = _new_key(kind, _RSA_BITS)
        one = self._sign(kind, _subject(common_name, organization), key.public_key(), days, now)
        return msgspec.structs.replace(one, key_pem=_key_pem(key, b"").decode())

    def sign(self, request: Csr, days: int, now: datetime) -> Issued:
        """Sign a request that was checked before. Of its subject only the names that were checked are taken."""
        key = x509.load_pem_x509_csr(request.pem.strip().encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey), "it was checked"
        kind: Kind = "rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa"
        return self._sign(kind, _subject(request.common_name, request.organization), key, days, now)

    def lists_are_older_than(self, at: datetime) -> bool:
        """Tell whether a revocation list is missing or was written before."""
        paths = [self.folder / f"crl-{kind}.pem" for kind in self._roots]
        return any(not path.exists() or path.stat().st_mtime < at.timestamp() for path in paths)

    def write_lists(self, revoked: Iterable[Revoked], now: datetime) -> tuple[Path, ...]:
        """Write the revocation list of each root; listeners take it up by themselves."""
        entries = tuple(revoked)
        paths = []
        for kind, (root, key) in self._roots.items():
            issuer = facts_of(root).subject
            builder = x509.CertificateRevocationListBuilder(root.subject, now - _SLACK, now + _LIST_LIFETIME)
            for one in entries:
                if one.issuer == issuer:
                    builder = builder.add_revoked_certificate(_entry(one))
            builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
            path = self.folder / f"crl-{kind}.pem"
            _write(path, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
            paths.append(path)
        return tuple(paths)

    def _sign(
        self,
        kind: Kind,
        subject: x509.Name,
        key: PublicKey,
        days: int,
        now: datetime,
        *,
        server: x509.SubjectAlternativeName | None = None,
    ) -> Issued:
        root, root_key = self._roots[kind]
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if server is None else ExtendedKeyUsageOID.SERVER_AUTH
        until = min(now + timedelta(days=days), root.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder(root.subject, subject, key, x509.random_serial_number(), now - _SLACK, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(encipherment=kind == "rsa", authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(cast("PublicKey", root.public_key())),
                critical=False,
            )
        )
        if server is not None:
            builder = builder.add_extension(server, critical=False)
        signed = builder.sign(root_key, hashes.SHA256())
        chain = signed.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)
        return Issued(facts_of(signed), chain.decode())


def exists(folder: Path) -> bool:
    """Tell whether there is an authority in a folder."""
    return any((folder / f"root-{kind}.key").exists() for kind in KINDS)


def create(folder: Path, name: str, organization: str, passphrase: str, days: int, now: datetime) -> Authority:
    """Make the two roots and empty revocation lists; ConfigurationError where there are some already."""
    if exists(folder):
        raise ConfigurationError(f"There is an authority in {folder} already.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    roots: dict[Kind, tuple[x509.Certificate, PrivateKey]] = {}
    for kind in KINDS:
        key = _new_key(kind, _ROOT_RSA_BITS)
        subject = _subject(f"{name} {kind.upper()}", organization)
        root = (
            x509.CertificateBuilder(
                subject,
                subject,
                key.public_key(),
                x509.random_serial_number(),
                now - _SLACK,
                now + timedelta(days=days),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(encipherment=False, authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(folder / f"root-{kind}.key", _key_pem(key, passphrase.encode()), secret=True)
        _write(folder / f"root-{kind}.pem", root.public_bytes(Encoding.PEM))
        roots[kind] = (root, key)
    authority = Authority(folder, roots)
    authority.write_lists((), now)
    return authority


def load(folder: Path, passphrase: str) -> Authority:
    """Read the roots; ConfigurationError where they are missing or the passphrase is not theirs."""
    roots: dict[Kind, tuple[x509.Certificate, PrivateKey]] = {}
    for kind in KINDS:
        path = folder / f"root-{kind}.key"
        try:
            root = x509.load_pem_x509_certificate((folder / f"root-{kind}.pem").read_bytes())
            key = load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
        except OSError as error:
            raise ConfigurationError(f"There is no authority in {folder} ({error.strerror}): csms ca init.") from None
        except (ValueError, TypeError):
            raise ConfigurationError(f"{path} cannot be opened with the passphrase in CSMS_CA_PASSPHRASE.") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey), "made by `create`"
        roots[kind] = (root, key)
    return Authority(folder, roots)


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    _write(path, text.encode(), secret=True)


def _general_name(host: str) -> x509.GeneralName:
    """Return the name by which a station finds the server in its certificate (RFC 2818, 3.1)."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _subject(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _usage(*, encipherment: bool, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _entry(one: Revoked) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder(int(one.serial_number, 16), one.revoked_at)
        .add_extension(x509.CRLReason(_FLAGS.get(one.reason, x509.ReasonFlags.unspecified)), critical=False)
        .build()
    )


def _new_key(kind: Kind, rsa_bits: int) -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else rsa.generate_private_key(_EXPONENT, rsa_bits)


def _key_pem(key: PrivateKey, passphrase: bytes) -> bytes:
    protection: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Write a file whole or not at all, readable by its owner alone where it is secret."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
