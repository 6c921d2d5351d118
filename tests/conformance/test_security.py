"""TC_073 to TC_078 and TC_083 to TC_088: keys, certificates and profiles of the link (Security Whitepaper, edition 3).

Each TLS connection is a real one; what `openssl s_client` sees of the server is asked for each suite.
"""

import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus

from csms.charging.models import alarm, charge_point, command
from csms.charging.stations import AddChargePoint, hash_key
from csms.config import Settings
from csms.operations import authority
from csms.operations.certificate_reading import fingerprint_of, hash_data, read_certificates
from csms.operations.link_security import SetProfile
from csms.operations.security_models import certificate, certificate_request, installed_certificate, security_event
from tests.conformance.harness import Operator, Station
from tests.conftest import settings_for
from tests.support.tls import (
    CPO,
    MORE_SUITES,
    REQUIRED_SUITES,
    client_context,
    make_authority,
    make_request,
    s_client,
    station_identity,
)
from tests.support.waiting import until

KEY = bytes(range(20))
NEW_KEY = bytes(range(100, 120))
SALT = "00" * 16


@pytest.fixture(scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, to be copied: its keys take a while to make."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    make_authority(folder)
    return folder


@pytest.fixture
def ca(made_authority: Path, tmp_path: Path) -> Path:
    """The folder of the authority of this test."""
    return Path(shutil.copytree(made_authority, tmp_path / "ca"))


@pytest.fixture
def conformance_settings(sqlite_url: str, tmp_path: Path, ca: Path) -> Settings:
    """TLS beside the plain port, and nobody without a key."""
    return settings_for(
        sqlite_url,
        tmp_path,
        minimum_security_profile=1,
        ocpp_tls_port=0,
        cpo_name=CPO,
        max_certificate_requests_per_h=4,
    )


async def add(operator: Operator, identity: str, profile: Any, key: bytes | None = KEY) -> int:
    """Add a station that has to reach a profile."""
    digest = None if key is None else hash_key(key, SALT)
    number: int = await operator.world.submit(AddChargePoint(identity, profile, SALT if key else None, digest))
    operator.charge_point_id = number
    return number


def tls(operator: Operator, identity: str, ca: Path, files: tuple[Path, Path] | None = None) -> dict[str, Any]:
    """Return how to connect over TLS."""
    url = f"wss://127.0.0.1:{operator.running.ocpp_tls_port}/ocpp/{identity}"
    return {"url": url, "ssl": client_context(ca, files)}


async def refusal(operator: Operator, identity: str, **options: Any) -> int:
    """Return the status with which a connection is refused; 0 where not even TLS came about."""
    try:
        async with operator.station(identity, boot=False, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
    except (OSError, ssl.SSLError, InvalidMessage, EOFError):
        return 0


def profile_of(operator: Operator, number: int) -> int:
    """Return the stored profile."""
    (row,) = operator.stored(charge_point, charge_point.c.id == number)
    return int(row["security_profile"])


# --- TC_073 -----------------------------------------------------------------------------------------------------------


async def test_tc_073_update_charge_point_password_for_http_basic_authentication(operator: Operator) -> None:
    number = await add(operator, "SAFE", 1)
    async with operator.station("SAFE", key=KEY) as station:
        payload = {"key": "AuthorizationKey", "value": NEW_KEY.hex()}
        pending = await operator.command("ChangeConfiguration", payload)
        taken = await station.takes("ChangeConfiguration", payload)
        assert await refusal(operator, "SAFE", key=b"neither") == 401
        await taken.answer({"status": "Accepted"})
        done = await pending.done()
        assert (done.state, done.answer) == ("accepted", {"status": "Accepted"})
        assert NEW_KEY.hex() not in str(done)
    assert await refusal(operator, "SAFE", key=KEY) == 401  # A01.FR.03: no longer accepted
    async with operator.station("SAFE", key=NEW_KEY) as station:
        await station.status(1, "Available")
    assert await refusal(operator, "SAFE", key=NEW_KEY.hex()) == 101
    assert NEW_KEY.hex() not in str(operator.stored(command))
    (row,) = operator.stored(charge_point, charge_point.c.id == number)
    assert row["new_key_hash"] is None


async def test_tc_073_the_old_password_stays_when_the_charge_point_rejects_the_new_one(operator: Operator) -> None:
    await add(operator, "SAFE", 1)
    async with operator.station("SAFE", key=KEY) as station:
        payload = {"key": "AuthorizationKey", "value": NEW_KEY.hex()}
        done = await operator.told(station, "ChangeConfiguration", payload, answers={"status": "Rejected"})
        assert done.state == "rejected"
    assert await refusal(operator, "SAFE", key=NEW_KEY) == 401  # A01.FR.04
    assert await refusal(operator, "SAFE", key=KEY) == 101


# --- TC_074 and 077 ---------------------------------------------------------------------------------------------------


async def ask_for_certificate(operator: Operator, station: Station, identity: str) -> tuple[str, str]:
    """Let an operator ask for a request, and the station send one; return what came with CertificateSigned, and the
    key.
    """
    wanted = {"requestedMessage": "SignChargePointCertificate"}
    await operator.told(station, "ExtendedTriggerMessage", wanted, answers={"status": "Accepted"})
    csr, key = make_request(identity)
    assert await station.call("SignCertificate", {"csr": csr}) == {"status": "Accepted"}
    assert await station.call("SignCertificate", {"csr": csr}) == {"status": "Accepted"}  # repeated: still one
    return csr, key


async def test_tc_074_update_charge_point_certificate_by_request_of_central_system(
    operator: Operator, ca: Path, tmp_path: Path
) -> None:
    number = await add(operator, "SAFE", 3, None)
    roots = authority.load(ca, "")
    first = station_identity(roots, tmp_path, "SAFE")
    async with operator.station("SAFE", **tls(operator, "SAFE", ca, first)) as station:
        _, key = await ask_for_certificate(operator, station, "SAFE")
        taken = await station.takes("CertificateSigned")
        chain = taken.payload["certificateChain"]
        await taken.answer({"status": "Accepted"})
        await station.hears_nothing()
        await until(lambda: operator.stored(certificate_request)[0]["state"] == "installed")
    assert set(taken.payload) == {"certificateChain"}
    leaf, root = read_certificates(chain)
    assert (leaf.common_name, leaf.issuer, len(chain) <= 10_000) == ("SAFE", root.subject, True)
    assert root.fingerprint in {one.fingerprint for one in roots.roots}
    files = tmp_path / "new.pem", tmp_path / "new.key"
    files[0].write_text(chain)
    files[1].write_text(key)
    async with operator.station("SAFE", **tls(operator, "SAFE", ca, files)) as station:
        await station.status(1, "Available")
    (kept,) = operator.stored(certificate)
    assert (kept["fingerprint"], kept["charge_point_id"]) == (fingerprint_of(chain), number)


async def test_tc_077_invalid_charge_point_certificate_security_event(
    operator: Operator, ca: Path, tmp_path: Path
) -> None:
    number = await add(operator, "SAFE", 3, None)
    files = station_identity(authority.load(ca, ""), tmp_path, "SAFE")
    async with operator.station("SAFE", **tls(operator, "SAFE", ca, files)) as station:
        await ask_for_certificate(operator, station, "SAFE")
        await station.takes("CertificateSigned", answers={"status": "Rejected"})
        told = {"type": "InvalidChargePointCertificate", "timestamp": operator.world.at(1)}
        for _ in range(2):
            assert await station.call("SecurityEventNotification", told) == {}
        await until(lambda: operator.stored(certificate_request)[0]["state"] == "not taken")
    (event,) = operator.stored(security_event, security_event.c.source == "station")
    assert (event["type"], event["charge_point_id"]) == ("InvalidChargePointCertificate", number)
    kinds = {row["kind"]: row["attempts"] for row in operator.stored(alarm)}
    assert (kinds["certificate not taken"], kinds["security event"]) == (1, 1)


# --- TC_075, 076 and 078 ----------------------------------------------------------------------------------------------


def named(pem: str, algorithm: str) -> dict[str, str]:
    """Return how a station names a root that it has, in upper case as some do."""
    one = next(each for each in hash_data(pem) if each.hash_algorithm == algorithm)
    return {
        "hashAlgorithm": algorithm,
        "issuerNameHash": one.issuer_name_hash.upper(),
        "issuerKeyHash": one.issuer_key_hash,
        "serialNumber": one.serial_number.upper(),
    }


async def install(operator: Operator, ca: Path, use: str) -> list[str]:
    """Let an operator install a root, and return the kinds of what the API shows as installed."""
    number = await add(operator, "SAFE", 2)
    pem = (ca / "root-rsa.pem").read_text()
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        payload = {"certificateType": use, "certificate": pem}
        assert (await operator.told(station, "InstallCertificate", payload, answers={"status": "Accepted"})).state == (
            "accepted"
        )
        (row,) = operator.stored(installed_certificate)
        assert (row["certificate_type"], row["remark"]) == (use, "not reported by it yet")
        answer = {"status": "Accepted", "certificateHashData": [named(pem, "SHA384")]}
        await operator.told(station, "GetInstalledCertificateIds", {"certificateType": use}, answers=answer)
    (row,) = operator.stored(installed_certificate)
    assert (row["charge_point_id"], row["hash_algorithm"], row["remark"]) == (number, "SHA384", "")
    roots = await operator.get(f"/charge-points/{number}/installed-certificates")
    return [one["certificate_type"] for one in roots["items"]]


async def test_tc_075_1_install_certificate_manufacturer_root_certificate(operator: Operator, ca: Path) -> None:
    assert await install(operator, ca, "ManufacturerRootCertificate") == ["ManufacturerRootCertificate"]


async def test_tc_075_2_install_certificate_central_system_root_certificate(operator: Operator, ca: Path) -> None:
    assert await install(operator, ca, "CentralSystemRootCertificate") == ["CentralSystemRootCertificate"]


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
async def test_tc_076_delete_a_specific_certificate_from_the_charge_point(
    operator: Operator, ca: Path, algorithm: str
) -> None:
    await add(operator, "SAFE", 2)
    use = {"certificateType": "CentralSystemRootCertificate"}
    roots = [(ca / f"root-{kind}.pem").read_text() for kind in ("ecdsa", "rsa")]
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        await operator.told(
            station, "InstallCertificate", use | {"certificate": roots[1]}, answers={"status": "Accepted"}
        )
        have = [named(pem, algorithm) for pem in roots]
        answer = {"status": "Accepted", "certificateHashData": have}
        report = await operator.told(station, "GetInstalledCertificateIds", use, answers=answer)
        assert len(operator.stored(installed_certificate)) == 2
        returned = report.answer["certificateHashData"][1]
        payload = {"certificateHashData": returned}
        done = await operator.told(station, "DeleteCertificate", payload, answers={"status": "Accepted"})
    assert (returned, done.state) == (have[1], "accepted")  # exactly what was returned
    (row,) = operator.stored(installed_certificate)
    assert (row["hash_algorithm"], row["serial_number"]) == (algorithm, have[0]["serialNumber"])


async def test_tc_078_invalid_central_system_certificate_security_event(operator: Operator, ca: Path) -> None:
    await add(operator, "SAFE", 2)
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        payload = {
            "certificateType": "CentralSystemRootCertificate",
            "certificate": (ca / "root-rsa.pem").read_text(),
        }
        done = await operator.told(station, "InstallCertificate", payload, answers={"status": "Rejected"})
        assert done.state == "rejected"
        told = {"type": "InvalidCentralSystemCertificate", "timestamp": operator.world.at(1), "techInfo": "expired"}
        for _ in range(2):
            assert await station.call("SecurityEventNotification", told) == {}
    assert operator.stored(installed_certificate) == []
    events = await operator.get("/security-events", type="InvalidCentralSystemCertificate")
    assert [one["tech_info"] for one in events["items"]] == ["expired"]


# --- TC_083 -----------------------------------------------------------------------------------------------------------


async def upgrade(operator: Operator, station: Station, profile: int) -> None:
    """Tell a station to use a higher profile, and to reset."""
    change = {"key": "SecurityProfile", "value": str(profile)}
    await operator.told(station, "ChangeConfiguration", change, answers={"status": "Accepted"})
    await operator.told(station, "Reset", {"type": "Hard"}, answers={"status": "Accepted"})


async def test_tc_083_upgrade_charge_point_security_profile_accepted_1_to_2(operator: Operator, ca: Path) -> None:
    number = await add(operator, "SAFE", 1)
    async with operator.station("SAFE", key=KEY) as station:
        await upgrade(operator, station, 2)
    assert profile_of(operator, number) == 1  # a station that cannot connect with it falls back (A05.FR.08)
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)):
        assert profile_of(operator, number) == 2
    assert await refusal(operator, "SAFE", key=KEY) == 403
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        await station.status(1, "Available")
    assert any(row["kind"] == "link refused" for row in operator.stored(alarm))
    assert [row["type"] for row in operator.stored(security_event)] == ["SecurityProfileRaised"]


