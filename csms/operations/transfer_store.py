"""Set-wise reads and writes of file transfers, their history and the turns of campaigns. Decides nothing.

Transfers are loaded for the stations that an input names or that boot, and for every command that was loaded.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from csms.charging import models
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of, as_fact
from csms.operations.files_models import campaign_station, file_transfer, file_transfer_event, firmware_campaign
from csms.operations.transfers import (
    AT,
    BY_COMMAND,
    CAMPAIGN,
    FAMILIES,
    VERSIONS,
    CampaignTurn,
    Transfer,
    TransferEvent,
)

_t, _turn = file_transfer.c, campaign_station.c
_FIELDS = Transfer.__struct_fields__
_TRANSFERS = select(*(_t[name] for name in _FIELDS)).order_by(_t.command_id).with_for_update()
_FOLLOWED = _TRANSFERS.where(any_of(_t.charge_point_id, "keys"), _t.is_followed)
_BY_COMMAND = _TRANSFERS.where(any_of(_t.command_id, "keys"))
_VERSIONS = select(models.charge_point.c.id, models.charge_point.c.firmware_version).where(
    any_of(models.charge_point.c.id, "keys")
)
_TURNS = (
    select(_turn.campaign_id, _turn.charge_point_id, _turn.command_id, _turn.attempts, firmware_campaign.c.state)
    .join(firmware_campaign, firmware_campaign.c.id == _turn.campaign_id)
    .where(tuple_(_turn.campaign_id, _turn.charge_point_id).in_(bindparam("keys", expanding=True)))
    .order_by(_turn.campaign_id, _turn.charge_point_id)
    .with_for_update()
)
_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_FIXED = frozenset({"command_id", "charge_point_id", "action", "created_at", "requested_by", "token_hash"})


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Load the transfers that may be meant, and the turns of campaigns."""
    commands = [one for one in working_set.commands.values() if one.action in FAMILIES]
    at = names.more.get(AT, set()) | names.settings_at  # a boot names its station's settings
    at |= {one.charge_point_id for one in commands}
    by_command = names.more.get(BY_COMMAND, set()) | {one.command_id for one in commands}
    found: dict[int, Transfer] = {}
    for statement, keys in ((_FOLLOWED, at), (_BY_COMMAND, by_command)):
        for row in _rows(connection, statement, keys):
            found[row[0]] = as_fact(Transfer, row)
    if found:
        working_set.more[BY_COMMAND] = found
    unheard = {one.charge_point_id for one in commands if one.command_id not in found}
    if unheard:
        working_set.more[VERSIONS] = {row[0]: row[1] for row in _rows(connection, _VERSIONS, unheard)}
    turns = names.more.get(CAMPAIGN, set())
    if turns:
        loaded = [as_fact(CampaignTurn, row) for row in _rows(connection, _TURNS, turns)]
        working_set.more[CAMPAIGN] = {(one.campaign_id, one.charge_point_id): one for one in loaded}


def _rows(connection: Connection, statement: Any, keys: Iterable[Any]) -> Iterable[Any]:  # noqa: ANN401 - any SELECT
    ordered = sorted(keys)
    return connection.execute(statement, {"keys": ordered}).all() if ordered else ()


def _upsert(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](file_transfer)
    changes = {name: inserted.excluded[name] for name in _FIELDS if name not in _FIXED}
    return inserted.on_conflict_do_update(index_elements=["command_id"], set_=changes)


_PUT = Many(_upsert, _FIELDS)
_EVENT = Many(insert(file_transfer_event), ["command_id", "status", "note", "at"])
_TAKE_TURN = Many(
    update(campaign_station)
    .where(_turn.campaign_id == bindparam("b_campaign"), _turn.charge_point_id == bindparam("b_station"))
    .values(command_id=bindparam("b_command"), attempts=bindparam("b_attempts")),
    ["b_campaign", "b_station", "b_command", "b_attempts"],
)
_row = attrgetter(*_FIELDS)


def write_transfers(connection: Connection, facts: Sequence[Any], now: datetime) -> None:  # noqa: ARG001 - a writer's signature
    """Write transfers; of one that changed several times in a batch the last counts."""
    latest = {one.command_id: one for one in facts}
    _PUT.execute(connection, [_row(latest[key]) for key in sorted(latest)])


def write_events(connection: Connection, facts: Sequence[Any], now: datetime) -> None:
    """Add lines to histories."""
    _EVENT.execute(connection, [(one.command_id, one.status, one.note[:300], now) for one in facts])


def write_turns(connection: Connection, facts: Sequence[Any], now: datetime) -> None:  # noqa: ARG001 - a writer's signature
    """Note which command was a station's turn in a campaign."""
    rows = [(one.campaign_id, one.charge_point_id, one.command_id, one.attempts) for one in facts]
    _TAKE_TURN.execute(connection, sorted(rows))


WRITERS: dict[type, Callable[[Connection, Sequence[Any], datetime], None]] = {
    Transfer: write_transfers,
    TransferEvent: write_events,
    CampaignTurn: write_turns,
}
