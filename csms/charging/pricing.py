"""Which tariff applies, and what a transaction cost under it. Pure.

Joins energy and money: turns registers into spans for the tariffs that need to know when energy was drawn, and leaves
the arithmetic to billing. A charge can be computed again from its stored readings and its tariff.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

import msgspec

from csms.billing.bands import Span
from csms.billing.books import PrepaidAccount
from csms.billing.money import Currency
from csms.billing.tariffs import Charge, Tariff, Usage, decode_tariff, price, total
from csms.charging.facts import Point, TariffAssignment
from csms.charging.points import Turn
from csms.charging.working_set import WorkingSet


class Begun(Protocol):
    """What a transaction brings to its price from its beginning."""

    @property
    def tariff_json(self) -> str:
        """The tariff that applied."""

    @property
    def meter_start_wh(self) -> int:
        """The register then."""

    @property
    def started_at(self) -> datetime:
        """The moment."""

    @property
    def unplugged_at(self) -> datetime | None:
        """When the car went, if its station told."""


_TICK = timedelta(microseconds=1)
# What applies at a station where nobody pays.
FREE = Tariff(0, "free of charge", Decimal(0), Decimal(0), 0, Decimal(0))


def tariff_at(
    charge_point_id: int,
    connector_id: int | None,
    account_group_id: int | None,
    at: datetime,
    working_set: WorkingSet,
) -> Tariff | None:
    """Return the tariff that applies at a moment: the narrowest assignment, else the default one. What an account group
    has goes before what a place has; a connector's goes before its charge point's, and that before its group's.

    Of a tariff's versions the newest that has begun then counts. None where no tariff applies: nobody may charge.
    """
    charge_point = working_set.charge_points[charge_point_id]
    fitting = [
        one
        for one in working_set.assignments
        if one.account_group_id in {None, account_group_id}
        and one.station_group_id in {None, charge_point.group_id}
        and one.charge_point_id in {None, charge_point_id}
        and one.connector_id in {None, connector_id}
    ]
    own = working_set.tariff_names.get(charge_point.tariff_id) if charge_point.tariff_id is not None else None
    if own is not None:
        fitting.insert(0, TariffAssignment(own, None, None, charge_point_id, None))
    names = [one.tariff_name for one in sorted(fitting, key=_narrowness, reverse=True)]
    for name in (*names, working_set.default_tariff):
        if name is not None and (tariff := _in_force(name, at, working_set)) is not None:
            return tariff
    return None


def tariff_at_start(
    charge_point_id: int,
    connector_id: int,
    account: PrepaidAccount | None,
    at: datetime,
    working_set: WorkingSet,
    now: datetime,
) -> tuple[Tariff | None, str]:
    """Return the tariff that applied when a transaction began, else the one that applies now, and what was odd.

    A start may be told with a time from before any price, by a clock that is months behind: that gives nothing away.
    """
    place = working_set.station_group_of(charge_point_id)
    if place is not None and place.is_free:
        return FREE, ""
    group_id = None if account is None else account.group_id
    then = tariff_at(charge_point_id, connector_id, group_id, at, working_set)
    if then is not None:
        return then, ""
    today = tariff_at(charge_point_id, connector_id, group_id, now, working_set)
    return today, "" if today is None else "no price at its time: that of its arrival"


def _narrowness(one: TariffAssignment) -> tuple[bool, bool, bool, bool]:
    return (
        one.account_group_id is not None,
        one.connector_id is not None,
        one.charge_point_id is not None,
        one.station_group_id is not None,
    )


def _in_force(name: str, at: datetime, working_set: WorkingSet) -> Tariff | None:
    begun = [one for one in working_set.tariffs.get(name, ()) if one.valid_from is None or one.valid_from <= at]
    newest = max(begun, key=lambda one: one.version, default=None)
    return None if newest is None or (newest.valid_to is not None and newest.valid_to <= at) else newest.tariff


def charge_of(one: Begun, end_wh: int, end_at: datetime, points: Iterable[Point | Turn], currency: Currency) -> Charge:
    """Price a transaction from its start to a register at a moment; `points` are its readings, in any order.

    Where the car was unplugged before the end, the time after that costs nothing; unplugging never raises a price.
    """
    tariff, points = decode_tariff(one.tariff_json), tuple(points)
    charge = price(tariff, _usage(tariff, one, end_wh, end_at, points), currency)
    if one.unplugged_at is None or one.unplugged_at >= end_at:
        return charge
    gone_at = max(one.started_at, one.unplugged_at)
    shorter = price(tariff, _usage(tariff, one, end_wh, gone_at, points), currency)
    return shorter if shorter.total_minor < charge.total_minor else charge


def charge_for(
    one: Begun, energy_wh: int, end_at: datetime, points: Iterable[Point | Turn], currency: Currency
) -> Charge:
    """Price an energy and an end that a person says; without energy, or a tariff, nothing is to be paid."""
    if not energy_wh or not one.tariff_json:
        return Charge((), 0, 0)
    return charge_of(one, one.meter_start_wh + energy_wh, end_at, points, currency)


def cost_of(one: Begun, end_wh: int, end_at: datetime, points: Iterable[Point | Turn], currency: Currency) -> int:
    """Return the total of `charge_of` alone, in minor units."""
    if one.unplugged_at is not None:
        return charge_of(one, end_wh, end_at, points, currency).total_minor
    tariff = decode_tariff(one.tariff_json)
    return total(tariff, _usage(tariff, one, end_wh, end_at, points), currency)


def _usage(tariff: Tariff, one: Begun, end_wh: int, end_at: datetime, points: Iterable[Point | Turn]) -> Usage:
    energy_wh = max(0, end_wh - one.meter_start_wh)
    spans = tuple(spans_between(one, end_wh, end_at, points)) if tariff.needs_spans else ()
    return Usage(energy_wh, elapsed_s(one.started_at, end_at), spans)


def spans_between(one: Begun, end_wh: int, end_at: datetime, points: Iterable[Point | Turn]) -> Iterator[Span]:
    """Yield what was drawn between the readings, from the start to the end; a reading that does not fit is left out.

    The time is whole seconds from the start, as it is where the price depends on energy and time alone.
    """
    at, register = one.started_at, one.meter_start_wh
    end_at = at + timedelta(seconds=elapsed_s(at, end_at))
    end_wh = max(end_wh, register)
    told = tuple(points)
    held = _held(sorted((turn for turn in told if isinstance(turn, Turn)), key=_place_of_turn), end_at)
    readings = [point for point in told if isinstance(point, Point)]
    inside = [point for point in readings if point.at < end_at and point.register_wh <= end_wh]
    for point in (*sorted(inside, key=lambda each: (each.at, each.register_wh)), Point(end_at, end_wh)):
        if point.register_wh < register or point.at < at or (point.at == at and point.at != end_at):
            continue
        whole = Span(at, point.at, point.register_wh - register, point.power_w or 0)
        yield from _around(whole, held) if held else (whole,)
        at, register = point.at, point.register_wh


def _place_of_turn(turn: Turn) -> tuple[datetime, bool]:
    return turn.at, turn.is_held  # what is told for one moment twice holds back: the doubt is the customer's


def _held(turns: Iterable[Turn], end_at: datetime) -> list[tuple[datetime, datetime]]:
    """Return from when until when the station held back; turns come in order."""
    found, since = [], None
    for turn in (*turns, Turn(end_at, is_held=False)):
        if since is not None and not turn.is_held:
            found.append((since, max(since, turn.at)))
            since = None
        elif turn.is_held and since is None:
            since = turn.at
    return found


def _around(whole: Span, held: list[tuple[datetime, datetime]]) -> Iterator[Span]:
    """Yield a span in parts, those in which the station held back apart: the energy was drawn in the others."""
    inside = [(max(begin, whole.begin), min(end, whole.end)) for begin, end in held]
    edges = sorted({whole.begin, whole.end, *(edge for begin, end in inside if begin < end for edge in (begin, end))})
    parts = [(*pair, any(begin <= pair[0] < end for begin, end in inside)) for pair in pairwise(edges)]
    rest = sum((end - begin for begin, end, is_held in parts if not is_held), timedelta(0))
    if not rest:
        yield msgspec.structs.replace(whole, is_held=bool(parts))
        return
    for begin, end, is_held in parts:
        share = Fraction(0) if is_held else Fraction((end - begin) // _TICK, rest // _TICK)
        yield Span(begin, end, whole.energy_wh * share, whole.power_w, is_held)


def elapsed_s(start: datetime, end: datetime) -> int:
    """Return whole seconds between two moments, never negative: clocks jump."""
    return max(0, int((end - start).total_seconds()))