async def test_tc_083_upgrade_charge_point_security_profile_accepted_2_to_3(
    operator: Operator, ca: Path, tmp_path: Path
) -> None:
    number = await add(operator, "SAFE", 2)
    files = station_identity(authority.load(ca, ""), tmp_path, "SAFE")
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        await upgrade(operator, station, 3)
    async with operator.station("SAFE", **tls(operator, "SAFE", ca, files)):
        assert profile_of(operator, number) == 3
    assert await refusal(operator, "SAFE", key=KEY, **tls(operator, "SAFE", ca)) == 403
    assert await refusal(operator, "SAFE", key=KEY) == 403
    async with operator.station("SAFE", **tls(operator, "SAFE", ca, files)) as station:
        await station.status(1, "Available")


async def test_tc_083_only_an_administrator_lowers_a_profile_and_says_why(operator: Operator, ca: Path) -> None:
    number = await add(operator, "SAFE", 2)
    assert await refusal(operator, "SAFE", key=KEY) == 403
    assert await operator.world.submit(SetProfile(number, 1, " ", "staff maria")) == "reason missing"
    assert await refusal(operator, "SAFE", key=KEY) == 403
    assert await operator.world.submit(SetProfile(number, 1, "its TLS is broken", "staff maria")) == ""
    assert await refusal(operator, "SAFE", key=KEY) == 101
    (event,) = operator.stored(security_event)
    assert event["tech_info"] == "from 2 to 1 by staff maria: its TLS is broken"


