"""Boots in the middle of a check of the settings: two checks overlap, and neither loses a step of the other."""

import json
from collections.abc import Iterator

import msgspec
import pytest

from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.engine import Engine
from csms.charging.facts import Command
from csms.charging.stations import Boot, Open
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import POLICY, Evening

BOOT = Boot(1, "Acme", "One", "", "")
CACHE, SAMPLED = "AuthorizationCacheEnabled", "MeterValuesSampledData"


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """A station whose settings are looked after."""
    installation = open_installation(settings)
    opened = Evening(installation)
    policy = msgspec.structs.replace(POLICY, settings_check_interval_s=86_400)
    opened.engine = Engine(
        opened.database, installation.currency, policy, lambda: opened.now, batch_max=500, queue_max=1000
    )
    yield opened
    installation.database.close()


class Played:
    """CP1, which takes every change, with its cache on and something else to change."""

    def __init__(self, evening: Evening) -> None:
        """Boot."""
        self._evening = evening
        self.values = {CACHE: "true", "LocalPreAuthorize": "true"}
        self.done: list[str] = []
        self.boots()

    def boots(self) -> None:
        """Boot, and with it begin a check."""
        self._evening.pass_s(1)
        self._evening.engine.execute(BOOT)

    def takes(self) -> Command | None:
        """Take the next command and do what it says."""
        self._evening.pass_s(1)
        command: Command | None = self._evening.engine.execute(ClaimCommand(1))
        if command is not None and command.action == "ChangeConfiguration":
            change = json.loads(command.payload_json)
            self.values[change["key"]] = change["value"]
        return command

    def answers(self, command: Command) -> None:
        """Answer a command."""
        answer: dict[str, object] = {"status": "Accepted"}
        if command.action == "GetConfiguration":
            answer = {"configurationKey": [{"key": k, "value": v, "readonly": False} for k, v in self.values.items()]}
        self.done.append(command.action)
        said = AnswerCommand(command.command_id, command.attempts, "accepted", json.dumps(answer))
        self._evening.engine.execute(said)

    def takes_until(self, action: str) -> Command:
        """Take and answer what comes before an action; return that, taken and not answered."""
        while (command := self.takes()) is not None:
            if command.action == action:
                return command
            self.answers(command)
        pytest.fail(f"{action} never came")

    def finishes(self) -> None:
        """Take and answer all that is left."""
        while (command := self.takes()) is not None:
            self.answers(command)


def _is_set_up(played: Played) -> bool:
    return played.values == {CACHE: "false", "LocalPreAuthorize": "false"}


def test_a_boot_before_the_answer_to_the_change_of_the_cache_does_not_lose_the_clearing(evening: Evening) -> None:
    played = Played(evening)
    change = played.takes_until("ChangeConfiguration")
    played.boots()
    played.answers(change)
    played.finishes()
    assert _is_set_up(played)
    assert played.done.count("ClearCache") == 1


def test_a_boot_while_the_clearing_waits_does_not_lose_it(evening: Evening) -> None:
    played = Played(evening)
    played.answers(played.takes_until("ChangeConfiguration"))
    played.boots()
    played.boots()
    played.finishes()
    assert _is_set_up(played)
    assert played.done.count("ClearCache") == 1


@pytest.mark.parametrize("reconnects", [True, False])
def test_a_change_of_the_cache_whose_answer_is_lost_is_followed_by_the_clearing_all_the_same(
    evening: Evening, *, reconnects: bool
) -> None:
    played = Played(evening)
    change = played.takes_until("ChangeConfiguration")
    if reconnects:
        evening.engine.execute(Open(1, "second", "here", "127.0.0.1", "ocpp1.6"))
    else:
        evening.engine.execute(AnswerCommand(change.command_id, change.attempts, "failed", None, "cut"))
    played.boots()
    played.finishes()
    assert _is_set_up(played)
    assert played.done.count("ClearCache") == 1


def test_a_boot_between_the_measurands_that_are_tried_does_not_end_the_trying(evening: Evening) -> None:
    played = Played(evening)
    played.values[SAMPLED] = "Voltage"
    while played.values[SAMPLED] == "Voltage":
        command = played.takes()
        assert command is not None
        played.answers(command)
    assert played.values[SAMPLED] == "Energy.Active.Import.Register"  # one was taken, one is left
    played.boots()
    played.finishes()
    assert played.values[SAMPLED] == "Energy.Active.Import.Register,Power.Active.Import"


def test_a_cache_that_was_always_off_is_not_cleared(evening: Evening) -> None:
    played = Played(evening)
    played.values[CACHE] = "false"
    played.finishes()
    played.boots()
    played.finishes()
    assert _is_set_up(played)
    assert "ClearCache" not in played.done
