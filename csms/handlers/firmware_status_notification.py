"""FirmwareStatusNotification (OCPP 1.6, 4.5): how far a firmware update is."""

from csms.charging.stations import ProgressNotification
from csms.handlers.exchange import Exchange
from csms.handlers.messages import FirmwareStatusNotification, FirmwareStatusNotificationResult


async def handle(call: FirmwareStatusNotification, exchange: Exchange) -> FirmwareStatusNotificationResult:
    """Store the status."""
    await exchange.submit(ProgressNotification(exchange.charge_point_id, "firmware", call.status))
    return FirmwareStatusNotificationResult()
