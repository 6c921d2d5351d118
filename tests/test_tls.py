"""The TLS port: who gets through with which certificate, what a broken handshake costs, files that change."""

import asyncio
import base64
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import select
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from csms import clock
from csms.charging import models
from csms.charging.stations import AddChargePoint, hash_key
from csms.errors import ConfigurationError
from csms.operations import authority, security_store
from csms.operations import security_models as tables
from csms.operations.authority import Revoked
from csms.operations.certificate_reading import fingerprint_of, read_certificates
from csms.operations.certificates import record_of
from csms.tls import Tls
from tests.conftest import settings_for
from tests.support.peer import Peer
from tests.support.tls import (
    CPO,
    client_context,
    expired_identity,
    make_authority,
    s_client,
    station_identity,
)
from tests.support.waiting import until
from tests.support.world import KEY, World, open_world

SALT = "00" * 16


@pytest.fixture(scope="module")
def made_authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our authority and a foreign one, to be copied: keys take a while to make."""
    folder = tmp_path_factory.mktemp("authorities")
    make_authority(folder / "ca")
    make_authority(folder / "foreign", name="Somebody else")
    return folder


@pytest.fixture
def ca(made_authorities: Path, tmp_path: Path) -> Path:
    """The folder of our authority."""
    return Path(shutil.copytree(made_authorities / "ca", tmp_path / "ca"))


@pytest.fixture
async def secure(sqlite_url: str, tmp_path: Path, ca: Path) -> AsyncIterator[World]:
    """A world with a TLS port, where SAFE has to show a certificate."""
    settings = settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, cpo_name=CPO, max_failed_handshakes_per_min=20)
    async with open_world(settings) as world:
        await world.submit(AddChargePoint("SAFE", 3, None, None))
        await world.submit(AddChargePoint("KEYED", 2, SALT, hash_key(KEY, SALT)))
        yield world


def address(world: World, identity: str) -> str:
    """Return where a station connects with TLS."""
    return f"wss://127.0.0.1:{world.central_system.tls_port}/ocpp/{identity}"


async def status(world: World, identity: str, context: ssl.SSLContext, **options: Any) -> int | str:
    """Return the status of a handshake, or "tls" where TLS was refused."""
    options |= {"subprotocols": ["ocpp1.6"], "proxy": None, "compression": None, "open_timeout": 60}
    try:
        async with connect(address(world, identity), ssl=context, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code
    except TimeoutError:
        raise
    except (OSError, EOFError, InvalidMessage):
        return "tls"


def roots(ca: Path) -> authority.Authority:
    """Return our authority."""
    return authority.load(ca, "")


def alarms(world: World) -> dict[str, str]:
    """Return the texts of the alarms, by key."""
    with world.database.reading() as connection:
        return {row.key: row.text for row in connection.execute(select(models.alarm))}


# --- Client certificates ----------------------------------------------------------------------------------------------


async def test_a_station_shows_its_certificate_by_identity_or_serial_number(
    secure: World, ca: Path, tmp_path: Path
) -> None:
    own = client_context(ca, station_identity(roots(ca), tmp_path, "SAFE"))
    serial = client_context(ca, station_identity(roots(ca), tmp_path, "SN-77", kind="rsa"))
    assert await status(secure, "SAFE", serial) == 403
    async with Peer.connect(address(secure, "SAFE"), ssl=own) as peer:
        about = {"chargePointVendor": "A", "chargePointModel": "B", "chargePointSerialNumber": "SN-77"}
        assert (await peer.call("BootNotification", about))["status"] == "Accepted"
    assert await status(secure, "SAFE", serial) == 101
    with secure.database.reading() as connection:
        (shown,) = connection.execute(select(tables.station_security)).all()
    assert shown.shown_subject == f"CN=SN-77,O={CPO}"


async def test_a_certificate_that_is_not_its_own_is_refused_and_an_alarm_says_so(
    secure: World, ca: Path, tmp_path: Path
) -> None:
    other = client_context(ca, station_identity(roots(ca), tmp_path, "OTHER"))
    foreign_cpo = client_context(ca, station_identity(roots(ca), tmp_path, "SAFE", organization="Another CPO"))
    for context in (other, foreign_cpo):
        assert await status(secure, "SAFE", context) == 403
    assert await status(secure, "SAFE", client_context(ca)) == 403
    assert secure.central_system.counts["handshake refused: certificate not its own"] == 2
    assert secure.central_system.counts["handshake refused: no certificate"] == 1
    assert "SAFE was turned away from 127.0.0.1" in " ".join(alarms(secure).values())


async def test_an_expired_certificate_and_one_of_an_unknown_authority_do_not_get_through_tls(
    secure: World, ca: Path, tmp_path: Path, made_authorities: Path
) -> None:
    expired = client_context(ca, expired_identity(roots(ca), tmp_path, "SAFE"))
    foreign = client_context(ca, station_identity(authority.load(made_authorities / "foreign", ""), tmp_path, "SAFE"))
    assert await status(secure, "SAFE", expired) == "tls"
    assert await status(secure, "SAFE", foreign) == "tls"
    assert secure.central_system.counts["tls handshake failed"] == 2


async def test_a_certificate_of_the_server_is_none_of_a_station(secure: World, ca: Path) -> None:
    server = client_context(ca, (ca / "server-ecdsa.pem", ca / "server-ecdsa.key"))
    assert await status(secure, "SAFE", server) == "tls"


async def test_a_revoked_certificate_is_refused_from_the_next_connection_on(
    secure: World, ca: Path, tmp_path: Path
) -> None:
    files = station_identity(roots(ca), tmp_path, "SAFE")
    facts = read_certificates(files[0].read_text())[0]
    context = client_context(ca, files)
    with secure.database.unit_of_work() as connection:
        security_store.add_certificate(connection, record_of(facts, "station", None, "test"), clock.now())
    assert await status(secure, "SAFE", context) == 101
    with secure.database.unit_of_work() as connection:
        assert security_store.revoke(connection, facts.fingerprint, "key compromise", "test", clock.now())
    assert await status(secure, "SAFE", context) == 403
    assert secure.central_system.counts["handshake refused: certificate revoked"] == 1


async def test_a_revocation_list_is_taken_up_while_connections_stay(secure: World, ca: Path, tmp_path: Path) -> None:
    files = station_identity(roots(ca), tmp_path, "SAFE", kind="rsa")
    facts = read_certificates(files[0].read_text())[0]
    context = client_context(ca, files)
    async with Peer.connect(address(secure, "SAFE"), ssl=context) as peer:
        roots(ca).write_lists([Revoked(facts.issuer, facts.serial_number, clock.now(), "unspecified")], clock.now())
        assert await secure.central_system.tls.reload()
        assert await status(secure, "SAFE", context) == 403
        about = {"chargePointVendor": "A", "chargePointModel": "B"}
        assert (await peer.call("BootNotification", about))["status"] == "Accepted"
    roots(ca).write_lists([], clock.now())
    assert await secure.central_system.tls.reload()
    assert await status(secure, "SAFE", context) == 101


async def test_a_station_with_a_key_may_show_any_certificate_of_a_known_authority(
    secure: World, ca: Path, tmp_path: Path
) -> None:
    context = client_context(ca, station_identity(roots(ca), tmp_path, "factory-4711"))
    token = {"Authorization": "Basic " + base64.b64encode(b"KEYED:" + KEY).decode()}
    assert await status(secure, "KEYED", context, additional_headers=token) == 101
    assert await status(secure, "KEYED", context) == 401


# --- The server's certificates ----------------------------------------------------------------------------------------


async def test_new_certificates_are_taken_up_and_wrong_ones_are_not(secure: World, ca: Path) -> None:
    tls = secure.central_system.tls
    before = {one.fingerprint for one in tls.certificates}
    roots(ca).issue_server("charging.example", CPO, 5, clock.now())
    assert await tls.reload()
    port = secure.central_system.tls_port
    assert port is not None
    assert "CN = charging.example" in await s_client(port, ca, "-tls1_2", "-cipher", "AES128-GCM-SHA256")
    taken = {one.fingerprint for one in tls.certificates}
    assert not taken & before
    (ca / "server-rsa.pem").write_text((ca / "server-ecdsa.pem").read_text())  # does not fit its key
    assert not await tls.reload()
    assert {one.fingerprint for one in tls.certificates} == taken
    assert "CN = charging.example" in await s_client(port, ca, "-tls1_2", "-cipher", "AES128-GCM-SHA256")


async def test_a_server_that_is_reached_by_its_address_has_a_certificate_for_it(secure: World, ca: Path) -> None:
    context = ssl.create_default_context()
    for root in ca.glob("root-*.pem"):
        context.load_verify_locations(root)
    port = secure.central_system.tls_port
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=context)
    roots(ca).issue_server("127.0.0.1", CPO, 5, clock.now())
    assert await secure.central_system.tls.reload()
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.close()


async def test_changed_files_are_found_by_looking(secure: World, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csms.tls._LOOK_EVERY_S", 0.02)
    tls = secure.central_system.tls
    before = {one.fingerprint for one in tls.certificates}
    watching = asyncio.create_task(tls.watch())
    try:
        roots(ca).issue_server("charging.example", CPO, 5, clock.now())
        async with asyncio.timeout(60):
            while {one.fingerprint for one in tls.certificates} & before:
                await asyncio.sleep(0.02)
        port, file = secure.central_system.tls_port, ca / "server-rsa.pem"
        shown = await s_client(port, ca, "-tls1_2", "-cipher", "AES128-GCM-SHA256", "-showcerts")
    finally:
        watching.cancel()
    assert fingerprint_of(file.read_text()) in {one.fingerprint for one in tls.certificates}
    assert file.read_text().partition("-----END")[0] in shown


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("server-ecdsa.pem", "cannot be read"),
        ("server-rsa.key", "does not fit"),
        ("root-rsa.pem", "cannot be read"),
        ("crl-ecdsa.pem", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(sqlite_url: str, tmp_path: Path, ca: Path, broken: str, said: str) -> None:
    (ca / broken).write_text("-----BEGIN NOTHING-----")
    settings = settings_for(sqlite_url, tmp_path, ocpp_tls_port=0)
    with pytest.raises(ConfigurationError, match=f"{broken}.*{said}|{said}.*{broken}"):
        Tls(settings, clock.now).load()


def test_a_port_without_a_certificate_says_how_to_get_one(sqlite_url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="csms ca init"):
        Tls(settings_for(sqlite_url, tmp_path, ocpp_tls_port=0), clock.now).load()


def test_a_revocation_list_of_somebody_else_is_refused(
    sqlite_url: str, tmp_path: Path, ca: Path, made_authorities: Path
) -> None:
    shutil.copy(made_authorities / "foreign" / "crl-rsa.pem", ca / "crl-rsa.pem")
    with pytest.raises(ConfigurationError, match="not signed by an authority"):
        Tls(settings_for(sqlite_url, tmp_path, ocpp_tls_port=0), clock.now).load()


def test_the_keys_of_the_authority_are_its_owners_alone(ca: Path, tmp_path: Path) -> None:
    for path in ca.glob("*.key"):
        assert path.stat().st_mode & 0o077 == 0
    authority.create(tmp_path / "locked", "Test", CPO, "geheim", 5, clock.now())
    assert b"ENCRYPTED" in (tmp_path / "locked" / "root-ecdsa.key").read_bytes()
    with pytest.raises(ConfigurationError, match="CSMS_CA_PASSPHRASE"):
        authority.load(tmp_path / "locked", "wrong")
    with pytest.raises(ConfigurationError, match="already"):
        authority.create(tmp_path / "locked", "Test", CPO, "", 5, clock.now())


# --- Broken handshakes ------------------------------------------------------------------------------------------------


async def test_broken_handshakes_are_counted_and_their_address_has_to_wait(
    sqlite_url: str, tmp_path: Path, ca: Path
) -> None:
    settings = settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, max_failed_handshakes_per_min=3)
    async with open_world(settings) as world:
        port = world.central_system.tls_port
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /ocpp/CP1 HTTP/1.1\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        counts = world.central_system.counts
        assert counts["tls handshake failed"] == 3
        assert await status(world, "CP1", client_context(ca)) == "tls"
        assert counts["handshake too often"] == 1
        elsewhere = await status(world, "CP1", client_context(ca), local_addr=("127.0.0.9", 0))
        assert elsewhere == 101


async def test_whoever_hangs_up_without_a_word_is_not_counted_as_a_failure(secure: World) -> None:
    for _ in range(30):
        _, writer = await asyncio.open_connection("127.0.0.1", secure.central_system.tls_port)
        writer.close()
        await writer.wait_closed()
    counts = secure.central_system.counts
    async with asyncio.timeout(60):
        while counts["tls connection without a handshake"] < 30:
            await asyncio.sleep(0.01)
    assert counts["tls handshake failed"] == 0


async def test_a_handshake_that_never_ends_is_ended(sqlite_url: str, tmp_path: Path, ca: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, handshake_timeout_s=1)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.central_system.tls_port)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


async def test_no_more_handshakes_at_once_than_allowed_until_one_of_them_is_over(
    sqlite_url: str, tmp_path: Path, ca: Path
) -> None:
    settings = settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, handshake_timeout_s=600, max_tls_handshakes=2)
    async with open_world(settings) as world:
        port, counts = world.central_system.tls_port, world.central_system.counts
        idle = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(2)]
        assert await status(world, "CP1", client_context(ca)) == "tls"
        assert counts["tls handshakes at once beyond the limit"] == 1
        for writer in idle:
            writer.close()
        await until(lambda: counts["tls connection without a handshake"] == 2)
        assert await status(world, "CP1", client_context(ca)) == 101


async def test_stopping_closes_secure_connections_like_all_others(sqlite_url: str, tmp_path: Path, ca: Path) -> None:
    async with open_world(settings_for(sqlite_url, tmp_path, ocpp_tls_port=0)) as world:
        peer_context = Peer.connect(address(world, "CP1"), ssl=client_context(ca))
        peer = await peer_context.__aenter__()
        await world.central_system.stop()
        await asyncio.wait_for(peer.socket.wait_closed(), 60)
        assert peer.socket.close_code == 1001
        await peer_context.__aexit__(None, None, None)


def test_the_lists_know_when_they_are_old(ca: Path) -> None:
    now = clock.now()
    assert not roots(ca).lists_are_older_than(now - timedelta(days=1))
    os.utime(ca / "crl-rsa.pem", (0, 0))
    assert roots(ca).lists_are_older_than(now - timedelta(days=1))
    found = x509.load_pem_x509_crl((ca / "crl-rsa.pem").read_bytes())
    assert found.next_update_utc is not None
    assert fingerprint_of((ca / "root-rsa.pem").read_text()) in {one.fingerprint for one in roots(ca).roots}
