"""The commands `session`, `run`, `interactive` and `fleet`: stations built, an exit status out.

Exit status 0: done as asked; 1: the central system or the card said no, in one sentence; 2: wrong arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from chargepoint_sim import terminal
from chargepoint_sim.car import Car
from chargepoint_sim.console import HELP, WORDS, Console
from chargepoint_sim.errors import SimulatorError, UsageError
from chargepoint_sim.fleet import charge_for_ever
from chargepoint_sim.options import Options, with_options
from chargepoint_sim.session import Goal, Session, Summary

app = typer.Typer(
    name="chargepoint-sim",
    help="A simulated OCPP 1.6J charge point, for any central system. Each command has its own --help.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

STAGGER_S = 0.02
SESSION_EXAMPLES = """\b
Examples:
  chargepoint-sim session ws://localhost:9000/ocpp SIM-1 --id-tag CARD-1 --energy-kwh 5 --speed 60
  chargepoint-sim session wss://csms.example/ocpp SIM-1 --key 0011..ff --ca ca.pem --id-tag CARD-1 --minutes 20
"""
RUN_EXAMPLES = """\b
Examples:
  chargepoint-sim run ws://localhost:9000/ocpp SIM-1 --state-dir ./state
  chargepoint-sim run wss://localhost:9001/ocpp SIM-1 --ca ca.pem --cert sim-1.pem --cert-key sim-1.key
  chargepoint-sim run ws://localhost:9000/ocpp SIM-1 --small-ids --always-boot --call-error SetChargingProfile
  printf 'wait online\\nplug\\ncard CARD-1\\nwait Charging\\nunplug\\nwait delivered\\n' |
    chargepoint-sim run ws://localhost:9000/ocpp SIM-1 --speed 60
"""
INTERACTIVE_EXAMPLES = """\b
Examples:
  chargepoint-sim interactive ws://localhost:9000/ocpp SIM-1 --speed 60
  chargepoint-sim interactive ws://localhost:9000/ocpp SIM-1 --key 0011..ff --frames 2>frames.log
"""
FLEET_EXAMPLES = """\b
Examples:
  chargepoint-sim fleet ws://localhost:9000/ocpp --count 20 --prefix SIM --id-tag CARD-1 --id-tag CARD-2 --speed 60
  chargepoint-sim fleet ws://localhost:9000/ocpp --stations stations.txt --id-tag CARD-1 --json
