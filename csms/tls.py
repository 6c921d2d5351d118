"""TLS of the listener for charge points: certificates, client authorities, revocation lists; taken up again when they
change.

Reads files and makes contexts for `ssl`; knows no sockets and no charge points. TLS 1.2 and 1.3 with the four suites
that every central system has to offer (Security Whitepaper, A00.FR.317), which takes an ECDSA and an RSA certificate.
"""

import asyncio
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from csms.charging.stations import Presented
from csms.clock import Clock
from csms.config import Settings
from csms.errors import ConfigurationError
from csms.operations.certificate_reading import CertificateFacts, facts_of

log = structlog.get_logger()

# The required suites, and ECDHE-RSA for stations that prefer forward secrecy. TLS 1.3 has its own, all good. Level 2
# keeps keys below 112 bits of strength out (A00.FR.501) and still lets the suites with plain RSA through.
_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:"
    "AES128-GCM-SHA256:AES256-GCM-SHA384:@SECLEVEL=2"
)
_RSA_BITS, _EC_BITS = 2048, 224  # A00.FR.502 and 503
_LOOK_EVERY_S = 5.0


class TlsFiles(msgspec.Struct, frozen=True):
    """Where certificates, keys, client authorities and revocation lists lie; pairs of chain and key."""

    pairs: tuple[tuple[Path, Path], ...]
    authorities: tuple[Path, ...]
    revocations: tuple[Path, ...]

    def all(self) -> tuple[Path, ...]:
        """Return every file."""
        return (*(path for pair in self.pairs for path in pair), *self.authorities, *self.revocations)


class Revocations(msgspec.Struct, frozen=True):
    """Which serial numbers each issuer has revoked."""

    by_issuer: dict[bytes, frozenset[int]] = {}

    def has(self, certificate: x509.Certificate) -> bool:
        """Tell whether a certificate was revoked."""
        return certificate.serial_number in self.by_issuer.get(certificate.issuer.public_bytes(), ())


def files_of(settings: Settings) -> TlsFiles:
    """Return the configured files; where none is named, those of the built-in authority that exist."""
    named = ((settings.tls_ecdsa_chain, settings.tls_ecdsa_key), (settings.tls_rsa_chain, settings.tls_rsa_key))
    folder = settings.authority_dir
    own = ((folder / f"server-{kind}.pem", folder / f"server-{kind}.key") for kind in ("ecdsa", "rsa"))
    pairs = [(Path(chain), Path(key)) for chain, key in named if chain] or [one for one in own if one[0].exists()]
    authorities = _listed(settings.tls_client_cas) or sorted(folder.glob("root-*.pem"))
    revocations = _listed(settings.tls_client_crls) or sorted(folder.glob("crl-*.pem"))
    return TlsFiles(tuple(pairs), tuple(authorities), tuple(revocations))


def _listed(text: str) -> list[Path]:
    return [Path(one.strip()) for one in text.split(",") if one.strip()]


class _Current(ssl.SSLContext):
    """The context that a listener keeps: every new connection gets what was loaded last."""

    inner: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:  # noqa: ANN401 - the base's own
        """Begin a connection with the present certificates, authorities and session tickets."""
        return self.inner.wrap_bio(*arguments, **named)


