"""Charging profiles in the portal: the library and its editor, sending, one station's profiles and schedules."""

import json
from typing import Any

from sqlalchemy import insert

from csms import clock
from csms.charging import models
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction
from tests.web.portal import CARD, Browser, PortalWorld

NIGHT = {
    "name": "Evening peak",
    "purpose": "TxDefaultProfile",
    "kind": "Recurring",
    "recurrency_kind": "Daily",
    "stack_level": "0",
    "unit": "A",
    "time_zone": "Europe/Sofia",
    "start_schedule": "2026-11-20 00:00",
    "rows": "3",
    "period_1_start": "0:00",
    "period_1_limit": "16",
    "period_2_start": "17:00",
    "period_2_limit": "8,5",
    "period_2_phases": "1",
    "act": "save",
}
GUEST = NIGHT | {
    "name": "Guest",
    "purpose": "TxProfile",
    "kind": "Relative",
    "recurrency_kind": "",
    "start_schedule": "",
    "stack_level": "1",
}


async def add_station(portal: PortalWorld, identity: str = "CP1", **reported: str) -> int:
    station: int = await portal.engine.submit(AddChargePoint(identity, 0, None, None))
    now = clock.now()
    row: dict[str, Any] = {"charge_point_id": station, "is_readonly": True, "state": "free", "checked_at": now}
    with portal.database.unit_of_work() as connection:
        for key, value in reported.items():
            connection.execute(insert(models.station_setting), row | {"key": key, "reported_value": value})
    return station


async def answered(portal: PortalWorld, station: int, *answers: dict[str, Any]) -> list[Any]:
    """Let a station answer what waits, Accepted where no answer is given; return the payloads."""
    found, left = [], list(answers)
    while (command := await portal.engine.submit(ClaimCommand(station))) is not None:
        found.append(json.loads(command.payload_json))
        answer = left.pop(0) if left else {"status": "Accepted"}
        state: Any = "accepted" if answer["status"] == "Accepted" else "rejected"
        said = AnswerCommand(command.command_id, command.attempts, state, json.dumps(answer))
        await portal.engine.submit(said)
    return found


async def stored(browser: Browser, **fields: str) -> None:
    await browser.get("/charging-profiles/new")
    response = await browser.post("/charging-profiles/new", **fields)
    assert response.status_code == 200, browser.text
    assert "Stored." in browser.text


