"""`csms tariff` with everything a tariff has, its assignment, and `csms group`."""

import pytest

from csms import clock
from csms.billing.money import Currency
from csms.charging.assignments import in_force_at
from csms.db import Database
from tests.cli.conftest import Csms

EURO = Currency("EUR", 2)
BANDS = ("--band", "night 00:00-06:00 mon-sun 0.20", "--band", "weekend 12:00-14:00 sat,sun 0.30/0.01")


def test_a_tariff_with_everything_is_stored_as_typed(csms: Csms) -> None:
    added = csms(
        *("tariff", "add", "All", "--per-kwh", "0,35", "--per-minute", "0.02", "--start-fee", "0.50", *BANDS),
        *("--per-idle-minute", "0.10", "--idle-grace", "15", "--free-kwh", "1.5", "--minimum", "2", "--maximum", "40"),
        *("--tax-percent", "9", "--valid-from", "2026-12-01 06:00", "--valid-to", "2027-12-01", "--json"),
    ).json
    assert (added["per_idle_minute"], added["idle_grace_s"], added["free_wh"]) == ("0.10", 900, 1500)
    assert (added["minimum"], added["maximum"], added["tax_percent"]) == ("2.00", "40.00", "9")
    assert (added["valid_from"], added["valid_to"]) == ("2026-12-01T04:00:00Z", "2027-11-30T22:00:00Z")
    assert added["time_zone"] == "Europe/Sofia"
    assert [(one["name"], one["weekdays"], one["begin"], one["end"]) for one in added["bands"]] == [
        ("night", "mon-sun", "00:00", "06:00"),
        ("weekend", "sat-sun", "12:00", "14:00"),
    ]
    shown = csms("tariff", "show", "All", "--version", "1")
    assert "night" in shown.out
    assert "2026-12-01 06:00:00" in shown.out
    assert csms("tariff", "show", "All", "--json").json["transactions"] == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--band", "night 22:00-22:00 mon-sun 0.20"), "ends when it begins"),
        (("--band", "a 22:00-06:00 mon-fri 0.1", "--band", "b 05:00-07:00 sat 0.1"), "overlap"),
        (("--band", "night 22:00-25:00 mon-sun 0.20"), "no time of day"),
        (("--band", "night 22:00-24:00 someday 0.20"), "names no weekdays"),
        (("--band", "night 22:00-24:00 mon-sun -0.20"), "six decimals"),
        (("--band", "night"), "such as"),
        (("--band", "a 22:00-06:00 mon 0.1", "--band", "b 05:00-07:00 tue 0.1"), "bands 1 and 2 overlap"),
        (("--start-fee", "-1"), "--start-fee"),
        (("--maximum", "1.234"), "--maximum"),
        (("--band", "a 10:00-12:00 mon 0.1", "--band", "b 11:00-13:00 mon-fri 0.1"), "bands 1 and 2 overlap"),
        (("--minimum", "5", "--maximum", "4"), "--maximum"),
        (("--idle-grace", "5"), "--per-idle-minute"),
        (("--valid-from", "2026-13-01"), "not in the calendar"),
        (("--valid-from", "2027-03-28 03:30"), "clocks are set forward"),
        (("--valid-from", "soon"), "--valid-from"),
        (("--valid-from", "2027-02-01", "--valid-to", "2027-01-01"), "--valid-to"),
        (("--time-zone", "Mars"), "tz database"),
        (("--free-kwh", "0.0001"), "--free-kwh"),
    ],
)
def test_a_wrong_tariff_is_refused_with_its_option_named(csms: Csms, words: tuple[str, ...], named: str) -> None:
    assert named in csms("tariff", "add", "Day", "--per-kwh", "0.35", *words, status=2).err
    assert csms("tariff", "list", "--json").json == []


def test_what_a_new_tariff_would_cost_is_told_before_it_is_stored(csms: Csms) -> None:
    words = ("tariff", "add", "Day", "--per-kwh", "0.40", "--per-idle-minute", "0.10", "--idle-grace", "10")
    night = ("--band", "night 22:00-06:00 mon-sun 0.20")
    told = csms(*words, *night, "--preview", "10/60/15 @2026-12-01 21:30", "--json").json
    assert (told["version"], told["total"]) == (1, "3.50")  # 5 kWh on each side of 22:00, and 5 idle minutes
    assert "4.00" in csms(*words, "--preview", "10/60").out
    assert csms("tariff", "list", "--json").json == []
    for wrong in ("10/60/15/1", "/60", "ten", "10 @later"):
        assert "--preview" in csms(*words, "--preview", wrong, status=2).err
    assert "--maximum" in csms(*words, "--minimum", "2", "--maximum", "1", "--preview", "1", status=2).err


