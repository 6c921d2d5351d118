"""How a command answers: tables and facts for people, JSON for scripts; on stdout, which carries nothing else."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from csms.cli.refusals import plain

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")]

_WIDE = 200  # columns, where stdout is no terminal


def say(text: str) -> None:
    """Print a sentence."""
    typer.echo(plain(text))


def show_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Print a value as JSON; decimal numbers and moments become strings."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print rows under their columns' names; those named in `right` are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(_word(cell))) for cell in row))
    if not table.row_count:
        say("There are none.")
        return
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE).print(table)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and what they are, one a line."""
    pairs = [(name, plain(_word(value))) for name, value in facts]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}".rstrip())


def moment(at: datetime | None, time_zone: str) -> str:
    """Return a moment as the clock on the wall shows it."""
    return "" if at is None else f"{at.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M:%S}"


def last_day(expires_at: datetime | None, time_zone: str) -> str:
    """Return the last day before a moment of expiry: what expires at midnight is valid through the day before."""
    if expires_at is None:
        return ""
    return f"{(expires_at - timedelta(microseconds=1)).astimezone(ZoneInfo(time_zone)):%Y-%m-%d}"


def kwh(energy_wh: int) -> str:
    """Return energy for people."""
    return f"{energy_wh // 1000}.{energy_wh % 1000:03} kWh"


def _word(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
