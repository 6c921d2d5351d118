"""One firmware campaign: how far it is, station by station, and the acts that pause, resume and stop it."""

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.operations import campaign_store, firmware_files
from csms.operations.campaigns import ACTS, Campaign, Progress, Turn, progress_of
from csms.operations.firmware_files import Firmware
from csms.web.visit import Visit

_SHOWN = 500  # stations; those that failed and those that go on come first
_ORDER = {"failed": 0, "running": 1, "waiting": 2, "done": 3}


class CampaignPage(msgspec.Struct, frozen=True):
    """All that the page of a campaign shows."""

    campaign: Campaign
    firmware: Firmware
    progress: Progress
    turns: tuple[Turn, ...]


async def show_one(visit: Visit) -> Response:
    """Show a campaign."""
    shown = await _found(visit)
    left_out = visit.query_number("left_out")
    return visit.page("files/campaign.html", shown=shown, done=visit.query("done"), left_out=left_out)


async def live(visit: Visit) -> Response:
    """Return the part of a campaign's page that changes."""
    return visit.page("files/_campaign_live.html", shown=await _found(visit))


async def act(visit: Visit) -> Response:
    """Pause, resume or stop a campaign, or give its failed stations another turn."""
    shown = await _found(visit)
    campaign_id, what = shown.campaign.campaign_id, visit.fields.get("act", "")
    if what == "retry":
        again = await visit.write(lambda c: campaign_store.retry_failed(c, campaign_id, visit.now))
        return visit.go(f"/firmware/campaigns/{campaign_id}", done="retry" if again else "late")
    if what not in ACTS:
        raise HTTPException(422, "There is no such act.")
    acted = await visit.write(lambda c: campaign_store.act(c, campaign_id, what, visit.staff.name, visit.now))
    return visit.go(f"/firmware/campaigns/{campaign_id}", done=what if acted else "late")


async def _found(visit: Visit) -> CampaignPage:
    campaign_id = visit.path_number("campaign_id")

    def load(connection: Connection) -> CampaignPage | None:
        campaign = campaign_store.find_campaign(connection, campaign_id)
        if campaign is None:
            return None
        firmware = firmware_files.find_firmware(connection, campaign.firmware_id, deleted=True)
        assert firmware is not None, "a campaign has a firmware, be it deleted"
        turns = campaign_store.turns_of(connection, campaign_id)
        ordered = sorted(turns, key=lambda one: (_ORDER[one.state], one.identity))
        return CampaignPage(campaign, firmware, progress_of(turns), tuple(ordered[:_SHOWN]))

    shown = await visit.read(load)
    if shown is None:
        raise HTTPException(404, "There is no such campaign.")
    return shown
