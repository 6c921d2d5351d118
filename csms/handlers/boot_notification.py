"""BootNotification (OCPP 1.6, 4.2): a charge point says what it is, and is told the time and whether it is accepted."""

from csms.charging.stations import Boot, Booted
from csms.handlers.exchange import Exchange
from csms.handlers.messages import BootNotification, BootNotificationResult
from csms.handlers.timestamps import write_timestamp


async def handle(call: BootNotification, exchange: Exchange) -> BootNotificationResult:
    """Store what it says and answer with its registration."""
    said = Boot(
        exchange.charge_point_id,
        call.charge_point_vendor,
        call.charge_point_model,
        call.charge_point_serial_number or call.charge_box_serial_number or "",
        call.firmware_version or "",
        call.meter_serial_number or "",
    )
    booted: Booted = await exchange.submit(said)
    assert booted.registration != "Unknown", "a boot decides the registration"
    return BootNotificationResult(
        current_time=write_timestamp(exchange.now),
        interval=booted.interval_s,
        status=booted.registration,
    )
