"""`csms station command`, `csms group station command`, `csms command`: what is queued, and what came of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.config import Settings
from csms.installation import open_installation
from tests.cli.conftest import Csms

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def stations(csms: Csms) -> None:
    """CP-1 and CP-2 in the group Harbour."""
    for identity in ("CP-1", "CP-2"):
        csms("station", "add", identity, "--security-profile", "0")
    csms("group", "station", "add", "Harbour", "--station", "CP-1", "--station", "CP-2")


@contextmanager
def _answering(settings: Settings, state: str, answer_json: str | None, failure: str | None = None) -> Iterator[None]:
    """Be a server that sends the first command of CP-1 and records this answer."""
    installation = open_installation(settings)

    def serve() -> None:
        for _ in range(3000):
            command = installation.engine.execute(ClaimCommand(1))
            if command is not None:
                said = AnswerCommand(command.command_id, 1, state, answer_json, failure)  # type: ignore[arg-type]
                installation.engine.execute(said)
                return
            time.sleep(0.02)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        server.join()
        installation.database.close()


def test_a_command_is_queued_and_its_number_told(csms: Csms) -> None:
    told = csms("station", "command", "CP-1", "Reset", "--json", '{"type":"Soft"}').out
    assert "command 1" in told
    shown = csms("command", "show", "1").out
    assert "Reset" in shown
    assert "queued" in shown
    [row] = csms("command", "list", "--json").json
    assert (row["charge_point"], row["payload"], row["state"]) == ("CP-1", {"type": "Soft"}, "queued")
    assert row["requested_by"] == "command line"


def test_who_waits_sees_the_answer(csms: Csms, settings: Settings) -> None:
    with _answering(settings, "accepted", '{"status":"Accepted"}'):
        told = csms("station", "command", "CP-1", "ClearCache", "--wait", "10").out
    assert told.strip() == '{"status":"Accepted"}'


def test_who_waits_for_what_is_refused_is_told_so(csms: Csms, settings: Settings) -> None:
    with _answering(settings, "rejected", '{"status":"Rejected"}'):
        told = csms("station", "command", "CP-1", "ClearCache", "--wait", "10", status=1).err
    assert 'answered ClearCache with {"status":"Rejected"}' in told


def test_who_waits_for_nobody_is_told_that_it_goes_on(csms: Csms) -> None:
    told = csms("station", "command", "CP-1", "ClearCache", "--wait", "0.1", status=1).err
    assert "Command 1 goes on" in told
    assert csms("command", "show", "1", "--json").json["state"] == "queued"


def test_a_command_waits_as_long_as_it_is_told_to(csms: Csms) -> None:
    row = csms("station", "command", "CP-1", "ClearCache", "--expires", "60", "--show-json").json
    assert row["expires_at"][:16] >= row["created_at"][:16]
    assert row["expires_at"] < csms("station", "command", "CP-1", "ClearCache", "--show-json").json["expires_at"]


def test_a_key_is_not_shown(csms: Csms) -> None:
    payload = f'{{"key":"AuthorizationKey","value":"{KEY}"}}'
    csms("station", "command", "CP-1", "ChangeConfiguration", "--json", payload)
    assert KEY not in csms("command", "show", "1").out + csms("command", "list", "--json").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("CP-1", "Dance"), "not an action"),
        (("CP-1", "Reset", "--json", '{"type":"Gently"}'), "type"),
        (("CP-1", "Reset", "--json", "Soft"), "JSON"),
        (("CP-1", "Reset", "--json", "[1]"), "JSON"),
        (("CP-1", "Reset"), "type"),
    ],
)
def test_what_is_no_call_is_not_queued(csms: Csms, words: tuple[str, ...], said: str) -> None:
    assert said in csms("station", "command", *words, status=2).err
    assert csms("command", "list", "--json").json == []


def test_a_command_to_a_group_is_one_for_each_station_and_can_be_stopped(csms: Csms, settings: Settings) -> None:
    told = csms("group", "station", "command", "Harbour", "ClearCache").out
    assert "Queued for 2 stations as 1" in told
    with _answering(settings, "accepted", '{"status":"Accepted"}'):
        pass
    [batch] = csms("command", "progress", "1", "--json").json
    assert (batch["target"], batch["stations"], batch["accepted"], batch["queued"]) == ("group Harbour", 2, 1, 1)
    assert "1 stations were not told" in csms("command", "stop", "1").out
    [batch] = csms("command", "progress", "--json").json
    assert (batch["accepted"], batch["expired"], batch["stopped_by"]) == (1, 1, "command line")
    assert [one["failure"] for one in csms("command", "list", "--batch", "1", "--json").json] == [
        "stopped by command line",
        None,
    ]
    assert "Harbour" in csms("command", "progress").out


def test_a_command_is_cancelled_while_it_is_queued(csms: Csms) -> None:
    csms("station", "command", "CP-1", "ClearCache")
    csms("command", "cancel", "1")
    assert "cannot be cancelled" in csms("command", "cancel", "1", status=1).err
    assert csms("command", "show", "1", "--json").json["failure"] == "cancelled by command line"


def test_the_list_is_narrowed(csms: Csms) -> None:
    csms("station", "command", "CP-1", "ClearCache")
    csms("station", "command", "CP-2", "Reset", "--json", '{"type":"Soft"}')
    assert [one["id"] for one in csms("command", "list", "--json").json] == [2, 1]
    assert [one["id"] for one in csms("command", "list", "--station", "cp-1", "--json").json] == [1]
    assert [one["id"] for one in csms("command", "list", "--action", "Reset", "--json").json] == [2]
    assert csms("command", "list", "--state", "accepted", "--json").json == []
    assert csms("command", "list", "--by", "nobody", "--json").json == []
    csms("command", "list", "--state", "gone", status=2)
    csms("command", "list", "--action", "Dance", status=2)


@pytest.mark.parametrize(
    "words",
    [
        ("station", "command", "CP-9", "ClearCache"),
        ("group", "station", "command", "Nowhere", "ClearCache"),
        ("command", "show", "77"),
        ("command", "cancel", "77"),
        ("command", "progress", "77"),
        ("command", "stop", "77"),
    ],
)
def test_what_does_not_exist_is_said_in_a_sentence(csms: Csms, words: tuple[str, ...]) -> None:
    assert "There is no" in csms(*words, status=1).err


def test_an_empty_group_is_told_nothing(csms: Csms) -> None:
    csms("group", "station", "add", "Empty")
    assert "no station in the group Empty" in csms("group", "station", "command", "Empty", "ClearCache", status=1).err
