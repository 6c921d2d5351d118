"""Many stations that charge random cars with random pauses, until they are told to end.

Knows no terminal. Chance comes from a seed, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargepoint_sim.car import random_car
from chargepoint_sim.errors import NotPossibleError
from chargepoint_sim.events import Noted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chargepoint_sim.station import Station

PAUSE_AFTER_REFUSAL_S = 5.0


@dataclass(frozen=True)
class Habitat:
    """What drivers do. Minutes are simulated; leave_early: how likely one goes before the car is full."""

    pause_minutes: tuple[float, float] = (2.0, 20.0)
    stay_minutes: tuple[float, float] = (10.0, 60.0)
    leave_early: float = 0.4


class Cards:
    """The cards of all drivers; one card is in use at one place at a time."""

    def __init__(self, id_tags: Sequence[str], chance: random.Random) -> None:
        self._free = list(id_tags)
        self._chance = chance
        self._returned = asyncio.Condition()

    async def take(self) -> str:
        """Wait for a free card."""
        async with self._returned:
            await self._returned.wait_for(lambda: bool(self._free))
            return self._free.pop(self._chance.randrange(len(self._free)))

    async def give_back(self, id_tag: str) -> None:
        """Let another driver have it."""
        async with self._returned:
            self._free.append(id_tag)
            self._returned.notify()


class Driver:
    """Who comes to one connector, one after the other."""

    def __init__(
        self, station: Station, connector_id: int, cards: Cards, habitat: Habitat, chance: random.Random
    ) -> None:
        self._station = station
        self._connector_id = connector_id
        self._cards = cards
        self._habitat = habitat
        self._chance = chance

    async def come_and_go(self) -> None:
        """Charge car after car, for ever."""
        while True:
            await self._station.clock.sleep(60 * self._chance.uniform(*self._habitat.pause_minutes))
            await self._station.uplink.online()
            if self._station.connector(self._connector_id).status != "Available":
                continue
            id_tag = await self._cards.take()
            try:
                await self._visit(id_tag)
            except NotPossibleError as error:
                self._station.stream.emit(Noted(text=str(error)))
            finally:
                await self._cards.give_back(id_tag)

    async def _visit(self, id_tag: str) -> None:
        station, number = self._station, self._connector_id
        station.plug_in(number, random_car(self._chance))
        verdict = await station.present_card(number, id_tag)
        if verdict.accepted:
            await self._charge(id_tag)
        else:
            await asyncio.sleep(PAUSE_AFTER_REFUSAL_S)
        if station.connector(number).plugged:
            station.unplug(number)

    async def _charge(self, id_tag: str) -> None:
        """Stay until the car is full, the transaction ended without us, or the driver has to go; then stop by card."""
        station, number = self._station, self._connector_id
        early = self._chance.random() < self._habitat.leave_early
        stay_s = 60 * self._chance.uniform(*self._habitat.stay_minutes) / station.clock.speed if early else None
        try:
            await station.wait_until(lambda: station.connector(number).status in {"SuspendedEV", "Finishing"}, stay_s)
        except TimeoutError:
            station.stream.emit(Noted(text=f"connector {number}: the driver of {id_tag} has to go"))
        if station.connector(number).id_tag is not None:
            await station.present_card(number, id_tag)


async def charge_for_ever(
    stations: Sequence[Station], id_tags: Sequence[str], seed: int | None, habitat: Habitat | None = None
) -> None:
    """Bring drivers to every connector of stations that run already, until this is cancelled."""
    chance = random.Random(seed)
    cards = Cards(id_tags, chance)
    async with asyncio.TaskGroup() as group:
        for station in stations:
            for connector in station.acts.outlets:
                own = random.Random(chance.random())
                driver = Driver(station, connector.connector_id, cards, habitat or Habitat(), own)
                group.create_task(driver.come_and_go())
