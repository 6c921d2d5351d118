"""The generated messages say what the schemas of the `ocpp` package say, except where they say that they do not."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from csms.handlers import messages
from csms.handlers.messages import CALLS, RESULTS, Message
from scripts import generate_messages

Schema = dict[str, Any]

SCHEMAS = generate_messages.load_schemas()
ENCODER = msgspec.json.Encoder(decimal_format="number")

FROM_CHARGE_POINT = {
    *("Authorize", "BootNotification", "DataTransfer", "DiagnosticsStatusNotification", "FirmwareStatusNotification"),
    *("Heartbeat", "LogStatusNotification", "MeterValues", "SecurityEventNotification", "SignCertificate"),
    *("SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification", "StopTransaction"),
}
FROM_CENTRAL_SYSTEM = {
    *("CancelReservation", "CertificateSigned", "ChangeAvailability", "ChangeConfiguration", "ClearCache"),
    *("ClearChargingProfile", "DataTransfer", "DeleteCertificate", "ExtendedTriggerMessage", "GetCompositeSchedule"),
    *("GetConfiguration", "GetDiagnostics", "GetInstalledCertificateIds", "GetLocalListVersion", "GetLog"),
    *("InstallCertificate", "RemoteStartTransaction", "RemoteStopTransaction", "ReserveNow", "Reset", "SendLocalList"),
    *("SetChargingProfile", "SignedUpdateFirmware", "TriggerMessage", "UnlockConnector", "UpdateFirmware"),
}


def type_for(schema_name: str) -> type[Message]:
    action = schema_name.removesuffix("Response")
    return RESULTS[action] if schema_name != action else CALLS[action]


# --- The differences that messages.py documents, told as changes of a schema ------------------------------------------


def resolved(schema: Schema, definitions: Schema) -> Schema:
    return definitions[schema["$ref"].removeprefix("#/definitions/")] if "$ref" in schema else schema


def documented(schema: Schema, definitions: Schema) -> Schema:
    """Return the schema as messages.py reads it: its own differences, and no other."""
    schema = copy.deepcopy(resolved(schema, definitions))
    schema.pop("multipleOf", None)
    kind = schema["type"]
    if kind == "integer":
        return schema | {"minimum": -(2**31), "maximum": 2**31 - 1}
    if kind == "string" and schema.get("format") == "date-time":
        return schema | {"maxLength": 64}
    if kind == "string" and "Celcius" in schema.get("enum", []):
        return schema | {"enum": sorted({*schema["enum"], "Hertz"})}
    if kind == "array":
        return schema | {"items": documented(schema["items"], definitions)}
    if kind == "object":
        properties = {}
        for name, inner in schema.get("properties", {}).items():
            changed = documented(inner, definitions)
            if name == "sampledValue":
                changed.pop("minItems", None)
            optional = name not in schema.get("required", [])
            properties[name] = {"anyOf": [changed, {"type": "null"}]} if optional else changed
        return schema | {"properties": properties}
    return schema


# --- Making messages from a schema, and spoiling them -----------------------------------------------------------------


def instances(schema: Schema, definitions: Schema) -> st.SearchStrategy[Any]:
    schema = resolved(schema, definitions)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema["type"]
    if kind == "object":
        required = set(schema.get("required", []))
        fields = {name: instances(inner, definitions) for name, inner in schema.get("properties", {}).items()}
        return st.fixed_dictionaries(
            {name: inner for name, inner in fields.items() if name in required},
            optional={name: inner for name, inner in fields.items() if name not in required},
        )
    if kind == "array":
        return st.lists(instances(schema["items"], definitions), min_size=schema.get("minItems", 0), max_size=3)
    return {
        "string": st.text(max_size=min(schema.get("maxLength", 30), 64)),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "number": st.integers(-10_000, 10_000).map(lambda tenths: tenths / 10),
        "boolean": st.booleans(),
    }[kind]


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoiled(message: Schema, data: st.DataObject) -> Schema:
    """Return the message with one thing changed somewhere: a value, a missing or an extra property."""
    changed = {"root": copy.deepcopy(message)}
    path = ("root", *data.draw(st.sampled_from(sorted(places(message), key=str)), label="where"))
    parent: Any = changed
    for step in path[:-1]:
        parent = parent[step]
    what = data.draw(st.sampled_from(["replace", "delete", "extend"]), label="what")
    if what == "extend" and isinstance(parent[path[-1]], dict):
        parent[path[-1]]["unexpected"] = 1
    elif what == "delete" and isinstance(parent, dict) and len(path) > 1:
        del parent[path[-1]]
    else:
        replacements: list[Any] = [None, True, 7, 1.5, 1.0, 2**40, "text", "accepted", "Hertz", "x" * 600, "", [], {}]
        parent[path[-1]] = data.draw(st.sampled_from(replacements), label="replacement")
    return changed["root"]


def accepted_by_type(kind: type[Message], value: object) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=kind)
    except msgspec.ValidationError:
        return False
    return True


# --- The generator ----------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_generator_makes_of_the_schemas() -> None:
    assert generate_messages.TARGET.read_text("utf-8") == generate_messages.generate()
    assert generate_messages.main(["--check"]) == 0


def test_the_check_exits_with_1_when_the_file_differs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_messages, "TARGET", tmp_path / "messages.py")
    assert generate_messages.main(["--check"]) == 1
    (tmp_path / "messages.py").write_text("something else")
    assert generate_messages.main(["--check"]) == 1
    assert (tmp_path / "messages.py").read_text() == "something else"
    assert "differs" in capsys.readouterr().err
    assert generate_messages.main([]) == 0
    assert generate_messages.main(["--check"]) == 0


@pytest.mark.parametrize("name", ["idTAG", "IdTag", "id_tag"])
def test_a_name_that_would_not_lead_back_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="camel case"):
        generate_messages.snake(name)


# --- What there is ----------------------------------------------------------------------------------------------------


def test_there_is_a_call_and_a_result_for_every_action_of_both_directions() -> None:
    assert set(CALLS) == set(RESULTS) == FROM_CHARGE_POINT | FROM_CENTRAL_SYSTEM
    assert all(kind.__name__ == action for action, kind in CALLS.items())
    assert all(kind.__name__ == f"{action}Result" for action, kind in RESULTS.items())


def test_properties_have_snake_case_names() -> None:
    fields = messages.SetChargingProfile.__struct_fields__ + messages.ChargingProfile.__struct_fields__
    assert {"connector_id", "cs_charging_profiles", "charging_profile_id", "stack_level", "valid_from"} <= set(fields)
    assert messages.GetDiagnosticsResult.__struct_fields__ == ("file_name",)
    assert "filename" in messages.GetLogResult.__struct_fields__


def test_equal_objects_share_one_type() -> None:
    info = messages.IdTagInfo(status="Accepted")
    for kind in (messages.AuthorizeResult, messages.StopTransactionResult):
        assert kind(id_tag_info=info).id_tag_info is info
    reading = messages.MeterValue(timestamp="", sampled_value=())
    assert messages.MeterValues(connector_id=1, meter_value=(reading,)).meter_value[0] is reading


def test_messages_cannot_be_changed_and_can_be_compared_and_hashed() -> None:
    reset = messages.Reset(type="Soft")
    with pytest.raises(AttributeError):
        reset.type = "Hard"  # type: ignore[misc]
    assert reset == messages.Reset(type="Soft")
    assert len({reset, messages.Reset(type="Soft")}) == 1


# --- What they accept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_valid_messages_are_accepted_and_written_back_as_they_were(name: str, data: st.DataObject) -> None:
    schema = SCHEMAS[name]
    message = data.draw(instances(schema, schema.get("definitions", {})))
    without_multiples = json.loads(
        json.dumps(schema), object_hook=lambda each: {k: v for k, v in each.items() if k != "multipleOf"}
    )
    assert Draft4Validator(without_multiples).is_valid(message)
    read = msgspec.json.decode(json.dumps(message), type=type_for(name))
    assert json.loads(ENCODER.encode(read)) == message


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_spoiled_messages_are_judged_as_the_schema_judges_them(name: str, data: st.DataObject) -> None:
    schema = SCHEMAS[name]
    definitions = schema.get("definitions", {})
    message = spoiled(data.draw(instances(schema, definitions), label="message"), data)
    expected = Draft4Validator(documented(schema, definitions)).is_valid(message)
    assert accepted_by_type(type_for(name), message) == expected


def test_null_in_an_optional_property_is_read_as_absent() -> None:
    read = msgspec.json.decode(b'{"status":"Accepted","parentIdTag":null}', type=messages.IdTagInfo)
    assert read == messages.IdTagInfo(status="Accepted")
    assert ENCODER.encode(read) == b'{"status":"Accepted"}'


def test_null_in_a_required_property_is_refused() -> None:
    assert not accepted_by_type(messages.RemoteStopTransaction, {"transactionId": None})


@pytest.mark.parametrize(("number", "accepted"), [(2**31 - 1, True), (2**31, False), (-(2**31), True), (2**64, False)])
def test_an_integer_has_32_bits(number: int, accepted: bool) -> None:  # noqa: FBT001 - a column of the table above
    assert accepted_by_type(messages.RemoteStopTransaction, {"transactionId": number}) is accepted


def test_limits_of_charging_schedules_are_exact_numbers() -> None:
    period = msgspec.json.decode(b'{"startPeriod":0,"limit":16.1}', type=messages.ChargingSchedulePeriod)
    assert str(period.limit) == "16.1"
    assert ENCODER.encode(period) == b'{"startPeriod":0,"limit":16.1}'
