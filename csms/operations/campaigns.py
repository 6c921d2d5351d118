"""Firmware campaigns: a firmware for the stations of a group, a few at a time, until all have it or too many failed.

Pure: says what comes next of what the rows tell. Rows and clocks are others' matter.
"""

from datetime import datetime
from typing import Literal

import msgspec

CampaignState = Literal["running", "paused", "stopped", "finished"]
TurnState = Literal["waiting", "running", "done", "failed"]

_FAILED = frozenset({"failed", "rejected", "canceled", "stalled"})
_GOING = frozenset({"waiting", "running"})


class Campaign(msgspec.Struct, frozen=True):
    """A campaign; fields as in the table `firmware_campaign`."""

    campaign_id: int
    firmware_id: int
    group_name: str
    state: CampaignState
    reason: str
    is_signed: bool
    starts_at: datetime
    retrieve_at: datetime | None
    parallel: int
    max_failures: int
    forgiven: int
    only_idle: bool
    requested_by: str
    created_at: datetime
    changed_at: datetime
    claimed_by: str | None = None
    claimed_until: datetime | None = None


class Turn(msgspec.Struct, frozen=True):
    """A station of a campaign; `transfer_state` is that of its update, None where it has not been its turn."""

    charge_point_id: int
    identity: str
    command_id: int | None
    transfer_state: str | None
    status: str
    reason: str
    version: str
    is_online: bool
    is_charging: bool
    attempts: int = 0
    changed_at: datetime | None = None
    moved_bytes: int = 0

    @property
    def state(self) -> TurnState:
        """How far it is, in one of four words."""
        if self.command_id is None:
            return "waiting"
        if self.transfer_state in _FAILED:
            return "failed"
        return "done" if self.transfer_state == "done" else "running"


class Progress(msgspec.Struct, frozen=True):
    """How many stations are how far; `offline` of the waiting ones are not connected."""

    stations: int
    waiting: int
    running: int
    done: int
    failed: int
    offline: int

    @property
    def percent(self) -> int:
        """How many of a hundred are through, well or not."""
        return 100 * (self.done + self.failed) // self.stations if self.stations else 100


class Step(msgspec.Struct, frozen=True):
    """What to do next: whose turn it is, and which state the campaign takes, with the reason."""

    start: tuple[int, ...] = ()
    state: CampaignState = "running"
    reason: str = ""


def progress_of(turns: list[Turn]) -> Progress:
    """Count the stations."""
    counts = {
        state: sum(1 for one in turns if one.state == state) for state in ("waiting", "running", "done", "failed")
    }
    offline = sum(1 for one in turns if one.state == "waiting" and not one.is_online)
    return Progress(len(turns), counts["waiting"], counts["running"], counts["done"], counts["failed"], offline)


def next_step(campaign: Campaign, turns: list[Turn], now: datetime) -> Step:
    """Say what a running campaign does next.

    It pauses itself when as many failed as it may bear since it was resumed last. A station has its turn when it is
    connected and, where that is wanted, nobody charges there.
    """
    if campaign.starts_at > now:
        return Step()
    progress = progress_of(turns)
    failed = progress.failed - campaign.forgiven
    if failed >= campaign.max_failures:
        return Step(state="paused", reason=f"{failed} of the updates failed")
    if not progress.waiting and not progress.running:
        return Step(state="finished")
    ready = [
        one.charge_point_id
        for one in turns
        if one.state == "waiting" and one.is_online and not (campaign.only_idle and one.is_charging)
    ]
    return Step(start=tuple(ready[: max(0, campaign.parallel - progress.running)]))


ACTS: dict[str, tuple[frozenset[str], CampaignState]] = {
    "pause": (frozenset({"running"}), "paused"),
    "resume": (frozenset({"paused"}), "running"),
    "stop": (frozenset({"running", "paused"}), "stopped"),
}
