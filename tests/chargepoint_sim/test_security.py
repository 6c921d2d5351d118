"""Security: profiles, passwords, certificates and the events that tell of them, over real TLS."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chargepoint_sim import Given, Habits
from chargepoint_sim.errors import PasswordRefusedError, TlsRefusedError, UntrustedError, UsageError
from chargepoint_sim.events import Noted
from tests.chargepoint_sim import makers
from tests.chargepoint_sim.central_system import CentralSystem, Silence, running
from tests.chargepoint_sim.conftest import IMPATIENT
from tests.chargepoint_sim.file_server import http_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chargepoint_sim import Station

    Make = Callable[..., Station]

KEY = "ab" * 20
ROOT, MAKER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA) -> Iterator[Path]:
    with ca.cert_pem.tempfile() as path:
        from pathlib import Path

        yield Path(path)


def server_tls(ca: trustme.CA, *, asks: bool = False, issuer: makers.Signed | None = None) -> ssl.SSLContext:
    """TLS of a central system. asks: for the station's certificate, signed by the issuer or the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        ca.configure_trust(context)
    if issuer is not None:
        context.load_verify_locations(cadata=issuer.pem)
    return context


def own_files(signed: makers.Signed, folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "own.pem", folder / "own.key"
    cert.write_text(signed.pem)
    key.write_text(signed.key_pem)
    return cert, key


# --- profiles -----------------------------------------------------------------------------------------------------


async def test_the_profile_follows_from_the_address_the_key_and_the_certificate(
    central: CentralSystem, make: Make, tmp_path: Path
) -> None:
    cert, key = own_files(makers.leaf("SIM-1", makers.authority("Root")), tmp_path)
    secure = {"secure_url": "wss://127.0.0.1:1/ocpp"}
    assert make().security_profile == 0
    assert make(key=KEY).security_profile == 1
    assert make(key=KEY, given=Given(profile=2)).security_profile == 2
    assert make(given=Given(cert=cert, cert_key=key, profile=3), **secure).security_profile == 3
    for wrong in (Given(profile=1), Given(profile=2), Given(profile=3), Given(cert=cert)):
        with pytest.raises(UsageError):
            make(given=wrong)
    assert central.opened == 0


async def test_tls_goes_with_a_password_in_profile_2(ca: trustme.CA, ca_file: Path, make: Make) -> None:
    central = CentralSystem(password=bytes.fromhex(KEY))
    async with (
        running(central, ssl=server_tls(ca)),
        make_at(make, central, key=KEY, given=Given(ca=ca_file)) as station,
    ):
        await station.wait_online(60)
        assert station.security_profile == 2
        event = await central.wait_for("SecurityEventNotification")
    assert central.tls[0] is not None
    assert central.tls[0][0] == "TLSv1.3"
    assert event.payload["type"] == "StartupOfTheDevice"


def make_at(make: Make, central: CentralSystem, **options: Any) -> Station:
    """A station of another central system than the usual one."""
    return make(**({"url": central.url} | options))


async def test_a_station_shows_its_certificate_in_profile_3_and_no_password(
    ca: trustme.CA, ca_file: Path, make: Make, tmp_path: Path
) -> None:
    root = makers.authority("Stations")
    cert, key = own_files(makers.leaf("SIM-1", root), tmp_path)
    central = CentralSystem(password=b"nobody knows it")
    central.admit = lambda _connection, request: passwords.append(request.headers.get("Authorization"))  # type: ignore[assignment, method-assign, func-returns-value]
    passwords: list[str | None] = []
    given = Given(ca=ca_file, cert=cert, cert_key=key, tls_maximum="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    async with (
        running(central, ssl=server_tls(ca, asks=True, issuer=root)),
        make_at(make, central, key=KEY, given=given) as station,
    ):
        await station.wait_online(60)
        assert station.security_profile == 3
    assert passwords == [None]
    assert central.tls[0] is not None
    version, shown = central.tls[0]
    assert (version, shown["subject"]) == ("TLSv1.2", ((("commonName", "SIM-1"),),))  # type: ignore[index]


@pytest.mark.parametrize("tls_maximum", ["1.2", "1.3"])
async def test_a_station_without_a_certificate_is_refused_where_one_is_asked_for(
    ca: trustme.CA, ca_file: Path, make: Make, tls_maximum: Any
) -> None:
    central = CentralSystem()
    given = Given(ca=ca_file, tls_maximum=tls_maximum)
    async with (
        running(central, ssl=server_tls(ca, asks=True)),
        make_at(make, central, key=KEY, given=given, give_up=True) as station,
    ):
        with pytest.raises(TlsRefusedError, match="TLS failed"):
            await station.wait_online(60)
        assert station.security_events.log[-1].kind == "FailedToAuthenticateAtCentralSystem"
    assert central.opened == 0


async def test_a_central_system_that_cannot_be_trusted_is_not_talked_to_and_told_of_later(
    ca: trustme.CA, make: Make, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(makers.authority("Somebody else").pem)
    central = CentralSystem()
    async with (
        running(central, ssl=server_tls(ca)),
        make_at(make, central, key=KEY, given=Given(ca=other), give_up=True) as station,
    ):
        with pytest.raises(UntrustedError, match="cannot be trusted"):
            await station.wait_online(60)
        assert [event.kind for event in station.security_events.waiting] == ["InvalidCentralSystemCertificate"]


async def test_a_refused_password_is_told_once_when_the_station_is_let_in(central: CentralSystem, make: Make) -> None:
    central.password = b"another one"
    async with make(key=KEY) as station:
        await station.wait_until(lambda: bool(station.security_events.waiting), 60)
        await asyncio.sleep(0.2)
        central.password = bytes.fromhex(KEY)
        await station.wait_online(60)
        await station.wait_events_told(60)
    kinds = [call.payload["type"] for call in central.of("SecurityEventNotification")]
    assert kinds == ["FailedToAuthenticateAtCentralSystem"]


async def test_a_profile_rises_with_a_reset_and_never_falls(ca: trustme.CA, central: CentralSystem, make: Make) -> None:
    secure = CentralSystem(password=bytes.fromhex(KEY))
    async with running(secure, ssl=server_tls(ca)), make(key=KEY, secure_url=secure.url) as station:
        await station.wait_online(60)
        change = {"key": "SecurityProfile"}
        assert await central.call("ChangeConfiguration", **change, value="0") == {"status": "Rejected"}
        assert await central.call("ChangeConfiguration", **change, value="2") == {"status": "Rejected"}
        installed = await central.call(
            "InstallCertificate", certificateType=ROOT, certificate=ca.cert_pem.bytes().decode()
        )
        assert installed == {"status": "Accepted"}
        assert await central.call("ChangeConfiguration", **change, value="3") == {"status": "Rejected"}
        assert await central.call("ChangeConfiguration", **change, value="2") == {"status": "Accepted"}
        assert await central.call("Reset", type="Hard") == {"status": "Accepted"}
        await secure.wait_for("BootNotification")
        await station.wait_online(60)
        assert await secure.call("ChangeConfiguration", **change, value="1") == {"status": "Rejected"}
        listed = await secure.call("GetInstalledCertificateIds", certificateType=ROOT)
        deleted = await secure.call("DeleteCertificate", certificateHashData=listed["certificateHashData"][0])
        assert deleted == {"status": "Failed"}
    assert central.opened == 1


async def test_a_profile_that_does_not_work_is_given_up_for_the_one_before(
    ca: trustme.CA, central: CentralSystem, make: Make
) -> None:
    async with make(key=KEY, secure_url="wss://127.0.0.1:1/ocpp") as station:
        await station.wait_online(60)
        station.certificates.install(ROOT, ca.cert_pem.bytes().decode(), station.clock.now())
        await central.call("ChangeConfiguration", key="SecurityProfile", value="2")
        await central.call("Reset", type="Hard")
        await central.wait_for("BootNotification", 2)
        await station.wait_online(60)
        assert station.security_profile == 1


async def test_a_new_password_is_used_at_once_and_outlives_a_restart(
    central: CentralSystem, make: Make, tmp_path: Path
) -> None:
    central.password = bytes.fromhex(KEY)
    fresh = "0c" * 16
    async with make(key=KEY, state_dir=tmp_path) as station:
        await station.wait_online(60)
        assert await central.call("ChangeConfiguration", key="AuthorizationKey", value=fresh) == {"status": "Accepted"}
        central.password = bytes.fromhex(fresh)
        await station.wait_until(lambda: central.opened == 2 and station.is_online, 60)
        assert len(central.of("BootNotification")) == 1
    async with make(key=KEY, state_dir=tmp_path, give_up=True) as station:
        await station.wait_online(60)
    async with make(key=KEY, give_up=True) as station:
        with pytest.raises(PasswordRefusedError):
            await station.wait_online(60)


# --- the station's own certificate --------------------------------------------------------------------------------


async def asked_for(central: CentralSystem, station: Station) -> str:
    """The signing request of a station that was triggered."""
    await station.wait_online(60)
    asked = {"requestedMessage": "SignChargePointCertificate"}
    assert await central.call("ExtendedTriggerMessage", **asked) == {"status": "Accepted"}
    call = await central.wait_for("SignCertificate")
    return str(call.payload["csr"])


@pytest.mark.parametrize("algorithm", ["EC", "RSA"])
async def test_a_request_names_the_station_and_its_owner(central: CentralSystem, make: Make, algorithm: Any) -> None:
    keys = {"CpoName": "Charging AG"}
    async with make("A/B", configuration=keys, habits=Habits(key_algorithm=algorithm)) as station:
        request = x509.load_pem_x509_csr((await asked_for(central, station)).encode())
    assert request.subject.rfc4514_string() == "O=Charging AG,CN=A/B"
    assert request.is_signature_valid
    assert isinstance(request.public_key(), rsa.RSAPublicKey) is (algorithm == "RSA")


async def test_a_signed_certificate_is_taken_into_use_for_profile_3(
    ca: trustme.CA, central: CentralSystem, make: Make, tmp_path: Path
) -> None:
    root = makers.authority("Stations")
    middle = makers.authority("Stations of the north", root)
    secure = CentralSystem()
    tls = server_tls(ca, asks=True, issuer=root)
    async with running(secure, ssl=tls), make(key=KEY, secure_url=secure.url, state_dir=tmp_path) as station:
        csr = await asked_for(central, station)
        for pem in (root.pem, ca.cert_pem.bytes().decode()):
            await central.call("InstallCertificate", certificateType=ROOT, certificate=pem)
        chain = makers.sign_request(csr, middle) + middle.pem
        assert await central.call("CertificateSigned", certificateChain=chain) == {"status": "Accepted"}
        assert station.security.own is not None
        await central.call("ChangeConfiguration", key="SecurityProfile", value="3")
        await central.call("Reset", type="Soft")
        await secure.wait_for("BootNotification")
        assert station.security_profile == 3
        # A renewal shows the new certificate at once.
        await station.wait_online(60)
        renewal = makers.sign_request(await asked_for(secure, station), root)
        assert await secure.call("CertificateSigned", certificateChain=renewal) == {"status": "Accepted"}
        await station.wait_until(lambda: secure.opened == 2 and station.is_online, 60)
    assert len(secure.of("BootNotification")) == 1
    numbers = [seen[1]["serialNumber"] for seen in secure.tls if seen and seen[1]]
    assert len(set(numbers)) == 2
    async with make(key=KEY, secure_url=secure.url, state_dir=tmp_path) as again:
        assert again.security_profile == 3
        assert again.security.own == station.security.own


@pytest.mark.parametrize(
    "reason", ["another key", "another name", "a broken chain", "no certificate", "expired", "too long"]
)
async def test_a_certificate_that_does_not_hold_is_rejected_and_told_as_an_event(
    central: CentralSystem, make: Make, reason: str
) -> None:
    root = makers.authority("Stations", expired=reason == "expired")
    async with make() as station:
        csr = await asked_for(central, station)
        chain = {
            "another key": makers.leaf("SIM-1", root).pem,
            "another name": makers.sign_request(csr, root, "SIM-2"),
            "a broken chain": makers.sign_request(csr, root) + makers.authority("Other").pem,
            "no certificate": "-----BEGIN CERTIFICATE-----",
            "expired": makers.sign_request(csr, root) + root.pem,
            "too long": " " * 9_999 + csr,
        }[reason][:10_000]
        if reason == "too long":
            station.configuration.build_in("CertificateSignedMaxChainSize", "5000")
        assert await central.call("CertificateSigned", certificateChain=chain) == {"status": "Rejected"}
        event = await central.wait_for("SecurityEventNotification")
        assert event.payload["type"] == "InvalidChargePointCertificate"
        assert event.payload["techInfo"]
        assert station.security.own is None


async def test_a_request_that_is_rejected_leaves_the_station_as_it_was(central: CentralSystem, make: Make) -> None:
    central.answers["SignCertificate"] = lambda _call: {"status": "Rejected"}
    async with make() as station:
        await station.wait_online(60)
        assert not await station.sign_certificate()
        assert station.security.own is None


# --- roots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("use", [ROOT, MAKER])
async def test_roots_are_installed_listed_by_their_hashes_and_deleted(
    central: CentralSystem, make: Make, use: str, algorithm: Any
) -> None:
    root = makers.authority("Root")
    async with make(habits=Habits(hash_algorithm=algorithm)) as station:
        await station.wait_online(60)
        assert await central.call("GetInstalledCertificateIds", certificateType=use) == {"status": "NotFound"}
        for _ in range(2):
            installed = await central.call("InstallCertificate", certificateType=use, certificate=root.pem)
            assert installed == {"status": "Accepted"}
        listed = await central.call("GetInstalledCertificateIds", certificateType=use)
        assert (listed["status"], len(listed["certificateHashData"])) == ("Accepted", 1)
        data = listed["certificateHashData"][0]
        name = root.certificate.issuer.public_bytes()
        assert data["issuerNameHash"] == hashlib.new(algorithm, name).hexdigest()
        point = root.certificate.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        assert data["issuerKeyHash"] == hashlib.new(algorithm, point).hexdigest()
        assert int(data["serialNumber"], 16) == root.certificate.serial_number
        other = data | {"serialNumber": "12"}
        assert await central.call("DeleteCertificate", certificateHashData=other) == {"status": "NotFound"}
        written = data | {"serialNumber": "0" + data["serialNumber"].upper()}
        assert await central.call("DeleteCertificate", certificateHashData=written) == {"status": "Accepted"}
        assert await central.call("GetInstalledCertificateIds", certificateType=use) == {"status": "NotFound"}


@pytest.mark.parametrize("reason", ["no certificate", "expired", "no authority", "two"])
async def test_a_root_that_does_not_hold_is_rejected_and_told_as_an_event(
    central: CentralSystem, make: Make, reason: str
) -> None:
    root = makers.authority("Root")
    pem = {
        "no certificate": "nothing",
        "expired": makers.authority("Old", expired=True).pem,
        "no authority": makers.leaf("Somebody", root).pem,
        "two": root.pem + makers.authority("Other").pem,
    }[reason]
    async with make() as station:
        await station.wait_online(60)
        answer = await central.call("InstallCertificate", certificateType=ROOT, certificate=pem)
        assert answer == {"status": "Rejected"}
        event = await central.wait_for("SecurityEventNotification")
        assert event.payload["type"] == "InvalidCentralSystemCertificate"
        assert not len(station.certificates)


async def test_a_full_store_and_a_chained_one_refuse_more(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"CertificateStoreMaxLength": "1"}) as station:
        await station.wait_online(60)
        for status in ("Accepted", "Failed"):
            pem = makers.authority("Root").pem
            answer = await central.call("InstallCertificate", certificateType=MAKER, certificate=pem)
            assert answer == {"status": status}
    async with make(configuration={"AdditionalRootCertificateCheck": "true"}) as station:
        await station.wait_online(60)
        first = makers.authority("First")
        for pem, status in (
            (first.pem, "Accepted"),
            (makers.authority("Stranger").pem, "Rejected"),
            (makers.authority("Second", first).pem, "Accepted"),
        ):
            answer = await central.call("InstallCertificate", certificateType=ROOT, certificate=pem)
            assert answer == {"status": status}


async def test_a_habit_does_not_find_the_hashes_it_has_listed(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(delete_not_found=True)) as station:
        await station.wait_online(60)
        await central.call("InstallCertificate", certificateType=MAKER, certificate=makers.authority("Root").pem)
        listed = await central.call("GetInstalledCertificateIds", certificateType=MAKER)
        data = listed["certificateHashData"][0]
        assert await central.call("DeleteCertificate", certificateHashData=data) == {"status": "NotFound"}


async def test_files_over_https_need_an_installed_root(central: CentralSystem, ca: trustme.CA, make: Make) -> None:
    with http_files(server_tls(ca)) as files:
        async with make() as station:
            await station.wait_online(60)
            await central.call("GetDiagnostics", location=files.url)
            await central.wait_for("DiagnosticsStatusNotification", 2)
            station.certificates.install(ROOT, ca.cert_pem.bytes().decode(), station.clock.now())
            await central.call("GetDiagnostics", location=files.url)
            await central.wait_for("DiagnosticsStatusNotification", 4)
    statuses = [call.payload["status"] for call in central.of("DiagnosticsStatusNotification")]
    assert statuses == ["Uploading", "UploadFailed", "Uploading", "Uploaded"]


# --- events -------------------------------------------------------------------------------------------------------


async def test_security_events_outlive_the_link_and_a_restart_and_are_told_once(
    central: CentralSystem, make: Make, tmp_path: Path
) -> None:
    async with make(state_dir=tmp_path) as station:
        await station.wait_online(60)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        station.tamper()
        station.security_events.happened("MemoryExhaustion", "x" * 300)
        await asyncio.sleep(0.05)
        assert not central.of("SecurityEventNotification")
    async with make(state_dir=tmp_path) as station:
        await station.wait_online(60)
        await station.wait_events_told(60)
    told = [call.payload for call in central.of("SecurityEventNotification")]
    assert [one["type"] for one in told] == ["TamperDetectionActivated", "MemoryExhaustion"]
    assert len(told[1]["techInfo"]) == 255


async def test_an_event_without_an_answer_is_not_told_for_ever(central: CentralSystem, make: Make) -> None:
    def silent(_call: object) -> dict[str, Any]:
        raise Silence

    central.answers["SecurityEventNotification"] = silent
    async with make(timing=IMPATIENT) as station:
        reader = station.events()
        await station.wait_online(60)
        station.tamper()
        await station.wait_events_told(60)
    assert len(central.of("SecurityEventNotification")) == 1
    notes = [record.event.text async for record in reader if isinstance(record.event, Noted)]
    assert any(note.startswith("security event TamperDetectionActivated") for note in notes)


@pytest.mark.parametrize(
    ("given", "server", "kind"),
    [
        ({"tls_maximum": "1.2"}, {"minimum_version": ssl.TLSVersion.TLSv1_3}, "InvalidTLSVersion"),
        ({"tls_maximum": "1.2", "ciphers": "ECDHE-RSA-AES256-GCM-SHA384"}, {}, "InvalidTLSCipherSuite"),
    ],
)
async def test_what_tls_cannot_agree_on_is_told_later(
    ca: trustme.CA, ca_file: Path, make: Make, given: dict[str, Any], server: dict[str, Any], kind: str
) -> None:
    tls = server_tls(ca)
    for name, value in server.items():
        setattr(tls, name, value)
    # A server that writes its alert before it hangs up; that of `websockets` hangs up at once.
    with http_files(tls) as peer:
        url = peer.url.replace("https://", "wss://")
        async with make(url=url, key=KEY, given=Given(ca=ca_file, **given), give_up=True) as station:
            with pytest.raises(TlsRefusedError):
                await station.wait_online(60)
            assert [event.kind for event in station.security_events.waiting] == [kind]


async def test_a_profile_that_was_preset_needs_what_it_needs(make: Make) -> None:
    with pytest.raises(UsageError, match="profile 3 needs a certificate"):
        make(configuration={"SecurityProfile": "3"})
    with pytest.raises(UsageError, match="profile 2 needs a key"):
        make(configuration={"SecurityProfile": "2"})
