"""The command line: `python -m bench.hostile`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.hostile.campaign import Findings, run
from bench.hostile.target import target
from bench.processes import BenchError

_ROOT = Path(__file__).resolve().parent.parent.parent


def fuzz(
    seconds: Annotated[float, typer.Option(min=1, help="How long each round lasts.")] = 60,
    seed: Annotated[int, typer.Option(help="Begin with this one; the same seed makes the same choices.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Campaigns, each with its own seed and a fresh server.")] = 1,
    slowest_ms: Annotated[float, typer.Option(min=1, help="What the good station may wait at most.")] = 5000,
    postgresql: Annotated[bool, typer.Option(help="On a PostgreSQL of its own instead of SQLite.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Attack a server of its own from all sides, and say what it did and whether everything held."""
    failed = 0
    for number in range(rounds):
        try:
            with target(postgresql=postgresql) as attacked, attacked.running():
                found = run(attacked, seconds=seconds, seed=seed + 1000 * number, slowest_ms=slowest_ms, tell=_tell)
        except BenchError as error:
            sys.exit(f"fuzz: {error}")
        _show(found)
        failed += bool(found.wrong)
    sys.exit(1 if failed else 0)


def _show(found: Findings) -> None:
    for what, count in found.seen.items():
        typer.echo(f"{count:>10,}  {what}")
    typer.echo("logged:")
    for what, count in found.logged.items():
        typer.echo(f"{count:>10,}  {what}")
    good = found.good
    typer.echo(
        f"the good station: {good.sessions} sessions, p50 {good.latency.p50_ms:.0f} ms, "
        f"p99 {good.latency.p99_ms:.0f} ms, max {good.latency.max_ms:.0f} ms"
    )
    for line in found.wrong:
        typer.echo(f"WRONG (seed {found.seed}): {line}", err=True)
    if not found.wrong:
        typer.echo("everything held")


def _tell(what: str) -> None:
    typer.echo(what, err=True)


def main() -> None:
    """Run the command line so that the processes it starts find the project."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    application = typer.Typer(add_completion=False)
    application.command()(fuzz)
    application()


if __name__ == "__main__":
    main()
