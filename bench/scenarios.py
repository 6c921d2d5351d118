"""What is measured, in which order. Each scenario runs several times and returns figures with a value for each run."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bench import engine_alone, long_ledger, message_log_alone, verifying, world
from bench.commit_floor import Floor, postgresql_floor, sqlite_floor
from bench.driver import Measurement, Pace, Task
from bench.driving import drive, idle_stations
from bench.echo import echo_server
from bench.postgres import own_cluster
from bench.processes import allow_files
from bench.report import Figure
from bench.server import Server, Setup, installation

Tell = Callable[[str], None]
_STILL_KIB = 64


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How much, how long, on what."""

    runs: int = 5
    stations: int = 50
    seconds: float = 5.0
    warm_up_s: float = 1.5
    idle_stations: int = 2000
    reconnecting_stations: int = 10_000
    transactions: int = 1_000_000
    security_profile: int = 0
    postgresql: bool = False
    message_log: bool = True
    folder: Path | None = None

    @property
    def setup(self) -> Setup:
        """An installation for the stations that talk."""
        return self.setup_for(self.stations)

    def setup_for(self, stations: int) -> Setup:
        """Return an installation for so many stations."""
        return Setup(
            stations=stations,
            cards=min(stations, self.stations),
            security_profile=self.security_profile,
            postgresql=self.postgresql,
            message_log=self.message_log,
            folder=self.folder,
        )

    @property
    def database(self) -> str:
        """The database's name, for the report."""
        return "PostgreSQL" if self.postgresql else "SQLite FULL"


class Collector:
    """Figures in the making: values are added run by run."""

    def __init__(self, section: str) -> None:
        """Begin a section of the report."""
        self._section = section
        self._figures: dict[str, Figure] = {}

    def add(
        self,
        name: str,
        unit: str,
        value: float,
        at_least: float | None = None,
        aim: float | None = None,
        *,
        more_is_better: bool = False,
    ) -> None:
        """Add one run's value."""
        before = self._figures.get(name)
        values = (value,) if before is None else (*before.values, value)
        self._figures[name] = Figure(
            section=self._section,
            name=name,
            unit=unit,
            values=values,
            at_least=at_least,
            aim=aim,
            more_is_better=more_is_better,
        )

    @property
    def figures(self) -> list[Figure]:
        """What came together."""
        return list(self._figures.values())


# --- Sessions, and the limits beside them -----------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True):
    """What the machine allows at most, in this run."""

    echo: Measurement
    floor: Floor


def sessions(options: Options, tell: Tell) -> list[Figure]:
    """Run sessions: as fast as answers come, at half that rate, one station alone; echo limit and commit floor too."""
    collector = Collector(f"Sessions, {options.stations} stations, {options.database}")
    for run in range(1, options.runs + 1):
        tell(f"sessions, run {run} of {options.runs}")
        limits = Limits(_echo(options), _floor(options))
        with installation(options.setup) as server:
            with server.running():
                fast = drive(_task(options, server))
                half = drive(_task(options, server, pace="paced", rate=fast.calls_per_s / 2))
                alone = drive(_task(options, server, stations=1))
            world.check(server.url, fast.sessions + half.sessions + alone.sessions)
        _add_fast(collector, fast)
        _add_latencies(collector, fast, half, alone)
        _add_limits(collector, limits, fast)
    return collector.figures


def limits(options: Options, tell: Tell) -> list[Figure]:
    """Measure the echo limit and the commit floor, without a server."""
    collector = Collector("Limits of the machine")
    for run in range(1, options.runs + 1):
        tell(f"limits, run {run} of {options.runs}")
        _add_limits(collector, Limits(_echo(options), _floor(options)), None)
    return collector.figures


def _task(options: Options, server: Server, *, stations: int = 0, pace: Pace = "closed", rate: float = 0.0) -> Task:
    return Task(
        pace=pace,
        port=server.port,
        server_pid=server.pid,
        stations=stations or options.stations,
        seconds=options.seconds,
        warm_up_s=options.warm_up_s,
        rate=rate,
        password=server.password,
    )


def _echo(options: Options) -> Measurement:
    with echo_server() as (port, pid):
        return drive(
            Task(
                pace="closed",
                port=port,
                server_pid=pid,
                stations=options.stations,
                seconds=options.seconds,
                warm_up_s=options.warm_up_s / 3,
                checked=False,
            )
        )


def _floor(options: Options) -> Floor:
    if options.postgresql:
        with own_cluster(options.folder) as url:
            return postgresql_floor(url, options.seconds / 2)
    with tempfile.TemporaryDirectory(prefix="bench-floor-", dir=options.folder) as folder:
        return sqlite_floor(Path(folder), options.seconds / 2)


