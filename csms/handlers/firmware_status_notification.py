"""FirmwareStatusNotification (OCPP 1.6, 4.5): how far a firmware update is."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import FirmwareStatusNotification, FirmwareStatusNotificationResult
from csms.operations.transfer_progress import TransferStatus


async def handle(call: FirmwareStatusNotification, exchange: Exchange) -> FirmwareStatusNotificationResult:
    """Store the status."""
    await exchange.submit(TransferStatus(exchange.charge_point_id, "firmware", call.status))
    return FirmwareStatusNotificationResult()
