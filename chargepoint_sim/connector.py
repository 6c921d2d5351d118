"""One connector: what is true of it, and the status that follows from that (OCPP 1.6, 4.9).

The status is never set; it is read off the facts, so that no order of events can leave a wrong one behind.
Knows no link and no message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from chargepoint_sim.meter import Meter, Reading
from chargepoint_sim.profiles import Outlet

if TYPE_CHECKING:
    from chargepoint_sim.car import Car
    from chargepoint_sim.profiles import Profile

NO_ERROR = "NoError"
ERROR_CODES = (
    "ConnectorLockFailure",
    "EVCommunicationError",
    "GroundFailure",
    "HighTemperature",
    "InternalError",
    "LocalListConflict",
    "OtherError",
    "OverCurrentFailure",
    "OverVoltage",
    "PowerMeterFailure",
    "PowerSwitchFailure",
    "ReaderFailure",
    "ResetFailure",
    "UnderVoltage",
    "WeakSignal",
)


@dataclass(frozen=True)
class ConnectorSpec:
    """How a connector is built. current: "AC" or "DC". fixed_cable: then it cannot be unlocked."""

    connector_id: int
    current: Literal["AC", "DC"] = "AC"
    max_power_w: float = 11_000.0
    voltage_v: float = 230.0
    phases: int = 3
    fixed_cable: bool = False

    @property
    def outlet(self) -> Outlet:
        """The numbers that limits are computed with."""
        return Outlet(self.connector_id, self.voltage_v, self.phases, self.max_power_w)


def ac(connector_id: int, max_power_w: float = 11_000.0) -> ConnectorSpec:
    """A three-phase AC outlet."""
    return ConnectorSpec(connector_id, "AC", max_power_w)


def dc(connector_id: int, max_power_w: float = 50_000.0) -> ConnectorSpec:
    """A DC outlet with its cable attached."""
    return ConnectorSpec(connector_id, "DC", max_power_w, voltage_v=400.0, phases=1, fixed_cable=True)


@dataclass(frozen=True)
class Permit:
    """An accepted card that waits for a cable."""

    id_tag: str
    parent_id_tag: str | None
    profile: Profile | None = None


class Reservation(msgspec.Struct, frozen=True):
    """A reserved connector (5.13); connector_id 0 asks for any one to stay free."""

    reservation_id: int
    connector_id: int
    id_tag: str
    parent_id_tag: str | None
    expires_at: datetime

    def admits(self, id_tag: str, parent_id_tag: str | None) -> bool:
        """Whether this card is the one it was made for, or one of the same parent."""
        if id_tag.casefold() == self.id_tag.casefold():
            return True
        if parent_id_tag is None or self.parent_id_tag is None:
            return False
        return parent_id_tag.casefold() == self.parent_id_tag.casefold()


@dataclass
class Transaction:
    """A transaction that runs. number: the station's own; transaction_id: the central system's, once it is known.

    began_s, advanced_s, sampled_s are on the accelerated clock. allowance_wh: what an invalid card may still draw.
    stops_refused: how many remote stops of it were rejected.
    """

    number: int
    id_tag: str
    parent_id_tag: str | None
    meter_start: int
    began_s: float
    advanced_s: float
    sampled_s: float
    transaction_id: int | None = None
    energised: bool = False
    allowance_wh: float | None = None
    stops_refused: int = 0
    readings: list[Reading] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Connector:
    """The facts of one connector.

    finishing: a transaction ended and its cable is still in. updating: new firmware is being installed.
    """

    spec: ConnectorSpec
    meter: Meter
    car: Car | None = None
    permit: Permit | None = None
    transaction: Transaction | None = None
    reservation: Reservation | None = None
    operative: bool = True
    becomes_operative: bool | None = None
    finishing: bool = False
    updating: bool = False
    error_code: str = NO_ERROR
    shown: str = "Available"
    reported: tuple[str, str] | None = None

    @property
    def connector_id(self) -> int:
        """Its number, from 1."""
        return self.spec.connector_id

    @property
    def free(self) -> bool:
        """Whether a card may begin something here."""
        usable = self.operative and self.becomes_operative is not False and self.error_code == NO_ERROR
        usable = usable and not self.updating
        return usable and self.transaction is None and self.permit is None

    @property
    def draws(self) -> bool:
        """Whether a car takes energy here, or would if it were offered some."""
        running = self.transaction is not None and self.transaction.energised
        return running and self.car is not None and not self.car.full and self.error_code == NO_ERROR

    @property
    def status(self) -> str:  # noqa: PLR0911  a table in prose; the order is the rule
        """The ChargePointStatus (7.7) that the facts amount to."""
        if self.error_code != NO_ERROR:
            return "Faulted"
        usable = self.operative and not self.updating
        if self.connector_id == 0:
            return "Available" if usable else "Unavailable"
        if self.transaction is not None:
            return self._status_in_transaction(self.transaction)
        if self.finishing:
            return "Finishing"
        if not usable:
            return "Unavailable"
        if self.permit is not None or self.car is not None:
            return "Preparing"
        return "Available" if self.reservation is None else "Reserved"

    def _status_in_transaction(self, transaction: Transaction) -> str:
        if not transaction.energised:
            return "Preparing"
        if self.car is None:
            return "SuspendedEV"
        if self.meter.offered_w <= 0:
            return "SuspendedEVSE"
        return "SuspendedEV" if self.car.full else "Charging"


def build(spec: ConnectorSpec, register_wh: float = 0.0) -> Connector:
    """A connector with its meter at a register."""
    return Connector(spec, Meter(spec.voltage_v, spec.phases, register_wh))


@dataclass(frozen=True)
class ConnectorView:
    """What a person or a test sees of a connector. plugged: a cable is in. energy_wh: of the running transaction."""

    connector_id: int
    status: str
    plugged: bool
    register_wh: int
    power_w: float
    id_tag: str | None
    transaction_id: int | None
    energy_wh: int
    soc: float | None


def view(connector: Connector) -> ConnectorView:
    """A frozen picture of a connector."""
    transaction = connector.transaction
    return ConnectorView(
        connector_id=connector.connector_id,
        status=connector.status,
        plugged=connector.car is not None or connector.finishing,
        register_wh=connector.meter.whole_wh,
        power_w=connector.meter.power_w,
        id_tag=transaction.id_tag if transaction else None,
        transaction_id=transaction.transaction_id if transaction else None,
        energy_wh=connector.meter.whole_wh - transaction.meter_start if transaction else 0,
        soc=connector.car.soc if connector.car else None,
    )