class Tls:
    """The certificates of a process, as they were loaded last."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Nothing is read before `load`."""
        self._settings = settings
        self._clock = clock
        self._seen: dict[Path, tuple[int, int]] = {}
        self._revocations = Revocations()
        self.certificates: tuple[CertificateFacts, ...] = ()  # the server's own
        self.context = _Current(ssl.PROTOCOL_TLS_SERVER)

    def load(self) -> None:
        """Read everything; ConfigurationError that names the file where something is wrong with it."""
        files = files_of(self._settings)
        if not files.pairs:
            raise ConfigurationError(
                "CSMS_OCPP_TLS_PORT is set and there is no server certificate: set CSMS_TLS_ECDSA_CHAIN and "
                "CSMS_TLS_ECDSA_KEY (and the same for RSA), or make one: csms ca init, csms ca issue server HOST."
            )
        seen = _states(files)
        revocations = _read_revocations(files, self._clock())
        self.context.inner = _make_context(files, self._clock())
        self.certificates = tuple(facts_of(_certificates(chain)[0]) for chain, _ in files.pairs)
        for kind, what in (("EC ", "ECDSA"), ("RSA", "RSA")):
            if not any(one.key_kind.startswith(kind) for one in self.certificates):
                log.warning("no server certificate of this kind: stations that know no other cannot connect", kind=what)
        self._revocations, self._seen = revocations, seen

    async def watch(self) -> None:
        """Load again when a file changed, for ever; open connections stay as they are."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                if await asyncio.to_thread(lambda: _states(files_of(self._settings))) != self._seen:
                    await self.reload()
            except Exception:  # the next look tries again
                log.warning("certificates cannot be looked at", exc_info=True)

    async def reload(self) -> bool:
        """Load again; what is loaded stays where the files are wrong. Return whether they were taken."""
        try:
            await asyncio.to_thread(self.load)
        except ConfigurationError as error:
            log.warning("certificates not taken up; the present ones stay", error=str(error))
            return False
        log.info("certificates taken up")
        return True

    def read(self, der: bytes) -> Presented:
        """Say what a client certificate tells whose chain was verified (A00.FR.403 to 405, 704)."""
        certificate = x509.load_der_x509_certificate(der)
        organization = _name(certificate, NameOID.ORGANIZATION_NAME)
        cpo_name, now = self._settings.cpo_name, self._clock()
        presented = Presented(
            _name(certificate, NameOID.COMMON_NAME),
            organization,
            certificate.fingerprint(hashes.SHA256()).hex(),
            f"{certificate.serial_number:X}",
            certificate.issuer.rfc4514_string()[:300],
            certificate.not_valid_after_utc,
        )
        if self._revocations.has(certificate):
            return msgspec.structs.replace(presented, problem="certificate revoked")
        # The handshake looked at the dates already, unless an earlier TLS session was resumed.
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return msgspec.structs.replace(presented, problem="certificate not valid")
        if cpo_name and organization != cpo_name:
            return msgspec.structs.replace(presented, problem="certificate not its own")
        return presented


def _name(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _states(files: TlsFiles) -> dict[Path, tuple[int, int]]:
    """Return what tells that a file changed: a missing one counts as one that is empty."""
    found = {}
    for path in files.all():
        try:
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_size)
        except OSError:
            found[path] = (0, 0)
    return found


def _make_context(files: TlsFiles, now: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    for chain, key in files.pairs:
        _check(chain, now)
        try:
            context.load_cert_chain(chain, key, password=lambda: b"")  # a key with a passphrase would ask the terminal
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"The key {key} does not fit the certificate {chain}: {_why(error)}.") from None
    for path in files.authorities:
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"The authorities of clients in {path} cannot be read: {_why(error)}.") from None
    if files.authorities:
        # Whether a station has to show a certificate is known once it has said who it is.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _check(chain: Path, now: datetime) -> None:
    """Refuse what a station has to refuse, and warn of what it will refuse soon."""
    try:
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The certificate {chain} cannot be read: {_why(error)}.") from None
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        raise ConfigurationError(f"The key of {chain} has {key.key_size} bits; RSA needs {_RSA_BITS}.")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _EC_BITS:
        raise ConfigurationError(f"The key of {chain} has {key.key_size} bits; elliptic curves need {_EC_BITS}.")
    if certificate.not_valid_after_utc <= now:
        log.error("the server certificate has expired", file=str(chain), on=str(certificate.not_valid_after_utc))


def _read_revocations(files: TlsFiles, now: datetime) -> Revocations:
    """Read the lists that an authority of ours has signed."""
    by_issuer: dict[bytes, frozenset[int]] = {}
    if not files.revocations:
        return Revocations()
    authorities = [one for path in files.authorities for one in _certificates(path)]
    for path in files.revocations:
        for found in _lists(path):
            signer = next((one for one in authorities if _signed(found, one)), None)
            if signer is None:
                raise ConfigurationError(f"The revocation list {path} is not signed by an authority of clients.")
            if found.next_update_utc is not None and found.next_update_utc < now:
                log.warning("revocation list is overdue", file=str(path), since=str(found.next_update_utc))
            issuer = found.issuer.public_bytes()
            by_issuer[issuer] = by_issuer.get(issuer, frozenset()) | {one.serial_number for one in found}
    return Revocations(by_issuer)


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The certificates in {path} cannot be read: {_why(error)}.") from None


def _lists(path: Path) -> list[x509.CertificateRevocationList]:
    """Read a file with one or more revocation lists, in PEM, or one in DER."""
    end = b"-----END X509 CRL-----"
    try:
        data = path.read_bytes()
        if end not in data:
            return [x509.load_der_x509_crl(data)]
        return [x509.load_pem_x509_crl(part.lstrip() + end + b"\n") for part in data.split(end)[:-1]]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The revocation list {path} cannot be read: {_why(error)}.") from None


def _signed(found: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key: Any = authority.public_key()
    if found.issuer != authority.subject:
        return False
    try:
        return found.is_signature_valid(key)
    except (TypeError, ValueError):  # a key of another kind
        return False


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error).rstrip(".")
