"""Who may charge: asks the central system, or answers from the local list and the cache (OCPP 1.6, 3.4 and 4.1).

Knows no connector. Id tags are compared without case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from chargepoint_sim.clock import read
from chargepoint_sim.errors import NotAnsweredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from chargepoint_sim.configuration import Configuration

ACCEPTED = "Accepted"
LIST_MAX_LENGTH, LIST_MAX_UPDATE = 1_000, 500
CACHE_LIMIT = 1_000


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


@dataclass(frozen=True)
class Verdict:
    """The decision about one card, and who took it: "central system", "local list", "cache" or "offline rule"."""

    info: IdTagInfo
    source: str

    @property
    def accepted(self) -> bool:
        """Whether the card may charge."""
        return self.info.status == ACCEPTED


@dataclass
class LocalList:
    """The local authorization list with its version; -1 is never used, 0 is an empty list."""

    version: int = 0
    entries: dict[str, IdTagInfo] = field(default_factory=dict)

    def update(self, version: int, kind: str, entries: tuple[ListEntry, ...]) -> str:
        """SendLocalList (5.15). Returns the UpdateStatus."""
        if kind == "Differential" and version <= self.version:
            return "VersionMismatch"
        kept = dict(self.entries) if kind == "Differential" else {}
        for entry in entries:
            if entry.id_tag_info is None:
                kept.pop(entry.id_tag.casefold(), None)
            else:
                kept[entry.id_tag.casefold()] = entry.id_tag_info
        if len(entries) > LIST_MAX_UPDATE or len(kept) > LIST_MAX_LENGTH:
            return "Failed"
        self.version, self.entries = version, kept
        return ACCEPTED


class Authorizer:
    """Decides about cards for one station.

    ask: sends Authorize.req and returns its idTagInfo, or raises NotAnsweredError. online: whether that can work now.
    """

    def __init__(
        self,
        configuration: Configuration,
        ask: Callable[[str], Awaitable[IdTagInfo]],
        online: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._configuration = configuration
        self._ask = ask
        self._online = online
        self._now = now
        self.local_list = LocalList()
        self._cache: dict[str, IdTagInfo] = {}

    async def decide(self, id_tag: str) -> Verdict:
        """Decide whether a card may charge."""
        known = self._known(id_tag)
        if self._online():
            if known is not None and known.accepted and self._configuration.flag("LocalPreAuthorize"):
                return known
            try:
                info = await self._ask(id_tag)
            except NotAnsweredError:
                return self._offline(known)
            self.remember(id_tag, info)
            return Verdict(info, "central system")
        return self._offline(known)

    def remember(self, id_tag: str, info: IdTagInfo) -> None:
        """Keep what the central system said in the cache, if there is to be one."""
        if not self._configuration.flag("AuthorizationCacheEnabled"):
            return
        self._cache.pop(id_tag.casefold(), None)
        self._cache[id_tag.casefold()] = info
        if len(self._cache) > CACHE_LIMIT:
            self._cache.pop(next(iter(self._cache)))

    def clear_cache(self) -> bool:
        """ClearCache (5.4); False while the cache is switched off."""
        self._cache.clear()
        return self._configuration.flag("AuthorizationCacheEnabled")

    def _known(self, id_tag: str) -> Verdict | None:
        listed = self.local_list.entries.get(id_tag.casefold())
        if listed is not None and self._configuration.flag("LocalAuthListEnabled"):
            return self._verdict(listed, "local list")
        cached = self._cache.get(id_tag.casefold())
        if cached is not None and self._configuration.flag("AuthorizationCacheEnabled"):
            return self._verdict(cached, "cache")
        return None

    def _verdict(self, info: IdTagInfo, source: str) -> Verdict:
        if info.status == ACCEPTED and not info.accepted_at(self._now()):
            info = IdTagInfo("Expired", info.parent_id_tag)
        return Verdict(info, source)

    def _offline(self, known: Verdict | None) -> Verdict:
        if known is not None and self._configuration.flag("LocalAuthorizeOffline"):
            return known
        status = ACCEPTED if self._configuration.flag("AllowOfflineTxForUnknownId") else "Invalid"
        return Verdict(IdTagInfo(status), "offline rule")
