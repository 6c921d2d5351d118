"""`csms firmware campaign`: list, show, pause, resume, stop, retry. Beginning one stands with the firmware."""

from typing import Annotated

import typer

from csms import clock
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal
from csms.operations import campaign_store
from csms.operations.campaigns import progress_of

commands = typer.Typer()

CampaignId = Annotated[int, typer.Argument(metavar="CAMPAIGN", help="Its number.", min=1)]


@commands.command("list")
def show_list(limit: Limit = 100, *, as_json: Json = False) -> None:
    """List campaigns, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            found = campaign_store.list_campaigns(connection, limit=limit)
            counts = [progress_of(campaign_store.turns_of(connection, one.campaign_id)) for one in found]
        if as_json:
            show_json([{"campaign": one, "progress": count} for one, count in zip(found, counts, strict=True)])
            return
        zone = installation.settings.time_zone
        columns = ("campaign", "firmware", "group", "state", "begins", "stations", "done", "failed", "going on")
        rows = [
            (
                one.campaign_id,
                one.firmware_id,
                one.group_name,
                one.state,
                moment(one.starts_at, zone),
                count.stations,
                count.done,
                count.failed,
                count.running,
            )
            for one, count in zip(found, counts, strict=True)
        ]
        show_table(columns, rows, right=("campaign", "firmware", "stations", "done", "failed", "going on"))


@commands.command()
def show(campaign_id: CampaignId, *, as_json: Json = False) -> None:
    """Show a campaign, station by station."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = campaign_store.find_campaign(connection, campaign_id)
            turns = campaign_store.turns_of(connection, campaign_id)
        if one is None:
            raise Refusal(f"There is no campaign {campaign_id}. `csms firmware campaign list` shows them.")
        count = progress_of(turns)
        if as_json:
            stations = [
                {"identity": turn.identity, "state": turn.state, "status": turn.status, "reason": turn.reason}
                for turn in turns
            ]
            show_json({"campaign": one, "progress": count, "stations": stations})
            return
        show_facts(
            [
                ("campaign", one.campaign_id),
                ("firmware", one.firmware_id),
                ("group", one.group_name),
                ("state", f"{one.state} {one.reason}".strip()),
                ("stations", f"{count.done} of {count.stations} done, {count.running} going on, {count.failed} failed"),
            ]
        )
        rows = [(turn.identity, turn.state, turn.status, turn.reason, turn.version) for turn in turns]
        show_table(("station", "state", "says", "reason", "firmware now"), rows)


def _act(campaign_id: int, what: str, done: str) -> None:
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            if campaign_store.find_campaign(connection, campaign_id) is None:
                raise Refusal(f"There is no campaign {campaign_id}. `csms firmware campaign list` shows them.")
            if what == "retry":
                acted = bool(campaign_store.retry_failed(connection, campaign_id, clock.now()))
            else:
                acted = campaign_store.act(connection, campaign_id, what, ACTOR, clock.now())
        if not acted:
            raise Refusal(f"Campaign {campaign_id} is in no state for this.")
        say(f"Campaign {campaign_id} {done}.")


@commands.command()
def pause(campaign_id: CampaignId) -> None:
    """Begin with no further station for now; those that have begun go on."""
    _act(campaign_id, "pause", "is paused")


@commands.command()
def resume(campaign_id: CampaignId) -> None:
    """Go on with a paused campaign; what failed so far is forgiven."""
    _act(campaign_id, "resume", "goes on")


@commands.command()
def stop(campaign_id: CampaignId) -> None:
    """End a campaign for good; stations that have begun go on."""
    _act(campaign_id, "stop", "is stopped")


@commands.command()
def retry(campaign_id: CampaignId) -> None:
    """Give the stations whose update failed another turn."""
    _act(campaign_id, "retry", "tries again what failed")
