"""Every call that a central system may send (OCPP 1.6, 5; Security Whitepaper edition 3, 5), and how each is treated.

Lists only. Which fields a call has stands in `handlers.messages`.
"""

from typing import Literal

import msgspec

Family = Literal["core", "local list", "reservation", "charging profile", "trigger", "files", "security"]


class Action(msgspec.Struct, frozen=True):
    """An action: its family, and whether it may be sent again when its answer was lost, because twice is as once."""

    name: str
    family: Family
    repeatable: bool


ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("ChangeAvailability", "core", repeatable=True),
        Action("ChangeConfiguration", "core", repeatable=True),
        Action("ClearCache", "core", repeatable=True),
        Action("DataTransfer", "core", repeatable=False),
        Action("GetConfiguration", "core", repeatable=True),
        Action("RemoteStartTransaction", "core", repeatable=False),
        Action("RemoteStopTransaction", "core", repeatable=True),
        Action("Reset", "core", repeatable=False),
        Action("UnlockConnector", "core", repeatable=False),
        Action("GetLocalListVersion", "local list", repeatable=True),
        Action("SendLocalList", "local list", repeatable=True),
        Action("CancelReservation", "reservation", repeatable=True),
        Action("ReserveNow", "reservation", repeatable=True),
        Action("ClearChargingProfile", "charging profile", repeatable=True),
        Action("GetCompositeSchedule", "charging profile", repeatable=True),
        Action("SetChargingProfile", "charging profile", repeatable=True),
        Action("ExtendedTriggerMessage", "trigger", repeatable=False),
        Action("TriggerMessage", "trigger", repeatable=False),
        Action("GetDiagnostics", "files", repeatable=False),
        Action("GetLog", "files", repeatable=False),
        Action("SignedUpdateFirmware", "files", repeatable=False),
        Action("UpdateFirmware", "files", repeatable=False),
        Action("CertificateSigned", "security", repeatable=False),
        Action("DeleteCertificate", "security", repeatable=True),
        Action("GetInstalledCertificateIds", "security", repeatable=True),
        Action("InstallCertificate", "security", repeatable=True),
    )
}


def families() -> dict[str, list[str]]:
    """Return the names of the actions by family, as people look for them."""
    found: dict[str, list[str]] = {}
    for action in ACTIONS.values():
        found.setdefault(action.family, []).append(action.name)
    return found
