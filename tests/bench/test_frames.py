"""What a benchmark station says, held against the central system's own reading of it."""

import pytest

from bench.frames import (
    ACTIONS,
    CALLS_PER_SESSION,
    METER_VALUES,
    METER_VALUES_PER_SESSION,
    START,
    STEP_WH,
    Refused,
    sessions,
)
from csms.handlers import wire
from csms.handlers.messages import MeterValues, StartTransaction, StopTransaction


def answer(frame: bytes, payload: bytes = b'{"status":"Accepted","transactionId": 77}') -> bytes:
    """Answer a frame as a central system might."""
    call = wire.decode(frame)
    assert isinstance(call, wire.Call)
    return b'[3,"%s",%s]' % (str(call.message_id).encode(), payload)


def one_session() -> list[tuple[int, bytes]]:
    """Return the boot and the calls of one session."""
    going = iter((True, False))
    script = sessions(7, lambda: next(going))
    said = [next(script)]
    try:
        while True:
            said.append(script.send(answer(said[-1][1])))
    except StopIteration:
        return said


def test_a_session_is_the_calls_that_the_method_names_in_their_order() -> None:
    actions = [ACTIONS[action] for action, _ in one_session()]
    middle = ["MeterValues"] * METER_VALUES_PER_SESSION
    assert actions == ["BootNotification", "Authorize", "StartTransaction", *middle, "StopTransaction"]
    assert len(actions) - 1 == CALLS_PER_SESSION


def test_the_central_system_reads_every_frame_without_taking_a_liberty() -> None:
    for action, frame in one_session():
        call = wire.decode(frame)
        assert isinstance(call, wire.Call)
        assert call.action == ACTIONS[action]
        _, flags = wire.read_call(call.action, call.payload)
        assert flags == ()


def test_a_session_delivers_its_energy_under_the_transaction_id_that_it_was_given() -> None:
    messages = []
    for action, frame in one_session()[2:]:
        call = wire.decode(frame)
        assert isinstance(call, wire.Call)
        messages.append(wire.read_call(ACTIONS[action], call.payload)[0])
    first, *readings, last = messages
    assert isinstance(first, StartTransaction)
    assert isinstance(last, StopTransaction)
    assert all(isinstance(one, MeterValues) and one.transaction_id == 77 for one in readings)
    assert last.transaction_id == 77
    assert last.meter_stop - first.meter_start == METER_VALUES_PER_SESSION * STEP_WH


def test_meter_values_are_about_as_long_as_a_real_stations() -> None:
    lengths = [len(frame) for action, frame in one_session() if action == METER_VALUES]
    assert all(640 <= length <= 690 for length in lengths)


@pytest.mark.parametrize(
    "bad",
    [
        b'[3,"3",{"status":"Blocked","transactionId":77}]',
        b'[4,"3","InternalError","",{}]',
        b'[3,"2",{"status":"Accepted","transactionId":77}]',
    ],
)
def test_an_answer_that_no_customer_would_charge_with_ends_the_script(bad: bytes) -> None:
    script = sessions(7, lambda: True)
    _, frame = next(script)
    for _ in range(2):
        action, frame = script.send(answer(frame))
    assert action == START
    with pytest.raises(Refused):
        script.send(bad)
