"""`csms profile`: the library of charging profiles, sending them, what stations have and what they say that allows.

Commands stand in the queues of the stations; the running server sends them.
"""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer
from sqlalchemy import Connection, select

from csms import clock
from csms.billing import reports
from csms.charging import models
from csms.charging.groups import find_station_group
from csms.charging.overview import find_station
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands.profile_sending import NotSent, Plan, plan, plan_start
from csms.commands.profiles import ask_composite, clear_profiles
from csms.installation import Installation
from csms.operations.charging_profiles_store import InstalledProfile, list_composites, list_installed
from csms.operations.commands import QueueBatch
from csms.operations.composite_answers import read_answer
from csms.operations.profile_library import (
    LibraryProfile,
    Refused,
    find_named,
    library_id_of,
    list_profiles,
    remove_profile,
    store_profile,
)
from csms.operations.profile_schedules import (
    KINDS,
    PURPOSES,
    RECURRENCIES,
    UNITS,
    Kind,
    Profile,
    Purpose,
    Recurrency,
    Schedule,
    Unit,
    encode,
)
from csms.operations.profile_words import limits, read_limit, read_period, read_span, when, write_limit, write_span

Result = TypeVar("Result")

commands = typer.Typer()
Name = Annotated[str, typer.Argument(metavar="NAME", help='Such as "Evening peak".')]
Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
Connector = Annotated[int, typer.Option(min=0, max=99, help="Which one; 0 is the whole station.")]
_OPTIONS = {
    "name": "NAME",
    "charging_profile_kind": "--kind",
    "recurrency_kind": "--kind",
    "stack_level": "--level",
    "charging_schedule_period": "--period",
    "start_schedule": "--begins",
    "duration": "--lasts",
    "valid_from": "--valid-from",
    "valid_to": "--valid-to",
    "min_charging_rate": "--least",
    "start_period": "--period",
    "limit": "--period",
    "number_phases": "--period",
}
_ADDING = """\b
csms profile add "Evening peak" --begins 2026-12-01 --period 0:00=16 --period 17:00=8 --period 21:30=16
csms profile add "House fuse" --purpose station --kind absolute --begins 2026-12-01 --period 0:00=63
"""
_SENDING = """\b
csms profile send "Evening peak" --group Harbour
csms profile send Guest --station CP-1 --connector 1 --start 04A1B2C3
"""
_SHORT: dict[str, Purpose] = {"station": "ChargePointMaxProfile", "default": "TxDefaultProfile", "tx": "TxProfile"}


@commands.command(epilog=_ADDING)
def add(
    name: Name,
    period: Annotated[
        list[str], typer.Option(help='Time into the schedule and limit: "17:00=8", "0:00=16/1" (phases).')
    ],
    purpose: Annotated[
        str, typer.Option(help="default, tx (one transaction) or station (its whole limit).")
    ] = "default",
    kind: Annotated[str, typer.Option(help="daily, weekly, absolute or relative.")] = "daily",
    begins: Annotated[str, typer.Option(help='Such as "2026-12-01 00:00"; it recurs from there.')] = "",
    lasts: Annotated[str, typer.Option(help="Hours and minutes, such as 8:00; without it to the end.")] = "",
    level: Annotated[int, typer.Option(min=0, help="The stack level; the highest counts.")] = 0,
    unit: Annotated[str, typer.Option(help="A (per phase) or W.")] = "A",
    valid_from: Annotated[str, typer.Option(help="Such as 2026-12-01.")] = "",
    valid_to: Annotated[str, typer.Option(help="Such as 2027-01-01.")] = "",
    least: Annotated[str, typer.Option(help="The least rate that is of use to cars.")] = "",
    time_zone: Annotated[str, typer.Option(help="Of the moments; without it CSMS_TIME_ZONE.")] = "",
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Change the profile that has this name.")] = False,
    as_json: Json = False,
) -> None:
    """Add a charging profile to the library."""
    with opened() as installation:
        zone_name = arguments.time_zone(time_zone or installation.settings.time_zone)
        zoned = {"--begins": begins, "--valid-from": valid_from, "--valid-to": valid_to}
        at = {key: arguments.moment(text, key, zone_name) if text else None for key, text in zoned.items()}
        schedule = Schedule(
            _one_of(unit.upper(), UNITS, "--unit"),
            tuple(_read(text, "--period", read_period) for text in period),
            duration=_read(lasts, "--lasts", read_span) if lasts else None,
            start_schedule=at["--begins"],
            min_charging_rate=_read(least, "--least", read_limit) if least else None,
        )
        runs, recurrency = _kind(kind)
        more: dict[str, Any] = {
            "recurrency_kind": recurrency,
            "valid_from": at["--valid-from"],
            "valid_to": at["--valid-to"],
        }
        profile = Profile(0, level, _purpose(purpose), runs, schedule, **more)
        stored = _store(installation, name.strip(), zone_name, profile, replace=replace)
        if as_json:
            show_json(_as_json(stored))
            return
        say(f"Stored {stored.name}. `csms profile send` brings it to stations.")


