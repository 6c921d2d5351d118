"""What a benchmark station says: frames made from templates, and the few bytes of an answer that must be looked at.

A script is a generator that yields `(action, frame)` and is sent the answer. It knows OCPP's texts and no sockets. The
answers are checked as far as a station has to know them: a refused card or a call error ends the benchmark.
"""

import re
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from functools import lru_cache

ACTIONS = ("BootNotification", "Authorize", "StartTransaction", "MeterValues", "StopTransaction")
BOOT, AUTHORIZE, START, METER_VALUES, STOP = range(len(ACTIONS))
METER_VALUES_PER_SESSION = 10
CALLS_PER_SESSION = METER_VALUES_PER_SESSION + 3
STEP_WH = 40  # 400 Wh in a session: little enough for a car to be believed, enough to be charged

Script = Generator[tuple[int, bytes], bytes, None]

_BOOT = (
    b'[2,"%d","BootNotification",{"chargePointVendor":"Bench","chargePointModel":"B-1",'
    b'"chargePointSerialNumber":"%s","firmwareVersion":"1.0"}]'
)
_AUTHORIZE = b'[2,"%d","Authorize",{"idTag":"%s"}]'
_START = b'[2,"%d","StartTransaction",{"connectorId":1,"idTag":"%s","meterStart":%d,"timestamp":"%s"}]'
_STOP = b'[2,"%d","StopTransaction",{"transactionId":%d,"idTag":"%s","meterStop":%d,"timestamp":"%s","reason":"Local"}]'
# About 666 bytes, as a real station's.
_METER_VALUES = (
    b'[2,"%d","MeterValues",{"connectorId":1,"transactionId":%d,"meterValue":[{"timestamp":"%s","sampledValue":['
    b'{"value":"%d","context":"Sample.Periodic","measurand":"Energy.Active.Import.Register","location":"Outlet","unit":"Wh"},'
    b'{"value":"7360.0","context":"Sample.Periodic","measurand":"Power.Active.Import","location":"Outlet","unit":"W"},'
    b'{"value":"32.0","context":"Sample.Periodic","measurand":"Current.Import","phase":"L1","unit":"A"},'
    b'{"value":"230.1","context":"Sample.Periodic","measurand":"Voltage","phase":"L1","unit":"V"},'
    b'{"value":"31.5","context":"Sample.Periodic","measurand":"Temperature","location":"Body","unit":"Celsius"}]}]}]'
)
_TRANSACTION_ID = re.compile(rb'"transactionId":\s*(\d+)')


class Refused(Exception):  # noqa: N818 - what the central system did
    """The central system did not answer as a benchmark needs; the argument shows the answer."""


def identity(number: int) -> str:
    """Return the identity of station `number`."""
    return f"BENCH-{number:06d}"


def id_tag(number: int) -> str:
    """Return the id tag of the card that is used at station `number`."""
    return f"CARD{number:06d}"


def sessions(number: int, go_on: Callable[[], bool], *, checked: bool = True) -> Script:
    """Boot, then run whole sessions while `go_on` says so. `checked=False`: the other end only echoes."""
    message_id = 1
    answer = yield BOOT, _BOOT % (message_id, identity(number).encode())
    tag = id_tag(number).encode()
    if checked:
        _expect(answer, message_id, b'"Accepted"')
    register_wh = 0
    while go_on():
        message_id += 1
        answer = yield AUTHORIZE, _AUTHORIZE % (message_id, tag)
        if checked:
            _expect(answer, message_id, b'"Accepted"')
        message_id += 1
        answer = yield START, _START % (message_id, tag, register_wh, _timestamp())
        if checked:
            _expect(answer, message_id, b'"Accepted"')
        found = _TRANSACTION_ID.search(answer)
        transaction_id = int(found[1]) if found else 1
        for _ in range(METER_VALUES_PER_SESSION):
            register_wh += STEP_WH
            message_id += 1
            answer = yield METER_VALUES, _METER_VALUES % (message_id, transaction_id, _timestamp(), register_wh)
            if checked:
                _expect(answer, message_id, b"{")
        message_id += 1
        answer = yield STOP, _STOP % (message_id, transaction_id, tag, register_wh, _timestamp())
        if checked:
            _expect(answer, message_id, b"{")


def _expect(answer: bytes, message_id: int, holding: bytes) -> None:
    if not answer.startswith(b'[3,"%d",' % message_id) or holding not in answer:
        raise Refused(answer[:300].decode(errors="replace"))


def _timestamp() -> bytes:
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return b"%s.%03dZ" % (_second(seconds), milliseconds)


@lru_cache(maxsize=4)
def _second(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19].encode()
