"""StatusNotification (OCPP 1.6, 4.9): what a connector, or the whole charge point (0), says of itself."""

from csms.charging import stations
from csms.charging.facts import ConnectorStatus
from csms.handlers.exchange import Exchange
from csms.handlers.messages import StatusNotification, StatusNotificationResult
from csms.handlers.timestamps import read_timestamp


async def handle(call: StatusNotification, exchange: Exchange) -> StatusNotificationResult:
    """Store the status."""
    read = read_timestamp(call.timestamp, exchange.now)
    status = ConnectorStatus(
        exchange.charge_point_id,
        call.connector_id,
        call.status,
        call.error_code,
        call.info or "",
        call.vendor_error_code or "",
        read.happened_at,
    )
    await exchange.submit(stations.StatusNotification(status, read.claimed_at))
    return StatusNotificationResult()
