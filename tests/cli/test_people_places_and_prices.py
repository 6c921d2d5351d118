"""`csms tariff`, `site`, `desk` and `staff`."""

import re

import pytest

from csms import clock
from csms.db import Database
from csms.web.staff import use_login_link
from tests.cli.conftest import Csms


def test_the_first_tariff_is_the_default_one(csms: Csms) -> None:
    added = csms(
        *("tariff", "add", "Day", "--per-kwh", "0.35", "--per-minute", "0.02", "--start-fee", "0.50", "--json")
    ).json
    assert added["default"]
    assert (added["per_kwh"], added["per_minute"], added["start_fee"], added["tax_percent"]) == (
        "0.35",
        "0.02",
        "0.50",
        "20",
    )


def test_another_tariff_becomes_the_default_where_it_is_asked_for(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    assert "not the default" in csms("tariff", "add", "Night", "--per-kwh", "0.2").out
    csms("tariff", "add", "Guests", "--per-kwh", "0.5", "--default")
    assert [one["name"] for one in csms("tariff", "list", "--json").json if one["default"]] == ["Guests"]


def test_the_same_name_makes_the_next_version_and_edits_nothing(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    csms("tariff", "add", "Day", "--per-kwh", "0.355555")
    listed = [(one["version"], one["per_kwh"], one["default"]) for one in csms("tariff", "list", "--json").json]
    assert listed == [(2, "0.355555", True), (1, "0.35", False)]
    assert "0.355555" in csms("tariff", "list").out


@pytest.mark.parametrize(
    "words",
    [
        ("--per-kwh", "-1"),
        ("--per-kwh", "0.1234567"),
        ("--per-kwh", "free"),
        ("--per-kwh", "0.35", "--tax-percent", "100"),
        ("--per-kwh", "0.35", "--start-fee", "0.505"),
        ("--per-kwh", "0.35", "--start-fee", "-1"),
        (),
    ],
)
def test_a_wrong_price_is_a_wrong_argument(csms: Csms, words: tuple[str, ...]) -> None:
    csms("tariff", "add", "Day", *words, status=2)
    assert csms("tariff", "list", "--json").json == []


def test_a_site_has_a_time_zone_and_one_name(csms: Csms) -> None:
    assert csms("site", "add", "Harbour", "--json").json["time_zone"] == "Europe/Sofia"
    csms("site", "add", "Lisbon", "--time-zone", "Europe/Lisbon")
    assert "Lisbon" in csms("site", "list").out
    assert len(csms("site", "list", "--json").json) == 2
    csms("site", "add", "Harbour", status=1)
    assert csms("site", "zone", "Harbour", "Europe/Berlin", "--json").json["time_zone"] == "Europe/Berlin"
    zones = {one["name"]: one["time_zone"] for one in csms("site", "list", "--json").json}
    assert zones == {"Harbour": "Europe/Berlin", "Lisbon": "Europe/Lisbon"}
    assert "tz database" in csms("site", "zone", "Harbour", "Mars/Base", status=2).err
    assert "csms site list" in csms("site", "zone", "Elsewhere", "Europe/Berlin", status=1).err
    assert "tz database" in csms("site", "add", "X", "--time-zone", "Mars", status=2).err


def test_a_desk_has_a_cash_account_of_its_own(csms: Csms) -> None:
    csms("site", "add", "Harbour")
    first = csms("desk", "add", "Kiosk", "--site", "Harbour", "--json").json
    second = csms("desk", "add", "Office", "--json").json
    assert first["cash_account"] != second["cash_account"]
    assert (first["site"], first["cash"], second["site"]) == ("Harbour", "0.00", None)
    assert [one["name"] for one in csms("desk", "list", "--json").json] == ["Kiosk", "Office"]
    csms("desk", "add", "Kiosk", status=1)
    csms("desk", "add", "New", "--site", "Nowhere", status=1)
    assert "Kiosk" in csms("desk", "list").out
    csms("ledger", "verify")


def test_a_person_gets_a_link_that_works_once_and_no_password(csms: Csms, database: Database) -> None:
    csms("desk", "add", "Kiosk")
    told = csms("staff", "add", "Maria", "--role", "cashier", "--desk", "Kiosk").out
    found = re.search(r"http://127.0.0.1:8000/login/link/(\S+)", told)
    assert found
    with database.unit_of_work() as connection:
        member = use_login_link(connection, token=found[1], now=clock.now())
        again = use_login_link(connection, token=found[1], now=clock.now())
    assert member is not None
    assert (member.username, member.role, member.desk_name, again) == ("maria", "cashier", "Kiosk", None)


def test_a_new_link_ends_the_earlier_one(csms: Csms, database: Database) -> None:
    first = csms("staff", "add", "maria", "--json").json["login_link"].rpartition("/")[2]
    second = csms("staff", "link", "maria", "--json").json["login_link"].rpartition("/")[2]
    with database.unit_of_work() as connection:
        assert use_login_link(connection, token=first, now=clock.now()) is None
        assert use_login_link(connection, token=second, now=clock.now()) is not None


def test_people_are_listed_disabled_and_enabled(csms: Csms) -> None:
    csms("staff", "add", "maria", "--role", "administrator", "--name", "Maria M.")
    (one,) = csms("staff", "list", "--json").json
    assert (one["username"], one["name"], one["role"], one["active"], one["has_password"]) == (
        "maria",
        "Maria M.",
        "administrator",
        True,
        False,
    )
    csms("staff", "disable", "maria")
    assert "csms staff enable maria" in csms("staff", "link", "maria", status=1).err
    assert not csms("staff", "list", "--json").json[0]["active"]
    assert csms("staff", "enable", "maria", "--json").json == {"username": "maria", "active": True}
    assert "Maria M." in csms("staff", "list").out


def test_what_staff_cannot_be(csms: Csms) -> None:
    csms("staff", "add", "maria")
    assert "csms staff link maria" in csms("staff", "add", "MARIA", status=1).err
    assert "administrator" in csms("staff", "add", "eva", "--role", "king", status=2).err
    csms("staff", "add", "not a name", status=2)
    csms("staff", "add", "eva", "--desk", "Nowhere", status=1)
    csms("staff", "disable", "nobody", status=1)
    csms("staff", "link", "nobody", status=1)


def test_sites_and_desks_get_other_names(csms: Csms) -> None:
    csms("site", "add", "Harbour")
    csms("site", "add", "Pier")
    csms("desk", "add", "Kiosk", "--site", "Harbour")
    csms("desk", "add", "Office")
    assert "called Marina now" in csms("site", "rename", "Harbour", "Marina").out
    assert csms("desk", "rename", "Kiosk", "Hall", "--json").json["name"] == "Hall"
    assert [(one["name"], one["site"]) for one in csms("desk", "list", "--json").json] == [
        ("Hall", "Marina"),
        ("Office", None),
    ]
    assert "another site" in csms("site", "rename", "Marina", " pier", status=1).err
    assert "another desk" in csms("desk", "rename", "Hall", "OFFICE", status=1).err
    csms("site", "rename", "Harbour", "X", status=1)
    csms("desk", "rename", "Kiosk", "X", status=1)
    csms("desk", "rename", "Hall", " ", status=2)


def test_a_person_is_given_another_desk(csms: Csms) -> None:
    csms("desk", "add", "Kiosk")
    csms("staff", "add", "maria")
    assert "at the desk Kiosk" in csms("staff", "desk", "Maria", "Kiosk").out
    assert csms("staff", "list", "--json").json[0]["desk"] == "Kiosk"
    assert csms("staff", "desk", "maria", "--json").json == {"username": "maria", "desk": None}
    csms("staff", "desk", "maria", "Nowhere", status=1)
    csms("staff", "desk", "eva", "Kiosk", status=1)
