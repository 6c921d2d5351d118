"""SignedFirmwareStatusNotification (Security Whitepaper edition 3, 4.9): how far a signed firmware update is."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import SignedFirmwareStatusNotification, SignedFirmwareStatusNotificationResult
from csms.operations.transfer_progress import TransferStatus


async def handle(call: SignedFirmwareStatusNotification, exchange: Exchange) -> SignedFirmwareStatusNotificationResult:
    """Store the status; an unknown request id is answered like any other."""
    await exchange.submit(TransferStatus(exchange.charge_point_id, "firmware", call.status, call.request_id))
    return SignedFirmwareStatusNotificationResult()
