"""`csms tariff`: add, list, show, price an example, assign. A tariff is never edited: adding the same name makes its
next version.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import typer

from csms import clock
from csms.billing.bands import joined
from csms.billing.money import Currency, format_amount
from csms.billing.price_lists import (
    NewTariff,
    PriceList,
    Problem,
    TariffRefused,
    add_tariff,
    in_force,
    list_tariffs,
    make_default,
    newest_version,
    problems,
)
from csms.billing.tariffs import Charge, Tariff, Usage, example, price
from csms.billing.wall_clock import write_clock, write_weekdays
from csms.charging.assignments import times_used
from csms.cli import arguments, assignments
from csms.cli.bands import read_band, read_example
from csms.cli.opening import opened
from csms.cli.output import Json, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation

commands = typer.Typer()
commands.command()(assignments.assign)
commands.command()(assignments.unassign)
commands.command("assignments")(assignments.show_list)

_OPTIONS = {
    "name": "NAME",
    "rate_per_kwh": "--per-kwh",
    "rate_per_minute": "--per-minute",
    "rate_per_idle_minute": "--per-idle-minute",
    "idle_grace_s": "--idle-grace",
    "start_fee_minor": "--start-fee",
    "free_wh": "--free-kwh",
    "minimum_minor": "--minimum",
    "maximum_minor": "--maximum",
    "tax_percent": "--tax-percent",
    "bands": "--band",
    "valid_from": "--valid-from",
    "valid_to": "--valid-to",
}
_PREVIEW = 'Store nothing; price kWh/minutes/idle minutes, such as 20/60 or "20/60/15 @2026-12-01 21:30".'
Name = Annotated[str, typer.Argument(metavar="NAME", help='Such as "Day and night".')]


@commands.command()
def add(
    name: Name,
    per_kwh: Annotated[str, typer.Option(help="Price of a kWh, tax included, such as 0.35.")] = "0",
    per_minute: Annotated[str, typer.Option(help="Price of a minute, tax included, such as 0.02.")] = "0",
    start_fee: Annotated[str, typer.Option(help="Price of a start, tax included, such as 0.50.")] = "0",
    per_idle_minute: Annotated[str, typer.Option(help="Price of a minute in which the car draws nothing.")] = "0",
    idle_grace: Annotated[str, typer.Option(help="Minutes of idle time that cost nothing.")] = "0",
    free_kwh: Annotated[str, typer.Option(help="The first kWh of each transaction that are free.")] = "0",
    minimum: Annotated[str, typer.Option(help="The least that a transaction with energy costs.")] = "0",
    maximum: Annotated[str, typer.Option(help="The most that a transaction costs.")] = "",
    band: Annotated[
        list[str] | None,
        typer.Option(help='Other prices at some hours: "night 22:00-06:00 mon-sun 0.20/0.01"; may be repeated.'),
    ] = None,
    time_zone: Annotated[str, typer.Option(help="Of the bands and the dates; without it CSMS_TIME_ZONE.")] = "",
    valid_from: Annotated[str, typer.Option(help='Such as "2026-12-01 06:00"; without it from now on.')] = "",
    valid_to: Annotated[str, typer.Option(help="Such as 2027-01-01: from then on it does not apply.")] = "",
    tax_percent: Annotated[str, typer.Option(help="The tax that the prices include; else CSMS_TAX_PERCENT.")] = "",
    preview: Annotated[str, typer.Option(help=_PREVIEW)] = "",
    *,
    default: Annotated[bool, typer.Option("--default", help="It applies where no other one is assigned.")] = False,
    as_json: Json = False,
) -> None:
    """Add a tariff, or the next version of the one with this name. The first one becomes the default."""
    with opened() as installation:
        settings, currency = installation.settings, installation.currency
        zone = arguments.time_zone(time_zone or settings.time_zone)
        typed = [read_band(text) for text in band or ()]
        rows = [row for row, parts in enumerate(typed, 1) for _ in parts]  # a night is two bands of one --band
        new = NewTariff(
            arguments.name(name, "tariff"),
            arguments.rate(per_kwh, "--per-kwh"),
            arguments.rate(per_minute, "--per-minute"),
            arguments.amount(start_fee, currency, "--start-fee", zero=True),
            arguments.percent(tax_percent or f"{settings.tax_percent:f}", "--tax-percent"),
            make_default=default,
            time_zone=zone,
            bands=tuple(part for parts in typed for part in parts),
            rate_per_idle_minute=arguments.rate(per_idle_minute, "--per-idle-minute"),
            idle_grace_s=arguments.seconds(idle_grace, "--idle-grace"),
            free_wh=arguments.energy_wh(free_kwh, "--free-kwh"),
            minimum_minor=arguments.amount(minimum, currency, "--minimum", zero=True),
            maximum_minor=arguments.amount(maximum, currency, "--maximum", zero=True) if maximum else None,
            valid_from=arguments.moment(valid_from, "--valid-from", zone) if valid_from else None,
            valid_to=arguments.moment(valid_to, "--valid-to", zone) if valid_to else None,
        )
        if preview:
            usage = read_example(preview, settings.time_zone, clock.now())
            _preview(installation, new, rows, usage, as_json=as_json)
        else:
            _add(installation, new, rows, as_json=as_json)


def _preview(installation: Installation, new: NewTariff, rows: list[int], usage: Usage, *, as_json: bool) -> None:
    """Price an example under what was typed, as the portal's editor does. Nothing is stored."""
    found = problems(new, one_tax_percent(installation))
    if found:
        raise _refusal(found, rows)
    with installation.database.reading() as connection:
        newest = newest_version(connection, new.name)
    version = 1 if newest is None else newest.version + 1
    _tell(new.tariff, version, price(new.tariff, usage, installation.currency), installation, as_json=as_json)


