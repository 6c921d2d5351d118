"""An accountant who trusts nobody: plain arithmetic over an installation's rows, without its rules or its verifier.

Every amount that stands in two places is one amount; what a start and a stop told is what is charged, once, for its
price; whatever waits is in the queue of a person, who can decide it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from csms.billing import reports
from csms.billing.models import hold, journal_entry, ledger_account, transfer
from csms.charging.models import charging_transaction, reading, review_item
from csms.charging.overview import list_transactions
from csms.charging.reviews import choices_for
from csms.charging.transactions import StartTransaction, StopTransaction
from tests.support import pencil

Rows = list[Mapping[str, Any]]

_UNKNOWN_POWER_W = 400_000  # where nobody entered the maximum of a station
_UNDECIDED = {"implausible energy", "meter stop below meter start", "no account"}


def look(connection: Connection, starts: Mapping[str, StartTransaction], stops: Mapping[str, StopTransaction]) -> None:
    """Look at everything; `starts` and `stops` are what stations said, by their keys."""
    transactions, items, holds, entries, transfers, accounts = (
        list(connection.execute(select(table)).mappings())
        for table in (charging_transaction, review_item, hold, journal_entry, transfer, ledger_account)
    )
    told = _told(connection, transactions)
    _money_is_moved_once(entries, transfers, accounts)
    taken = _taken(entries, transfers, {one["id"]: one["account_id"] for one in transactions})
    for one in transactions:
        charged = one["state"] == "ended" and one["uncharged_reason"] is None
        assert taken["settle", one["id"]] == ([one["cost_minor"]] if charged else []), one
        if one["state"] == "ended" and "reviewed:" not in one["flags"]:
            _what_was_said_is_charged(one, starts[one["natural_key"]], stops[one["stop_key"]])
        if charged and one["corrected_energy_wh"] is None:
            _the_price_is_right(one, one["cost_minor"], one["energy_wh"], one["ended_at"], told[one["id"]])
        if one["corrected_energy_wh"] is not None and one["tariff_json"]:
            paid = sum(taken["settle", one["id"]]) + sum(taken["adjustment", one["id"]])
            end = one["corrected_ended_at"]
            _the_price_is_right(one, paid, one["corrected_energy_wh"], end, told[one["id"]])
    _what_waits_is_in_the_queue(transactions, items, holds)


def look_at_overdrafts(
    connection: Connection, allowed: Mapping[int, Mapping[int, int]], present: Mapping[int, int]
) -> None:
    """Look at what accounts may spend below zero. `allowed` is what each was allowed when a transaction began, by its
    id, and `present` what each is allowed now; an account that is not named is allowed nothing.
    """
    begun = {one.id: one.recorded_at for one in connection.execute(select(charging_transaction))}
    for one in connection.execute(select(hold)):
        if one.reference in allowed and one.placed_at == begun[one.reference]:
            assert one.overdraft_minor == allowed[one.reference].get(one.account_id, 0), one
    for row in connection.execute(select(ledger_account).where(ledger_account.c.code.like("2100:%"))):
        left = row.credits_minor - row.debits_minor - row.held_minor + present.get(row.id, 0)
        assert {shown.available_minor for shown in reports.cards_of(connection, row.id)} == {left}
        running = list_transactions(connection, account_id=row.id, limit=100)
        assert {shown.available_minor for shown in running} <= {left}


def _told(connection: Connection, transactions: Rows) -> dict[int, tuple[pencil.Row, ...]]:
    """Return the rows of readings of each transaction."""
    row = reading.c
    found: dict[int, list[pencil.Row]] = {one["id"]: [] for one in transactions}
    statement = select(row.transaction_id, row.happened_at, row.register_wh, row.power_w, row.flags)
    for key, *values in connection.execute(statement.where(row.transaction_id.is_not(None))):
        found[key].append((values[0], values[1], values[2], values[3]))
    return {key: tuple(rows) for key, rows in found.items()}


def _money_is_moved_once(entries: Rows, transfers: Rows, accounts: Rows) -> None:
    """Every transfer belongs to an entry, all of them come to nothing, and the accounts stand where they lead."""
    known = {one["id"] for one in entries}
    moved: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for one in transfers:
        assert one["entry_id"] in known
        assert one["amount_minor"] > 0
        moved[one["debit_account_id"]][0] += one["amount_minor"]
        moved[one["credit_account_id"]][1] += one["amount_minor"]
    assert sum(debits - credits_ for debits, credits_ in moved.values()) == 0
    for one in accounts:
        assert moved[one["id"]] == [one["debits_minor"], one["credits_minor"]], one
    keys = Counter(one["idempotency_key"] for one in entries)
    assert set(keys.values()) <= {1}


def _taken(entries: Rows, transfers: Rows, payers: Mapping[int, int]) -> dict[tuple[str, int], list[int]]:
    """Return what each entry of a transaction took from the account that pays for it, by event and transaction."""
    of_entry: Counter[tuple[int, int]] = Counter()
    for one in transfers:
        of_entry[one["entry_id"], one["debit_account_id"]] += one["amount_minor"]
        of_entry[one["entry_id"], one["credit_account_id"]] -= one["amount_minor"]
    taken = defaultdict(list)
    for one in entries:
        if one["reference"] is not None:
            taken[one["event"], one["reference"]].append(of_entry[one["id"], payers[one["reference"]]])
    return taken


def _what_was_said_is_charged(one: Mapping[str, Any], begun: StartTransaction, said: StopTransaction) -> None:
    """What no person looked at is charged for the energy between its own start and its own stop."""
    assert begun.charge_point_id == said.charge_point_id == one["charge_point_id"]
    assert (one["meter_start_wh"], one["meter_stop_wh"]) == (begun.meter_start_wh, said.meter_stop_wh)
    if one["uncharged_reason"] is None:
        assert one["energy_wh"] > 0
        told_wh = said.meter_stop_wh - begun.meter_start_wh
        assert one["energy_wh"] == told_wh or "last reading used" in one["flags"], one
        _no_more_than_fits(one)


def _no_more_than_fits(one: Mapping[str, Any]) -> None:
    """What nobody looked at can have been delivered, by the station's clock or by ours."""
    power_w = one["max_power_w"] or _UNKNOWN_POWER_W
    passed = max(one["ended_at"] - one["started_at"], one["end_recorded_at"] - one["recorded_at"])
    most_wh = Fraction(power_w * 11, 10) * int(passed.total_seconds()) / 3600 + max(500, Fraction(power_w, 3600))
    assert one["energy_wh"] <= most_wh, one


