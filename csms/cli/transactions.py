"""`csms transaction`: list, show. Energy in Wh, cost as it stands: final when the transaction has ended."""

from typing import Annotated, Literal

import typer

from csms.billing.books import Billed
from csms.billing.ledger import list_billed
from csms.billing.money import Currency, format_amount
from csms.billing.reports import ChargeLineView, charge_lines, find_card
from csms.charging.overview import (
    ReadingView,
    TransactionView,
    find_station,
    find_transaction,
    list_readings,
    list_transactions,
)
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, Limit, kwh, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal

commands = typer.Typer()

_READINGS_SHOWN = 40


@commands.command("list")
def show_list(
    state: Annotated[Literal["open", "orphaned", "ended"] | None, typer.Option(help="Only in this state.")] = None,
    station: Annotated[str, typer.Option(help="Only at the charge point with this identity.")] = "",
    card: Annotated[str, typer.Option(help="Only with this card, id tag or printed number.")] = "",
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List transactions, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            place = find_station(connection, station) if station else None
            if station and place is None:
                raise Refusal(f"There is no charge point {station}; `csms station list` shows them.")
            known = find_card(connection, card) if card else None
            found = list_transactions(
                connection,
                state=state,
                charge_point_id=None if place is None else place.charge_point_id,
                id_tag=known.id_tag if known is not None else arguments.id_tag(card) if card else None,
                limit=limit,
            )
        currency = installation.currency
        if as_json:
            show_json([_as_json(one, currency) for one in found])
            return
        _show_table(found, currency, installation.settings.time_zone)


def _show_table(found: list[TransactionView], currency: Currency, time_zone: str) -> None:
    numbers = ("id", "connector", "energy", "cost", "credit left")
    columns = (
        "id",
        "charge point",
        "connector",
        "id tag",
        "state",
        "started",
        "ended",
        "energy",
        "cost",
        "credit left",
    )
    rows = [
        (
            one.transaction_id,
            one.charge_point,
            one.connector_id,
            one.id_tag,
            one.state,
            moment(one.started_at, time_zone),
            moment(one.ended_at, time_zone),
            kwh(one.energy_wh),
            format_amount(one.cost_minor, currency),
            "" if one.credit_minor is None else format_amount(one.credit_minor, currency),
        )
        for one in found
    ]
    show_table(columns, rows, right=numbers)


@commands.command()
def show(
    transaction_id: Annotated[int, typer.Argument(metavar="ID", help="The transaction's id.")],
    *,
    as_json: Json = False,
) -> None:
    """Show a transaction and how its charge came about: its lines, its tax, and the readings behind them."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = find_transaction(connection, transaction_id)
            lines = charge_lines(connection, transaction_id)
            readings = list_readings(connection, transaction_id)
            billed = list_billed(connection, {transaction_id}).get(transaction_id, Billed())
        if one is None:
            raise Refusal(f"There is no transaction {transaction_id}; `csms transaction list` shows them.")
        currency = installation.currency
        taken_minor = billed.net_minor + billed.tax_minor
        if as_json:
            more = {
                "charged": format_amount(taken_minor, currency),
                "tax": format_amount(billed.tax_minor, currency),
                "charged_energy_wh": one.charged_energy_wh,
                "charged_until": one.charged_until,
                "lines": [_line_as_json(line, currency) for line in lines],
                "readings": readings,
            }
            show_json(_as_json(one, currency) | more)
            return
        _show(one, lines, billed, currency, installation.settings.time_zone)
        _show_readings(readings, installation.settings.time_zone)


def _show(
    one: TransactionView, lines: list[ChargeLineView], billed: Billed, currency: Currency, time_zone: str
) -> None:
    corrected = ""
    if one.corrected_ended_at is not None:
        corrected = (
            f"{arguments.money(billed.net_minor + billed.tax_minor, currency)} for {kwh(one.charged_energy_wh)} until "
        )
        corrected += moment(one.corrected_ended_at, time_zone)
    show_facts(
        [
            ("transaction", one.transaction_id),
            ("charge point", f"{one.charge_point}, connector {one.connector_id}"),
            ("id tag", one.id_tag),
            ("state", one.state),
            ("answered", one.authorization_status + (f" ({one.refusal})" if one.refusal else "")),
            ("started", moment(one.started_at, time_zone)),
            ("ended", moment(one.ended_at, time_zone)),
            ("stop reason", one.stop_reason),
            ("meter start", f"{one.meter_start_wh} Wh"),
            ("meter stop", "" if one.meter_stop_wh is None else f"{one.meter_stop_wh} Wh"),
            ("energy", kwh(one.energy_wh)),
            ("cost", arguments.money(one.cost_minor, currency)),
            ("of it tax", arguments.money(billed.tax_minor, currency) if one.state == "ended" else ""),
            ("corrected to", corrected),
            ("credit left", "" if one.credit_minor is None else arguments.money(one.credit_minor, currency)),
            ("not charged", one.uncharged_reason),
            ("odd", one.flags),
        ],
    )
    if lines:
        say("")
        columns = ("line", "quantity", "unit", "rate", "amount")
        rows = [
            (line.component, line.quantity, line.unit, line.rate, format_amount(line.amount_minor, currency))
            for line in lines
        ]
        show_table(columns, rows, right=("quantity", "rate", "amount"))


def _show_readings(readings: list[ReadingView], time_zone: str) -> None:
    if not readings:
        return
    shown = readings[-_READINGS_SHOWN:]
    say(f"\nThe last {len(shown)} of {len(readings)} readings; --json shows them all:" if shown != readings else "")
    rows = [(moment(each.happened_at, time_zone), each.register_wh, each.power_w, each.flags) for each in shown]
    show_table(("reading", "Wh", "W", "remarks"), rows, right=("Wh", "W"))


def _as_json(one: TransactionView, currency: Currency) -> dict[str, object]:
    return {
        "transaction_id": one.transaction_id,
        "charge_point": one.charge_point,
        "connector_id": one.connector_id,
        "id_tag": one.id_tag,
        "state": one.state,
        "energy_wh": one.energy_wh,
        "cost": format_amount(one.cost_minor, currency),
        "credit_left": None if one.credit_minor is None else format_amount(one.credit_minor, currency),
        "currency": currency.code,
        "authorization_status": one.authorization_status,
        "refusal": one.refusal,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "meter_start_wh": one.meter_start_wh,
        "meter_stop_wh": one.meter_stop_wh,
        "power_w": one.power_w,
        "stop_reason": one.stop_reason,
        "uncharged_reason": one.uncharged_reason,
        "flags": one.flags,
    }


def _line_as_json(line: ChargeLineView, currency: Currency) -> dict[str, object]:
    return {
        "component": line.component,
        "quantity": line.quantity,
        "unit": line.unit,
        "rate": line.rate,
        "amount": format_amount(line.amount_minor, currency),
    }