def test_the_default_is_chosen_and_names_that_look_the_same_are_one(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    csms("tariff", "add", "Night", "--per-kwh", "0.20")
    assert "write it like that" in csms("tariff", "add", "DAY", "--per-kwh", "0.1", status=2).err
    csms("tariff", "default", "Night")
    assert [one["name"] for one in csms("tariff", "list", "--json").json if one["default"]] == ["Night"]
    csms("tariff", "default", "Noon", status=1)
    for kind in (("site",), ("desk",), ("group", "station"), ("group", "account")):
        csms(*kind, "add", "Harbour")
        assert "already" in csms(*kind, "add", "harbour", status=1).err


def test_versions_follow_each_other_without_gap_and_overlap(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35", "--valid-from", "2026-01-01", "--valid-to", "2030-01-01")
    later = ("tariff", "add", "Day", "--per-kwh", "0.40", "--valid-from")
    assert "version 1 begins" in csms(*later, "2025-12-31", status=2).err
    assert "overlaps version 1" in csms(*later, "2029-12-31", status=2).err
    assert "gap" in csms(*later, "2030-01-02", status=2).err
    assert csms(*later, "2030-01-01", "--json").json["version"] == 2
    assert csms(*later, "2030-01-01", "--json").json["version"] == 3  # another word on what has not begun yet


def test_an_example_is_priced_with_its_lines(csms: Csms) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35", "--per-idle-minute", "0.10", "--idle-grace", "15", *BANDS)
    asked = ("tariff", "price", "Day", "--kwh", "20", "--minutes", "120", "--idle-minutes", "45")
    priced = csms(*asked, "--at", "2027-02-01 05:00", "--json").json
    assert [(one["component"], one["band"], one["quantity"], one["amount"]) for one in priced["lines"]] == [
        ("energy", "night", "10", "2.00"),
        ("energy", "", "10", "3.50"),
        ("idle", "", "30", "3.00"),
    ]
    assert (priced["total"], priced["tax"]) == ("8.50", "1.42")
    assert "8.50 EUR" in csms(*asked, "--at", "2027-02-01 05:00").out
    assert "no tariff Night" in csms("tariff", "price", "Night", "--kwh", "1", status=1).err
    assert "--kwh" in csms("tariff", "price", "Day", "--kwh", "much", status=2).err


def test_a_tariff_is_assigned_and_the_narrowest_wins(csms: Csms, database: Database) -> None:
    for name in ("Default", "Group", "Station", "Connector", "Residents"):
        csms("tariff", "add", name, "--per-kwh", "0.35")
    csms("station", "add", "CP-1")
    csms("group", "station", "add", "Harbour", "--station", "CP-1")
    csms("group", "account", "add", "Residents")
    csms("tariff", "assign", "Group", "--station-group", "Harbour")
    csms("tariff", "assign", "Station", "--station", "CP-1")
    csms("tariff", "assign", "Connector", "--station", "CP-1", "--connector", "2")
    csms("tariff", "assign", "Default", "--account-group", "Residents")
    csms("tariff", "assign", "Residents", "--account-group", "Residents", "--json")
    listed = [one["tariff_name"] for one in csms("tariff", "assignments", "--json").json]
    assert listed == ["Residents", "Connector", "Station", "Group"]
    with database.reading() as connection:
        found = in_force_at(connection, 1, EURO, clock.now())
    named = [(one.account_group, one.connector_id, one.tariff.name) for one in found if one.tariff is not None]
    assert named[:3] == [(None, None, "Station"), (None, 2, "Connector"), ("Residents", None, "Residents")]
    csms("tariff", "unassign", "--station", "CP-1")
    with database.reading() as connection:
        (first, *_) = in_force_at(connection, 1, EURO, clock.now())
    assert first.tariff is not None
    assert first.tariff.name == "Group"
    csms("tariff", "unassign", "--station", "CP-1", status=1)


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        ((), 2, "--station-group"),
        (("--connector", "1"), 2, "--connector"),
        (("--station", "CP-1", "--station-group", "Harbour"), 2, "exclude"),
        (("--station", "CP-9"), 1, "no charge point CP-9"),
        (("--station-group", "None"), 1, "no station group None"),
        (("--account-group", "None"), 1, "no account group None"),
    ],
)
def test_what_cannot_be_assigned_is_named(csms: Csms, words: tuple[str, ...], status: int, named: str) -> None:
    csms("tariff", "add", "Day", "--per-kwh", "0.35")
    csms("station", "add", "CP-1")
    csms("group", "station", "add", "Harbour")
    assert named in csms("tariff", "assign", "Day", *words, status=status).err
    assert "no tariff Night" in csms("tariff", "assign", "Night", "--station", "CP-1", status=1).err
    assert csms("tariff", "assignments", "--json").json == []


