# mypy: disable-error-code="import-untyped"
"""What a station says of itself in BootNotification (6.7). Values only."""

from __future__ import annotations

from dataclasses import dataclass

from ocpp.v16 import call

SHORT, SERIAL, VERSION = 20, 25, 50


@dataclass(frozen=True)
class Nameplate:
    """Maker, model and numbers. serial_number: empty for the identity. firmware_version: before any update."""

    vendor: str = "Simulated"
    model: str = "chargepoint-sim"
    serial_number: str = ""
    firmware_version: str = "1.0"
    meter_type: str = ""
    meter_serial_number: str = ""
    iccid: str = ""
    imsi: str = ""

    def serial(self, identity: str) -> str:
        """The serial number of a station."""
        return (self.serial_number or identity)[:SERIAL]

    def boot_notification(self, identity: str, firmware_version: str) -> object:
        """BootNotification.req, each field cut to the length it may have."""
        return call.BootNotification(
            charge_point_vendor=self.vendor[:SHORT],
            charge_point_model=self.model[:SHORT],
            charge_point_serial_number=self.serial(identity),
            firmware_version=firmware_version[:VERSION],
            meter_type=self.meter_type[:SERIAL] or None,
            meter_serial_number=self.meter_serial_number[:SERIAL] or None,
            iccid=self.iccid[:SHORT] or None,
            imsi=self.imsi[:SHORT] or None,
        )
