"""Messages of vendors that charge points send (DataTransfer: OCPP 1.6, 4.3), and which vendors are registered. Pure.

A vendor is registered with the messages that are taken (none named: all), the answer they get, and whether their data
are kept. That somebody sent a message is always noted; of each charge point the latest are kept.
"""

from datetime import datetime
from typing import Literal

import msgspec

from csms.billing.books import Decision
from csms.charging.working_set import Names, WorkingSet

VENDORS = "data transfer vendors"  # what the store is asked for by name, and brings
DATA_LENGTH = 16_384  # of one message that is kept

TransferStatus = Literal["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"]


class Vendor(msgspec.Struct, frozen=True):
    """A registered vendor; fields as in the table `data_transfer_vendor`."""

    vendor_key: str
    vendor_id: str
    message_ids: str  # one a line; none: any
    status: str
    keeps_data: bool

    def takes(self, message_id: str | None) -> bool:
        """Tell whether a message is among those that are taken; case does not matter."""
        known = {one.strip().casefold() for one in self.message_ids.splitlines() if one.strip()}
        return not known or (message_id or "").casefold() in known


class TakeDataTransfer(msgspec.Struct, frozen=True):
    """A charge point sends a message of a vendor."""

    charge_point_id: int
    vendor_id: str
    message_id: str | None
    data: str | None

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.more.setdefault(VENDORS, set()).add(vendor_key(self.vendor_id))


class DataTransferTaken(msgspec.Struct, frozen=True):
    """What came and how it was answered; fields as in the table `data_transfer`."""

    charge_point_id: int
    vendor_id: str
    message_id: str | None
    data: str | None
    length: int
    status: TransferStatus
    received_at: datetime


def vendor_key(vendor_id: str) -> str:
    """Return the name under which a vendor is known: case does not matter (OCPP 1.6: CiString255Type)."""
    return vendor_id.strip().casefold()[:255]


def take(said: TakeDataTransfer, working_set: WorkingSet, now: datetime) -> Decision[TransferStatus]:
    """Answer as the vendor is registered; of vendors that are not, only that they sent something is noted."""
    vendor: Vendor | None = working_set.more.get(VENDORS, {}).get(vendor_key(said.vendor_id))
    status: TransferStatus = "UnknownVendorId"
    data = None
    if vendor is not None and not vendor.takes(said.message_id):
        status = "UnknownMessageId"
    elif vendor is not None:
        status = "Accepted" if vendor.status == "Accepted" else "Rejected"
        data = said.data[:DATA_LENGTH] if vendor.keeps_data and said.data is not None else None
    taken = DataTransferTaken(
        said.charge_point_id, said.vendor_id, said.message_id, data, len(said.data or ""), status, now
    )
    return Decision(status, (taken,))
