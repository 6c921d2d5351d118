"""Local lists over the API: which cards they hold, where they belong, what stations have of them.

What is changed reaches the connected stations by itself within half a minute; `keep` does it at once.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec

from csms.billing import account_groups, reports
from csms.charging import groups
from csms.operations import local_lists_views as views
from csms.operations.local_lists import State
from csms.operations.local_lists_keeping import KeepList, Outcome
from csms.operations.local_lists_views import LocalListView, StationListView
from csms.web.api.commands import charge_point_exists
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.tariffs import Name
from csms.web.api.values import Id, IdTag

_TAG = "local lists"
_MOST_STATIONS = 200


class LocalList(msgspec.Struct, frozen=True):
    """A list: the cards of an account group, of all staff, and those chosen one by one."""

    id: int
    name: str
    account_group_id: int | None
    account_group: str | None
    has_staff: bool
    chosen_cards: int


class NewList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list to be added."""

    name: Name
    account_group_id: Id | None = None
    has_staff: bool = False


class ListChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to change; what is not named stays, `account_group_id` null takes the group away."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    account_group_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    has_staff: bool | msgspec.UnsetType = msgspec.UNSET


class Entry(msgspec.Struct, frozen=True):
    """What a list says of a card. `expires_at` is written as it goes to the station."""

    id_tag: str
    status: str
    expires_at: str | None
    parent_id_tag: str | None


class ListedCard(msgspec.Struct, frozen=True):
    """A card of a list; `is_chosen`: it was put there one by one."""

    id_tag: str
    printed_number: str
    is_chosen: bool
    status: str
    expires_at: str | None
    parent_id_tag: str | None


class ChosenCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A card to be put into a list."""

    id_tag: IdTag


class Target(msgspec.Struct, frozen=True):
    """A charge point, or a group of them, that has a list."""

    id: int
    charge_point_id: int | None
    charge_point: str | None
    station_group_id: int | None
    station_group: str | None


class Targets(msgspec.Struct, frozen=True):
    """Where a list belongs."""

    items: tuple[Target, ...]


class NewTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of both: a charge point's own list goes before its group's."""

    charge_point_id: Id | None = None
    station_group_id: Id | None = None


class StationList(msgspec.Struct, frozen=True):
    """What a charge point has of its list, as far as it told. `version` -1: it knows no lists; null: not known."""

    charge_point_id: int
    charge_point: str
    list_id: int | None
    list_name: str | None
    is_current: bool
    state: State
    explanation: str
    version: int | None
    local_auth_list_enabled: str | None
    changed_at: datetime | None
    entries: tuple[Entry, ...] | None


class Kept(msgspec.Struct, frozen=True):
    """What was done about it."""

    outcome: Outcome


async def show_list(call: ApiCall, query: Paging) -> Page[LocalList]:
    """List the lists by name."""
    after = read_cursor(query.cursor, tuple[str])
    rows = await call.read(
        lambda connection: views.list_lists(connection, after="" if after is None else after[0], limit=query.limit + 1)
    )
    return page_of([_shown(one) for one in rows], query.limit, lambda one: (one.name,))


async def show(call: ApiCall) -> LocalList:
    """Show a list."""
    return _shown(await _find(call))


async def _find(call: ApiCall) -> LocalListView:
    list_id = call.path_number("list_id")
    return found(await call.read(lambda connection: views.find_list(connection, list_id=list_id)), "local list")


def _shown(one: LocalListView) -> LocalList:
    return LocalList(*msgspec.structs.astuple(one))


async def create(call: ApiCall, wanted: NewList) -> LocalList:
    """Add a list."""
    await _check_group(call, wanted.account_group_id)
    number = await call.write(
        lambda c: views.add_list(c, wanted.name, wanted.account_group_id, call.now, has_staff=wanted.has_staff)
    )
    if number is None:
        raise Problem("conflict", "There is a list with this name already.", field="name")
    return _shown(found(await call.read(lambda c: views.find_list(c, list_id=number)), "local list"))


async def change(call: ApiCall, wanted: ListChange) -> LocalList:
    """Change what a list is."""
    before = await _find(call)
    name = before.name if wanted.name is msgspec.UNSET else wanted.name
    group_id = before.account_group_id if wanted.account_group_id is msgspec.UNSET else wanted.account_group_id
    has_staff = before.has_staff if wanted.has_staff is msgspec.UNSET else wanted.has_staff
    await _check_group(call, group_id)
    if not await call.write(lambda c: views.change_list(c, before.list_id, name, group_id, has_staff=has_staff)):
        raise Problem("conflict", "There is another list with this name.", field="name")
    return await show(call)


