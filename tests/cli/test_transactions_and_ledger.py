"""`csms transaction` and `csms ledger`, on transactions that messages made."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from csms import clock
from csms.charging import metering, transactions, verification_runs
from csms.config import Settings
from csms.db import Database
from csms.installation import open_installation
from tests.cli.conftest import Csms

TAG = "04A1B2C3"


_READING = (metering.Sample("7100"),)


@pytest.fixture
def charged(csms: Csms, settings: Settings) -> Csms:
    """One car charged 10 kWh at CP-1 and another one charges at its second connector."""
    csms("tariff", "add", "Standard", "--per-kwh", "0.35", "--start-fee", "0.50")
    csms("station", "add", "CP-1", "--security-profile", "0")
    csms("card", "issue", TAG, "--credit", "20")
    installation = open_installation(settings)
    at = clock.now() - timedelta(hours=1)
    end = at + timedelta(minutes=30)
    for asked in (
        transactions.StartTransaction(1, 1, TAG, 100, at, at.isoformat()),
        metering.MeterValues(1, 1, 1, (metering.MeterValue(end - timedelta(minutes=9), _READING, "[]"),)),
        transactions.StopTransaction(1, 1, TAG, 10_100, end, end.isoformat(), "Local"),
        transactions.StartTransaction(1, 2, TAG, 0, at, at.isoformat()),
    ):
        installation.engine.execute(asked)
    installation.database.close()
    return csms


def test_transactions_are_listed_with_energy_and_cost(charged: Csms) -> None:
    newest, oldest = charged("transaction", "list", "--json").json
    expected = {
        "transaction_id": 1,
        "charge_point": "CP-1",
        "connector_id": 1,
        "id_tag": TAG,
        "state": "ended",
        "energy_wh": 10_000,
        "cost": "4.00",
    }
    assert expected.items() <= oldest.items()
    assert (newest["state"], newest["connector_id"], newest["credit_left"]) == ("open", 2, "16.00")
    assert "10.000 kWh" in charged("transaction", "list").out


def test_transactions_are_narrowed(charged: Csms) -> None:
    def ids(*words: str) -> list[int]:
        return [one["transaction_id"] for one in charged("transaction", "list", *words, "--json").json]

    assert ids("--state", "open") == [2]
    assert ids("--state", "orphaned") == []
    assert ids("--station", "CP-1", "--card", TAG.lower()) == [2, 1]
    assert ids("--card", charged("card", "show", TAG, "--json").json["printed_number"]) == [2, 1]
    assert ids("--card", "OTHER") == []
    assert ids("--limit", "1") == [2]
    charged("transaction", "list", "--state", "running", status=2)
    charged("transaction", "list", "--limit", "0", status=2)
    charged("transaction", "list", "--station", "CP-9", status=1)


def test_a_transaction_explains_its_charge(charged: Csms) -> None:
    shown = charged("transaction", "show", "1", "--json").json
    assert [(one["component"], one["amount"]) for one in shown["lines"]] == [("energy", "3.50"), ("start", "0.50")]
    assert (shown["tax"], [one["register_wh"] for one in shown["readings"]]) == ("0.67", [7_100])
    told = charged("transaction", "show", "1").out
    assert [word in told for word in ("meter stop", "0.67 EUR", "7100")] == [True] * 3
    charged("transaction", "show", "9", status=1)
    charged("transaction", "show", "x", status=2)


def test_what_a_charging_car_holds_is_not_available(charged: Csms) -> None:
    shown = charged("card", "show", TAG, "--json").json
    assert (shown["balance"], shown["held"], shown["available"]) == ("16.00", "1.00", "15.00")


def test_the_journal_shows_the_entries_behind_a_balance(charged: Csms) -> None:
    settle, issued = charged("ledger", "journal", "--card", TAG, "--json").json
    assert (settle["event"], settle["transaction_id"], settle["actor"]) == ("settle", 1, "charge point CP-1")
    assert [(one["credit_name"], one["amount"]) for one in settle["transfers"]] == [
        ("Energy income", "3.33"),
        ("VAT payable", "0.67"),
    ]
    assert issued["event"] == "card issued"
    assert len(charged("ledger", "journal", "--transaction", "1", "--json").json) == 1
    assert "VAT payable" in charged("ledger", "journal").out
    charged("ledger", "journal", "--card", "NOBODY", status=1)


def test_a_sound_ledger_verifies_with_status_0(charged: Csms) -> None:
    assert "everything fits" in charged("ledger", "verify").out
    assert charged("ledger", "verify", "--json").json == {"sound": True, "violations": 0, "first": []}


def test_single_invariants_may_be_verified_and_none_that_does_not_exist(charged: Csms) -> None:
    assert "everything fits" in charged("ledger", "verify", "--invariant", "4", "--invariant", "8").out
    charged("ledger", "verify", "--invariant", "10", status=2)


def test_how_the_last_night_ended_is_told(charged: Csms, database: Database) -> None:
    assert "No nightly verification" in charged("ledger", "verify", "--last", status=1).err
    due_at = clock.now()
    with database.unit_of_work() as connection:
        verification_runs.claim(connection, due_at, "node 1", due_at)
        verification_runs.finish(connection, due_at, "node 1", 0, None, due_at)
    assert "by node 1, everything fits." in charged("ledger", "verify", "--last").out
    assert charged("ledger", "verify", "--last", "--json").json["sound"] is True


def test_a_broken_ledger_is_named_with_status_1(charged: Csms, database: Database) -> None:
    with database.unit_of_work() as connection:
        connection.execute(text("UPDATE ledger_account SET held_minor = held_minor + 1 WHERE code = '4000'"))
    from csms.cli.program import run

    assert run(["ledger", "verify"]) == 1
    assert run(["ledger", "verify", "--json"]) == 1
