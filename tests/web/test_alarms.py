"""The page of alarms: what holds is seen and escaped, and ends once when a person has seen it."""

from datetime import UTC, datetime

from sqlalchemy import insert, select

from csms.billing.models import audit
from csms.charging import models
from csms.charging.alarms import count_alarms
from tests.web.portal import PortalWorld

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _raise(portal: PortalWorld, key: str, text: str = "3.2 kWh <are> missing") -> None:
    row = {"key": key, "kind": "missing energy", "text": text, "attempts": 2, "first_seen_at": NOW, "last_at": NOW}
    with portal.database.unit_of_work() as connection:
        connection.execute(insert(models.alarm), row)


async def test_an_alarm_is_seen_once_and_then_over(portal: PortalWorld) -> None:
    _raise(portal, "gap: 1")
    _raise(portal, "review: abc")  # goes with an item of the queue, and ends with it
    browser = await portal.logged_in("operator")
    await browser.get("/dashboard")
    assert 'href="/alarms"' in browser.text
    response = await browser.get("/alarms")
    assert "3.2 kWh &lt;are&gt; missing" in response.text
    assert browser.text.count('<form method="post" action="/alarms">') == 1
    for expected in ("Noted as seen", "was over already"):
        await browser.post("/alarms", key="gap: 1")
        assert expected in browser.text
    assert "Nothing is wrong that we know of" in browser.text
    await browser.get("/alarms?state=over")
    assert "3.2 kWh" in browser.text
    with portal.database.reading() as connection:
        (told,) = connection.execute(select(audit.c.act, audit.c.subject)).all()
        assert tuple(told) == ("alarm acknowledged", "gap: 1")
        assert count_alarms(connection) == 0


async def test_the_alarm_of_a_review_item_ends_with_its_decision_only(portal: PortalWorld) -> None:
    _raise(portal, "review: abc")
    browser = await portal.logged_in("operator")
    await browser.get("/alarms")
    await browser.post("/alarms", key="review: abc")
    with portal.database.reading() as connection:
        assert connection.execute(select(models.alarm.c.cleared_at)).scalar_one() is None


async def test_an_accountant_sees_alarms_and_cannot_end_them(portal: PortalWorld) -> None:
    _raise(portal, "gap: 1")
    browser = await portal.logged_in("accountant")
    await browser.get("/alarms")
    assert "missing" in browser.text
    assert '<button type="submit" class="secondary small">' not in browser.text
    assert (await browser.post("/alarms", key="gap: 1")).status_code == 403
