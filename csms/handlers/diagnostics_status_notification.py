"""DiagnosticsStatusNotification (OCPP 1.6, 4.4): how far an upload of diagnostics is."""

from csms.charging.stations import ProgressNotification
from csms.handlers.exchange import Exchange
from csms.handlers.messages import DiagnosticsStatusNotification, DiagnosticsStatusNotificationResult


async def handle(call: DiagnosticsStatusNotification, exchange: Exchange) -> DiagnosticsStatusNotificationResult:
    """Store the status."""
    await exchange.submit(ProgressNotification(exchange.charge_point_id, "diagnostics", call.status))
    return DiagnosticsStatusNotificationResult()
