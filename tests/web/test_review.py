"""The review queue: a person sees the evidence and decides; a form twice decides once."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from csms import clock
from csms.charging import metering, overview, stations, transactions
from csms.charging.facts import ConnectorStatus
from csms.message_log.entries import Exchanges, Heard
from csms.message_log.store import MessageStore
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
    await browser.get(f"/transactions/{number}")
    assert f'href="/audit?on=transaction+{number}"' in browser.text
    await browser.get("/audit", on=f"transaction {number}")
    assert browser.text.count("<tr><td>") == 1
    for shown in ("Charge corrected", "administrator", "4000 Wh: read at the meter", f'href="/transactions/{number}"'):
        assert shown in browser.text, shown
    await browser.get("/audit", on="transaction 4711")
    assert "Nothing was decided or changed here yet" in browser.text


async def test_the_audit_names_what_a_decision_without_money_was_about(sqlite_portal: PortalWorld) -> None:
    portal = sqlite_portal
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    await portal.engine.submit(stations.Boot(station, "Acme", "One", "", "1.0"))
    at = clock.now()
    await portal.engine.submit(transactions.StopTransaction(station, -1, None, 5, at, at.isoformat(), None))
    browser = await portal.logged_in("accountant")
    await browser.get("/review")
    path = f"/review/{_first_item(browser.text)}"
    await browser.get(path)
    await browser.post(path, decision="waive", reason=HOSTILE, key=browser.key)
    response = await browser.get("/audit")
    assert f'<a href="{path}">item to review</a>' in browser.text
    assert "Charge waived" in browser.text
    assert "<script>alert" not in response.text
    assert (await (await portal.logged_in("operator")).client.get("/audit")).status_code == 403


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"decision": "correct", "energy": "", "reason": "meter"}, "Please enter the energy"),
        ({"decision": "correct", "energy": "much", "reason": "meter"}, "A number from 0"),
        ({"decision": "correct", "energy": "99999999", "reason": "meter"}, "A number from 0"),
        ({"decision": "correct", "energy": "4", "reason": ""}, "Please fill this in"),
        ({"decision": "waive", "reason": " "}, "Please fill this in"),
        ({"decision": "accept", "energy": "4"}, "This decision does not take it"),
        ({"decision": "accept", "ended": "2026-11-23 10:00"}, "This decision does not take it"),
        ({"decision": "correct", "ended": "soon", "reason": "meter"}, "no date"),
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


async def bring_in_parked(portal: PortalWorld, identity: str = "CP1") -> int:
    """Let a station tell a stop before the start it belongs to; return the number of the transaction that goes on."""
    station = await portal.engine.submit(stations.AddChargePoint(identity, 0, None, None))
    await portal.engine.submit(stations.Boot(station, "Acme", "One", "", "1.0"))
    begin = clock.now().replace(second=0, microsecond=0) - timedelta(hours=1)  # forms know minutes
    end = begin + timedelta(minutes=30)
    await portal.engine.submit(transactions.StopTransaction(station, -1, CARD, 4000, end, end.isoformat(), None))
    started = await portal.engine.submit(
        transactions.StartTransaction(station, 1, CARD, 1000, begin, begin.isoformat())
    )
    number: int = started.transaction_id
    return number


def _first_item(text: str) -> str:
    return text.split('href="/review/')[1].split('"', maxsplit=1)[0]


def _wall(portal: PortalWorld, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(portal.settings.time_zone)):%Y-%m-%d %H:%M}"


async def test_a_stop_ends_the_transaction_that_is_chosen_among_those_that_go_on_once(portal: PortalWorld) -> None:
    number = await bring_in_parked(portal)
    browser = await portal.logged_in("accountant")
    await browser.get("/review")
    path = f"/review/{_first_item(browser.text)}"
    await browser.get(path)
    for shown in ("End a transaction by this stop", "4.000 kWh", f"{number}: connector 1, card {CARD}", "go on"):
        assert shown in browser.text, shown
    fields = {"decision": "match", "reason": "it came first", "key": browser.key}
    for wrong in ("", "4711", "none"):
        response = await browser.post(path, transaction=wrong, **fields)
        assert response.status_code == 422
    assert "no transaction of this station that goes on" in browser.text or "A whole number" in browser.text
    for _ in range(2):
        await browser.post(path, transaction=str(number), **fields)
        assert "A transaction was ended by it" in browser.text
        assert "€2.15 was charged" in browser.text  # 3 kWh x 0.35 + 30 min x 0.02 + 0.50
    assert _transaction(portal, number).state == "ended"
    assert portal.card().balance_minor == 2000 - 215
    assert len([one for one in portal.entries() if one.event == "settle"]) == 1


async def test_without_a_transaction_that_goes_on_a_stop_can_only_be_charged_to_a_card_or_waived(
    sqlite_portal: PortalWorld,
) -> None:
    portal = sqlite_portal
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    end = clock.now()
    await portal.engine.submit(transactions.StopTransaction(station, -1, None, 4000, end, end.isoformat(), None))
    browser = await portal.logged_in("administrator")
    await browser.get("/review")
    await browser.get(f"/review/{_first_item(browser.text)}")
    assert "End a transaction" not in browser.text
    assert "Charge a card" in browser.text


async def test_a_charge_is_doubted_on_its_page_and_corrected_in_its_end_and_again(portal: PortalWorld) -> None:
    number = await bring_in_parked(portal)
    browser = await portal.logged_in("administrator")
    await browser.get(f"/transactions/{number}")
    assert "This charge is wrong" not in browser.text  # it goes on
    await browser.get("/review")
    path = f"/review/{_first_item(browser.text)}"
    await browser.get(path)
    await browser.post(path, decision="match", transaction=str(number), reason="it came first", key=browser.key)
    begin = _transaction(portal, number).started_at
    for ended, energy, cost, in_all in ((10, "", "€1.75", 175), (None, "2", "€1.40", 140)):
        await browser.get(f"/transactions/{number}")
        key = browser.key
        assert (await browser.post(f"/transactions/{number}/doubt", reason="", key=key)).status_code == 422
        assert "Please fill this in" in browser.text
        for _ in range(2):
            await browser.post(f"/transactions/{number}/doubt", reason="the clock was wrong", key=key)
        assert "Charge that somebody doubts" in browser.text
        assert "the clock was wrong" in browser.text
        await browser.get("/review")
        assert browser.text.count('href="/review/') == 1
        path = f"/review/{_first_item(browser.text)}"
        await browser.get(path)
        when = "" if ended is None else _wall(portal, begin + timedelta(minutes=ended))
        words = {"decision": "correct", "reason": "as the customer says", "key": browser.key}
        for wrong in ("yesterday", "2031-01-01", "2020-01-01 10:00"):
            assert (await browser.post(path, ended=wrong, **words)).status_code == 422
        response = await browser.post(path, ended=when, energy=energy, **words)
        assert response.status_code == 200
        assert portal.card().balance_minor == 2000 - in_all
        assert f"{cost} was charged in all" in browser.text
        assert "Energy or end corrected" in browser.text
        assert "Corrected to" in browser.text
    await browser.get(f"/transactions/{number}")
    assert "the difference stands in the journal" in browser.text


async def test_only_who_decides_can_doubt_a_charge(sqlite_portal: PortalWorld) -> None:
    number = await bring_in(sqlite_portal)
    operator = await sqlite_portal.logged_in("operator")
    await operator.get(f"/transactions/{number}")
    assert "This charge is wrong" not in operator.text
    response = await operator.post(f"/transactions/{number}/doubt", reason="x", key="k" * 20)
    assert response.status_code == 403
    accountant = await sqlite_portal.logged_in("accountant")
    await accountant.get(f"/transactions/{number}")
    response = await accountant.post(f"/transactions/{number}/doubt", reason="x", key="k" * 20)
    assert response.status_code == 422
    assert "waits for a decision already" in accountant.text
    assert (await accountant.post("/transactions/4711/doubt", reason="x", key="k" * 20)).status_code == 404


async def test_the_queue_is_narrowed_by_station_and_kind_and_says_when_nothing_fits(sqlite_portal: PortalWorld) -> None:
    portal = sqlite_portal
    await bring_in(portal)
    await bring_in_parked(portal, "CP2")
    browser = await portal.logged_in("operator")
    for parameters, count in (
        ({}, 2),
        ({"station": "CP1"}, 1),
        ({"station": "nobody"}, 0),
        ({"kind": "stop without a transaction"}, 1),
        ({"kind": "implausible energy", "station": "CP2"}, 0),
        ({"state": "resolved"}, 0),
        ({"state": "all", "kind": "implausible energy"}, 1),
    ):
        await browser.get("/review", **parameters)
        assert browser.text.count('<td class="wraps"><a href="/review/') == count, parameters
    await browser.get("/review", station="nobody")
    assert "Nothing fits this choice" in browser.text


async def test_starts_and_stops_are_shown_as_they_were_sent_also_to_an_accountant(sqlite_portal: PortalWorld) -> None:
    portal = sqlite_portal
    store = MessageStore(portal.database)
    exchanges = Exchanges(text_max=16_384)
    said = ('[2,"1","StartTransaction",{"idTag":"<b>X"}]', '[2,"2","Heartbeat",{}]', '[2,"3","StopTransaction",{}]')
    store.write([exchanges.entry(Heard(1, False, 0.0, one.encode()), clock.now()) for one in said])
    store.close()
    await bring_in(portal)
    browser = await portal.logged_in("accountant")
    await browser.get("/review")
    response = await browser.get(f"/review/{_first_item(browser.text)}")
    assert '[2,"1","StartTransaction",{"idTag":"<b>X"}]' in browser.text
    assert "<b>X" not in response.text
    assert '[2,"3","StopTransaction",{}]' in browser.text
    assert '[2,"2","Heartbeat",{}]' not in browser.text
    assert "/messages" not in browser.text  # the whole log is the operators'
    operator = await portal.logged_in("operator")
    await operator.get("/review")
    await operator.get(f"/review/{_first_item(operator.text)}")
    assert "/messages?transaction=" in operator.text
