# mypy: disable-error-code="import-untyped"
"""What people do at a station: cables, cards, faults, the network, and what the station sends of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocpp.v16 import call

from chargepoint_sim.answers import DataTransferAnswer
from chargepoint_sim.parts import Parts

if TYPE_CHECKING:
    from chargepoint_sim.authorization import Verdict
    from chargepoint_sim.car import Car


class People(Parts):
    """The methods of a station that people use."""

    def plug_in(self, connector_id: int, car: Car) -> None:
        """Connect a car. Raises NotPossibleError."""
        self.acts.plug_in(connector_id, car)

    def unplug(self, connector_id: int) -> None:
        """Take the cable out. Raises NotPossibleError."""
        self.acts.unplug(connector_id)

    async def present_card(self, connector_id: int, id_tag: str) -> Verdict:
        """Hold a card to the reader. Returns who decided what; raises NotPossibleError."""
        return await self.acts.present_card(connector_id, id_tag)

    def fault(self, connector_id: int, error_code: str) -> None:
        """Break something, or repair it with "NoError". Raises NotPossibleError."""
        self.acts.fault(connector_id, error_code)

    def drive_away(self) -> None:
        """Let every driver unplug, and nobody charge on (StopTransactionOnEVSideDisconnect may be false)."""
        for connector in self.acts.outlets:
            if connector.car is not None or connector.finishing:
                self.unplug(connector.connector_id)
            self.transactions.stop(connector, "Local")

    def cut_link(self) -> None:
        """Break the connection as a lost network does, and stay offline until `restore_link`."""
        self.uplink.cut()

    def restore_link(self) -> None:
        """Let the station reconnect, at once."""
        self.uplink.restore()

    async def send_data(self, vendor_id: str, message_id: str | None = None, data: str | None = None) -> str:
        """Send a DataTransfer. Returns the status of its answer; raises NotAnsweredError."""
        payload = call.DataTransfer(vendor_id=vendor_id, message_id=message_id, data=data)
        answer = await self.uplink.request(payload, DataTransferAnswer)
        return answer.status

    def tamper(self) -> None:
        """Open the housing, which a station notices."""
        self.security_events.happened("TamperDetectionActivated", "the housing was opened")
