"""Calls that we receive: one OCPP action, one file, named as the action. This page lists them all.

messages        typed messages, generated from the `ocpp` package's schemas
wire            frames: decode, validate, encode, call errors; no I/O
lenient         what fails its schema and can still be understood
timestamps      date-times of charge points
exchange        what a handler gets beside the call
"""

from collections.abc import Awaitable, Callable
from typing import Any

from csms.handlers import (
    authorize,
    boot_notification,
    data_transfer,
    diagnostics_status_notification,
    firmware_status_notification,
    heartbeat,
    log_status_notification,
    meter_values,
    security_event_notification,
    sign_certificate,
    signed_firmware_status_notification,
    start_transaction,
    status_notification,
    stop_transaction,
)
from csms.handlers.exchange import Exchange
from csms.handlers.messages import Message

Handler = Callable[[Any, Exchange], Awaitable[Message]]

HANDLERS: dict[str, Handler] = {
    "Authorize": authorize.handle,
    "BootNotification": boot_notification.handle,
    "DataTransfer": data_transfer.handle,
    "DiagnosticsStatusNotification": diagnostics_status_notification.handle,
    "FirmwareStatusNotification": firmware_status_notification.handle,
    "Heartbeat": heartbeat.handle,
    "LogStatusNotification": log_status_notification.handle,
    "MeterValues": meter_values.handle,
    "SecurityEventNotification": security_event_notification.handle,
    "SignCertificate": sign_certificate.handle,
    "SignedFirmwareStatusNotification": signed_firmware_status_notification.handle,
    "StartTransaction": start_transaction.handle,
    "StatusNotification": status_notification.handle,
    "StopTransaction": stop_transaction.handle,
}
