"""Every action that a central system may send: from the form in the portal to a simulated station, with its effect.

A table of all 26, by family; within a family one act leads to the next, as at a real station.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import select

from chargepoint_sim import Car, Station, Timing
from csms.charging import models, overview
from csms.charging.stations import AddChargePoint
from csms.commands.actions import ACTIONS
from csms.commands.requests import ask
from csms.operations.commands import QueueBatch
from csms.operations.data_transfers import TakeDataTransfer
from csms.operations.security_models import certificate_request
from csms.web.permissions import Role
from tests.browser.conftest import Program
from tests.chargepoint_sim import makers
from tests.chargepoint_sim.file_server import Files, http_files
from tests.support.waiting import until
from tests.web.portal import CARD

QUICK = Timing(reconnect_first_s=0.05, reboot_s=0.2, maintenance_s=0.1, sample_gap_s=0.1)
KNOWS = {"AuthorizationCacheEnabled": "true", "LocalAuthListEnabled": "true", "CpoName": "Example"}
FIRMWARE = {"old": b"\x7fFIRM version: 2.5.1\n" + bytes(500), "new": b"\x7fFIRM version: 3.0.0\n" + bytes(500)}
MAKER, ROOT = makers.authority("Maker"), makers.authority("Root")
SIGNER = makers.leaf("Signer", MAKER)
OTHER_CARD = "04FFEEDD"


@dataclass
class Stage:
    """A person at the portal, a station, and a server for its files."""

    program: Program
    page: Page
    station: Station
    files: Files
    kept: dict[str, Any] = field(default_factory=dict)

    def row(self, table: Any) -> Any:
        """Return the newest row of a table."""
        with self.program.portal.database.reading() as connection:
            return connection.execute(select(table).order_by(*(one.desc() for one in table.primary_key))).first()

    def transaction(self) -> overview.TransactionView:
        """Return the newest transaction."""
        with self.program.portal.database.reading() as connection:
            return overview.list_transactions(connection, limit=1)[0]

    def value_of(self, key: str) -> str | None:
        """Return the value of a configuration key of the station."""
        return self.station.configuration.report([key])[0][0].value

    async def charge(self) -> None:
        """Begin to charge at connector 1 with the card."""
        if self.station.connector(1).plugged:
            self.station.unplug(1)
            await self.station.wait_for_status(1, "Available")
        self.station.plug_in(1, Car())
        await self.station.present_card(1, CARD)
        await self.station.wait_for_status(1, "Charging")
        await until(lambda: self.transaction().state == "open")


Fields = Mapping[str, str] | Callable[[Stage], Mapping[str, str]]


@dataclass(frozen=True)
class Act:
    """An action, what is typed into its form, and how its effect shows at the station.

    before: what has to be so. asks_again: a question stands between the form and the station. shows: what the answer
    on the page contains.
    """

    action: str
    fields: Fields
    effect: Callable[[Stage], Any]
    before: Callable[[Stage], Awaitable[None]] | None = None
    asks_again: bool = False
    shows: str = ""


async def plugged_in(stage: Stage) -> None:
    """Connect a car to connector 1."""
    stage.station.plug_in(1, Car())


async def charging(stage: Stage) -> None:
    """Charge at connector 1."""
    await stage.charge()


async def cached(stage: Stage) -> None:
    """Make sure that the cache holds something."""
    assert stage.station.cache


async def vendor_known(stage: Stage) -> None:
    """Let the station know a vendor."""
    stage.station.vendors.register("com.example")


async def noted_boot(stage: Stage) -> None:
    """Note when the station booted last."""
    stage.kept["booted_at"] = stage.row(models.charge_point).booted_at


async def noted_status(stage: Stage) -> None:
    """Note when a status came last."""
    stage.kept["told_at"] = stage.row(models.connector).recorded_at


async def certificate_asked_for(stage: Stage) -> None:
    """Have the station make a request for its certificate, and sign it elsewhere."""
    await send(stage, Act("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}, bool))
    request = await until(lambda: stage.row(certificate_request))
    stage.kept["chain"] = makers.sign_request(request.csr_pem, ROOT)


async def certificates_listed(stage: Stage) -> None:
    """Read the hashes of a certificate from the answer that the portal shows."""
    listed = Act("GetInstalledCertificateIds", {"certificateType": "ManufacturerRootCertificate"}, bool)
    await send(stage, listed)
    answer = json.loads(await stage.page.locator("#answer-json").inner_text())
    stage.kept["hashes"] = answer["certificateHashData"][0]


def told_again(stage: Stage) -> bool:
    """Tell whether a status came since it was noted."""
    return bool(stage.row(models.connector).recorded_at > stage.kept["told_at"])


def period(number: int, start: str, limit: str) -> dict[str, str]:
    """Return the fields of a period of a schedule."""
    path = f"csChargingProfiles.chargingSchedule.chargingSchedulePeriod.{number}"
    return {f"{path}.startPeriod": start, f"{path}.limit": limit}


def limits(stage: Stage) -> list[float]:
    """Return the limits of the station's profiles."""
    return [
        float(one.limit)
        for each in stage.station.profiles
        for one in each.profile.charging_schedule.charging_schedule_period
    ]


