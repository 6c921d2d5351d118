"""The parts of a station by name, so that those who act on a station know what it has. Declares; makes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from chargepoint_sim.acts import Acts
    from chargepoint_sim.authorization import Authorizer
    from chargepoint_sim.clock import Clock
    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.delivery import Delivery
    from chargepoint_sim.dialling import Address
    from chargepoint_sim.events import EventStream
    from chargepoint_sim.firmware import Firmware
    from chargepoint_sim.habits import Habits, Timing
    from chargepoint_sim.local_list import LocalList
    from chargepoint_sim.logbook import Logbook
    from chargepoint_sim.maintenance import Maintenance
    from chargepoint_sim.nameplate import Nameplate
    from chargepoint_sim.outbox import Outbox
    from chargepoint_sim.security import Security
    from chargepoint_sim.security_events import SecurityEvents
    from chargepoint_sim.smart_charging import SmartCharging
    from chargepoint_sim.transactions import Transactions
    from chargepoint_sim.uplink import Uplink
    from chargepoint_sim.uploads import Uploads
    from chargepoint_sim.vendors import Vendors


class Parts:
    """What a station is made of. failure: what has ended it."""

    identity: str
    address: Address
    clock: Clock
    nameplate: Nameplate
    habits: Habits
    timing: Timing
    stream: EventStream
    logbook: Logbook
    configuration: Configuration
    local_list: LocalList
    security: Security
    security_events: SecurityEvents
    outbox: Outbox
    authorizer: Authorizer
    vendors: Vendors
    transactions: Transactions
    acts: Acts
    smart_charging: SmartCharging
    maintenance: Maintenance
    uploads: Uploads
    firmware: Firmware
    uplink: Uplink
    delivery: Delivery
    failure: BaseException | None

    @property
    def is_online(self) -> bool:
        """Whether there is a connection on which this station was accepted."""
        return self.uplink.is_online

    def start(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run something beside; if it breaks, every wait raises what broke it."""
        raise AssertionError(coroutine)  # a station does it

    def save(self) -> None:
        """Write the state file."""