def test_a_group_of_stations_is_added_changed_and_listed(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    csms("station", "add", "CP-2")
    added = csms(
        *("group", "station", "add", "Harbour", "--free", "--stop-below-w", "500", "--stop-after", "20", "--json"),
        *("--station", "CP-1", "--no-limits-offline", "--unlock"),
    ).json
    assert (added["is_free"], added["is_staff_only"], added["limits_offline"]) == (True, False, False)
    assert (added["stop_below_w"], added["stop_after_s"], added["unlock_when_stop_fails"]) == (500, 1200, True)
    changed = csms(
        *("group", "station", "set", "Harbour", "--paid", "--staff-only", "--stop-below-w", "never"),
        *("--rename", "Pier", "--station", "CP-2", "--remove", "CP-1", "--json"),
    ).json
    assert (changed["name"], changed["is_free"], changed["is_staff_only"]) == ("Pier", False, True)
    assert (changed["stop_below_w"], changed["stop_after_s"], changed["stations"]) == (None, None, ["CP-2"])
    assert "Pier" in csms("group", "station", "list").out


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (("set", "Nowhere", "--free"), 1, "no station group Nowhere"),
        (("add", "Harbour"), 1, "already"),
        (("set", "Harbour", "--stop-below-w", "500"), 2, "belong together"),
        (("set", "Harbour", "--stop-after", "x"), 2, "--stop-after"),
        (("set", "Harbour", "--station", "CP-9"), 1, "no charge point CP-9"),
        (("set", "Harbour", "--remove", "CP-9"), 1, "CP-9"),
        (("add", "New", "--station", "CP-9"), 1, "no charge point CP-9"),
    ],
)
def test_what_a_group_of_stations_cannot_be(csms: Csms, words: tuple[str, ...], status: int, named: str) -> None:
    csms("group", "station", "add", "Harbour")
    before = csms("group", "station", "list", "--json").json
    assert named in csms("group", "station", *words, status=status).err
    assert csms("group", "station", "list", "--json").json == before


def test_a_group_of_accounts_has_limits_places_and_cards(csms: Csms) -> None:
    csms("card", "issue", "04A1B2C3")
    csms("group", "station", "add", "Harbour")
    added = csms(
        *("group", "account", "add", "Staff", "--staff", "--daily-spend", "40", "--maximum-balance", "100", "--json"),
        *("--minimum-start-credit", "2", "--simultaneous", "3", "--allow", "Harbour", "--card", "04A1B2C3"),
    ).json
    assert (added["daily_spend"], added["maximum_balance"], added["maximum_top_up"]) == ("40.00", "100.00", None)
    assert (added["simultaneous"], added["staff"], added["allowed"]) == (3, True, ["Harbour"])
    assert added["cards"] == ["04A1B2C3"]
    csms("card", "top-up", "04A1B2C3", "101", status=1)
    changed = csms(
        *("group", "account", "set", "Staff", "--daily-spend", "none", "--simultaneous", "default", "--allow-all"),
        *("--remove", "04A1B2C3", "--no-staff", "--json"),
    ).json
    assert (changed["daily_spend"], changed["simultaneous"], changed["staff"]) == (None, None, False)
    assert (changed["allowed"], changed["cards"], changed["maximum_balance"]) == ([], [], "100.00")
    assert "Staff" in csms("group", "account", "list").out