ACTS: dict[str, tuple[Act, ...]] = {
    "core": (
        Act(
            "ChangeConfiguration",
            {"key": "HeartbeatInterval", "value": "77"},
            lambda stage: stage.value_of("HeartbeatInterval") == "77",
        ),
        Act("GetConfiguration", {"key.0": "HeartbeatInterval"}, lambda _: True, shows="77"),
        Act(
            "ChangeAvailability",
            {"connectorId": "2", "type": "Inoperative"},
            lambda stage: stage.station.connector(2).status == "Unavailable",
        ),
        Act(
            "RemoteStartTransaction",
            {"idTag": CARD, "connectorId": "1"},
            lambda stage: stage.station.connector(1).status == "Charging",
            before=plugged_in,
        ),
        Act(
            "RemoteStopTransaction",
            lambda stage: {"transactionId": str(stage.transaction().transaction_id)},
            lambda stage: stage.transaction().stop_reason == "Remote",
        ),
        Act(
            "UnlockConnector",
            {"connectorId": "1"},
            lambda stage: stage.transaction().stop_reason == "UnlockCommand",
            before=charging,
            asks_again=True,
        ),
        Act("ClearCache", {}, lambda stage: not stage.station.cache, before=cached),
        Act(
            "DataTransfer",
            {"vendorId": "com.example", "messageId": "Hello", "data": '{"a":1}'},
            lambda stage: stage.station.vendors.taken[-1].data == '{"a":1}',
            before=vendor_known,
        ),
        Act(
            "Reset",
            {"type": "Hard"},
            lambda stage: stage.row(models.charge_point).booted_at > stage.kept["booted_at"],
            before=noted_boot,
            asks_again=True,
        ),
    ),
    "local list": (
        Act(
            "SendLocalList",
            {
                "listVersion": "7",
                "updateType": "Full",
                "localAuthorizationList.0.idTag": OTHER_CARD,
                "localAuthorizationList.0.idTagInfo.status": "Blocked",
            },
            lambda stage: [one.status for one in stage.station.local_list.entries.values()] == ["Blocked"],
        ),
        Act("GetLocalListVersion", {}, lambda stage: stage.station.local_list.version == 7, shows='"listVersion": 7'),
    ),
    "reservation": (
        Act(
            "ReserveNow",
            {"connectorId": "1", "idTag": CARD, "reservationId": "41"},
            lambda stage: [one.reservation_id for one in stage.station.reservations] == [41],
        ),
        Act("CancelReservation", {"reservationId": "41"}, lambda stage: not stage.station.reservations),
    ),
    "charging profile": (
        Act(
            "SetChargingProfile",
            {"connectorId": "1", **period(0, "0", "16"), **period(1, "600", "7.5")},
            lambda stage: limits(stage) == [16.0, 7.5],
        ),
        Act(
            "GetCompositeSchedule",
            {"connectorId": "1", "duration": "1200", "chargingRateUnit": "A"},
            lambda _: True,
            shows='"status": "Accepted"',
        ),
        Act("ClearChargingProfile", {"id": "1"}, lambda stage: not stage.station.profiles),
    ),
    "trigger": (
        Act("TriggerMessage", {"requestedMessage": "StatusNotification"}, told_again, before=noted_status),
        Act("ExtendedTriggerMessage", {"requestedMessage": "StatusNotification"}, told_again, before=noted_status),
    ),
    "files": (
        Act(
            "GetDiagnostics",
            lambda stage: {"location": f"{stage.files.url}/diagnostics"},
            lambda stage: [content for _, path, content in stage.files.got if path.startswith("/diagnostics")],
        ),
        Act(
            "GetLog",
            lambda stage: {"logType": "SecurityLog", "log.remoteLocation": f"{stage.files.url}/logs"},
            lambda stage: [content for _, path, content in stage.files.got if path.startswith("/logs")],
        ),
        Act(
            "UpdateFirmware",
            lambda stage: {"location": f"{stage.files.url}/old.bin"},
            lambda stage: stage.row(models.charge_point).firmware_version == "2.5.1",
            asks_again=True,
        ),
        Act(
            "SignedUpdateFirmware",
            lambda stage: {
                "firmware.location": f"{stage.files.url}/new.bin",
                "firmware.signingCertificate": SIGNER.pem,
                "firmware.signature": makers.signature(FIRMWARE["new"], SIGNER),
            },
            lambda stage: stage.row(models.charge_point).firmware_version == "3.0.0",
            asks_again=True,
        ),
    ),
    "security": (
        Act(
            "InstallCertificate",
            {"certificateType": "ManufacturerRootCertificate", "certificate": MAKER.pem},
            lambda stage: len(stage.station.certificates.installed) == 2,
        ),
        Act(
            "GetInstalledCertificateIds",
            {"certificateType": "ManufacturerRootCertificate"},
            lambda _: True,
            shows='"hashAlgorithm": "SHA256"',
        ),
        Act(
            "CertificateSigned",
            lambda stage: {"certificateChain": stage.kept["chain"]},
            lambda stage: stage.station.security.own is not None,
            before=certificate_asked_for,
        ),
        Act(
            "DeleteCertificate",
            lambda stage: {f"certificateHashData.{name}": value for name, value in stage.kept["hashes"].items()},
            lambda stage: len(stage.station.certificates.installed) == 1,
            before=certificates_listed,
            asks_again=True,
        ),
    ),
}