def _store(installation: Installation, name: str, time_zone: str, profile: Profile, *, replace: bool) -> LibraryProfile:
    with installation.database.unit_of_work() as connection:
        known = find_named(connection, name) if replace else None
        stored = store_profile(
            connection,
            name=name,
            time_zone=time_zone,
            profile=profile,
            now=clock.now(),
            library_id=None if known is None else known.library_id,
        )
    if isinstance(stored, Refused):
        raise WrongArgument("; ".join(f"{_OPTIONS[one.field]}: {one.why}" for one in stored.problems) + ".")
    return stored


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List the library."""
    with opened() as installation:
        with installation.database.reading() as connection:
            profiles = list_profiles(connection)
        if as_json:
            show_json([_as_json(one) for one in profiles])
            return
        rows = [
            (
                one.name,
                one.profile.charging_profile_purpose,
                one.profile.stack_level,
                limits(one.profile),
                when(one.profile, ZoneInfo(one.time_zone)),
            )
            for one in profiles
        ]
        show_table(("name", "purpose", "level", "allows", "runs"), rows, right=("level",))


@commands.command()
def remove(name: Name) -> None:
    """Take a profile out of the library; stations keep it until it is cleared there."""
    with opened() as installation, installation.database.unit_of_work() as connection:
        remove_profile(connection, _find(connection, name).library_id)
    say(f"{name} is removed. Stations that have it keep it.")


@commands.command(epilog=_SENDING)
def send(
    name: Name,
    station: Annotated[str, typer.Option(help="One station, by its identity.")] = "",
    group: Annotated[str, typer.Option(help="Every station of a group.")] = "",
    connector: Connector = 0,
    start: Annotated[str, typer.Option(metavar="CARD", help="Start charging for this card under the profile.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Send a profile to a station or to a group. What a station says it cannot take is not sent."""
    if bool(station) == bool(group):
        raise WrongArgument("Name a --station or a --group, one of them.")
    if start and group:
        raise WrongArgument("--start is at one --station.")
    with opened() as installation:
        with installation.database.reading() as connection:
            found = _plan(connection, name, station, group, connector, start, clock.now())
        if not found.sendable:
            reasons = " ".join(found.not_sent[0].reasons) if found.not_sent else f"There is no station in {group}."
            raise Refusal(reasons)
        if group:
            ids = tuple(one.charge_point_id for one in found.sendable)
            batch = QueueBatch(secrets.token_hex(16), f"stations of {group}", ids, found.sendable[0].command)
            queued = {"batch_id": installation.engine.execute(batch)}
        else:
            queued = {"command_id": installation.engine.execute(found.sendable[0].command).command_id}
    if as_json:
        not_sent = [{"charge_point": one.identity, "reasons": one.reasons} for one in found.not_sent]
        show_json(queued | {"sent": [one.identity for one in found.sendable], "not_sent": not_sent})
        return
    say(f"On its way to {', '.join(one.identity for one in found.sendable)}.")
    if group:
        say(f"`csms command progress {queued['batch_id']}` tells how far it is.")
    for one in found.not_sent:
        say(f"Not sent to {one.identity}: {' '.join(one.reasons)}")


def _plan(  # what the options of `send` say
    connection: Connection, name: str, station: str, group: str, connector: int, start: str, now: datetime
) -> Plan:
    one = _find(connection, name)
    if group:
        known = find_station_group(connection, name=group)
        if known is None:
            raise Refusal(f"There is no group of stations {group}; `csms group station list` shows them.")
        cp = models.charge_point.c
        ids = connection.execute(select(cp.id).where(cp.group_id == known.group_id).order_by(cp.identity)).scalars()
        return plan(connection, one, list(ids), connector, ACTOR, now)
    charge_point_id = _station(connection, station)
    if not start:
        return plan(connection, one, [charge_point_id], connector, ACTOR, now)
    card = reports.find_card(connection, start)
    if card is None:
        raise Refusal(f"There is no card {start}; `csms card list` shows the cards.")
    looked = plan_start(connection, one, charge_point_id, connector or None, card.id_tag, ACTOR, now)
    assert looked is not None, "the station was found"
    return Plan((), (looked,)) if isinstance(looked, NotSent) else Plan((looked,), ())


