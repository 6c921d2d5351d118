"""The facts of the settings and displays of charge points: frozen values with the fields of the tables."""

from datetime import datetime
from typing import Literal

import msgspec

RESETS = "resets since the boot"  # what is loaded: how many the plan sent to a charge point, and the last one's moment
SettingState = Literal["right", "differs", "refused", "unknown", "reboot required", "free"]


def measurands(value: str) -> tuple[str, ...]:
    """Return the parts of a list that the wire carries as one text."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


class Setting(msgspec.Struct, frozen=True):
    """A configuration key of a charge point: what it reported, what is wanted (None: anything goes), how they compare.

    Of a list that is tried one measurand at a time, `probed` were tried and `settled_value` was taken. `drifted_at`:
    when it was last found changed though nobody here had changed it.
    """

    charge_point_id: int
    key: str
    reported_value: str | None
    is_readonly: bool
    wanted_value: str | None
    state: SettingState
    checked_at: datetime
    settled_value: str | None = None
    probed: int = 0
    drifted_at: datetime | None = None

    @property
    def not_taken(self) -> tuple[str, ...]:
        """What of a wanted list was not taken when it was tried; nothing where it was not, or where all was."""
        if self.settled_value is None or self.wanted_value is None:
            return ()
        taken = {one.casefold() for one in measurands(self.settled_value)}
        return tuple(one for one in measurands(self.wanted_value) if one.casefold() not in taken)


class SettingsState(msgspec.Struct, frozen=True):
    """Where a charge point stands with its settings, and what its display can do."""

    charge_point_id: int
    settings_due_at: datetime | None
    onboarded_at: datetime | None
    shows_cost: bool
    shows_languages: str


class KeyOffer(msgspec.Struct, frozen=True):
    """The hash of a key that was sent to a charge point and that it may have taken; None: there is none."""

    charge_point_id: int
    new_key_salt: str | None
    new_key_hash: str | None


class ProfileReached(msgspec.Struct, frozen=True):
    """A charge point connected with this security profile: from now on with none below it."""

    charge_point_id: int
    security_profile: int


class Unplugged(msgspec.Struct, frozen=True):
    """When the car of a transaction was unplugged, as its charge point told."""

    transaction_id: int
    charge_point_id: int
    unplugged_at: datetime
