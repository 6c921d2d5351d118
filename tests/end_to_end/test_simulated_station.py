"""An operator at the API and a simulated station that really does what it is told: each action, files, security.

The two share no code; each was written from the specification. What is checked is what became of the station.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car, Clock, Habits, Station, Timing
from chargepoint_sim.logbook import Span
from csms.charging.stations import AddChargePoint, hash_key
from csms.commands.actions import ACTIONS
from tests.chargepoint_sim import makers
from tests.conformance.harness import CARD, Operator, open_operator
from tests.conftest import settings_for
from tests.support.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

KEY = "0f" * 20
LATER, PAST = "2099-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
ROOT, MAKER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"
EVER = Span()
QUICK = Timing(reconnect_first_s=0.05, reconnect_max_s=0.5, reboot_s=0.1, maintenance_s=0.05, sample_gap_s=0.2)


@pytest.fixture(scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "ca"
    make_authority(folder)
    return folder


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path, made_authority: Path) -> AsyncIterator[Operator]:
    """The whole program with TLS and its own authority."""
    shutil.copytree(made_authority, tmp_path / "ca")
    settings = settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, cpo_name="Test CPO")
    async with open_operator(settings) as opened:
        yield opened


@pytest.fixture
async def station(operator: Operator) -> AsyncIterator[Station]:
    """The station SAFE with a key, online and quiet."""
    salt = "00" * 16
    added = AddChargePoint("SAFE", 1, salt, hash_key(bytes.fromhex(KEY), salt))
    operator.charge_point_id = await operator.world.submit(added)
    plain = f"ws://127.0.0.1:{operator.running.ocpp_port}/ocpp"
    secure = f"wss://localhost:{operator.running.ocpp_tls_port}/ocpp"
    clock = Clock(speed=60)
    async with Station("SAFE", plain, key=KEY, secure_url=secure, clock=clock, timing=QUICK, seed=1) as one:
        await one.wait_online(60)
        await one.delivery.statuses_told()
        yield one


async def tell(operator: Operator, action: str, status: str | None = "Accepted", /, **payload: Any) -> dict[str, Any]:
    """Send a command as an operator does, and return its answer, whose status has to be this one."""
    row = await (await operator.command(action, payload)).done()
    assert row.answer is not None, row
    assert status is None or row.answer["status"] == status, row
    answer: dict[str, Any] = row.answer
    return answer


def limits(number: int, limit: float, **fields: Any) -> dict[str, Any]:
    """A charging profile in W."""
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    kind = {"chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative"}
    return {"chargingProfileId": number, "stackLevel": 0, **kind, "chargingSchedule": schedule} | fields


# --- The effect of each action ----------------------------------------------------------------------------------------

Case = Any  # Callable[[Operator, Station], Awaitable[None]], which pytest shows by its name
CASES: dict[str, Case] = {}


def case(*actions: str) -> Callable[[Case], Case]:
    """Say which actions a case sends."""

    def keep(function: Case) -> Case:
        CASES.update(dict.fromkeys(actions, function))
        return function

    return keep


@case("ReserveNow", "CancelReservation")
async def reservations(operator: Operator, station: Station) -> None:
    await tell(operator, "ReserveNow", connectorId=1, expiryDate=LATER, idTag="A", reservationId=5)
    assert [(one.connector_id, one.id_tag) for one in station.reservations] == [(1, "A")]
    await tell(operator, "CancelReservation", reservationId=5)
    assert station.reservations == ()
    await tell(operator, "CancelReservation", "Rejected", reservationId=5)


@case("ChangeAvailability")
async def availability(operator: Operator, station: Station) -> None:
    await tell(operator, "ChangeAvailability", connectorId=2, type="Inoperative")
    await station.wait_for_status(2, "Unavailable")
    await tell(operator, "ChangeAvailability", connectorId=2, type="Operative")
    await station.wait_for_status(2, "Available")


@case("ChangeConfiguration", "GetConfiguration")
async def configuration(operator: Operator, station: Station) -> None:
    await tell(operator, "ChangeConfiguration", key="BlinkRepeat", value="7")
    assert station.configuration["BlinkRepeat"] == "7"
    await tell(operator, "ChangeConfiguration", "RebootRequired", key="WebSocketPingInterval", value="90")
    answer = await tell(operator, "GetConfiguration", None, key=["BlinkRepeat", "Nonsense"])
    assert answer["configurationKey"] == [{"key": "BlinkRepeat", "readonly": False, "value": "7"}]
    assert answer["unknownKey"] == ["Nonsense"]


@case("ClearCache")
async def cache(operator: Operator, station: Station) -> None:
    await tell(operator, "ClearCache", "Rejected")
    await tell(operator, "ChangeConfiguration", key="AuthorizationCacheEnabled", value="true")
    await station.authorizer.decide(CARD)
    assert station.cache
    await tell(operator, "ClearCache")
    assert station.cache == {}


@case("SendLocalList", "GetLocalListVersion")
async def local_list(operator: Operator, station: Station) -> None:
    cards = [{"idTag": "A", "idTagInfo": {"status": "Accepted"}}]
    await tell(operator, "SendLocalList", listVersion=4, updateType="Full", localAuthorizationList=cards)
    assert list(station.local_list.entries) == ["a"]
    gone = [{"idTag": "A"}]
    await tell(operator, "SendLocalList", listVersion=5, updateType="Differential", localAuthorizationList=gone)
    assert await tell(operator, "GetLocalListVersion", None) == {"listVersion": 5}
    assert station.local_list.entries == {}


@case("SetChargingProfile", "GetCompositeSchedule", "ClearChargingProfile")
async def profiles(operator: Operator, station: Station) -> None:
    await tell(operator, "SetChargingProfile", connectorId=1, csChargingProfiles=limits(3, 4000.0))
    assert [one.profile.charging_profile_id for one in station.profiles] == [3]
    answer = await tell(operator, "GetCompositeSchedule", connectorId=1, duration=60)
    assert answer["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 4000.0}]
    await tell(operator, "ClearChargingProfile", id=3)
    assert station.profiles == ()


@case("DataTransfer")
async def data(operator: Operator, station: Station) -> None:
    station.vendors.register("com.example")
    await tell(operator, "DataTransfer", vendorId="com.example", messageId="hello", data="you")
    assert [(one.message_id, one.data) for one in station.vendors.taken] == [("hello", "you")]
    await tell(operator, "DataTransfer", "UnknownVendorId", vendorId="com.other")


@case("RemoteStartTransaction", "RemoteStopTransaction", "UnlockConnector")
async def remote(operator: Operator, station: Station) -> None:
    station.plug_in(1, Car(soc=0.3))
    mine = limits(9, 3000.0, chargingProfilePurpose="TxProfile")
    await tell(operator, "RemoteStartTransaction", idTag=CARD, connectorId=1, chargingProfile=mine)
    await station.wait_for_status(1, "Charging")
    await station.wait_until(lambda: station.connector(1).power_w == 3000, 60)
    await station.wait_until(lambda: station.connector(1).transaction_id is not None, 60)
    await tell(operator, "RemoteStopTransaction", transactionId=station.connector(1).transaction_id)
    await station.wait_for_status(1, "Finishing")
    await tell(operator, "UnlockConnector", "Unlocked", connectorId=1)
    station.unplug(1)
    await station.wait_delivered()


@case("Reset")
async def reset(operator: Operator, station: Station) -> None:
    def boots() -> int:
        return [event.kind for event in station.security_events.log].count("StartupOfTheDevice")

    for count, kind in enumerate(("Soft", "Hard"), boots() + 1):
        await tell(operator, "Reset", type=kind)
        await station.wait_until(lambda count=count: boots() == count, 60)  # type: ignore[misc]
        await station.wait_online(60)


@case("TriggerMessage", "ExtendedTriggerMessage")
async def triggers(operator: Operator, station: Station) -> None:
    assert station.is_online
    for message in ("Heartbeat", "MeterValues", "StatusNotification", "DiagnosticsStatusNotification"):
        await tell(operator, "TriggerMessage", requestedMessage=message)
    for message in ("LogStatusNotification", "FirmwareStatusNotification"):
        await tell(operator, "ExtendedTriggerMessage", requestedMessage=message)
    await tell(operator, "TriggerMessage", "Rejected", requestedMessage="MeterValues", connectorId=3)


@case("UpdateFirmware", "GetDiagnostics")
async def plain_files(operator: Operator, station: Station) -> None:
    nowhere = f"http://127.0.0.1:{operator.running.portal_port}/nothing"
    answer = await tell(operator, "GetDiagnostics", None, location=nowhere)
    await station.wait_until(lambda: not station.uploads.uploads, 60)
    assert answer["fileName"].startswith("SAFE-diagnostics-")
    assert await tell(operator, "UpdateFirmware", None, location=nowhere, retrieveDate=PAST) == {}
    await station.wait_until(lambda: not station.firmware.installs, 60)
    assert station.firmware_version == "1.0"


@case("SignedUpdateFirmware", "GetLog")
async def signed_files(operator: Operator, station: Station) -> None:
    nowhere = f"http://127.0.0.1:{operator.running.portal_port}/nothing"
    log = {"remoteLocation": nowhere}
    answer = await tell(operator, "GetLog", logType="SecurityLog", requestId=1, log=log)
    assert answer["filename"].startswith("SAFE-security-")
    signer = makers.leaf("Firmware", makers.authority("Nobody"))
    firmware = {"location": nowhere, "retrieveDateTime": PAST, "signingCertificate": signer.pem, "signature": "AA=="}
    await tell(operator, "SignedUpdateFirmware", "InvalidCertificate", requestId=2, firmware=firmware)
    await station.wait_events_told()


@case("InstallCertificate", "GetInstalledCertificateIds", "DeleteCertificate")
async def roots(operator: Operator, station: Station) -> None:
    pem = makers.authority("Root").pem
    await tell(operator, "InstallCertificate", certificateType=MAKER, certificate=pem)
    listed = await tell(operator, "GetInstalledCertificateIds", certificateType=MAKER)
    for one in listed["certificateHashData"]:
        await tell(operator, "DeleteCertificate", certificateHashData=one)
    assert not len(station.certificates)
    await tell(operator, "GetInstalledCertificateIds", "NotFound", certificateType=MAKER)


@case("CertificateSigned")
async def own_certificate(operator: Operator, station: Station) -> None:
    await tell(operator, "CertificateSigned", "Rejected", certificateChain=makers.authority("Root").pem)
    await station.wait_events_told()
    await certified(operator, station)


async def certified(operator: Operator, station: Station) -> None:
    """Let a station get its own certificate, which names the owner that it was told."""
    await tell(operator, "ChangeConfiguration", key="CpoName", value="Test CPO")
    before = station.security.own
    await tell(operator, "ExtendedTriggerMessage", requestedMessage="SignChargePointCertificate")
    await station.wait_until(lambda: station.security.own != before, 60)


def test_every_action_has_its_case() -> None:
    assert set(CASES) == set(ACTIONS)


@pytest.mark.parametrize(
    "play", sorted(set(CASES.values()), key=lambda one: one.__name__), ids=lambda one: one.__name__
)
async def test_an_action_that_an_operator_sends_has_its_effect_at_the_station(
    operator: Operator, station: Station, play: Callable[[Operator, Station], Awaitable[None]]
) -> None:
    await play(operator, station)
    assert station.is_online
    assert await tell(operator, "GetLocalListVersion", None)


# --- Files ------------------------------------------------------------------------------------------------------------


async def finished(operator: Operator, station: Station, transfer: dict[str, Any]) -> dict[str, Any]:
    """The row of a transfer that has come to its end."""
    final = {"done", "failed", "rejected", "canceled", "stalled"}
    row: dict[str, Any] = transfer
    for _ in range(100):
        row = await operator.get(f"/file-transfers/{transfer['id']}")
        if row["state"] in final:
            return row
        await station.clock.sleep(0.1 * station.clock.speed)
    raise AssertionError(row)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_logs_and_diagnostics_arrive_byte_for_byte(operator: Operator, station: Station, method: Any) -> None:
    station.habits = Habits(upload_method=method)
    for kind in ("diagnostics", "log", "security-log"):
        asked = await operator.post(f"/charge-points/{operator.charge_point_id}/file-requests", {"kind": kind})
        assert (await finished(operator, station, asked))["state"] == "done"
    files = (await operator.get("/files"))["items"]
    sent = {one.name: one.content for one in station.uploads.done}
    assert len(station.uploads.done) == len(files) == 3
    for file in files:
        content = (await operator.send("GET", f"/files/{file['id']}/content")).content
        assert content == sent[file["name"]]


@pytest.mark.parametrize("is_signed", [False, True])
async def test_firmware_of_the_library_is_installed(operator: Operator, station: Station, *, is_signed: bool) -> None:
    content = b"version: 4.2.0\n" + bytes(range(256)) * 500
    maker = makers.authority("Maker")
    signer = makers.leaf("Firmware", maker, is_rsa=True)
    query = {"name": "fw.bin", "version": "4.2.0", "sha256": hashlib.sha256(content).hexdigest()}
    uploaded = await operator.http.post("/api/v1/firmware", params=query, content=content)
    assert uploaded.status_code == 201, uploaded.text
    number = uploaded.json()["id"]
    proof = {"signature": makers.signature(content, signer), "signing_certificate": signer.pem}
    await operator.post(f"/firmware/{number}/signature", proof, method="PUT")
    await tell(operator, "InstallCertificate", certificateType=MAKER, certificate=maker.pem)
    order = {"firmware_id": number, "is_signed": is_signed}
    asked = await operator.post(f"/charge-points/{operator.charge_point_id}/firmware-updates", order)
    row = await finished(operator, station, asked)
    assert row["state"] == "done", row  # by the boot that tells the version, or by Installed, which follows
    assert station.firmware_version == "4.2.0"
    shown = await operator.get(f"/charge-points/{operator.charge_point_id}")
    assert shown["firmware_version"] == "4.2.0"


# --- The security of the link -----------------------------------------------------------------------------------------


async def test_a_station_climbs_from_a_password_to_its_own_certificate(
    operator: Operator, station: Station, tmp_path: Path
) -> None:
    for kind in ("ecdsa", "rsa"):
        pem = (tmp_path / f"ca/root-{kind}.pem").read_text()
        await tell(operator, "InstallCertificate", certificateType=ROOT, certificate=pem)
    before = station.configuration["AuthorizationKey"]
    await operator.post(f"/charge-points/{operator.charge_point_id}/key-rotation", {})
    await station.wait_until(lambda: station.configuration["AuthorizationKey"] != before and station.is_online, 60)
    await rises(operator, station, 2)
    await certified(operator, station)
    await rises(operator, station, 3)
    await certified(operator, station)
    await station.wait_until(lambda: len(opened(operator, station)) == 3, 60)  # the renewed one is shown at once
    await station.wait_online(60)
    shown = await operator.get(f"/charge-points/{operator.charge_point_id}/security")
    assert shown["security_profile"] == 3


async def rises(operator: Operator, station: Station, profile: int) -> None:
    """Let a station come back with a higher profile."""
    await tell(operator, "ChangeConfiguration", key="SecurityProfile", value=str(profile))
    await tell(operator, "Reset", type="Hard")
    await station.wait_until(lambda: len(opened(operator, station)) == profile - 1, 60)
    await station.wait_until(lambda: station.security_profile == profile and station.is_online, 60)


def opened(operator: Operator, station: Station) -> list[str]:
    """The connections over TLS that a station has opened."""
    secure = f"connected to wss://localhost:{operator.running.ocpp_tls_port}/ocpp/SAFE"
    return [line for line in station.logbook.lines(EVER) if secure in line]
