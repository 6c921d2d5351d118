"""A running central system and stations that reconnect, reboot and repeat without making a test wait."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Clock, Station, Timing
from tests.chargepoint_sim.central_system import CentralSystem, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

QUICK = Timing(
    answer_s=60,
    reconnect_first_s=0.02,
    reconnect_max_s=0.1,
    reboot_s=0.05,
    boot_retry_s=0.05,
    sample_gap_s=0.05,
    maintenance_s=0.01,
)
IMPATIENT = replace(QUICK, answer_s=0.3)  # where an answer never comes; elsewhere a busy machine may take its time
MINUTE_PER_SECOND = 60.0


class Unhurried:
    """Seconds as cars feel them: a machine that stood still for a while does not let them charge for so long."""

    longest_s = 0.06  # a little more than a tick

    def __init__(self) -> None:
        self._read_s = time.monotonic()
        self._felt_s = 0.0

    def __call__(self) -> float:
        """Seconds since it was made, of which a look after a long while sees only the first few hundredths."""
        before_s, self._read_s = self._read_s, time.monotonic()
        self._felt_s += min(self._read_s - before_s, self.longest_s)
        return self._felt_s


def unhurried(speed: float) -> Clock:
    """A clock for cars whose energy a test counts."""
    return Clock(speed=speed, monotonic=Unhurried())


@pytest.fixture
async def central() -> AsyncIterator[CentralSystem]:
    async with running(CentralSystem()) as peer:
        yield peer


@pytest.fixture
def make(central: CentralSystem) -> Callable[..., Station]:
    """A station of the running central system; at 1,200 times real time a car takes 11 kWh in three seconds."""

    def build(identity: str = "SIM-1", **options: Any) -> Station:
        defaults = {"clock": unhurried(1200), "seed": 1, "timing": QUICK}
        url = options.pop("url", central.url)
        return Station(identity, url, **(defaults | options))

    return build
