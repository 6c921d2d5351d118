"""Stations to adopt, keys, staff, sites and desks."""

import re
from pathlib import Path

import pytest
from sqlalchemy import select

from csms.charging import models, overview
from csms.charging.sites import list_sites
from csms.charging.stations import AddChargePoint, Admitted, Connect, TurnedAway
from csms.web import staff
from tests.conftest import settings_for
from tests.web.portal import PASSWORD, PortalWorld, open_portal

KEY = re.compile(r'<code id="key">([0-9a-f]{40})</code>')
LINK = re.compile(r'<code id="link"[^>]*>http://portal\.test(/login/link/[^<]+)</code>')


async def _connect(portal: PortalWorld, identity: str, password: bytes | None) -> object:
    return await portal.engine.submit(Connect(identity, password, "192.0.2.50", False, "00"))


async def test_a_station_that_asked_is_adopted_with_a_key_shown_once(portal: PortalWorld) -> None:
    identity = "Yard <i>7</i>/ä"
    assert await _connect(portal, identity, None) == TurnedAway("unknown")
    browser = await portal.logged_in("administrator")
    response = await browser.get("/stations")
    assert "<i>" not in response.text
    assert identity in browser.text
    await browser.get("/stations/add", identity=identity)
    assert f'value="{identity}"' in browser.text
    await browser.post("/stations/add", identity=identity, profile="1")
    key = KEY.search(browser.text)
    assert key is not None
    assert await _connect(portal, identity, b"wrong") == TurnedAway("wrong key")
    assert isinstance(await _connect(portal, identity, bytes.fromhex(key[1])), Admitted)
    await browser.get("/stations")
    assert "Asking to connect" not in browser.text
    with portal.database.reading() as connection:
        stored = repr(connection.execute(select(models.charge_point)).all())
    assert key[1] not in stored
    again = await browser.post("/stations/add", identity=identity, profile="1")
    assert (again.status_code, "There is a station with this identity already" in browser.text) == (422, True)


async def test_a_station_without_a_key_is_possible_and_warned_of(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/stations/add")
    await browser.post("/stations/add", identity="LAB", profile="0")
    assert "can pretend to be it" in browser.text
    assert isinstance(await _connect(portal, "LAB", None), Admitted)


async def test_a_station_that_is_not_let_in_as_it_is_is_warned_of(sqlite_url: str, tmp_path: Path) -> None:
    async with open_portal(settings_for(sqlite_url, tmp_path, minimum_security_profile=1)) as strict:
        browser = await strict.logged_in("administrator")
        await browser.get("/stations/add")
        await browser.post("/stations/add", identity="LAB", profile="0")
        assert "CSMS_MINIMUM_SECURITY_PROFILE is 1" in browser.text
        await browser.get("/stations/add")
        await browser.post("/stations/add", identity="SAFE", profile="1")
        assert "will be turned away" not in browser.text


@pytest.mark.parametrize("identity", ["", "a:b", "x" * 256])
async def test_an_impossible_identity_is_marked(sqlite_portal: PortalWorld, identity: str) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/stations/add")
    response = await browser.post("/stations/add", identity=identity, profile="1")
    assert (response.status_code, 'aria-invalid="true"' in browser.text) == (422, True)


async def test_a_new_key_replaces_the_old_one(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/stations/add")
    await browser.post("/stations/add", identity="CP1", profile="1")
    first = KEY.search(browser.text)
    await browser.get("/stations/1")
    await browser.post("/stations/1/key", profile="1")
    second = KEY.search(browser.text)
    assert first is not None
    assert second is not None
    assert await _connect(portal, "CP1", bytes.fromhex(first[1])) == TurnedAway("wrong key")
    assert isinstance(await _connect(portal, "CP1", second[1].encode()), Admitted)  # as hex text, as some stations do
    assert (await browser.post("/stations/9/key", profile="1")).status_code == 404


async def test_a_station_gets_a_site_and_a_tariff(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get(f"/stations/{station}")
    response = await browser.post(f"/stations/{station}/settings", site_id="1", tariff_id="1")
    assert "Saved" in response.text
    with portal.database.reading() as connection:
        found = overview.find_station(connection, "CP1")
    assert found is not None
    assert (found.site, found.tariff_id) == ("Yard", 1)
    for wrong in ({"site_id": "99", "tariff_id": ""}, {"site_id": "x", "tariff_id": ""}):
        assert (await browser.post(f"/stations/{station}/settings", **wrong)).status_code == 422
    await browser.post(f"/stations/{station}/settings", site_id="", tariff_id="")
    with portal.database.reading() as connection:
        found = overview.find_station(connection, "CP1")
    assert found is not None
    assert (found.site, found.tariff_id) == (None, None)


async def test_a_new_person_logs_in_by_a_link_that_is_shown_once(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/staff")
    await browser.post("/staff", name="Ana <b>", username=" Ana ", role="cashier", desk_id="1")
    found = LINK.search(browser.text)
    assert found is not None
    assert "<b>" not in (await browser.get("/staff")).text
    assert found[1] not in browser.text
    new = portal.browser()
    await new.get(found[1])
    response = await new.post(found[1], password=PASSWORD, again=PASSWORD)
    assert response.url.path == "/desk"
    assert "Ana <b>" in new.text


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"username": "cashier"}, "This username is taken"),
        ({"username": "two words"}, "Small letters, digits"),
        ({"name": ""}, "Please fill this in"),
        ({"role": "king"}, "choose one of these"),
        ({"desk_id": ""}, "A cashier needs a desk"),
        ({"desk_id": "99"}, "There is no such desk"),
    ],
)
async def test_a_wrong_person_is_marked(sqlite_portal: PortalWorld, changed: dict[str, str], why: str) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/staff")
    fields = {"name": "Ana", "username": "ana", "role": "cashier", "desk_id": "1"}
    response = await browser.post("/staff", **(fields | changed))
    assert (response.status_code, why in browser.text) == (422, True)


