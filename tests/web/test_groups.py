"""Groups of stations and of accounts on their pages, and the group of a card's account on the card's."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from csms import clock
from csms.billing import models
from csms.billing.account_groups import AccountLimits, find_account_group
from csms.charging.groups import StationPolicy, allowed_groups, find_station_group, place_of
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction, StopTransaction
from tests.web.portal import CARD, PortalWorld


async def test_a_group_of_stations_has_a_policy_and_members(portal: PortalWorld) -> None:
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get("/groups")
    response = await browser.post("/groups/stations", name="Harbour <b>")
    assert response.url.path == "/groups/stations/1"
    assert "<b>" not in response.text
    policy = {"is_free": "yes", "stop_below_w": "500", "stop_after": "20", "unlock_when_stop_fails": "yes"}
    await browser.post("/groups/stations/1", name="Pier", **policy)
    assert "Saved" in browser.text
    with portal.database.reading() as connection:
        group = find_station_group(connection, name="Pier")
    assert group is not None
    expected = StationPolicy(
        is_free=True, stop_below_w=500, stop_after_s=1200, unlock_when_stop_fails=True, limits_offline=False
    )
    assert group.policy == expected
    await browser.post("/groups/stations/1/members", station="CP1", act="add")
    assert "CP1" in browser.text
    with portal.database.reading() as connection:
        place = place_of(connection, station)
    assert place is not None
    assert place.group == "Pier"
    await browser.post("/groups/stations/1/members", station="CP1", act="remove")
    with portal.database.reading() as connection:
        place = place_of(connection, station)
    assert place is not None
    assert place.group is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": ""}, "Please fill this in"),
        ({"name": "Other"}, "name already"),
        ({"name": "Harbour", "stop_below_w": "500"}, "Both together"),
        ({"name": "Harbour", "stop_after": "x"}, "A whole number"),
        ({"name": "Harbour", "stop_below_w": "9999999", "stop_after": "1"}, "At most 1000000 W"),
    ],
)
async def test_a_wrong_policy_is_marked(sqlite_portal: PortalWorld, fields: dict[str, str], why: str) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    await browser.post("/groups/stations", name="Other")
    response = await browser.post("/groups/stations/1", **fields)
    assert (response.status_code, why in browser.text) == (422, True)
    with sqlite_portal.database.reading() as connection:
        group = find_station_group(connection, name="Harbour")
    assert group is not None
    assert group.policy == StationPolicy()


async def test_a_group_of_accounts_has_limits_places_and_cards(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    response = await browser.post("/groups/accounts", group_name="Staff")
    assert response.url.path == "/groups/accounts/1"
    amounts = {"minimum_start_credit": "2", "daily_spend": "40", "maximum_top_up": "", "maximum_balance": "100,50"}
    await browser.post("/groups/accounts/1", name="Staff", simultaneous="3", is_staff="yes", allowed_1="yes", **amounts)
    with portal.database.reading() as connection:
        group = find_account_group(connection, name="Staff")
        assert allowed_groups(connection, 1) == {1}
    assert group is not None
    assert group.limits == AccountLimits(200, 10_050, None, 4000, 3, is_staff=True)
    await browser.post("/groups/accounts/1/members", card="1000 1", act="add")
    assert "1000 1" in browser.text
    await browser.get("/card", tag=CARD)
    assert '<option value="1" selected>Staff</option>' in browser.text
    await browser.post("/card/group", tag=CARD, group_id="")
    assert "Saved" in browser.text
    with portal.database.reading() as connection:
        groups = set(connection.execute(select(models.ledger_account.c.group_id)).scalars())
    assert groups == {None}
    await browser.post("/card/group", tag=CARD, group_id="1")
    await browser.get("/groups/accounts/1")
    assert "1000 1" in browser.text
    await browser.post("/groups/accounts/1/members", card=CARD, act="remove")
    assert "No card is in this group yet" in browser.text


async def test_an_overdraft_is_allowed_and_shown_beside_a_balance_that_stays_what_it_is(portal: PortalWorld) -> None:
    looked_at: list[set[int]] = []
    portal.engine.on_watches = lambda _, accounts: looked_at.append(accounts)
    browser = await portal.logged_in("administrator")
    await browser.get("/card", tag=CARD)
    assert "Allowed overdraft" not in browser.text
    await browser.get("/groups")
    await browser.post("/groups/accounts", group_name="Staff")
    await browser.post("/groups/accounts/1", name="Staff", overdraft="12,50", minimum_start_credit="1012")
    with portal.database.reading() as connection:
        group = find_account_group(connection, name="Staff")
    assert group is not None
    assert group.limits == AccountLimits(101_200, overdraft_minor=1250)
    await browser.get("/groups/accounts/1")
    assert 'value="12.50"' in browser.text
    account_id = portal.card().account_id
    assert account_id is not None
    await browser.post("/groups/accounts/1/members", card="1000 1", act="add")
    await browser.get("/card", tag=CARD)
    told = re.findall(r"<dt>(.*?)</dt><dd>(?:<strong>)?(.*?)<", browser.text)
    assert {("Held", "€0.00"), ("Allowed overdraft", "€12.50"), ("Available", "€32.50")} <= set(told)
    assert '<p class="big ">€20.00</p>' in browser.text
    station = await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    await browser.post("/groups/accounts/1", name="Staff", overdraft="12,50")
    await portal.engine.submit(StartTransaction(station, 1, CARD, 0, clock.now(), "now"))
    del looked_at[:]
    await browser.post("/groups/accounts/1", name="Staff", overdraft="")
    assert (looked_at, portal.card().overdraft_minor) == ([{account_id}], 0)
    await browser.post("/card/group", tag=CARD, group_id="")
    assert looked_at == [{account_id}, {account_id}]


@pytest.mark.parametrize(
    ("energy_wh", "words"), [(47_000, "within the allowed overdraft"), (50_000, "above the credit"), (1000, "")]
)
async def test_what_the_next_top_up_pays_back_is_told_by_the_overdraft(
    sqlite_portal: PortalWorld, energy_wh: int, words: str
) -> None:
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/groups")
    await administrator.post("/groups/accounts", group_name="Staff")
    await administrator.post("/groups/accounts/1", name="Staff", overdraft="1")
    await administrator.post("/groups/accounts/1/members", card=CARD, act="add")
    engine, begin = sqlite_portal.engine, clock.now() - timedelta(hours=4)
    station = await engine.submit(AddChargePoint("CP1", 0, None, None))
    number = (await engine.submit(StartTransaction(station, 1, CARD, 0, begin, "a"))).transaction_id
    end = begin + timedelta(hours=3)
    await engine.submit(StopTransaction(station, number, None, energy_wh, end, "b", None))
    await administrator.get("/card", tag=CARD)
    said = [one for one in ("within the allowed overdraft", "above the credit") if one in administrator.text]
    assert said == ([words] if words else []), sqlite_portal.card().balance_minor


@pytest.mark.parametrize(
    ("path", "fields", "why"),
    [
        ("/groups/accounts/1", {"name": "Staff", "overdraft": "-1"}, "cannot be negative"),
        ("/groups/accounts/1", {"name": "Staff", "overdraft": "much"}, "not an amount"),
        ("/groups/accounts", {"group_name": ""}, "Please fill this in"),
        ("/groups/accounts", {"group_name": "Staff"}, "name already"),
        ("/groups/accounts/1", {"name": "Staff", "daily_spend": "-1"}, "cannot be negative"),
        ("/groups/accounts/1", {"name": "Staff", "maximum_balance": "lots"}, "not an amount"),
        ("/groups/accounts/1", {"name": "Staff", "simultaneous": "0"}, "From 1 to"),
        (
            "/groups/accounts/1",
            {"name": "Staff", "minimum_start_credit": "20", "maximum_balance": "10"},
            "nobody of the group could start",
        ),
        ("/groups/accounts", {"group_name": "STAFF"}, "name already"),
        ("/groups/accounts/1/members", {"card": "nobody"}, "no such card"),
        ("/groups/stations/1/members", {"station": "CP9"}, "no such station"),
        ("/groups/stations", {"name": "Harbour"}, "name already"),
    ],
)
async def test_a_wrong_group_is_marked(sqlite_portal: PortalWorld, path: str, fields: dict[str, str], why: str) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    await browser.post("/groups/accounts", group_name="Staff")
    response = await browser.post(path, **fields)
    assert (response.status_code, why in browser.text) == (422, True)
    assert 'aria-invalid="true"' in browser.text


@pytest.mark.parametrize(("limit", "amount", "status"), [("600", "550", 200), ("30", "31", 422)])
async def test_a_groups_own_limit_of_a_top_up_counts_at_the_desk(
    sqlite_portal: PortalWorld, limit: str, amount: str, status: int
) -> None:
    administrator = await sqlite_portal.logged_in("administrator")
    await administrator.get("/groups")
    await administrator.post("/groups/accounts", group_name="Fleet")
    await administrator.post("/groups/accounts/1", name="Fleet", maximum_top_up=limit)
    await administrator.post("/groups/accounts/1/members", card=CARD, act="add")
    cashier = await sqlite_portal.logged_in("cashier")
    response = await cashier.get("/card/top-up", tag=CARD, amount=amount, key="k" * 20)
    assert response.status_code == status
    assert (f"At most {limit}.00" in cashier.text) == (status == 422)


async def test_what_is_not_there_is_not_found(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    for path in ("/groups/stations/7", "/groups/accounts/7", "/tariffs/7"):
        assert (await browser.get(path)).status_code == 404
    await browser.get("/groups")
    assert (await browser.post("/card/group", tag=CARD, group_id="7")).status_code == 422
    assert (await browser.post("/card/group", tag="0499", group_id="")).status_code == 404


async def test_a_supervisor_sees_no_form_for_the_group(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("supervisor")
    assert (await browser.get("/card", tag=CARD)).status_code == 200
    assert "Group of the account" not in browser.text


async def test_a_group_goes_when_nothing_uses_it_any_more(portal: PortalWorld) -> None:
    await portal.engine.submit(AddChargePoint("CP1", 0, None, None))
    browser = await portal.logged_in("administrator")
    await browser.get("/groups")
    await browser.post("/groups/stations", name="Harbour")
    await browser.post("/groups/stations/1/members", station="CP1", act="add")
    await browser.post("/groups/accounts", group_name="Residents")
    await browser.post("/groups/accounts/1", name="Residents", allowed_1="yes")
    await browser.post("/groups/accounts/1/members", card=CARD, act="add")
    response = await browser.post("/groups/stations/1/delete")
    assert (response.status_code, "used by account groups, stations" in browser.text) == (422, True)
    response = await browser.post("/groups/accounts/1/delete")
    assert (response.status_code, "used by cards" in browser.text) == (422, True)
    await browser.post("/groups/accounts/1/members", card=CARD, act="remove")
    await browser.post("/groups/accounts/1/delete")
    assert "The group is deleted" in browser.text
    with portal.database.reading() as connection:
        assert allowed_groups(connection, 1) == set()
    await browser.post("/groups/stations/1/members", station="CP1", act="remove")
    assert (await browser.post("/groups/stations/1/delete")).url.path == "/groups"
    assert "There is no group" in browser.text
    assert (await browser.get("/groups/stations/1")).status_code == 404
