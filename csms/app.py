"""The composition root: builds everything, starts and stops it in order. Decides nothing."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
import uvicorn

from csms import clock
from csms.central_system import CentralSystem
from csms.charging import store
from csms.charging.engine import Engine
from csms.charging.guards import Guards
from csms.commands.dispatcher import Dispatcher
from csms.commands.doorbell import Doorbell
from csms.commands.expiry import Expiry
from csms.commands.file_work import FileWork
from csms.commands.security_work import SecurityWork
from csms.commands.settings_checks import SettingsChecks
from csms.commands.upkeep import Upkeep
from csms.config import Settings
from csms.connections import Connections
from csms.errors import ConfigurationError
from csms.ftp import FtpServer
from csms.housekeeping import Housekeeping
from csms.installation import Installation, open_installation
from csms.message_log.recorder import Recorder
from csms.message_log.store import MessageStore
from csms.nightly import Nightly
from csms.web.api import repetitions
from csms.web.api.event_views import deliveries
from csms.web.app import create_portal
from csms.web.protocol import PortalProtocol
from csms.webhooks.delivering import Deliveries, ShowEvents

log = structlog.get_logger()

# The first keeps searches rare. The others are low, since a closed connection leaves circles behind: with 20 and 50
# they grew to 30 MiB in a minute of hostile connections, and left the heap in pieces.
_GC_THRESHOLDS = (20_000, 4, 10)


@dataclass(frozen=True)
class Running:
    """What serves, and where."""

    installation: Installation
    ocpp_port: int
    portal_port: int
    ocpp_tls_port: int | None = None


async def serve(settings: Settings, *, on_ready: Callable[[Running], None] | None = None) -> None:
    """Run the central system and the portal until SIGINT or SIGTERM; ConfigurationError where a port is taken."""
    installation = open_installation(settings)
    # What is loaded now stays for good. Facts are frozen and hardly ever refer to each other in a circle: the usual
    # thresholds would search all of them for circles many times a second.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        await run(installation, stop, on_ready=on_ready)
    finally:
        installation.database.close()


async def run(
    installation: Installation, stop: asyncio.Event, *, on_ready: Callable[[Running], None] | None = None
) -> None:
    """Start engine, central system and portal, wait for `stop`, and stop them in the opposite order."""
    settings, engine = installation.settings, installation.engine
    with installation.database.unit_of_work() as connection:
        store.forget_connections(connection, settings.node_name)
    connections = Connections()
    dispatcher = _dispatcher(installation, connections)
    central_system = CentralSystem(settings, engine, connections, dispatcher, clock.now)
    engine.on_commands, engine.node = dispatcher.ring, settings.node_name
    guards = Guards(engine, clock.now, connections.lag_ms)
    checks = SettingsChecks(installation, connections, clock.now)
    upkeep = Upkeep(installation, connections, clock.now)
    expiry = Expiry(installation.database, engine, clock.now, call_timeout_s=settings.call_timeout_s)
    engine.on_watches = guards.watch
    central_system.on_watches = guards.watch
    messages, recorder = _recording(installation, central_system)
    engine.on_availability = central_system.on_availability
    portal_socket = _bind(settings)
    installation, ftp = _with_files(installation, portal_socket)
    engine.start()
    recorder.start()
    try:
        await _start(central_system, settings)
        portal = _Portal(installation, engine, portal_socket, messages)
        tls_port = central_system.tls_port
        running = Running(installation, central_system.port, portal_socket.getsockname()[1], tls_port)
        log.info("serving", ocpp_port=running.ocpp_port, tls_port=tls_port, portal_port=running.portal_port)
        watching = engine.watch(3 * settings.statement_timeout_s)
        work = (portal.serve(), dispatcher.poll(), guards.run(), checks.run(), watching, central_system.note_heard_of())
        webhooks = Deliveries(installation, clock.now, _shown_to_others(installation), repetitions.forget).run()
        secure = _secure(installation, connections, central_system)
        doorbell = Doorbell(installation.database, dispatcher.ring, settings.node_name)
        kept = (*_chores(installation), doorbell.run(), ftp.run(), expiry.run(), upkeep.run(), webhooks, *secure)
        tasks = [asyncio.create_task(each) for each in (*work, *kept)]
        if on_ready is not None:
            on_ready(running)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        portal.stop()
        await central_system.stop()
        await dispatcher.stop()
        await _end(waiting, *tasks)
    finally:
        await engine.stop()
        await asyncio.to_thread(recorder.stop)
        messages.close()
        ftp.close()
        portal_socket.close()


def _shown_to_others(installation: Installation) -> ShowEvents:
    return lambda batch, types: deliveries(batch, types, installation.currency)


def _chores(installation: Installation) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return what is done now and then, whoever is connected."""
    return tuple(chore(installation, clock.now).run() for chore in (Nightly, FileWork, Housekeeping))