def test_a_group_of_accounts_may_be_allowed_an_overdraft(csms: Csms) -> None:
    csms("card", "issue", "04A1B2C3", "--credit", "5")
    added = csms("group", "account", "add", "Staff", "--overdraft", "12.50", "--card", "04A1B2C3", "--json").json
    assert added["overdraft"] == "12.50"
    shown = csms("card", "show", "04A1B2C3", "--json").json
    assert (shown["balance"], shown["held"], shown["overdraft"], shown["available"]) == (
        "5.00",
        "0.00",
        "12.50",
        "17.50",
    )
    assert "overdraft       12.50 EUR" in csms("card", "show", "04A1B2C3").out
    assert "available 27.50 EUR" in csms("card", "top-up", "04A1B2C3", "10").out
    assert "12.50" in csms("group", "account", "list").out
    for words in (("--daily-spend", "40"), ("--rename", "Crew")):
        assert csms("group", "account", "set", "Staff", *words, "--json").json["overdraft"] == "12.50"
    assert csms("group", "account", "set", "Crew", "--overdraft", "none", "--json").json["overdraft"] == "0.00"
    assert csms("card", "show", "04A1B2C3", "--json").json["available"] == "15.00"


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (("set", "Staff", "--overdraft", "-1"), 2, "zero or more"),
        (("set", "Staff", "--overdraft", "much"), 2, "--overdraft"),
        (("set", "Nobody"), 1, "no account group Nobody"),
        (("add", "Staff"), 1, "already"),
        (("set", "Staff", "--daily-spend", "-1"), 2, "zero or more"),
        (("set", "Staff", "--daily-spend", "x"), 2, "--daily-spend"),
        (("set", "Staff", "--minimum-start-credit", "20", "--maximum-balance", "10"), 2, "nobody of the group"),
        (("set", "Staff", "--minimum-start-credit", "2000"), 2, "--minimum-start-credit"),
        (("set", "Staff", "--simultaneous", "0"), 2, "--simultaneous"),
        (("set", "Staff", "--allow", "Nowhere"), 1, "no station group Nowhere"),
        (("set", "Staff", "--card", "0499"), 1, "no sold card 0499"),
        (("set", "Staff", "--allow", "A", "--allow-all"), 2, "exclude"),
    ],
)
def test_what_a_group_of_accounts_cannot_be(csms: Csms, words: tuple[str, ...], status: int, named: str) -> None:
    csms("group", "account", "add", "Staff")
    before = csms("group", "account", "list", "--json").json
    assert named in csms("group", "account", *words, status=status).err
    assert csms("group", "account", "list", "--json").json == before


def test_a_group_goes_when_nothing_uses_it_any_more(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    csms("card", "issue", "04AA")
    csms("tariff", "add", "Night", "--per-kwh", "0.2")
    csms("group", "station", "add", "Harbour", "--station", "CP-1")
    csms("group", "account", "add", "Residents", "--card", "04AA", "--allow", "Harbour")
    csms("tariff", "assign", "Night", "--station-group", "Harbour", "--account-group", "Residents")
    kept = csms("group", "station", "delete", "Harbour", status=1).err
    assert "used by account groups, stations, tariffs" in kept
    assert "used by cards, tariffs" in csms("group", "account", "delete", "Residents", status=1).err
    csms("tariff", "unassign", "--station-group", "Harbour", "--account-group", "Residents")
    csms("group", "account", "set", "Residents", "--remove", "04AA")
    assert "Deleted" in csms("group", "account", "delete", "Residents").out
    assert "used by stations" in csms("group", "station", "delete", "Harbour", status=1).err
    csms("group", "station", "set", "Harbour", "--remove", "CP-1")
    assert csms("group", "station", "delete", "Harbour", "--json").json == {"name": "Harbour", "deleted": True}
    assert (csms("group", "station", "list", "--json").json, csms("group", "account", "list", "--json").json) == (
        [],
        [],
    )
    csms("group", "station", "delete", "Harbour", status=1)
    csms("group", "account", "delete", "Residents", status=1)


def test_a_tariff_that_ends_says_when_in_the_list(csms: Csms) -> None:
    csms("tariff", "add", "Winter", "--per-kwh", "0.3", "--valid-to", "2031-03-01")
    assert "2031-03-01" in csms("tariff", "list").out
