"""Tariffs: the list, one version with its week and what it costs, which is the default, and where each applies.

A version is never edited: a changed price is a new version, and a transaction keeps the one it began with.
"""

import msgspec
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing.account_groups import AccountGroupView, list_account_groups
from csms.billing.bands import joined
from csms.billing.price_lists import PriceList, find_version, in_force, list_tariffs, make_default
from csms.billing.tariffs import Charge, example, price
from csms.charging import assignments
from csms.charging.assignments import COUNTED, Assignment, Scope, times_used
from csms.charging.groups import StationGroupView, list_station_groups
from csms.charging.overview import find_station
from csms.web.administration.week_picture import draw_week
from csms.web.forms import Form
from csms.web.visit import Visit

_EXAMPLE_WH, _EXAMPLE_S = 20_000, 3600
_WHY = {
    "tariff_name": ("tariff_name", "There is no such tariff."),
    "scope": ("station_group_id", "Choose where it applies, or for whom."),
    "connector_id": ("station", "A connector needs its station."),
    "charge_point_id": ("station", "Either a group of stations or one station."),
}


class TariffsPage(msgspec.Struct, frozen=True):
    """All that the page of the tariffs shows: each by its version in force (else its newest), and where they apply."""

    tariffs: tuple[PriceList, ...]
    states: dict[str, str]
    newest: dict[str, PriceList]
    assignments: tuple[Assignment, ...]
    station_groups: tuple[StationGroupView, ...]
    account_groups: tuple[AccountGroupView, ...]


async def show(visit: Visit) -> Response:
    """List the tariffs, with what an example would cost, and where they apply."""
    return await _page(visit, Form())


async def _page(visit: Visit, form: Form, *, status: int = 200) -> Response:
    shown = await visit.read(lambda connection: _load(connection, visit))
    return visit.page(
        "administration/tariffs.html",
        status=status,
        shown=shown,
        examples={one.tariff_id: _example(visit, one) for one in shown.tariffs},
        joined=joined,
        example_wh=_EXAMPLE_WH,
        example_s=_EXAMPLE_S,
        form=form,
        done=visit.query("done"),
    )


def _load(connection: Connection, visit: Visit) -> TariffsPage:
    by_name: dict[str, list[PriceList]] = {}
    for one in list_tariffs(connection):
        by_name.setdefault(one.name, []).append(one)
    shown, states = [], {}
    for name, versions in by_name.items():
        present = in_force(versions, visit.now)
        shown.append(present or versions[0])
        begins = versions[0].valid_from
        waits = present is None and begins is not None and begins > visit.now
        states[name] = "in force" if present is not None else "later" if waits else "ended"
    return TariffsPage(
        tuple(shown),
        states,
        {name: versions[0] for name, versions in by_name.items()},
        tuple(assignments.list_assignments(connection)),
        tuple(list_station_groups(connection)),
        tuple(list_account_groups(connection)),
    )


def _example(visit: Visit, one: PriceList) -> Charge:
    """Price an example that begins now: at another time of day it may cost something else."""
    return price(one.tariff, example(_EXAMPLE_WH, _EXAMPLE_S, 0, visit.now), visit.portal.currency)


async def show_one(visit: Visit) -> Response:
    """Show a version: its prices, its week, how often it was used, and the other versions."""
    tariff_id = visit.path_number("tariff_id")

    def load(connection: Connection) -> tuple[PriceList | None, list[PriceList], int]:
        one = find_version(connection, tariff_id)
        if one is None:
            return None, [], 0
        versions = [each for each in list_tariffs(connection) if each.name == one.name]
        return one, versions, times_used(connection, tariff_id)

    one, versions, used = await visit.read(load)
    if one is None:
        raise HTTPException(404, "There is no such tariff.")
    return visit.page(
        "administration/tariff.html",
        one=one,
        versions=versions,
        present=in_force(versions, visit.now),
        used=used,
        counted=COUNTED,
        week=draw_week(one.tariff),
        is_default=any(each.is_default for each in versions),
        done=visit.query("done"),
    )


async def choose_default(visit: Visit) -> Response:
    """Let a tariff apply at every station that has none of its own, from the next transaction on."""
    tariff_id = visit.path_number("tariff_id")
    if not await visit.write(lambda connection: make_default(connection, tariff_id)):
        raise HTTPException(404, "There is no such tariff.")
    return visit.go("/tariffs", done="default")


async def assign(visit: Visit) -> Response:
    """Let a tariff apply at a group of stations, a station or a connector, or for a group of accounts."""
    form = Form(visit.fields)
    name = form.text("tariff_name", longest=100)
    account_group_id, station_group_id = form.number("account_group_id"), form.number("station_group_id")
    connector_id = form.number("connector_id")
    identity = form.text("station", longest=255, required=False)
    if connector_id == 0:
        form.refuse("connector_id", "Connectors are numbered from 1.")

    def change(connection: Connection) -> tuple[str, str] | None:
        found = find_station(connection, identity) if identity else None
        if identity and found is None:
            return "station", "There is no such station."
        groups = {one.group_id for one in list_station_groups(connection)} | {None}
        of_accounts = {one.group_id for one in list_account_groups(connection)} | {None}
        if station_group_id not in groups:
            return "station_group_id", "There is no such group."
        if account_group_id not in of_accounts:
            return "account_group_id", "There is no such group."
        charge_point_id = None if found is None else found.charge_point_id
        scope = Scope(account_group_id, station_group_id, charge_point_id, connector_id)
        wrong = assignments.assign(connection, name, scope, visit.now)
        return None if wrong is None else _WHY[wrong]

    if form.valid and (refused := await visit.write(change)) is not None:
        form.refuse(*refused)
    if not form.valid:
        return await _page(visit, form, status=422)
    return visit.go("/tariffs", done="assigned")


async def unassign(visit: Visit) -> Response:
    """Take an assignment away; what is assigned more widely applies then."""
    assignment_id = visit.path_number("assignment_id")
    if not await visit.write(lambda connection: assignments.remove_assignment(connection, assignment_id)):
        raise HTTPException(404, "There is no such assignment.")
    return visit.go("/tariffs", done="unassigned")
