"""`csms card`, and what a wrong amount or a card in another state gets."""

import re
from threading import Thread

import pytest

from csms.db import Database
from tests.cli.conftest import Csms

TAG = "04A1B2C3"


def _balance(csms: Csms, id_tag: str = TAG) -> str:
    balance: str = csms("card", "show", id_tag, "--json").json["balance"]
    return balance


def test_a_card_is_issued_with_credit_and_shown(csms: Csms) -> None:
    told = csms("card", "issue", TAG, "--credit", "20.00").out
    assert f"Issued the card {TAG}" in told
    assert "20.00 EUR" in told
    shown = csms("card", "show", TAG, "--json").json
    expected = {"id_tag": TAG, "state": "active", "balance": "20.00", "held": "0.00", "available": "20.00"}
    assert expected.items() <= shown.items()
    assert re.fullmatch(r"\d{4} \d{4}", shown["printed_number"])
    assert shown["printed_number"] in csms("card", "show", TAG).out


def test_a_card_is_found_by_any_spelling_of_its_id_tag_and_by_its_number(csms: Csms) -> None:
    csms("card", "issue", "04:a1:b2:c3", "--number", "1234 5678")
    for typed in ("04a1b2c3", "04-A1-B2-C3", "1234 5678", "12345678"):
        assert csms("card", "show", typed, "--json").json["id_tag"] == TAG


def test_a_card_without_credit_has_none(csms: Csms) -> None:
    assert csms("card", "issue", TAG, "--json").json["balance"] == "0.00"


def test_a_top_up_raises_the_balance_and_is_in_the_journal(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "20")
    assert "25.50 EUR" in csms("card", "top-up", TAG, "5.50").out
    assert _balance(csms) == "25.50"
    entry = csms("ledger", "journal", "--card", TAG, "--json").json[0]
    assert (entry["event"], entry["actor"]) == ("top up", "command line")
    assert [(one["debit_name"], one["amount"]) for one in entry["transfers"]] == [("Clearing: command line", "5.50")]


def test_the_same_key_books_once(csms: Csms) -> None:
    csms("card", "issue", TAG)
    first = csms("card", "top-up", TAG, "20.00", "--key", "till-7", "--json").json
    again = csms("card", "top-up", TAG, "20.00", "--key", "till-7", "--json").json
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert first["balance"] == again["balance"] == _balance(csms) == "20.00"
    assert "not booked again" in csms("card", "top-up", TAG, "20.00", "--key", "till-7").out


def test_the_same_key_for_something_else_is_refused(csms: Csms) -> None:
    csms("card", "issue", TAG)
    csms("card", "top-up", TAG, "20.00", "--key", "till-7")
    assert "key was used" in csms("card", "top-up", TAG, "21.00", "--key", "till-7", status=1).err
    assert _balance(csms) == "20.00"


def test_two_top_ups_without_a_key_are_two(csms: Csms) -> None:
    csms("card", "issue", TAG)
    csms("card", "top-up", TAG, "1")
    csms("card", "top-up", TAG, "1")
    assert _balance(csms) == "2.00"


@pytest.mark.parametrize("amount", ["0", "0.00", "-5", "-5.00", "1.005", "abc", "1e3", "", "9999999999999", "NaN"])
def test_a_wrong_amount_is_a_wrong_argument_and_books_nothing(csms: Csms, amount: str) -> None:
    csms("card", "issue", TAG)
    csms("card", "top-up", TAG, amount, status=2)
    csms("card", "top-up", TAG, "--", amount, status=2)
    assert _balance(csms) == "0.00"


def test_what_the_limits_forbid_is_refused_with_the_limit(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "500")
    assert "500.00 EUR" in csms("card", "top-up", TAG, "500.01", status=1).err
    csms("card", "top-up", TAG, "500")
    assert "1000.00 EUR" in csms("card", "top-up", TAG, "0.01", status=1).err
    assert _balance(csms) == "1000.00"


def test_an_unknown_card_is_refused_and_told_how_to_be_issued(csms: Csms) -> None:
    assert "csms card issue NOBODY" in csms("card", "top-up", "NOBODY", "5", status=1).err
    assert "csms card issue" in csms("card", "show", "NOBODY", status=1).err
    csms("card", "block", "NOBODY", status=1)


def test_a_card_is_issued_once(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "5")
    assert "csms card top-up" in csms("card", "issue", TAG, "--credit", "5", status=1).err
    assert _balance(csms) == "5.00"


def test_issuing_with_the_same_key_again_gives_no_second_credit(csms: Csms) -> None:
    csms("card", "issue", TAG, "--credit", "5", "--key", "k")
    assert csms("card", "issue", TAG, "--credit", "5", "--key", "k", "--json").json["repeated"]
    assert _balance(csms) == "5.00"


def test_a_printed_number_is_given_once(csms: Csms) -> None:
    csms("card", "issue", TAG, "--number", "1 2")
    assert "--number" in csms("card", "issue", "OTHER", "--number", "1  2", status=1).err


def test_a_blocked_card_takes_no_top_up_until_it_is_unblocked(csms: Csms) -> None:
    csms("card", "issue", TAG)
    assert csms("card", "block", TAG, "--json").json["state"] == "blocked"
    assert "csms card show" in csms("card", "top-up", TAG, "5", status=1).err
    assert "active" in csms("card", "unblock", TAG).out
    csms("card", "top-up", TAG, "5")
    assert _balance(csms) == "5.00"


