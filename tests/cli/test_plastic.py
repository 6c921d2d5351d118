"""`csms card import|replace|add-to|lost|retire|expire`, `csms customer`, `csms receipt`: as a person types them."""

from datetime import timedelta
from pathlib import Path

import pytest
from pypdf import PdfReader

from csms import clock
from csms.billing.desks import list_desks
from csms.billing.prepaid import TopUp
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.config import Settings
from csms.installation import open_installation
from tests.cli.conftest import Csms

TAG, NEW = "04A1B2C3", "04D4E5F6"


def test_cards_are_imported_all_or_none(csms: Csms, tmp_path: Path) -> None:
    file = tmp_path / "cards.csv"
    file.write_text("id_tag,printed_number\nAA01,1\nAA01,2\n,3\n")
    found = csms("card", "import", str(file), "--dry-run", "--json").json
    assert [(one["line"], one["field"]) for one in found["problems"]] == [(3, "id_tag"), (4, "id_tag")]
    refused = csms("card", "import", str(file), "--json", status=1, lines=3).err.splitlines()
    assert refused[0] == "Nothing was imported, as 2 lines are wrong:"
    assert refused[1].startswith("line 3, id_tag: AA01 stands in line 2")
    assert refused[2].startswith("line 4, id_tag: ")
    assert csms("card", "list", "--json").json == []
    file.write_text("id_tag,printed_number,expires\nAA01,1,2030-01-31\nAA02,2,\n")
    assert csms("card", "import", str(file), "--dry-run", "--json").json["problems"] == []
    assert csms("card", "list", "--json").json == []
    assert csms("card", "import", str(file), "--json").json["imported"] == 2
    assert "already" in csms("card", "import", str(file)).out
    assert [one["state"] for one in csms("card", "list", "--json").json] == ["in stock", "in stock"]
    assert csms("card", "issue", "AA01", "--credit", "5", "--json").json["printed_number"] == "1"
    assert "exists already" in csms("card", "import", str(file), "--dry-run").out
    assert "exists already" in csms("card", "import", str(file), status=1, lines=3).err
    assert csms("card", "show", "AA01").out.count("valid through   2030-01-31") == 1
    file.write_text("id_tag,printed_number\nAA02,7\n,8\n")  # one is known already, the other is no card
    both = csms("card", "import", str(file), status=1, lines=3).err.splitlines()
    assert [one.partition(":")[0] for one in both[1:]] == ["line 2, id_tag", "line 3, id_tag"]
    csms("card", "import", str(tmp_path / "none.csv"), status=2)


def test_a_lost_card_is_replaced_and_keeps_its_credit(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "20")
    answer = csms("card", "replace", TAG, NEW, "--number", "77", "--reason", "lost", "--json").json
    assert (answer["balance"], answer["state"], answer["repeated"]) == ("20.00", "active", False)
    assert csms("card", "replace", TAG, NEW, "--number", "77", "--json").json["repeated"]
    assert csms("card", "show", TAG, "--json").json["state"] == "lost"
    assert "not active" in csms("card", "top-up", TAG, "5", status=1).err
    assert "in use" in csms("card", "replace", NEW, NEW, "--number", "1", status=1).err
    assert "--number" in csms("card", "add-to", NEW, "04FF", status=1).err
    assert csms("card", "add-to", NEW, "04FF", "--number", "78", "--json").json["balance"] == "20.00"


def test_a_card_is_lost_retired_and_let_expire(csms: Csms) -> None:
    csms("card", "issue", TAG)
    assert csms("card", "expire", TAG, "--on", "2030-01-31", "--json").json["expires_at"].startswith("2030-01-31T22:00")
    assert csms("card", "expire", TAG, "--never", "--json").json["expires_at"] is None
    csms("card", "expire", TAG, status=2)
    csms("card", "expire", TAG, "--on", "tomorrow", status=2)
    assert csms("card", "lost", TAG, "--reason", "in the lake", "--json").json["state"] == "lost"
    assert csms("card", "retire", TAG, "--json").json["state"] == "retired"
    assert "cannot become" in csms("card", "unblock", TAG, status=1).err


def test_the_last_card_of_an_account_says_where_its_credit_stays(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "20")
    csms("card", "add-to", TAG, NEW, "--number", "78")
    assert "stay" not in csms("card", "retire", NEW).out
    assert "20.00 EUR stay on its account; csms card replace" in csms("card", "lost", TAG).out
    assert "20.00 EUR stay on its account." in csms("card", "retire", TAG).out


def test_a_customer_is_set_and_erased(csms: Csms) -> None:
    csms("card", "issue", TAG, "--label", "CB 1234")
    answer = csms("customer", "set", TAG, "--name", "Ива", "--email", "iva@example.com", "--language", "bg", "--json")
    assert answer.json["name"] == "Ива"
    csms("customer", "set", TAG, "--email", "nobody", status=2)
    csms("customer", "set", TAG, status=2)
    assert csms("customer", "show", TAG, "--json").json["email"] == "iva@example.com"
    assert csms("customer", "erase", TAG, "--reason", "asked", "--json").json["erased"]
    csms("customer", "show", TAG, status=1)
    assert not csms("customer", "erase", TAG, "--json").json["erased"]
    assert csms("card", "show", TAG, "--json").json["label"] == ""


