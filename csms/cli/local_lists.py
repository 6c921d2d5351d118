"""`csms local-list`: lists of cards that stations know by themselves: list, show, add, set, remove, station, send.

What is changed reaches the connected stations through the running server, within half a minute.
"""

from typing import Annotated

import msgspec
import typer
from sqlalchemy import Connection

from csms import clock
from csms.billing import account_groups
from csms.billing.reports import find_card
from csms.charging import groups
from csms.charging.overview import find_station
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal
from csms.operations import local_lists_views as views
from csms.operations.local_lists_keeping import KeepList
from csms.operations.local_lists_views import LocalListView, StationListView

commands = typer.Typer()

_MOST = 1000
_WARNING = (
    "A station that starts cards by its list asks nobody before; for prepaid cards leave LocalAuthListEnabled off."
)
_OUTCOMES = {
    "sent": "The whole list is on its way to {}.",
    "busy": "A list is on its way to {} already.",
    "in step": "{} has its list.",
    "too long": "The list does not fit into {}; `csms local-list station` says why.",
    "no list": "{} has no list; give it one: csms local-list set NAME --station {}",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help='Such as "Depot".')]
Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
Cards = Annotated[list[str] | None, typer.Option("--card", help="Put this card in; may be repeated.")]
GoneCards = Annotated[list[str] | None, typer.Option("--remove-card", help="Take this card out; may be repeated.")]
Group = Annotated[str, typer.Option("--account-group", help='Cards of its accounts; "none" takes it away.')]
Staff = Annotated[bool | None, typer.Option("--staff/--no-staff", help="Cards of all staff.")]
Stations = Annotated[list[str] | None, typer.Option("--station", help="Give it to this charge point.")]
Places = Annotated[list[str] | None, typer.Option("--station-group", help="Give it to all stations of this group.")]
GoneStations = Annotated[list[str] | None, typer.Option("--remove-station", help="Take it from this charge point.")]
GonePlaces = Annotated[list[str] | None, typer.Option("--remove-station-group", help="Take it from this group.")]


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List the lists, and what every station has."""
    with opened() as installation:
        with installation.database.reading() as connection:
            lists = views.list_lists(connection, limit=_MOST)
            stations = views.list_stations(connection, clock.now(), limit=_MOST)
        if as_json:
            show_json(
                {"lists": [msgspec.structs.asdict(one) for one in lists], "stations": [_held(one) for one in stations]}
            )
            return
        columns = ("name", "account group", "staff", "chosen cards")
        rows = [(one.name, one.account_group, one.has_staff, one.chosen) for one in lists]
        show_table(columns, rows, right=("chosen cards",))
        if stations:
            _show_stations(stations)


def _show_stations(stations: list[StationListView]) -> None:
    columns = ("charge point", "list", "state", "version", "cards", "enabled")
    rows = [
        (one.charge_point, one.list_name, _state(one), one.held.version, one.held.cards, one.enabled)
        for one in stations
    ]
    show_table(columns, rows, right=("version", "cards"))


def _state(one: StationListView) -> str:
    if one.held.state == "in step" and not one.is_current:
        return "to be updated"
    return f"{one.held.state}: {one.held.explanation}" if one.held.explanation else one.held.state


def _held(one: StationListView) -> dict[str, object]:
    return {
        "charge_point": one.charge_point,
        "list": one.list_name,
        "is_current": one.is_current,
        "state": one.held.state,
        "explanation": one.held.explanation,
        "version": one.held.version,
        "cards": one.held.cards,
        "enabled": one.enabled,
        "changed_at": one.changed_at,
    }


@commands.command()
def show(name: Name, *, as_json: Json = False) -> None:
    """Show a list: its cards, where it belongs, and what its stations have."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, name)
            entries = views.entries_in(connection, one.list_id, clock.now())
            targets = views.targets_of(connection, one.list_id)
            stations = views.list_stations(connection, clock.now(), list_id=one.list_id, limit=_MOST)
        if as_json:
            show_json(
                {
                    **msgspec.structs.asdict(one),
                    "cards": [msgspec.structs.asdict(each.entry) for each in entries],
                    "belongs_to": [each.charge_point or each.station_group for each in targets],
                    "stations": [_held(each) for each in stations],
                }
            )
            return
        show_facts(
            [
                ("name", one.name),
                ("account group", one.account_group),
                ("all staff", one.has_staff),
                ("belongs to", ", ".join(each.charge_point or f"all of {each.station_group}" for each in targets)),
            ]
        )
        rows = [(each.printed_number, each.entry.id_tag, each.entry.status, each.is_chosen) for each in entries]
        show_table(("card", "id tag", "the list says", "chosen"), rows)
        if stations:
            _show_stations(stations)