def _add(installation: Installation, new: NewTariff, rows: list[int], *, as_json: bool) -> None:
    with installation.database.unit_of_work() as connection:
        added = add_tariff(connection, new, clock.now(), one_tax_percent(installation))
    if isinstance(added, TariffRefused):
        raise _refusal(added.problems, rows)
    if as_json:
        show_json(_as_json(added, installation.currency))
        return
    role = "It is the default." if added.is_default else "It is not the default; --default makes it so."
    say(f"Added version {added.version} of the tariff {added.name}. {role}")


def one_tax_percent(installation: Installation) -> Decimal | None:
    """Return the only tax there may be, where it is payable at the top-up."""
    settings = installation.settings
    return settings.tax_percent if settings.tax_point == "top-up" else None


def _refusal(found: Sequence[Problem], rows: list[int]) -> WrongArgument:
    """Name the options; bands are counted as they were typed."""
    words = []
    for one in found:
        numbers = " and ".join(str(rows[number - 1]) for number in one.bands)
        why = f"bands {numbers} overlap" if len(one.bands) > 1 else one.why
        words.append(f"{_OPTIONS[one.field]}: {why}")
    return WrongArgument("; ".join(words) + ".")


@commands.command()
def default(name: Name, *, as_json: Json = False) -> None:
    """Let a tariff apply wherever no other one is assigned, from the next transaction on."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            newest = newest_version(connection, name)
            if newest is None or not make_default(connection, newest.tariff_id):
                raise Refusal(_unknown(name))
        if as_json:
            show_json({"default": name})
            return
        say(f"{name} is the default: it applies wherever no other one is assigned, from the next transaction on.")


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
        columns = (
            "name",
            "version",
            "per kWh",
            "per minute",
            "start fee",
            "tax %",
            "bands",
            "default",
            "valid from",
            "until",
        )
        rows = [
            (
                one.name,
                one.version,
                f"{one.rate_per_kwh:f}",
                f"{one.rate_per_minute:f}",
                format_amount(one.start_fee_minor, currency),
                f"{one.tax_percent:f}",
                len(one.bands) or "",
                "default" if one.is_default else "",
                moment(one.valid_from or one.created_at, installation.settings.time_zone),
                moment(one.valid_to, installation.settings.time_zone),
            )
            for one in tariffs
        ]
        show_table(columns, rows, right=columns[1:7])


@commands.command()
def show(
    name: Name,
    version: Annotated[int, typer.Option(min=0, help="Which version; without it the one in force.")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Show a version of a tariff: its prices, its bands, how often it was used."""
    with opened() as installation:
        one = _find(installation, name, version)
        with installation.database.reading() as connection:
            used = times_used(connection, one.tariff_id)
        if as_json:
            show_json(_as_json(one, installation.currency) | {"transactions": used})
            return
        currency = installation.currency
        show_facts(
            [
                ("tariff", f"{one.name}, version {one.version}{', the default' if one.is_default else ''}"),
                ("per kWh", f"{one.rate_per_kwh:f}"),
                ("per minute", f"{one.rate_per_minute:f}"),
                ("start fee", format_amount(one.start_fee_minor, currency)),
                ("per idle minute", f"{one.rate_per_idle_minute:f} after {one.idle_grace_s // 60} min"),
                ("free energy", f"{Decimal(one.free_wh) / 1000:f} kWh"),
                ("minimum", format_amount(one.minimum_minor, currency)),
                ("maximum", "none" if one.maximum_minor is None else format_amount(one.maximum_minor, currency)),
                ("tax included", f"{one.tax_percent:f} %"),
                ("time zone", one.time_zone),
                ("valid from", moment(one.valid_from, one.time_zone) or "at once"),
                ("valid to", moment(one.valid_to, one.time_zone) or "the next version"),
                ("transactions", used),
            ]
        )
        if one.bands:
            rows = [
                (
                    each.name,
                    write_weekdays(each.weekdays),
                    f"{write_clock(each.begin_minute)}-{write_clock(each.end_minute)}",
                    f"{each.rate_per_kwh:f}",
                    f"{each.rate_per_minute:f}",
                )
                for each in joined(one.bands)
            ]
            columns = ("band", "weekdays", "time", "per kWh", "per minute")
            show_table(columns, rows, right=columns[3:])


