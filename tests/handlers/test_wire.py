"""Frames, in the order of OCPP-J 1.6 section 4, and what becomes of a call that cannot be read."""

import json
from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csms.handlers import messages, wire
from csms.handlers.wire import (
    Call,
    CallError,
    CallRejected,
    CallResult,
    FrameError,
    Limits,
    ResultUnreadable,
    decode,
    encode_call,
    encode_error,
    encode_result,
    read_call,
    read_result,
)

START = '{"connectorId":1,"idTag":"04A1B2C3","meterStart":1000,"timestamp":"2026-11-23T10:00:00Z"}'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def refused(data: str | bytes, limits: Limits = wire.DEFAULT_LIMITS) -> FrameError:
    with pytest.raises(FrameError) as caught:
        decode(data, limits)
    return caught.value


def rejected(action: str, payload: str | bytes) -> CallRejected:
    with pytest.raises(CallRejected) as caught:
        read_call(action, payload.encode() if isinstance(payload, str) else payload)
    return caught.value


def ids(error: FrameError) -> tuple[wire.MessageId | None, wire.MessageId | None]:
    return error.message_id, error.answered_id


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)


class Test412Encoding:
    """4.1.2: the whole message is valid JSON in UTF-8."""

    def test_text_and_bytes_are_the_same_frame(self) -> None:
        text = '[2,"1","DataTransfer",{"vendorId":"Zoë"}]'
        call, same = decode(text), decode(text.encode())
        assert isinstance(call, Call)
        assert isinstance(same, Call)
        assert bytes(call.payload) == bytes(same.payload) == '{"vendorId":"Zoë"}'.encode()

    def test_blanks_between_elements_do_not_matter(self) -> None:
        call = decode(' [ 2 , "1" ,\n "Heartbeat" ,\t {} ] ')
        assert isinstance(call, Call)
        assert (call.message_id, call.action, bytes(call.payload)) == ("1", "Heartbeat", b"{}")

    @pytest.mark.parametrize(
        "data", ["", " ", "hello", '[2,"1"', "[2,", "\x00", b"\xff\xfe", "nul", "[2,'1','Heartbeat',{}]", "\ufeff[]"]
    )
    def test_what_is_not_json_is_refused(self, data: str | bytes) -> None:
        error = refused(data)
        assert (error.code, error.reason) == ("FormationViolation", "the frame is not JSON")

    def test_a_text_that_is_not_unicode_is_refused(self) -> None:
        assert refused('[2,"\ud800","Heartbeat",{}]').reason == "the frame is not UTF-8"
        assert ids(refused(b'[2,"\xff","Heartbeat",{}]')) == (None, None)
        assert rejected("DataTransfer", b'{"vendorId":"\xff"}').code == "FormationViolation"
        assert refused('[2,"1","DataTransfer",{"vendorId":"\\ud800"}]').message_id == "1"
        assert refused(" \n" * 3000 + '[2,"1","DataTransfer",{"vendorId":"\\ud800"}]').message_id == "1"
        longest = "x" * 128
        assert refused(f'[2,"{longest}","DataTransfer",{{"vendorId":"\\ud800"}}]').message_id == longest

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ('[2,"17","Heartbeat",{', ("17", None)),
            (' [ 2 , "17" , "Heartbeat", {]', ("17", None)),
            ('[2,17,"Heartbeat",nonsense]', (17, None)),
            ('[3,"17",{', (None, "17")),
            ('[4,"17","x', (None, "17")),
            ('[2,"17', (None, None)),
            ('[2,"1\\u00', (None, None)),
        ],
    )
    def test_a_frame_that_breaks_off_is_answered_where_it_carries_an_id(
        self, data: str, expected: tuple[wire.MessageId | None, wire.MessageId | None]
    ) -> None:
        assert ids(refused(data)) == expected

    @pytest.mark.parametrize("data", ["{}", '"text"', "17", "null", "true"])
    def test_what_is_not_an_array_is_refused(self, data: str) -> None:
        error = refused(data)
        assert (error.code, error.reason, *ids(error)) == (
            "FormationViolation",
            "the frame is not an array",
            None,
            None,
        )

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("a\\u0000b", "a\ufffdb"),
            ("\\u0000\\u0000", "\ufffd\ufffd"),
            ("\\\\u0000", "\\u0000"),
            ("\\\\\\u0000", "\\\ufffd"),
        ],
    )
    def test_nul_characters_are_replaced_because_postgresql_cannot_store_them(self, written: str, read: str) -> None:
        call = decode(f'[2,"1","DataTransfer",{{"vendorId":"{written}"}}]')
        assert isinstance(call, Call)
        assert read_call(call.action, call.payload) == (messages.DataTransfer(vendor_id=read), ())