async def _check_group(call: ApiCall, group_id: int | None) -> None:
    if group_id is None:
        return
    if await call.read(lambda c: account_groups.find_account_group(c, group_id=group_id)) is None:
        raise Problem("invalid", "There is no such account group.", field="account_group_id")


async def remove(call: ApiCall) -> None:
    """Remove a list; the charge points that have it are emptied."""
    one = await _find(call)
    await call.write(lambda connection: views.remove_list(connection, one.list_id))


async def show_cards(call: ApiCall, query: Paging) -> Page[ListedCard]:
    """List what a list says of which card, by id tag."""
    one = await _find(call)
    after = read_cursor(query.cursor, tuple[str])
    rows = await call.read(lambda connection: views.entries_in(connection, one.list_id, call.now))
    cards = [
        ListedCard(
            each.entry.id_tag,
            each.printed_number,
            each.is_chosen,
            each.entry.status,
            each.entry.expires_at,
            each.entry.parent_id_tag,
        )
        for each in rows
        if after is None or each.entry.id_tag > after[0]
    ]
    return page_of(cards[: query.limit + 1], query.limit, lambda each: (each.id_tag,))


async def put_card(call: ApiCall, wanted: ChosenCard) -> LocalList:
    """Put a card into a list; doing so again changes nothing."""
    one = await _find(call)
    if one.chosen >= views.MOST_CARDS:
        raise Problem("refused", f"A list chooses {views.MOST_CARDS} cards at most.")
    card = await call.read(lambda connection: reports.find_card(connection, wanted.id_tag))
    if card is None or card.account_id is None:
        raise Problem("invalid", "There is no such card, or it was not sold yet.", field="id_tag")
    await call.write(lambda connection: views.put_card(connection, one.list_id, card.id_tag, chosen=True))
    return await show(call)


async def take_card(call: ApiCall) -> None:
    """Take a chosen card out of a list."""
    one = await _find(call)
    id_tag = call.path_text("id_tag").upper()
    await call.write(lambda connection: views.put_card(connection, one.list_id, id_tag, chosen=False))


async def show_targets(call: ApiCall) -> Targets:
    """List where a list belongs."""
    one = await _find(call)
    rows = await call.read(lambda connection: views.targets_of(connection, one.list_id))
    return Targets(tuple(Target(*msgspec.structs.astuple(each)) for each in rows))


async def put_target(call: ApiCall, wanted: NewTarget) -> Targets:
    """Give a list to a charge point or a group, instead of the one it had."""
    one = await _find(call)
    station, group = wanted.charge_point_id, wanted.station_group_id
    if (station is None) == (group is None):
        raise Problem("invalid", "Name a charge point or a group.", field="charge_point_id")
    if station is not None and not await call.read(lambda c: charge_point_exists(c, station)):
        raise Problem("invalid", "There is no such charge point.", field="charge_point_id")
    if group is not None and await call.read(lambda c: groups.find_station_group(c, group_id=group)) is None:
        raise Problem("invalid", "There is no such group.", field="station_group_id")
    await call.write(lambda c: views.put_target(c, one.list_id, charge_point_id=station, group_id=group))
    return await show_targets(call)


async def take_target(call: ApiCall) -> None:
    """Take a list away from a charge point or a group."""
    one, target_id = await _find(call), call.path_number("target_id")
    rows = await call.read(lambda connection: views.targets_of(connection, one.list_id))
    target = found(next((each for each in rows if each.target_id == target_id), None), "place of this list")
    await call.write(
        lambda c: views.put_target(c, None, charge_point_id=target.charge_point_id, group_id=target.station_group_id)
    )


async def show_station(call: ApiCall) -> StationList:
    """Show what a charge point has of its list."""
    charge_point_id = call.path_number("charge_point_id")
    rows = await call.read(
        lambda c: views.list_stations(c, call.now, charge_point_id=charge_point_id, limit=_MOST_STATIONS)
    )
    return _of_station(found(rows[0] if rows else None, "charge point"))


