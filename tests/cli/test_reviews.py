"""`csms review`: what waits for a person is listed, shown and decided, once."""

from datetime import timedelta

from csms import clock
from csms.charging.stations import AddChargePoint, Boot
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.cli.opening import opened
from tests.cli.conftest import Csms

TAG = "04A1B2C3D4"


def _bring_in() -> None:
    """Let a station tell a stop of 910 kWh in an hour."""
    with opened() as installation:
        engine = installation.engine
        station = engine.execute(AddChargePoint("CP-1", 0, None, None))
        engine.execute(Boot(station, "Acme", "One", "", ""))
        begin = clock.now() - timedelta(hours=1)
        started = engine.execute(StartTransaction(station, 1, TAG, 0, begin, begin.isoformat()))
        end = clock.now()
        engine.execute(StopTransaction(station, started.transaction_id, None, 910_000, end, end.isoformat(), None))


def test_an_item_is_listed_shown_and_decided_once(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    csms("card", "issue", TAG, "--credit", "20.00")
    assert csms("review", "list", "--json").json == []
    assert "There are none" in csms("review", "list").out
    _bring_in()
    (item,) = csms("review", "list", "--json").json
    assert (item["kind"], item["resolved_at"]) == ("implausible energy", None)
    key = item["key"]
    assert key in csms("review", "list").out
    shown = csms("review", "show", key, "--json").json
    assert (shown["told_wh"], shown["estimate_wh"], shown["choices"]) == (910_000, 0, ["accept", "correct", "waive"])
    assert "can be" in csms("review", "show", key).out
    assert "--reason" in csms("review", "resolve", key, "correct", "--energy-wh", "2000", status=2).err
    assert "--energy-wh" in csms("review", "resolve", key, "correct", "--reason", "meter", status=2).err
    assert "cannot be decided" in csms("review", "resolve", key, "keep", "--reason", "meter", status=1).err
    words = ("review", "resolve", key, "correct", "--energy-wh", "2000", "--reason", "meter", "--key", "mine")
    decided = csms(*words, "--json").json
    assert (decided["decision"], decided["cost"], decided["repeated"]) == ("correct", "0.70", False)
    assert csms(*words, "--json").json["repeated"] is True
    assert "already" in csms("review", "resolve", key, "waive", "--reason", "meter", status=1).err
    assert csms("review", "list", "--json").json == []
    (resolved,) = csms("review", "list", "--state", "resolved", "--json").json
    assert (resolved["decision"], resolved["reason"], resolved["resolved_by"]) == ("correct", "meter", "command line")
    csms("ledger", "verify")


def test_an_item_that_does_not_exist_is_said_so(csms: Csms) -> None:
    assert "no such item" in csms("review", "show", "0" * 32, status=1).err
    assert "no such item" in csms("review", "resolve", "0" * 32, "accept", status=1).err