def _add_fast(collector: Collector, fast: Measurement) -> None:
    calls = fast.latency.calls
    collector.add("calls/s", "1/s", fast.calls_per_s, 3000, 6000, more_is_better=True)
    collector.add("server CPU per call", "µs", 1e6 * fast.server_cpu_s / calls, 330, 160)
    collector.add("server CPU in use", "cores", fast.server_cpu_s / fast.seconds)
    collector.add("driver CPU per call", "µs", 1e6 * fast.driver_cpu_s / calls)


def _add_latencies(collector: Collector, fast: Measurement, half: Measurement, alone: Measurement) -> None:
    collector.add("latency p50 at the maximum rate", "ms", fast.latency.p50_ms)
    collector.add("latency p99 at the maximum rate", "ms", fast.latency.p99_ms)
    for action, latency in fast.by_action.items():
        collector.add(f"... {action} p50", "ms", latency.p50_ms)
    collector.add("rate when paced", "1/s", half.calls_per_s)
    collector.add("latency p50 at half the rate", "ms", half.latency.p50_ms)
    collector.add("latency p99 at half the rate", "ms", half.latency.p99_ms, 50, 15)
    collector.add("latency max at half the rate", "ms", half.latency.max_ms)
    collector.add("server CPU per call at half the rate", "µs", 1e6 * half.server_cpu_s / half.latency.calls)
    collector.add("lateness p99 of the driver at half the rate", "ms", half.lag_p99_ms)
    collector.add("latency p50, one station alone", "ms", alone.latency.p50_ms, 5, 2)
    collector.add("latency p99, one station alone", "ms", alone.latency.p99_ms)


def _add_limits(collector: Collector, limits: Limits, fast: Measurement | None) -> None:
    echo, floor = limits.echo, limits.floor
    echo_cpu_us = 1e6 * echo.server_cpu_s / echo.latency.calls
    collector.add("echo limit, round trips/s", "1/s", echo.calls_per_s)
    collector.add("echo limit, server CPU each", "µs", echo_cpu_us)
    collector.add("echo limit, driver CPU each", "µs", 1e6 * echo.driver_cpu_s / echo.latency.calls)
    collector.add("commit floor, one row alone", "µs", floor.alone_us)
    collector.add("commit floor, one row of 50", "µs", floor.together_us)
    if fast is not None:
        cpu_us = 1e6 * fast.server_cpu_s / fast.latency.calls
        collector.add("calls/s to echo limit", "ratio", fast.calls_per_s / echo.calls_per_s)
        collector.add("CPU per call to CPU per echo", "ratio", cpu_us / echo_cpu_us)
        collector.add("calls/s to durable commits/s alone", "ratio", fast.calls_per_s * floor.alone_us / 1e6)
        collector.add("calls/s to durable commits/s of 50", "ratio", fast.calls_per_s * floor.together_us / 1e6)


# --- The message log, with and without --------------------------------------------------------------------------------


def message_log(options: Options, tell: Tell) -> list[Figure]:
    """Run sessions with the message log and without it, in pairs of changing order: what does it cost?"""
    collector = Collector(f"What the message log costs, {options.stations} stations, {options.database}")
    for run in range(1, options.runs + 1):
        tell(f"message-log, run {run} of {options.runs}")
        order = (True, False) if run % 2 else (False, True)
        cost = message_log_alone.measure(options.folder, int(2000 * options.seconds))
        collector.add("CPU per frame, where it goes by", "µs", cost.loop_us)
        collector.add("CPU per frame, in the log's thread", "µs", cost.thread_us)
        seen = {logged: _sessions_once(msgspec.structs.replace(options, message_log=logged)) for logged in order}
        for logged, name in ((False, "without"), (True, "with")):
            fast = seen[logged]
            collector.add(f"calls/s {name}", "1/s", fast.calls_per_s)
            collector.add(f"server CPU per call {name}", "µs", 1e6 * fast.server_cpu_s / fast.latency.calls)
            collector.add(f"latency p99 {name}", "ms", fast.latency.p99_ms)
        rate = seen[True].calls_per_s / seen[False].calls_per_s
        collector.add("calls/s with to without", "ratio", rate, 0.9, more_is_better=True)
        cpu = [one.server_cpu_s / one.latency.calls for one in (seen[True], seen[False])]
        collector.add("server CPU per call with to without", "ratio", cpu[0] / cpu[1])
        share = 2e-6 * (cost.loop_us + cost.thread_us) / cpu[1]
        collector.add("two frames to the CPU per call without", "ratio", share)
    return collector.figures


def _sessions_once(options: Options) -> Measurement:
    with installation(options.setup) as server:
        with server.running():
            fast = drive(_task(options, server))
        world.check(server.url, fast.sessions)
    return fast


# --- The engine alone -------------------------------------------------------------------------------------------------