def _dispatcher(installation: Installation, connections: Connections) -> Dispatcher:
    settings = installation.settings
    return Dispatcher(
        installation.database,
        installation.engine,
        connections,
        call_timeout_s=settings.call_timeout_s,
        poll_s=settings.command_poll_s,
    )


def _recording(installation: Installation, central_system: CentralSystem) -> tuple[MessageStore, Recorder]:
    """Keep the message log, where one is wanted."""
    messages = MessageStore(installation.database)
    recorder = Recorder(messages, installation.settings, clock.now)
    if installation.settings.message_log_days:
        central_system.on_frame = recorder.note
    return messages, recorder


class _Portal:
    """The portal on uvicorn, in the loop of the central system."""

    def __init__(
        self, installation: Installation, engine: Engine, bound: socket.socket, messages: MessageStore
    ) -> None:
        application = create_portal(
            installation.database,
            engine,
            installation.settings,
            installation.currency,
            clock.now,
            lambda: {"database": engine.available},
            messages,
        )
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            http=PortalProtocol,
            ws="none",
            lifespan="on",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._bound = bound

    async def serve(self) -> None:
        """Serve until stopped. The signals are the composition root's, so uvicorn's own handlers are left out."""
        await self._server._serve([self._bound])  # noqa: SLF001 - `serve` would take the signals

    def stop(self) -> None:
        """Let open requests end."""
        self._server.should_exit = True


def _secure(
    installation: Installation, connections: Connections, central_system: CentralSystem
) -> tuple[Coroutine[Any, Any, None], ...]:
    """Return the work on keys and certificates; SIGHUP takes changed files up at once."""
    tls = central_system.tls
    work = SecurityWork(installation, connections, clock.now, lambda: tls.certificates)
    if central_system.tls_port is None:
        return work.sign(), work.run(), work.watch()
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[bool]] = set()  # the loop itself keeps no task from being collected

    def reload() -> None:
        task = loop.create_task(tls.reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    return work.sign(), work.run(), work.watch(), tls.watch()


def _with_files(installation: Installation, portal_socket: socket.socket) -> tuple[Installation, FtpServer]:
    """Take the port of FTP, and name the ports that links lead to as they are: a setting may have left them open."""
    try:
        ftp = FtpServer(installation, clock.now)
    except ConfigurationError:
        portal_socket.close()
        raise
    ports = {"portal_port": portal_socket.getsockname()[1], "ftp_port": ftp.port or installation.settings.ftp_port}
    return replace(installation, settings=installation.settings.model_copy(update=ports)), ftp


async def _start(central_system: CentralSystem, settings: Settings) -> None:
    try:
        await central_system.start()
    except OSError as error:
        name = "CSMS_OCPP_PORT or CSMS_OCPP_TLS_PORT" if settings.ocpp_tls_port is not None else "CSMS_OCPP_PORT"
        raise ConfigurationError(_busy(name, settings.host, settings.ocpp_port, error)) from None


def _bind(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.portal_port), backlog=2048)
    except OSError as error:
        raise ConfigurationError(_busy("CSMS_PORTAL_PORT", settings.host, settings.portal_port, error)) from None


def _busy(setting: str, host: str, port: int, error: OSError) -> str:
    return f"{setting} is {port}: cannot listen on {host}:{port} ({error.strerror or error}). Choose a free port."


async def _end(*tasks: asyncio.Task[object]) -> None:
    for task in tasks[:1] + tasks[2:]:  # the portal ends by itself when it is told to
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
