"""DataTransfer (OCPP 1.6, 4.3): messages of vendors. None is registered, so each gets the answer for an unknown
vendor.
"""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import DataTransfer, DataTransferResult


async def handle(call: DataTransfer, exchange: Exchange) -> DataTransferResult:  # noqa: ARG001 - every handler takes these
    """Answer UnknownVendorId (4.3: where the recipient has no implementation for the vendor)."""
    return DataTransferResult(status="UnknownVendorId")
