"""The family of reservations: ReserveNow and CancelReservation (OCPP 1.6, 5.13 and 5.3), as pages and programs ask."""

from datetime import datetime

from csms.charging.command_queue import QueueCommand
from csms.commands.requests import ask
from csms.handlers.timestamps import write_timestamp

_LONGEST_WAIT_S = 3600  # a reservation that reaches its station later than this surprises whoever stands there


def reserve(
    charge_point_id: int,
    connector_id: int,
    id_tag: str,
    reservation_id: int,
    expires_at: datetime,
    now: datetime,
    requested_by: str,
    *,
    parent_id_tag: str | None = None,
) -> QueueCommand:
    """Ask for a reservation; connector 0 is any of the charge point. It is not sent after its own end."""
    payload = {
        "connectorId": connector_id,
        "expiryDate": write_timestamp(expires_at.replace(microsecond=0)),
        "idTag": id_tag,
        "reservationId": reservation_id,
    }
    if parent_id_tag is not None:
        payload["parentIdTag"] = parent_id_tag
    lifetime_s = max(1, int((expires_at - now).total_seconds()))
    return ask(charge_point_id, "ReserveNow", payload, requested_by, expires_s=min(lifetime_s, _LONGEST_WAIT_S))


def cancel(charge_point_id: int, reservation_id: int, requested_by: str) -> QueueCommand:
    """Ask for the end of a reservation."""
    return ask(charge_point_id, "CancelReservation", {"reservationId": reservation_id}, requested_by)
