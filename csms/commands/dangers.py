"""Which commands a person should think about twice, and the sentence that tells why. Pure; knows no pages."""

from collections.abc import Collection, Mapping
from typing import Any

_WHY = {
    "UnlockConnector": "A car is charging on this connector. Unlocking ends its transaction.",
    "ChangeConfiguration": "With a wrong value the station cannot connect any more, and somebody has to go there.",
    "UpdateFirmware": "The station installs the firmware and restarts; until then it may be out of service.",
    "SignedUpdateFirmware": "The station installs the firmware and restarts; until then it may be out of service.",
    "DeleteCertificate": "Without the right certificate the station may not be able to connect any more.",
    "ClearChargingProfile": "Without any field all charging profiles of the station are removed, also those that "
    "protect the grid.",
}
_LOCKS_OUT = frozenset({"authorizationkey", "securityprofile"})


def danger_of(action: str, payload: Mapping[str, Any], charging_at: Collection[int]) -> str | None:
    """Return why to think twice, None where there is no reason. `charging_at`: connectors with a running transaction.

    What a payload lacks or has of another kind is no matter here: the schema tells.
    """
    if action == "Reset":
        return _reset(payload.get("type"), len(charging_at))
    applies = {
        "UnlockConnector": payload.get("connectorId") in charging_at,
        "ChangeConfiguration": str(payload.get("key", "")).casefold() in _LOCKS_OUT,
        "ClearChargingProfile": not payload,
    }.get(action, True)
    return _WHY.get(action) if applies else None


def _reset(kind: object, charging: int) -> str | None:
    cars = "1 car is charging" if charging == 1 else f"{charging} cars are charging"
    if kind == "Hard":
        return "A hard reset restarts the station at once" + (f", although {cars} there." if charging else ".")
    return f"{cars} there. A reset ends that." if charging else None
