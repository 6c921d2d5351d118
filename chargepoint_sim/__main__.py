"""The commands `session`, `run` and `fleet`: options in, stations built, an exit status out.

Exit status 0: done as asked; 1: the central system or the card said no, in one sentence; 2: wrong arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chargepoint_sim import terminal
from chargepoint_sim.car import Car
from chargepoint_sim.clock import Clock
from chargepoint_sim.connector import ac, dc
from chargepoint_sim.console import Console
from chargepoint_sim.errors import SimulatorError, UsageError
from chargepoint_sim.fleet import charge_for_ever
from chargepoint_sim.habits import Habits
from chargepoint_sim.session import Goal, Session, Summary
from chargepoint_sim.station import Station

if TYPE_CHECKING:
    from collections.abc import Coroutine

app = typer.Typer(
    name="chargepoint-sim",
    help="A simulated OCPP 1.6J charge point, for any central system.",
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
  printf 'wait online\\nplug\\ncard CARD-1\\nwait Charging\\nunplug\\nwait delivered\\n' |
    chargepoint-sim run ws://localhost:9000/ocpp SIM-1 --speed 60
"""
FLEET_EXAMPLES = """\b
Examples:
  chargepoint-sim fleet ws://localhost:9000/ocpp --count 20 --prefix SIM --id-tag CARD-1 --id-tag CARD-2 --speed 60
  chargepoint-sim fleet ws://localhost:9000/ocpp --stations stations.txt --id-tag CARD-1 --json
"""


class Timestamps(StrEnum):
    """Which time stands in messages."""

    REAL = "real"
    SIMULATED = "simulated"


class Current(StrEnum):
    """What a connector delivers."""

    AC = "ac"
    DC = "dc"


Url = Annotated[str, typer.Argument(metavar="URL", help="ws:// or wss://, without the identity: ws://HOST:9000/ocpp")]
Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The station's identity; it is percent-encoded.")]
Key = Annotated[str, typer.Option(metavar="HEX", envvar="CHARGEPOINT_SIM_KEY", help="AuthorizationKey, as hex text.")]
KeyText = Annotated[
    bool, typer.Option("--key-text", help="Send the hex text as password, not the bytes it stands for.")
]
Ca = Annotated[Path | None, typer.Option(help="PEM file with the CA that wss:// must show.")]
Cert = Annotated[Path | None, typer.Option(help="PEM file with the station's own certificate.")]
KeyFile = Annotated[Path | None, typer.Option(help="PEM file with the key of that certificate.")]
Speed = Annotated[
    float,
    typer.Option(
        min=0.001, help="Seconds of charging per real second. Meters run that much faster; power is told as it is."
    ),
]
Stamps = Annotated[
    Timestamps,
    typer.Option(
        help="real: messages carry the wall clock, so energy per time looks --speed times too high, while the power"
        " told is the car's own. simulated: they carry the accelerated time, soon in the future of a central system."
    ),
]
PowerKw = Annotated[float, typer.Option(min=0.1, help="What each connector can deliver.")]
Kind = Annotated[Current, typer.Option(help="What each connector delivers.")]
StateDir = Annotated[
    Path | None, typer.Option(help="Folder where registers, queue and configuration outlive a restart.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per event and line.")]
Frames = Annotated[bool, typer.Option("--frames", help="Print every OCPP frame on standard error.")]
Preset = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Preset a configuration key; repeatable.")
]
AlwaysBoot = Annotated[bool, typer.Option("--always-boot", help="Send a BootNotification after every reconnect.")]
NewIds = Annotated[bool, typer.Option("--new-ids", help="Repeat a message under a new message id, not under the same.")]
Seed = Annotated[int | None, typer.Option(help="Repeat the chance of another run: message ids, pauses, cars.")]


@dataclass(frozen=True)
class Options:
    """What the three commands have in common."""

    url: str
    key: str
    key_text: bool
    ca: Path | None
    cert: Path | None
    key_file: Path | None
    speed: float
    timestamps: Timestamps
    power_kw: float
    current: Current
    state_dir: Path | None
    as_json: bool
    frames: bool
    preset: list[str] | None
    always_boot: bool
    new_ids: bool
    seed: int | None

    def station(self, identity: str, connectors: int, *, give_up: bool, key: str | None = None) -> Station:
        """Build a station that prints what happens to it. Raises UsageError."""
        make = ac if self.current is Current.AC else dc
        station = Station(
            identity,
            self.url,
            key=self.key if key is None else key,
            connectors=[make(number, self.power_kw * 1000) for number in range(1, connectors + 1)],
            clock=Clock(speed=self.speed, timestamps=self.timestamps.value),
            seed=self.seed,
            habits=Habits(always_boot=self.always_boot, new_ids=self.new_ids, hex_text_key=self.key_text),
            configuration=dict(_pair(text) for text in self.preset or []),
            state_dir=self.state_dir,
            ca=self.ca,
            cert=self.cert,
            key_file=self.key_file,
            give_up=give_up,
        )
        station.stream.listen(terminal.printer(as_json=self.as_json))
        if self.frames:
            terminal.show_frames()
        return station


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--set takes KEY=VALUE, not {text}"
        raise UsageError(message)
    return name, value


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
    key: Key = "",
    key_text: KeyText = False,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
    speed: Speed = 1.0,
    timestamps: Stamps = Timestamps.REAL,
    power_kw: PowerKw = 11.0,
    current: Kind = Current.AC,
    state_dir: StateDir = None,
    as_json: Json = False,
    frames: Frames = False,
    preset: Preset = None,
    always_boot: AlwaysBoot = False,
    new_ids: NewIds = False,
    seed: Seed = None,
) -> None:
    """Charge one car once: plug in, card, charge, card, unplug.

    It charges until --energy-kwh, until --minutes, or until the car is full; or until the central system stops it. Exit
    status 0 if a transaction was charged and every message of it was delivered, else 1.
    """
    options = Options(
        url, key, key_text, ca, cert, key_file, speed, timestamps, power_kw, current,
        state_dir, as_json, frames, preset, always_boot, new_ids, seed,
    )  # fmt: skip
    car = Car(battery_wh=battery_kwh * 1000, soc=soc / 100, max_ac_w=22_000.0, max_dc_w=150_000.0)
    _finish(_session(options, identity, connector, id_tag, car, energy_kwh, minutes, connect_timeout))


