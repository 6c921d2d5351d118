"""A running central system and stations that reconnect, reboot and repeat without making a test wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Clock, Station, Timing
from tests.chargepoint_sim.central_system import CentralSystem, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

QUICK = Timing(
    answer_s=0.3,
    reconnect_first_s=0.02,
    reconnect_max_s=0.1,
    reboot_s=0.05,
    boot_retry_s=0.05,
    sample_gap_s=0.05,
    maintenance_s=0.01,
)
# For a real central system: on a busy machine it takes its time, and an answer that came too late would be asked for
# again and again.
PATIENT = replace(QUICK, answer_s=20)
MINUTE_PER_SECOND = 60.0


@pytest.fixture
async def central() -> AsyncIterator[CentralSystem]:
    async with running(CentralSystem()) as peer:
        yield peer


@pytest.fixture
def make(central: CentralSystem) -> Callable[..., Station]:
    """A station of the running central system; at 1,200 times real time a car takes 11 kWh in three seconds."""

    def build(identity: str = "SIM-1", **options: Any) -> Station:
        defaults = {"clock": Clock(speed=1200), "seed": 1, "timing": QUICK}
        url = options.pop("url", central.url)
        return Station(identity, url, **(defaults | options))

    return build
