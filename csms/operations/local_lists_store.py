"""Set-wise reads and writes of local lists for the engine, and which stations are out of step. Decides nothing."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, String, Text, bindparam, cast, func, null, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from csms.billing import models as money_models
from csms.charging import models as charging_models
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of, as_fact
from csms.operations import local_lists, local_lists_models
from csms.operations.local_lists import StationList
from csms.operations.local_lists_keeping import (
    ACTIONS,
    ASSIGNED,
    AT,
    CARDS,
    HELD,
    NOTHING,
    Assigned,
    CardReplaced,
    ListedCard,
    Listing,
    wanted_of,
)

_held, _target = local_lists_models.station_local_list, local_lists_models.local_list_target
_list, _chosen = local_lists_models.local_list, local_lists_models.local_list_card
_cp, _setting = charging_models.charge_point, charging_models.station_setting
_card, _account, _group = money_models.card.c, money_models.ledger_account.c, money_models.account_group.c
_DAY = timedelta(days=1)
_MOST_ENTRIES, _MOST_SENT = "localauthlistmaxlength", "sendlocallistmaxlength"

# Entries may be long: they are read where somebody looks at them, and left out where many stations are compared.
WITHOUT_ENTRIES = [
    null().label(name) if name == "entries_json" else _held.c[name] for name in StationList.__struct_fields__
]
_HELD = select(*WITHOUT_ENTRIES).where(any_of(_held.c.charge_point_id, "keys"))
_HELD_LOCKED = (
    select(*(_held.c[name] for name in StationList.__struct_fields__))
    .where(any_of(_held.c.charge_point_id, "keys"))
    .order_by(_held.c.charge_point_id)
    .with_for_update()
)
_UNSURE = (
    select(_held.c.charge_point_id)
    .join(_cp, _cp.c.id == _held.c.charge_point_id)
    .where(
        any_of(_held.c.charge_point_id, "keys"),
        _held.c.state == "in step",
        _held.c.list_id.is_not(None),
        or_(_cp.c.booted_at > _held.c.changed_at, _held.c.changed_at < bindparam("long_ago")),
    )
    .order_by(_held.c.charge_point_id)
)
_own, _of_group = _target.alias("own"), _target.alias("of_group")
_ASSIGNED = (
    select(_cp.c.id, func.coalesce(_own.c.list_id, _of_group.c.list_id))
    .select_from(
        _cp.outerjoin(_own, _own.c.charge_point_id == _cp.c.id).outerjoin(
            _of_group, _of_group.c.station_group_id == _cp.c.group_id
        )
    )
    .where(any_of(_cp.c.id, "keys"))
)
_LENGTHS = select(_setting.c.charge_point_id, func.lower(_setting.c.key), _setting.c.reported_value).where(
    any_of(_setting.c.charge_point_id, "keys"),
    func.lower(_setting.c.key).in_((_MOST_ENTRIES, _MOST_SENT)),
    _setting.c.reported_value.is_not(None),
)
# The cards of a list come as one text, which is quickly told from the last one: many cards seldom change. Id tags are
# printable, so nothing in them looks like an end.
_FIELD, _ROW = "\x1f", "\x1e"
_latest: dict[int, tuple[str, Listing]] = {}  # of each list; right whatever it holds, since the text is compared
_TEXT = func.aggregate_strings(
    _card.id_tag
    + _FIELD
    + _card.state
    + _FIELD
    + func.coalesce(cast(_card.expires_at, Text), "")
    + _FIELD
    + func.coalesce(cast(_card.account_id, Text), ""),
    _ROW,
)
_OF_GROUP = (
    select(_list.c.id, _TEXT)
    .select_from(_list)
    .join(money_models.ledger_account, _account.group_id == _list.c.account_group_id)
    .join(money_models.card, _card.account_id == _account.id)
    .where(any_of(_list.c.id, "keys"))
    .group_by(_list.c.id)
)
_OF_STAFF = (
    select(_list.c.id, _TEXT)
    .select_from(_list)
    .join(money_models.account_group, _group.is_staff & _list.c.has_staff)
    .join(money_models.ledger_account, _account.group_id == _group.id)
    .join(money_models.card, _card.account_id == _account.id)
    .where(any_of(_list.c.id, "keys"))
    .group_by(_list.c.id)
)
_CHOSEN = (
    select(_chosen.c.list_id, _TEXT)
    .join(money_models.card, _card.id_tag == _chosen.c.id_tag)
    .where(any_of(_chosen.c.list_id, "keys"))
    .group_by(_chosen.c.list_id)
)


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Read what the stations have whose lists are answered or looked after, and what they should have."""
    commands = working_set.commands.values()
    answered = (one for one in commands if one.action in ACTIONS and (one.state != "queued" or one.attempts))
    keys = sorted(names.more.get(AT, set()) | {one.charge_point_id for one in answered})
    if not keys:
        return
    held = [as_fact(StationList, row) for row in connection.execute(_HELD_LOCKED, {"keys": keys})]
    assigned = _assigned(connection, keys)
    working_set.more[HELD] = {one.charge_point_id: one for one in held}
    working_set.more[ASSIGNED] = assigned
    working_set.more[CARDS] = listed_cards(connection, {one.list_id for one in assigned.values() if one.list_id})


