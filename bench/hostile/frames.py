"""Frames that are nearly right: valid ones of every action that a station sends, and their mutations. Pure, seeded.

Half of the valid ones are about transactions, with cards that have credit, registers, times and transaction ids in any
order: what moves money is what the mutations shall fall upon.
"""

import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

Json: TypeAlias = Any
Mutation: TypeAlias = Callable[[random.Random, Json], Json]

_AT = "2026-11-23T08:00:00Z"
_TAG = "CARD000009"


class Raw(str):
    """A token that is written as it is, JSON or not."""

    __slots__ = ()


class Pairs(list[tuple[str, Json]]):
    """An object that may have a name twice."""


_SAMPLE = {"value": "1200", "measurand": "Energy.Active.Import.Register", "unit": "Wh", "context": "Sample.Periodic"}
_CALLS: dict[str, dict[str, Json]] = {
    "Authorize": {"idTag": _TAG},
    "BootNotification": {"chargePointVendor": "Acme", "chargePointModel": "One", "firmwareVersion": "1.0"},
    "DataTransfer": {"vendorId": "com.example", "messageId": "m", "data": '{"a": [1, {"b": null}]}'},
    "DiagnosticsStatusNotification": {"status": "Idle"},
    "FirmwareStatusNotification": {"status": "Downloading"},
    "Heartbeat": {},
    "LogStatusNotification": {"status": "Uploading", "requestId": 1},
    "MeterValues": {
        "connectorId": 1,
        "transactionId": 1,
        "meterValue": [
            {"timestamp": _AT, "sampledValue": [_SAMPLE, {"value": "7360", "measurand": "Power.Active.Import"}]}
        ],
    },
    "SecurityEventNotification": {"type": "TamperDetectionActivated", "timestamp": _AT, "techInfo": "lid"},
    "SignCertificate": {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nMII=\n-----END CERTIFICATE REQUEST-----\n"},
    "SignedFirmwareStatusNotification": {"status": "Downloaded", "requestId": 2},
    "StartTransaction": {"connectorId": 1, "idTag": _TAG, "meterStart": 0, "timestamp": _AT, "reservationId": 3},
    "StatusNotification": {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": _AT},
    "StopTransaction": {
        "transactionId": 1,
        "idTag": _TAG,
        "meterStop": 4200,
        "timestamp": _AT,
        "reason": "Local",
        "transactionData": [{"timestamp": _AT, "sampledValue": [{"value": "4200"}]}],
    },
}
ACTIONS = tuple(_CALLS)
_OF_TRANSACTIONS = ("StartTransaction", "MeterValues", "StopTransaction", "StopTransaction")
_TAGS = (_TAG, _TAG.lower(), "CARD000010", "CARD000011", "NOBODY")
_FOREIGN_IDS = (-1, 0, 1, 2, 999_999)
_MOST_WH = 60_000
_RESULTS: tuple[dict[str, Json], ...] = (
    {"status": "Accepted"},
    {"status": "Rejected"},
    {"configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}], "unknownKey": ["x"]},
    {"listVersion": 3},
    {"status": "Accepted", "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": []}},
    {},
)
_WEIRD: tuple[Json, ...] = (
    None, True, False, 0, -1, 1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 10**400, 0.1, -0.0,
    Raw("1e400"), Raw("-1E-400"), Raw("1e5"), Raw("1.0"), Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("01"),
    Raw("0x10"), Raw("1" * 5000), Raw("0." + "3" * 5000), "", " ", "0", "-1", "1,5", "1e999", "NaN", "\x00", "\u202e",
    "\U0001f50c" * 30, "é" * 300, "A" * 20, "A" * 21, "A" * 10_000, "'; DROP TABLE card; --",
    "<script>alert(1)</script>",
    "{{7*7}}", "%s%n%x", "../../../../etc/passwd", "2026-13-45T99:99:99Z", "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "1970-01-01T00:00:00+14:00", "2026-11-23T08:00:00", "2026-11-23", "2026-11-23T08:00:00.123456789123Z",
    [], {}, [[]], [None], {"": ""}, [1, [2, [3, [4]]]], Raw(r'"\ud800"'), Raw(r'"\u0000"'), Raw(r'"\x"'), Raw('"\t"'),
    Raw("[" * 40 + "]" * 40), Raw("[" * 20_000 + "]" * 20_000), Raw('{"a":' * 3_000 + "1" + "}" * 3_000),
    Raw("[" * 100_000),
)  # fmt: skip
_NAMES = ("", "idTag", "IDTAG", "transactionId", "__class__", "a" * 300, "\x00", "é", "status", "value", "$ref")


def write(value: Json) -> str:
    """Write JSON, and what only looks like it."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(name)}:{write(one)}" for name, one in value) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{write(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def valid(rng: random.Random, message_id: str, transaction_ids: Sequence[int] = ()) -> list[Json]:
    """Return a call that is right in itself; `transaction_ids` are those that the station was given."""
    if rng.random() < 0.5:  # noqa: PLR2004 - a half
        action = rng.choice(ACTIONS)
        return [2, message_id, action, _copy(_CALLS[action])]
    action = rng.choice(_OF_TRANSACTIONS)
    call = _copy(_CALLS[action])
    at = f"2026-11-23T{rng.randrange(8):02}:{rng.randrange(60):02}:00Z"
    if "timestamp" in call:
        call["timestamp"] = at
    if "idTag" in call:
        call["idTag"] = rng.choice(_TAGS)
    if "connectorId" in call:
        call["connectorId"] = rng.choice((1, 1, 2))
    if "transactionId" in call:
        call["transactionId"] = rng.choice((*transaction_ids[-4:], rng.choice(_FOREIGN_IDS)))
    if "meterStart" in call:
        call["meterStart"] = rng.choice((0, rng.randrange(_MOST_WH)))
    if "meterStop" in call:
        call["meterStop"] = rng.randrange(_MOST_WH)
    for value in (*call.get("meterValue", ()), *call.get("transactionData", ())):
        value["timestamp"] = at
        value["sampledValue"][0]["value"] = str(rng.randrange(_MOST_WH))
    return [2, message_id, action, call]


def written(frame: Json) -> bytes:
    """Return a frame as it is sent."""
    return write(frame).encode("utf-8", "surrogatepass")


def unsolicited(rng: random.Random, message_id: str) -> list[Json]:
    """Return an answer, of which the station knows best whether anybody asked."""
    if rng.random() < 0.5:  # noqa: PLR2004 - one of two
        return [3, message_id, _copy(rng.choice(_RESULTS))]
    return [4, message_id, rng.choice(("GenericError", "NotSupported", "", "x" * 5000)), "it broke", {}]


def mutated(rng: random.Random, frame: list[Json]) -> bytes:
    """Return a frame after one to three accidents: of its values, its shape, its text, its bytes."""
    for _ in range(rng.randint(1, 3)):
        frame = rng.choice((_value, _value, _value, _name, _repeat, _leave_out, _shape, _message_id, _action))(
            rng, frame
        )
        if not isinstance(frame, list):
            break
    data = written(frame)
    return rng.choice((_whole, _whole, _whole, _cut, _flip, _insert, _not_utf8, _padded))(rng, data)


def _weird(rng: random.Random) -> Json:
    """Return one of them, of its own: the next mutation may go inside."""
    return deepcopy(rng.choice(_WEIRD))


def _copy(value: Json) -> Json:
    return json.loads(json.dumps(value))


def _places(value: Json) -> list[tuple[Any, Any]]:
    """Return every place of a frame: its container, and where in it."""
    found: list[tuple[Any, Any]] = []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        found.append((value, key))
        found += _places(one)
    return found


def _value(rng: random.Random, frame: Json) -> Json:
    places = _places(frame)
    if places:
        container, key = rng.choice(places)
        if not isinstance(container, Pairs):
            container[key] = _weird(rng)
    return frame


def _objects(frame: Json) -> list[tuple[Any, Any]]:
    return [(container, key) for container, key in _places(frame) if type(container[key]) is dict]


def _name(rng: random.Random, frame: Json) -> Json:
    found = [(container, key) for container, key in _objects(frame) if container[key]]
    if found:
        container, key = rng.choice(found)
        container[key][rng.choice(_NAMES)] = _weird(rng)
    return frame


def _repeat(rng: random.Random, frame: Json) -> Json:
    found = [(container, key) for container, key in _objects(frame) if container[key]]
    if found:
        container, key = rng.choice(found)
        pairs = list(container[key].items())
        container[key] = Pairs([*pairs, (rng.choice(pairs)[0], _weird(rng))])
    return frame


def _leave_out(rng: random.Random, frame: Json) -> Json:
    places = [(container, key) for container, key in _places(frame) if type(container) in {dict, list}]
    if places:
        container, key = rng.choice(places)
        del container[key]
    return frame


def _shape(rng: random.Random, frame: Json) -> Json:
    return rng.choice(([*frame, _weird(rng)], [], [frame], {"frame": frame}, _weird(rng), [*frame, *frame]))


def _message_id(rng: random.Random, frame: Json) -> Json:
    if len(frame) > 1:
        frame[1] = rng.choice((_weird(rng), _weird(rng), "x" * 36, "x" * 37, "x" * 200, "same"))
    return frame


def _action(rng: random.Random, frame: Json) -> Json:
    place = rng.choice((0, 2))
    if len(frame) > place:
        frame[place] = rng.choice((_weird(rng), 3, 4, 5, Raw("2.0"), "2", "Reset", "heartbeat", rng.choice(ACTIONS)))
    return frame


def _whole(_rng: random.Random, data: bytes) -> bytes:
    return data


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(rng: random.Random, data: bytes) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + rng.randbytes(rng.randint(1, 20)) + data[place:]


def _not_utf8(rng: random.Random, data: bytes) -> bytes:
    place = rng.randint(0, len(data))
    bad = rng.choice(
        (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x82", b"\xef\xbb\xbf")
    )
    return data[:place] + bad + data[place:]


def _padded(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((b" ", b"\n", b"\x00", b"\xef\xbb\xbf")) * rng.randint(1, 3000) + data
