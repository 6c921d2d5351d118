"""The keys of a station's own certificate, and requests to have one signed (Security Whitepaper, A02).

Pure but for the chance that keys are made of. Keys and certificates are PEM texts, so that a state file can keep them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from chargepoint_sim.certificates import read_chain
from chargepoint_sim.errors import CertificateError

if TYPE_CHECKING:
    from typing import Literal

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
RSA_BITS = 2048


def new_key(algorithm: Literal["EC", "RSA"]) -> str:
    """A new private key: on the curve P-256, or RSA with 2048 bits."""
    key: Key = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "EC"
        else rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def read_key(pem: str) -> Key:
    """A private key of a PEM text. Raises CertificateError."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"it is no key in PEM without a password: {error}"
        raise CertificateError(message) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        message = "it is neither an EC nor an RSA key"
        raise CertificateError(message)
    return key


def signing_request(key_pem: str, common_name: str, organization: str) -> str:
    """A certificate signing request: CN is the serial number of the station, O the CpoName if there is one."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    request = builder.sign(read_key(key_pem), hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def belongs(chain_pem: str, key_pem: str) -> bool:
    """Whether the first certificate of a chain was made for a key. Raises CertificateError."""
    chain = read_chain(chain_pem)
    return bool(chain) and chain[0].public_key() == read_key(key_pem).public_key()


def common_name(certificate: x509.Certificate) -> str:
    """The CN of a certificate's subject, empty without one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
