"""`csms tariff`: add, list. A tariff is never edited: adding the same name makes its next version."""

from typing import Annotated

import typer

from csms import clock
from csms.billing.money import Currency, format_amount
from csms.billing.price_lists import NewTariff, PriceList, add_tariff, list_tariffs
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_json, show_table

commands = typer.Typer()


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help='Such as "Day and night".')],
    per_kwh: Annotated[str, typer.Option(help="Price of a kWh, tax included, such as 0.35.")],
    per_minute: Annotated[str, typer.Option(help="Price of a minute, tax included, such as 0.02.")] = "0",
    start_fee: Annotated[str, typer.Option(help="Price of a start, tax included, such as 0.50.")] = "0",
    tax_percent: Annotated[str, typer.Option(help="The tax that the prices include.")] = "20",
    *,
    default: Annotated[bool, typer.Option("--default", help="It applies where no other one is assigned.")] = False,
    as_json: Json = False,
) -> None:
    """Add a tariff, or the next version of the one with this name. The first one becomes the default."""
    with opened() as installation:
        new = NewTariff(
            arguments.name(name, "tariff"),
            arguments.rate(per_kwh, "--per-kwh"),
            arguments.rate(per_minute, "--per-minute"),
            arguments.amount(start_fee, installation.currency, zero=True),
            arguments.percent(tax_percent, "--tax-percent"),
            make_default=default,
        )
        with installation.database.unit_of_work() as connection:
            added = add_tariff(connection, new, clock.now())
        if as_json:
            show_json(_as_json(added, installation.currency))
            return
        role = "It is the default." if added.is_default else "It is not the default; --default makes it so."
        say(f"Added version {added.version} of the tariff {added.name}. {role}")


@commands.command("list")
def show_list(*, as_json: Json = False) -> None:
    """List every version of every tariff, the newest version first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            tariffs = list_tariffs(connection)
        currency = installation.currency
        if as_json:
            show_json([_as_json(one, currency) for one in tariffs])
            return
        columns = ("name", "version", "per kWh", "per minute", "start fee", "tax %", "default", "since")
        rows = [
            (
                one.name,
                one.version,
                f"{one.rate_per_kwh:f}",
                f"{one.rate_per_minute:f}",
                format_amount(one.start_fee_minor, currency),
                f"{one.tax_percent:f}",
                "default" if one.is_default else "",
                moment(one.created_at, installation.settings.time_zone),
            )
            for one in tariffs
        ]
        show_table(columns, rows, right=columns[1:6])


def _as_json(one: PriceList, currency: Currency) -> dict[str, object]:
    return {
        "tariff_id": one.tariff_id,
        "name": one.name,
        "version": one.version,
        "per_kwh": f"{one.rate_per_kwh:f}",
        "per_minute": f"{one.rate_per_minute:f}",
        "start_fee": format_amount(one.start_fee_minor, currency),
        "tax_percent": f"{one.tax_percent:f}",
        "default": one.is_default,
        "created_at": one.created_at,
    }