def engine(options: Options, tell: Tell) -> list[Figure]:
    """Measure the engine without sockets, in batches of 1, 50 and 500."""
    collector = Collector(f"The engine without sockets, {options.database}")
    largest = max(engine_alone.SIZES)
    setup = msgspec.structs.replace(options.setup, stations=largest, cards=largest, security_profile=0)
    for run in range(1, options.runs + 1):
        tell(f"engine, run {run} of {options.runs}")
        for size in engine_alone.SIZES:
            with installation(setup) as prepared:
                costs = engine_alone.measure(prepared.url, size, options.seconds / 2)
            for cost in costs:
                collector.add(f"{cost.action}, batch of {size}, CPU each", "µs", cost.cpu_us)
                collector.add(f"{cost.action}, batch of {size}, clock each", "µs", cost.wall_us)
                collector.add(f"{cost.action}, batch of {size}, statements", "per batch", cost.statements)
    return collector.figures


# --- Many stations ----------------------------------------------------------------------------------------------------


def memory(options: Options, tell: Tell) -> list[Figure]:
    """Measure the memory per idle station: connected, accepted, quiet."""
    collector = Collector(f"Idle stations, {options.database}")
    count = options.idle_stations
    first = max(1, count // 10)  # what the first ones cost is the process's own warming up
    allow_files(count + 1000)
    for run in range(1, options.runs + 1):
        tell(f"memory, run {run} of {options.runs}")
        with installation(options.setup_for(count + first)) as server, server.running():
            before, after = _memory_before_and_after(server, first, count)
        collector.add(f"memory per idle station, of {count}", "KiB", (after - before) / count, 40, 20)
        collector.add("memory of the process with few stations", "MiB", before / 1024)
        collector.add("memory of the process with all stations", "MiB", after / 1024)
    return collector.figures


def _memory_before_and_after(server: Server, first: int, count: int) -> tuple[float, float]:
    with idle_stations(_idle_task(server, 1, first)) as few:
        few.wait()
        before = _settled_memory_kib(server)
        with idle_stations(_idle_task(server, first + 1, count)) as many:
            many.wait()
            return before, _settled_memory_kib(server)


def reconnect(options: Options, tell: Tell) -> list[Figure]:
    """Restart the server under many idle stations; they come back at once and boot."""
    collector = Collector(f"Reconnect after a restart, {options.database}")
    count = options.reconnecting_stations
    allow_files(count + 1000)
    for run in range(1, options.runs + 1):
        tell(f"reconnect, run {run} of {options.runs}")
        with installation(options.setup_for(count)) as server, ExitStack() as ending:
            with server.running():
                stations = ending.enter_context(idle_stations(_idle_task(server, 1, count, returns=True)))
                stations.wait()
            began = time.monotonic()
            with server.running():
                arrival = stations.wait()
                ending.close()
        collector.add(f"from start to {count} stations accepted", "s", arrival.last_accepted_at - began, 30, 12)
        collector.add("from the first handshake on", "s", arrival.last_accepted_at - arrival.first_open_at)
    return collector.figures


def _idle_task(server: Server, first: int, count: int, *, returns: bool = False) -> Task:
    return Task(
        pace="idle",
        port=server.port,
        first_station=first,
        stations=count,
        password=server.password,
        handshakes=256,
        returns=returns,
    )


def _settled_memory_kib(server: Server) -> float:
    """Return the memory when it has stopped moving, or after five seconds."""
    before = server.memory_kib()
    for _ in range(10):
        time.sleep(0.5)
        after = server.memory_kib()
        if abs(after - before) < _STILL_KIB:
            return after
        before = after
    return before


# --- Verification -----------------------------------------------------------------------------------------------------


def verify(options: Options, tell: Tell) -> list[Figure]:
    """Write a long ledger once, and verify it several times."""
    count = options.transactions
    collector = Collector(f"Verification of {count:,} transactions, {options.database}")
    setup = msgspec.structs.replace(
        options.setup, stations=long_ledger.STATIONS, cards=long_ledger.cards_for(count), security_profile=0
    )
    with installation(setup) as prepared:
        tell(f"verify: writing {count:,} transactions")
        began = time.monotonic()
        long_ledger.fill(prepared.url, count)
        tell(f"verify: written in {time.monotonic() - began:.0f} s")
        for run in range(1, options.runs + 1):
            tell(f"verify, run {run} of {options.runs}")
            took = verifying.verify(prepared.url)
            collector.add("csms ledger verify", "s", took.wall_s, 120, 60)
            collector.add("its CPU time", "s", took.cpu_s)
            collector.add("per transaction, CPU", "µs", 1e6 * took.cpu_s / count)
            collector.add("its memory at most", "MiB", took.peak_mib)
    return collector.figures


SCENARIOS: dict[str, Callable[[Options, Tell], list[Figure]]] = {
    "limits": limits,
    "sessions": sessions,
    "message-log": message_log,
    "engine": engine,
    "memory": memory,
    "reconnect": reconnect,
    "verify": verify,
}
