"""The family of charging profiles: the calls that set, clear and ask for them (OCPP 1.6, 5.4, 5.7, 5.11 and 5.16)."""

from csms.billing.books import normalize_id_tag
from csms.charging.command_queue import QueueCommand
from csms.commands.requests import ask
from csms.operations.profile_schedules import Profile


def set_profile(charge_point_id: int, connector_id: int, profile: Profile, requested_by: str) -> QueueCommand:
    """Ask a charge point to take a profile at a connector."""
    payload = {"connectorId": connector_id, "csChargingProfiles": profile}
    return ask(charge_point_id, "SetChargingProfile", payload, requested_by)


def clear_profiles(
    charge_point_id: int,
    requested_by: str,
    *,
    profile_id: int | None = None,
    connector_id: int | None = None,
    purpose: str | None = None,
    stack_level: int | None = None,
) -> QueueCommand:
    """Ask a charge point to clear one profile, those that fit, or all."""
    fields = {
        "id": profile_id,
        "connectorId": connector_id,
        "chargingProfilePurpose": purpose,
        "stackLevel": stack_level,
    }
    payload = {name: value for name, value in fields.items() if value is not None}
    return ask(charge_point_id, "ClearChargingProfile", payload, requested_by)


def ask_composite(
    charge_point_id: int, connector_id: int, duration_s: int, unit: str | None, requested_by: str
) -> QueueCommand:
    """Ask a charge point what its profiles allow together."""
    payload: dict[str, object] = {"connectorId": connector_id, "duration": duration_s}
    if unit:
        payload["chargingRateUnit"] = unit
    return ask(charge_point_id, "GetCompositeSchedule", payload, requested_by)


def start_with_profile(
    charge_point_id: int, id_tag: str, connector_id: int | None, profile: Profile, requested_by: str
) -> QueueCommand:
    """Ask a charge point to start for a card under a TxProfile; it has no transaction id yet (OCPP 1.6, 5.11)."""
    payload: dict[str, object] = {"idTag": normalize_id_tag(id_tag), "chargingProfile": profile}
    if connector_id is not None:
        payload["connectorId"] = connector_id
    return ask(charge_point_id, "RemoteStartTransaction", payload, requested_by)
