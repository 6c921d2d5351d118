"""The review queue: a person sees the evidence and decides; a form twice decides once."""

from datetime import timedelta

import pytest

from csms import clock
from csms.charging import metering, overview, stations, transactions
from csms.charging.facts import ConnectorStatus
from tests.web.portal import CARD, PortalWorld

HOSTILE = "<script>alert(1)</script>"


async def bring_in(portal: PortalWorld, id_tag: str = CARD) -> int:
    """Let a station tell a reading of 3 kWh and a stop of 910 kWh; return the transaction's id."""
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    await portal.engine.submit(stations.Boot(station, "Acme", "One", "", "1.0"))
    begin = clock.now() - timedelta(hours=1)
    started = await portal.engine.submit(transactions.StartTransaction(station, 1, id_tag, 0, begin, begin.isoformat()))
    number: int = started.transaction_id
    at = begin + timedelta(minutes=30)
    value = metering.MeterValue(at, (metering.Sample("3000"),), f'[{{"value":"3000","x":"{HOSTILE}"}}]')
    await portal.engine.submit(metering.MeterValues(station, 1, number, (value,)))
    end = begin + timedelta(hours=1)
    await portal.engine.submit(
        transactions.StopTransaction(station, number, None, 910_000, end, end.isoformat(), HOSTILE[:20])
    )
    return number


def _transaction(portal: PortalWorld, number: int) -> overview.TransactionView:
    with portal.database.reading() as connection:
        found = overview.find_transaction(connection, number)
    assert found is not None
    return found


async def test_an_item_is_found_looked_at_and_decided_once(portal: PortalWorld) -> None:
    number = await bring_in(portal)
    browser = await portal.logged_in("administrator")
    await browser.get(f"/transactions/{number}")
    assert "More energy than can have been delivered" in browser.text
    await browser.get("/review")
    path = browser.text.split('href="/review/')[1].split('"')[0]
    response = await browser.get(f"/review/{path}")
    for shown in ("910.000 kWh", "3.000 kWh", "which costs €2.75", "Accept the estimate", "On hold"):
        assert shown in browser.text, shown
    assert "<script>alert" not in response.text
    fields = {"decision": "correct", "energy": "4", "reason": "read at the meter", "key": browser.key}
    await browser.post(f"/review/{path}", **fields)
    assert "€3.10 was charged" in browser.text
    assert "read at the meter" in browser.text
    await browser.post(f"/review/{path}", **fields)
    assert "€3.10 was charged" in browser.text
    assert len([one for one in portal.entries() if one.event == "settle"]) == 1
    assert portal.card().balance_minor == 2000 - 310
    await browser.get("/review")
    assert "Nothing waits for a person" in browser.text
    await browser.get("/review", state="resolved")
    assert "Energy or end corrected" in browser.text


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"decision": "correct", "energy": "", "reason": "meter"}, "Please enter the energy"),
        ({"decision": "correct", "energy": "much", "reason": "meter"}, "A number from 0"),
        ({"decision": "correct", "energy": "99999999", "reason": "meter"}, "A number from 0"),
        ({"decision": "correct", "energy": "4", "reason": ""}, "Please fill this in"),
        ({"decision": "waive", "reason": " "}, "Please fill this in"),
        ({"decision": "assign", "card": CARD, "reason": "meter"}, "Please choose one"),
        ({"decision": "nonsense", "reason": "meter"}, "Please choose one"),
    ],
)
async def test_a_wrong_field_decides_nothing(sqlite_portal: PortalWorld, fields: dict[str, str], shown: str) -> None:
    number = await bring_in(sqlite_portal)
    browser = await sqlite_portal.logged_in("accountant")
    await browser.get("/review")
    path = browser.text.split('href="/review/')[1].split('"')[0]
    await browser.get(f"/review/{path}")
    response = await browser.post(f"/review/{path}", key=browser.key, **fields)
    assert response.status_code == 422
    assert shown in browser.text
    assert _transaction(sqlite_portal, number).uncharged_reason == "implausible energy"


async def test_energy_of_an_unknown_card_is_assigned_by_the_printed_number(sqlite_portal: PortalWorld) -> None:
    portal = sqlite_portal
    number = await bring_in(portal, "NOBODY")
    browser = await portal.logged_in("administrator")
    await browser.get("/review")
    path = browser.text.split('href="/review/')[1].split('"')[0]
    await browser.get(f"/review/{path}")
    key = browser.key
    await browser.post(f"/review/{path}", decision="assign", card="7777", reason="his", key=key)
    assert "This card is not known" in browser.text
    await browser.post(f"/review/{path}", decision="assign", card="1000 1", reason="his", key=key)
    assert "was charged" in browser.text
    assert _transaction(portal, number).cost_minor == 105 + 120 + 50
    assert portal.card().balance_minor == 2000 - 275


async def test_an_operator_looks_and_cannot_decide_and_another_decision_is_told(sqlite_portal: PortalWorld) -> None:
    await bring_in(sqlite_portal)
    operator = await sqlite_portal.logged_in("operator")
    await operator.get("/review")
    path = operator.text.split('href="/review/')[1].split('"')[0]
    await operator.get(f"/review/{path}")
    assert "not decide about it" in operator.text
    response = await operator.post(f"/review/{path}", decision="waive", reason="x", key="k" * 20)
    assert response.status_code == 403
    first, second = [await sqlite_portal.logged_in("administrator") for _ in range(2)]
    for browser in (first, second):
        await browser.get(f"/review/{path}")
    await first.post(f"/review/{path}", decision="waive", reason="theirs", key=first.key)
    await second.post(f"/review/{path}", decision="accept", reason="", key=second.key)
    assert "Somebody has decided" in second.text
    assert "theirs" in second.text
    assert sqlite_portal.card().balance_minor == 2000
    assert (await first.get("/review/" + "0" * 32)).status_code == 404
    assert (await first.get("/review/none")).status_code == 404


async def test_what_was_noticed_stands_among_the_alarms_and_on_the_page_of_the_station(
    sqlite_portal: PortalWorld,
) -> None:
    portal = sqlite_portal
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    await portal.engine.submit(stations.Boot(station, "Acme", "One", "", "1.0"))
    ahead = clock.now() + timedelta(minutes=7)
    status = ConnectorStatus(station, 1, "Available", "NoError", "", "", clock.now())
    await portal.engine.submit(stations.StatusNotification(status, ahead))
    begin = clock.now() - timedelta(hours=1)
    started = await portal.engine.submit(
        transactions.StartTransaction(station, 1, CARD, 500_000, begin, begin.isoformat())
    )
    value = metering.MeterValue(begin + timedelta(minutes=30), (metering.Sample("3000"),), "[]")
    await portal.engine.submit(metering.MeterValues(station, 1, started.transaction_id, (value,)))
    browser = await portal.logged_in("operator")
    await browser.get("/alarms")
    assert "Clock of a station is wrong" in browser.text
    assert "s ahead of ours" in browser.text
    await browser.get(f"/stations/{station}")
    assert "count from the start of each session" in browser.text
    assert "s ahead" in browser.text
