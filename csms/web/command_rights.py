"""What it takes to send a command: the permission of a person, the scope of a key. The one table; every door asks it.

Most commands take what any command takes. Those that change who is trusted, or what a station runs, take what their own
pages and addresses take. Knows no request.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from csms.commands.actions import families
from csms.web.api.scopes import Scope
from csms.web.permissions import Permission


class Right(msgspec.Struct, frozen=True):
    """What a person has to have, what a key has to have, and the words for a refusal."""

    permission: Permission
    scope: Scope
    what: str = "this command"


USUAL = Right("command stations", "commands:write")
_SECURITY = Right("manage stations", "security:write", "what changes the security of a station's link")
_FIRMWARE = Right("update firmware", "files:write", "updates of firmware")
_OF_ACTIONS: dict[str, Right] = {
    "CertificateSigned": _SECURITY,
    "DeleteCertificate": _SECURITY,
    "InstallCertificate": _SECURITY,
    "SignedUpdateFirmware": _FIRMWARE,
    "UpdateFirmware": _FIRMWARE,
}
_OF_KEYS: dict[str, Right] = {  # of ChangeConfiguration; OCPP compares keys without case
    "authorizationkey": _SECURITY,
    "cponame": _SECURITY,
    "securityprofile": _SECURITY,
}


def right_for(action: str, payload: Mapping[str, Any]) -> Right:
    """Return what it takes to send this call."""
    key = payload.get("key")
    if action == "ChangeConfiguration" and isinstance(key, str):
        return _OF_KEYS.get(key.strip().casefold(), USUAL)
    return _OF_ACTIONS.get(action, USUAL)


def offered(may: Callable[[Permission], bool]) -> dict[str, list[str]]:
    """Return the actions that the person may send, by family."""
    found = {
        family: [name for name in names if may(right_for(name, {}).permission)] for family, names in families().items()
    }
    return {family: names for family, names in found.items() if names}
