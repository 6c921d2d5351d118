"""Rules beside charging's own: a defect of one costs no station its answer, and charging nothing of its decision."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from csms.billing.books import Decision
from csms.billing.cards import JoinCard, Joined
from csms.charging import engine
from csms.charging.credit_guard import GuardDue
from csms.operations import (
    certificates,
    charging_profiles,
    commands,
    local_lists_keeping,
    reservations,
    rules,
    transfer_progress,
)
from csms.operations.beside import Extra, beside
from tests.support.world import CARD, World

OWN: Decision[str] = Decision("charging's outcome", ("charging's intent",))
DEFECT = RuntimeError("a defect")
EXTRAS = [(kind, extra) for kind, extras in rules._BESIDE.items() for extra in extras]


def broken(*_: object) -> Any:
    """Break at once."""
    raise DEFECT


def own(*_: object) -> Decision[str]:
    """Decide as charging does."""
    return OWN


@pytest.mark.parametrize(("kind", "extra"), EXTRAS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_rule_that_raises_leaves_the_decision_of_charging_as_it_is(
    kind: type, extra: Extra, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `None` in the place of everything that it looks at breaks each of them, wherever it looks first.
    with pytest.raises((AttributeError, TypeError)):
        extra(*_broken(extra, monkeypatch))
    with capture_logs() as logs:
        asked, decision, working_set, now = _broken(extra, monkeypatch)
        assert beside(lambda *_: decision, extra)(asked, working_set, now) is decision
    assert [(one["event"], one["rule"]) for one in logs] == [("rule beside charging failed", extra.__name__)]
    assert kind in engine.DECIDERS


def _broken(extra: Extra, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any, Any]:
    monkeypatch.setattr(certificates, "Admitted", None)
    decision: Decision[Any] = OWN
    asked: Any = None
    if extra is local_lists_keeping.replacing:
        asked, decision = JoinCard("a", "b", "", replaces=True, actor="test"), Decision(Joined, (None,))
        monkeypatch.setattr(local_lists_keeping, "Joined", None)
    return asked, decision, None, None


def test_every_rule_after_one_that_raises_still_runs() -> None:
    def more(_: object, decision: Decision[Any], *__: object) -> Decision[Any]:
        return Decision(decision.outcome, (*decision.intents, "more"))

    decided: Callable[..., Decision[Any]] = beside(own, more, broken, more)
    assert decided(None, None, None) == Decision(OWN.outcome, (*OWN.intents, "more", "more"))


def test_what_charging_decides_itself_is_wrapped_in_no_other_way() -> None:
    of_charging = {kind for kind in rules._DECIDERS if kind in engine.DECIDERS}
    assert of_charging - set(rules._ENDS) == set(rules._BESIDE) - set(rules._ENDS)


async def test_a_defect_of_operations_costs_no_station_and_no_card_its_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "_used", broken)
    monkeypatch.setattr(reservations, "_reported", broken)
    monkeypatch.setattr(transfer_progress, "after_boot", broken)
    monkeypatch.setattr(commands, "rebooted", broken)
    monkeypatch.setattr(certificates, "Admitted", None)
    monkeypatch.setattr(local_lists_keeping, "Joined", None)
    monkeypatch.setattr(charging_profiles, "LOADED", [])  # nothing can be found by a list
    with capture_logs() as logs:
        async with world.station() as peer:
            status = {"connectorId": 1, "errorCode": "NoError", "status": "Preparing", "timestamp": world.at(0)}
            assert await peer.call("StatusNotification", status) == {}
            started = await peer.start(CARD, 0, world.at(0))
            assert started["idTagInfo"]["status"] == "Accepted"
            assert await world.submit(GuardDue(started["transactionId"], 0)) is True
        joined = await world.submit(JoinCard(CARD, "04FFFFFF", "7", replaces=True, actor="test"))
    assert world.transaction(started["transactionId"]).state == "open"
    assert isinstance(joined, Joined)
    assert (world.card().state, world.card("04FFFFFF").state) == ("lost", "active")
    failed = {one["rule"] for one in logs if one["event"] == "rule beside charging failed"}
    assert failed == {"using", "watching", "watching_boots", "answering_resets", "noting", "replacing", "bounded"}
