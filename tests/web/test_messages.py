"""The page of the message log: found by what people look for, live, exported, escaped, and without secrets."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from csms import clock
from csms.charging import models
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction
from csms.message_log.entries import Entry, Exchanges, Heard
from csms.message_log.store import MessageStore
from csms.web import exports
from tests.web.portal import CARD, PortalWorld


def _write(portal: PortalWorld, *frames: tuple[bool, str], at: datetime | None = None, station: int = 1) -> None:
    store = MessageStore(portal.database)
    exchanges = Exchanges(text_max=16_384)
    entries: list[Entry] = [
        exchanges.entry(Heard(station, outgoing, number / 4, text.encode()), at or clock.now())
        for number, (outgoing, text) in enumerate(frames)
    ]
    store.write(entries)
    store.close()


_HEARTBEAT = (False, '[2,"h1","Heartbeat",{}]')
_ANSWER = (True, '[3,"h1",{"currentTime":"2026-11-23T08:00:00Z"}]')
_KEY = (True, '[2,"7-1","ChangeConfiguration",{"key":"AuthorizationKey","value":"00ff00ff00ff"}]')


async def _add(portal: PortalWorld, identity: str = "CP/1 a") -> str:
    assert await portal.installation.engine.submit(AddChargePoint(identity, 0, None, None)) == 1
    return identity


async def test_messages_are_listed_with_their_action_and_the_time_they_took(portal: PortalWorld) -> None:
    identity = await _add(portal)
    _write(portal, _HEARTBEAT, _ANSWER, _KEY)
    browser = await portal.logged_in("operator")
    await browser.get("/messages")
    assert browser.text.count("<strong>Heartbeat</strong>") == 2
    assert "250 ms" in browser.text
    assert identity in browser.text
    assert "00ff" not in browser.text


async def test_each_filter_narrows_the_list(portal: PortalWorld) -> None:
    identity = await _add(portal)
    _write(portal, _HEARTBEAT, _ANSWER, _KEY)
    browser = await portal.logged_in("administrator")
    for parameters, count in (
        ({"station": identity}, 3),
        ({"station": "nobody"}, 0),
        ({"action": "Heartbeat"}, 2),
        ({"kind": "call"}, 2),
        ({"id": "7-1"}, 1),
        ({"text": "currenttime"}, 1),
        ({"since": "2020-01-01", "until": "2020-01-02"}, 0),
        ({"since": "2020-01-01 06:00"}, 3),
    ):
        await browser.get("/messages", **parameters)
        assert browser.text.count("<time ") == count, parameters


async def test_a_wrong_time_is_explained_and_a_hostile_text_is_escaped(portal: PortalWorld) -> None:
    _write(portal, (False, '[2,"<b>","<script>",{"a":"<img src=x>"}]'))
    browser = await portal.logged_in("operator")
    wrong = await browser.get("/messages", since="yesterday", text="<i>")
    assert "is no" in wrong.text
    shown = await browser.get("/messages")
    assert "&lt;script&gt;" in shown.text
    for raw in ("<script>", "<img src=x", "<b>", "<i>"):
        assert raw not in wrong.text + shown.text


async def test_pages_lead_on_to_older_messages(sqlite_portal: PortalWorld) -> None:
    size = sqlite_portal.installation.settings.page_size
    _write(sqlite_portal, *((False, f'[2,"m{number}","Heartbeat",{{}}]') for number in range(size + 3)))
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/messages", action="Heartbeat")
    assert browser.text.count("<time ") == size
    older = browser.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "action=Heartbeat" in older
    await browser.get(older)
    assert browser.text.count("<time ") == 3
    assert 'rel="next"' not in browser.text


async def test_the_live_part_comes_only_when_there_is_news(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/messages", live="yes")
    assert 'hx-get="/messages/live"' in browser.text
    assert (await browser.client.get("/messages/live?newest=0")).status_code == 204
    _write(sqlite_portal, _HEARTBEAT)
    news = await browser.client.get("/messages/live?newest=0")
    assert news.status_code == 200
    assert "Heartbeat" in news.text
    newest = news.text.split('name="newest" value="')[1].split('"')[0]
    assert (await browser.client.get(f"/messages/live?newest={newest}")).status_code == 204
    assert (await browser.client.get("/messages/live?newest=99999999999999999999&id=other")).status_code == 204


async def test_the_export_is_json_lines_oldest_first(portal: PortalWorld) -> None:
    identity = await _add(portal)
    _write(portal, *((False, f'[2,"m{number}","Heartbeat",{{}}]') for number in range(1200)))
    _write(portal, _KEY)
    browser = await portal.logged_in("operator")
    response = await browser.client.get("/messages/export")
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["message_id"] for line in lines] == [*(f"m{number}" for number in range(1200)), "7-1"]
    assert lines[0]["direction"] == "received"
    assert lines[0]["charge_point"] == identity
    assert "00ff" not in response.text
    narrowed = await browser.client.get("/messages/export?id=m7")
    assert len(narrowed.text.splitlines()) == 1
    assert (await browser.client.get("/messages/export?since=never")).status_code == 422


async def test_beyond_a_few_exports_the_next_one_waits(
    sqlite_portal: PortalWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await sqlite_portal.logged_in("operator")
    monkeypatch.setattr(exports, "MOST", 0)
    response = await browser.client.get("/messages/export")
    assert response.status_code == 429
    assert "try again" in response.text


async def test_a_transaction_leads_to_the_messages_of_its_time(sqlite_portal: PortalWorld) -> None:
    await _add(sqlite_portal)
    now = clock.now()
    asked = StartTransaction(1, 1, CARD, 0, now - timedelta(days=2), now.isoformat())
    await sqlite_portal.installation.engine.submit(asked)
    with sqlite_portal.database.reading() as connection:
        one = connection.execute(select(models.charging_transaction)).one()
    _write(sqlite_portal, (False, '[2,"during","Heartbeat",{}]'), at=one.recorded_at, station=one.charge_point_id)
    before = one.recorded_at - timedelta(minutes=2)
    _write(sqlite_portal, (False, '[2,"before","Heartbeat",{}]'), at=before, station=one.charge_point_id)
    browser = await sqlite_portal.logged_in("operator")
    await browser.get(f"/transactions/{one.id}")
    assert f"/messages?transaction={one.id}" in browser.text
    await browser.get("/messages", transaction=one.id)
    assert "during" in browser.text
    assert "before</code>" not in browser.text
    assert (await browser.client.get("/messages?transaction=999999")).status_code == 404


async def test_a_broken_log_is_told_and_stops_no_page(sqlite_portal: PortalWorld) -> None:
    await _add(sqlite_portal)
    assert sqlite_portal.database.url.database is not None
    path = Path(sqlite_portal.database.url.database)
    path.with_name(f"{path.stem}-messages{path.suffix}").write_bytes(b"no database" * 1000)
    browser = await sqlite_portal.logged_in("operator")
    response = await browser.get("/messages")
    assert response.status_code == 200
    assert "cannot be read at the moment" in response.text
    assert (await browser.client.get("/messages/live?newest=0")).status_code == 204
    assert (await browser.get("/stations/1")).status_code == 200


async def test_a_station_leads_to_its_messages_for_those_who_may_see_them(sqlite_portal: PortalWorld) -> None:
    await _add(sqlite_portal)
    browser = await sqlite_portal.logged_in("operator")
    await browser.get("/stations/1")
    assert "/messages?station=CP%2F1+a" in browser.text
    accountant = await sqlite_portal.logged_in("accountant")
    assert (await accountant.client.get("/messages")).status_code == 403