def test_the_table_has_every_action_that_a_central_system_may_send() -> None:
    named = {family: {act.action for act in acts} for family, acts in ACTS.items()}
    assert sum(len(acts) for acts in ACTS.values()) == 26
    for action in ACTIONS.values():
        assert action.name in named[action.family]


async def fill(page: Page, name: str, value: str) -> None:
    """Type into a field of the form, with another row of a list where it stands in one."""
    place = page.locator(f'[name="p.{name}"]')
    if not await place.count():
        path = name.rsplit(".", 2)[0]
        await page.locator(f'button[value="add p.{path}"]').click()
        await expect(place).to_be_attached()
    await page.eval_on_selector_all("details.part", "found => found.forEach(one => { one.open = true; })")
    if await place.evaluate("one => one.tagName") == "SELECT":
        await place.select_option(value)
    else:
        await place.fill(value)


async def send(stage: Stage, act: Act) -> None:
    """Find the form on the station's page, fill it in, send it, and see the answer beside it."""
    page = stage.page
    await page.goto("/stations/1")
    await page.get_by_text("Send a command").click()
    await page.locator(f"#do-{act.action}").click()
    fields = act.fields(stage) if callable(act.fields) else act.fields
    for name, value in fields.items():
        await fill(page, name, value)
    await page.locator("#send").click()
    if act.asks_again:
        await page.locator("#confirm").click()
    await expect(page.locator("#answer .badge").first).to_have_text("Accepted")


@asynccontextmanager
async def staged(program: Program, role: Role = "operator") -> AsyncIterator[Stage]:
    """A simulated station that is online, and a person who may command it."""
    await program.portal.engine.submit(AddChargePoint("SIM-1", 0, None, None))
    page = await program.logged_in(role)
    station = Station("SIM-1", program.ocpp_url, timing=QUICK, configuration=KNOWS)
    with http_files() as files:
        files.held.update({f"/{name}.bin": content for name, content in FIRMWARE.items()})
        async with station:
            for signed, use in ((MAKER, "ManufacturerRootCertificate"), (ROOT, "CentralSystemRootCertificate")):
                if use == "CentralSystemRootCertificate":
                    station.certificates.install(use, signed.pem, station.clock.now())
            await station.wait_online(60)
            await until(lambda: Stage(program, page, station, files).row(models.connector))
            yield Stage(program, page, station, files)


@pytest.mark.parametrize("family", ACTS)
async def test_each_action_is_sent_from_its_form_and_its_effect_seen_at_the_station(
    program: Program, family: str
) -> None:
    role: Role = "administrator" if family == "security" else "operator"  # who may change what a link proves
    async with staged(program, role) as stage:
        if family == "files":
            stage.station.certificates.install("ManufacturerRootCertificate", MAKER.pem, stage.station.clock.now())
        for act in ACTS[family]:
            if act.before is not None:
                await act.before(stage)
            await send(stage, act)
            if act.shows:
                await expect(stage.page.locator("#answer")).to_contain_text(act.shows)
            await until(lambda act=act: act.effect(stage), 20)
            await expect(stage.page.locator("#history")).to_contain_text(act.action)
    assert program.complaints == []


async def test_the_pages_of_commands_fit_a_phone(program: Program) -> None:
    submit = program.portal.engine.submit
    identity = "EAST-01-WITH-A-RATHER-LONG-IDENTITY-" * 5
    await submit(AddChargePoint(identity, 0, None, None))
    payload = {"key": "SomeRatherLongNameOfAKeyThatHasNoBlanksInIt", "value": "x" * 400}
    asked = ask(1, "ChangeConfiguration", payload, "somebody with a long name")
    await submit(asked)
    await submit(QueueBatch("form-1", f"group {'Harbour' * 20}"[:200], (1,), asked))
    await submit(TakeDataTransfer(1, "com.example." * 15, "m" * 50, "d" * 5000))
    page = await program.logged_in("administrator", width=390)
    station = "/stations/1/commands"
    forms = (f"{station}?action={name}" for name in ("SetChargingProfile", "SendLocalList", "SignedUpdateFirmware"))
    others = (
        f"{station}?command=1",
        "/commands",
        "/commands/bulk?action=Reset",
        "/commands/batches/1",
        "/data-transfers",
    )
    for path in ("/stations/1", station, *forms, *others):
        await page.goto(path)
        overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, path
    assert program.complaints == []
