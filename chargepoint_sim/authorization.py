"""Who may charge: asks the central system, or answers from the local list and the cache (OCPP 1.6, 3.4 and 4.1).

Knows no connector. Id tags are compared without case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargepoint_sim.errors import NotAnsweredError
from chargepoint_sim.local_list import ACCEPTED, IdTagInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.local_list import LocalList

CACHE_LIMIT = 1_000


@dataclass(frozen=True)
class Verdict:
    """The decision about one card, and who took it: "central system", "local list", "cache" or "offline rule"."""

    info: IdTagInfo
    source: str

    @property
    def accepted(self) -> bool:
        """Whether the card may charge."""
        return self.info.status == ACCEPTED


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
        local_list: LocalList,
    ) -> None:
        self._configuration = configuration
        self._ask = ask
        self._online = online
        self._now = now
        self.local_list = local_list
        self.cache: dict[str, IdTagInfo] = {}

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
        self.cache.pop(id_tag.casefold(), None)
        self.cache[id_tag.casefold()] = info
        if len(self.cache) > CACHE_LIMIT:
            self.cache.pop(next(iter(self.cache)))

    def clear_cache(self) -> bool:
        """ClearCache (5.4); False while the cache is switched off."""
        self.cache.clear()
        return self._configuration.flag("AuthorizationCacheEnabled")

    def _known(self, id_tag: str) -> Verdict | None:
        listed = self.local_list.entries.get(id_tag.casefold())
        if listed is not None and self._configuration.flag("LocalAuthListEnabled"):
            return self._verdict(listed, "local list")
        cached = self.cache.get(id_tag.casefold())
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
