"""`csms reservation` and `csms local-list`: what is asked for waits in the queue of the station."""

import msgspec

from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.stations import AddChargePoint
from csms.cli.opening import opened
from csms.commands.history import CommandFilter, list_commands
from tests.cli.conftest import Csms

TAG, OTHER = "04A1B2C3", "04D5E6F7"


def _furnish(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    csms("card", "issue", TAG, "--credit", "20.00")
    csms("card", "issue", OTHER)
    with opened() as installation:
        installation.engine.execute(AddChargePoint("CP-1", 0, None, None))


def _answer(text: str, state: str = "accepted") -> dict[str, object]:
    """Let the station take the next command and answer it; return what it was asked."""
    with opened() as installation:
        command = installation.engine.execute(ClaimCommand(1))
        installation.engine.execute(AnswerCommand(command.command_id, command.attempts, state, text))  # type: ignore[arg-type]
    payload: dict[str, object] = msgspec.json.decode(command.payload_json)
    return payload


def _actions() -> list[str]:
    with opened() as installation, installation.database.reading() as connection:
        return [one.action for one in list_commands(connection, CommandFilter(1), limit=10)]


def test_a_reservation_is_asked_for_listed_and_cancelled(csms: Csms) -> None:
    _furnish(csms)
    assert csms("reservation", "list", "--json").json == []
    said = csms("reservation", "add", "CP-1", TAG, "--connector", "2", "--until", "2099-02-01 18:30", "--account").out
    assert "reservation 1 until 2099-02-01 18:30:00" in said
    assert "1 not answered yet" in csms("reservation", "list").out
    sent = _answer('{"status":"Accepted"}')
    assert (sent["connectorId"], sent["idTag"], sent["reservationId"]) == (2, TAG, 1)
    assert str(sent["parentIdTag"]).startswith("A")
    (one,) = csms("reservation", "list", "--station", "CP-1", "--json").json
    assert (one["state"], one["id_tag"]) == ("active", TAG)
    assert TAG in csms("reservation", "list").out
    assert "end reservation 1" in csms("reservation", "cancel", str(one["command_id"])).out
    assert _answer('{"status":"Accepted"}') == {"reservationId": 1}
    assert "over already: cancelled" in csms("reservation", "cancel", str(one["command_id"]), status=1).err
    assert "cancelled" in csms("reservation", "list", "--state", "all").out


def test_a_reservation_that_makes_no_sense_is_refused_in_one_sentence(csms: Csms) -> None:
    _furnish(csms)
    assert "no charge point" in csms("reservation", "add", "CP-9", TAG, status=1).err
    assert "no card" in csms("reservation", "add", "CP-1", "FFFF", status=1).err
    assert "lie ahead" in csms("reservation", "add", "CP-1", TAG, "--until", "2020-01-01", status=2).err
    assert "is no date" in csms("reservation", "add", "CP-1", TAG, "--until", "soon", status=2).err
    assert "no reservation 7" in csms("reservation", "cancel", "7", status=1).err
    csms("card", "block", TAG, "--reason", "test")
    assert "is blocked, so it could not charge" in csms("reservation", "add", "CP-1", TAG, status=1).err
    assert _actions() == []
    csms("reservation", "add", "CP-1", TAG, "--force")
    assert "less credit than a start needs" in csms("reservation", "add", "CP-1", OTHER).out
    assert _actions() == ["ReserveNow", "ReserveNow"]


def test_a_list_is_added_changed_sent_and_removed(csms: Csms) -> None:
    _furnish(csms)
    csms("group", "station", "add", "Yard", "--station", "CP-1")
    csms("group", "account", "add", "Crew", "--staff", "--card", OTHER)
    words = ("--card", TAG, "--staff", "--account-group", "Crew", "--station", "CP-1")
    assert "LocalAuthListEnabled" in csms("local-list", "add", "Depot", *words).out
    assert "already" in csms("local-list", "add", "Depot", status=1).err
    shown = csms("local-list", "show", "Depot", "--json").json
    assert ([one["id_tag"] for one in shown["cards"]], shown["belongs_to"]) == ([TAG, OTHER], ["CP-1"])
    assert TAG in csms("local-list", "show", "Depot").out
    assert "on its way to CP-1" in csms("local-list", "send", "CP-1").out
    assert "already" in csms("local-list", "send", "CP-1").out
    _answer('{"listVersion":0}')
    assert _answer('{"status":"Accepted"}')["listVersion"] == 1
    held = csms("local-list", "station", "CP-1", "--json").json
    assert (held["state"], held["version"], held["entries"], held["is_current"]) == ("in step", 1, [TAG, OTHER], True)
    assert "in step" in csms("local-list", "station", "CP-1").out
    changes = ("--remove-card", TAG, "--account-group", "none", "--no-staff", "--rename", "Emergency")
    csms("local-list", "set", "Depot", *changes, "--remove-station", "CP-1", "--station-group", "Yard")
    assert csms("local-list", "show", "Emergency", "--json").json["belongs_to"] == ["Yard"]
    listed = csms("local-list", "list", "--json").json
    assert ([one["name"] for one in listed["lists"]], listed["stations"][0]["is_current"]) == (["Emergency"], False)
    assert "to be updated" in csms("local-list", "list").out
    csms("local-list", "remove", "Emergency")
    assert csms("local-list", "list", "--json").json["lists"] == []


def test_a_list_of_what_is_not_there_is_refused(csms: Csms) -> None:
    _furnish(csms)
    for words in (("--card", "FFFF"), ("--station", "CP-9"), ("--station-group", "x"), ("--account-group", "x")):
        assert "There is no" in csms("local-list", "add", "Depot", *words, status=1).err
    assert csms("local-list", "list", "--json").json["lists"] == []
    assert "no list Depot" in csms("local-list", "show", "Depot", status=1).err
    assert "has no list" in csms("local-list", "send", "CP-1", status=1).err
    assert "no charge point" in csms("local-list", "station", "CP-9", status=1).err