class TestLimits:
    """Everything a peer can send has a limit."""

    def test_a_frame_may_be_as_large_as_the_limit_and_no_larger(self) -> None:
        frame = '[2,"1","Heartbeat",{}]'
        assert decode(frame, Limits(frame_bytes=len(frame)))
        error = refused(frame, Limits(frame_bytes=len(frame) - 1))
        assert (error.code, *ids(error)) == ("GenericError", "1", None)

    def test_a_frame_may_nest_as_deep_as_the_limit_and_no_deeper(self) -> None:
        def nested(levels: int) -> str:
            return '[2,"1","DataTransfer",{"a":' + "[" * (levels - 2) + "]" * (levels - 2) + "}]"

        assert decode(nested(32))
        error = refused(nested(33))
        assert (error.code, *ids(error)) == ("FormationViolation", "1", None)
        assert decode(nested(33), Limits(nesting=33))

    def test_many_brackets_beside_each_other_or_in_texts_are_not_deep(self) -> None:
        assert decode('[2,"1","DataTransfer",{"a":[' + ",".join(["[{}]"] * 1000) + "]}]")
        assert decode('[2,"1","DataTransfer",{"data":"' + '[{\\"' * 1000 + '"}]')

    @pytest.mark.parametrize("limits", [wire.DEFAULT_LIMITS, Limits(nesting=10**6)])
    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_a_hundred_thousand_levels_are_refused_and_do_no_harm(self, limits: Limits, opening: str) -> None:
        closing = "]" if opening == "[" else "}"
        small = Limits(frame_bytes=10**7, nesting=limits.nesting)
        error = refused('[2,"1","DataTransfer",' + opening * 100_000 + "1" + closing * 100_000 + "]", small)
        assert ids(error) == ("1", None)
        assert rejected("DataTransfer", opening * 100_000).code == "FormationViolation"

    def test_an_array_of_many_elements_is_refused(self) -> None:
        assert refused("[" + "1," * 100_000 + "1]").message_id == 1


class Test413MessageType:
    """4.1.3: 2 is a call, 3 a call result, 4 a call error."""

    @pytest.mark.parametrize("kind", ["1", "5", "0", "-2", "22", '"2"', "2.0", "null", "true", "[]", "9" * 30])
    def test_another_message_type_is_refused_with_its_id(self, kind: str) -> None:
        error = refused(f'[{kind},"1","Heartbeat",{{}}]')
        assert (error.code, *ids(error)) == ("FormationViolation", "1", None)
        assert "message type" in error.reason


class Test414MessageId:
    """4.1.4: a text of at most 36 characters; an answer carries the very same."""

    @pytest.mark.parametrize("message_id", ["", "1", "a" * 36, "a" * 128, 'quo"te', "Zoë"])
    def test_a_text_is_read_and_written_back(self, message_id: str) -> None:
        call = decode(json.dumps([2, message_id, "Heartbeat", {}]))
        assert call.message_id == message_id
        assert json.loads(encode_result(call.message_id, messages.MeterValuesResult())) == [3, message_id, {}]

    @pytest.mark.parametrize("message_id", [0, 17, -1, 2**63 - 1, -(2**63)])
    def test_a_whole_number_is_tolerated_and_stays_a_number(self, message_id: int) -> None:
        call = decode(f'[2,{message_id},"Heartbeat",{{}}]')
        assert call.message_id == message_id
        assert json.loads(encode_error(call.message_id, "NotSupported", ""))[1] == message_id

    def test_one_that_is_much_too_long_is_refused_and_answered(self) -> None:
        long = "a" * 129
        assert ids(refused(json.dumps([2, long, "Heartbeat", {}]))) == (long, None)
        assert ids(refused(json.dumps([3, long, {}]))) == (None, long)

    @pytest.mark.parametrize("message_id", ["null", "true", "1.5", "[]", "{}", str(2**63), "9" * 5000])
    def test_what_is_neither_cannot_be_answered(self, message_id: str) -> None:
        assert ids(refused(f'[2,{message_id},"Heartbeat",{{}}]')) == (None, None)

    @pytest.mark.parametrize("data", ["[]", "[2]", "[3]", "[null]"])
    def test_a_frame_without_an_id_cannot_be_answered(self, data: str) -> None:
        assert ids(refused(data)) == (None, None)