@commands.command("price")
def price_example(
    name: Name,
    kwh: Annotated[str, typer.Option(help="Energy, such as 20.")],
    minutes: Annotated[str, typer.Option(help="How long the car charges.")] = "60",
    idle_minutes: Annotated[str, typer.Option(help="How long it stands afterwards.")] = "0",
    at: Annotated[str, typer.Option(help='When it begins, such as "2026-12-01 21:30"; without it now.')] = "",
    *,
    as_json: Json = False,
) -> None:
    """Price an example under a tariff, line by line. Nothing is stored."""
    with opened() as installation:
        zone = installation.settings.time_zone
        begin = arguments.moment(at, "--at", zone) if at else clock.now()
        usage = example(
            arguments.energy_wh(kwh, "--kwh"),
            arguments.seconds(minutes, "--minutes"),
            arguments.seconds(idle_minutes, "--idle-minutes"),
            begin,
        )
        with installation.database.reading() as connection:
            versions = [one for one in list_tariffs(connection) if one.name == name]
        one = in_force(versions, begin)
        if one is None:
            raise Refusal(f"No version of {name} is in force at {moment(begin, zone)}." if versions else _unknown(name))
        _tell(one.tariff, one.version, price(one.tariff, usage, installation.currency), installation, as_json=as_json)


def _tell(tariff: Tariff, version: int, charge: Charge, installation: Installation, *, as_json: bool) -> None:
    currency = installation.currency
    if as_json:
        lines = [
            {
                "component": one.component,
                "band": one.band,
                "quantity": f"{one.quantity:f}",
                "unit": one.unit,
                "rate": f"{one.rate:f}",
                "amount": format_amount(one.amount_minor, currency),
            }
            for one in charge.lines
        ]
        total, tax = format_amount(charge.total_minor, currency), format_amount(charge.tax_minor, currency)
        show_json({"tariff": tariff.name, "version": version, "lines": lines, "total": total, "tax": tax})
        return
    columns = ("line", "quantity", "rate", "amount")
    rows = [
        (
            f"{one.component} {one.band}".strip(),
            f"{one.quantity.normalize():f} {one.unit}".strip(),
            f"{one.rate:f}",
            format_amount(one.amount_minor, currency),
        )
        for one in charge.lines
    ]
    show_table(columns, rows, right=columns[1:])
    tax = arguments.money(charge.tax_minor, currency)
    say(f"{tariff.name}, version {version}: {arguments.money(charge.total_minor, currency)}, of which {tax} is tax.")


def _find(installation: Installation, name: str, version: int) -> PriceList:
    with installation.database.reading() as connection:
        versions = [one for one in list_tariffs(connection) if one.name == name]
    if not versions:
        raise Refusal(_unknown(name))
    if not version:
        return in_force(versions, clock.now()) or versions[0]
    found = next((one for one in versions if one.version == version), None)
    if found is None:
        raise Refusal(f"The tariff {name} has no version {version}; its newest is {versions[0].version}.")
    return found


def _unknown(name: str) -> str:
    return f"There is no tariff {name}; `csms tariff list` shows the tariffs."


def _as_json(one: PriceList, currency: Currency) -> dict[str, object]:
    return {
        "tariff_id": one.tariff_id,
        "name": one.name,
        "version": one.version,
        "per_kwh": f"{one.rate_per_kwh:f}",
        "per_minute": f"{one.rate_per_minute:f}",
        "start_fee": format_amount(one.start_fee_minor, currency),
        "per_idle_minute": f"{one.rate_per_idle_minute:f}",
        "idle_grace_s": one.idle_grace_s,
        "free_wh": one.free_wh,
        "minimum": format_amount(one.minimum_minor, currency),
        "maximum": None if one.maximum_minor is None else format_amount(one.maximum_minor, currency),
        "bands": [
            {
                "name": each.name,
                "weekdays": write_weekdays(each.weekdays),
                "begin": write_clock(each.begin_minute),
                "end": write_clock(each.end_minute),
                "per_kwh": f"{each.rate_per_kwh:f}",
                "per_minute": f"{each.rate_per_minute:f}",
            }
            for each in one.bands
        ],
        "time_zone": one.time_zone,
        "valid_from": one.valid_from,
        "valid_to": one.valid_to,
        "tax_percent": f"{one.tax_percent:f}",
        "default": one.is_default,
        "created_at": one.created_at,
    }
