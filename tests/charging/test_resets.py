"""A station that needs a boot for a setting, accepts resets and never boots: somebody is told, and it is left alone."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select

from csms.charging import models
from csms.charging.alarms import AlarmView, list_alarms
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.engine import Engine
from csms.charging.settings_plan import CheckSettings
from csms.charging.stations import Boot
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import POLICY, Evening

KEY = "WebSocketPingInterval"


class Stubborn:
    """CP1, which takes a change with RebootRequired and every reset, and does not boot."""

    def __init__(self, evening: Evening) -> None:
        """Boot, and with it begin a check."""
        self.evening = evening
        self.value = "0"
        self.reset_at: list[datetime] = []
        self.boots()

    def boots(self) -> None:
        """Boot, and do what comes."""
        self.evening.pass_s(1)
        self.evening.engine.execute(Boot(1, "Acme", "One", "", ""))
        self.obeys()

    def obeys(self) -> None:
        """Take and answer what waits."""
        while (command := self.evening.engine.execute(ClaimCommand(1))) is not None:
            answer: dict[str, object] = {"status": "Accepted"}
            if command.action == "GetConfiguration":
                answer = {"configurationKey": [{"key": KEY, "value": self.value, "readonly": False}]}
            elif command.action == "ChangeConfiguration":
                self.value, answer = json.loads(command.payload_json)["value"], {"status": "RebootRequired"}
            elif command.action == "Reset":
                self.reset_at.append(self.evening.now)
            said = AnswerCommand(command.command_id, command.attempts, "accepted", json.dumps(answer))
            self.evening.engine.execute(said)
            self.evening.pass_s(1)

    def due_at(self) -> datetime:
        """Return when its settings are looked at next."""
        with self.evening.database.reading() as connection:
            due = select(models.charge_point.c.settings_due_at).where(models.charge_point.c.id == 1)
            found: datetime = connection.execute(due).scalar_one()
        return found

    def is_checked(self, asked_by: str = "") -> None:
        """Let the next check come when it is due, or when somebody asks."""
        if not asked_by:
            self.evening.now = max(self.evening.now, self.due_at())
        self.evening.engine.execute(CheckSettings(1, asked_by))
        self.obeys()

    def alarms(self) -> list[AlarmView]:
        """Return the alarms about resets that hold."""
        with self.evening.database.reading() as connection:
            return [one for one in list_alarms(connection, limit=10) if one.kind == "settings reboot"]


@pytest.fixture
def station(settings: Settings) -> Iterator[Stubborn]:
    """Such a station."""
    installation = open_installation(settings)
    evening = Evening(installation)
    policy = msgspec.structs.replace(POLICY, settings_check_interval_s=86_400)
    evening.engine = Engine(
        evening.database, installation.currency, policy, lambda: evening.now, batch_max=500, queue_max=1000
    )
    yield Stubborn(evening)
    installation.database.close()


def test_three_resets_without_a_boot_raise_an_alarm_and_further_ones_come_once_a_day(station: Stubborn) -> None:
    for _ in range(2):
        station.is_checked()
    assert len(station.reset_at) == 3
    assert station.alarms() == []
    station.is_checked()
    assert len(station.reset_at) == 3
    (alarm,) = station.alarms()
    assert alarm.charge_point == "CP1"
    assert alarm.text == f"Settings of CP1 need a boot that 3 resets did not bring: {KEY}"
    third_at = station.reset_at[-1]
    while len(station.reset_at) < 7:
        station.is_checked()
    days = [(at - third_at) / timedelta(days=1) for at in station.reset_at[3:]]
    assert days == pytest.approx([1, 2, 3, 4], abs=0.01)
    station.is_checked()
    (alarm,) = station.alarms()
    assert "7 resets" in alarm.text


def test_the_boot_ends_the_alarm_and_the_count_begins_anew(station: Stubborn) -> None:
    for _ in range(3):
        station.is_checked()
    assert station.alarms()
    station.boots()
    assert station.alarms() == []
    station.value = "0"
    station.is_checked()
    assert len(station.reset_at) == 4
    assert station.alarms() == []


def test_somebody_who_asks_has_it_reset_at_once(station: Stubborn) -> None:
    for _ in range(3):
        station.is_checked()
    station.is_checked("anna")
    assert len(station.reset_at) == 4
