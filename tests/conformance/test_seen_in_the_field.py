"""What real charge points were seen to do: items 1 to 9 of the list in the design, each played over a real socket."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from csms.charging import models
from csms.config import Settings
from csms.operations.charging_profile_models import composite_schedule
from csms.operations.reservations_models import reservation
from tests.conformance.harness import CARD, Operator, Station
from tests.conftest import settings_for
from tests.support.waiting import until

ACCEPTED = {"status": "Accepted"}


@pytest.fixture
def conformance_settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Transactions that may be over are looked after, and in no test's time."""
    return settings_for(sqlite_url, tmp_path, zombie_wait_s=600)


def at(minutes: float = 0) -> str:
    """Return a moment of this hour as a station writes it."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=60) + timedelta(minutes=minutes)
    return moment.isoformat().replace("+00:00", "Z")


def starting(timestamp: str, meter_start: int = 1000) -> dict[str, Any]:
    """Return the payload of a StartTransaction."""
    return {"connectorId": 1, "idTag": CARD, "meterStart": meter_start, "timestamp": timestamp}


def reading(transaction_id: int | None, timestamp: str, value: str, connector_id: int = 1) -> dict[str, Any]:
    """Return the payload of a MeterValues with one sample."""
    values = [{"timestamp": timestamp, "sampledValue": [{"value": value}]}]
    payload: dict[str, Any] = {"connectorId": connector_id, "meterValue": values}
    return payload if transaction_id is None else payload | {"transactionId": transaction_id}


async def drain(station: Station) -> None:
    """Reject what the central system asks for by itself, such as a reading of a transaction that may be over."""
    while not station.commands.empty():
        message_id, _, _ = station.commands.get_nowait()
        await station.answer(message_id, {"status": "Rejected"})


# --- 1. A lost answer to StartTransaction -----------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["the same message id", "a new message id"])
async def test_1_a_start_whose_answer_was_lost_is_repeated_and_stays_one_transaction(
    operator: Operator, again: str
) -> None:
    payload = starting(at(5))
    async with operator.station() as station:
        await station.socket.send(json.dumps([2, "start-1", "StartTransaction", payload]))
        await until(operator.world.transactions)
    async with operator.station(boot=False) as station:
        message_id = "start-1" if again == "the same message id" else "start-2"
        answer = await station.call("StartTransaction", payload, message_id=message_id)
    [one] = operator.world.transactions()
    assert (answer["transactionId"], answer["idTagInfo"]["status"]) == (one.transaction_id, "Accepted")
    assert one.state == "open"


async def test_1_a_start_that_is_never_repeated_stays_open_until_the_next_one_begins_there(operator: Operator) -> None:
    async with operator.station() as station:
        await station.socket.send(json.dumps([2, "start-1", "StartTransaction", starting(at(5))]))
        await until(operator.world.transactions)
    async with operator.station(boot=False) as station:
        answer = await station.call("StartTransaction", starting(at(15), 3000))
        await station.stop(answer["transactionId"], 3500, at(25))
    lost, ended = operator.world.transactions()
    assert (lost.state, ended.state) == ("orphaned", "ended")
    assert [item.kind for item in operator.world.review_items()] == ["orphaned transaction"]


# --- 2. Message ids that are small numbers and repeat -----------------------------------------------------------------


@pytest.mark.parametrize("numbers", [True, False], ids=["numbers", "texts"])
async def test_2_message_ids_that_begin_anew_with_every_boot_mean_nothing_beyond_their_answer(
    operator: Operator, *, numbers: bool
) -> None:
    ids: list[Any] = [1, 2, 3] if numbers else ["1", "2", "3"]
    seen = []
    for n in range(3):
        async with operator.station(boot=False) as station:
            boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
            assert (await station.frame([2, ids[0], "BootNotification", boot]))[2]["status"] == "Accepted"
            started = await station.frame([2, ids[1], "StartTransaction", starting(at(n * 10), 1000 * (n + 1))])
            assert started[1] == ids[1]
            number = started[2]["transactionId"]
            stopped = {"transactionId": number, "meterStop": 1000 * (n + 1) + 100, "timestamp": at(n * 10 + 5)}
            assert (await station.frame([2, ids[2], "StopTransaction", stopped]))[0] == 3
            seen.append(number)
    assert len(set(seen)) == 3
    assert [one.energy_wh for one in operator.world.transactions()] == [100] * 3


# --- 3. Reconnects and boots in the middle of a transaction -----------------------------------------------------------


async def test_3_a_mere_reconnect_needs_no_boot_and_commands_reach_the_station(operator: Operator) -> None:
    async with operator.station() as station:
        number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
    async with operator.station(boot=False) as station:
        assert await station.call("MeterValues", reading(number, at(10), "1500")) == {}
        done = await operator.told(station, "RemoteStopTransaction", {"transactionId": number}, answers=ACCEPTED)
        assert done.state == "accepted"


async def test_3_a_station_that_boots_and_goes_on_with_its_transaction_from_a_register_of_0(
    operator: Operator,
) -> None:
    async with operator.station() as station:
        number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
        await station.call("MeterValues", reading(number, at(10), "1500"))
    async with operator.station() as station:  # boots
        for minute, value in ((15, "0"), (20, "200")):
            assert await station.call("MeterValues", reading(number, at(minute), value)) == {}
        assert operator.world.transaction(number).state == "open"
        await drain(station)
        for _ in range(2):
            await station.stop(number, 300, at(25))
    one = operator.world.transaction(number)
    assert (one.state, one.meter_stop_wh, one.energy_wh) == ("ended", 300, 500)  # up to the last good reading
    assert len(operator.world.entries("settle")) == 1


async def test_3_a_station_that_ends_its_transaction_after_the_boot_with_reason_reboot_and_no_id_tag(
    operator: Operator,
) -> None:
    async with operator.station() as station:
        number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
    async with operator.station() as station:
        for _ in range(2):
            await station.stop(number, 1800, at(20), reason="Reboot")
    one = operator.world.transaction(number)
    assert (one.state, one.stop_reason, one.energy_wh, one.stop_id_tag) == ("ended", "Reboot", 800, None)


# --- 4. Messages out of their order -----------------------------------------------------------------------------------


async def test_4_statuses_overtake_and_whole_transactions_come_from_the_past(operator: Operator) -> None:
    async with operator.station():
        pass
    async with operator.station(boot=False) as station:
        await station.status(1, "Available")
        for n in (0, 20):
            number = (await station.call("StartTransaction", starting(at(n), 1000 + n * 100)))["transactionId"]
            await station.call("MeterValues", reading(number, at(n + 5), str(1000 + n * 100 + 50)))
            await station.stop(number, 1000 + n * 100 + 100, at(n + 10))
        await station.hears_nothing()
    assert [(one.state, one.energy_wh) for one in operator.world.transactions()] == [("ended", 100)] * 2


async def test_4_meter_values_and_a_second_stop_after_the_stop_change_no_bill(
    operator: Operator, station: Station
) -> None:
    number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
    await station.stop(number, 1500, at(20))
    before = operator.world.transaction(number)
    assert await station.call("MeterValues", reading(number, at(20), "1500")) == {}
    assert await station.call("MeterValues", reading(number, at(19), "1490")) == {}
    await station.stop(number, 1500, at(20))
    await station.stop(number, 1700, at(21))  # a different one: kept for a person, and nothing else
    after = operator.world.transaction(number)
    assert (after.energy_wh, after.cost_minor, after.state) == (before.energy_wh, before.cost_minor, "ended")
    assert len(operator.world.entries("settle")) == 1
    assert [item.kind for item in operator.world.review_items()] == ["conflicting stop"]


# --- 5. Odd readings and clocks ---------------------------------------------------------------------------------------


async def test_5_clock_aligned_readings_of_connector_0_are_kept_and_no_transactions(
    operator: Operator, station: Station
) -> None:
    for _ in range(2):
        assert await station.call("MeterValues", reading(None, at(15), "81234.5", connector_id=0)) == {}
    [row] = operator.stored(models.reading)
    assert (row["connector_id"], row["transaction_id"]) == (0, None)
    assert operator.world.transactions() == []


async def test_5_decimals_and_timestamps_at_the_beginning_of_the_interval_are_read(
    operator: Operator, station: Station
) -> None:
    number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
    await station.call("MeterValues", reading(number, at(5), "1300.000"))  # stamped with the start of its interval
    assert operator.world.transaction(number).energy_wh == 300
    await station.call("MeterValues", reading(number, at(25), "5100.000"))
    assert operator.world.transaction(number).energy_wh == 4100
    await station.stop(number, 5200, at(30))
    assert operator.world.transaction(number).energy_wh == 4200


async def test_5_a_clock_in_1970_is_answered_and_our_time_counts(operator: Operator, station: Station) -> None:
    long_ago = "1970-01-01T00:03:20Z"
    await station.call(
        "StatusNotification", {"connectorId": 1, "status": "Preparing", "errorCode": "NoError", "timestamp": long_ago}
    )
    number = (await station.call("StartTransaction", starting(long_ago)))["transactionId"]
    one = operator.world.transaction(number)
    assert one.started_at > datetime.now(UTC) - timedelta(minutes=1)
    assert one.flags
    again = await station.call("StartTransaction", starting(long_ago))
    assert again["transactionId"] == number


# --- 6. Several calls in flight, and blanks ---------------------------------------------------------------------------


async def test_6_several_calls_in_flight_are_all_answered_in_their_order(operator: Operator, station: Station) -> None:
    number = (await station.call("StartTransaction", starting(at(5))))["transactionId"]
    for minute in range(6, 26):
        payload = json.dumps(reading(number, at(minute), str(1000 + minute)))
        await station.socket.send(f'[2, "burst-{minute}", "MeterValues", {payload}]')
    await station.call("Heartbeat", {})
    assert operator.world.transaction(number).energy_wh == 25
    assert len(operator.stored(models.reading)) == 20


async def test_6_blanks_and_line_ends_within_frames_are_read(operator: Operator, station: Station) -> None:
    asked = await operator.command("ClearCache")
    taken = await station.takes("ClearCache", {})
    await station.socket.send(f'[ 3 ,\t"{taken.message_id}" ,\r\n {{ "status" : "Accepted" }} ]')
    assert (await asked.done()).state == "accepted"


# --- 7. A reboot before Reset.conf ------------------------------------------------------------------------------------


async def test_7_a_station_that_reboots_before_its_reset_conf_leaves_has_done_it(operator: Operator) -> None:
    async with operator.station() as station:
        asked = await operator.command("Reset", {"type": "Hard"})
        await station.takes("Reset", {"type": "Hard"})
    async with operator.station() as station:  # a boot instead of an answer
        done = await asked.done()
        assert (done.state, done.answer, done.failure) == ("accepted", None, None)
        [row] = operator.stored(models.command, models.command.c.id == done.id)
        assert "booted" in row["remark"]
        await station.hears_nothing()  # it is not reset again


# --- 8. A call error where a status was expected ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("GetLocalListVersion", {}),
        (
            "SetChargingProfile",
            {
                "connectorId": 1,
                "csChargingProfiles": {
                    "chargingProfileId": 1,
                    "stackLevel": 0,
                    "chargingProfilePurpose": "TxDefaultProfile",
                    "chargingProfileKind": "Relative",
                    "chargingSchedule": {
                        "chargingRateUnit": "A",
                        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}],
                    },
                },
            },
        ),
        ("ChangeAvailability", {"connectorId": 2, "type": "Operative"}),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 2}),
    ],
)
async def test_8_a_call_error_for_a_whole_profile_or_one_connector_fails_that_command_alone(
    operator: Operator, station: Station, action: str, payload: dict[str, Any]
) -> None:
    asked = await operator.command(action, payload)
    taken = await station.takes(action, payload)
    await taken.refuse("NotSupported", "not here", {"hint": "no such thing"})
    done = await asked.done()
    assert (done.state, done.failure, done.answer) == ("failed", "NotSupported: not here", {"hint": "no such thing"})
    [row] = operator.stored(models.command, models.command.c.id == done.id)
    assert (row["error_code"], row["error_description"], row["attempts"]) == ("NotSupported", "not here", 1)
    assert (await operator.told(station, "ClearCache", answers=ACCEPTED)).state == "accepted"


# --- 9. Odd answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("periods", [[{"startPeriod": 0, "limit": -1}], []], ids=["limit -1", "no periods"])
async def test_9_a_composite_schedule_with_limit_minus_1_or_without_periods_is_stored_as_it_came(
    operator: Operator, station: Station, periods: list[dict[str, Any]]
) -> None:
    payload = {"connectorId": 1, "duration": 3600}
    answer = {
        "status": "Accepted",
        "connectorId": 1,
        "scheduleStart": at(),
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": periods},
    }
    done = await operator.told(station, "GetCompositeSchedule", payload, answers=answer)
    assert done.state == "accepted"
    [row] = operator.stored(composite_schedule)
    assert json.loads(row["answer_json"])["chargingSchedule"]["chargingSchedulePeriod"] == periods


async def test_9_a_second_reservation_replaces_the_first(operator: Operator, station: Station) -> None:
    until_then = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in (1, 2):
        payload = {"connectorId": 1, "expiryDate": until_then, "idTag": CARD, "reservationId": number}
        await operator.told(station, "ReserveNow", payload, answers=ACCEPTED)
    states = {row["reservation_id"]: row["state"] for row in operator.stored(reservation)}
    assert states[2] == "active"
    assert states[1] != "active"


async def test_9_an_authorization_key_without_a_value_is_a_key_and_one_with_a_value_is_not_kept(
    operator: Operator, station: Station
) -> None:
    for value in ({}, {"value": "0123456789abcdef0123456789abcdef"}):
        keys = [{"key": "AuthorizationKey", "readonly": False} | value]
        asked = await operator.command("GetConfiguration", {})
        await station.takes("GetConfiguration", {}, answers={"configurationKey": keys})
        assert (await asked.done()).state == "accepted"
        settings = {row["key"]: row["reported_value"] for row in operator.stored(models.station_setting)}
        assert settings["AuthorizationKey"] is None
    assert "0123456789abcdef" not in str(operator.stored(models.command))


async def test_9_delete_certificate_answers_not_found_to_the_very_hashes_it_reported(
    operator: Operator, station: Station
) -> None:
    hashes = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "ab" * 32,
        "issuerKeyHash": "cd" * 32,
        "serialNumber": "1f",
    }
    kind = {"certificateType": "CentralSystemRootCertificate"}
    listed = {"status": "Accepted", "certificateHashData": [hashes]}
    assert (await operator.told(station, "GetInstalledCertificateIds", kind, answers=listed)).state == "accepted"
    for _ in range(2):
        payload = {"certificateHashData": hashes}
        done = await operator.told(station, "DeleteCertificate", payload, answers={"status": "NotFound"})
        assert (done.state, done.answer) == ("rejected", {"status": "NotFound"})