"""

Url = Annotated[str, typer.Argument(metavar="URL", help="ws:// or wss://, without the identity: ws://HOST:9000/ocpp")]
Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The station's identity; it is percent-encoded.")]
Connectors = Annotated[int, typer.Option(min=1, max=100, help="How many it has.")]


def _finish(work: Coroutine[object, object, int]) -> None:
    """Run a command and leave with its status; an error is one sentence on standard error."""
    try:
        status = asyncio.run(work)
    except UsageError as error:
        typer.echo(f"chargepoint-sim: {error}", err=True)
        status = 2
    except (SimulatorError, TimeoutError) as error:
        typer.echo(f"chargepoint-sim: {error}", err=True)
        status = 1
    except KeyboardInterrupt:
        status = 130
    raise typer.Exit(status)


@app.command(epilog=SESSION_EXAMPLES)
@with_options
def session(
    url: Url,
    identity: Identity,
    *,
    id_tag: Annotated[str, typer.Option(metavar="TAG", help="The card that is held to the reader.")],
    connector: Annotated[int, typer.Option(min=1, help="Where the car is plugged in.")] = 1,
    energy_kwh: Annotated[float | None, typer.Option(min=0.001, help="Stop after this energy.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Stop after these simulated minutes.")] = None,
    battery_kwh: Annotated[float, typer.Option(min=1, help="The car's battery.")] = 60.0,
    soc: Annotated[float, typer.Option(min=0, max=100, help="Its state of charge at the start, in percent.")] = 30.0,
    connect_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to be connected and accepted.")] = 60.0,
    options: Options,
) -> None:
    """Charge one car once: plug in, card, charge, card, unplug.

    It charges until --energy-kwh, until --minutes, or until the car is full; or until the central system stops it. Exit
    status 0 if a transaction was charged and every message of it was delivered, else 1.
    """
    car = Car(battery_wh=battery_kwh * 1000, soc=soc / 100, max_ac_w=22_000.0, max_dc_w=150_000.0)

    async def work() -> int:
        if energy_kwh is not None and minutes is not None:
            message = "--energy-kwh and --minutes exclude each other"
            raise UsageError(message)
        goal = Goal(None if energy_kwh is None else energy_kwh * 1000, minutes)
        station = options.station(url, identity, connector, give_up=True)
        async with station:
            running = Session(station, connector, id_tag, car, goal).run(connect_timeout)
            summary = await terminal.until_stopped(running)
            if summary is None:
                await terminal.take_leave([station])
                summary = Summary(ok=False, text="stopped before the end", id_tag=id_tag)
        station.stream.emit(summary)
        return 0 if summary.ok else 1

    _finish(work())


@app.command(epilog=RUN_EXAMPLES)
@with_options
def run(url: Url, identity: Identity, *, connectors: Connectors = 2, options: Options) -> None:
    """Keep a station that obeys typed commands; `help` lists them.

    A script may write them on standard input; then the exit status is 1 if one could not be obeyed.
    """

    async def work() -> int:
        async with options.station(url, identity, connectors) as station:
            failures = await terminal.until_stopped(Console(station, typer.echo).run(terminal.standard_input()))
            await terminal.take_leave([station])
        return 1 if failures and not sys.stdin.isatty() else 0

    _finish(work())


@app.command(epilog=INTERACTIVE_EXAMPLES)
@with_options
def interactive(url: Url, identity: Identity, *, connectors: Connectors = 2, options: Options) -> None:
    """Stand at a station: plug, swipe, unplug, break things by hand, and see what the central system does.

    The same commands as in `run`, with a prompt, a history and the completion of words by the Tab key.
    """

    async def work() -> int:
        async with options.station(url, identity, connectors) as station:
            typer.echo(HELP)
            lines = terminal.prompted(f"{identity}> ", WORDS)
            await terminal.until_stopped(Console(station, typer.echo).run(lines))
            await terminal.take_leave([station])
        return 0

    _finish(work())


@app.command(epilog=FLEET_EXAMPLES)
@with_options
def fleet(
    url: Url,
    *,
    id_tag: Annotated[
        list[str], typer.Option(metavar="TAG", help="A driver's card; repeatable, used by one at a time.")
    ],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many stations.")] = 1,
    prefix: Annotated[str, typer.Option(help="Identities are PREFIX-1, PREFIX-2, ...")] = "SIM",
    stations: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --count and --prefix, a file with a line per station: identity, and its key if any."
        ),
    ] = None,
    connectors: Connectors = 1,
    options: Options,
) -> None:
    """Let many stations charge random cars with random pauses, until Ctrl-C."""

    async def work() -> int:
        named = _listed(stations) if stations else [(f"{prefix}-{one}", options.key) for one in range(1, count + 1)]
        made = [options.station(url, identity, connectors, key=key) for identity, key in named]
        async with contextlib.AsyncExitStack() as running:

            async def charge() -> None:
                for station in made:
                    await running.enter_async_context(station)
                    await asyncio.sleep(STAGGER_S)
                await charge_for_ever(made, id_tag, options.seed)

            await terminal.until_stopped(charge())
            await terminal.take_leave(made)
        return 0

    _finish(work())


def _listed(file: Path) -> list[tuple[str, str]]:
    """The stations of a file: identity and key, apart by blanks; # begins a comment. Raises UsageError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"the list of stations {file} cannot be read: {error}"
        raise UsageError(message) from error
    words = [line.partition("#")[0].split() for line in lines]
    listed = [(row[0], row[1] if row[1:] else "") for row in words if row]
    if not listed:
        message = f"the list of stations {file} names no station"
        raise UsageError(message)
    return listed


def main() -> None:
    """Enter from the command line."""
    app()


if __name__ == "__main__":
    main()
