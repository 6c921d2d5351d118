"""A call that meets a defect of ours is kept as it came; where even that fails, the charge point keeps it itself."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from websockets.exceptions import ConnectionClosed

from csms.charging.defects import DEFECT, KeepDefect
from csms.charging.reviews import NotResolved, ResolveReview
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.handlers import HANDLERS
from csms.operations.rules import RULES
from tests.support.peer import Refused
from tests.support.world import CARD, World

_STOP = {"transactionId": 7, "meterStop": 4200, "timestamp": "2026-11-23T08:00:00Z", "idTag": CARD}


def _broken(*_: object) -> Any:
    raise ZeroDivisionError


async def _broken_handler(*_: object) -> Any:
    raise ZeroDivisionError


async def test_a_stop_that_meets_a_defect_is_kept_as_it_came(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES.deciders, StopTransaction, _broken)
    async with world.station() as peer:
        with pytest.raises(Refused, match="InternalError"):
            await peer.call("StopTransaction", _STOP, message_id="s1")
    (item,) = world.review_items()
    assert item.kind == DEFECT
    assert item.charge_point == "CP1"
    assert json.loads(item.evidence_json) == [2, "s1", "StopTransaction", _STOP]
    assert "StopTransaction" in item.explanation


async def test_a_message_that_comes_again_is_kept_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES.deciders, StopTransaction, _broken)
    for message_id in ("s1", "s1", "s2"):
        async with world.station() as peer:
            with pytest.raises(Refused, match="InternalError"):
                await peer.call("StopTransaction", _STOP, message_id=message_id)
    assert len(world.review_items()) == 1
    async with world.station() as peer:
        with pytest.raises(Refused, match="InternalError"):
            await peer.call("StopTransaction", _STOP | {"meterStop": 4300})
    assert len(world.review_items()) == 2


async def test_the_defect_of_a_handler_is_kept_without_its_secrets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, "DataTransfer", _broken_handler)
    async with world.station() as peer:
        with pytest.raises(Refused, match="InternalError"):
            await peer.call("DataTransfer", {"vendorId": "v", "data": '{"password": "hunter2"}'})
        assert "currentTime" in await peer.call("Heartbeat", {})
    (item,) = world.review_items()
    assert "hunter2" not in item.evidence_json
    assert "DataTransfer" in item.evidence_json


async def test_where_it_cannot_be_kept_the_connection_ends_without_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES.deciders, StartTransaction, _broken)
    monkeypatch.setitem(RULES.deciders, KeepDefect, _broken)
    async with world.station() as peer:
        with pytest.raises((ConnectionError, ConnectionClosed)):
            await peer.start(CARD, 0, world.at(0))
        assert peer.socket.close_code == 1011
    assert world.review_items() == []


async def test_where_the_storage_fails_meanwhile_the_connection_ends_without_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: object) -> Any:
        raise OperationalError("INSERT", {}, OSError("disk full"))

    monkeypatch.setitem(HANDLERS, "StartTransaction", _broken_handler)
    async with world.station() as peer:
        monkeypatch.setattr(world.engine, "_unit_of_work", unwritable)
        with pytest.raises((ConnectionError, ConnectionClosed)):
            await peer.start(CARD, 0, world.at(0))
        assert peer.socket.close_code == 1013
        monkeypatch.undo()


async def test_a_person_can_only_note_that_it_was_seen_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES.deciders, StopTransaction, _broken)
    async with world.station() as peer:
        with pytest.raises(Refused):
            await peer.call("StopTransaction", _STOP)
    (item,) = world.review_items()
    asked = ResolveReview(item.key, "assign", "it was hers", "test", "form-key-0123456789", 4200, CARD)
    assert await world.submit(asked) == NotResolved("not possible here")
    asked = ResolveReview(item.key, "waive", "booked by hand", "test", "form-key-0123456789")
    await world.submit(asked)
    assert world.review_items()[0].decision == "waive"
