"""The rows of firmware campaigns: made, claimed by one node, paused and resumed, read with the state of each station.

Works on a connection inside somebody else's unit of work. What comes next is decided by `campaigns`.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, exists, func, insert, or_, select, update

from csms.charging import models
from csms.db import as_fact
from csms.operations.campaigns import ACTS, Campaign, CampaignState, Turn, progress_of
from csms.operations.files_models import campaign_station, file_transfer, firmware_campaign
from csms.operations.firmware_files import Firmware, suits

_c, _turn, _t = firmware_campaign.c, campaign_station.c, file_transfer.c
_cp, _tx = models.charge_point.c, models.charging_transaction.c
_FIELDS = [_c.id, *(_c[name] for name in Campaign.__struct_fields__[1:])]
_CLAIM = timedelta(seconds=60)


class NewCampaign(msgspec.Struct, frozen=True):
    """What an operator wants: `starts_at` None is now, `retrieve_at` None is as soon as the station hears of it."""

    firmware: Firmware
    group_id: int
    group_name: str
    parallel: int
    max_failures: int
    only_idle: bool
    is_signed: bool
    starts_at: datetime | None
    retrieve_at: datetime | None
    requested_by: str


class Made(msgspec.Struct, frozen=True):
    """A campaign that was made, and the stations of the group that are not in it, with the reason."""

    campaign_id: int
    stations: int
    left_out: tuple[tuple[str, str], ...]


def add_campaign(connection: Connection, new: NewCampaign, now: datetime) -> Made | None:
    """Make a campaign over the stations that are in the group now and that it suits; None where that is none."""
    statement = select(_cp.id, _cp.identity, _cp.vendor, _cp.model, _cp.firmware_version).where(
        _cp.group_id == new.group_id
    )
    wanted: list[int] = []
    left_out: list[tuple[str, str]] = []
    for number, identity, vendor, model, version in connection.execute(statement.order_by(_cp.identity)):
        if not suits(new.firmware, vendor, model):
            left_out.append((identity, f"it is a {vendor} {model}".strip()))
        elif version == new.firmware.version:
            left_out.append((identity, f"it has version {version} already"))
        else:
            wanted.append(number)
    if not wanted:
        return None
    row = {
        "firmware_id": new.firmware.firmware_id,
        "group_name": new.group_name,
        "state": "running",
        "is_signed": new.is_signed,
        "starts_at": new.starts_at or now,
        "retrieve_at": new.retrieve_at,
        "parallel": new.parallel,
        "max_failures": new.max_failures,
        "only_idle": new.only_idle,
        "requested_by": new.requested_by,
        "created_at": now,
        "changed_at": now,
    }
    campaign_id: int = connection.execute(insert(firmware_campaign).returning(_c.id), row).scalar_one()
    connection.execute(
        insert(campaign_station), [{"campaign_id": campaign_id, "charge_point_id": number} for number in wanted]
    )
    return Made(campaign_id, len(wanted), tuple(left_out))


def list_campaigns(
    connection: Connection, *, limit: int, offset: int = 0, before: int | None = None, firmware_id: int | None = None
) -> list[Campaign]:
    """Return campaigns, the newest first."""
    statement = select(*_FIELDS).order_by(_c.id.desc()).limit(limit).offset(offset)
    if before is not None:
        statement = statement.where(_c.id < before)
    if firmware_id is not None:
        statement = statement.where(_c.firmware_id == firmware_id)
    return [as_fact(Campaign, row) for row in connection.execute(statement)]


def count_campaigns(connection: Connection) -> int:
    """Return how many campaigns there are."""
    return int(connection.execute(select(func.count()).select_from(firmware_campaign)).scalar_one())


def find_campaign(connection: Connection, campaign_id: int) -> Campaign | None:
    """Return a campaign by its number."""
    row = connection.execute(select(*_FIELDS).where(_c.id == campaign_id)).first()
    return None if row is None else as_fact(Campaign, row)


def turns_of(connection: Connection, campaign_id: int) -> list[Turn]:
    """Return the stations of a campaign by identity, each as it is now."""
    online = exists().where(models.connection.c.charge_point_id == _turn.charge_point_id)
    charging = exists().where(_tx.charge_point_id == _turn.charge_point_id, _tx.state == "open")
    statement = (
        select(
            _turn.charge_point_id,
            _cp.identity,
            _turn.command_id,
            _t.state,
            func.coalesce(_t.status, ""),
            func.coalesce(_t.reason, ""),
            _cp.firmware_version,
            online,
            charging,
            _turn.attempts,
            _t.changed_at,
            func.coalesce(_t.moved_bytes, 0),
        )
        .join(models.charge_point, _cp.id == _turn.charge_point_id)
        .outerjoin(file_transfer, _t.command_id == _turn.command_id)
        .where(_turn.campaign_id == campaign_id)
        .order_by(_cp.identity)
    )
    return [as_fact(Turn, row) for row in connection.execute(statement)]


def claim_campaigns(connection: Connection, node: str, now: datetime) -> list[Campaign]:
    """Take the running campaigns whose time has come and that no other node drives; a dead node's after a minute."""
    free = or_(_c.claimed_until.is_(None), _c.claimed_until < now, _c.claimed_by == node)
    due = (_c.state == "running", _c.starts_at <= now, free)
    connection.execute(update(firmware_campaign).where(*due).values(claimed_by=node, claimed_until=now + _CLAIM))
    mine = select(*_FIELDS).where(_c.state == "running", _c.starts_at <= now, _c.claimed_by == node).order_by(_c.id)
    return [as_fact(Campaign, row) for row in connection.execute(mine)]


def set_state(connection: Connection, campaign_id: int, state: CampaignState, reason: str, now: datetime) -> bool:
    """Let a running campaign pause or finish by itself; False where a person was quicker."""
    statement = update(firmware_campaign).where(_c.id == campaign_id, _c.state == "running")
    return bool(connection.execute(statement.values(state=state, reason=reason, changed_at=now)).rowcount)


def act(connection: Connection, campaign_id: int, what: str, actor: str, now: datetime) -> bool:
    """Pause, resume or stop a campaign; False where it is in no state for that. Resuming forgives what failed.

    What stations are doing already goes on: OCPP 1.6 knows no way to call it off.
    """
    allowed, state = ACTS[what]
    values: dict[str, object] = {"state": state, "reason": f"by {actor}"[:300], "changed_at": now}
    if what == "resume":
        values |= {"reason": "", "forgiven": progress_of(turns_of(connection, campaign_id)).failed}
    statement = update(firmware_campaign).where(_c.id == campaign_id, _c.state.in_(allowed))
    return bool(connection.execute(statement.values(values)).rowcount)


def retry_failed(connection: Connection, campaign_id: int, now: datetime) -> int:
    """Give the stations whose update failed another turn; return how many. A finished campaign runs again."""
    campaign = find_campaign(connection, campaign_id)
    if campaign is None or campaign.state == "stopped":
        return 0
    failed = [one.charge_point_id for one in turns_of(connection, campaign_id) if one.state == "failed"]
    if not failed:
        return 0
    again = update(campaign_station).where(_turn.campaign_id == campaign_id, _turn.charge_point_id.in_(failed))
    connection.execute(again.values(command_id=None))
    values = {"state": "running", "reason": "", "forgiven": 0, "changed_at": now}
    connection.execute(update(firmware_campaign).where(_c.id == campaign_id).values(values))
    return len(failed)


def any_running(connection: Connection) -> bool:
    """Tell whether any campaign runs."""
    return connection.execute(select(_c.id).where(_c.state == "running").limit(1)).first() is not None
