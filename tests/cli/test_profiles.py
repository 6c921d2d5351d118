"""`csms profile`: the library, sending, what is installed."""

from tests.cli.conftest import Csms

EVENING = ("profile", "add", "Evening peak", "--begins", "2026-12-01", "--period", "0:00=16", "--period", "17:00=8/1")


def test_a_profile_is_added_listed_changed_and_removed(csms: Csms) -> None:
    assert "Stored Evening peak." in csms(*EVENING).out
    (one,) = csms("profile", "list", "--json").json
    assert one["profile"]["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 16},
        {"startPeriod": 61_200, "limit": 8, "numberPhases": 1},
    ]
    assert one["profile"]["recurrencyKind"] == "Daily"
    assert "another profile has this name" in csms(*EVENING, status=2).err
    csms(*EVENING, "--replace", "--level", "2")
    assert "16 A, 8 A after 17:00 h" in csms("profile", "list").out
    csms("profile", "remove", "Evening peak")
    assert csms("profile", "list", "--json").json == []
    assert "There is no profile" in csms("profile", "remove", "Evening peak", status=1).err


def test_wrong_options_are_named_in_a_sentence(csms: Csms) -> None:
    for words, said in (
        (("--period", "soon=16"), "--period: 'soon'"),
        (("--period", "0:00=x"), "--period: 'x' is no limit"),
        (("--period", "1:00=16"), "--period: the first period begins at 0"),
        (("--period", "0:00=16", "--kind", "hourly"), "--kind is 'hourly'"),
        (("--period", "0:00=16", "--unit", "kW"), "--unit is 'KW'"),
        (("--period", "0:00=16"), "--begins: say when it begins"),
    ):
        assert said in csms("profile", "add", "one", *words, status=2).err


def test_a_profile_is_queued_for_a_station_and_a_station_is_asked(csms: Csms) -> None:
    csms("station", "add", "CP-1", "--security-profile", "0")
    csms(*EVENING)
    assert "On its way to CP-1." in csms("profile", "send", "Evening peak", "--station", "CP-1").out
    sent = csms("profile", "send", "Evening peak", "--station", "CP-1", "--connector", "1", "--json").json
    assert (sent["sent"], sent["command_id"]) == (["CP-1"], 2)
    assert "Command 3 is queued" in csms("profile", "composite", "CP-1", "--unit", "w").out
    assert "Command 4 is queued" in csms("profile", "clear", "CP-1", "--purpose", "default").out
    assert "There are none." in csms("profile", "installed", "CP-1").out
    assert csms("profile", "installed", "CP-1", "--json").json == []
    csms("group", "station", "add", "Harbour")
    assert (
        "There is no station in Harbour." in csms("profile", "send", "Evening peak", "--group", "Harbour", status=1).err
    )
    csms("group", "station", "set", "Harbour", "--station", "CP-1")
    said = csms("profile", "send", "Evening peak", "--group", "Harbour").out
    assert "On its way to CP-1." in said
    assert "`csms command progress 1`" in said
    refused = csms("profile", "send", "Evening peak", "--station", "CP-1", "--start", "04A1", status=1)
    assert "There is no card 04A1" in refused.err
    csms("card", "issue", "04A1", "--credit", "5.00")
    refused = csms("profile", "send", "Evening peak", "--station", "CP-1", "--start", "04A1", status=1)
    assert "Only a TxProfile can go with a start." in refused.err
    assert "one of them" in csms("profile", "send", "Evening peak", status=2).err
    assert "There is no group" in csms("profile", "send", "Evening peak", "--group", "none", status=1).err