async def test_a_person_is_switched_off_and_on_but_not_by_themselves(portal: PortalWorld) -> None:
    administrator, cashier = await portal.logged_in("administrator"), await portal.logged_in("cashier")
    await administrator.get("/staff")
    await administrator.post("/staff/1/active", active="no")
    assert (await cashier.get("/desk")).url.path == "/login"
    refused = await administrator.post("/staff/1/link")
    assert (refused.status_code, "is switched off" in administrator.text) == (422, True)
    await administrator.post("/staff/1/active", active="yes")
    await administrator.post("/staff/1/link")
    assert LINK.search(administrator.text)
    await administrator.get("/staff")
    own = await administrator.post("/staff/5/active", active="no")
    assert (own.status_code, "cannot switch yourself off" in administrator.text) == (422, True)
    assert (await administrator.post("/staff/99/active", active="no")).status_code == 404
    assert (await administrator.post("/staff/99/link")).status_code == 404


async def test_sites_and_desks_are_added_with_their_accounts(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/sites")
    await browser.post("/sites", name="West", time_zone="Europe/Berlin")
    await browser.post("/desks", desk_name="Desk 2", site_id="2")
    assert "Added" in browser.text
    for path, fields in (
        ("/sites", {"name": "West", "time_zone": "Europe/Berlin"}),
        ("/sites", {"name": "East", "time_zone": "Mars/Base"}),
        ("/desks", {"desk_name": "Desk 2", "site_id": ""}),
        ("/desks", {"desk_name": "Desk 3", "site_id": "77"}),
        ("/desks", {"desk_name": "", "site_id": ""}),
    ):
        assert (await browser.post(path, **fields)).status_code == 422, fields
    await browser.get("/accounts")
    assert "Cash: Desk 2" in browser.text


async def test_a_site_and_a_desk_get_other_names_and_the_books_go_on(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/sites")
    await browser.post("/sites/1/rename", new_name="Pier <b>")
    assert "Renamed" in browser.text
    await browser.post("/desks/1/rename", new_name="Kiosk")
    await browser.get("/accounts")
    assert ("Cash: Kiosk" in browser.text, "Cash: Desk 1" in browser.text) == (True, False)
    assert "Kiosk" in (await (await portal.logged_in("cashier")).get("/desk")).text
    await browser.get("/sites")
    await browser.post("/desks", desk_name="Office", site_id="1")
    for path, name, why in (
        ("/desks/2/rename", "kiosk ", "There is a desk with this name already."),
        ("/sites/1/rename", "", "Please fill this in"),
    ):
        response = await browser.post(path, new_name=name)
        assert (response.status_code, why in browser.text, "Nothing was renamed" in browser.text) == (422, True, True)


async def test_the_time_zone_of_a_site_is_put_right(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/sites")
    await browser.post("/sites/1/zone", time_zone="Europe/Lisbon")
    assert "The time zone is stored" in browser.text
    with portal.database.reading() as connection:
        assert [one.time_zone for one in list_sites(connection)] == ["Europe/Lisbon"]
    await browser.get("/sites")
    assert (await browser.post("/sites/1/zone", time_zone="Mars/Base")).status_code == 422
    await browser.get("/sites")
    assert (await browser.post("/sites/9/zone", time_zone="Europe/Lisbon")).status_code == 404


async def test_a_person_moves_to_a_desk_and_away(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    assert "You have no desk" in (await browser.get("/desk")).text
    with portal.database.reading() as connection:
        member = staff.find_staff(connection, username="administrator")
    assert member is not None
    await browser.get("/staff")
    await browser.post(f"/staff/{member.staff_id}/desk", desk_id="1")
    assert "The desk is set" in browser.text
    assert "You have no desk" not in (await browser.get("/desk")).text
    await browser.get("/staff")
    await browser.post(f"/staff/{member.staff_id}/desk", desk_id="")
    assert "You have no desk" in (await browser.get("/desk")).text
    assert (await browser.post(f"/staff/{member.staff_id}/desk", desk_id="9")).status_code == 422
    assert (await browser.post("/staff/99/desk", desk_id="1")).status_code == 404
