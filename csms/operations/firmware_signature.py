"""Does a signature belong to a firmware file? RSA-PSS or ECDSA with SHA-256 (Security Whitepaper edition 3, L01). Pure.

Checked with the signing certificate's key; whether a station trusts that certificate is the station's matter.
"""

import base64
import binascii
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

LONGEST_SIGNATURE, LONGEST_CERTIFICATE = 800, 5500  # of SignedUpdateFirmware's fields
_LEAST_RSA_BITS = 2048
SignatureState = Literal["none", "valid", "wrong"]
_PREHASHED = utils.Prehashed(SHA256())


class SignatureCheck(msgspec.Struct, frozen=True):
    """Whether a signature fits ("none" where there is none), and in one sentence why not, or what it is."""

    state: SignatureState
    note: str


def check_signature(signature: str, certificate: str, digest_hex: str) -> SignatureCheck:
    """Check a base64 signature over the file with this SHA-256 against the key of a PEM certificate."""
    if not signature and not certificate:
        return SignatureCheck("none", "")
    if not signature or not certificate:
        return SignatureCheck("wrong", "A signature and its certificate belong together, and one of them is missing.")
    if len(signature) > LONGEST_SIGNATURE or len(certificate) > LONGEST_CERTIFICATE:
        return SignatureCheck("wrong", "The signature or the certificate is longer than OCPP allows (800, 5500).")
    try:
        raw = base64.b64decode("".join(signature.split()), validate=True)
    except (binascii.Error, ValueError):
        return SignatureCheck("wrong", "The signature is not base64.")
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
        key = loaded.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return SignatureCheck("wrong", "The signing certificate is not a certificate in PEM.")
    return _checked(raw, key, bytes.fromhex(digest_hex))


def _checked(raw: bytes, key: object, digest: bytes) -> SignatureCheck:
    if isinstance(key, rsa.RSAPublicKey):
        if _fits_rsa(raw, key, digest, padding.PSS(padding.MGF1(SHA256()), padding.PSS.AUTO)):
            short = f", a key of {key.key_size} bits, which is too short" if key.key_size < _LEAST_RSA_BITS else ""
            return SignatureCheck("valid", f"RSA-PSS with SHA-256{short}")
        if _fits_rsa(raw, key, digest, padding.PKCS1v15()):
            return SignatureCheck("wrong", "The signature fits, but with PKCS #1 v1.5; stations expect RSA-PSS.")
        return SignatureCheck("wrong", "The signature does not belong to this file and certificate (RSA-PSS, SHA-256).")
    if isinstance(key, ec.EllipticCurvePublicKey):
        try:
            key.verify(raw, digest, ec.ECDSA(_PREHASHED))
        except InvalidSignature:
            return SignatureCheck(
                "wrong", "The signature does not belong to this file and certificate (ECDSA, SHA-256)."
            )
        return SignatureCheck("valid", f"ECDSA with SHA-256 on {key.curve.name}")
    return SignatureCheck("wrong", "The signing certificate's key is neither RSA nor of an elliptic curve.")


def _fits_rsa(raw: bytes, key: rsa.RSAPublicKey, digest: bytes, padded: padding.AsymmetricPadding) -> bool:
    try:
        key.verify(raw, digest, padded, _PREHASHED)
    except InvalidSignature:
        return False
    return True
