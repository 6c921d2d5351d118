"""LogStatusNotification (Security Whitepaper edition 3, 4.6): how far an upload of a log is."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import LogStatusNotification, LogStatusNotificationResult
from csms.operations.transfer_progress import TransferStatus


async def handle(call: LogStatusNotification, exchange: Exchange) -> LogStatusNotificationResult:
    """Store the status; an unknown request id is answered like any other."""
    await exchange.submit(TransferStatus(exchange.charge_point_id, "log", call.status, call.request_id))
    return LogStatusNotificationResult()
