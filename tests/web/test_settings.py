"""The pages of stations' settings: what is wrong is seen, a check is asked for, a group changes the template."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import insert, select

from csms.charging import models
from csms.charging.prepaid_settings import MOST_OTHER_KEYS
from csms.charging.setting_facts import Setting
from csms.charging.settings_plan import read_changes
from csms.charging.settings_view import change_group_settings
from csms.charging.stations import AddChargePoint
from csms.commands.history import CommandFilter, list_commands
from tests.web.portal import PortalWorld

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATION = 1


@pytest.fixture
async def stocked(portal: PortalWorld) -> PortalWorld:
    """A portal with a station."""
    assert await portal.engine.submit(AddChargePoint("YARD-1", 0, None, None)) == STATION
    return portal


def _report(portal: PortalWorld, *settings: Setting) -> None:
    rows = [{name: getattr(one, name) for name in Setting.__struct_fields__} for one in settings]
    with portal.database.unit_of_work() as connection:
        connection.execute(insert(models.station_setting), rows)


def _setting(key: str, state: str, reported: str | None = "true", wanted: str | None = "false") -> Setting:
    return Setting(STATION, key, reported, False, wanted, state, NOW)  # type: ignore[arg-type]


def _add_group(portal: PortalWorld, name: str = "Garage") -> int:
    with portal.database.unit_of_work() as connection:
        row = connection.execute(insert(models.station_group).values(name=name, created_at=NOW)).inserted_primary_key
    assert row is not None
    return int(row[0])


def _changes(portal: PortalWorld) -> tuple[dict[str, str | None], bool]:
    with portal.database.reading() as connection:
        row = connection.execute(select(models.station_group)).one()
    return read_changes(row.settings_json), row.is_onboarded


def _dc_changes(portal: PortalWorld) -> dict[str, str | None]:
    with portal.database.reading() as connection:
        return read_changes(connection.execute(select(models.station_group.c.dc_settings_json)).scalar_one())


async def test_what_is_wrong_stands_on_the_station_and_in_the_list_and_is_escaped(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}")
    assert "has not reported its configuration yet" in browser.text
    _report(
        stocked,
        _setting("LocalPreAuthorize", "refused", "<b>true</b>"),
        _setting("HeartbeatInterval", "right", "300", "3600"),
        _setting("MinimumStatusDuration", "unknown", None, "5"),
        _setting("NumberOfConnectors", "free", "2", None),
    )
    response = await browser.get(f"/stations/{STATION}")
    assert "LocalPreAuthorize" in browser.text
    assert "&lt;b&gt;true" in response.text
    assert "<b>true" not in response.text
    assert "HeartbeatInterval" not in browser.text
    await browser.get(f"/stations/{STATION}/settings")
    for text in ("HeartbeatInterval", "as good", "NumberOfConnectors", "1 other key", "does not have", "Refused"):
        assert text in browser.text
    await browser.get("/settings")
    assert "LocalPreAuthorize" in browser.text
    assert "HeartbeatInterval" not in browser.text


async def test_an_operator_asks_for_a_check_once(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}/settings")
    await browser.post(f"/stations/{STATION}/settings/check")
    assert "The station is being asked" in browser.text
    await browser.post(f"/stations/{STATION}/settings/check")
    assert "on its way already" in browser.text
    with stocked.database.reading() as connection:
        commands = list_commands(connection, CommandFilter(STATION), limit=10)
    assert [(one.action, one.requested_by.startswith("settings: ")) for one in commands] == [("GetConfiguration", True)]


async def test_an_administrator_changes_the_template_of_a_group(portal: PortalWorld) -> None:
    group_id = _add_group(portal)
    browser = await portal.logged_in("administrator")
    path = f"/station-groups/{group_id}/settings"
    await browser.get(path)
    assert "Template: false" in browser.text
    await browser.post(path, t1="-", t10="30", k0="VendorMode", v0="on", is_onboarded="yes")
    assert "Saved" in browser.text
    expected = {"LocalPreAuthorize": None, "MeterValueSampleInterval": "30", "VendorMode": "on"}
    assert _changes(portal) == (expected, True)
    assert 'value="VendorMode"' in browser.text
    assert " checked" in browser.text
    await browser.post(path)
    assert _changes(portal) == ({}, False)


async def test_dc_stations_of_a_group_have_values_of_their_own(portal: PortalWorld) -> None:
    group_id = _add_group(portal)
    browser = await portal.logged_in("administrator")
    path = f"/station-groups/{group_id}/settings"
    await browser.get(path)
    assert "Template: 60, with DC 20" in browser.text
    typed = {
        "t10": "45",
        "d10": "15",
        "d1": "-",
        "k0": "VendorMode",
        "w0": "fast",
        "k1": "Lamp",
        "v1": "on",
        "w1": "off",
    }
    await browser.post(path, **typed)
    assert "Saved" in browser.text
    assert _changes(portal) == ({"MeterValueSampleInterval": "45", "Lamp": "on"}, False)
    of_dc = {"MeterValueSampleInterval": "15", "LocalPreAuthorize": None, "VendorMode": "fast", "Lamp": "off"}
    assert _dc_changes(portal) == of_dc
    assert "<details open>" in browser.text  # what is stored is in sight, and is typed again by the form
    for value in ("fast", "off", "15", "45"):
        assert f'value="{value}"' in browser.text
    response = await browser.post(path, d10="often", w0="1", k0="Two words")
    assert response.status_code == 422
    assert "A whole number." in browser.text
    assert "no blanks" in browser.text
    assert _dc_changes(portal) == of_dc


async def test_other_keys_are_kept_however_many_there_are(portal: PortalWorld) -> None:
    group_id = _add_group(portal)
    many = {f"Vendor{n}": str(n) for n in range(MOST_OTHER_KEYS)}
    with portal.database.unit_of_work() as connection:
        change_group_settings(connection, group_id, many, {}, is_onboarded=False)
    browser = await portal.logged_in("administrator")
    path = f"/station-groups/{group_id}/settings"
    await browser.get(path)
    fields = {f"k{n}": f"Vendor{n}" for n in range(MOST_OTHER_KEYS)} | {f"v{n}": str(n) for n in range(MOST_OTHER_KEYS)}
    for name, value in fields.items():
        assert f'name="{name}"' in browser.text
        assert f'value="{value}"' in browser.text
    await browser.post(path, **fields)
    assert "Saved" in browser.text
    assert _changes(portal) == (many, False)


async def test_a_page_says_what_to_do_about_what_is_wrong_and_what_was_not_taken(stocked: PortalWorld) -> None:
    settled = {"settled_value": "Energy.Active.Import.Register"}
    wanted = "Energy.Active.Import.Register,Power.Active.Import"
    listed = _setting("MeterValuesSampledData", "right", settled["settled_value"], wanted)
    _report(
        stocked,
        msgspec.structs.replace(listed, **settled),
        _setting("LocalPreAuthorize", "refused"),
        _setting("WebSocketPingInterval", "reboot required", "0", "60"),
        msgspec.structs.replace(_setting("MaxEnergyOnInvalidId", "right", "0", "0"), drifted_at=NOW),
    )
    browser = await stocked.logged_in("operator")
    await browser.get(f"/stations/{STATION}/settings")
    for text in (
        "not taken when it was tried: Power.Active.Import",
        "Set it at the station itself",
        "reset by itself as soon as nothing charges",
        "changed by itself, found",
        "ask its maker",
        "since its power is not known",
    ):
        assert text in browser.text
    await browser.get("/settings")
    for text in ("Set it at the station itself", "reset by itself", "MaxEnergyOnInvalidId", "ask its maker"):
        assert text in browser.text


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"t0": "maybe"}, "Either true or false."),
        ({"t10": "often"}, "A whole number."),
        ({"t9": "Voltage"}, "which is what is charged for"),
        ({"k0": "Two words", "v0": "1"}, "no blanks"),
        ({"k0": "", "v0": "1"}, "no blanks"),
        ({"k0": "AuthorizationKey", "v0": "00"}, "Keys are made for each station"),
        ({"k0": "localpreauthorize", "v0": "true", "t1": "true"}, "stands here twice"),
        ({"k0": "Long", "v0": "x" * 501}, "At most"),
        ({"k0": "Long", "v0": "x" * 550}, "at most 500 characters"),
    ],
)
async def test_a_change_that_cannot_be_is_refused_at_its_field(
    sqlite_portal: PortalWorld, fields: dict[str, str], why: str
) -> None:
    group_id = _add_group(sqlite_portal)
    browser = await sqlite_portal.logged_in("administrator")
    path = f"/station-groups/{group_id}/settings"
    await browser.get(path)
    response = await browser.post(path, **fields)
    assert response.status_code == 422
    assert why.casefold() in browser.text.casefold()
    assert 'aria-invalid="true"' in browser.text
    assert _changes(sqlite_portal) == ({}, False)


async def test_there_is_no_page_for_a_station_or_group_that_is_not_there(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    assert (await browser.get("/stations/999/settings")).status_code == 404
    assert (await browser.get("/station-groups/999/settings")).status_code == 404


def test_stored_changes_that_cannot_be_read_change_nothing() -> None:
    assert read_changes(json.dumps({"a": 1})) == {}
    assert read_changes("nonsense") == {}
