"""A connector's meter: a lifetime register in Wh that only rises, and readings of it as OCPP writes them.

Knows no time and no transaction: the caller says what flowed and when a reading is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

ENERGY = "Energy.Active.Import.Register"
MEASURANDS = (ENERGY, "Power.Active.Import", "Current.Import", "Voltage", "SoC", "Power.Offered")


class Sample(msgspec.Struct, frozen=True):
    """One sampled value, spelled as on the wire (OCPP 1.6, 7.43)."""

    value: str
    context: str
    measurand: str
    unit: str
    location: str


class Reading(msgspec.Struct, frozen=True):
    """All samples taken at one moment (OCPP 1.6, 7.33)."""

    timestamp: str
    samples: tuple[Sample, ...]


@dataclass
class Meter:
    """register_wh: energy since the meter was built. power_w, offered_w: now. voltage_v, phases: of the connection.

    decimals: written behind the point of energies.
    """

    voltage_v: float
    phases: int
    register_wh: float = 0.0
    power_w: float = 0.0
    offered_w: float = 0.0
    decimals: int = 0

    @property
    def whole_wh(self) -> int:
        """The register as meterStart and meterStop carry it."""
        return int(self.register_wh)

    def flow(self, energy_wh: float, power_w: float) -> None:
        """Count energy. Raises ValueError for a negative amount: the register never falls."""
        if energy_wh < 0:
            message = f"a register cannot count {energy_wh} Wh"
            raise ValueError(message)
        self.register_wh += energy_wh
        self.power_w = power_w

    def read(self, timestamp: str, context: str, measurands: tuple[str, ...], soc: float | None) -> Reading:
        """Read the measurands that have a value now. soc is None without a car that tells it."""
        samples = (self._sample(measurand, context, soc) for measurand in measurands)
        return Reading(timestamp, tuple(sample for sample in samples if sample is not None))

    def _sample(self, measurand: str, context: str, soc: float | None) -> Sample | None:
        if measurand == "SoC" and soc is None:
            return None
        value, unit = {
            ENERGY: (f"{self.whole_wh:.{self.decimals}f}", "Wh"),
            "Power.Active.Import": (f"{self.power_w:.0f}", "W"),
            "Current.Import": (f"{self.power_w / (self.voltage_v * self.phases):.1f}", "A"),
            "Voltage": (f"{self.voltage_v:.1f}", "V"),
            "SoC": (f"{(soc or 0.0) * 100:.0f}", "Percent"),
            "Power.Offered": (f"{self.offered_w:.0f}", "W"),
        }[measurand]
        return Sample(value, context, measurand, unit, "EV" if measurand == "SoC" else "Outlet")
