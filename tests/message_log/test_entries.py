"""What a frame becomes: kind, action, duration, text."""

from datetime import UTC, datetime

import pytest

from csms.message_log.entries import Entry, Exchanges, Heard

_AT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def _entry(exchanges: Exchanges, data: bytes, *, at_s: float = 0.0, station: int = 1, outgoing: bool = False) -> Entry:
    return exchanges.entry(Heard(station, outgoing, at_s, data), _AT)


def test_a_result_has_the_action_of_its_call_and_the_time_it_took() -> None:
    exchanges = Exchanges(text_max=1000)
    call = _entry(exchanges, b'[2,"7","Heartbeat",{}]', at_s=1.0)
    result = _entry(exchanges, b'[3,"7",{"currentTime":"x"}]', at_s=1.25, outgoing=True)
    assert (call.kind, call.action, call.message_id, call.duration_ms) == ("call", "Heartbeat", "7", None)
    assert (result.kind, result.action, result.message_id, result.duration_ms) == ("result", "Heartbeat", "7", 250)
    assert result.is_outgoing


def test_an_answer_belongs_to_the_call_of_the_other_side_at_the_same_station_only() -> None:
    exchanges = Exchanges(text_max=1000)
    _entry(exchanges, b'[2,"7","Heartbeat",{}]')
    assert _entry(exchanges, b'[3,"7",{}]').action == ""
    assert _entry(exchanges, b'[3,"7",{}]', station=2, outgoing=True).action == ""
    assert _entry(exchanges, b'[4,"7","NotSupported","",{}]', outgoing=True).action == "Heartbeat"
    assert _entry(exchanges, b'[3,"7",{}]', outgoing=True).action == "", "it was answered before"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[2]",
        b"hello",
        b'[2,"1","Heartbeat",{',
        b"\xff\xfe",
        b'[5,"1","X",{}]',
        b'[2,null,"X",{}]',
        b"[" * 5000,
    ],
)
def test_what_is_no_frame_is_kept_as_unreadable(data: bytes) -> None:
    entry = _entry(Exchanges(text_max=1000), data)
    assert (entry.kind, entry.action, entry.message_id) == ("unreadable", "", "")
    assert entry.size_bytes == len(data)


def test_a_text_is_cut_after_its_secrets_were_taken_out() -> None:
    frame = b'[2,"1","ChangeConfiguration",{"value":"00ff00ff","key":"AuthorizationKey"}]'
    entry = _entry(Exchanges(text_max=60), frame, outgoing=True)
    assert "00ff" not in entry.text
    assert len(entry.text) == 60
    assert entry.size_bytes == len(frame)


def test_nul_characters_that_no_database_takes_are_replaced() -> None:
    entry = _entry(Exchanges(text_max=1000), b'[2,"a\\u0000b","X\\u0000",{"a":"\x00"}]')
    assert "\x00" not in entry.text + entry.action + entry.message_id


def test_calls_that_nobody_answers_are_forgotten_in_the_end() -> None:
    exchanges = Exchanges(text_max=1000, calls_max=3)
    for number in range(5):
        _entry(exchanges, b'[2,"%d","Heartbeat",{}]' % number)
    actions = [_entry(exchanges, b'[3,"%d",{}]' % number, outgoing=True).action for number in range(5)]
    assert actions == ["", "", "Heartbeat", "Heartbeat", "Heartbeat"]
