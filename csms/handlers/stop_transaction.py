"""StopTransaction (OCPP 1.6, 4.10): answered as if valid, whatever its transaction id (errata 3.18 and 3.54)."""

import structlog

from csms.charging import transactions
from csms.handlers.authorize import id_tag_info
from csms.handlers.exchange import Exchange, meter_values
from csms.handlers.messages import StopTransaction, StopTransactionResult
from csms.handlers.timestamps import read_timestamp

log = structlog.get_logger()


async def handle(call: StopTransaction, exchange: Exchange) -> StopTransactionResult:
    """End the transaction, charge it once, and answer about the card that stopped it."""
    read = read_timestamp(call.timestamp, exchange.now)
    said = transactions.StopTransaction(
        exchange.charge_point_id,
        call.transaction_id,
        call.id_tag,
        call.meter_stop,
        read.happened_at,
        call.timestamp,
        call.reason,
        meter_values(call.transaction_data or (), exchange),
        (*exchange.flags, *read.flags),
    )
    stopped: transactions.Stopped = await exchange.submit(said)
    if not stopped.repeated:
        log.info("transaction ends", transaction=stopped.transaction_id, reason=call.reason or "Local")
    answer = stopped.authorization
    return StopTransactionResult(id_tag_info=None if answer is None else id_tag_info(answer))
