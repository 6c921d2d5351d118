"""What a station makes of DataTransfer: the vendors it knows, among them the display of costs and prices.

Pure but for what it is told. Knows no link.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from chargepoint_sim.display import FinalCost, RunningCost, UserPrice

if TYPE_CHECKING:
    from collections.abc import Callable

    from chargepoint_sim.configuration import Configuration

COSTS = "org.openchargealliance.costmsg"
TAKEN_LIMIT = 200


@dataclass(frozen=True)
class VendorAnswer:
    """DataTransfer.conf (6.16)."""

    status: str = "Accepted"
    data: str | None = None


@dataclass(frozen=True)
class VendorMessage:
    """DataTransfer.req as it came."""

    vendor_id: str
    message_id: str | None
    data: str | None


class Vendors:
    """The vendors one station knows. taken: what has come, the newest last. display: what its screen shows."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._known: dict[str, Callable[[VendorMessage], VendorAnswer]] = {}
        self.taken: deque[VendorMessage] = deque(maxlen=TAKEN_LIMIT)
        self.display = ""

    def register(self, vendor_id: str, answer: Callable[[VendorMessage], VendorAnswer] | None = None) -> None:
        """Know a vendor. answer: what is said to a message; without it everything is Accepted."""
        self._known[vendor_id] = answer or (lambda _message: VendorAnswer())

    def take(self, vendor_id: str, message_id: str | None, data: str | None) -> VendorAnswer:
        """Take a DataTransfer.req (5.6)."""
        message = VendorMessage(vendor_id, message_id, data)
        self.taken.append(message)
        if vendor_id in self._known:
            return self._known[vendor_id](message)
        if vendor_id == COSTS and self._configuration.flag("CustomDisplayCostAndPrice"):
            return self._show(message)
        return VendorAnswer("UnknownVendorId")

    def _show(self, message: VendorMessage) -> VendorAnswer:
        """California Pricing: a price before charging, the cost while and after it."""
        try:
            if message.message_id == "SetUserPrice":
                self.display = msgspec.json.decode(message.data or "", type=UserPrice).price_text
            elif message.message_id == "RunningCost":
                self.display = f"{msgspec.json.decode(message.data or '', type=RunningCost).cost:g}"
            elif message.message_id == "FinalCost":
                self.display = msgspec.json.decode(message.data or "", type=FinalCost).price_text
            else:
                return VendorAnswer("UnknownMessageId")
        except msgspec.DecodeError as error:
            return VendorAnswer("Rejected", str(error))
        return VendorAnswer()
