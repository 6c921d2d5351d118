"""Keys, certificates and profiles of links as they are stored, on both databases; each message also comes twice."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from sqlalchemy import Table, select, update

from csms import clock
from csms.charging import models
from csms.charging.command_models import command_secret
from csms.charging.stations import AddChargePoint, Admitted, ChangeKey, Connect, Presented, TurnedAway, hash_key
from csms.commands.certificate_acts import CertificateRefused, answer_of, revoke, root_of
from csms.commands.requests import ask
from csms.commands.security_work import SecurityWork, within
from csms.operations import authority, security_store, security_views
from csms.operations import security_models as tables
from csms.operations.certificate_reading import HashData, hash_data, matching, read_certificates, read_csr
from csms.operations.certificates import LONGEST_CHAIN, record_of
from csms.operations.link_security import SetProfile, rotate_key
from csms.sealing import Sealer
from tests.conftest import settings_for
from tests.support.peer import Peer
from tests.support.tls import CPO, make_authority, make_request
from tests.support.waiting import until
from tests.support.world import KEY, World, open_world

SALT = "00" * 16
NEW_KEY = bytes(range(50, 70))


@pytest.fixture(scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, to be copied."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    make_authority(folder)
    return folder


def rows(world: World, table: Table) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    with world.database.reading() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in found]


async def comes(world: World, identity: str, key: bytes | None, **more: Any) -> int | str:
    """Return the profile with which a station is admitted, or why it is not."""
    outcome = await world.submit(Connect(identity, key, "192.0.2.1", adopt=False, new_salt=SALT, **more))
    if isinstance(outcome, Admitted):
        return outcome.security_profile
    assert isinstance(outcome, TurnedAway)
    return outcome.reason


def shown(common_name: str, problem: Any = "") -> Presented:
    """Return a client certificate whose chain was found good."""
    return Presented(common_name, CPO, "ab" * 32, "1", "CN=root", clock.now() + timedelta(days=1), problem)


# --- Profiles ---------------------------------------------------------------------------------------------------------


async def test_a_station_never_connects_with_less_than_it_ever_proved(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    own = {"is_tls": True, "certificate": shown("SAFE")}
    assert await comes(world, "SAFE", KEY) == 1
    assert await comes(world, "SAFE", KEY, is_tls=True) == 2
    for _ in range(2):
        assert await comes(world, "SAFE", KEY) == "profile too low"
    assert await comes(world, "SAFE", None, is_tls=True) == "wrong key"
    assert await comes(world, "SAFE", None, **own) == 3
    assert await comes(world, "SAFE", KEY, is_tls=True) == "no certificate"
    assert await comes(world, "SAFE", KEY, is_tls=True, certificate=shown("OTHER")) == "certificate not its own"
    revoked = shown("SAFE", "certificate revoked")
    assert await comes(world, "SAFE", KEY, is_tls=True, certificate=revoked) == "certificate revoked"
    assert await comes(world, "SAFE", None, is_tls=False, certificate=shown("SAFE")) == "profile too low"
    assert [row["type"] for row in rows(world, tables.security_event)] == ["SecurityProfileRaised"] * 2
    raised = [row for row in rows(world, models.alarm) if row["kind"] == "link refused"]
    assert {row["charge_point_id"] for row in raised} == {number}
    assert sum(row["attempts"] for row in raised) == 6


async def test_the_least_profile_of_an_installation_counts_for_every_station(world: World) -> None:
    await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    assert await comes(world, "CP1", None) == 0
    assert await comes(world, "CP1", None, least_profile=1) == "profile too low"
    assert await comes(world, "SAFE", KEY, least_profile=1) == 1
    assert await comes(world, "SAFE", KEY, least_profile=2) == "profile too low"
    assert await comes(world, "SAFE", KEY, least_profile=2, is_tls=True) == 2


async def test_a_key_set_by_hand_lowers_no_profile_with_tls(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 2, SALT, hash_key(KEY, SALT)))
    await world.submit(ChangeKey("SAFE", 1, SALT, hash_key(NEW_KEY, SALT)))
    assert await comes(world, "SAFE", NEW_KEY) == "profile too low"
    assert await comes(world, "SAFE", NEW_KEY, is_tls=True) == 2
    await world.submit(ChangeKey("SAFE", 0, None, None))
    assert await comes(world, "SAFE", NEW_KEY, is_tls=True) == 2
    assert await world.submit(SetProfile(number, 1, "", "maria")) == "reason missing"
    assert await world.submit(SetProfile(number, 1, "no TLS there", "maria")) == ""
    assert await comes(world, "SAFE", NEW_KEY) == 1
    assert await world.submit(SetProfile(99, 1, "x", "maria")) == "unknown station"
    assert await world.submit(SetProfile(1, 2, "", "maria")) == "no key"


# --- Keys -------------------------------------------------------------------------------------------------------------


async def test_a_new_key_counts_when_it_is_taken_and_stands_nowhere(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    async with world.station("SAFE", key=KEY) as peer:
        await world.submit(rotate_key(number, "staff maria"))
        message_id, action, payload = await peer.next_command()
        assert (action, payload["key"], len(payload["value"])) == ("ChangeConfiguration", "AuthorizationKey", 40)
        assert await comes(world, "SAFE", KEY) == 1  # both count, and neither is known to have been taken
        await peer.answer(message_id, {"status": "Accepted"})
        new = bytes.fromhex(payload["value"])
        await until(lambda: rows(world, tables.station_security))
    assert await comes(world, "SAFE", KEY) == "wrong key"
    assert await comes(world, "SAFE", new) == 1
    assert await comes(world, "SAFE", payload["value"].encode()) == 1  # some use the hex text
    for table in (models.command, models.charge_point, command_secret):
        assert payload["value"] not in str(rows(world, table)).lower()


async def test_a_new_key_whose_answer_is_lost_counts_as_soon_as_it_is_used(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    async with world.station("SAFE", key=KEY) as peer:
        await world.submit(rotate_key(number, "staff maria"))
        _, _, payload = await peer.next_command()
    assert await comes(world, "SAFE", bytes.fromhex(payload["value"])) == 1
    assert await comes(world, "SAFE", KEY) == "wrong key"


async def test_a_key_that_takes_a_reboot_leaves_both_until_the_new_one_is_used(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    async with world.station("SAFE", key=KEY) as peer:
        await world.submit(rotate_key(number, "staff maria"))
        message_id, _, payload = await peer.next_command()
        await peer.answer(message_id, {"status": "RebootRequired"})
        await until(lambda: rows(world, models.command)[0]["state"] == "accepted")
    assert await comes(world, "SAFE", KEY) == 1
    assert await comes(world, "SAFE", bytes.fromhex(payload["value"])) == 1
    assert await comes(world, "SAFE", KEY) == "wrong key"


async def test_a_key_of_ones_own_waits_sealed_for_a_station_that_is_away(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    wanted = {"key": "AuthorizationKey", "value": NEW_KEY.hex()}
    await world.submit(ask(number, "ChangeConfiguration", wanted, "staff maria"))
    (kept,) = rows(world, command_secret)
    assert kept["payload_json"].startswith("sealed:")
    assert NEW_KEY.hex() not in str(rows(world, models.command))
    async with world.station("SAFE", key=KEY) as peer:
        message_id, _, payload = await peer.next_command()
        assert payload == wanted
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: not rows(world, command_secret))
    assert await comes(world, "SAFE", NEW_KEY) == 1
    assert await comes(world, "SAFE", KEY) == "wrong key"


async def test_a_secret_of_another_installation_is_not_sent(world: World) -> None:
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    wanted = {"key": "AuthorizationKey", "value": NEW_KEY.hex()}
    await world.submit(ask(number, "ChangeConfiguration", wanted, "staff maria"))
    settings = world.installation.settings.model_copy(update={"secret_key": "ab" * 32})
    with world.database.unit_of_work() as connection:
        connection.execute(update(command_secret).values(payload_json=Sealer(settings).seal("{}")))
    async with world.station("SAFE", key=KEY):
        (row,) = await until(lambda: [one for one in rows(world, models.command) if one["state"] == "rejected"])
    assert "not sent" in row["failure"]
    assert await comes(world, "SAFE", KEY) == 1


def test_what_is_sealed_says_nothing_and_opens_with_the_same_secret_only(tmp_path: Path) -> None:
    one, same = (Sealer(settings_for("", tmp_path)) for _ in range(2))
    sealed = one.seal("geheim")
    assert "geheim" not in sealed
    assert same.open(sealed) == "geheim"
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert Sealer(settings_for("", tmp_path, secret_key="cd" * 32)).open(sealed) is None
    assert [one.open(text) for text in ("", "geheim", "sealed:", "sealed:!!")] == [None] * 4


# --- Requests for certificates ----------------------------------------------------------------------------------------


async def requested(peer: Peer, csr: str) -> str:
    """Send a request, twice, and return the answer."""
    first = await peer.call("SignCertificate", {"csr": csr})
    assert await peer.call("SignCertificate", {"csr": csr}) == first
    answer: str = first["status"]
    return answer


async def test_only_a_request_that_is_the_stations_own_and_strong_is_accepted(
    database_url: str, tmp_path: Path
) -> None:
    settings = settings_for(database_url, tmp_path, cpo_name=CPO, max_certificate_requests_per_h=100)
    async with open_world(settings) as world, world.station("CP1") as peer:
        await world.add_station("CP2")
        refused = {
            "nothing": "it is no request",
            make_request("CP2")[0]: "not that of the station",
            make_request("CP1", "")[0]: "its organization",
            make_request("CP1", "Another")[0]: "its organization",
            make_request("CP1", key=ec.generate_private_key(ec.SECP192R1()))[0]: "needs 224",
            make_request("CP1", key=rsa.generate_private_key(65537, 1024))[0]: "needs 2048",  # noqa: S505
            _ed25519_request(): "neither RSA nor",
            _changed(make_request("CP1")[0]): "",
        }
        for csr, why in refused.items():
            assert await requested(peer, csr) == "Rejected"
            kept = [row for row in rows(world, tables.certificate_request) if row["csr_pem"] == csr]
            assert (kept[0]["state"], why in kept[0]["reason"]) == ("refused", True), kept
        assert await requested(peer, make_request("CP1")[0]) == "Accepted"
        states = [row["state"] for row in rows(world, tables.certificate_request)]
        assert sorted(states) == ["refused"] * len(refused) + ["waiting"]


def _ed25519_request() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "CP1"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, CPO)]
    )
    made = x509.CertificateSigningRequestBuilder(name).sign(ed25519.Ed25519PrivateKey.generate(), None)
    return made.public_bytes(Encoding.PEM).decode()


def _changed(csr: str) -> str:
    """Break the signature of a request."""
    lines = csr.splitlines()
    lines[-2] = ("B" if lines[-2][0] != "B" else "C") + lines[-2][1:]
    return "\n".join(lines) + "\n"


async def test_a_name_that_would_let_it_in_as_another_station_is_refused(database_url: str, tmp_path: Path) -> None:
    async with open_world(settings_for(database_url, tmp_path)) as world:
        await world.add_station("VICTIM")
        about = {"chargePointVendor": "A", "chargePointModel": "B", "chargePointSerialNumber": "SN-V"}
        async with world.station("VICTIM", boot=False) as victim:
            await victim.call("BootNotification", about)
        async with world.station("CP1", boot=False) as thief:
            for stolen in ("VICTIM", "SN-V"):
                await thief.call("BootNotification", about | {"chargePointSerialNumber": stolen})
                assert await requested(thief, make_request(stolen)[0]) == "Rejected"
        assert {row["reason"] for row in rows(world, tables.certificate_request)} == {
            "its name 'VICTIM' is that of another station, too",
            "its name 'SN-V' is that of another station, too",
        }


async def test_too_many_requests_of_a_station_are_rejected(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path, max_certificate_requests_per_h=2)
    async with open_world(settings) as world, world.station("CP1") as peer:
        answers = [await requested(peer, make_request("CP1")[0]) for _ in range(4)]
        assert answers == ["Accepted", "Accepted", "Rejected", "Rejected"]
        assert len(rows(world, tables.certificate_request)) == 2  # of the others only the alarm tells
        (raised,) = rows(world, models.alarm)
        assert (raised["attempts"], "too many within an hour" in raised["text"]) == (4, True)


async def test_a_request_waits_for_an_authority_outside_and_its_chain_goes_to_the_station(
    world: World, made_authority: Path
) -> None:
    outside = authority.load(made_authority, "")
    async with world.station("CP1") as peer:
        csr, _ = make_request("CP1", "", key=rsa.generate_private_key(65537, 2048))
        assert await requested(peer, csr) == "Accepted"
        signed = outside.sign(read_csr(csr), 5, clock.now())
        foreign = outside.sign(read_csr(make_request("CP1")[0]), 5, clock.now())
        with world.database.reading() as connection:
            for wrong in (foreign.chain, "nothing", ""):
                with pytest.raises(CertificateRefused):
                    answer_of(connection, wrong, "staff maria", most=LONGEST_CHAIN)
            issued = answer_of(connection, signed.chain, "staff maria", most=LONGEST_CHAIN)
        assert [await world.submit(issued) for _ in range(2)] == [True, False]
        message_id, action, payload = await peer.next_command()
        assert (action, payload) == ("CertificateSigned", {"certificateChain": signed.chain})
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: rows(world, tables.certificate_request)[0]["state"] == "installed")
    (kept,) = rows(world, tables.certificate)
    assert (kept["kind"], kept["fingerprint"]) == ("station", signed.facts.fingerprint)
    assert "PRIVATE KEY" not in str(kept)


async def test_the_built_in_authority_signs_by_itself_and_keeps_to_what_the_station_takes(
    database_url: str, tmp_path: Path, made_authority: Path
) -> None:
    shutil.copytree(made_authority, tmp_path / "ca")
    async with open_world(settings_for(database_url, tmp_path)) as world, world.station("CP1") as peer:
        work = SecurityWork(world.installation, world.connections, clock.now, tuple)
        with world.database.unit_of_work() as connection:
            connection.execute(
                models.station_setting.insert().values(
                    charge_point_id=1,
                    key="CertificateSignedMaxChainSize",
                    reported_value="1200",
                    is_readonly=True,
                    state="free",
                    checked_at=clock.now(),
                )
            )
        assert await requested(peer, make_request("CP1", "")[0]) == "Accepted"
        with world.database.unit_of_work() as connection:  # an older one that no rule of today would have accepted
            broken = {"charge_point_id": 1, "digest": "00", "csr_pem": "broken", "subject": "", "key_kind": ""}
            broken |= {"state": "waiting", "requested_at": clock.now() - timedelta(minutes=1)}
            connection.execute(tables.certificate_request.insert().values(**broken))
        (issued,) = work._sign_waiting()
        assert await world.submit(issued)
        _, _, payload = await peer.next_command()
        assert len(read_certificates(payload["certificateChain"])) == 1
        assert work._sign_waiting() == []


def test_a_chain_is_shortened_from_its_end(made_authority: Path) -> None:
    chain = authority.load(made_authority, "").issue_station("CP1", CPO, "ecdsa", 5, clock.now()).chain
    assert within(chain, LONGEST_CHAIN) == chain
    assert len(read_certificates(within(chain, 1000))) == 1
    assert len(read_certificates(within(chain, 10))) == 1


# --- What is done by itself -------------------------------------------------------------------------------------------


async def test_keys_are_changed_and_certificates_renewed_in_time(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, tmp_path, key_rotation_days=30, certificate_renewal_days=10)
    async with open_world(settings) as world:
        await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
        work = SecurityWork(world.installation, world.connections, clock.now, tuple)
        async with world.station("SAFE", key=KEY) as peer:
            await work.look()
            await work.look()
            message_id, action, payload = await peer.next_command()
            assert (action, payload["key"]) == ("ChangeConfiguration", "AuthorizationKey")
            await peer.answer(message_id, {"status": "Accepted"})
            await until(lambda: rows(world, tables.station_security))
        ending = Presented("SAFE", CPO, "cd" * 32, "1", "CN=root", clock.now() + timedelta(days=3))
        assert await comes(world, "SAFE", None, is_tls=True, certificate=ending) == 3
        with world.database.unit_of_work() as connection:  # plain again, so that a test's peer can connect
            connection.execute(update(models.charge_point).values(security_profile=3))
        await work.look()
        (raised,) = [row for row in rows(world, models.alarm) if row["kind"] == "certificate ends"]
        assert raised["text"].startswith("The certificate of SAFE ends on ")
        later = Presented("SAFE", CPO, "ef" * 32, "2", "CN=root", clock.now() + timedelta(days=300))
        assert await comes(world, "SAFE", None, is_tls=True, certificate=later) == 3
        await work.look()
        (over,) = [row for row in rows(world, models.alarm) if row["kind"] == "certificate ends"]
        assert over["cleared_at"] is not None
        assert len([one for one in rows(world, models.command) if one["action"] == "ChangeConfiguration"]) == 1


async def test_a_connected_station_whose_certificate_ends_soon_is_asked_once_a_day(
    database_url: str, tmp_path: Path
) -> None:
    async with open_world(settings_for(database_url, tmp_path)) as world:
        work = SecurityWork(world.installation, world.connections, clock.now, tuple)
        async with world.station("CP1") as peer:
            with world.database.unit_of_work() as connection:
                ends = clock.now() + timedelta(days=3)
                connection.execute(tables.station_security.insert().values(charge_point_id=1, shown_not_after=ends))
            await work.look()
            await work.look()
            message_id, action, payload = await peer.next_command()
            wanted = ("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"})
            assert (action, payload) == wanted
            await peer.answer(message_id, {"status": "Accepted"})
            assert await requested(peer, make_request("CP1", "")[0]) == "Accepted"
        assert [row["action"] for row in rows(world, models.command)] == ["ExtendedTriggerMessage"]


async def test_who_set_a_key_or_a_profile_or_revoked_a_certificate_ends_the_open_link(
    world: World, made_authority: Path
) -> None:
    work = SecurityWork(world.installation, world.connections, clock.now, tuple)
    issued = authority.load(made_authority, "").issue_station("CP1", CPO, "ecdsa", 5, clock.now()).facts
    with world.database.unit_of_work() as connection:
        security_store.add_certificate(connection, record_of(issued, "station", 1, "maria"), clock.now())
    number = await world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))
    async with world.station("CP1") as bystander, world.station("SAFE", key=KEY) as peer:
        await work.close_outdated()
        assert await peer.call("Heartbeat", {})
        await world.submit(ChangeKey("SAFE", 1, SALT, hash_key(NEW_KEY, SALT)))
        await work.close_outdated()
        assert await _closed(peer) == 1008
        assert await bystander.call("Heartbeat", {})
    async with world.station("SAFE", key=NEW_KEY) as peer:
        await work.close_outdated()  # what it knows already closes nothing once more
        assert await peer.call("Heartbeat", {})
        assert await world.submit(SetProfile(number, 2, "", "maria")) == ""
        await work.close_outdated()
        assert await _closed(peer) == 1008
    async with world.station("CP1") as peer:
        with world.database.unit_of_work() as connection:
            revoke(connection, issued.fingerprint, "superseded", "maria", clock.now())
        await work.close_outdated()
        assert await _closed(peer) == 1008


async def _closed(peer: Peer) -> int | None:
    await asyncio.wait_for(peer.socket.wait_closed(), 60)
    return peer.socket.close_code


# --- Events and roots -------------------------------------------------------------------------------------------------


async def test_an_event_is_stored_once_and_a_critical_one_raises_an_alarm(world: World) -> None:
    told = {"type": "tamperdetectionactivated", "timestamp": world.at(0), "techInfo": "door"}
    async with world.station("CP1") as peer:
        for _ in range(3):
            assert await peer.call("SecurityEventNotification", told) == {}
        assert await peer.call("SecurityEventNotification", told | {"timestamp": world.at(1)}) == {}
        assert await peer.call("SecurityEventNotification", {"type": "InvalidMessages", "timestamp": "yesterday"}) == {}
    events = rows(world, tables.security_event)
    assert [row["is_critical"] for row in events] == [True, True, False]
    assert events[2]["flags"] == "timestamp: unreadable"
    (raised,) = [row for row in rows(world, models.alarm) if row["kind"] == "security event"]
    assert (raised["attempts"], raised["text"]) == (2, "CP1 reports TamperDetectionActivated: door")


async def test_too_many_events_of_a_station_are_answered_and_not_kept(database_url: str, tmp_path: Path) -> None:
    async with (
        open_world(settings_for(database_url, tmp_path, max_security_events_per_h=3)) as world,
        world.station("CP1") as peer,
    ):
        for number in range(5):
            told = {"type": "InvalidMessages", "timestamp": world.at(number)}
            assert await peer.call("SecurityEventNotification", told) == {}
        assert len(rows(world, tables.security_event)) == 3
        (raised,) = rows(world, models.alarm)
        assert (raised["attempts"], "too many security events" in raised["text"]) == (2, True)


def test_roots_are_known_by_each_of_the_three_hashes(made_authority: Path) -> None:
    known = authority.load(made_authority, "").roots
    for root in known:
        for named in hash_data(root.pem):
            shouted = HashData(
                named.hash_algorithm,
                named.issuer_name_hash.upper(),
                named.issuer_key_hash,
                "00" + named.serial_number.upper(),
            )
            assert matching(shouted, known) == root
    assert {len(one.issuer_key_hash) for one in hash_data(known[0].pem)} == {64, 96, 128}


def test_the_hashes_are_those_that_openssl_computes(made_authority: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import ocsp

    for kind in ("ecdsa", "rsa"):
        pem = (made_authority / f"root-{kind}.pem").read_text()
        root = x509.load_pem_x509_certificate(pem.encode())
        asked = ocsp.OCSPRequestBuilder().add_certificate(root, root, hashes.SHA256()).build()
        ours = hash_data(pem)[0]
        assert bytes.fromhex(ours.issuer_name_hash) == asked.issuer_name_hash
        assert bytes.fromhex(ours.issuer_key_hash) == asked.issuer_key_hash
        assert int(ours.serial_number, 16) == asked.serial_number


async def test_a_root_that_a_station_does_not_find_again_is_remarked(world: World, made_authority: Path) -> None:
    root = (made_authority / "root-ecdsa.pem").read_text()
    with pytest.raises(CertificateRefused, match="not that of an authority"):
        root_of((made_authority / "server-ecdsa.pem").read_text(), "manufacturer root", "maria")
    named = hash_data(root)[0]
    reported = {
        "hashAlgorithm": named.hash_algorithm,
        "issuerNameHash": named.issuer_name_hash,
        "issuerKeyHash": named.issuer_key_hash,
        "serialNumber": named.serial_number,
    }
    use = {"certificateType": "ManufacturerRootCertificate"}
    async with world.station("CP1") as peer:
        for action, payload, answer in (
            ("GetInstalledCertificateIds", use, {"status": "Accepted", "certificateHashData": [reported] * 2}),
            ("DeleteCertificate", {"certificateHashData": reported}, {"status": "NotFound"}),
        ):
            await world.submit(ask(1, action, payload, "staff maria"))
            message_id, came, _ = await peer.next_command()
            assert came == action
            await peer.answer(message_id, answer)
            await until(lambda: rows(world, models.command)[-1]["answer_json"])
        (kept,) = rows(world, tables.installed_certificate)
        assert kept["remark"] == "it says it does not find it"
        await world.submit(ask(1, "GetInstalledCertificateIds", use, "staff maria"))
        message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, {"status": "NotFound"})
        await until(lambda: not rows(world, tables.installed_certificate))
    with world.database.reading() as connection:
        assert security_views.list_installed(connection, 1) == []
