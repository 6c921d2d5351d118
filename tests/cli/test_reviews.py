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
    (act,) = csms("ledger", "audit", "--json").json
    assert (act["act"], act["subject"], act["actor"]) == ("charge corrected", "transaction 1", "command line")
    assert act["reason"] == "2000 Wh: meter"
    assert "2000 Wh: meter" in csms("ledger", "audit", "--on", "transaction 1").out
    assert csms("ledger", "audit", "--on", "transaction 2", "--json").json == []
    (resolved,) = csms("review", "list", "--state", "resolved", "--json").json
    assert (resolved["decision"], resolved["reason"], resolved["resolved_by"]) == ("correct", "meter", "command line")
    csms("ledger", "verify")


def test_an_item_that_does_not_exist_is_said_so(csms: Csms) -> None:
    assert "no such item" in csms("review", "show", "0" * 32, status=1).err
    assert "no such item" in csms("review", "resolve", "0" * 32, "accept", status=1).err


def _parked() -> int:
    """Let a station tell a stop before its start; return the transaction's number."""
    with opened() as installation:
        engine = installation.engine
        station = engine.execute(AddChargePoint("CP-1", 0, None, None))
        engine.execute(Boot(station, "Acme", "One", "", ""))
        begin = clock.now() - timedelta(minutes=30)
        end = begin + timedelta(minutes=10)
        engine.execute(StopTransaction(station, -1, TAG, 3000, end, end.isoformat(), None))
        number: int = engine.execute(StartTransaction(station, 1, TAG, 1000, begin, begin.isoformat())).transaction_id
        return number


def _furnish(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35", "--per-minute", "0.02")
    csms("card", "issue", TAG, "--credit", "20.00")


def test_a_stop_that_came_before_its_start_ends_the_transaction_that_a_person_names(csms: Csms) -> None:
    _furnish(csms)
    number = _parked()
    (item,) = csms("review", "list", "--station", "CP-1", "--json").json
    assert csms("review", "list", "--station", "CP-9", "--json").json == []
    assert csms("review", "list", "--kind", "defect", "--json").json == []
    assert csms("review", "list", "--kind", "stop without a transaction", "--json").json == [item]
    key = item["key"]
    shown = csms("review", "show", key, "--json").json
    assert (shown["choices"], shown["candidates"]) == (["match", "assign", "waive"], [number])
    text = csms("review", "show", key).out
    assert "Transactions of the charge point that go on" in text
    assert "csms messages search --station 'CP-1' --since" in text
    words = ("review", "resolve", key, "match", "--reason", "it came first", "--key", "mine")
    assert "--transaction" in csms(*words, status=1).err
    assert "takes" in csms(*words, "--transaction", str(number), "--energy-wh", "5", status=2).err
    decided = csms(*words, "--transaction", str(number), "--json").json
    assert (decided["transaction_id"], decided["cost"], decided["repeated"]) == (number, "0.90", False)
    again = csms(*words, "--transaction", str(number), "--json").json
    assert (again["cost"], again["repeated"]) == ("0.90", True)
    assert csms("review", "list", "--json").json == []
    csms("ledger", "verify")


def test_a_charge_that_is_doubted_is_corrected_in_its_end_and_again(csms: Csms) -> None:
    _furnish(csms)
    number = _parked()
    assert "not ended" in csms("review", "doubt", str(number), "--reason", "too dear", status=1).err
    (item,) = csms("review", "list", "--json").json
    csms("review", "resolve", item["key"], "match", "--reason", "it came first", "--transaction", str(number))
    assert "--reason" in csms("review", "doubt", str(number), status=2).err
    assert "no such" in csms("review", "doubt", "4711", "--reason", "x", status=1).err
    key = csms("review", "doubt", str(number), "--reason", "the clock was wrong", "--key", "a", "--json").json["key"]
    assert csms("review", "doubt", str(number), "--reason", "the clock was wrong", "--key", "a", "--json").json == {
        "key": key,
        "transaction_id": number,
    }
    shown = csms("review", "show", key, "--json").json
    assert (shown["charged"], shown["charged_energy_wh"], shown["choices"]) == ("0.90", 2000, ["keep", "correct"])
    words = ("review", "resolve", key, "correct", "--reason", "read at the meter")
    assert "no date" in csms(*words, "--ended-at", "noon", status=2).err
    assert "--ended-at" in csms(*words, "--ended-at", "2031-01-01", status=2).err
    assert csms(*words, "--energy-wh", "1000", "--json").json["cost"] == "0.55"
    assert csms("card", "show", TAG, "--json").json["balance"] == "19.45"
    assert "0.55 EUR for 1000 Wh until" in csms("review", "show", key).out
    told = csms("transaction", "show", str(number), "--json").json
    assert (told["cost"], told["charged"], told["energy_wh"], told["charged_energy_wh"]) == ("0.90", "0.55", 2000, 1000)
    assert "0.55 EUR for 1.000 kWh until" in csms("transaction", "show", str(number)).out
    csms("ledger", "verify")