async def _session(
    options: Options,
    identity: str,
    connector: int,
    id_tag: str,
    car: Car,
    energy_kwh: float | None,
    minutes: float | None,
    connect_timeout_s: float,
) -> int:
    if energy_kwh is not None and minutes is not None:
        message = "--energy-kwh and --minutes exclude each other"
        raise UsageError(message)
    goal = Goal(None if energy_kwh is None else energy_kwh * 1000, minutes)
    station = options.station(identity, connector, give_up=True)
    async with station:
        running = Session(station, connector, id_tag, car, goal).run(connect_timeout_s)
        summary = await terminal.until_stopped(running)
        if summary is None:
            await terminal.take_leave([station])
            summary = Summary(ok=False, text="stopped before the end", id_tag=id_tag)
    station.stream.emit(summary)
    return 0 if summary.ok else 1


@app.command(epilog=RUN_EXAMPLES)
def run(
    url: Url,
    identity: Identity,
    *,
    connectors: Annotated[int, typer.Option(min=1, max=100, help="How many it has.")] = 2,
    key: Key = "",
    key_text: KeyText = False,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
    speed: Speed = 1.0,
    timestamps: Stamps = Timestamps.REAL,
    power_kw: PowerKw = 11.0,
    current: Kind = Current.AC,
    state_dir: StateDir = None,
    as_json: Json = False,
    frames: Frames = False,
    preset: Preset = None,
    always_boot: AlwaysBoot = False,
    new_ids: NewIds = False,
    seed: Seed = None,
) -> None:
    """Keep a station that obeys typed commands; `help` lists them.

    A script may write them on standard input; then the exit status is 1 if one could not be obeyed.
    """
    options = Options(
        url, key, key_text, ca, cert, key_file, speed, timestamps, power_kw, current,
        state_dir, as_json, frames, preset, always_boot, new_ids, seed,
    )  # fmt: skip
    _finish(_run(options, identity, connectors))


async def _run(options: Options, identity: str, connectors: int) -> int:
    async with options.station(identity, connectors, give_up=False) as station:
        failures = await terminal.until_stopped(Console(station, typer.echo).run(terminal.standard_input()))
        await terminal.take_leave([station])
    return 1 if failures and not sys.stdin.isatty() else 0


@app.command(epilog=FLEET_EXAMPLES)
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
    connectors: Annotated[int, typer.Option(min=1, max=100, help="Connectors per station.")] = 1,
    key: Key = "",
    key_text: KeyText = False,
    ca: Ca = None,
    cert: Cert = None,
    key_file: KeyFile = None,
    speed: Speed = 1.0,
    timestamps: Stamps = Timestamps.REAL,
    power_kw: PowerKw = 11.0,
    current: Kind = Current.AC,
    state_dir: StateDir = None,
    as_json: Json = False,
    frames: Frames = False,
    preset: Preset = None,
    always_boot: AlwaysBoot = False,
    new_ids: NewIds = False,
    seed: Seed = None,
) -> None:
    """Let many stations charge random cars with random pauses, until Ctrl-C."""
    options = Options(
        url, key, key_text, ca, cert, key_file, speed, timestamps, power_kw, current,
        state_dir, as_json, frames, preset, always_boot, new_ids, seed,
    )  # fmt: skip
    _finish(_fleet(options, stations, count, prefix, connectors, id_tag))


async def _fleet(
    options: Options, file: Path | None, count: int, prefix: str, connectors: int, id_tags: list[str]
) -> int:
    named = _listed(file) if file else [(f"{prefix}-{number}", options.key) for number in range(1, count + 1)]
    stations = [options.station(identity, connectors, give_up=False, key=key) for identity, key in named]

    async def work() -> None:
        for station in stations:
            await running.enter_async_context(station)
            await asyncio.sleep(STAGGER_S)
        await charge_for_ever(stations, id_tags, options.seed)

    async with contextlib.AsyncExitStack() as running:
        await terminal.until_stopped(work())
        await terminal.take_leave(stations)
    return 0


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
