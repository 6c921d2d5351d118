"""Computes charges again from the stored readings and the stored tariff, and compares: invariant 8.

A charge that a person corrected later is computed twice: its lines from what the station told, and what was taken in
all, adjustments included, from the energy and the end that the person said.

Takes a range of transactions at a time; readings are read, in order and one by one, only for transactions whose price
depends on them. What played no part in the charge plays none here (`points`). Reads only.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, case, func, or_, select

from csms.billing import ledger
from csms.billing.books import Billed
from csms.billing.chart_of_accounts import VAT_PAYABLE
from csms.billing.models import charge_line, installation, journal_entry, transfer
from csms.billing.money import Currency
from csms.billing.tariffs import Charge, ChargeLine
from csms.billing.verification import Range, Violation, violation, within
from csms.charging.closing import NOTHING_TO_CHARGE
from csms.charging.facts import Point
from csms.charging.models import charging_transaction, reading
from csms.charging.points import Turn, points_of
from csms.charging.pricing import charge_for, charge_of
from csms.db import any_of, as_fact

_READINGS_AT_ONCE = 5000
LINES = "the lines of a charge are those that its readings and tariff give"
TOTAL = "the cost of a transaction is what its readings and tariff give"
TAX = "the tax that was booked for a charge is what its tariff gives"
CORRECTION = "what was taken for a corrected charge is what its corrected energy and end give"
RULES = (LINES, TOTAL, TAX, CORRECTION)

_tx, _line, _reading = charging_transaction.c, charge_line.c, reading.c


class _Ended(msgspec.Struct, frozen=True, gc=False):
    """What a charge was computed from."""

    transaction_id: int
    tariff_json: str
    meter_start_wh: int
    started_at: datetime
    energy_wh: int
    ended_at: datetime
    cost_minor: int
    unplugged_at: datetime | None


class _Corrected(msgspec.Struct, frozen=True, gc=False):
    """What was taken for it was computed from this."""

    transaction_id: int
    tariff_json: str
    meter_start_wh: int
    started_at: datetime
    corrected_energy_wh: int
    corrected_ended_at: datetime
    unplugged_at: datetime | None


_ENDED = (
    select(*(_tx["id" if name == "transaction_id" else name] for name in _Ended.__struct_fields__))
    .where(
        within(_tx.id),
        _tx.state == "ended",
        _tx.ended_at.is_not(None),
        _tx.tariff_json != "",
        or_(_tx.uncharged_reason.is_(None), _tx.uncharged_reason == NOTHING_TO_CHARGE),
    )
    .order_by(_tx.id)
)
_CORRECTED = (
    select(*(_tx["id" if name == "transaction_id" else name] for name in _Corrected.__struct_fields__))
    .where(within(_tx.id), _tx.corrected_ended_at.is_not(None))
    .order_by(_tx.id)
)
_LINES = (
    select(_line.reference, _line.component, _line.quantity, _line.unit, _line.rate, _line.amount_minor, _line.band)
    .where(within(_line.reference))
    .order_by(_line.reference, _line.position)
)
# A condition on the account would let SQLite find the transfers by that: all there ever were, for each range.
_TAXES = (
    select(
        journal_entry.c.reference,
        func.sum(case((transfer.c.credit_account_id == VAT_PAYABLE, transfer.c.amount_minor), else_=0)),
    )
    .join_from(journal_entry, transfer, transfer.c.entry_id == journal_entry.c.id)
    .where(within(journal_entry.c.reference), journal_entry.c.event == "settle")
    .group_by(journal_entry.c.reference)
)
_TOLD = select(_reading.transaction_id, _reading.happened_at, _reading.register_wh, _reading.power_w, _reading.flags)
_POINTS_OF = _TOLD.where(any_of(_reading.transaction_id, "keys"))
_POINTS = (
    _TOLD.join(charging_transaction, and_(_tx.id == _reading.transaction_id, _tx.needs_spans, _tx.state == "ended"))
    .where(within(_reading.transaction_id))
    .order_by(_reading.transaction_id)
)


def recompute(connection: Connection, ids: Range, currency: Currency) -> Iterator[Violation]:
    """Return the ended transactions of a range whose charge is not what comes out again."""
    parameters = {"first": ids.first, "last": ids.last}
    at_consumption = connection.execute(select(installation.c.tax_point)).scalar() == "consumption"
    yield from _recompute_corrected(connection, parameters, currency, at_consumption=at_consumption)
    ended = [as_fact(_Ended, row) for row in connection.execute(_ENDED, parameters)]
    if not ended:
        return
    taxes: dict[int, int] = {reference: int(tax) for reference, tax in connection.execute(_TAXES, parameters)}
    streamed = {"yield_per": _READINGS_AT_ONCE}
    with (
        connection.execute(_LINES, parameters, execution_options=streamed) as line_rows,
        connection.execute(_POINTS, parameters, execution_options=streamed) as point_rows,
    ):
        lines, points = _Groups(line_rows), _Groups(point_rows)
        for one in ended:
            inside = points_of(row[1:] for row in points.of(one.transaction_id))
            try:
                charge = charge_of(one, one.meter_start_wh + one.energy_wh, one.ended_at, inside, currency)
            except msgspec.DecodeError:
                yield violation(8, TOTAL, [("transaction", one.transaction_id), ("tariff", "not readable")])
                continue
            yield from _compare(one, charge, [ChargeLine(*row[1:]) for row in lines.of(one.transaction_id)])
            if at_consumption:
                yield from _compare_tax(one, charge, taxes.get(one.transaction_id, 0))


def _recompute_corrected(
    connection: Connection, parameters: dict[str, int], currency: Currency, *, at_consumption: bool
) -> Iterator[Violation]:
    """Compare what was taken for corrected transactions, few in any range; `prepayment_tax` knows the tax in it where
    that was payable at the top-up.
    """
    corrected = [as_fact(_Corrected, row) for row in connection.execute(_CORRECTED, parameters)]
    if not corrected:
        return
    keys = {one.transaction_id for one in corrected}
    billed = ledger.list_billed(connection, keys)
    points: dict[int, list[Point | Turn]] = {}
    for transaction_id, *told in connection.execute(_POINTS_OF, {"keys": sorted(keys)}):
        points.setdefault(transaction_id, []).extend(points_of([told]))
    for one in corrected:
        inside = points.get(one.transaction_id, ())
        charge = charge_for(one, one.corrected_energy_wh, one.corrected_ended_at, inside, currency)
        taken = billed.get(one.transaction_id, Billed())
        taken_minor = taken.net_minor + taken.tax_minor
        if taken_minor != charge.total_minor or (at_consumption and taken.tax_minor != charge.tax_minor):
            found = {
                "transaction": one.transaction_id,
                "taken_minor": taken_minor,
                "computed": charge.total_minor,
            }
            yield violation(8, CORRECTION, found.items())


def _compare(one: _Ended, charge: Charge, stored: list[ChargeLine]) -> Iterator[Violation]:
    if one.cost_minor != charge.total_minor:
        found = {"transaction": one.transaction_id, "cost_minor": one.cost_minor, "computed": charge.total_minor}
        yield violation(8, TOTAL, found.items())
    expected = charge.lines if charge.total_minor else ()  # what costs nothing is not charged, and has no lines
    if tuple(stored) != expected:
        words = {"transaction": one.transaction_id, "lines": _word(stored), "computed": _word(expected)}
        yield violation(8, LINES, words.items())


def _compare_tax(one: _Ended, charge: Charge, booked_minor: int) -> Iterator[Violation]:
    if booked_minor != charge.tax_minor:
        found = {"transaction": one.transaction_id, "booked_minor": booked_minor, "computed": charge.tax_minor}
        yield violation(8, TAX, found.items())


def _word(lines: Any) -> str:  # noqa: ANN401 - a list or a tuple of lines
    return " + ".join(
        f"{one.component} {one.quantity} {one.unit} x {one.rate} {one.band} = {one.amount_minor}" for one in lines
    )


class _Groups:
    """Rows that come ordered by the number they begin with, handed out number by number, in rising order."""

    def __init__(self, rows: Any) -> None:  # noqa: ANN401 - a result
        self._groups = groupby(rows, key=itemgetter(0))
        self._next: tuple[int, Iterator[Any]] | None = next(self._groups, None)

    def of(self, number: int) -> Iterator[Any]:
        """Return the rows of a number, and pass over those of numbers before it."""
        while self._next is not None and self._next[0] < number:
            self._next = next(self._groups, None)
        if self._next is None or self._next[0] != number:
            return iter(())
        return self._next[1]
