"""The command line: `python -m bench [SCENARIO]...`."""

import os
import shlex
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bench.machine import describe
from bench.processes import BenchError
from bench.report import Report, markdown, save, show
from bench.scenarios import SCENARIOS, Options

_SMALL = Options(
    runs=1, stations=5, seconds=0.4, warm_up_s=0.2, idle_stations=40, reconnecting_stations=40, transactions=2000
)
_DEFAULT = Options()
_HELP = """Measure the central system on this machine, beside what the machine allows at most.

sessions: calls/s, CPU, latency at the maximum rate, at half of it, and of one station alone; echo limit and commit
floor in the same run. engine: the engine without sockets, in batches. memory: idle stations. reconnect: a restart
under idle stations. verify: a long ledger. message-log: sessions with and without it, in pairs. limits: echo
limit and commit floor only. Without a name: sessions, engine and memory.

It starts servers and databases of its own on free ports of 127.0.0.1, in a temporary folder, and removes them.
"""


class Scenario(StrEnum):
    """What may be asked for."""

    SESSIONS = "sessions"
    ENGINE = "engine"
    MEMORY = "memory"
    RECONNECT = "reconnect"
    VERIFY = "verify"
    MESSAGE_LOG = "message-log"
    LIMITS = "limits"


_WIDE = 120  # in a file or a pipe, lines need not break
_USUAL = (Scenario.SESSIONS, Scenario.ENGINE, Scenario.MEMORY)
Names = Annotated[list[Scenario] | None, typer.Argument(help="What to measure.")]


def run(
    scenarios: Names = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs; a figure is their median.")] = _DEFAULT.runs,
    stations: Annotated[int, typer.Option(min=1, help="Stations that charge.")] = _DEFAULT.stations,
    seconds: Annotated[float, typer.Option(min=0.1, help="Measured seconds of each load.")] = _DEFAULT.seconds,
    idle: Annotated[int, typer.Option(min=10, help="Idle stations of `memory`.")] = _DEFAULT.idle_stations,
    returning: Annotated[int, typer.Option(min=10, help="Stations of `reconnect`.")] = _DEFAULT.reconnecting_stations,
    transactions: Annotated[int, typer.Option(min=100, help="Transactions of `verify`.")] = _DEFAULT.transactions,
    security_profile: Annotated[int, typer.Option(min=0, max=1, help="1: stations have keys.")] = 0,
    postgresql: Annotated[bool, typer.Option(help="On a PostgreSQL of its own instead of SQLite.")] = False,  # noqa: FBT002 - typer
    without_message_log: Annotated[bool, typer.Option(help="Nothing that is said is kept.")] = False,  # noqa: FBT002 - typer
    folder: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Where databases lie.")] = None,
    small: Annotated[bool, typer.Option(help="A few seconds, to see that it works; figures mean nothing.")] = False,  # noqa: FBT002 - typer
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write every run's values here.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", dir_okay=False, help="Write the tables here.")
    ] = None,
) -> None:
    """Measure, and report."""
    options = (
        _SMALL
        if small
        else Options(
            runs=runs,
            stations=stations,
            seconds=seconds,
            idle_stations=idle,
            reconnecting_stations=returning,
            transactions=transactions,
        )
    )
    options = msgspec.structs.replace(
        options,
        security_profile=security_profile,
        postgresql=postgresql,
        message_log=not without_message_log,
        folder=folder,
    )
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    machine = describe(folder or Path(tempfile.gettempdir()))
    figures = []
    try:
        for name in scenarios or _USUAL:
            figures += SCENARIOS[name.value](options, _tell)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    if small or postgresql:  # the budgets are for runs of seconds, and for one process on SQLite
        figures = [msgspec.structs.replace(one, at_least=None, aim=None) for one in figures]
    report = Report(_command(), machine, figures, round(os.getloadavg()[0], 2))
    show(report, console)
    if json is not None:
        save(report, json)
    if markdown_file is not None:
        markdown_file.write_text(markdown(report))
    for figure in report.missed():
        typer.echo(f"budget missed: {figure.name}", err=True)


def _command() -> str:
    """Return the command line without the places of files, which are nobody's business."""
    places = {"--json", "--markdown", "--folder"}
    words = sys.argv[1:]
    kept = [word for before, word in zip(["", *words], words, strict=False) if not {before, word} & places]
    return shlex.join(["python", "-m", "bench", *(word for word in kept if word.partition("=")[0] not in places)])


def _tell(what: str) -> None:
    typer.echo(what, err=True)


def main() -> None:
    """Run the command line from the project's folder, so that the processes it starts find the project."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    application = typer.Typer(add_completion=False)
    application.command(help=_HELP)(run)
    application()


_ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    main()