class Test421Call:
    """4.2.1: message type, id, action and payload."""

    def test_a_call_is_read(self) -> None:
        call = decode(f'[2,"1","StartTransaction",{START}]')
        assert isinstance(call, Call)
        assert (call.message_id, call.action, bytes(call.payload).decode()) == ("1", "StartTransaction", START)

    def test_a_null_payload_is_an_empty_object(self) -> None:
        call = decode('[2,"1","Heartbeat",null]')
        assert isinstance(call, Call)
        assert read_call(call.action, call.payload) == (messages.Heartbeat(), ())

    @pytest.mark.parametrize("payload", ["[]", '"{}"', "17", "true", "-1.5"])
    def test_a_payload_that_is_no_object_is_refused(self, payload: str) -> None:
        error = refused(f'[2,"1","Heartbeat",{payload}]')
        assert (error.code, *ids(error)) == ("FormationViolation", "1", None)

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            ('[2,"1"]', "ProtocolError"),
            ('[2,"1","Heartbeat"]', "ProtocolError"),
            ('[2,"1","Heartbeat",{},{}]', "FormationViolation"),
            ('[2,"1",17,{}]', "FormationViolation"),
            ('[2,"1",null,{}]', "FormationViolation"),
        ],
    )
    def test_a_call_of_another_shape_is_refused_with_its_id(self, data: str, code: str) -> None:
        error = refused(data)
        assert (error.code, *ids(error)) == (code, "1", None)

    def test_a_call_of_ours_names_its_action(self) -> None:
        assert json.loads(encode_call("c-1", messages.RemoteStopTransaction(transaction_id=7))) == [
            *(2, "c-1", "RemoteStopTransaction"),
            {"transactionId": 7},
        ]


class Test422CallResult:
    """4.2.2: message type, id and payload."""

    def test_a_result_is_read(self) -> None:
        result = decode('[3,"c-1",{"status":"Accepted"}]')
        assert isinstance(result, CallResult)
        assert result.message_id == "c-1"
        assert read_result("RemoteStopTransaction", result.payload) == messages.RemoteStopTransactionResult(
            status="Accepted"
        )

    def test_a_null_payload_is_an_empty_object(self) -> None:
        result = decode('[3,"c-1",null]')
        assert isinstance(result, CallResult)
        assert read_result("UpdateFirmware", result.payload) == messages.UpdateFirmwareResult()

    @pytest.mark.parametrize("data", ['[3,"c-1"]', '[3,"c-1",[]]', '[3,"c-1",{},{}]'])
    def test_a_malformed_result_names_the_call_it_was_meant_for_and_is_not_answered(self, data: str) -> None:
        assert ids(refused(data)) == (None, "c-1")

    def test_a_result_that_says_nothing_is_unreadable(self) -> None:
        with pytest.raises(ResultUnreadable, match="status: missing"):
            read_result("RemoteStopTransaction", b"{}")

    def test_a_result_of_ours_leaves_out_what_is_absent(self) -> None:
        info = messages.IdTagInfo(status="Blocked")
        result = messages.StartTransactionResult(id_tag_info=info, transaction_id=7)
        assert encode_result("1", result) == b'[3,"1",{"idTagInfo":{"status":"Blocked"},"transactionId":7}]'


