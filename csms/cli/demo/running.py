"""Starts the demo's world, server and stations, tells what happens, and stops all of it on Ctrl-C.

Works in a folder of its own (`demo` in the data directory), never on the configured database.
"""

import asyncio
import fcntl
import random
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from csms.app import Running
from csms.app import run as run_server
from csms.cli import logs
from csms.cli.demo import world
from csms.cli.demo.drivers import SPEED, Cards, SimulatedStation
from csms.cli.demo.watching import Line, Mood, Watcher
from csms.cli.migrating import migrate_database
from csms.cli.refusals import Refusal, plain
from csms.config import Settings, load_settings
from csms.errors import ConfigurationError
from csms.installation import Installation, open_installation
from csms.web.staff import portal_address

_LOOK_EVERY_S = 0.5
_SEED = 16
_STYLES: dict[Mood, str] = {"good": "green", "plain": "", "busy": "dim", "bad": "yellow", "money": "bold cyan"}
_STATIONS_FOLDER = "stations"


def demo(
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew: forget the demo's data.")] = False,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 lets others in.")] = "127.0.0.1",
    ocpp_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="For charge points; 0 takes a free one. [CSMS_OCPP_PORT]")
    ] = None,
    portal_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="For browsers; 0 takes a free one. [CSMS_PORTAL_PORT]")
    ] = None,
) -> None:
    """Run a small world with two simulated charge points until Ctrl-C; its data stays for the next start."""
    if find_spec("chargepoint_sim") is None:
        raise Refusal(
            "The simulator (chargepoint_sim) is not installed beside csms; run the demo from the project's folder."
        )
    settings = _settings(host, ocpp_port, portal_port)
    logs.of_server("error", "console")
    with _alone(settings.data_dir):
        if fresh:
            _forget(settings.data_dir)
        migrate_database(settings)
        installation = open_installation(settings)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(Demo(installation, Console(file=sys.stdout, highlight=False, soft_wrap=True)).run())
        except ConfigurationError as error:  # a port that was free a moment ago
            raise Refusal(str(error)) from None
        finally:
            installation.database.close()


def _settings(host: str, ocpp_port: int | None, portal_port: int | None) -> Settings:
    """Return the configured settings, made the demo's own: its folder, its SQLite, two ports that are free."""
    given = load_settings()
    return load_settings(
        data_dir=given.data_dir / "demo",
        database_url="",
        portal_url="",
        secure_cookies=False,
        adopt_unknown_stations=False,
        minimum_security_profile=0,
        ocpp_tls_port=None,
        maximum_power_kw=1_000_000,  # its cars charge many times faster than any car
        host=host,
        ocpp_port=_free_port(host, given.ocpp_port if ocpp_port is None else ocpp_port, "ocpp-port"),
        portal_port=_free_port(host, given.portal_port if portal_port is None else portal_port, "portal-port"),
    )