def test_a_card_past_its_expiry_takes_no_top_up(csms: Csms) -> None:
    csms("card", "issue", TAG)
    csms("card", "expire", TAG, "--on", "2020-01-01")
    assert (
        f"The last day on which {TAG} is valid is over, so nothing was booked"
        in csms("card", "top-up", TAG, "5", status=1).err
    )
    assert _balance(csms) == "0.00"


@pytest.mark.parametrize("id_tag", ["", "  ", "A" * 21, "é", "a\tb"])
def test_what_no_reader_reads_is_no_id_tag(csms: Csms, id_tag: str) -> None:
    assert "id tag" in csms("card", "issue", id_tag, status=2).err


def test_cards_are_listed_and_searched(csms: Csms) -> None:
    csms("card", "issue", "AAAA", "--number", "2", "--label", "Anna's")
    csms("card", "issue", "BBBB", "--number", "1")
    assert [one["id_tag"] for one in csms("card", "list", "--json").json] == ["BBBB", "AAAA"]
    assert [one["id_tag"] for one in csms("card", "list", "--search", "anna", "--json").json] == ["AAAA"]
    assert "BBBB" in csms("card", "list").out
    assert "none" in csms("card", "list", "--search", "zzz").out


def test_a_label_cannot_steer_the_terminal(csms: Csms) -> None:
    csms("card", "issue", TAG, "--label", "\x1b[31mred[/bold]")
    for out in (csms("card", "show", TAG).out, csms("card", "list").out):
        assert "\x1b" not in out
        assert "[/bold]" in out


def test_a_command_waits_for_whoever_writes(csms: Csms, database: Database) -> None:
    csms("card", "issue", TAG)
    if not database.is_sqlite:
        return  # PostgreSQL locks rows, and nobody else holds these
    with database.unit_of_work():
        waiting = Thread(target=lambda: csms("card", "top-up", TAG, "5"))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(60)
    assert _balance(csms) == "5.00"


def test_a_database_that_stays_locked_takes_nothing_and_says_so(
    csms: Csms, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    csms("card", "issue", TAG)
    if not database.is_sqlite:
        return
    monkeypatch.setenv("CSMS_STATEMENT_TIMEOUT_S", "1")
    with database.unit_of_work():
        assert "nothing was" in csms("card", "top-up", TAG, "5", status=1).err
    assert _balance(csms) == "0.00"


def test_a_card_is_issued_with_the_last_day_on_which_it_is_valid(csms: Csms) -> None:
    csms("card", "issue", TAG, "--expires", "2029-12-31")
    assert "2029-12-31" in csms("card", "show", TAG).out
    assert "--expires is '2029-02-30'" in csms("card", "issue", "04FF", "--expires", "2029-02-30", status=2).err
    assert "no card 04FF" in csms("card", "show", "04FF", status=1).err


def test_a_card_is_topped_up_by_its_printed_number(csms: Csms) -> None:
    csms("card", "issue", TAG, "--number", "2026 7")
    assert csms("card", "top-up", "2026 7", "5", "--json").json["id_tag"] == TAG
    assert _balance(csms) == "5.00"


def test_a_card_says_what_was_done_to_it_its_group_its_customer_and_the_other_cards(csms: Csms) -> None:
    csms("card", "issue", TAG, "--number", "1")
    csms("card", "add-to", TAG, "04FF", "--number", "2")
    csms("group", "account", "add", "Residents", "--card", TAG)
    csms("customer", "set", TAG, "--name", "Мария Иванова")
    csms("card", "block", "1", "--reason", "asked for it")
    shown = csms("card", "show", TAG).out
    assert [word in shown for word in ("Residents", "Мария Иванова", "04FF", "asked for it")] == [True] * 4
    told = csms("card", "show", TAG, "--json").json
    assert (told["group"], told["customer"], told["cards_of_account"]) == ("Residents", "Мария Иванова", ["04FF"])
    assert told["acts"][0]["reason"] == "asked for it"
    csms("customer", "erase", TAG)
    assert "Мария" not in csms("card", "show", TAG).out


def test_a_card_is_found_by_the_name_of_its_customer(csms: Csms) -> None:
    csms("card", "issue", TAG)
    csms("customer", "set", TAG, "--name", "Мария Иванова")
    assert [one["id_tag"] for one in csms("card", "list", "--search", "Иванова", "--json").json] == [TAG]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("tariff", "price", "Standard", "--kwh", "x"), "--kwh is 'x': kWh from 0"),
        (("tariff", "price", "Standard", "--kwh", "1", "--minutes", "-1"), "--minutes is '-1': minutes from 0"),
        (("tariff", "add", "T", "--per-kwh", "1", "--preview", "x"), "kWh, minutes and idle minutes"),
        (("tariff", "add", "T", "--per-kwh", "1", "--tax-percent", "x"), "a percentage from 0"),
        (("station", "place", "CP-1", "--max-power-kw", "x"), "--max-power-kw is 'x': kW from 0"),
    ],
)
def test_a_wrong_quantity_is_not_called_a_price(csms: Csms, words: tuple[str, ...], why: str) -> None:
    assert why in csms(*words, status=2).err
