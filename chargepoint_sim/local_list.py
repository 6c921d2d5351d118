"""The local authorization list of a station (OCPP 1.6, 3.5.2 and 5.15), and what is said of an id tag.

Pure. Id tags are compared without case. Knows no configuration: the caller gives the lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from chargepoint_sim.clock import read

if TYPE_CHECKING:
    from datetime import datetime

ACCEPTED = "Accepted"
NO_LIST = -1


class IdTagInfo(msgspec.Struct, frozen=True):
    """What a central system says of an id tag (7.28)."""

    status: str
    parent_id_tag: str | None = None
    expiry_date: str | None = None

    def accepted_at(self, now: datetime) -> bool:
        """Whether it still lets the card charge. A date that cannot be read is no reason to trust it for ever."""
        if self.status != ACCEPTED or self.expiry_date is None:
            return self.status == ACCEPTED
        try:
            return now < read(self.expiry_date)
        except ValueError:
            return False


class ListEntry(msgspec.Struct, frozen=True):
    """One entry of SendLocalList; without id_tag_info a differential update removes the card."""

    id_tag: str
    id_tag_info: IdTagInfo | None = None


@dataclass
class LocalList:
    """The list with its version; version 0 is an empty list.

    entries: by casefolded id tag. maximum: LocalAuthListMaxLength. update_maximum: SendLocalListMaxLength.
    """

    version: int = 0
    entries: dict[str, IdTagInfo] = field(default_factory=dict)
    maximum: int = 1_000
    update_maximum: int = 500

    def update(self, version: int, kind: str, entries: tuple[ListEntry, ...]) -> str:
        """SendLocalList (5.15). Returns the UpdateStatus; what is not Accepted changes nothing."""
        differential = kind == "Differential"
        if version < 0 or (version == 0 and entries) or len(entries) > self.update_maximum:
            return "Failed"
        if differential and version <= self.version:
            return "VersionMismatch"
        named = {entry.id_tag.casefold() for entry in entries}
        complete = differential or all(entry.id_tag_info is not None for entry in entries)
        if len(named) < len(entries) or not complete:
            return "Failed"
        kept = dict(self.entries) if differential else {}
        for entry in entries:
            if entry.id_tag_info is None:
                kept.pop(entry.id_tag.casefold(), None)
            else:
                kept[entry.id_tag.casefold()] = entry.id_tag_info
        if len(kept) > self.maximum:
            return "Failed"
        self.version, self.entries = version, kept
        return ACCEPTED