def _of_station(one: StationListView) -> StationList:
    held = one.held.entries
    entries = None if held is None else tuple(_entry(held[tag]) for tag in sorted(held))
    return StationList(
        one.charge_point_id,
        one.charge_point,
        one.list_id,
        one.list_name,
        one.is_current,
        one.held.state,
        one.held.explanation,
        one.held.version,
        one.enabled,
        one.changed_at,
        entries,
    )


def _entry(one: Any) -> Entry:  # noqa: ANN401 - the rules' own entry, which has the same fields
    return Entry(one.id_tag, one.status, one.expires_at, one.parent_id_tag)


def _keeping(*, full: bool) -> Callable[[ApiCall], Any]:
    async def act(call: ApiCall) -> Answer:
        charge_point_id = call.path_number("charge_point_id")
        if not await call.read(lambda connection: charge_point_exists(connection, charge_point_id)):
            raise Problem("not-found", "There is no such charge point.")
        outcome: Outcome = await call.submit(KeepList(charge_point_id, call.actor, full=full))
        if outcome in {"no list", "too long"}:
            why = "It has no list." if outcome == "no list" else "The list does not fit into it."
            raise Problem("refused", why, reason=outcome)
        return Answer(Kept(outcome))

    return act


def _endpoint(
    method: Literal["GET", "POST", "PATCH", "DELETE"],
    path: str,
    function: Callable[..., Any],
    summary: str,
    response: Any,  # noqa: ANN401 - a type
    **more: Any,  # noqa: ANN401 - an endpoint's own fields
) -> Endpoint:
    scope: Literal["local-lists:read", "local-lists:write"] = (
        "local-lists:read" if method == "GET" else "local-lists:write"
    )
    return Endpoint(method, path, function, scope, summary, response, _TAG, **more)


_LIST, _STATION = "/local-lists/{list_id:int}", "/charge-points/{charge_point_id:int}/local-list"
_MISSING = {"problems": ("not-found",)}
ENDPOINTS = (
    _endpoint("GET", "/local-lists", show_list, "List local lists", Page[LocalList], query=Paging),
    _endpoint(
        "POST",
        "/local-lists",
        create,
        "Add a local list",
        LocalList,
        status=201,
        request=NewList,
        example={"name": "Depot", "has_staff": True},
        problems=("conflict",),
    ),
    _endpoint("GET", _LIST, show, "Show a local list", LocalList, **_MISSING),
    _endpoint(
        "PATCH",
        _LIST,
        change,
        "Change a local list",
        LocalList,
        request=ListChange,
        example={"name": "Yard", "has_staff": True},
        problems=("not-found", "conflict"),
    ),
    _endpoint("DELETE", _LIST, remove, "Remove a local list", None, status=204, **_MISSING),
    _endpoint("GET", f"{_LIST}/cards", show_cards, "List its cards", Page[ListedCard], query=Paging, **_MISSING),
    _endpoint(
        "POST",
        f"{_LIST}/cards",
        put_card,
        "Put a card into it",
        LocalList,
        request=ChosenCard,
        example={"id_tag": "04A1B2C3D4"},
        repeatable=True,
        problems=("not-found", "refused"),
    ),
    _endpoint("DELETE", f"{_LIST}/cards/{{id_tag}}", take_card, "Take a chosen card out", None, status=204, **_MISSING),
    _endpoint("GET", f"{_LIST}/targets", show_targets, "List where it belongs", Targets, **_MISSING),
    _endpoint(
        "POST",
        f"{_LIST}/targets",
        put_target,
        "Give it to a charge point or a group",
        Targets,
        request=NewTarget,
        example={"charge_point_id": 1},
        repeatable=True,
        **_MISSING,
    ),
    _endpoint(
        "DELETE", f"{_LIST}/targets/{{target_id:int}}", take_target, "Take it away", None, status=204, **_MISSING
    ),
    _endpoint("GET", _STATION, show_station, "Show a charge point's local list", StationList, **_MISSING),
    _endpoint(
        "POST",
        f"{_STATION}/send",
        _keeping(full=True),
        "Send a charge point its whole list",
        Kept,
        problems=("not-found", "refused"),
    ),
    _endpoint(
        "POST",
        f"{_STATION}/keep",
        _keeping(full=False),
        "Bring a charge point's list in step now",
        Kept,
        problems=("not-found", "refused"),
    ),
)