def _free_port(host: str, port: int, option: str) -> int:
    """Return `port` if it is free, any free one for 0; refuse otherwise, before anything is changed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as bound:
            return int(bound.getsockname()[1])
    except OSError as error:
        setting = f"CSMS_{option.replace('-', '_').upper()}"
        raise Refusal(
            f"Port {port} on {host} cannot be used ({error.strerror or error}): "
            f"end what listens there, or choose another one with --{option} or {setting}.",
        ) from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one demo at a time use the folder; the lock goes with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refusal(f"Another demo is running on {folder}. End it first, or set CSMS_DATA_DIR.") from None
        yield


def _forget(folder: Path) -> None:
    """Delete what the demo made, and nothing else that may lie there."""
    for name in ("csms.sqlite3", "csms.sqlite3-wal", "csms.sqlite3-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _STATIONS_FOLDER, ignore_errors=True)


class Demo:
    """One run of the demo."""

    def __init__(self, installation: Installation, console: Console) -> None:
        """Nothing runs before `run`."""
        self._installation = installation
        self._settings = installation.settings
        self._console = console
        self._told_to_stop = asyncio.Event()
        self._stations: list[SimulatedStation] = []
        self._background: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM: stations leave first, so that what they charged is told and settled."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._told_to_stop.set)
        made = await asyncio.to_thread(world.make, self._installation)
        server_stop, ready = asyncio.Event(), asyncio.Event()
        server = asyncio.create_task(
            run_server(self._installation, server_stop, on_ready=lambda running: self._welcome(running, made, ready)),
        )
        started = asyncio.create_task(ready.wait())
        told = asyncio.create_task(self._told_to_stop.wait())
        try:
            await _first(server, started)
            if not server.done():
                await self._bring_drivers(made)
                await _first(server, told)
                self._say("Stopping: the drivers leave ...", "dim")
        finally:
            await asyncio.gather(*(station.end() for station in self._stations))
            await self._end_watching()
            server_stop.set()
            for task in (started, told):
                task.cancel()
            await server
        self._say(
            f"Stopped. The data stays in {self._settings.data_dir} for the next start; --fresh begins anew.", "bold"
        )

    async def _bring_drivers(self, made: world.World) -> None:
        watcher = Watcher(self._installation, self._tell, portal_address(self._settings), self._command())
        self._background.append(asyncio.create_task(self._watch(watcher)))
        cards = Cards([card.id_tag for card in made.cards], world.UNKNOWN_ID_TAG)
        chance = random.Random(_SEED)  # noqa: S311 - chance, not secrecy
        host = "127.0.0.1" if self._settings.host in {"0.0.0.0", "::"} else self._settings.host  # noqa: S104 - compared
        url = f"ws://{f'[{host}]' if ':' in host else host}:{self._settings.ocpp_port}/ocpp"
        folder = self._settings.data_dir / _STATIONS_FOLDER
        for identity, key in made.station_keys.items():
            station = SimulatedStation(identity, key, url, folder, lambda text: self._say(text, "red"))
            self._stations.append(station)
            await station.start(cards, random.Random(chance.random()))  # noqa: S311 - chance, not secrecy

    async def _watch(self, watcher: Watcher) -> None:
        while True:
            try:
                await asyncio.to_thread(watcher.look)
            except SQLAlchemyError as error:
                self._say(f"The database cannot be read: {str(error).partition(chr(10))[0]}", "red")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _end_watching(self) -> None:
        if self._background:
            await asyncio.sleep(2 * _LOOK_EVERY_S)  # the last stops are told, too
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _welcome(self, running: Running, made: world.World, ready: asyncio.Event) -> None:
        portal = portal_address(self._settings)
        self._say("The central system and the portal are running.", "bold green")
        self._say(f"  Portal            {portal}")
        for person in made.people:
            how = person.login_link or f"{portal}/login (with the password chosen before)"
            self._say(f"  as {person.role:<15}{how}")
        self._say(f"  Charge points     ws://{self._settings.host}:{running.ocpp_port}/ocpp/IDENTITY")
        self._say(f"  Commands          {self._command()} card list")
        for card in made.cards:
            self._say(f"  Card              {card.id_tag}  printed number {card.printed_number}  {card.label}")
        self._say(f"Each login link works once. Cars charge at {SPEED} times the real speed. Ctrl-C stops.", "dim")
        self._say("")
        ready.set()

    def _command(self) -> str:
        """Return how a person types `csms` for this world."""
        csms = "./run.sh csms" if Path("run.sh").is_file() else "csms"
        return f"CSMS_DATA_DIR={self._settings.data_dir} {csms}"

    def _tell(self, line: Line) -> None:
        text = Text.assemble(
            (f"{line.at:%H:%M:%S}  ", "dim"),
            (f"{plain(line.place):<9} ", "bold"),
            (plain(line.text), _STYLES[line.mood]),
        )
        self._console.print(text)
        self._console.file.flush()

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(plain(text), style))
        self._console.file.flush()


async def _first(*tasks: asyncio.Task[object]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