class Test423CallError:
    """4.2.3: message type, id, code, description and details."""

    def test_an_error_is_read(self) -> None:
        error = decode('[4,"c-1","NotSupported","no such thing",{"a":1}]')
        assert isinstance(error, CallError)
        assert (error.message_id, error.code, error.description) == ("c-1", "NotSupported", "no such thing")
        assert bytes(error.details) == b'{"a":1}'

    @pytest.mark.parametrize("data", ['[4,"c-1","GenericError"]', '[4,"c-1","GenericError",""]'])
    def test_an_error_may_leave_out_description_and_details(self, data: str) -> None:
        error = decode(data)
        assert isinstance(error, CallError)
        assert (error.description, bytes(error.details)) == ("", b"{}")

    @pytest.mark.parametrize("data", ['[4,"c-1"]', '[4,"c-1",7,"",{}]', '[4,"c-1","GenericError","",{},1]'])
    def test_a_malformed_error_names_the_call_it_was_meant_for_and_is_not_answered(self, data: str) -> None:
        assert ids(refused(data)) == (None, "c-1")

    def test_an_error_of_ours_always_has_details(self) -> None:
        assert encode_error("1", "NotImplemented", "") == b'[4,"1","NotImplemented","",{}]'
        assert encode_error("1", "SecurityError", "not accepted", {"a": "b"}).endswith(b'"not accepted",{"a":"b"}]')

    def test_a_description_is_cut_to_255_characters(self) -> None:
        assert len(json.loads(encode_error("1", "GenericError", "x" * 1000))[3]) == 255

    def test_codes_are_spelled_as_1_6_spells_them(self) -> None:
        codes = get_args(wire.CallErrorCode)
        assert {"FormationViolation", "OccurenceConstraintViolation"} < set(codes)
        assert len(codes) == 10


class TestReadCall:
    """Valid calls, tolerated calls, and the code for the others."""

    def test_a_valid_call_is_read_without_flags(self) -> None:
        message, flags = read_call("StartTransaction", START.encode())
        assert flags == ()
        assert message == messages.StartTransaction(
            connector_id=1, id_tag="04A1B2C3", meter_start=1000, timestamp="2026-11-23T10:00:00Z"
        )

    def test_a_transactional_call_is_read_with_tolerance(self) -> None:
        message, flags = read_call("StartTransaction", START.replace("1000", "1000.5").encode())
        assert isinstance(message, messages.StartTransaction)
        assert (message.meter_start, flags) == (1001, ("meterStart: fractional",))

    def test_another_call_is_not(self) -> None:
        assert rejected("Authorize", '{"idTag":"04A1B2C3","extra":1}').code == "FormationViolation"

    @pytest.mark.parametrize("action", ["Start", "starttransaction", "", "x" * 1000, "StartTransactionResult"])
    def test_an_unknown_action_is_not_implemented(self, action: str) -> None:
        error = rejected(action, "{}")
        assert error.code == "NotImplemented"
        assert len(error.description) <= 255

    @pytest.mark.parametrize(
        ("action", "payload", "code", "told"),
        [
            ("Authorize", "{}", "OccurenceConstraintViolation", "idTag"),
            ("Authorize", '{"idTag":7}', "TypeConstraintViolation", "idTag"),
            ("Authorize", '{"idTag":null}', "TypeConstraintViolation", "idTag"),
            ("Authorize", '{"idTag":"' + "x" * 21 + '"}', "PropertyConstraintViolation", "idTag"),
            ("Authorize", '{"idtag":"x"}', "FormationViolation", "idtag"),
            ("Authorize", "[]", "TypeConstraintViolation", "object"),
            ("Authorize", '{"idTag":', "FormationViolation", "JSON"),
            ("FirmwareStatusNotification", '{"status":"Melted"}', "PropertyConstraintViolation", "status"),
            ("BootNotification", '{"chargePointModel":1}', "OccurenceConstraintViolation", "chargePointVendor"),
            ("LogStatusNotification", f'{{"status":"Idle","requestId":{2**40}}}', "PropertyConstraintViolation", "int"),
            ("StartTransaction", "{}", "OccurenceConstraintViolation", "connectorId"),
            ("StartTransaction", START.replace('"04A1B2C3"', "[]"), "TypeConstraintViolation", "idTag"),
            ("StopTransaction", '{"transactionId":1,"timestamp":""}', "OccurenceConstraintViolation", "meterStop"),
            ("MeterValues", '{"connectorId":1}', "OccurenceConstraintViolation", "meterValue"),
            ("StatusNotification", '{"connectorId":1,"errorCode":"NoError","status":"Occupied"}',
             "PropertyConstraintViolation", "status"),
            ("SetChargingProfile", ('{"connectorId":1,"csChargingProfiles":{"chargingSchedule":{'
             f'"chargingSchedulePeriod":[{{"startPeriod":0,"limit":{10**400}}}]}}}}}}'),
             "OccurenceConstraintViolation", "csChargingProfiles"),
        ],
    )  # fmt: skip
    def test_a_call_that_cannot_be_read_gets_the_code_of_its_worst_violation(
        self, action: str, payload: str, code: str, told: str
    ) -> None:
        error = rejected(action, payload)
        assert error.code == code
        assert told in error.description

    def test_a_large_call_that_cannot_be_read_is_not_examined_at_length(self) -> None:
        payload = json.dumps({"connectorId": 1, "transactionData": ["x" * 100] * 1000})
        assert rejected("MeterValues", payload).code == "FormationViolation"

    def test_the_description_is_cut(self) -> None:
        assert len(rejected("Authorize", json.dumps({"idTag": "x" * 5000})).description) == 255

    def test_every_keyword_of_the_schemas_that_can_be_violated_has_a_code(self) -> None:
        known = {*wire._VIOLATIONS, "items", "properties", "$ref", "definitions"}
        silent = {"$schema", "$id", "title", "description", "javaType", "format", "additionalItems"}

        def keywords(schema: object) -> set[str]:
            if not isinstance(schema, dict):
                return set()
            found = set(schema)
            for name, inner in schema.items():
                parts = inner.values() if name in {"properties", "definitions"} else [inner]
                found = found.union(*map(keywords, parts))
            return found

        for action in messages.CALLS:
            assert keywords(wire._validator(action).schema) <= known | silent


