"""What fails its schema and can still be understood: read, flagged, and never to anybody's loss."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.handlers import lenient, messages
from csms.handlers.messages import (
    CALLS,
    MeterValues,
    SampledValue,
    StartTransaction,
    StatusNotification,
    StopTransaction,
)

START = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": 1000, "timestamp": "2026-11-23T10:00:00Z"}
STOP = {"transactionId": 7, "idTag": "04A1B2C3", "meterStop": 2000, "timestamp": "2026-11-23T11:00:00Z"}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Charging"}
SAMPLE = {"value": "1500", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
METER = {
    "connectorId": 1,
    "transactionId": 7,
    "meterValue": [{"timestamp": "2026-11-23T10:30:00Z", "sampledValue": [SAMPLE]}],
}
VALID = {"StartTransaction": START, "StopTransaction": STOP, "StatusNotification": STATUS, "MeterValues": METER}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)


def start(**changes: object) -> tuple[StartTransaction, tuple[str, ...]]:
    message, flags = lenient.read("StartTransaction", json.dumps(START | changes).encode())
    assert isinstance(message, StartTransaction)
    return message, flags


def stop(**changes: object) -> tuple[StopTransaction, tuple[str, ...]]:
    message, flags = lenient.read("StopTransaction", json.dumps(STOP | changes).encode())
    assert isinstance(message, StopTransaction)
    return message, flags


def status(**changes: object) -> tuple[StatusNotification, tuple[str, ...]]:
    message, flags = lenient.read("StatusNotification", json.dumps(STATUS | changes).encode())
    assert isinstance(message, StatusNotification)
    return message, flags


def meter(**changes: object) -> tuple[MeterValues, tuple[str, ...]]:
    message, flags = lenient.read("MeterValues", json.dumps(METER | changes).encode())
    assert isinstance(message, MeterValues)
    return message, flags


def sample(**changes: object) -> tuple[tuple[SampledValue, ...], tuple[str, ...]]:
    message, flags = meter(meterValue=[{"timestamp": "2026-11-23T10:30:00Z", "sampledValue": [SAMPLE | changes]}])
    return message.meter_value[0].sampled_value, flags


@pytest.mark.parametrize("action", VALID)
def test_a_valid_call_is_read_as_strictly_and_without_flags(action: str) -> None:
    payload = json.dumps(VALID[action]).encode()
    assert lenient.read(action, payload) == (msgspec.json.decode(payload, type=CALLS[action]), ())


# --- Meter registers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "wh", "flags"),
    [
        ("2000.4", 2000, ("meterStop: fractional",)),
        ("2000.5", 2001, ("meterStop: fractional",)),
        ("2000.0", 2000, ("meterStop: fractional",)),
        ("2e3", 2000, ("meterStop: fractional",)),
        ("90071992547409.93", 2**31 - 1, ("meterStop: fractional", "meterStop: out of range")),
        ('"2000"', 2000, ("meterStop: text",)),
        ('"2000.5"', 2001, ("meterStop: text", "meterStop: fractional")),
        ('" 2000,5 "', 2001, ("meterStop: text", "meterStop: fractional")),
        ("4294967295", 2**31 - 1, ("meterStop: out of range",)),
        ("-4294967295", -(2**31), ("meterStop: out of range",)),
        ("2147483647.5", 2**31 - 1, ("meterStop: fractional", "meterStop: out of range")),
    ],
)
def test_a_register_is_rounded_half_up_to_whole_wh_and_kept_in_32_bits(
    number: str, wh: int, flags: tuple[str, ...]
) -> None:
    payload = json.dumps(STOP).replace("2000", number).encode()
    message, found = lenient.read("StopTransaction", payload)
    assert isinstance(message, StopTransaction)
    assert (message.meter_stop, found) == (wh, flags)


@pytest.mark.parametrize(
    "number",
    ["true", '"full"', '""', "[]", "{}", '"1e3"', '"1_000"', '"NaN"', "1e999999999", "1e99999999999999999999", "null"],
)
def test_a_register_that_is_no_number_is_unreadable(number: str) -> None:
    with pytest.raises(lenient.Unreadable, match="meterStop"):
        lenient.read("StopTransaction", json.dumps(STOP).replace("2000", number).encode())


# --- What identifies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_tag", "read", "flag"),
    [
        ("  04A1B2C3 ", "04A1B2C3", "idTag: blanks"),
        (12345678, "12345678", "idTag: not a text"),
        ("12345678901234567890", "12345678901234567890", None),
        ("123456789012345678901", "1234567890123456789…", "idTag: too long"),
    ],
)
def test_an_id_tag_is_read_without_blanks_and_as_text(id_tag: object, read: str, flag: str | None) -> None:
    message, flags = start(idTag=id_tag)
    assert message.id_tag == read
    assert flag is None or flag in flags


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=21, max_size=60))
def test_an_id_tag_that_is_too_long_is_never_one_that_a_card_can_have(text: str) -> None:
    id_tag = start(idTag=text)[0].id_tag
    assert len(id_tag) <= 20
    assert not id_tag.isascii() or id_tag == text.strip()


@pytest.mark.parametrize("missing", ["connectorId", "idTag", "meterStart"])
@pytest.mark.parametrize("value", [None, [], {"a": 1}, True])
def test_nothing_that_identifies_or_measures_is_invented(missing: str, value: object) -> None:
    with pytest.raises(lenient.Unreadable, match=missing):
        start(**{missing: value})


@pytest.mark.parametrize(("written", "flag"), [("1", "connectorId: text"), (1.0, "connectorId: fractional")])
def test_a_connector_may_be_written_in_another_way(written: object, flag: str) -> None:
    message, flags = start(connectorId=written)
    assert (message.connector_id, flags) == (1, (flag,))


@pytest.mark.parametrize("connector_id", [1.5, "one", 2**31])
def test_a_connector_that_is_no_whole_number_is_unreadable(connector_id: object) -> None:
    with pytest.raises(lenient.Unreadable, match="connectorId"):
        start(connectorId=connector_id)


def test_a_transaction_id_in_a_text_is_read() -> None:
    assert stop(transactionId="7")[0].transaction_id == 7
    assert meter(transactionId="7")[0].transaction_id == 7


@pytest.mark.parametrize("foreign", ["3f2a-77", 2**40, 1.5, True, []])
def test_a_transaction_id_that_cannot_be_ours_is_the_unknown_one(foreign: object) -> None:
    message, flags = stop(transactionId=foreign)
    assert message.transaction_id == lenient.UNKNOWN_TRANSACTION
    assert "transactionId: unreadable" in flags


def test_a_stop_without_a_transaction_id_is_unreadable() -> None:
    with pytest.raises(lenient.Unreadable, match="transactionId: missing"):
        stop(transactionId=None)


def test_a_reservation_id_that_cannot_be_read_is_left_out() -> None:
    message, flags = start(reservationId="none")
    assert message.reservation_id is None
    assert "reservationId: unreadable" in flags


# --- What describes ---------------------------------------------------------------------------------------------------


def test_extra_properties_are_dropped_and_flagged() -> None:
    message, flags = start(foo=1, bar={"deep": []})
    assert message == start()[0]
    assert flags == ("extra property: foo", "extra property: bar")


def test_an_extra_property_is_flagged_when_it_is_null_and_a_known_one_is_not() -> None:
    assert start(foo=None, reservationId=None)[1] == ("extra property: foo",)


def test_the_name_of_an_extra_property_and_the_number_of_flags_have_a_limit() -> None:
    flags = start(**{f"{n}" * 100: n for n in range(100)})[1]
    assert len(flags) == lenient.FLAGS_MAX
    assert max(map(len, flags)) <= len("extra property: ") + lenient.NAME_LENGTH


def test_a_missing_timestamp_is_an_empty_text() -> None:
    message, flags = start(timestamp=None)
    assert (message.timestamp, flags) == ("", ("timestamp: missing",))


def test_an_endless_timestamp_is_cut() -> None:
    message, flags = start(timestamp="x" * 1000)
    assert (len(message.timestamp), flags) == (64, ("timestamp: too long",))


@pytest.mark.parametrize(
    ("reason", "read", "flag"),
    [
        ("local", "Local", "reason: case"),
        ("evdisconnected", "EVDisconnected", "reason: case"),
        ("Timeout", "Other", "reason: unknown"),
        (3, "Other", "reason: unknown"),
    ],
)
def test_a_reason_in_another_case_is_found_and_an_unknown_one_is_other(reason: object, read: str, flag: str) -> None:
    message, flags = stop(reason=reason)
    assert (message.reason, flags) == (read, (flag,))


@pytest.mark.parametrize(
    ("error_code", "read", "flag"),
    [
        ("noerror", "NoError", "errorCode: case"),
        ("E42", "OtherError", "errorCode: unknown"),
        (None, "NoError", "errorCode: missing"),
    ],
)
def test_an_error_code_in_another_case_is_found_and_an_unknown_one_is_other_error(
    error_code: object, read: str, flag: str
) -> None:
    message, flags = status(errorCode=error_code)
    assert (message.error_code, flags) == (read, (flag,))


def test_a_status_in_another_case_is_found_and_an_unknown_one_is_unreadable() -> None:
    assert status(status="suspendedev") == (
        StatusNotification(connector_id=1, error_code="NoError", status="SuspendedEV"),
        ("status: case",),
    )
    with pytest.raises(lenient.Unreadable, match="status: unknown"):
        status(status="Occupied")


def test_descriptions_that_are_too_long_are_cut() -> None:
    message, flags = status(info="i" * 60, vendorId="v" * 300, vendorErrorCode=17)
    assert (message.info, message.vendor_id, message.vendor_error_code) == ("i" * 50, "v" * 255, "17")
    assert flags == ("info: too long", "vendorId: too long", "vendorErrorCode: not a text")


# --- Samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "text"),
    [("1500", "1500"), ("1500.50", "1500.50"), ("1.5e3", "1500"), ("-0.0", "-0.0"), ("1e400", "1E+400")],
)
def test_a_number_as_value_becomes_its_text(number: str, text: str) -> None:
    payload = json.dumps(METER).replace('"1500"', number).encode()
    message, flags = lenient.read("MeterValues", payload)
    assert isinstance(message, MeterValues)
    assert message.meter_value[0].sampled_value[0].value == text
    assert flags == ("value: not a text",)


def test_a_decimal_comma_stays_in_the_text() -> None:
    samples, flags = sample(value="1500,5", extra=1)
    assert (samples[0].value, flags) == ("1500,5", ("extra property: extra",))


def test_enumerations_of_a_sample_are_found_in_any_case() -> None:
    samples, flags = sample(
        unit="kwh", measurand="energy.active.import.register", phase="l1-n", location="OUTLET", format="raw"
    )
    assert samples == (
        SampledValue(
            value="1500",
            unit="kWh",
            measurand="Energy.Active.Import.Register",
            phase="L1-N",
            location="Outlet",
            format="Raw",
        ),
    )
    assert set(flags) == {f"{name}: case" for name in ("unit", "measurand", "phase", "location", "format")}


@pytest.mark.parametrize("name", ["unit", "measurand", "phase", "location", "format"])
@pytest.mark.parametrize("value", ["MWh", 5, []])
def test_a_sample_of_an_unknown_quantity_is_dropped_and_not_taken_for_the_default(name: str, value: object) -> None:
    samples, flags = sample(**{name: value})
    assert (samples, flags) == ((), (f"sampledValue dropped: {name}: unknown",))


def test_a_sample_of_an_unknown_context_is_kept() -> None:
    samples, flags = sample(context="Sample.Now")
    assert (samples[0].context, flags) == ("Other", ("context: unknown",))


def test_the_other_samples_stay_when_one_is_dropped() -> None:
    message, flags = meter(
        meterValue=[
            {"timestamp": "2026-11-23T10:30:00Z", "sampledValue": [SAMPLE, {"unit": "Wh"}, 5, SAMPLE]},
            "nothing",
        ]
    )
    assert [len(each.sampled_value) for each in message.meter_value] == [2]
    assert flags == (
        "sampledValue dropped: value: missing",
        "sampledValue dropped: payload: not an object",
        "meterValue dropped: payload: not an object",
    )


def test_a_list_of_rubbish_is_not_read_to_its_end() -> None:
    rubbish: list[object] = [{}] * lenient.DROPPED_MAX
    reading = {"timestamp": "2026-11-23T10:30:00Z", "sampledValue": [SAMPLE, *rubbish[1:], SAMPLE]}
    assert len(meter(meterValue=[reading])[0].meter_value[0].sampled_value) == 2
    reading["sampledValue"] = [SAMPLE, *rubbish, SAMPLE]
    assert len(meter(meterValue=[reading])[0].meter_value[0].sampled_value) == 1


def test_one_object_instead_of_a_list_is_a_list_of_one() -> None:
    message, flags = meter(meterValue={"timestamp": "2026-11-23T10:30:00Z", "sampledValue": SAMPLE})
    assert message == meter()[0]
    assert flags == ("meterValue: not a list", "sampledValue: not a list")


def test_empty_lists_are_read_and_a_missing_one_is_not() -> None:
    assert meter(meterValue=[])[1] == ("meterValue: empty",)
    assert meter(meterValue=[{"timestamp": "2026-11-23T10:30:00Z"}])[1] == ("sampledValue: missing",)
    with pytest.raises(lenient.Unreadable, match="meterValue: missing"):
        meter(meterValue=None)


def test_transaction_data_of_a_stop_is_read_like_meter_values() -> None:
    message, flags = stop(transactionData=[{"timestamp": "2026-11-23T11:00:00Z", "sampledValue": [{"value": 2000}]}])
    assert message.transaction_data == (
        messages.MeterValue(timestamp="2026-11-23T11:00:00Z", sampled_value=(SampledValue(value="2000"),)),
    )
    assert flags == ("value: not a text",)


@pytest.mark.parametrize(
    "alias",
    [
        *(messages.Reason, messages.ChargePointErrorCode, messages.ChargePointStatus, messages.ReadingContext),
        *(messages.ValueFormat, messages.Measurand, messages.Phase, messages.Location, messages.UnitOfMeasure),
    ],
)
def test_no_two_values_of_an_enumeration_differ_in_case_only(alias: Any) -> None:
    values = alias.__args__
    assert len({value.casefold() for value in values}) == len(values)


# --- Whatever comes ---------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(VALID)), st.data())
def test_any_json_is_read_or_unreadable(action: str, data: st.DataObject) -> None:
    names = [*VALID[action], "transactionData", "reason", "reservationId", "info"]
    changes = data.draw(st.dictionaries(st.sampled_from(names), JSON, max_size=3))
    payload = json.dumps(VALID[action] | changes).encode()
    try:
        message, flags = lenient.read(action, payload)
    except lenient.Unreadable:
        return
    assert isinstance(message, CALLS[action])
    assert len(flags) <= lenient.FLAGS_MAX
    try:
        assert msgspec.json.decode(payload, type=CALLS[action])
    except msgspec.ValidationError:
        assert flags, "a liberty was taken and not told"


@given(st.sampled_from(sorted(VALID)), st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_unreadable(action: str, payload: bytes) -> None:
    with pytest.raises(lenient.Unreadable):  # nothing drawn here holds all that is required
        lenient.read(action, payload)


# --- Results of our calls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payload", "result"),
    [
        ("Reset", '{"status":"Accepted"}', messages.ResetResult(status="Accepted")),
        ("Reset", '{"status":"accepted","extra":{"a":[1]}}', messages.ResetResult(status="Accepted")),
        ("GetLocalListVersion", '{"listVersion":"-1"}', messages.GetLocalListVersionResult(list_version=-1)),
        ("UpdateFirmware", '{"anything":1}', messages.UpdateFirmwareResult()),
        (
            "GetConfiguration",
            (
                '{"configurationKey":[{"key":"HeartbeatInterval","readonly":"false","value":300,"unit":"s"},'
                '{"key":"AuthorizationKey","readonly":false,"value":null}],"unknownKey":null}'
            ),
            messages.GetConfigurationResult(
                configuration_key=(
                    messages.KeyValue(key="HeartbeatInterval", readonly=False, value="300"),
                    messages.KeyValue(key="AuthorizationKey", readonly=False),
                )
            ),
        ),
        (
            "GetConfiguration",
            '{"configurationKey":{"key":"LocalPreAuthorize","readonly":false,"value":true}}',
            messages.GetConfigurationResult(
                configuration_key=(messages.KeyValue(key="LocalPreAuthorize", readonly=False, value="true"),)
            ),
        ),
        (
            "GetCompositeSchedule",
            '{"status":"Accepted","chargingSchedule":{"chargingRateUnit":"w","chargingSchedulePeriod":[]}}',
            messages.GetCompositeScheduleResult(
                status="Accepted",
                charging_schedule=messages.ChargingSchedule(charging_rate_unit="W", charging_schedule_period=()),
            ),
        ),
    ],
)
def test_the_results_of_charge_points_in_the_field_are_read(
    action: str, payload: str, result: messages.Message
) -> None:
    assert lenient.read_result(action, payload.encode()) == result


def test_a_value_longer_than_the_schema_allows_is_not_cut() -> None:
    payload = json.dumps({"configurationKey": [{"key": "k", "readonly": True, "value": "v" * 700}]}).encode()
    result = lenient.read_result("GetConfiguration", payload)
    assert isinstance(result, messages.GetConfigurationResult)
    assert result.configuration_key is not None
    assert result.configuration_key[0].value == "v" * 700


@pytest.mark.parametrize(
    ("action", "payload", "why"),
    [
        ("Reset", "{}", "status: missing"),
        ("Reset", '{"status":"Perhaps"}', "status: unreadable"),
        ("Reset", '{"status":3}', "status: unreadable"),
        ("Reset", "[]", "not an object"),
        ("Reset", "{", "truncated"),
        ("GetConfiguration", '{"configurationKey":["a"]}', "configurationKey: not an object"),
        (
            "GetCompositeSchedule",
            (
                '{"status":"Accepted","chargingSchedule":{"chargingRateUnit":"W",'
                '"chargingSchedulePeriod":[{"startPeriod":0,"limit":"NaN"}]}}'
            ),
            "limit: unreadable",
        ),
    ],
)
def test_a_result_without_what_it_must_say_is_unreadable(action: str, payload: str, why: str) -> None:
    with pytest.raises(lenient.Unreadable, match=why):
        lenient.read_result(action, payload.encode())


@given(st.sampled_from(sorted(messages.RESULTS)), JSON)
def test_any_json_is_a_result_or_unreadable(action: str, value: object) -> None:
    try:
        result = lenient.read_result(action, json.dumps(value).encode())
    except lenient.Unreadable:
        return
    assert isinstance(result, messages.RESULTS[action])