async def test_an_operator_makes_a_profile_and_sees_its_picture_first(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/charging-profiles")
    assert "There is no profile yet" in browser.text
    await browser.get("/charging-profiles/new")
    response = await browser.post("/charging-profiles/new", **NIGHT | {"act": "preview"})
    assert response.status_code == 200
    assert "Evening peak: 00:00 16 A, 17:00 8.5 A on 1 phase" in browser.text
    assert '<path class="step-line step-1"' in browser.text
    await browser.post("/charging-profiles/new", **NIGHT)
    assert "Stored." in browser.text
    await browser.get("/charging-profiles")
    assert "16 A, 8.5 A after 17:00 h" in browser.text
    assert "daily from 2026-11-20 00:00" in browser.text
    await browser.get("/charging-profiles/new", change="1")
    for typed in ('value="8.5"', 'value="17:00"', 'value="2026-11-20 00:00"', '<option value="1" selected>1'):
        assert typed in browser.text


async def test_wrong_fields_are_marked_and_nothing_is_stored(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/charging-profiles/new")
    wrong = {"period_1_start": "0:01", "period_2_limit": "1.25", "start_schedule": "", "stack_level": "x", "name": ""}
    response = await browser.post("/charging-profiles/new", **NIGHT | wrong)
    assert response.status_code == 422
    for words in ("such as 16", "Say when it begins", "A whole number.", "Please fill this in."):
        assert words in browser.text
    await browser.post("/charging-profiles/new", **NIGHT | {"period_1_start": "0:01"})
    assert "The first period begins at 0." in browser.text
    await browser.post("/charging-profiles/new", **NIGHT | {"period_2_start": "30:00"})
    assert "Begins after the end of the schedule." in browser.text
    await browser.get("/charging-profiles")
    assert "There is no profile yet" in browser.text


async def test_a_row_more_is_a_press_of_a_button_and_keeps_what_was_typed(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/charging-profiles/new")
    await browser.post("/charging-profiles/new", **NIGHT | {"act": "add row"})
    assert 'name="period_4_start"' in browser.text
    assert 'value="8,5"' in browser.text


async def test_a_profile_is_sent_to_a_station_and_stands_on_both_pages_once_it_is_taken(
    sqlite_portal: PortalWorld,
) -> None:
    station = await add_station(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT)
    await browser.post("/charging-profiles/1/send", station="CP1", group_id="", connector_id="0", purpose="")
    assert "On its way to" in browser.text
    assert "No station has it" in browser.text
    (payload,) = await answered(sqlite_portal, station)
    assert payload["connectorId"] == 0
    assert payload["csChargingProfiles"] == {
        "chargingProfileId": 1_000_000_100,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Recurring",
        "recurrencyKind": "Daily",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "startSchedule": "2026-11-19T22:00:00Z",
            "chargingSchedulePeriod": [
                {"startPeriod": 0, "limit": 16},
                {"startPeriod": 61_200, "limit": 8.5, "numberPhases": 1},
            ],
        },
    }
    await browser.get("/charging-profiles/1")
    assert "Whole station" in browser.text
    await browser.get(f"/stations/{station}/profiles")
    assert "Evening peak" in browser.text
    assert "id 1000000100" in browser.text
    await browser.post(f"/stations/{station}/profiles/clear", profile_id="1000000100", purpose="")
    assert await answered(sqlite_portal, station) == [{"id": 1_000_000_100}]
    await browser.get(f"/stations/{station}/profiles")
    assert "No profile, as far as is known" in browser.text


async def test_a_group_is_asked_as_a_batch_and_who_cannot_take_it_is_named(sqlite_portal: PortalWorld) -> None:
    first = await add_station(sqlite_portal, "CP1")
    await add_station(sqlite_portal, "CP2", ChargingScheduleMaxPeriods="1")
    with sqlite_portal.database.unit_of_work() as connection:
        connection.execute(insert(models.station_group), {"id": 1, "name": "Harbour", "created_at": clock.now()})
        connection.execute(models.charge_point.update().values(group_id=1))
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT)
    fields = {"station": "", "group_id": "1", "connector_id": "0", "purpose": "TxDefaultProfile", "key": "k1"}
    for _ in range(2):  # the same form again asks nobody again
        await browser.post("/charging-profiles/1/send", **fields)
        assert "On its way to" in browser.text
        assert 'href="/commands/batches/1"' in browser.text
        assert "Not sent to 1 station:" in browser.text
        assert "at most 1 periods; this profile has 2" in browser.text
    assert len(await answered(sqlite_portal, first)) == 1


async def test_a_form_that_names_no_place_or_two_is_refused(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT)
    for fields in (
        {"station": "", "group_id": "", "connector_id": "1"},
        {"station": "CP9", "group_id": "", "connector_id": "1"},
        {"station": "", "group_id": "7", "connector_id": "1"},
        {"station": "CP1", "group_id": "1", "connector_id": ""},
    ):
        response = await browser.post("/charging-profiles/1/send", **fields)
        assert response.status_code == 422
    assert (await browser.get("/charging-profiles/99")).status_code == 404


async def test_a_car_starts_under_a_profile(sqlite_portal: PortalWorld) -> None:
    station = await add_station(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT)
    await stored(browser, **GUEST)
    await browser.get(f"/stations/{station}/profiles")
    start = {"act": "start", "library_id": "2", "id_tag": CARD, "connector_id": "1"}
    await browser.post(f"/stations/{station}/profiles/send", **start)
    assert "The start is on its way" in browser.text
    (payload,) = await answered(sqlite_portal, station)
    assert payload["idTag"] == CARD
    assert "transactionId" not in payload["chargingProfile"]
    assert payload["chargingProfile"]["chargingProfileKind"] == "Relative"
    response = await browser.post(f"/stations/{station}/profiles/send", **start | {"library_id": "1"})
    assert response.status_code == 422
    assert "Only a TxProfile can go with a start." in browser.text


async def test_a_profile_of_one_transaction_goes_to_the_car_that_charges(sqlite_portal: PortalWorld) -> None:
    station = await add_station(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **GUEST)
    send = {"act": "send", "library_id": "1", "connector_id": "1"}
    response = await browser.post(f"/stations/{station}/profiles/send", **send)
    assert response.status_code == 422
    assert "No car is charging at this connector" in browser.text
    started = await sqlite_portal.engine.submit(StartTransaction(station, 1, CARD, 0, clock.now(), "a"))
    await browser.post(f"/stations/{station}/profiles/send", **send)
    (payload,) = await answered(sqlite_portal, station)
    assert payload["csChargingProfiles"]["transactionId"] == started.transaction_id


async def test_the_station_s_schedule_stands_beside_ours_with_the_difference(sqlite_portal: PortalWorld) -> None:
    station = await add_station(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT | {"period_2_start": "", "period_2_limit": "", "period_2_phases": ""})
    await browser.post(f"/stations/{station}/profiles/send", act="send", library_id="1", connector_id="0")
    await answered(sqlite_portal, station)
    await browser.get(f"/stations/{station}/profiles")
    assert "We compute: 16 A" not in browser.text, "the whole station is no connector"
    await browser.post(f"/stations/{station}/profiles/composite", connector_id="1", hours="24", unit="A")
    begin = clock.now().replace(microsecond=0).isoformat().replace("+00:00", "Z")
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}]}
    said = {"status": "Accepted", "connectorId": 1, "scheduleStart": begin, "chargingSchedule": schedule}
    assert await answered(sqlite_portal, station, said) == [
        {"connectorId": 1, "duration": 86_400, "chargingRateUnit": "A"}
    ]
    await browser.get(f"/stations/{station}/profiles")
    for words in ("We compute: 16 A", "The station says: 10 A", "it says 10 A, we compute 16 A"):
        assert words in browser.text
    schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": -1}]
    await browser.post(f"/stations/{station}/profiles/composite", connector_id="1", hours="24", unit="A")
    await answered(sqlite_portal, station, said)
    await browser.get(f"/stations/{station}/profiles")
    assert "A limit of -1 is shown as no limit" in browser.text


async def test_whoever_may_not_command_sees_no_forms(sqlite_portal: PortalWorld) -> None:
    station = await add_station(sqlite_portal)
    operator = await sqlite_portal.logged_in("operator")
    await stored(operator, **NIGHT)
    cashier = await sqlite_portal.logged_in("cashier")
    assert (await cashier.get(f"/stations/{station}/profiles")).status_code == 403
    assert (await cashier.get("/charging-profiles")).status_code == 403
    assert (await operator.get("/stations/99/profiles")).status_code == 404
    assert (await operator.post("/stations/99/profiles/clear", purpose="")).status_code == 404


async def test_a_removed_profile_is_gone_from_the_library(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await stored(browser, **NIGHT)
    await browser.post("/charging-profiles/1/remove")
    assert "Removed from the library." in browser.text
    assert (await browser.get("/charging-profiles/1")).status_code == 404