@pytest.fixture
def receipts(csms: Csms, settings: Settings) -> int:
    """A desk at which a card was topped up, and a charge; its transaction's number."""
    csms("card", "issue", TAG, "--credit", "20", "--number", "2026 00001")
    csms("desk", "add", "Kiosk")
    csms("tariff", "add", "Standard", "--per-kwh", "0.35")
    installation = open_installation(settings)
    with installation.database.reading() as connection:
        desk = list_desks(connection)[0]
    asked = TopUp(TAG, 500, desk.cash_account_id, "k", "staff maria", installation.limits)
    installation.engine.execute(asked)
    installation.engine.execute(AddChargePoint("CP1", 0, None, None))
    start = clock.now() - timedelta(hours=1)
    started = installation.engine.execute(StartTransaction(1, 1, TAG, 0, start, "a"))
    end = start + timedelta(minutes=20)
    installation.engine.execute(StopTransaction(1, started.transaction_id, TAG, 10_000, end, "b", None))
    installation.database.close()
    number: int = started.transaction_id
    return number


def test_a_receipt_of_a_desk_is_shown_and_written(csms: Csms, receipts: int, tmp_path: Path) -> None:
    shown = csms("receipt", "show", "D1-1", "--json").json
    assert (shown["number"], shown["amount"], shown["balance_after"]) == ("D1-000001", "5.00", "25.00")
    assert (shown["card"], shown["copy"]) == ("**** *0001", False)
    assert "Kiosk" in csms("receipt", "show", "d1-000001").out
    assert "\N{REPLACEMENT CHARACTER}" not in csms("receipt", "show", f"C{receipts}").out  # as its blanks were
    file = tmp_path / "receipt.pdf"
    assert "original" in csms("receipt", "show", "D1-1", "--pdf", str(file)).out
    assert "copy" in csms("receipt", "show", "D1-1", "--pdf", str(file), "--paper", "A4").out
    assert "COPY" in PdfReader(file).pages[0].extract_text()
    csms("receipt", "show", "D1-2", status=1)
    csms("receipt", "show", "nonsense", status=1)
    csms("receipt", "show", "D1-1", "--pdf", str(tmp_path / "no" / "where.pdf"), status=2)


def test_money_that_is_paid_into_a_desk_gets_its_receipts_and_they_are_listed(csms: Csms) -> None:
    csms("desk", "add", "Kiosk")
    csms("card", "issue", TAG, "--desk", "Kiosk")
    csms("card", "issue", "04FF", "--credit", "3", "--desk", "Kiosk")
    for _ in range(2):
        csms("card", "top-up", TAG, "7.50", "--desk", "Kiosk", "--key", "form-1")
    csms("card", "top-up", TAG, "1", status=0)
    listed = csms("receipt", "list", "--desk", "Kiosk", "--json").json
    assert [(one["number"], one["id_tag"], one["amount"]) for one in listed] == [
        ("D1-000003", TAG, "7.50"),
        ("D1-000002", "04FF", "3.00"),
        ("D1-000001", TAG, "0.00"),
    ]
    assert "D1-000002" in csms("receipt", "list").out
    assert csms("desk", "list", "--json").json[0]["cash"] == "10.50"
    assert csms("receipt", "show", "D1-1", "--json").json["balance_after"] == "0.00"
    assert "There is no desk Hall" in csms("receipt", "list", "--desk", "Hall", status=1).err
    assert "There is no desk Hall" in csms("card", "top-up", TAG, "1", "--desk", "Hall", status=1).err
    assert csms("ledger", "verify").status == 0


def test_a_receipt_of_a_charge_is_shown_and_written(csms: Csms, receipts: int, tmp_path: Path) -> None:
    shown = csms("receipt", "show", str(receipts), "--json").json
    assert (shown["number"], shown["total"], shown["balance_before"]) == (f"C{receipts}", "3.50", "25.00")
    assert (shown["energy_wh"], shown["balance_after"]) == (10_000, "21.50")
    file = tmp_path / "charge.pdf"
    csms("receipt", "show", f"c{receipts}", "--pdf", str(file))
    text = PdfReader(file).pages[0].extract_text()
    assert "€3.50" in text
    assert "COPY" not in text
    assert csms("receipt", "show", str(receipts), "--json").json["copy"]
    assert csms("ledger", "verify").status == 0


def test_a_desk_is_told_what_its_reader_types(csms: Csms) -> None:
    csms("desk", "add", "Kiosk")
    assert csms("desk", "list", "--json").json[0]["reader_format"] == "hex"
    assert csms("desk", "reader", "Kiosk", "decimal reversed", "--json").json["reader_format"] == "decimal reversed"
    assert csms("desk", "list", "--json").json[0]["reader_format"] == "decimal reversed"
    csms("desk", "reader", "Kiosk", "octal", status=2)
    csms("desk", "reader", "Nowhere", "hex", status=1)
