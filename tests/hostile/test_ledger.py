"""Any message of any shape in any order: the station is answered, and the ledger stays exact, on both databases.

Seeded. `HOSTILE_FRAMES=20000` makes it longer.
"""

import json
import os
import random
import re
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.hostile import frames
from tests.support.ledger import violations
from tests.support.world import World

_FRAMES = int(os.environ.get("HOSTILE_FRAMES", "150"))
_CARDS = ("CARD000009", "CARD000010", "CARD000011")
_CREDIT_MINOR = 40_000
_BOOT = '[2,"boot","BootNotification",{"chargePointVendor":"Hostile","chargePointModel":"H"}]'


class Station:
    """A station that says whatever it likes, and after each frame asks whether anybody is still there."""

    def __init__(self, world: World, identity: str) -> None:
        self._world = world
        self._identity = identity
        self._socket: Any = None
        self._probes = 0
        self.transaction_ids: list[int] = []
        self.answers: Counter[str] = Counter()

    async def say(self, data: bytes) -> list[list[Any]] | None:
        """Send a frame and return what came back before the answer to a heartbeat; None where it was closed."""
        try:
            if self._socket is None:
                url = self._world.url + self._identity
                subprotocols = [Subprotocol("ocpp1.6")]
                self._socket = await connect(
                    url, subprotocols=subprotocols, compression=None, proxy=None, open_timeout=60
                )
                await self._exchange(_BOOT.encode())
            return await self._exchange(data)
        except ConnectionClosed:
            self._socket = None
            return None

    async def _exchange(self, data: bytes) -> list[list[Any]]:
        self._probes += 1
        probe = f"probe {self._probes}"
        await self._socket.send(data, text=True)
        await self._socket.send(json.dumps([2, probe, "Heartbeat", {}]))
        found: list[list[Any]] = []
        while True:
            answer = json.loads(await self._socket.recv())
            if answer[0] == 2:  # ours to do; it does not
                continue
            if answer[1] == probe:
                return found
            found.append(answer)
            kind = "result" if answer[0] == 3 else answer[2]
            self.answers[kind] += 1
            if kind == "result" and "transactionId" in answer[2]:
                self.transaction_ids.append(answer[2]["transactionId"])

    async def close(self) -> None:
        """Go away."""
        if self._socket is not None:
            await self._socket.close()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _wants_answer(data: bytes) -> Any:
    """Return the message id of a frame that is a call beyond doubt; None where that can be disputed."""
    try:
        said = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, list) or len(said) != 4 or said[0] != 2 or isinstance(said[0], (bool, float)):
        return None
    is_id = isinstance(said[1], str) and re.fullmatch(r"[\w -]{1,128}", said[1], re.ASCII)  # else it cannot be repeated
    return said[1] if is_id and isinstance(said[2], str) and isinstance(said[3], dict) else None


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_stations_say_they_are_answered_and_the_ledger_is_exact(world: World, seed: int) -> None:
    rng = random.Random(seed)
    await world.add_station("CP2")
    for tag in _CARDS:
        await world.issue_card(tag, _CREDIT_MINOR)
    stations = [Station(world, "CP1"), Station(world, "CP2")]
    closed = 0
    with capture_logs() as lines:
        for number in range(_FRAMES):
            station = rng.choice(stations)
            ids = [one for each in stations for one in each.transaction_ids]
            rng.shuffle(ids)
            right = rng.random() < 0.5
            frame = frames.valid(rng, f"f{number}", ids)
            data = frames.written(frame) if right else frames.mutated(rng, frame)
            times = 2 if rng.random() < 0.3 else 1
            for _ in range(times):
                answers = await station.say(data)
                closed += answers is None
                if answers is None:
                    continue
                asked = _wants_answer(data)
                assert asked is None or [one[1] for one in answers] == [asked], data.strip()[:500]
                assert not right or answers[0][0] == 3, (data.strip()[:500], answers)
    for station in stations:
        await station.close()
    assert [line for line in lines if line["log_level"] in {"error", "critical"}] == []
    assert violations(world.database, world.installation.currency) == []
    assert sum(world.card(tag).balance_minor for tag in _CARDS) == len(_CARDS) * _CREDIT_MINOR - _charged(world)
    assert sum((one.answers for one in stations), Counter())["InternalError"] == 0
    assert len(world.transactions()) > _FRAMES // 40, "it began too little to disturb anything"
    assert closed < _FRAMES // 2, "it was hardly ever listened to"


def _charged(world: World) -> int:
    """Return what the transactions of the cards say that they cost."""
    return sum(one.cost_minor for one in world.transactions() if one.state == "ended" and not one.uncharged_reason)
