"""Heartbeat (OCPP 1.6, 4.6): a charge point asks for the time. That it was heard of is noted for all of them
together.
"""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import Heartbeat, HeartbeatResult
from csms.handlers.timestamps import write_timestamp


async def handle(call: Heartbeat, exchange: Exchange) -> HeartbeatResult:  # noqa: ARG001 - every handler takes these
    """Answer with the time."""
    return HeartbeatResult(current_time=write_timestamp(exchange.now))