def _the_price_is_right(
    one: Mapping[str, Any], paid: int, energy_wh: int, ended_at: datetime, readings: tuple[pencil.Row, ...]
) -> None:
    """The price is what pencil and paper give; of a car that went before the end, the lower of two."""
    ends = {ended_at}
    if one["unplugged_at"] is not None:
        ends.add(min(ended_at, max(one["started_at"], one["unplugged_at"])))
    costs = [
        pencil.cost(one["tariff_json"], one["started_at"], one["meter_start_wh"], energy_wh, end, readings)
        if pencil.depends_on_the_time(msgspec.json.decode(one["tariff_json"]))
        else _plain_cost(one, energy_wh, end)
        for end in ends
    ]
    assert paid == min(costs), (one, costs)


def _plain_cost(one: Mapping[str, Any], energy_wh: int, ended_at: datetime) -> int:
    """Return what energy and time alone cost."""
    tariff = msgspec.json.decode(one["tariff_json"])
    energy = max(0, energy_wh - tariff["free_wh"]) * Fraction(tariff["rate_per_kwh"]) / 10
    passed_s = max(0, int((ended_at - one["started_at"]).total_seconds()))
    time = passed_s * Fraction(tariff["rate_per_minute"]) * 100 / 60
    cost = pencil.rounded(energy) + pencil.rounded(time) + tariff["start_fee_minor"]
    cost = max(cost, tariff["minimum_minor"])
    cost = cost if tariff["maximum_minor"] is None else min(cost, tariff["maximum_minor"])
    return cost if energy_wh else 0


def _what_waits_is_in_the_queue(transactions: Rows, items: Rows, holds: Rows) -> None:
    """Nothing is in suspense that nobody is asked about, and whoever is asked can decide."""
    by_id = {one["id"]: one for one in transactions}
    asked = [one for one in items if one["resolved_at"] is None]
    about = {one["transaction_id"] for one in asked}
    for one in transactions:
        waits = one["state"] == "orphaned" or one["uncharged_reason"] in _UNDECIDED
        assert not waits or one["id"] in about, one
    for one in holds:
        assert one["state"] != "open" or by_id[one["reference"]]["state"] == "open" or one["reference"] in about
    for item in asked:
        one = by_id.get(item["transaction_id"], {"state": None, "uncharged_reason": None, "account_id": None})
        has_account = one["account_id"] is not None
        choices = choices_for(one["state"], one["uncharged_reason"], has_account=has_account, kind=item["kind"])
        assert choices or one["state"] == "open", item
