"""MeterValues (OCPP 1.6, 4.7): readings of a connector, in a transaction or not."""

from csms.charging import metering
from csms.handlers.exchange import Exchange, meter_values
from csms.handlers.messages import MeterValues, MeterValuesResult


async def handle(call: MeterValues, exchange: Exchange) -> MeterValuesResult:
    """Store the readings and let the credit guard see them."""
    values = meter_values(call.meter_value, exchange)
    said = metering.MeterValues(exchange.charge_point_id, call.connector_id, call.transaction_id, values)
    await exchange.submit(said)
    return MeterValuesResult()
