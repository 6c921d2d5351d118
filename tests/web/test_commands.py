"""The pages of commands: forms for any action, the answer beside them, questions before harm, bulk, data transfers."""

import asyncio
import html
import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from csms import clock
from csms.charging import models
from csms.charging.command_models import command_secret
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.groups import StationPolicy, add_station_group, put_station
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction
from csms.commands.actions import ACTIONS
from csms.commands.fields import Field, fields_of
from csms.commands.requests import ask
from csms.operations.data_transfers import TakeDataTransfer
from csms.web.forms import Form, clean_lines
from csms.web.operations.command_form import filled_form, read_payload
from tests.web.portal import CARD, Browser, PortalWorld

PAGE = "/stations/1/commands"


@pytest.fixture
async def operator(sqlite_portal: PortalWorld) -> Browser:
    """An operator, and the station CP-1."""
    await sqlite_portal.engine.submit(AddChargePoint("CP-1", 0, None, None))
    return await sqlite_portal.logged_in("operator")


def commands(portal: PortalWorld) -> list[dict[str, Any]]:
    """Return all commands, oldest first."""
    with portal.database.reading() as connection:
        rows = connection.execute(select(models.command).order_by(models.command.c.id))
        return [dict(row._mapping) for row in rows]


async def answered(portal: PortalWorld, state: str, answer_json: str | None, **more: Any) -> None:
    """Play the dispatcher: send the next command and record its answer."""
    command = await portal.engine.submit(ClaimCommand(1, new_salt="00" * 16))
    await portal.engine.submit(AnswerCommand(command.command_id, 1, state, answer_json, **more))  # type: ignore[arg-type]


# --- Forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
async def test_each_action_has_a_form_with_all_its_fields(
    sqlite_portal: PortalWorld, operator: Browser, action: str
) -> None:
    assert (await operator.get(PAGE, action=action)).status_code == 200

    def names(fields: tuple[Field, ...], path: str) -> list[str]:
        found: list[str] = []
        for one in fields:
            here = f"{path}.{one.name}"
            if one.kind == "object":
                found += names(one.parts, here)
            elif one.kind == "list":
                row = one.parts[0]
                found += names(row.parts, f"{here}.0") if row.kind == "object" else [f"{here}.0"]
            else:
                found.append(here)
        return found

    for name in names(fields_of(action), "p"):
        assert f'name="{name}"' in operator.text, name
    assert not re.search(r">\s*(None|Undefined)\s*<", operator.text)


async def test_what_was_typed_is_queued_and_the_answer_appears(sqlite_portal: PortalWorld, operator: Browser) -> None:
    fields = {"p.connectorId": "2", "p.type": "Inoperative", "act": "send", "action": "ChangeAvailability"}
    await operator.get(PAGE, action="ChangeAvailability")
    assert (await operator.post(PAGE, **fields)).url.params["command"] == "1"
    [row] = commands(sqlite_portal)
    assert json.loads(row["payload_json"]) == {"connectorId": 2, "type": "Inoperative"}
    assert row["requested_by"].endswith("operator")
    assert 'hx-get="/stations/1/commands/1/answer"' in operator.text
    assert 'value="2"' in operator.text  # what was sent stands in the form again
    await answered(sqlite_portal, "accepted", '{"status":"Scheduled"}')
    fragment = await operator.get(f"{PAGE}/1/answer")
    assert "hx-get" not in fragment.text
    assert "Scheduled" in operator.text
    await operator.get(PAGE)
    assert "Connector 2: out of service" in operator.text
    await operator.get("/stations/1")
    assert "Accepted" in operator.text


