"""`csms messages`: what is searched, followed and exported, beside whatever writes the log."""

import json

from csms import clock
from csms.config import load_settings
from csms.installation import open_database
from csms.message_log.entries import Exchanges, Heard
from csms.message_log.store import MessageStore
from tests.cli.conftest import Csms


def _write(*frames: tuple[bool, str]) -> None:
    database = open_database(load_settings())
    store = MessageStore(database)
    exchanges = Exchanges(text_max=1000)
    heard = [Heard(1, is_outgoing, number / 4, text.encode()) for number, (is_outgoing, text) in enumerate(frames)]
    store.write([exchanges.entry(one, clock.now()) for one in heard])
    store.close()
    database.close()


_FRAMES = (
    (False, '[2,"h1","Heartbeat",{}]'),
    (True, '[3,"h1",{"currentTime":"x"}]'),
    (True, '[2,"7-1","ChangeConfiguration",{"key":"AuthorizationKey","value":"00ff00ff"}]'),
)


def test_search_narrows_and_never_shows_a_key(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    _write(*_FRAMES)
    found = csms("messages", "search", "--json").json
    assert [one["message_id"] for one in found] == ["7-1", "h1", "h1"]
    assert found[1]["duration_ms"] == 250
    assert found[0]["charge_point"] == "CP-1"
    shown = csms("messages", "search", "--station", "CP-1", "--action", "Heartbeat", "--kind", "result")
    assert "Heartbeat" in shown.out
    assert "<-" in shown.out
    assert "00ff" not in csms("messages", "search").out
    assert csms("messages", "search", "--text", "CURRENTTIME", "--json").json[0]["kind"] == "result"
    assert csms("messages", "search", "--until", "2020-01-01", "--json").json == []
    assert csms("messages", "search", "--limit", "1", "--json").json == found[:1]


def test_export_writes_a_line_for_each_message_oldest_first(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    _write(*_FRAMES)
    lines = [json.loads(line) for line in csms("messages", "export").out.splitlines()]
    assert [line["kind"] for line in lines] == ["call", "result", "call"]
    assert [line["direction"] for line in lines] == ["received", "sent", "sent"]
    assert csms("messages", "export", "--id", "none").out == ""


def test_tail_begins_with_the_last_ones_and_ends_in_time(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    _write(*_FRAMES)
    shown = csms("messages", "tail", "-n", "2", "--seconds", "0").out.splitlines()
    assert len(shown) == 2
    assert "h1" in shown[0]
    assert json.loads(csms("messages", "tail", "-n", "1", "--seconds", "0.1", "--json").out)["message_id"] == "7-1"
    assert csms("messages", "tail", "-n", "0", "--seconds", "0").out == ""


def test_what_is_wrong_is_said_in_a_sentence(csms: Csms) -> None:
    assert "no charge point" in csms("messages", "search", "--station", "nobody", status=1).err
    assert "--since" in csms("messages", "export", "--since", "yesterday", status=2).err
    assert csms("messages", "search", "--kind", "rumour", status=2).err
