"""The clock of file transfers: what stalled, whose turn it is in a campaign, which files are too old.

What has to be done stands in rows, so a restart or another node forgets none; of several nodes one drives a campaign.
Decides nothing: that is the matter of `operations.transfers` and `operations.campaigns`.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from csms.clock import Clock
from csms.commands.files import FirmwareUpdate, links_of, update_firmware
from csms.commands.rounds import every
from csms.db import is_storage_failure
from csms.errors import StorageUnavailable
from csms.installation import Installation
from csms.operations import campaign_store, firmware_files, station_files, transfer_views
from csms.operations.campaign_alarms import NoteCampaign
from csms.operations.campaigns import Campaign, CampaignState, Turn, next_step
from csms.operations.file_store import FIRMWARE, UPLOADS, FileStore
from csms.operations.transfers import ReviewTransfers

log = structlog.get_logger()

_EVERY_S = 5.0
_AT_ONCE = 100
_PAUSED_AFTER = 3  # failures of a campaign, one after another
_TIDY_EVERY = timedelta(hours=1)
_OF_A_CAMPAIGN_S = 6 * 3600  # a station that goes away meanwhile is sent its command when it is back


class FileWork:
    """Looks every few seconds what there is to do."""

    def __init__(
        self,
        installation: Installation,
        clock: Clock,
        *,
        every_s: float = _EVERY_S,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """Nothing happens before `run`."""
        settings = installation.settings
        self._database = installation.database
        self._engine = installation.engine
        self._links = links_of(settings)
        self._store = FileStore(settings.files_folder, quota_bytes=settings.station_files_quota_bytes)
        self._keep_days = settings.station_files_keep_days
        self._node = settings.node_name
        self._clock = clock
        self._every_s = every_s
        self._new_token = new_token
        self._tidied_at: datetime | None = None
        self._failed: dict[int, int] = {}  # how often each campaign failed, one after another

    async def run(self) -> None:
        """Do what is due, for ever."""
        await every(self._every_s, self._engine, self.look, "file transfers cannot be looked after")

    async def look(self) -> None:
        """Do once what is due."""
        command_ids, with_files = await asyncio.to_thread(self._due)
        if command_ids:
            await self._engine.submit(ReviewTransfers(command_ids, with_files))
        for campaign, turns in await asyncio.to_thread(self._campaigns):
            await self._advance_alone(campaign, turns)
        await asyncio.to_thread(self.tidy)

    def _due(self) -> tuple[tuple[int, ...], frozenset[int]]:
        with self._database.reading() as connection:
            return transfer_views.due(connection, self._clock(), limit=_AT_ONCE)

    def _campaigns(self) -> list[tuple[Campaign, list[Turn]]]:
        with self._database.reading() as connection:
            if not campaign_store.any_running(connection):
                return []
        with self._database.unit_of_work() as connection:
            mine = campaign_store.claim_campaigns(connection, self._node, self._clock())
            return [(one, campaign_store.turns_of(connection, one.campaign_id)) for one in mine]

    async def _advance_alone(self, campaign: Campaign, turns: list[Turn]) -> None:
        """Let a campaign go on. A defect in one stops no other; one that comes again and again pauses its campaign."""
        number = campaign.campaign_id
        try:
            await self._advance(campaign, turns)
        except Exception as error:
            if isinstance(error, StorageUnavailable) or is_storage_failure(error):
                raise
            self._failed[number] = self._failed.get(number, 0) + 1
            log.exception("defect in a campaign", campaign=number, times=self._failed[number])
            if self._failed[number] >= _PAUSED_AFTER:
                await self._pause(campaign, error)
        else:
            if self._failed.get(number) != 0:  # also after a restart, which forgets who failed
                await self._engine.submit(NoteCampaign(number))
            self._failed[number] = 0

    async def _pause(self, campaign: Campaign, error: Exception) -> None:
        reason = f"a defect in the server: {type(error).__name__}; its log says more"
        await asyncio.to_thread(self._set_state, campaign, "paused", reason)
        text = f"The firmware campaign {campaign.campaign_id} was paused by {reason}"
        await self._engine.submit(NoteCampaign(campaign.campaign_id, text[:300]))
        self._failed.pop(campaign.campaign_id)

    async def _advance(self, campaign: Campaign, turns: list[Turn]) -> None:
        step = next_step(campaign, turns, self._clock())
        if step.state != "running":
            log.info("campaign", campaign=campaign.campaign_id, state=step.state, reason=step.reason)
            await asyncio.to_thread(self._set_state, campaign, step.state, step.reason)
            return
        if not step.start:
            return
        firmware = await asyncio.to_thread(self._read, lambda c: firmware_files.find_firmware(c, campaign.firmware_id))
        if firmware is None:
            await asyncio.to_thread(self._set_state, campaign, "stopped", "the firmware file is gone")
            return
        wanted = FirmwareUpdate(
            firmware,
            campaign.is_signed,
            campaign.retrieve_at,
            campaign_id=campaign.campaign_id,
            only_idle=campaign.only_idle,
            expires_s=_OF_A_CAMPAIGN_S,
        )
        for charge_point_id in step.start:
            requested_by = f"campaign {campaign.campaign_id}"
            asked = update_firmware(charge_point_id, wanted, self._links, requested_by, self._clock(), self._new_token)
            await self._engine.submit(asked)

    def _read(self, query: Callable[[Connection], firmware_files.Firmware | None]) -> firmware_files.Firmware | None:
        with self._database.reading() as connection:
            return query(connection)

    def _set_state(self, campaign: Campaign, state: CampaignState, reason: str) -> None:
        with self._database.unit_of_work() as connection:
            campaign_store.set_state(connection, campaign.campaign_id, state, reason, self._clock())

    def tidy(self) -> int:
        """Remove files that are too old, and what broke off, once an hour; return how many files went."""
        now = self._clock()
        if self._tidied_at is not None and now - self._tidied_at < _TIDY_EVERY:
            return 0
        self._tidied_at = now
        old: list[str] = []
        if self._keep_days:
            before = now - timedelta(days=self._keep_days)
            with self._database.unit_of_work() as connection:
                old = station_files.delete_older(connection, before, limit=1000)
        for name in old:
            self._store.remove(UPLOADS, name)
        with self._database.reading() as connection:
            uploads, firmware = station_files.stored_names(connection), firmware_files.stored_names(connection)
        return len(old) + self._store.sweep(UPLOADS, uploads, now) + self._store.sweep(FIRMWARE, firmware, now)
