"""DiagnosticsStatusNotification (OCPP 1.6, 4.4): how far an upload of diagnostics is."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import DiagnosticsStatusNotification, DiagnosticsStatusNotificationResult
from csms.operations.transfer_progress import TransferStatus


async def handle(call: DiagnosticsStatusNotification, exchange: Exchange) -> DiagnosticsStatusNotificationResult:
    """Store the status."""
    await exchange.submit(TransferStatus(exchange.charge_point_id, "diagnostics", call.status))
    return DiagnosticsStatusNotificationResult()
