"""Signatures of firmware: what fits, what does not, and in which words that is told."""

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID

from csms.operations.firmware_signature import check_signature

FILE = b"firmware" * 1000
DIGEST = sha256(FILE).hexdigest()
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is told
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
SHA = hashes.SHA256()


def _certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme firmware")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    signed = builder.sign(key, None if key is ED_KEY else SHA)
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def _pss(key: Any, content: bytes = FILE, salt: int = 32) -> str:
    return base64.b64encode(key.sign(content, padding.PSS(padding.MGF1(SHA), salt), SHA)).decode()


def _ecdsa(content: bytes = FILE) -> str:
    return base64.b64encode(EC_KEY.sign(content, ec.ECDSA(SHA))).decode()


@pytest.mark.parametrize(
    ("signature", "key", "note"),
    [
        (_pss(RSA_KEY), RSA_KEY, "RSA-PSS with SHA-256"),
        (_pss(RSA_KEY, salt=0), RSA_KEY, "RSA-PSS with SHA-256"),
        ("\n".join(_pss(RSA_KEY)), RSA_KEY, "RSA-PSS with SHA-256"),
        (_pss(SHORT_KEY), SHORT_KEY, "RSA-PSS with SHA-256, a key of 1024 bits, which is too short"),
        (_ecdsa(), EC_KEY, "ECDSA with SHA-256 on secp256r1"),
    ],
    ids=["pss", "pss-without-salt", "line-breaks", "short-key", "ecdsa"],
)
def test_what_fits_is_valid(signature: str, key: Any, note: str) -> None:
    checked = check_signature(signature, _certificate(key), DIGEST)
    assert (checked.state, checked.note) == ("valid", note)


@pytest.mark.parametrize(
    ("signature", "certificate", "said"),
    [
        (_pss(RSA_KEY, b"another file"), _certificate(RSA_KEY), "does not belong to this file"),
        (_pss(SHORT_KEY), _certificate(RSA_KEY), "does not belong to this file"),
        (_ecdsa(b"another file"), _certificate(EC_KEY), "does not belong to this file"),
        (_ecdsa(), _certificate(RSA_KEY), "does not belong to this file"),
        (
            base64.b64encode(RSA_KEY.sign(FILE, padding.PKCS1v15(), SHA)).decode(),
            _certificate(RSA_KEY),
            "stations expect RSA-PSS",
        ),
        (base64.b64encode(ED_KEY.sign(FILE)).decode(), _certificate(ED_KEY), "neither RSA nor of an elliptic curve"),
        ("no base64!", _certificate(RSA_KEY), "is not base64"),
        (_pss(RSA_KEY), "no certificate", "is not a certificate"),
        (_pss(RSA_KEY), "", "belong together"),
        ("", _certificate(RSA_KEY), "belong together"),
        ("A" * 804, _certificate(RSA_KEY), "longer than OCPP allows"),
        (_pss(RSA_KEY), "x" * 5501, "longer than OCPP allows"),
        ("", "", ""),
    ],
    ids=map(str, range(13)),
)
def test_what_does_not_fit_is_told(signature: str, certificate: str, said: str) -> None:
    checked = check_signature(signature, certificate, DIGEST)
    assert checked.state == ("wrong" if said else "none")
    assert said in checked.note