# --- TC_085 -----------------------------------------------------------------------------------------------------------


async def test_tc_085_basic_authentication_valid_username_and_password(operator: Operator, ca: Path) -> None:
    number = await add(operator, "SAFE", 1)
    for options in ({}, tls(operator, "SAFE", ca)):  # profiles 1 and 2
        async with operator.station("SAFE", key=KEY, **options) as station:
            await station.status(0, "Available")
            await station.status(1, "Available")
    assert profile_of(operator, number) == 2
    assert await refusal(operator, "SAFE", key=b"wrong", **tls(operator, "SAFE", ca)) == 401
    assert await refusal(operator, "SAFE", **tls(operator, "SAFE", ca)) == 401
    assert await refusal(operator, "CP1") == 403  # a station without a key, where profile 1 is the least


# --- TC_086 and 087 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [*REQUIRED_SUITES, *MORE_SUITES])
async def test_tc_086_tls_server_side_certificate_valid_certificate(operator: Operator, ca: Path, suite: str) -> None:
    port = operator.running.ocpp_tls_port
    assert port is not None
    said = await s_client(port, ca, "-tls1_2", "-cipher", suite)
    assert f"Cipher is {suite}" in said
    assert "Verification: OK" in said
    assert "Verified peername: localhost" in said
    assert "Compression: NONE" in said
    bits = 256 if "ECDSA" in suite else 2048
    assert f"Server public key is {bits} bit" in said