async def test_nested_fields_and_lists_become_the_payload_and_empty_parts_are_left_out(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    path = "p.csChargingProfiles"
    fields = {
        "action": "SetChargingProfile",
        "act": "send",
        "p.connectorId": "1",
        f"{path}.chargingProfileId": "3",
        f"{path}.stackLevel": "0",
        f"{path}.chargingProfilePurpose": "TxDefaultProfile",
        f"{path}.chargingProfileKind": "Absolute",
        f"{path}.validFrom": "2026-05-01 06:00",
        f"{path}.chargingSchedule.startSchedule": "2026-05-01T08:00:00+02:00",
        f"{path}.chargingSchedule.chargingRateUnit": "A",
        f"rows.{path}.chargingSchedule.chargingSchedulePeriod": "3",
        f"{path}.chargingSchedule.chargingSchedulePeriod.0.startPeriod": "0",
        f"{path}.chargingSchedule.chargingSchedulePeriod.0.limit": "16",
        f"{path}.chargingSchedule.chargingSchedulePeriod.1.startPeriod": "60",
        f"{path}.chargingSchedule.chargingSchedulePeriod.1.limit": "7,5",
    }
    await operator.get(PAGE, action="SetChargingProfile")
    assert (await operator.post(PAGE, **fields)).status_code == 200
    [row] = commands(sqlite_portal)
    sent = json.loads(row["payload_json"])["csChargingProfiles"]
    assert sent["validFrom"] == "2026-05-01T06:00:00Z"
    assert sent["chargingSchedule"] == {
        "startSchedule": "2026-05-01T06:00:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}, {"startPeriod": 60, "limit": 7.5}],
    }
    assert "recurrencyKind" not in sent


async def test_another_row_keeps_what_was_typed_and_sends_nothing(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    fields = {"action": "GetConfiguration", "act": "add p.key", "rows.p.key": "1", "p.key.0": "HeartbeatInterval"}
    await operator.get(PAGE, action="GetConfiguration")
    await operator.post(PAGE, **fields)
    assert 'name="p.key.1"' in operator.text
    assert 'value="HeartbeatInterval"' in operator.text
    assert commands(sqlite_portal) == []


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"p.connectorId": "", "p.type": "Operative"}, "p.connectorId", "Please fill this in"),
        ({"p.connectorId": "one", "p.type": "Operative"}, "p.connectorId", "A whole number"),
        ({"p.connectorId": "99999999999", "p.type": "Operative"}, "p.connectorId", "A whole number"),
        ({"p.connectorId": "1", "p.type": "Perhaps"}, "p.type", "Please choose one of these"),
    ],
)
async def test_what_is_wrong_is_said_at_its_field(
    sqlite_portal: PortalWorld, operator: Browser, fields: dict[str, str], name: str, said: str
) -> None:
    await operator.get(PAGE, action="ChangeAvailability")
    response = await operator.post(PAGE, action="ChangeAvailability", act="send", **fields)
    assert response.status_code == 422
    assert re.search(rf'id="d-{re.escape(name)}" class="wrong" role="alert">{said}', operator.text)
    assert commands(sqlite_portal) == []


