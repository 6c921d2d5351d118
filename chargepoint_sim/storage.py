"""The state file: what a station still knows after its own restart.

Registers, configuration, the outbox, open transactions, availability, the local list and the cache, charging profiles,
reservations, firmware version, certificates and security events. The file is replaced as a whole, so that a kill leaves
the old one or the new one. Knows nothing of what the values mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from chargepoint_sim.connector import Reservation
from chargepoint_sim.errors import UsageError
from chargepoint_sim.local_list import IdTagInfo
from chargepoint_sim.outbox import Message
from chargepoint_sim.profiles import Installed as InstalledProfile
from chargepoint_sim.security import SecurityState
from chargepoint_sim.security_events import SecurityEvent

if TYPE_CHECKING:
    from pathlib import Path


class OpenTransaction(msgspec.Struct, frozen=True):
    """A transaction that ran when the state was written."""

    number: int
    connector_id: int


class State(msgspec.Struct, frozen=True):
    """Everything a station keeps. registers: Wh by connector. given_key: the AuthorizationKey it was first given."""

    registers: dict[int, float] = {}
    given_key: str = ""
    configuration: dict[str, str] = {}
    messages: tuple[Message, ...] = ()
    transaction_ids: dict[int, int] = {}
    next_transaction: int = 1
    open_transactions: tuple[OpenTransaction, ...] = ()
    inoperative: tuple[int, ...] = ()
    list_version: int = 0
    list_entries: dict[str, IdTagInfo] = {}
    cache: dict[str, IdTagInfo] = {}
    profiles: tuple[InstalledProfile, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    firmware_version: str = ""
    security: SecurityState = SecurityState()
    security_events: tuple[SecurityEvent, ...] = ()


class StateFile:
    """The state file of one identity in a folder; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, identity: str) -> None:
        self._path = folder / f"{quote(identity, safe='')}.json" if folder else None

    @property
    def keeps(self) -> bool:
        """Whether anything is kept at all."""
        return self._path is not None

    def load(self) -> State:
        """What was kept, or a new station's state. Raises UsageError for a file that cannot be read."""
        if self._path is None:
            return State()
        try:
            if not self._path.exists():
                return State()
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError) as error:
            message = f"the state file {self._path} cannot be read: {error}"
            raise UsageError(message) from error

    def save(self, state: State) -> None:
        """Keep a state; only its owner may read it, for it holds the password. Raises UsageError."""
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_bytes(msgspec.json.encode(state))
            fresh.replace(self._path)
        except OSError as error:
            message = f"the state file {self._path} cannot be written: {error}"
            raise UsageError(message) from error
