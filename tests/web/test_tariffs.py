"""The pages of the tariffs: the editor with its rows, preview and marks; versions, the default, assignments."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from csms.billing.bands import Band
from csms.billing.price_lists import PriceList, list_tariffs
from csms.charging import models
from csms.charging.assignments import list_assignments
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction
from tests.web.portal import CARD, PortalWorld

FIELDS = {"name": "Day and night", "rate_per_kwh": "0,35", "tax_percent": "20", "time_zone": "Europe/Sofia"}
NIGHT = {
    "band_1_name": "night",
    "band_1_weekdays": "mon-sun",
    "band_1_begin": "00:00",
    "band_1_end": "06:00",
    "band_1_rate_per_kwh": "0.20",
    "rows": "2",
}
EXAMPLE = {
    "example_kwh": "20",
    "example_minutes": "120",
    "example_idle": "45",
    "example_at": "2027-02-01 05:00",
}


def _tariffs(portal: PortalWorld) -> dict[tuple[str, int], PriceList]:
    with portal.database.reading() as connection:
        return {(one.name, one.version): one for one in list_tariffs(connection)}


async def test_a_tariff_gets_versions_and_one_is_the_default(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/tariffs")
    assert "€8.70" in browser.text  # 20 kWh at 0.35, 60 min at 0.02, 0.50 to start
    fields = {"rate_per_kwh": "0,425", "rate_per_minute": "", "start_fee": "", "tax_percent": "20"}
    await browser.post("/tariffs/new", name="Standard", next_version="2", **fields)
    assert "Running transactions keep the one they began with" in browser.text
    await browser.post("/tariffs/new", name="Night", **fields)
    tariffs = _tariffs(portal)
    assert tariffs["Standard", 2].rate_per_kwh == Decimal("0.425")
    assert tariffs["Standard", 2].is_default
    assert not tariffs["Standard", 1].is_default
    assert not tariffs["Night", 1].is_default
    await browser.post(f"/tariffs/{tariffs['Night', 1].tariff_id}/default")
    assert (await browser.post("/tariffs/999/default")).status_code == 404
    assert [name for (name, _), one in _tariffs(portal).items() if one.is_default] == ["Night"]


async def test_everything_that_was_typed_is_stored(portal: PortalWorld) -> None:
    portal.now = datetime(2026, 11, 23, tzinfo=UTC)
    browser = await portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    more = {
        "rate_per_minute": "0.02",
        "start_fee": "0.50",
        "rate_per_idle_minute": "0.1",
        "idle_grace": "15",
        "free_kwh": "1.5",
        "minimum": "2",
        "maximum": "40",
        "valid_from": "2027-01-01 00:00",
        "valid_to": "2028-01-01",
        "is_default": "yes",
    }
    response = await browser.post("/tariffs/new", act="save", **(FIELDS | NIGHT | more))
    stored = _tariffs(portal)["Day and night", 1]
    assert response.url.path == f"/tariffs/{stored.tariff_id}"
    assert stored.bands == (Band("night", (0, 1, 2, 3, 4, 5, 6), 0, 360, Decimal("0.20")),)
    assert (stored.rate_per_idle_minute, stored.idle_grace_s, stored.free_wh) == (Decimal("0.1"), 900, 1500)
    assert (stored.minimum_minor, stored.maximum_minor, stored.start_fee_minor) == (200, 4000, 50)
    assert stored.valid_from is not None
    assert stored.valid_from.isoformat() == "2026-12-31T22:00:00+00:00"
    assert stored.is_default
    assert "Not yet" in browser.text
    assert "Mon\N{EN DASH}Sun 00:00\N{EN DASH}06:00" in browser.text
    assert "No transaction began with it" in browser.text
    await browser.get("/tariffs")
    assert "Day and night" in browser.text


async def test_another_row_keeps_what_was_typed_and_stores_nothing(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    assert 'name="band_2_name"' in browser.text
    assert 'name="band_3_name"' not in browser.text
    await browser.post("/tariffs/new", act="add row", **(FIELDS | NIGHT | {"start_fee": "oops"}))
    assert 'name="band_3_name"' in browser.text
    assert 'value="oops"' in browser.text
    assert 'value="night"' in browser.text
    assert ("Day and night", 1) not in _tariffs(sqlite_portal)


async def test_a_preview_prices_the_example_line_by_line_and_stores_nothing(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    idle = {"rate_per_idle_minute": "0.10", "idle_grace": "15"}
    response = await browser.post("/tariffs/new", act="preview", **(FIELDS | NIGHT | EXAMPLE | idle))
    assert response.status_code == 200
    for shown in ("€2.00", "€3.50", "€3.00", "€8.50", "€1.42 is tax", "band-1"):
        assert shown in browser.text, shown
    assert ("Day and night", 1) not in _tariffs(sqlite_portal)
    wrong = await browser.post("/tariffs/new", act="preview", **(FIELDS | EXAMPLE | {"example_at": "later"}))
    assert (wrong.status_code, "is no date" in browser.text) == (422, True)


MARKED = 'id="f-{}" name="{}"'


@pytest.mark.parametrize(
    ("changed", "field", "why"),
    [
        ({"name": ""}, "name", "Please fill this in"),
        ({"rate_per_kwh": ""}, "rate_per_kwh", "needs a price per kWh or per minute"),
        ({"rate_per_kwh": "-1"}, "rate_per_kwh", "at most six decimals"),
        ({"rate_per_kwh": "0.1234567"}, "rate_per_kwh", "at most six decimals"),
        ({"rate_per_kwh": "1e5"}, "rate_per_kwh", "at most six decimals"),
        ({"start_fee": "0.005"}, "start_fee", "more than 2 decimals"),
        ({"tax_percent": "100"}, "tax_percent", "Less than 100"),
        ({"tax_percent": ""}, "tax_percent", "0 is no tax"),
        ({"name": "sTANDARD"}, "name", "There is a tariff Standard"),
        ({"free_kwh": "0.0001"}, "free_kwh", "three decimals"),
        ({"minimum": "5", "maximum": "4"}, "maximum", "annot be less than the minimum"),
        ({"idle_grace": "5"}, "rate_per_idle_minute", "a price per idle minute"),
        ({"time_zone": "Mars"}, "time_zone", "tz database"),
        ({"valid_from": "tomorrow"}, "valid_from", "is no date"),
        ({"valid_from": "2027-03-28 03:30"}, "valid_from", "clocks are set forward"),
        ({"valid_from": "2027-02-01", "valid_to": "2027-01-01"}, "valid_to", "lie after the begin"),
        (NIGHT | {"band_1_begin": "7 am"}, "band_1_begin", "no time of day"),
        (NIGHT | {"band_1_begin": "06:00", "band_1_end": "06:00"}, "band_1_end", "It ends when it begins"),
        (NIGHT | {"band_1_weekdays": "everyday"}, "band_1_weekdays", "names no weekdays"),
        (NIGHT | {"band_1_rate_per_kwh": "-0.2"}, "band_1_rate_per_kwh", "at most six decimals"),
        (NIGHT | {"band_1_rate_per_kwh": ""}, "band_1_rate_per_kwh", "0 is free"),
        (NIGHT | {"band_1_name": ""}, "band_1_name", "Please fill this in"),
        (
            NIGHT | {key.replace("1", "2"): value for key, value in NIGHT.items() if key != "rows"},
            "band_2_begin",
            "Rows 1 and 2 overlap",
        ),
    ],
)
async def test_a_wrong_field_is_marked_and_nothing_is_stored(
    sqlite_portal: PortalWorld, changed: dict[str, str], field: str, why: str
) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    response = await browser.post("/tariffs/new", act="save", **(FIELDS | changed))
    assert (response.status_code, why in browser.text) == (422, True), browser.text[:3000]
    tag = browser.text.partition(f'id="f-{field}"')[2].partition(">")[0]
    assert 'aria-invalid="true"' in tag, field
    assert ("Day and night", 1) not in _tariffs(sqlite_portal)


async def test_one_row_across_midnight_is_one_row_again_in_the_next_version(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    row = NIGHT | {"band_1_begin": "22:00", "band_1_weekdays": "sun"}
    await browser.post("/tariffs/new", act="save", **(FIELDS | row))
    stored = _tariffs(sqlite_portal)["Day and night", 1]
    assert [(one.weekdays, one.begin_minute, one.end_minute) for one in stored.bands] == [
        ((6,), 22 * 60, 1440),
        ((0,), 0, 6 * 60),
    ]
    await browser.get("/tariffs/new", **{"from": str(stored.tariff_id)})
    assert 'value="22:00"' in browser.text
    assert browser.text.count('value="night"') == 1
    await browser.get(f"/tariffs/{stored.tariff_id}")
    assert "Sun 22:00\N{EN DASH}06:00" in browser.text  # below the picture, too
    await browser.get("/tariffs")
    assert "1 band" in browser.text
    clash = {key.replace("1", "2", 1): value for key, value in NIGHT.items() if key != "rows"}
    clash |= {"band_2_weekdays": "mon", "band_2_begin": "05:00"}
    response = await browser.post("/tariffs/new", act="save", **(FIELDS | {"name": "Other"} | row | clash))
    assert (response.status_code, "Rows 1 and 2 overlap" in browser.text) == (422, True)


async def test_a_new_version_begins_from_the_old_one_and_says_how_often_that_was_used(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    await browser.post("/tariffs/new", **(FIELDS | NIGHT | {"band_1_begin": "22:00", "is_default": "yes"}))
    first = _tariffs(portal)["Day and night", 1].tariff_id
    begin = portal.installation.engine._clock()
    await portal.engine.submit(StartTransaction(station, 1, CARD, 0, begin, begin.isoformat()))
    await browser.get("/transactions/1")
    assert "other prices at night," in browser.text
    await browser.get(f"/tariffs/{first}")
    assert "1 transaction began with it" in browser.text
    await browser.get("/tariffs/new", **{"from": str(first)})
    assert 'value="night"' in browser.text
    assert "version 2" in browser.text
    early = await browser.post("/tariffs/new", **(FIELDS | {"valid_from": "2001-01-01", "next_version": "2"}))
    assert (early.status_code, "in the past" in browser.text) == (422, True)
    await browser.post("/tariffs/new", **(FIELDS | {"next_version": "2"}))
    assert _tariffs(portal)["Day and night", 2].valid_from is not None
    assert (await browser.get("/tariffs/new", **{"from": "999"})).status_code == 404


async def test_a_name_that_exists_becomes_a_version_only_when_the_page_said_so(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    typed = FIELDS | {"name": "Standard"}
    refused = await browser.post("/tariffs/new", **typed)
    assert (refused.status_code, "this becomes its version 2" in browser.text) == (422, True)
    assert 'name="next_version" value="2"' in browser.text
    await browser.post("/tariffs/new", next_version="2", **typed)
    late = await browser.post("/tariffs/new", next_version="2", **typed)  # another one was quicker
    assert (late.status_code, "this becomes its version 3" in browser.text) == (422, True)
    assert sorted(version for name, version in _tariffs(sqlite_portal) if name == "Standard") == [1, 2]


async def test_a_version_that_leaves_a_gap_or_reaches_back_is_refused_at_its_begin(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs/new")
    await browser.post("/tariffs/new", **(FIELDS | {"valid_from": "2027-01-01", "valid_to": "2028-01-01"}))
    for begin, why in (("2026-12-31", "begins at"), ("2027-06-01", "verlaps version 1"), ("2028-01-02", "a gap")):
        response = await browser.post("/tariffs/new", **(FIELDS | {"valid_from": begin, "next_version": "2"}))
        assert (response.status_code, why in browser.text) == (422, True), begin
    assert "Version 1 ends at 2028-01-01 00:00 (Europe/Sofia)" in browser.text  # as one would type it
    await browser.post("/tariffs/new", **(FIELDS | {"valid_from": "2028-01-01", "next_version": "2"}))
    assert ("Day and night", 2) in _tariffs(sqlite_portal)


async def test_a_tariff_is_assigned_listed_in_the_order_in_which_it_wins_and_taken_away(portal: PortalWorld) -> None:
    await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    await browser.post("/groups/accounts", group_name="Residents")
    for where in (
        {"station_group_id": "1"},
        {"station": "CP1"},
        {"station": "CP1", "connector_id": "2"},
        {"account_group_id": "1"},
    ):
        response = await browser.post("/tariffs/assignments", tariff_name="Standard", **where)
        assert "from the next transaction on" in browser.text, response.status_code
    with portal.database.reading() as connection:
        listed = list_assignments(connection)
    assert [(one.account_group, one.charge_point, one.connector_id, one.station_group) for one in listed] == [
        ("Residents", None, None, None),
        (None, "CP1", 2, None),
        (None, "CP1", None, None),
        (None, None, None, "Harbour"),
    ]
    await browser.post(f"/tariffs/assignments/{listed[0].assignment_id}/remove")
    with portal.database.reading() as connection:
        assert len(list_assignments(connection)) == 3
    assert (await browser.post("/tariffs/assignments/99/remove")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "Choose where it applies"),
        ({"station": "CP9"}, "no such station"),
        ({"connector_id": "1"}, "Choose where|needs its station"),
        ({"connector_id": "0", "station": "CP1"}, "numbered from 1"),
        ({"station_group_id": "9"}, "no such group"),
        ({"account_group_id": "9"}, "no such group"),
        ({"tariff_name": "None", "station": "CP1"}, "no such tariff"),
    ],
)
async def test_a_wrong_assignment_is_marked(sqlite_portal: PortalWorld, fields: dict[str, str], why: str) -> None:
    await sqlite_portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/tariffs")
    response = await browser.post("/tariffs/assignments", **({"tariff_name": "Standard"} | fields))
    assert response.status_code == 422
    assert any(each in browser.text for each in why.split("|"))
    with sqlite_portal.database.reading() as connection:
        assert list_assignments(connection) == []


async def test_a_station_shows_what_applies_there_now_and_takes_group_and_power(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    await browser.get(f"/stations/{station}")
    assert "Price now" in browser.text
    fields: dict[str, Any] = {"site_id": "", "tariff_id": "", "group_id": "1", "max_power": "22,5"}
    await browser.post(f"/stations/{station}/settings", **fields)
    assert "Harbour" in browser.text
    assert 'value="22.5"' in browser.text
    with portal.database.reading() as connection:
        row = connection.execute(models.charge_point.select()).one()
    assert (row.group_id, row.max_power_w) == (1, 22_500)
    wrong = await browser.post(f"/stations/{station}/settings", **(fields | {"max_power": "lots"}))
    assert wrong.status_code == 422
    await browser.post("/groups/stations/1", name="Harbour", is_free="yes")
    await browser.get(f"/stations/{station}")
    assert "Free of charge" in browser.text


async def test_whoever_only_sees_tariffs_is_offered_no_button(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/tariffs")
    assert "New tariff" not in browser.text
    assert (await browser.get("/tariffs/1")).status_code == 200
    assert "New version" not in browser.text
    assert (await browser.get("/tariffs/new")).status_code == 403