async def test_json_is_sent_as_it_is_written_and_what_is_wrong_with_it_is_said(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    await operator.get(PAGE, action="RemoteStopTransaction")
    for written, said in (
        ("{", "This is not JSON"),
        ("[1]", "The payload is an object"),
        ('{"transactionId": "x"}', "is not of type"),
        ('{"nothing": 1}', "transactionId"),
    ):
        form = {"action": "RemoteStopTransaction", "act": "send json", "json": written}
        assert (await operator.post(PAGE, **form)).status_code == 422
        assert said in html.unescape(operator.text), written
    form = {"action": "RemoteStopTransaction", "act": "send json", "json": '{"transactionId":\r\n 777}'}
    await operator.post(PAGE, **form)
    [row] = commands(sqlite_portal)
    assert json.loads(row["payload_json"]) == {"transactionId": 777}


async def test_the_fields_are_written_as_json_on_demand(sqlite_portal: PortalWorld, operator: Browser) -> None:
    await operator.get(PAGE, action="UnlockConnector")
    await operator.post(PAGE, **{"action": "UnlockConnector", "act": "as json", "p.connectorId": "7"})
    assert '"connectorId": 7' in operator.text
    assert commands(sqlite_portal) == []


@pytest.mark.usefixtures("operator")
async def test_certificates_keep_their_lines(sqlite_portal: PortalWorld) -> None:
    pem = "-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n"
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get(PAGE, action="CertificateSigned")
    await administrator.post(PAGE, **{"action": "CertificateSigned", "act": "send", "p.certificateChain": pem})
    [row] = commands(sqlite_portal)
    assert json.loads(row["payload_json"])["certificateChain"] == pem.replace("\r\n", "\n")
    assert clean_lines("a\x00b\r\nc\rd") == "ab\ncd"


@pytest.mark.usefixtures("operator")
async def test_a_key_is_typed_once_and_shown_on_no_page(sqlite_portal: PortalWorld) -> None:
    key = "0123456789abcdef0123456789abcdef"
    fields = {"action": "ChangeConfiguration", "act": "send", "p.key": "AuthorizationKey", "p.value": key}
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get(PAGE, action="ChangeConfiguration")
    await administrator.post(PAGE, **fields)
    assert "somebody has to go there" in administrator.text  # a question first
    confirmed = re.search(r'name="confirmed" value="([^"]+)"', administrator.text)
    assert confirmed is not None
    await administrator.post(PAGE, **fields, confirmed=confirmed[1])
    for page in (f"{PAGE}?command=1", PAGE, "/commands", "/stations/1", f"{PAGE}/1/answer"):
        await administrator.get(page)
        assert key not in administrator.text, page
    with sqlite_portal.database.reading() as connection:
        assert key not in connection.execute(select(command_secret.c.payload_json)).scalar_one()


async def test_a_form_read_back_says_the_same_as_its_payload() -> None:
    payload = {
        "idTag": CARD,
        "connectorId": 1,
        "chargingProfile": {
            "chargingProfileId": 1,
            "stackLevel": 2,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "W",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1000}, {"startPeriod": 9, "limit": 0}],
            },
        },
    }
    form = filled_form(payload)
    assert read_payload(form, "RemoteStartTransaction") == payload
    assert form.valid
    assert read_payload(Form({"p.idTag": CARD}), "RemoteStartTransaction") == {"idTag": CARD}


# --- Questions before harm --------------------------------------------------------------------------------------------


async def test_a_hard_reset_is_asked_for_twice(sqlite_portal: PortalWorld, operator: Browser) -> None:
    fields = {"action": "Reset", "act": "send", "p.type": "Hard"}
    await operator.get(PAGE, action="Reset")
    await operator.post(PAGE, **fields, confirmed="something else")
    assert "A hard reset restarts the station at once" in operator.text
    assert commands(sqlite_portal) == []
    await operator.post(PAGE, **fields, confirmed="A hard reset restarts the station at once.")
    assert [row["action"] for row in commands(sqlite_portal)] == ["Reset"]


