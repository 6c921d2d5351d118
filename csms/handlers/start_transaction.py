"""StartTransaction (OCPP 1.6, 4.8): a notification of what has happened already, so it is never refused, only
answered.
"""

import structlog

from csms.charging import transactions
from csms.handlers.authorize import id_tag_info
from csms.handlers.exchange import Exchange
from csms.handlers.messages import StartTransaction, StartTransactionResult
from csms.handlers.timestamps import read_timestamp

log = structlog.get_logger()


async def handle(call: StartTransaction, exchange: Exchange) -> StartTransactionResult:
    """Store the transaction and answer with its id and the status of the card."""
    read = read_timestamp(call.timestamp, exchange.now)
    said = transactions.StartTransaction(
        exchange.charge_point_id,
        call.connector_id,
        call.id_tag,
        call.meter_start,
        read.happened_at,
        call.timestamp,
        (*exchange.flags, *read.flags),
        call.reservation_id,
    )
    started: transactions.Started = await exchange.submit(said)
    status, reason = started.authorization.status, started.authorization.reason
    if not started.repeated:
        log.info("transaction begins", transaction=started.transaction_id, status=status, reason=reason)
    return StartTransactionResult(
        id_tag_info=id_tag_info(started.authorization),
        transaction_id=started.transaction_id,
    )
