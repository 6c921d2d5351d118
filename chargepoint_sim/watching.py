"""Looking at a station and waiting for it: what tests and commands do most. Changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chargepoint_sim.connector import ConnectorView, view
from chargepoint_sim.parts import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chargepoint_sim.certificates import CertificateStore
    from chargepoint_sim.connector import Reservation
    from chargepoint_sim.events import Record
    from chargepoint_sim.local_list import IdTagInfo
    from chargepoint_sim.profiles import Installed


class Watching(Parts):
    """The methods of a station that look and wait."""

    def connector(self, connector_id: int) -> ConnectorView:
        """A frozen picture of a connector, as of now. Raises NotPossibleError."""
        connector = self.acts.connector(connector_id)
        self.transactions.advance(connector)
        return view(connector)

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """The reservations that hold now."""
        return self.acts.reservations

    @property
    def profiles(self) -> tuple[Installed, ...]:
        """The charging profiles, each with the connector it was set for."""
        return self.transactions.profiles

    @property
    def cache(self) -> dict[str, IdTagInfo]:
        """The authorization cache, by casefolded id tag."""
        return dict(self.authorizer.cache)

    @property
    def certificates(self) -> CertificateStore:
        """The root certificates that are installed."""
        return self.security.store

    @property
    def firmware_version(self) -> str:
        """The version that BootNotification tells."""
        return self.firmware.version

    @property
    def security_profile(self) -> int:
        """The security profile that the next connection uses."""
        return self.security.profile

    def facts(self) -> list[str]:
        """What a log says at its head."""
        outlets = (self.connector(one.connector_id) for one in self.acts.outlets)
        return [
            f"{self.nameplate.vendor} {self.nameplate.model}, firmware {self.firmware.version}",
            f"security profile {self.security_profile}, local list version {self.local_list.version}",
            *(f"connector {one.connector_id}: {one.status}, register {one.register_wh} Wh" for one in outlets),
        ]

    def events(self) -> AsyncIterator[Record]:
        """What happens from this call on."""
        return self.stream.read()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None, what: str = "") -> None:
        """Wait until a condition of this station holds. Raises TimeoutError, or the error that ended the station."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if self.failure is not None:
                        raise self.failure
                    await self.stream.changed()
        except TimeoutError as error:
            message = f"{self.identity}: {what or 'it did not come about'} within {timeout_s} s"
            raise TimeoutError(message) from error

    async def wait_online(self, timeout_s: float | None = None) -> None:
        """Wait until the station is connected and accepted. Raises LinkError (with give_up), TimeoutError."""
        await self.wait_until(lambda: self.is_online, timeout_s, "not accepted")

    async def wait_for_status(self, connector_id: int, status: str, timeout_s: float | None = 60.0) -> None:
        """Wait until a connector has a status. Raises TimeoutError."""
        connector = self.acts.connector(connector_id)
        what = f"connector {connector_id} did not become {status}"
        await self.wait_until(lambda: connector.shown == status, timeout_s, what)

    async def wait_delivered(self, timeout_s: float | None = 60.0) -> None:
        """Wait until the outbox is empty. Raises TimeoutError."""
        await self.wait_until(lambda: not len(self.outbox), timeout_s, "messages are still undelivered")

    async def wait_events_told(self, timeout_s: float | None = 60.0) -> None:
        """Wait until no security event waits to be told. Raises TimeoutError."""
        await self.wait_until(lambda: not self.security_events.waiting, timeout_s, "security events are still untold")