async def test_a_reset_or_an_unlocking_that_ends_a_charge_is_asked_for_twice(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    now = clock.now()
    await sqlite_portal.engine.submit(StartTransaction(1, 1, CARD, 0, now, now.isoformat()))
    await operator.get(PAGE, action="Reset")
    await operator.post(PAGE, **{"action": "Reset", "act": "send", "p.type": "Soft"})
    assert "1 car is charging there" in operator.text
    await operator.post(PAGE, **{"action": "UnlockConnector", "act": "send", "p.connectorId": "1"})
    assert "A car is charging on this connector" in operator.text
    assert commands(sqlite_portal) == []
    await operator.post(PAGE, **{"action": "UnlockConnector", "act": "send", "p.connectorId": "2"})
    assert len(commands(sqlite_portal)) == 1


# --- What was asked for -----------------------------------------------------------------------------------------------


async def test_what_waits_is_cancelled_and_what_is_decided_is_not(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    await sqlite_portal.engine.submit(ask(1, "ClearCache", {}, "somebody"))
    await operator.get(PAGE, command=1)
    assert "Cancel" in operator.text
    await operator.post(f"{PAGE}/1/cancel")
    assert "The command was cancelled" in operator.text
    assert commands(sqlite_portal)[0]["failure"] == "cancelled by staff operator"
    await operator.post(f"{PAGE}/1/cancel")
    assert "It was too late to cancel" in operator.text
    assert (await operator.post(f"{PAGE}/77/cancel")).status_code == 404


async def test_a_call_error_and_a_late_answer_are_told(sqlite_portal: PortalWorld, operator: Browser) -> None:
    for _ in range(2):
        await sqlite_portal.engine.submit(ask(1, "UnlockConnector", {"connectorId": 1}, "somebody"))
    error = {"failure": "NotSupported: not here", "error_code": "NotSupported", "error_description": "not here"}
    await answered(sqlite_portal, "failed", '{"hint":1}', **error)
    await operator.get(PAGE, command=1)
    assert "NotSupported: not here" in operator.text
    assert '"hint": 1' in operator.text
    await answered(sqlite_portal, "timed out", None, failure="no answer within 60 s")
    await sqlite_portal.engine.submit(AnswerCommand(2, 1, "accepted", '{"status":"Unlocked"}', is_late=True))
    await operator.get("/commands")
    assert "answered late" in operator.text
    assert "Late" in operator.text


async def test_the_commands_of_all_stations_are_listed_and_narrowed(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    await operator.get("/commands")
    assert "No command was sent to any station yet" in operator.text
    await sqlite_portal.engine.submit(AddChargePoint("EAST-2", 0, None, None))
    await sqlite_portal.engine.submit(ask(1, "ClearCache", {}, "staff anna"))
    await sqlite_portal.engine.submit(ask(2, "Reset", {"type": "Soft"}, "staff bert"))
    for query, numbers in (
        ({}, {1, 2}),
        ({"station": "east"}, {2}),
        ({"action": "ClearCache"}, {1}),
        ({"state": "queued"}, {1, 2}),
        ({"state": "accepted"}, set()),
        ({"by": "ANNA"}, {1}),
        ({"action": "nonsense", "state": "nonsense"}, {1, 2}),
    ):
        await operator.get("/commands", **query)
        assert {int(one) for one in re.findall(r'id="c-(\d+)"', operator.text)} == numbers, query


async def test_commands_of_another_station_and_unknown_actions_are_not_found(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    await sqlite_portal.engine.submit(AddChargePoint("CP-2", 0, None, None))
    await sqlite_portal.engine.submit(ask(2, "ClearCache", {}, "somebody"))
    for path in (f"{PAGE}?command=1", f"{PAGE}/1/answer", f"{PAGE}?action=Dance", "/stations/9/commands"):
        assert (await operator.get(path)).status_code == 404, path
    await operator.get(PAGE)
    assert (await operator.post(PAGE, action="Dance", act="send")).status_code == 404


async def test_who_may_only_look_finds_no_form(sqlite_portal: PortalWorld, operator: Browser) -> None:
    await sqlite_portal.engine.submit(ask(1, "ClearCache", {}, "somebody"))
    browser = await sqlite_portal.logged_in("accountant")
    response = await browser.get(PAGE, action="ClearCache")
    if response.status_code == 200:
        assert 'id="send"' not in browser.text
        assert "Cancel" not in browser.text
    assert (await browser.client.post(PAGE, data={"csrf": browser.csrf, "action": "ClearCache"})).status_code == 403


# --- Many stations ----------------------------------------------------------------------------------------------------


async def _stations(portal: PortalWorld, number: int) -> int:
    for n in range(2, number + 1):
        await portal.engine.submit(AddChargePoint(f"CP-{n}", 0, None, None))
    with portal.database.unit_of_work() as connection:
        group_id = add_station_group(connection, "Harbour", StationPolicy(), clock.now())
        assert group_id is not None
        for n in range(1, number + 1):
            put_station(connection, f"CP-{n}", group_id)
    return group_id


async def test_a_command_to_a_group_is_asked_for_twice_followed_and_stopped(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    group_id = await _stations(sqlite_portal, 3)
    fields = {"action": "ClearCache", "act": "send", "group": str(group_id), "stations": ""}
    await operator.get("/commands/bulk", action="ClearCache")
    key = operator.key
    await operator.post("/commands/bulk", **fields, key=key)
    assert "ClearCache goes to 3 stations (group Harbour)." in operator.text
    assert commands(sqlite_portal) == []
    confirmed = {**fields, "key": key, "confirmed": "ClearCache goes to 3 stations (group Harbour)."}
    first = await operator.post("/commands/bulk", **confirmed)
    again = await operator.post("/commands/bulk", **confirmed)
    assert first.url.path == again.url.path == "/commands/batches/1"
    assert len(commands(sqlite_portal)) == 3
    await answered(sqlite_portal, "rejected", '{"status":"Rejected"}')
    await operator.get("/commands/batches/1/live")
    assert "1 of 3 decided" in operator.text
    await operator.get("/commands/batches/1", state="rejected")
    assert re.findall(r'id="c-(\d+)"', operator.text) == ["1"]
    await operator.post("/commands/batches/1/stop")
    assert "Stopped: 2 stations were not told" in operator.text
    assert [row["state"] for row in commands(sqlite_portal)] == ["rejected", "expired", "expired"]
    assert 'hx-trigger="every 2s"' not in operator.text
    await operator.get("/commands")
    assert "Stopped" in operator.text


async def test_stations_are_named_one_by_one_and_unknown_ones_are_told(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    await _stations(sqlite_portal, 2)
    await operator.get("/commands/bulk", action="Reset")
    fields = {"action": "Reset", "act": "send", "p.type": "Hard", "group": "", "key": operator.key}
    assert (await operator.post("/commands/bulk", **fields, stations="CP-1, CP-9")).status_code == 422
    assert "Not known: CP-9" in operator.text
    assert (await operator.post("/commands/bulk", **fields, stations="")).status_code == 422
    assert "Please choose a group" in operator.text
    await operator.post("/commands/bulk", **fields, stations="CP-1\nCP-2 CP-1")
    assert "Reset goes to 2 stations (CP-1, CP-2). A hard reset restarts the station at once." in operator.text
    for wrong in ("x", "999999999999"):
        assert (await operator.post("/commands/bulk", **(fields | {"group": wrong}), stations="")).status_code == 422
    assert commands(sqlite_portal) == []


async def test_an_unknown_batch_is_not_found(sqlite_portal: PortalWorld, operator: Browser) -> None:
    for path in ("/commands/batches/7", "/commands/batches/7/live"):
        assert (await operator.get(path)).status_code == 404
    await operator.get("/commands/bulk")
    assert (await operator.post("/commands/batches/7/stop")).status_code == 404


# --- Data transfers ---------------------------------------------------------------------------------------------------


async def test_a_vendor_is_registered_changed_and_forgotten_and_its_messages_shown(
    sqlite_portal: PortalWorld, operator: Browser
) -> None:
    submit = sqlite_portal.engine.submit
    assert await submit(TakeDataTransfer(1, "com.Example", "Hello", "secret data")) == "UnknownVendorId"
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/data-transfers")
    assert "11 characters, not kept" in administrator.text
    assert "secret data" not in administrator.text
    fields = {"vendor_id": "com.example", "message_ids": "Hello, Bye", "status": "Accepted", "keeps_data": "yes"}
    await administrator.post("/data-transfers", **fields)
    assert await submit(TakeDataTransfer(1, "COM.EXAMPLE", "hello", '{"kept":1}')) == "Accepted"
    assert await submit(TakeDataTransfer(1, "com.example", "Other", "x")) == "UnknownMessageId"
    await administrator.get("/data-transfers", station=1)
    assert '{"kept":1}' in administrator.text
    await administrator.post("/data-transfers", vendor_id="COM.example", message_ids="", status="Rejected")
    assert await submit(TakeDataTransfer(1, "com.example", None, None)) == "Rejected"
    await administrator.post("/data-transfers/1/remove")
    assert await submit(TakeDataTransfer(1, "com.example", None, None)) == "UnknownVendorId"
    assert (await administrator.post("/data-transfers/1/remove")).status_code == 404


async def test_a_vendor_that_is_built_in_or_has_no_name_is_not_registered(sqlite_portal: PortalWorld) -> None:
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/data-transfers")
    for vendor_id, said in (("", "Please fill this in"), ("org.openchargealliance.costmsg", "are built in")):
        response = await administrator.post("/data-transfers", vendor_id=vendor_id, status="Accepted")
        assert response.status_code == 422
        assert said in administrator.text


async def test_of_each_station_the_latest_messages_are_kept(sqlite_portal: PortalWorld, operator: Browser) -> None:
    submit = sqlite_portal.engine.submit
    await submit(AddChargePoint("CP-2", 0, None, None))
    await submit(TakeDataTransfer(2, "other", "first", None))
    for start in range(0, 520, 130):
        await asyncio.gather(*(submit(TakeDataTransfer(1, "v", str(start + n), None)) for n in range(130)))
    await operator.get("/data-transfers", station=1)
    assert "500 in all" in operator.text
    await operator.get("/data-transfers", station=2)
    assert "first" in operator.text


# --- Who may send what ------------------------------------------------------------------------------------------------

SECURITY_CALLS = {
    "authorizationKEY": ("ChangeConfiguration", {"key": "authorizationKEY", "value": "00" * 20}),
    "SecurityProfile": ("ChangeConfiguration", {"key": "SecurityProfile", "value": "1"}),
    "CpoName": ("ChangeConfiguration", {"key": "CpoName", "value": "Another"}),
    "certificate": ("CertificateSigned", {"certificateChain": "x"}),
    "root": ("InstallCertificate", {"certificateType": "CentralSystemRootCertificate", "certificate": "x"}),
}


@pytest.mark.parametrize("call", SECURITY_CALLS.values(), ids=list(SECURITY_CALLS))
async def test_what_changes_the_security_of_a_link_takes_more_than_commanding_stations(
    sqlite_portal: PortalWorld, operator: Browser, call: tuple[str, dict[str, Any]]
) -> None:
    action, payload = call
    typed = {"action": action, "act": "send json", "json": json.dumps(payload)}
    await operator.get(PAGE, action=action)
    assert (await operator.post(PAGE, **typed)).status_code == 422
    assert "takes the permission to manage stations" in operator.text
    await operator.get("/commands/bulk", action=action)
    assert (await operator.post("/commands/bulk", key=operator.key, group="all", **typed)).status_code == 422
    assert "takes the permission to manage stations" in operator.text
    assert commands(sqlite_portal) == []
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get(PAGE, action=action)
    await administrator.post(PAGE, **typed)
    await administrator.post(PAGE, confirmed=_danger(administrator), **typed)
    assert [one["action"] for one in commands(sqlite_portal)][:1] == [action]


def _danger(browser: Browser) -> str:
    found = re.search(r'name="confirmed" value="([^"]*)"', browser.text)
    return found[1] if found else ""


async def test_only_commands_that_one_may_send_are_offered(sqlite_portal: PortalWorld, operator: Browser) -> None:
    await operator.get(PAGE)
    assert 'id="do-Reset"' in operator.text
    assert 'id="do-UpdateFirmware"' in operator.text
    assert 'id="do-InstallCertificate"' not in operator.text
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get(PAGE)
    assert 'id="do-InstallCertificate"' in administrator.text