@commands.command()
def add(
    name: Name,
    group: Group = "",
    staff: Staff = None,
    card: Cards = None,
    station: Stations = None,
    station_group: Places = None,
    *,
    as_json: Json = False,
) -> None:
    r"""Add a list.

    \b
      csms local-list add Depot --staff --card 04A1B2C3 --station CP-1
    """
    called = arguments.name(name, "list")
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            group_id = _account_group(connection, group)
            number = views.add_list(connection, called, group_id, clock.now(), has_staff=bool(staff))
            if number is None:
                raise Refusal(f"There is a list {called} already; `csms local-list list` shows them.")
            _put_cards(connection, number, card, chosen=True)
            _put_stations(connection, number, station, station_group)
            one = _find(connection, called)
        _tell(one, f"Added the list {called}. {_WARNING}", as_json=as_json)


@commands.command("set")
def change(
    name: Name,
    rename: Annotated[str, typer.Option(help="Its new name.")] = "",
    group: Group = "",
    staff: Staff = None,
    card: Cards = None,
    remove_card: GoneCards = None,
    station: Stations = None,
    station_group: Places = None,
    remove_station: GoneStations = None,
    remove_station_group: GonePlaces = None,
    *,
    as_json: Json = False,
) -> None:
    """Change a list: its cards and where it belongs. What is not named stays as it is."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            before = _find(connection, name)
            called = arguments.name(rename or name, "list")
            group_id = _account_group(connection, group) if group else before.account_group_id
            has_staff = before.has_staff if staff is None else staff
            if not views.change_list(connection, before.list_id, called, group_id, has_staff=has_staff):
                raise Refusal(f"There is another list {called}.")
            _put_cards(connection, before.list_id, card, chosen=True)
            _put_cards(connection, before.list_id, remove_card, chosen=False)
            _put_stations(connection, before.list_id, station, station_group)
            _put_stations(connection, None, remove_station, remove_station_group)
            one = _find(connection, called)
        _tell(one, f"Changed the list {called}.", as_json=as_json)


@commands.command()
def remove(name: Name, *, as_json: Json = False) -> None:
    """Remove a list; the stations that have it are emptied."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            one = _find(connection, name)
            views.remove_list(connection, one.list_id)
        if as_json:
            show_json({"removed": one.name})
            return
        say(f"Removed the list {one.name}. The stations that have it are emptied as they are reached.")


@commands.command()
def station(identity: Identity, *, as_json: Json = False) -> None:
    """Show what a charge point has of its list."""
    with opened() as installation:
        with installation.database.reading() as connection:
            number = _station(connection, identity)
            (one,) = views.list_stations(connection, clock.now(), charge_point_id=number, limit=1)
        entries = one.held.entries
        if as_json:
            show_json({**_held(one), "entries": None if entries is None else sorted(entries)})
            return
        show_facts(
            [
                ("charge point", one.charge_point),
                ("list", one.list_name),
                ("state", _state(one)),
                ("version", one.held.version),
                ("cards", "not known" if entries is None else ", ".join(sorted(entries)) or "none"),
                ("LocalAuthListEnabled", one.enabled or "not reported"),
                ("learned", moment(one.changed_at, installation.settings.time_zone)),
            ]
        )


@commands.command()
def send(identity: Identity, *, as_json: Json = False) -> None:
    """Send a charge point its whole list now."""
    with opened() as installation:
        with installation.database.reading() as connection:
            number = _station(connection, identity)
        outcome: str = installation.engine.execute(KeepList(number, ACTOR, full=True))
        sentence = _OUTCOMES[outcome].replace("{}", identity)
        if outcome in {"no list", "too long"}:
            raise Refusal(sentence)
        if as_json:
            show_json({"outcome": outcome})
            return
        say(sentence)


def _tell(one: LocalListView, sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(msgspec.structs.asdict(one))
        return
    say(sentence)


def _find(connection: Connection, name: str) -> LocalListView:
    found = views.find_list(connection, name=name)
    if found is None:
        raise Refusal(f"There is no list {name}; `csms local-list list` shows them.")
    return found


def _account_group(connection: Connection, name: str) -> int | None:
    if name in {"", "none"}:
        return None
    found = account_groups.find_account_group(connection, name=name)
    if found is None:
        raise Refusal(f"There is no account group {name}; `csms group account list` shows them.")
    return found.group_id


def _station(connection: Connection, identity: str) -> int:
    found = find_station(connection, identity)
    if found is None:
        raise Refusal(f"There is no charge point {identity}; `csms station list` shows them.")
    return found.charge_point_id


def _put_cards(connection: Connection, list_id: int, typed: list[str] | None, *, chosen: bool) -> None:
    for each in typed or ():
        card = find_card(connection, each)
        if card is None or card.account_id is None:
            raise Refusal(f"There is no card {each}, or it was not sold yet; `csms card list` shows them.")
        views.put_card(connection, list_id, card.id_tag, chosen=chosen)


def _put_stations(
    connection: Connection, list_id: int | None, identities: list[str] | None, names: list[str] | None
) -> None:
    for identity in identities or ():
        views.put_target(connection, list_id, charge_point_id=_station(connection, identity))
    for name in names or ():
        group = groups.find_station_group(connection, name=name)
        if group is None:
            raise Refusal(f"There is no station group {name}; `csms group station list` shows them.")
        views.put_target(connection, list_id, group_id=group.group_id)
