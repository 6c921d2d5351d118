# mypy: disable-error-code="import-untyped"
"""What the handlers of all calls have in common: their station, what they note, which profiles it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocpp.exceptions import NotSupportedError

from chargepoint_sim.events import CallAnswered
from chargepoint_sim.link import Link

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from chargepoint_sim.station import Station


class Answering(Link):
    """A link that belongs to a station.

    A handler decides at once and returns; what takes time (a remote start, a reset, an update) follows after the
    answer. The schemas have been checked before a handler sees a value.
    """

    def __init__(self, station: Station, connection: ClientConnection, answer_timeout_s: float) -> None:
        super().__init__(station.identity, connection, answer_timeout_s, station.spawn, station.habits)
        self._station = station
        self._acts = station.acts
        self._transactions = station.transactions

    def _note(self, action: str, answer: str) -> str:
        """Tell what was answered; returns it."""
        self._station.stream.emit(CallAnswered(action=action, answer=answer))
        return answer

    def _has(self, profile: str) -> bool:
        """Whether SupportedFeatureProfiles lists a profile."""
        return profile in self._station.configuration["SupportedFeatureProfiles"].split(",")

    def _must_have(self, profile: str, action: str) -> None:
        """Answer with a call error where a profile is missing and the action has no status that says so."""
        if not self._has(profile):
            self._note(action, "NotSupported")
            raise NotSupportedError(details={"cause": f"{profile} is not supported"})
