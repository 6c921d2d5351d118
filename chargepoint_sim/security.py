"""Who a station is to a central system, and whom it trusts: profiles, passwords, certificates (Security Whitepaper).

Decides how to dial, what ChangeConfiguration may do to the security, and which certificates hold. Does no I/O beyond
the files it is given and one that OpenSSL has to read a key from. Knows no message.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from chargepoint_sim import own_keys
from chargepoint_sim.certificates import (
    CENTRAL_SYSTEM,
    MANUFACTURER,
    CertificateStore,
    Installed,
    check_chain,
    read_chain,
)
from chargepoint_sim.dialling import SUBPROTOCOL, Address, Dial, credentials
from chargepoint_sim.errors import CertificateError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from chargepoint_sim.clock import Clock
    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.habits import Habits

NONE, BASIC, TLS_BASIC, TLS_CERTIFICATE = 0, 1, 2, 3
FALLS_BACK_AFTER = 3


@dataclass(frozen=True)
class Given:
    """What a station is given from outside. ca, cert, cert_key, manufacturer_ca: PEM files.

    profile: the security profile, None to follow from the rest. ciphers: OpenSSL's list for TLS 1.2. tls_maximum: the
    newest TLS it speaks. subprotocols: what it offers.
    """

    ca: Path | None = None
    cert: Path | None = None
    cert_key: Path | None = None
    manufacturer_ca: Path | None = None
    profile: int | None = None
    ciphers: str = ""
    tls_maximum: Literal["1.2", "1.3"] = "1.3"
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)


class OwnCertificate(msgspec.Struct, frozen=True):
    """A certificate chain, leaf first, and its key, as PEM texts."""

    chain_pem: str
    key_pem: str


class SecurityState(msgspec.Struct, frozen=True):
    """What a station keeps of its security. given_chain: the certificate it was first given from outside."""

    installed: tuple[Installed, ...] = ()
    own: OwnCertificate | None = None
    pending_key_pem: str = ""
    given_chain: str = ""


class Security:
    """The security of one station."""

    def __init__(
        self,
        address: Address,
        given: Given,
        state: SecurityState,
        configuration: Configuration,
        habits: Habits,
        clock: Clock,
    ) -> None:
        self._address = address
        self._given = given
        self._configuration = configuration
        self._habits = habits
        self._clock = clock
        self.store = CertificateStore(
            state.installed,
            maximum=configuration.number("CertificateStoreMaxLength"),
            chained=configuration.flag("AdditionalRootCertificateCheck"),
        )
        self._trust_files()
        outside = _own_files(given)
        self._given_chain = outside.chain_pem if outside else ""
        self.own = state.own if outside is None or outside.chain_pem == state.given_chain else outside
        self.pending_key_pem = state.pending_key_pem
        self._begin_profile()
        self._fallback: int | None = None
        self._failures = 0
        self._used = self.profile
        self._configuration.vetoes["securityprofile"] = self._refuses_profile
        self.dial()

    def _trust_files(self) -> None:
        """Install the roots that were given as files, beside those that were installed by the central system."""
        for use, path in ((CENTRAL_SYSTEM, self._given.ca), (MANUFACTURER, self._given.manufacturer_ca)):
            if path is None:
                continue
            known = self.store.roots(use)
            fresh = [one for one in _certificates(path) if one not in known]
            pems = (Installed(use, one.public_bytes(Encoding.PEM).decode()) for one in fresh)
            self.store.installed = (*self.store.installed, *pems)

    def _begin_profile(self) -> None:
        """Take the profile that is stored, given, or follows from the address, the key and the certificate."""
        has_key = bool(self._configuration["AuthorizationKey"])
        follows = (TLS_CERTIFICATE if self.own else TLS_BASIC) if self._address.is_secure else int(has_key)
        asked = follows if self._given.profile is None else self._given.profile
        profile = max(asked, self._configuration.number("SecurityProfile"))
        if self._address.is_secure and profile < TLS_BASIC:
            message = f"security profile {profile} does not go with {self._address.url}: wss:// is profile 2 or 3"
            raise UsageError(message)
        if profile == TLS_CERTIFICATE and self.own is None:
            message = "security profile 3 needs a certificate of the station and its key"
            raise UsageError(message)
        if profile in {BASIC, TLS_BASIC} and profile != follows and not has_key:
            message = f"security profile {profile} needs a key (AuthorizationKey)"
            raise UsageError(message)
        self._configuration.put("SecurityProfile", str(profile))

    # --- how to connect ---------------------------------------------------------------------------------------------

    @property
    def profile(self) -> int:
        """The security profile that the next connection uses."""
        return self._configuration.number("SecurityProfile")

    def dial(self) -> Dial:
        """How to connect now. Raises UsageError for certificates that cannot be used."""
        self._used = profile = self.profile
        secure = profile >= TLS_BASIC or self._address.is_secure
        key = "" if profile == TLS_CERTIFICATE else self._configuration["AuthorizationKey"]
        identity = self._address.identity
        return Dial(
            self._address.secure_uri if secure else self._address.uri,
            identity,
            credentials(identity, key, as_text=self._habits.hex_text_key),
            self.tls() if secure else None,
            self._configuration.number("WebSocketPingInterval"),
            self._given.subprotocols,
        )

    def tls(self) -> ssl.SSLContext:
        """TLS as this station speaks it: with its roots, or those of the system; with its certificate in profile 3."""
        try:
            context = ssl.create_default_context(cadata=self.store.pem(CENTRAL_SYSTEM) or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[
                self._given.tls_maximum
            ]
            # What is installed is trusted, also a root that newer rules would not let pass or one that is none.
            context.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN
            if self._given.ciphers:
                context.set_ciphers(self._given.ciphers)
            if self.own is not None and self.profile == TLS_CERTIFICATE:
                _load(context, self.own)
        except (OSError, ssl.SSLError) as error:
            message = f"the TLS files cannot be used: {error}"
            raise UsageError(message) from error
        return context

    def succeeded(self) -> None:
        """A connection came about: what it used is what counts from now on, and nothing lower."""
        self._failures = 0
        if self._used == self.profile:
            self._fallback = None

    def failed(self) -> int | None:
        """A connection failed. Returns the profile fallen back to, after a few failures with a new one."""
        self._failures += 1
        if self._fallback is None or self._failures < FALLS_BACK_AFTER:
            return None
        fallback, self._fallback, self._failures = self._fallback, None, 0
        self._configuration.put("SecurityProfile", str(fallback))
        return fallback

    def _refuses_profile(self, value: str) -> bool:
        """Whether a change of SecurityProfile is refused: never lower, and only with what the new one needs (A05)."""
        wanted = int(value)
        if wanted < self.profile:
            return True
        if wanted in {BASIC, TLS_BASIC} and not self._configuration["AuthorizationKey"]:
            return True
        if wanted >= TLS_BASIC and wanted > self.profile and not self.store.roots(CENTRAL_SYSTEM):
            return True
        if wanted == TLS_CERTIFICATE and self.own is None:
            return True
        if wanted > self.profile:
            self._fallback, self._failures = self.profile, 0
        return False

    # --- certificates -----------------------------------------------------------------------------------------------

    def request_certificate(self, common_name: str) -> str:
        """A new key, and the request to have its certificate signed (A02)."""
        self.pending_key_pem = own_keys.new_key(self._habits.key_algorithm)
        return own_keys.signing_request(self.pending_key_pem, common_name, self._configuration["CpoName"])

    def take_certificate(self, chain_pem: str, names: set[str]) -> None:
        """Take a signed certificate into use (CertificateSigned). names: what its CN may be. Raises CertificateError.

        Its chain must lead to an installed root of the central system in profile 3; below, it is taken on trust.
        """
        if len(chain_pem) > self._configuration.number("CertificateSignedMaxChainSize"):
            message = "the chain is longer than CertificateSignedMaxChainSize"
            raise CertificateError(message)
        chain = read_chain(chain_pem)
        keys = [self.pending_key_pem, self.own.key_pem if self.own else ""]
        key = next((pem for pem in keys if pem and own_keys.belongs(chain_pem, pem)), None)
        if key is None:
            message = "it was not made for a key of this station"
            raise CertificateError(message)
        if own_keys.common_name(chain[0]) not in names:
            message = f"it was made for {own_keys.common_name(chain[0]) or 'nobody'}"
            raise CertificateError(message)
        roots = self.store.roots(CENTRAL_SYSTEM) if self.profile == TLS_CERTIFICATE else []
        check_chain(chain, [*roots] or [chain[-1]], self._clock.now())
        self.own, self.pending_key_pem = OwnCertificate(chain_pem, key), ""

    def needs(self, one: Installed) -> bool:
        """Whether a root cannot be deleted: it is the last by which the central system is known over TLS."""
        return one.use == CENTRAL_SYSTEM and self.profile >= TLS_BASIC and len(self.store.roots(CENTRAL_SYSTEM)) == 1

    def stored(self) -> SecurityState:
        """What the state file keeps."""
        return SecurityState(self.store.installed, self.own, self.pending_key_pem, self._given_chain)


def _load(context: ssl.SSLContext, own: OwnCertificate) -> None:
    """Give a certificate to OpenSSL, which reads it from a file alone; only its owner may read that."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{own.chain_pem}\n{own.key_pem}")
        file.flush()
        context.load_cert_chain(file.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the TLS files cannot be used: {error}"
        raise UsageError(message) from error


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return read_chain(_read(path))
    except CertificateError as error:
        message = f"the TLS files cannot be used: {path}: {error}"
        raise UsageError(message) from error


def _own_files(given: Given) -> OwnCertificate | None:
    """The station's certificate from its files; the key may stand in the same file. Raises UsageError."""
    if given.cert is None:
        return None
    chain_pem, key_pem = _read(given.cert), _read(given.cert_key or given.cert)
    try:
        fitting = own_keys.belongs(chain_pem, key_pem)
    except CertificateError as error:
        message = f"the TLS files cannot be used: {given.cert}: {error}"
        raise UsageError(message) from error
    if not fitting:
        message = f"the TLS files cannot be used: the key does not belong to {given.cert}"
        raise UsageError(message)
    return OwnCertificate(chain_pem, key_pem)
