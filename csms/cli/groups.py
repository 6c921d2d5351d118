"""`csms group station` and `csms group account`: add, list, set. Groups of stations have a policy, groups of accounts
have limits. How they are deleted stands in `group_deletion`.

What is not named in `set` stays as it is.
"""

from typing import Annotated, Any

import msgspec
import typer
from sqlalchemy import Connection

from csms import clock
from csms.billing import account_groups
from csms.billing.account_groups import AccountGroupView, AccountLimits
from csms.billing.money import Currency, format_amount
from csms.billing.reports import find_card
from csms.charging import groups
from csms.charging.groups import StationGroupView, StationPolicy
from csms.cli import arguments
from csms.cli.commands import SEND_TO_GROUP_HELP, send_to_group
from csms.cli.group_deletion import delete_accounts, delete_stations
from csms.cli.group_settings import group_settings
from csms.cli.opening import opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation

_MOST_MEMBERS = 10_000

commands = typer.Typer()
stations = typer.Typer()
accounts = typer.Typer()
commands.add_typer(stations, name="station", help="Groups of stations: add, list, set, settings, command, delete.")
stations.command("settings")(group_settings)
stations.command("delete")(delete_stations)
stations.command("command", help=SEND_TO_GROUP_HELP)(send_to_group)
commands.add_typer(accounts, name="account", help="Groups of accounts: add, list, set, delete.")
accounts.command("delete")(delete_accounts)

Name = Annotated[str, typer.Argument(metavar="NAME", help='Such as "Harbour".')]
Rename = Annotated[str, typer.Option(help="Its new name.")]
Free = Annotated[bool | None, typer.Option("--free/--paid", help="Nobody pays there.")]
StaffOnly = Annotated[bool | None, typer.Option("--staff-only/--everybody", help="Only accounts of staff.")]
StopBelow = Annotated[str, typer.Option(help='W below which a car is full, or "never".')]
StopAfter = Annotated[str, typer.Option(help="Minutes below it, after which charging is stopped.")]
Unlock = Annotated[bool | None, typer.Option("--unlock/--no-unlock", help="Unlock the cable where a stop fails.")]
LimitsOffline = Annotated[
    bool | None, typer.Option("--limits-offline/--no-limits-offline", help="Cap what a lost link may cost.")
]
Stations = Annotated[list[str] | None, typer.Option("--station", help="Put this station in; may be repeated.")]
GoneStations = Annotated[list[str] | None, typer.Option("--remove", help="Take this station out; may be repeated.")]
Minimum = Annotated[str, typer.Option("--minimum-start-credit", help='Such as 2.00, or "default".')]
Balance = Annotated[str, typer.Option("--maximum-balance", help='Such as 300.00, or "default".')]
MostTopUp = Annotated[str, typer.Option("--maximum-top-up", help='Such as 100.00, or "default".')]
Daily = Annotated[str, typer.Option("--daily-spend", help='Such as 40.00, or "none".')]
Overdraft = Annotated[str, typer.Option("--overdraft", help='So far below zero: such as 20.00, or "none".')]
AtOnce = Annotated[str, typer.Option("--simultaneous", help='Transactions of one account, or "default".')]
Staff = Annotated[bool | None, typer.Option("--staff/--no-staff", help="They may use stations for staff only.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", help="Only these station groups; may be repeated.")]
AllowAll = Annotated[bool, typer.Option("--allow-all", help="All stations again.")]
Cards = Annotated[list[str] | None, typer.Option("--card", help="Put this card's account in; may be repeated.")]
GoneCards = Annotated[list[str] | None, typer.Option("--remove", help="Take this card's account out.")]