def _assigned(connection: Connection, keys: list[int]) -> dict[int, Assigned]:
    lengths: dict[tuple[int, str], int] = {}
    for charge_point_id, key, value in connection.execute(_LENGTHS, {"keys": keys}):
        if value.strip().isascii() and value.strip().isdigit() and int(value) > 0:
            lengths[charge_point_id, key] = int(value)
    return {
        key: Assigned(key, list_id, lengths.get((key, _MOST_ENTRIES)), lengths.get((key, _MOST_SENT)))
        for key, list_id in connection.execute(_ASSIGNED, {"keys": keys})
    }


def listed_cards(connection: Connection, list_ids: Iterable[int]) -> dict[int, Listing]:
    """Return the cards of lists, each once, by id tag; also those that are blocked, lost or expired."""
    keys = {"keys": sorted(list_ids)}
    if not keys["keys"]:
        return {}
    found: dict[int, list[str]] = {}
    for statement in (_OF_GROUP, _OF_STAFF, _CHOSEN):
        for list_id, text in connection.execute(statement, keys):
            found.setdefault(list_id, []).append(text)
    return {list_id: _listing(list_id, _ROW.join(texts)) for list_id, texts in found.items()}


def _listing(list_id: int, text: str) -> Listing:
    """Return the cards of a list, worked out anew only where they changed since somebody asked last."""
    before, listing = _latest.get(list_id, ("", NOTHING))
    if before != text:
        cards = {row[0]: row for row in (row.split(_FIELD) for row in text.split(_ROW))}
        listing = Listing(tuple(_card_of(*cards[tag]) for tag in sorted(cards)))
        _latest[list_id] = text, listing
    return listing


def _card_of(id_tag: str, state: str, expires_at: str, account_id: str) -> ListedCard:
    moment = datetime.fromisoformat(expires_at) if expires_at else None
    if moment is not None and moment.tzinfo is None:  # SQLite's text has none
        moment = moment.replace(tzinfo=UTC)
    return ListedCard(id_tag, state, moment, int(account_id) if account_id else None)


def out_of_step(connection: Connection, charge_point_ids: Iterable[int], now: datetime) -> list[int]:
    """Return those of the stations whose list is not what it should be, as far as something can be done about it."""
    keys = sorted(charge_point_ids)
    if not keys:
        return []
    held = {row[0]: as_fact(StationList, row) for row in connection.execute(_HELD, {"keys": keys})}
    assigned: dict[int, int | None] = {row[0]: row[1] for row in connection.execute(_ASSIGNED, {"keys": keys})}
    list_ids = {one for one in assigned.values() if one is not None}
    kept = [key for key in keys if assigned.get(key) is not None or (key in held and held[key].list_id is not None)]
    cards = listed_cards(connection, list_ids)
    wishes = {one: wanted_of(Assigned(0, one), cards, 0, now) for one in (*list_ids, None)} if kept else {}
    found = []
    for key in kept:
        has, wanted = held.get(key), wishes[assigned.get(key)]
        assert wanted is not None, "somebody has it or should have it"
        if not local_lists.is_in_step(has, wanted) and local_lists.may_try(has, wanted, now):
            found.append(key)
    return found


def to_verify(connection: Connection, charge_point_ids: Iterable[int], now: datetime) -> list[int]:
    """Return those of the stations that may have lost their list: they booted since it was heard of, or a day ago."""
    keys = {"keys": sorted(charge_point_ids), "long_ago": now - _DAY}
    return list(connection.execute(_UNSURE, keys).scalars()) if keys["keys"] else []


_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _put(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](_held)
    changes = {name: inserted.excluded[name] for name in (*StationList.__struct_fields__[1:], "changed_at")}
    return inserted.on_conflict_do_update(index_elements=["charge_point_id"], set_=changes)


def _put_replacement(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    new = cast(bindparam("b_new_id_tag"), String(20))
    lists = select(_chosen.c.list_id, new).where(_chosen.c.id_tag == bindparam("b_id_tag"))
    return _INSERTS[dialect](_chosen).from_select(["list_id", "id_tag"], lists).on_conflict_do_nothing()


_PUT = Many(_put, [*StationList.__struct_fields__, "changed_at"])
_PUT_REPLACEMENT = Many(_put_replacement, ["b_new_id_tag", "b_id_tag"])
_row = attrgetter(*StationList.__struct_fields__)


def write(connection: Connection, facts: Sequence[StationList], now: datetime) -> None:
    """Write what stations have, the last word of each, in the order of their keys."""
    last = {one.charge_point_id: one for one in facts}
    _PUT.execute(connection, [(*_row(one), now) for _, one in sorted(last.items())])


def write_replaced(connection: Connection, facts: Sequence[CardReplaced], now: datetime) -> None:  # noqa: ARG001 - every writer takes now
    """Let new cards join the lists in which the lost ones were chosen."""
    _PUT_REPLACEMENT.execute(connection, sorted((one.new_id_tag, one.id_tag) for one in facts))
