"""A car: how much power it takes at a state of charge, and what that does to its battery.

Pure arithmetic on frozen values; knows no time, no connector and no protocol. The curve is the usual one: power ramps
up when charging begins, stays at the car's maximum (or at what is offered) to about 80 % and then tapers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

RAMP_S = 20.0
TAPER_FROM_SOC = 0.8
TAPER_FLOOR = 0.05
FULL_WITHIN_WH = 0.5


@dataclass(frozen=True)
class Car:
    """A car as it stands at a connector.

    battery_wh: usable capacity. soc: state of charge, 0 to 1. target_soc: where the driver told it to stop.
    max_ac_w, max_dc_w: what its charger and its battery take. efficiency: battery energy per metered energy.
    charging_s: how long it has been charging in this visit, for the ramp.
    """

    battery_wh: float = 60_000.0
    soc: float = 0.3
    target_soc: float = 1.0
    max_ac_w: float = 11_000.0
    max_dc_w: float = 120_000.0
    efficiency: float = 0.94
    charging_s: float = 0.0

    @property
    def full(self) -> bool:
        """Whether the car takes nothing more."""
        return (self.target_soc - self.soc) * self.battery_wh < FULL_WITHIN_WH

    @property
    def wanted_wh(self) -> float:
        """The metered energy the car still wants."""
        return max(0.0, (self.target_soc - self.soc) * self.battery_wh / self.efficiency)


@dataclass(frozen=True)
class Step:
    """What a stretch of charging did: the car afterwards, the metered energy and the mean power."""

    car: Car
    energy_wh: float
    power_w: float


def accepted_w(car: Car, current: str, offered_w: float) -> float:
    """The power in W a car takes of what is offered. current: "AC" or "DC"."""
    if car.full or offered_w <= 0:
        return 0.0
    max_w = car.max_ac_w if current == "AC" else car.max_dc_w
    ramp = min(1.0, (car.charging_s + 1.0) / RAMP_S)
    beyond = max(0.0, car.soc - TAPER_FROM_SOC) / (1.0 - TAPER_FROM_SOC)
    taper = 1.0 - (1.0 - TAPER_FLOOR) * min(1.0, beyond)
    return min(offered_w, max_w * ramp * taper)


def charge(car: Car, current: str, offered_w: float, seconds: float) -> Step:
    """Charge for a short stretch (at most some 10 s, while the curve is nearly flat)."""
    power_w = accepted_w(car, current, offered_w)
    if power_w <= 0 or seconds <= 0:
        return Step(car, 0.0, 0.0)
    energy_wh = min(power_w * seconds / 3600.0, car.wanted_wh)
    soc = min(car.target_soc, car.soc + energy_wh * car.efficiency / car.battery_wh)
    moved = replace(car, soc=soc, charging_s=car.charging_s + seconds)
    return Step(moved, energy_wh, 0.0 if moved.full else power_w)


def random_car(rng: random.Random) -> Car:
    """A car as it might turn in from the road."""
    return Car(
        battery_wh=rng.choice((38_000.0, 52_000.0, 60_000.0, 77_000.0, 95_000.0)),
        soc=round(rng.uniform(0.1, 0.7), 2),
        target_soc=rng.choice((0.8, 0.9, 1.0)),
        max_ac_w=rng.choice((3_700.0, 7_400.0, 11_000.0, 11_000.0, 22_000.0)),
        max_dc_w=rng.choice((50_000.0, 100_000.0, 130_000.0, 150_000.0)),
    )
