"""Certificates for tests, made as the built-in authority makes them, and `openssl s_client` as a second opinion."""

import asyncio
import ssl
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from csms import clock
from csms.operations import authority
from csms.operations.authority import Authority, Issued, Kind

CPO = "Test CPO"
HOST = "localhost"
REQUIRED_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
)
MORE_SUITES = ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")


def make_authority(folder: Path, *, name: str = "Test roots", passphrase: str = "") -> Authority:
    """Make an authority with certificates of the server."""
    made = authority.create(folder, name, CPO, passphrase, 30, clock.now())
    made.issue_server(HOST, CPO, 10, clock.now())
    return made


def write_identity(folder: Path, name: str, issued: Issued) -> tuple[Path, Path]:
    """Write a certificate and its key; return the two files."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_text(issued.chain)
    key.write_text(issued.key_pem)
    return chain, key


def station_identity(
    made: Authority,
    folder: Path,
    common_name: str = "CP1",
    *,
    organization: str = CPO,
    kind: Kind = "ecdsa",
    days: int = 5,
    now: datetime | None = None,
) -> tuple[Path, Path]:
    """Issue a client certificate and return its two files."""
    issued = made.issue_station(common_name, organization, kind, days, now or clock.now())
    return write_identity(folder, f"{common_name}-{kind}-{abs(hash(issued.chain)) % 10**6}", issued)


def expired_identity(made: Authority, folder: Path, common_name: str = "CP1") -> tuple[Path, Path]:
    """Issue a client certificate that ended yesterday."""
    return station_identity(made, folder, common_name, days=1, now=clock.now() - timedelta(days=2))


def client_context(folder: Path, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return how a station connects that trusts the roots of a folder, with its certificate where it has one."""
    context = ssl.create_default_context()
    context.check_hostname = False  # tests connect to 127.0.0.1
    for root in folder.glob("root-*.pem"):
        context.load_verify_locations(root)
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


def make_request(
    common_name: str, organization: str = CPO, *, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
) -> tuple[str, str]:
    """Return a request for a certificate as a station makes it, and the key, both in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    request = x509.CertificateSigningRequestBuilder(x509.Name(names)).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return request.public_bytes(Encoding.PEM).decode(), key_pem


async def s_client(port: int, folder: Path, *options: str, sent: bytes = b"") -> str:
    """Connect with `openssl s_client`, trusting the roots of a folder, and return what it says."""
    roots = folder / "both-roots.txt"
    roots.write_bytes(b"".join(path.read_bytes() for path in sorted(folder.glob("root-*.pem"))))
    command = ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(roots), "-verify_hostname", HOST)
    process = await asyncio.create_subprocess_exec(
        *command, *options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(sent), 60)
    return said.decode(errors="replace")