class TestWhateverComes:
    """No bytes whatever raise anything but FrameError and CallRejected, and what they ask for can be answered."""

    @classmethod
    def assert_answerable(cls, data: str | bytes) -> None:
        try:
            frame = decode(data)
        except FrameError as error:
            cls.assert_an_answer(error.message_id, error.code, error.reason)
            return
        cls.assert_an_answer(frame.message_id, "GenericError", "")
        if isinstance(frame, Call):
            try:
                message, flags = read_call(frame.action, frame.payload)
            except CallRejected as error:
                cls.assert_an_answer(frame.message_id, error.code, error.description)
                return
            cls.assert_storable(message, flags)

    @staticmethod
    def assert_an_answer(message_id: wire.MessageId | None, code: wire.CallErrorCode, description: str) -> None:
        assert code in get_args(wire.CallErrorCode)
        if message_id is not None:
            answer = msgspec.json.decode(encode_error(message_id, code, description))
            assert answer == [4, message_id, code, description, {}]

    @staticmethod
    def assert_storable(message: messages.Message, flags: tuple[str, ...]) -> None:
        """Both databases can hold every text and number."""
        assert not any("\x00" in text for text in texts(msgspec.to_builtins((message, flags))))
        if isinstance(message, messages.StartTransaction):
            assert -(2**31) <= message.meter_start < 2**31
            assert len(message.id_tag) <= 20

    @given(st.binary() | st.text(st.characters()))
    @example("\ud800")
    @example(b'[2,"\xed\xa0\x80","Heartbeat",{}]')
    def test_any_bytes_and_any_text(self, data: str | bytes) -> None:
        self.assert_answerable(data)

    @given(st.lists(st.sampled_from([2, 3, 4, "1", "Heartbeat", {}]) | JSON, max_size=6))
    def test_any_array(self, elements: list[object]) -> None:
        self.assert_answerable(json.dumps(elements))

    @given(st.sampled_from(sorted(messages.CALLS)), JSON)
    def test_any_payload_of_any_action(self, action: str, payload: object) -> None:
        self.assert_answerable(json.dumps([2, "1", action, payload]))

    @given(st.data())
    def test_any_damage_to_a_valid_frame(self, data: st.DataObject) -> None:
        whole = f'[2,"1","StartTransaction",{START}]'.encode()
        at = data.draw(st.integers(0, len(whole)))
        length = data.draw(st.integers(0, 5))
        self.assert_answerable(whole[:at] + data.draw(st.binary(max_size=6)) + whole[at + length :])

    @pytest.mark.parametrize("number", ["1e999999999", "-1e-999999999", "1e99999999999999999999", "9" * 4000])
    @pytest.mark.parametrize("name", ["meterStop", "transactionId", "timestamp", "idTag", "reason"])
    def test_monstrous_numbers(self, name: str, number: str) -> None:
        stop = {"transactionId": 1, "meterStop": 2, "timestamp": "2026-11-23T10:00:00Z"}
        self.assert_answerable(json.dumps([2, "1", "StopTransaction", stop | {name: "?"}]).replace('"?"', number))
