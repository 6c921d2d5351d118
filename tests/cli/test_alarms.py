"""`csms alarm`: an alarm is listed, seen, and then over."""

from datetime import UTC, datetime

from sqlalchemy import insert

from csms.charging import models
from csms.cli.opening import opened
from tests.cli.conftest import Csms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_an_alarm_is_listed_and_seen_once(csms: Csms) -> None:
    assert csms("alarm", "list", "--json").json == []
    row = {"key": "gap: 1", "kind": "gap", "text": "3 kWh missing", "attempts": 1, "first_seen_at": NOW, "last_at": NOW}
    with opened() as installation, installation.database.unit_of_work() as connection:
        connection.execute(insert(models.alarm), row)
    assert "3 kWh missing" in csms("alarm", "list").out
    assert "Noted" in csms("alarm", "acknowledge", "gap: 1", "--reason", "meter changed").out
    assert "No alarm 'gap: 1' holds" in csms("alarm", "acknowledge", "gap: 1", status=1).err
    assert csms("alarm", "list", "--json").json == []
    assert [one["key"] for one in csms("alarm", "list", "--all", "--json").json] == ["gap: 1"]
