"""Whether firmware is what its maker signed, and which version it is (Security Whitepaper, L01). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from chargepoint_sim.certificates import check_chain, read_chain
from chargepoint_sim.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cryptography import x509

VERSION = re.compile(rb"(?i)\bversion[\"']?\s*[:=]\s*[\"']?([0-9A-Za-z][0-9A-Za-z._+-]{0,49})")
NAMED_VERSION = re.compile(r"\d+(?:[._-]\d+)+")
HEAD_BYTES, VERSION_LIMIT, DIGITS = 4_096, 50, 12


def check_signer(certificate_pem: str, roots: Sequence[x509.Certificate], now: datetime) -> None:
    """Raise CertificateError unless a signing certificate leads to a root of the manufacturer and is valid now."""
    if not roots:
        message = "no root of the manufacturer is installed"
        raise CertificateError(message)
    check_chain(read_chain(certificate_pem), roots, now)


def is_signed(firmware: bytes, signature: str, certificate_pem: str) -> bool:
    """Whether a base64 signature over SHA-256 holds: RSA-PSS or ECDSA, as the key of the certificate is."""
    key = read_chain(certificate_pem)[0].public_key()
    digest = hashes.SHA256()
    try:
        raw = base64.b64decode(signature, validate=False)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, firmware, padding.PSS(padding.MGF1(digest), padding.PSS.AUTO), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, firmware, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def version_of(firmware: bytes, location: str) -> str:
    """The version of a file: what it says near its beginning, or its name, or else what it hashes to."""
    if said := VERSION.search(firmware[:HEAD_BYTES]):
        return said.group(1).decode()
    name = location.rpartition("/")[2]
    if named := NAMED_VERSION.search(name):
        return named.group(0)[:VERSION_LIMIT]
    return hashlib.sha256(firmware).hexdigest()[:DIGITS]
