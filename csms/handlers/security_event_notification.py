"""SecurityEventNotification (Security Whitepaper, 5.15): something happened to the security of a charge point."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import SecurityEventNotification, SecurityEventNotificationResult
from csms.handlers.timestamps import read_timestamp
from csms.operations.security_events import SecurityNotification


async def handle(call: SecurityEventNotification, exchange: Exchange) -> SecurityEventNotificationResult:
    """Store the event, once."""
    read = read_timestamp(call.timestamp, exchange.now)
    said = SecurityNotification(
        exchange.charge_point_id,
        call.type,
        read.happened_at,
        call.timestamp,
        exchange.now,
        call.tech_info or "",
        "; ".join(read.flags),
    )
    await exchange.submit(said)
    return SecurityEventNotificationResult()
