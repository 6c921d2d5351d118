"""What people read and change of local lists: the lists, their cards, where they belong, and what each station has.

Works on a connection inside somebody else's unit of work; every list has a limit. Nothing is sent from here: what is
changed is noticed by whoever keeps the lists in step.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, delete, func, insert, select, update

from csms.billing import models as money_models
from csms.charging import models as charging_models
from csms.db import as_fact
from csms.operations import local_lists_models as models
from csms.operations.local_lists import Entry, StationList, digest_of
from csms.operations.local_lists_keeping import NOTHING, entries_of
from csms.operations.local_lists_store import WITHOUT_ENTRIES, listed_cards

Refusal = Literal["unknown card", "unknown station", "unknown group", "unknown list"]
MOST_CARDS = 10_000  # that one list may choose one by one

_list, _chosen, _target = models.local_list.c, models.local_list_card.c, models.local_list_target.c
_held, _cp, _group = models.station_local_list.c, charging_models.charge_point.c, charging_models.station_group.c
_setting, _account_group = charging_models.station_setting.c, money_models.account_group.c


class LocalListView(msgspec.Struct, frozen=True):
    """A list: whose cards it has beside the chosen ones, and how many stations it belongs to."""

    list_id: int
    name: str
    account_group_id: int | None
    account_group: str | None
    has_staff: bool
    chosen: int


class ListEntryView(msgspec.Struct, frozen=True):
    """A card of a list as it goes to the stations; `is_chosen`: it was put there one by one."""

    entry: Entry
    printed_number: str
    is_chosen: bool


class TargetView(msgspec.Struct, frozen=True):
    """Where a list belongs: a station, or all stations of a group that have no list of their own."""

    target_id: int
    charge_point_id: int | None
    charge_point: str | None
    station_group_id: int | None
    station_group: str | None


class StationListView(msgspec.Struct, frozen=True):
    """A station, its list, and what it has of it. `is_enabled`: whether it starts cards by its list, as it reported."""

    charge_point_id: int
    charge_point: str
    online: bool
    list_id: int | None
    list_name: str | None
    is_current: bool
    held: StationList
    changed_at: datetime | None
    enabled: str | None
    most_entries: str | None
    most_sent: str | None


_COUNT = select(func.count()).select_from(models.local_list_card).where(_chosen.list_id == _list.id).scalar_subquery()
_LISTS = (
    select(_list.id, _list.name, _list.account_group_id, _account_group.name, _list.has_staff, _COUNT)
    .select_from(models.local_list.outerjoin(money_models.account_group))
    .order_by(_list.name)
)


def list_lists(connection: Connection, *, after: str = "", limit: int = 1000) -> list[LocalListView]:
    """Return the lists by name; `after`: those that come after this name."""
    return [as_fact(LocalListView, row) for row in connection.execute(_LISTS.where(_list.name > after).limit(limit))]


def find_list(connection: Connection, *, list_id: int | None = None, name: str | None = None) -> LocalListView | None:
    """Return a list by its number or its name."""
    condition = _list.id == list_id if list_id is not None else _list.name == name
    row = connection.execute(_LISTS.where(condition)).first()
    return None if row is None else as_fact(LocalListView, row)


def add_list(
    connection: Connection, name: str, account_group_id: int | None, now: datetime, *, has_staff: bool
) -> int | None:
    """Add a list and return its number, None where the name is taken."""
    if find_list(connection, name=name) is not None:
        return None
    row = {"name": name, "account_group_id": account_group_id, "has_staff": has_staff, "created_at": now}
    number: int = connection.execute(insert(models.local_list).returning(_list.id), row).scalar_one()
    return number


def change_list(
    connection: Connection, list_id: int, name: str, account_group_id: int | None, *, has_staff: bool
) -> bool:
    """Change what a list is; False where another one has the name."""
    other = find_list(connection, name=name)
    if other is not None and other.list_id != list_id:
        return False
    values = {"name": name, "account_group_id": account_group_id, "has_staff": has_staff}
    connection.execute(update(models.local_list).where(_list.id == list_id).values(values))
    return True


def remove_list(connection: Connection, list_id: int) -> None:
    """Remove a list; the stations that have it are emptied."""
    connection.execute(delete(models.local_list_target).where(_target.list_id == list_id))
    connection.execute(delete(models.local_list_card).where(_chosen.list_id == list_id))
    connection.execute(delete(models.local_list).where(_list.id == list_id))


def put_card(connection: Connection, list_id: int, id_tag: str, *, chosen: bool) -> None:
    """Choose a card for a list, or take the choice back; doing so again changes nothing."""
    here = (_chosen.list_id == list_id) & (_chosen.id_tag == id_tag)
    if not chosen:
        connection.execute(delete(models.local_list_card).where(here))
    elif connection.execute(select(_chosen.id_tag).where(here)).first() is None:
        connection.execute(insert(models.local_list_card), {"list_id": list_id, "id_tag": id_tag})


def put_target(
    connection: Connection, list_id: int | None, *, charge_point_id: int | None = None, group_id: int | None = None
) -> None:
    """Give a station or a group of stations its list, or none; it had one at most."""
    is_it = _target.charge_point_id == charge_point_id if group_id is None else _target.station_group_id == group_id
    connection.execute(delete(models.local_list_target).where(is_it))
    if list_id is not None:
        row = {"list_id": list_id, "charge_point_id": charge_point_id, "station_group_id": group_id}
        connection.execute(insert(models.local_list_target), row)


def targets_of(connection: Connection, list_id: int) -> list[TargetView]:
    """Return where a list belongs: groups, then stations."""
    statement = (
        select(_target.id, _target.charge_point_id, _cp.identity, _target.station_group_id, _group.name)
        .select_from(
            models.local_list_target.outerjoin(
                charging_models.charge_point, _cp.id == _target.charge_point_id
            ).outerjoin(charging_models.station_group, _group.id == _target.station_group_id)
        )
        .where(_target.list_id == list_id)
        .order_by(_group.name, _cp.identity)
        .limit(1000)
    )
    return [as_fact(TargetView, row) for row in connection.execute(statement)]


def entries_in(connection: Connection, list_id: int, now: datetime) -> list[ListEntryView]:
    """Return what a list says of which card, by id tag."""
    cards = listed_cards(connection, [list_id]).get(list_id, NOTHING).cards
    chosen = set(connection.execute(select(_chosen.id_tag).where(_chosen.list_id == list_id)).scalars())
    numbers = _printed_numbers(connection, [one.id_tag for one in cards])
    found = entries_of(cards, now)
    return [ListEntryView(one, numbers.get(one.id_tag, ""), one.id_tag in chosen) for one in found]


_NUMBERS_AT_ONCE = 500


def _printed_numbers(connection: Connection, id_tags: Sequence[str]) -> dict[str, str]:
    card = money_models.card.c
    found: dict[str, str] = {}
    for begin in range(0, len(id_tags), _NUMBERS_AT_ONCE):
        part = id_tags[begin : begin + _NUMBERS_AT_ONCE]
        rows = connection.execute(select(card.id_tag, card.printed_number).where(card.id_tag.in_(part)))
        found.update({row.id_tag: row.printed_number for row in rows})
    return found


_own, _of_group = models.local_list_target.alias("own"), models.local_list_target.alias("of_group")
_assigned = func.coalesce(_own.c.list_id, _of_group.c.list_id)
_STATIONS = (
    select(
        _cp.id,
        _cp.identity,
        charging_models.connection.c.charge_point_id.is_not(None),
        _assigned,
        _list.name,
        _held.changed_at,
        *WITHOUT_ENTRIES[1:],
    )
    .select_from(
        charging_models.charge_point.outerjoin(_own, _own.c.charge_point_id == _cp.id)
        .outerjoin(_of_group, _of_group.c.station_group_id == _cp.group_id)
        .outerjoin(models.local_list, _list.id == _assigned)
        .outerjoin(models.station_local_list, _held.charge_point_id == _cp.id)
        .outerjoin(charging_models.connection, charging_models.connection.c.charge_point_id == _cp.id)
    )
    .order_by(_cp.identity)
)
_KEYS = ("localauthlistenabled", "localauthlistmaxlength", "sendlocallistmaxlength")


def list_stations(
    connection: Connection,
    now: datetime,
    *,
    list_id: int | None = None,
    charge_point_id: int | None = None,
    limit: int,
    offset: int = 0,
) -> list[StationListView]:
    """Return stations that have a list or should have one, by identity; of one list, or one station, whose entries are
    read as well.
    """
    if charge_point_id is not None:
        statement = _STATIONS.where(_cp.id == charge_point_id)
    elif list_id is not None:
        statement = _STATIONS.where((_assigned == list_id) | (_held.list_id == list_id))
    else:
        statement = _STATIONS.where(_assigned.is_not(None) | _held.charge_point_id.is_not(None))
    rows = connection.execute(statement.limit(limit).offset(offset)).all()
    reported = _reported(connection, [row[0] for row in rows])
    entries_json = None if charge_point_id is None else _entries_json(connection, charge_point_id)
    digests: dict[int | None, str] = {None: digest_of(())}
    for key, listing in listed_cards(connection, {row[3] for row in rows if row[3] is not None}).items():
        _, digests[key] = listing.at(now)
    found = [_station(row, reported.get(row[0], {}), digests.get(row[3], digests[None])) for row in rows]
    if entries_json is None:
        return found
    return [replace(one, held=replace(one.held, entries_json=entries_json)) for one in found]


def _entries_json(connection: Connection, charge_point_id: int) -> str | None:
    statement = select(_held.entries_json).where(_held.charge_point_id == charge_point_id)
    text: str | None = connection.execute(statement).scalar()
    return text


def _station(row: Sequence[Any], reported: dict[str, str], digest: str) -> StationListView:
    charge_point_id, identity, online, list_id, name, changed_at, *held = row
    has = StationList(charge_point_id) if changed_at is None else StationList(charge_point_id, *held)
    is_current = has.version is not None and has.list_id == list_id and has.digest == digest
    return StationListView(
        charge_point_id,
        identity,
        bool(online),
        list_id,
        name,
        is_current,
        has,
        changed_at,
        *(reported.get(key) for key in _KEYS),
    )


def _reported(connection: Connection, charge_point_ids: list[int]) -> dict[int, dict[str, str]]:
    statement = select(_setting.charge_point_id, func.lower(_setting.key), _setting.reported_value).where(
        _setting.charge_point_id.in_(charge_point_ids),
        func.lower(_setting.key).in_(_KEYS),
        _setting.reported_value.is_not(None),
    )
    found: dict[int, dict[str, str]] = {}
    for charge_point_id, key, value in connection.execute(statement):
        found.setdefault(charge_point_id, {})[key] = value
    return found


def count_stations(connection: Connection, list_id: int) -> int:
    """Return at how many stations a list belongs, or is still held."""
    narrowed = _STATIONS.where((_assigned == list_id) | (_held.list_id == list_id)).order_by(None)
    return int(connection.execute(select(func.count()).select_from(narrowed.subquery())).scalar_one())
