"""Firmware campaigns over the API: begun over a group of charge points, followed, paused, resumed and stopped."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection

from csms.charging import groups
from csms.operations import campaign_store, firmware_files
from csms.operations.campaign_store import NewCampaign
from csms.operations.campaigns import ACTS, Campaign, Turn, TurnState, progress_of
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id, Moment, utc


class CampaignStation(msgspec.Struct, frozen=True):
    """A charge point of a campaign; `command_id` is that of its update, once it had its turn."""

    charge_point_id: int
    identity: str
    state: TurnState
    status: str
    reason: str
    command_id: int | None
    attempts: int
    firmware_version: str
    is_online: bool


class FirmwareCampaign(msgspec.Struct, frozen=True):
    """A firmware for the charge points of a group, a few at a time. `stations` stands in the answer for one alone."""

    id: int
    firmware_id: int
    group: str
    state: Literal["running", "paused", "stopped", "finished"]
    reason: str
    is_signed: bool
    only_idle: bool
    parallel: int
    max_failures: int
    starts_at: datetime
    retrieve_at: datetime | None
    requested_by: str
    created_at: datetime
    total: int
    waiting: int
    running: int
    done: int
    failed: int
    stations: tuple[CampaignStation, ...] = ()


class NewFirmwareCampaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A campaign over the charge points of a group that are of the firmware's make and have another version."""

    firmware_id: Id
    station_group_id: Id
    parallel: Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many at the same time.")] = 3
    max_failures: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="It pauses after so many.")] = 2
    only_idle: Annotated[bool, msgspec.Meta(description="Only where nobody charges.")] = True
    is_signed: Annotated[bool, msgspec.Meta(description="With SignedUpdateFirmware.")] = False
    starts_at: Moment | None = None
    retrieve_at: Annotated[Moment, msgspec.Meta(description="When stations fetch it.")] | None = None


class CampaignAct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shall become of a campaign; `retry` gives the failed charge points another turn."""

    act: Literal["pause", "resume", "stop", "retry"]


def _campaign_of(one: Campaign, turns: list[Turn], *, with_stations: bool) -> FirmwareCampaign:
    progress = progress_of(turns)
    stations = tuple(
        CampaignStation(
            turn.charge_point_id,
            turn.identity,
            turn.state,
            turn.status,
            turn.reason,
            turn.command_id,
            turn.attempts,
            turn.version,
            turn.is_online,
        )
        for turn in turns
    )
    return FirmwareCampaign(
        one.campaign_id,
        one.firmware_id,
        one.group_name,
        one.state,
        one.reason,
        one.is_signed,
        one.only_idle,
        one.parallel,
        one.max_failures,
        one.starts_at,
        one.retrieve_at,
        one.requested_by,
        one.created_at,
        progress.stations,
        progress.waiting,
        progress.running,
        progress.done,
        progress.failed,
        stations if with_stations else (),
    )


def _load(connection: Connection, campaign_id: int) -> FirmwareCampaign | None:
    one = campaign_store.find_campaign(connection, campaign_id)
    if one is None:
        return None
    return _campaign_of(one, campaign_store.turns_of(connection, campaign_id), with_stations=True)


async def list_campaigns(call: ApiCall, query: Paging) -> Page[FirmwareCampaign]:
    """List campaigns, the newest first."""
    before = read_cursor(query.cursor, tuple[int])

    def load(connection: Connection) -> list[FirmwareCampaign]:
        number = None if before is None else before[0]
        rows = campaign_store.list_campaigns(connection, limit=query.limit + 1, before=number)
        turns = [campaign_store.turns_of(connection, one.campaign_id) for one in rows]
        return [_campaign_of(one, of, with_stations=False) for one, of in zip(rows, turns, strict=True)]

    return page_of(await call.read(load), query.limit, lambda one: (one.id,))


async def show_campaign(call: ApiCall) -> FirmwareCampaign:
    """Show a campaign with the state of each charge point."""
    number = call.path_number("campaign_id")
    return found(await call.read(lambda connection: _load(connection, number)), "campaign")


async def begin_campaign(call: ApiCall, wanted: NewFirmwareCampaign) -> FirmwareCampaign:
    """Begin a campaign."""
    starts_at, retrieve_at = utc(wanted.starts_at, "starts_at"), utc(wanted.retrieve_at, "retrieve_at")

    def begin(connection: Connection) -> FirmwareCampaign:
        one = firmware_files.find_firmware(connection, wanted.firmware_id)
        if one is None:
            raise Problem("invalid", "There is no such firmware.", field="firmware_id")
        group = groups.find_station_group(connection, group_id=wanted.station_group_id)
        if group is None:
            raise Problem("invalid", "There is no such group of stations.", field="station_group_id")
        if wanted.is_signed and not one.is_signed:
            raise Problem("invalid", "This firmware has no signature.", field="is_signed")
        new = NewCampaign(
            one,
            group.group_id,
            group.name,
            wanted.parallel,
            wanted.max_failures,
            wanted.only_idle,
            wanted.is_signed,
            starts_at,
            retrieve_at,
            call.actor,
        )
        made = campaign_store.add_campaign(connection, new, call.now)
        if made is None:
            raise Problem("refused", "No charge point of this group needs this firmware.", reason="nobody")
        return found(_load(connection, made.campaign_id), "campaign")

    return await call.write(begin)


async def act(call: ApiCall, wanted: CampaignAct) -> FirmwareCampaign:
    """Pause, resume or stop a campaign, or let it try again what failed."""
    number = call.path_number("campaign_id")

    def change(connection: Connection) -> FirmwareCampaign:
        found(campaign_store.find_campaign(connection, number), "campaign")
        if wanted.act in ACTS:
            acted = campaign_store.act(connection, number, wanted.act, call.actor, call.now)
        else:
            acted = bool(campaign_store.retry_failed(connection, number, call.now))
        if not acted:
            raise Problem("refused", "The campaign is in no state for this.", reason="wrong state")
        return found(_load(connection, number), "campaign")

    return await call.write(change)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/firmware-campaigns",
        list_campaigns,
        "files:read",
        "List firmware campaigns",
        Page[FirmwareCampaign],
        "firmware",
        query=Paging,
    ),
    Endpoint(
        "POST",
        "/firmware-campaigns",
        begin_campaign,
        "files:write",
        "Begin a firmware campaign",
        FirmwareCampaign,
        "firmware",
        status=201,
        request=NewFirmwareCampaign,
        problems=("refused",),
    ),
    Endpoint(
        "GET",
        "/firmware-campaigns/{campaign_id:int}",
        show_campaign,
        "files:read",
        "Show a firmware campaign",
        FirmwareCampaign,
        "firmware",
        problems=("not-found",),
    ),
    Endpoint(
        "POST",
        "/firmware-campaigns/{campaign_id:int}/acts",
        act,
        "files:write",
        "Pause, resume, stop or retry a firmware campaign",
        FirmwareCampaign,
        "firmware",
        request=CampaignAct,
        problems=("not-found", "refused"),
    ),
)