@commands.command()
def installed(identity: Identity, *, as_json: Json = False) -> None:
    """Show what a station has, as far as is known, and what it says that allows."""
    with opened() as installation:
        with installation.database.reading() as connection:
            charge_point_id = _station(connection, identity)
            rows = list_installed(connection, clock.now(), charge_point_id=charge_point_id)
            names = {one.library_id: one.name for one in list_profiles(connection)}
            answers = list_composites(connection, charge_point_id)
        zone = installation.settings.time_zone
        if as_json:
            show_json([_installed_json(one, names) for one in rows])
            return
        table = [
            (
                "credit guard" if one.is_of_guard else names.get(library_id_of(one.profile_id) or 0, one.profile_id),
                one.connector_id,
                one.purpose,
                one.stack_level,
                one.transaction_id,
                limits(one.placed.profile) if one.placed is not None else "",
                moment(one.installed_at, zone),
            )
            for one in rows
        ]
        show_table(("profile", "connector", "purpose", "level", "transaction", "allows", "since"), table)
        for each in answers:
            answer = read_answer(
                each.state, each.answer_json, each.failure, each.received_at, each.duration_s, each.unit
            )
            steps = [
                f"{write_span(one.offset_s)} {'no limit' if one.limit is None else write_limit(one.limit, answer.unit)}"
                for one in answer.steps or ()
            ]
            show_facts([(f"connector {each.connector_id} says", ", ".join(steps) or " ".join(answer.remarks))])


@commands.command()
def clear(
    identity: Identity,
    profile_id: Annotated[
        int | None, typer.Option("--id", min=0, help="One profile, by its id at the station.")
    ] = None,
    connector: Annotated[int | None, typer.Option(min=0, max=99, help="Only of this connector.")] = None,
    purpose: Annotated[str, typer.Option(help="Only default, tx or station.")] = "",
    level: Annotated[int | None, typer.Option(min=0, help="Only of this stack level.")] = None,
) -> None:
    """Let a station clear one profile, those that fit, or all."""
    with opened() as installation:
        with installation.database.reading() as connection:
            charge_point_id = _station(connection, identity)
        asked = clear_profiles(
            charge_point_id,
            ACTOR,
            profile_id=profile_id,
            connector_id=connector,
            purpose=_purpose(purpose) if purpose else None,
            stack_level=level,
        )
        command = installation.engine.execute(asked)
    say(f"Command {command.command_id} is queued. `csms profile installed {identity}` shows what is left.")


@commands.command()
def composite(
    identity: Identity,
    connector: Connector = 1,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How far ahead.")] = 24,
    unit: Annotated[str, typer.Option(help="A or W; without it the station chooses.")] = "",
) -> None:
    """Ask a station what its profiles allow together."""
    wanted = _one_of(unit.upper(), UNITS, "--unit") if unit else None
    with opened() as installation:
        with installation.database.reading() as connection:
            charge_point_id = _station(connection, identity)
        asked = ask_composite(charge_point_id, connector, hours * 3600, wanted, ACTOR)
        command = installation.engine.execute(asked)
    say(f"Command {command.command_id} is queued. `csms profile installed {identity}` shows the answer.")


# --- what was typed, and what is printed ------------------------------------------------------------------------------


def _find(connection: Connection, name: str) -> LibraryProfile:
    one = find_named(connection, name)
    if one is None:
        raise Refusal(f"There is no profile {name}; `csms profile list` shows the profiles.")
    return one


def _station(connection: Connection, identity: str) -> int:
    station = find_station(connection, identity)
    if station is None:
        raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
    return station.charge_point_id


def _kind(text: str) -> tuple[Kind, Recurrency | None]:
    kind, recurrency = text.strip().capitalize(), None
    for one in RECURRENCIES:
        if kind == one:
            kind, recurrency = "Recurring", one
    if kind == "Recurring" and recurrency is None:
        kind = ""
    words = [one for one in KINDS if one == kind]
    if not words:
        raise WrongArgument(f"--kind is {text!r}: daily, weekly, absolute or relative.")
    return words[0], recurrency


def _purpose(text: str) -> Purpose:
    found = _SHORT.get(text.strip().lower()) or next((one for one in PURPOSES if one == text), None)
    if found is None:
        raise WrongArgument(f"--purpose is {text!r}: default, tx or station.")
    return found


def _one_of(text: str, allowed: tuple[Unit, ...], option: str) -> Unit:
    found = next((one for one in allowed if one == text), None)
    if found is None:
        raise WrongArgument(f"{option} is {text!r}: {' or '.join(allowed)}.")
    return found


def _read(text: str, option: str, read: Callable[[str], Result]) -> Result:
    try:
        return read(text)
    except ValueError as error:
        raise WrongArgument(f"{option}: {error}.") from None


def _as_json(one: LibraryProfile) -> dict[str, object]:
    return {
        "name": one.name,
        "time_zone": one.time_zone,
        "profile": json.loads(encode(one.profile)),
        "changed_at": one.changed_at,
    }


def _installed_json(one: InstalledProfile, names: dict[int, str]) -> dict[str, object]:
    return {
        "id": one.profile_id,
        "name": names.get(library_id_of(one.profile_id) or 0),
        "connector_id": one.connector_id,
        "purpose": one.purpose,
        "stack_level": one.stack_level,
        "transaction_id": one.transaction_id,
        "credit_guard": one.is_of_guard,
        "profile": json.loads(one.profile_json),
        "installed_at": one.installed_at,
    }