@stations.command("add")
def add_stations(
    name: Name,
    free: Free = None,
    staff_only: StaffOnly = None,
    stop_below_w: StopBelow = "",
    stop_after: StopAfter = "",
    unlock: Unlock = None,
    limits_offline: LimitsOffline = None,
    station: Stations = None,
    *,
    as_json: Json = False,
) -> None:
    """Add a group of stations."""
    called = arguments.name(name, "group")
    policy = _policy(StationPolicy(), free, staff_only, stop_below_w, stop_after, unlock, limits_offline)
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            group_id = groups.add_station_group(connection, called, policy, clock.now())
            if group_id is None:
                raise Refusal(f"There is a station group {called} already; `csms group station list` shows them.")
            _put_stations(connection, station, group_id)
            shown = _as_json_of_stations(connection, _found_stations(connection, called))
        _tell(shown, f"Added the station group {called}.", as_json=as_json)


@stations.command("set")
def set_stations(
    name: Name,
    rename: Rename = "",
    free: Free = None,
    staff_only: StaffOnly = None,
    stop_below_w: StopBelow = "",
    stop_after: StopAfter = "",
    unlock: Unlock = None,
    limits_offline: LimitsOffline = None,
    station: Stations = None,
    remove: GoneStations = None,
    *,
    as_json: Json = False,
) -> None:
    """Change a group of stations, and which stations are in it. A station is in one group at most."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            before = _found_stations(connection, name)
            policy = _policy(before.policy, free, staff_only, stop_below_w, stop_after, unlock, limits_offline)
            called = arguments.name(rename or name, "group")
            if not groups.change_station_group(connection, before.group_id, called, policy):
                raise Refusal(f"There is another station group {called}.")
            _put_stations(connection, station, before.group_id)
            members = groups.station_members(connection, before.group_id, limit=_MOST_MEMBERS)
            strangers = set(remove or ()) - {one.identity for one in members}
            if strangers:
                raise Refusal(f"{', '.join(sorted(strangers))}: no station of the group {called}.")
            _put_stations(connection, remove, None)
            shown = _as_json_of_stations(connection, _found_stations(connection, called))
        _tell(shown, f"Changed the station group {called}.", as_json=as_json)


@stations.command("list")
def list_stations(*, as_json: Json = False) -> None:
    """List the groups of stations."""
    with opened() as installation:
        with installation.database.reading() as connection:
            found = groups.list_station_groups(connection)
            shown = [_as_json_of_stations(connection, one) for one in found]
        if as_json:
            show_json(shown)
            return
        columns = ("name", "stations", "free", "staff only", "stop below W", "after min", "unlock", "limits offline")
        rows = [
            (
                one.name,
                one.stations,
                one.policy.is_free,
                one.policy.is_staff_only,
                one.policy.stop_below_w,
                None if one.policy.stop_after_s is None else one.policy.stop_after_s // 60,
                one.policy.unlock_when_stop_fails,
                one.policy.limits_offline,
            )
            for one in found
        ]
        show_table(columns, rows, right=("stations", "stop below W", "after min"))


def _policy(
    before: StationPolicy,
    free: bool | None,
    staff_only: bool | None,
    stop_below_w: str,
    stop_after: str,
    unlock: bool | None,
    limits_offline: bool | None,
) -> StationPolicy:
    changes: dict[str, Any] = {
        "is_free": free,
        "is_staff_only": staff_only,
        "unlock_when_stop_fails": unlock,
        "limits_offline": limits_offline,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if stop_below_w == "never":
        changes |= {"stop_below_w": None, "stop_after_s": None}
    elif stop_below_w:
        changes["stop_below_w"] = arguments.whole(stop_below_w, "--stop-below-w", most=1_000_000)
    if stop_after:
        changes["stop_after_s"] = arguments.whole(stop_after, "--stop-after", most=10_000) * 60
    after = msgspec.structs.replace(before, **changes)
    if (after.stop_below_w is None) != (after.stop_after_s is None):
        raise WrongArgument("--stop-below-w and --stop-after belong together: below so many W for so many minutes.")
    return after


def _put_stations(connection: Connection, identities: list[str] | None, group_id: int | None) -> None:
    for identity in identities or ():
        if not groups.put_station(connection, identity, group_id):
            raise Refusal(f"There is no charge point {identity}; `csms station list` shows them.")


def _found_stations(connection: Connection, name: str) -> StationGroupView:
    found = groups.find_station_group(connection, name=name)
    if found is None:
        raise Refusal(f"There is no station group {name}; `csms group station list` shows them.")
    return found


def _as_json_of_stations(connection: Connection, one: StationGroupView) -> dict[str, object]:
    members = groups.station_members(connection, one.group_id, limit=_MOST_MEMBERS)
    return {"name": one.name, **msgspec.structs.asdict(one.policy), "stations": [each.identity for each in members]}


@accounts.command("add")
def add_accounts(
    name: Name,
    minimum: Minimum = "",
    maximum_balance: Balance = "",
    maximum_top_up: MostTopUp = "",
    daily_spend: Daily = "",
    overdraft: Overdraft = "",
    simultaneous: AtOnce = "",
    staff: Staff = None,
    allow: Allow = None,
    card: Cards = None,
    *,
    as_json: Json = False,
) -> None:
    """Add a group of accounts. What is not named is as the settings say for everybody."""
    called = arguments.name(name, "group")
    with opened() as installation:
        currency = installation.currency
        amounts = (minimum, maximum_balance, maximum_top_up, daily_spend, overdraft)
        limits = _limits(AccountLimits(), amounts, simultaneous, staff, installation)
        with installation.database.unit_of_work() as connection:
            group_id = account_groups.add_account_group(connection, called, limits, clock.now())
            if group_id is None:
                raise Refusal(f"There is an account group {called} already; `csms group account list` shows them.")
            _allow(connection, group_id, allow, allow_all=False)
            _put_cards(connection, card, group_id)
            shown = _as_json_of_accounts(connection, _found_accounts(connection, called), currency)
        _tell(shown, f"Added the account group {called}.", as_json=as_json)


@accounts.command("set")
def set_accounts(
    name: Name,
    rename: Rename = "",
    minimum: Minimum = "",
    maximum_balance: Balance = "",
    maximum_top_up: MostTopUp = "",
    daily_spend: Daily = "",
    overdraft: Overdraft = "",
    simultaneous: AtOnce = "",
    staff: Staff = None,
    allow: Allow = None,
    allow_all: AllowAll = False,
    card: Cards = None,
    remove: GoneCards = None,
    *,
    as_json: Json = False,
) -> None:
    """Change a group of accounts, where it may charge, and which accounts are in it."""
    with opened() as installation:
        currency = installation.currency
        with installation.database.unit_of_work() as connection:
            before = _found_accounts(connection, name)
            amounts = (minimum, maximum_balance, maximum_top_up, daily_spend, overdraft)
            limits = _limits(before.limits, amounts, simultaneous, staff, installation)
            called = arguments.name(rename or name, "group")
            if not account_groups.change_account_group(connection, before.group_id, called, limits):
                raise Refusal(f"There is another account group {called}.")
            _allow(connection, before.group_id, allow, allow_all=allow_all)
            _put_cards(connection, card, before.group_id)
            _put_cards(connection, remove, None, of=before.group_id)
            shown = _as_json_of_accounts(connection, _found_accounts(connection, called), currency)
        _tell(shown, f"Changed the account group {called}.", as_json=as_json)


@accounts.command("list")
def list_accounts(*, as_json: Json = False) -> None:
    """List the groups of accounts with their limits."""
    with opened() as installation:
        currency = installation.currency
        with installation.database.reading() as connection:
            found = account_groups.list_account_groups(connection)
            shown = [_as_json_of_accounts(connection, one, currency) for one in found]
        if as_json:
            show_json(shown)
            return
        columns = (
            "name",
            "accounts",
            "staff",
            "start credit",
            "balance",
            "top-up",
            "daily spend",
            "overdraft",
            "at once",
            "allowed",
        )
        names = ("minimum_start_credit", "maximum_balance", "maximum_top_up", "daily_spend", "overdraft")
        rows = [
            (
                one.name,
                one.accounts,
                one.limits.is_staff,
                *(each[name] for name in names),
                one.limits.simultaneous_transactions,
                ", ".join(each["allowed"]) or "all",
            )
            for one, each in zip(found, shown, strict=True)
        ]
        show_table(columns, rows, right=columns[1:2] + columns[3:9])


_AMOUNTS: dict[str, int | None] = {  # and what each is where there is none
    "minimum_start_credit_minor": None,
    "maximum_balance_minor": None,
    "maximum_top_up_minor": None,
    "daily_spend_minor": None,
    "overdraft_minor": 0,
}


def _limits(
    before: AccountLimits, amounts: tuple[str, ...], simultaneous: str, staff: bool | None, installation: Installation
) -> AccountLimits:
    currency, everybody = installation.currency, installation.limits
    changes: dict[str, Any] = {
        name: without if text in {"default", "none"} else arguments.amount(text, currency, _option(name), zero=True)
        for (name, without), text in zip(_AMOUNTS.items(), amounts, strict=True)
        if text
    }
    if simultaneous:
        unlimited = simultaneous in {"default", "none"}
        number = None if unlimited else arguments.whole(simultaneous, "--simultaneous", most=1000)
        if number == 0:
            raise WrongArgument("--simultaneous is 0: at least one transaction, or nobody of the group could charge.")
        changes["simultaneous_transactions"] = number
    if staff is not None:
        changes["is_staff"] = staff
    after = msgspec.structs.replace(before, **changes)
    if account_groups.nobody_could_start(after, everybody.maximum_balance_minor):
        raise WrongArgument("--minimum-start-credit is more than an account may hold: nobody of the group could start.")
    return after


def _option(field: str) -> str:
    return "--" + field.removesuffix("_minor").replace("_", "-")


def _allow(connection: Connection, group_id: int, names: list[str] | None, *, allow_all: bool) -> None:
    if names and allow_all:
        raise WrongArgument("--allow and --allow-all exclude each other.")
    if names or allow_all:
        groups.allow_groups(connection, group_id, {_found_stations(connection, one).group_id for one in names or ()})


def _put_cards(connection: Connection, cards: list[str] | None, group_id: int | None, of: int | None = None) -> None:
    for typed in cards or ():
        card = find_card(connection, typed)
        if card is None or card.account_id is None:
            raise Refusal(f"There is no sold card {typed}; `csms card list` shows the cards.")
        present = account_groups.group_of(connection, card.account_id)
        if of is not None and (present is None or present.group_id != of):
            raise Refusal(f"The account of the card {typed} is not in the group.")
        account_groups.put_account(connection, card.account_id, group_id)


def _found_accounts(connection: Connection, name: str) -> AccountGroupView:
    found = account_groups.find_account_group(connection, name=name)
    if found is None:
        raise Refusal(f"There is no account group {name}; `csms group account list` shows them.")
    return found


def _as_json_of_accounts(connection: Connection, one: AccountGroupView, currency: Currency) -> dict[str, Any]:
    def amount(minor: int | None) -> str | None:
        return None if minor is None else format_amount(minor, currency)

    allowed = groups.allowed_groups(connection, one.group_id)
    names = [each.name for each in groups.list_station_groups(connection) if each.group_id in allowed]
    members = account_groups.members(connection, one.group_id, limit=_MOST_MEMBERS)
    return {
        "name": one.name,
        "minimum_start_credit": amount(one.limits.minimum_start_credit_minor),
        "maximum_balance": amount(one.limits.maximum_balance_minor),
        "maximum_top_up": amount(one.limits.maximum_top_up_minor),
        "daily_spend": amount(one.limits.daily_spend_minor),
        "overdraft": amount(one.limits.overdraft_minor),
        "simultaneous": one.limits.simultaneous_transactions,
        "staff": one.limits.is_staff,
        "allowed": names,
        "cards": [each.id_tag for each in members],
    }


def _tell(shown: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(shown)
        return
    say(sentence)