async def test_tc_086_tls_1_3_is_spoken_and_what_is_older_than_1_2_is_not(operator: Operator, ca: Path) -> None:
    port = operator.running.ocpp_tls_port
    assert port is not None
    assert "New, TLSv1.3, Cipher is TLS_" in await s_client(port, ca, "-tls1_3")
    for old in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in await s_client(port, ca, old, "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in await s_client(port, ca, "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0")
    number = await add(operator, "SAFE", 2)
    async with operator.station("SAFE", key=KEY, **tls(operator, "SAFE", ca)) as station:
        await station.status(1, "Available")
    assert profile_of(operator, number) == 2


@pytest.mark.parametrize("suite", REQUIRED_SUITES)
async def test_tc_087_tls_client_side_certificate_valid_certificate(
    operator: Operator, ca: Path, tmp_path: Path, suite: str
) -> None:
    await add(operator, "SAFE", 3, None)
    files = station_identity(authority.load(ca, ""), tmp_path, "SAFE", kind="ecdsa" if "ECDSA" in suite else "rsa")
    port = operator.running.ocpp_tls_port
    assert port is not None
    options = ("-tls1_2", "-cipher", suite, "-cert", str(files[0]), "-key", str(files[1]))
    said = await s_client(port, ca, *options)
    assert f"Cipher is {suite}" in said
    assert "Client Certificate Types: " in said  # it was asked for one
    connecting = tls(operator, "SAFE", ca, files)
    connecting["ssl"].set_ciphers(suite)
    connecting["ssl"].maximum_version = ssl.TLSVersion.TLSv1_2
    async with operator.station("SAFE", **connecting) as station:
        cipher = station.socket.transport.get_extra_info("cipher")
        assert cipher[0] == suite
        await station.status(0, "Available")
        await station.status(1, "Available")


# --- TC_088 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_tls", [False, True])
async def test_tc_088_websocket_subprotocol_negotiation(operator: Operator, ca: Path, over_tls: bool) -> None:  # noqa: FBT001 - a parameter of the test
    await add(operator, "SAFE", 1)
    options = tls(operator, "SAFE", ca) if over_tls else {}
    assert await refusal(operator, "SAFE", key=KEY, subprotocols=["ocpp0.1"], **options) == 400
    async with operator.station("SAFE", key=KEY, subprotocols=["ocpp0.1", "ocpp1.6"], **options) as station:
        assert station.socket.response is not None
        assert station.socket.response.headers["Sec-WebSocket-Protocol"] == "ocpp1.6"
        await station.status(1, "Available")
