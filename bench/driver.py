"""The load generator: many stations in one cheap process, and what they saw of the other end.

Started by `driving`, it reads a `Task` from its standard input and writes a `Measurement` to its standard output.
Stations talk as OCPP allows: one call at a time each. Closed loop: the next call goes out when the answer is there.
Paced: each station has a timetable, and a call that had to wait for the one before counts from the moment it was due.
"""

import asyncio
import random
import sys
import time
from array import array
from typing import Any, Literal

import msgspec
import uvloop

from bench.frames import ACTIONS, Refused, Script, identity, sessions
from bench.link import Link, LinkError
from bench.machine import cpu_s

Pace = Literal["closed", "paced", "idle"]
_RETRY_S = (0.1, 0.5)
_DRAIN_S = 30.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `rate` is calls/s of all stations together, for `paced`; `server_pid` whose CPU time is wanted."""

    pace: Pace
    port: int
    stations: int
    server_pid: int = 0
    first_station: int = 1
    seconds: float = 5.0
    warm_up_s: float = 1.0
    rate: float = 0.0
    password: str = ""
    checked: bool = True
    handshakes: int = 64  # at once
    returns: bool = False  # a station that loses its connection comes back


class Latency(msgspec.Struct, frozen=True):
    """How long answers took, in milliseconds."""

    calls: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in the measured seconds; `sessions` are all that were completed, before and after them too."""

    seconds: float
    latency: Latency
    by_action: dict[str, Latency]
    driver_cpu_s: float
    server_cpu_s: float
    sessions: int
    lag_p99_ms: float = 0.0  # how late the generator itself was, when paced

    @property
    def calls_per_s(self) -> float:
        """Answers per second."""
        return self.latency.calls / self.seconds


class Recorder:
    """Collects latencies while it is on."""

    def __init__(self) -> None:
        """Off at first."""
        self.on = False
        self.going_on = True
        self.seconds = [array("d") for _ in ACTIONS]
        self.lags = array("d")
        self.calls = 0
        self.sessions = 0

    def latency(self) -> Latency:
        """Over all actions."""
        return summarize(array("d", (one for seconds in self.seconds for one in seconds)))

    def by_action(self) -> dict[str, Latency]:
        """For each action that was called."""
        return {name: summarize(each) for name, each in zip(ACTIONS, self.seconds, strict=True) if each}


def summarize(seconds: "array[float]") -> Latency:
    """Median, 99th percentile and largest."""
    if not seconds:
        return Latency(0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Latency(len(ordered), *(1000 * ordered[round(last * share)] for share in (0.5, 0.99, 1.0)))


class Station(Link):
    """One station: its script, and when it last sent."""

    def __init__(self, task: Task, number: int, recorder: Recorder) -> None:
        """`booted` is resolved when the boot is accepted, `done` when the script ended; or they carry the reason."""
        super().__init__(f"127.0.0.1:{task.port}", f"/ocpp/{identity(number)}", task.password)
        loop = asyncio.get_running_loop()
        self.booted: asyncio.Future[float] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.opened_at = 0.0
        self._recorder = recorder
        self._checked = task.checked
        self._script: Script = sessions(number, self._go_on, checked=task.checked)
        self._action = 0
        self._next_frame = b""
        self._sent_at = 0.0
        self._sessions = -1  # the first question is asked before the first session
        self._period_s = 0.0
        self._due = 0.0

    def on_open(self) -> None:
        """Boot."""
        self.opened_at = time.monotonic()
        self._action, frame = next(self._script)
        self.send(frame)

    def on_text(self, text: bytes) -> None:
        """Take an answer; what the server calls of its own accord is refused, as OCPP allows."""
        if self._checked and text.startswith(b"[2,"):
            self.send(b'[4,%b,"NotSupported","",{}]' % text.split(b",", 2)[1])
        elif self.booted.done():
            self._answered(text)
        elif self._checked and b'"Accepted"' not in text:
            self.booted.set_exception(Refused(text[:300].decode(errors="replace")))
        else:
            self._next_frame = text
            self.booted.set_result(time.monotonic())

    def on_lost(self, why: Exception) -> None:
        """Tell whoever waits."""
        for future in (self.booted, self.done):
            if not future.done():
                future.set_exception(why)

    def begin(self, period_s: float = 0.0, phase: float = 0.0) -> None:
        """Start the sessions; `period_s` 0 is the closed loop, `phase` (0 to 1) says where in its period it starts."""
        self._period_s = period_s
        self._due = time.perf_counter() + period_s * phase
        if self._advance(self._next_frame):
            self._send_when_due()

    def _go_on(self) -> bool:
        self._sessions += 1
        if self._sessions > 0:
            self._recorder.sessions += 1
        return self._recorder.going_on

    def _answered(self, text: bytes) -> None:
        recorder = self._recorder
        if recorder.on:
            recorder.seconds[self._action].append(time.perf_counter() - self._sent_at)
        if self._advance(text):
            self._send_when_due()

    def _advance(self, answer: bytes) -> bool:
        try:
            self._action, self._next_frame = self._script.send(answer)
        except StopIteration:
            if not self.done.done():
                self.done.set_result(None)
            return False
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            if not self.done.done():
                self.done.set_exception(error)
            return False
        return True

    def _send_when_due(self) -> None:
        now = time.perf_counter()
        if not self._period_s:
            self._sent_at = now
            self.send(self._next_frame)
            return
        self._due += self._period_s
        if self._due > now:
            asyncio.get_running_loop().call_later(self._due - now, self._send_on_time)
        else:
            self._sent_at = self._due  # it had to wait for the answer before: that counts
            self.send(self._next_frame)

    def _send_on_time(self) -> None:
        self._sent_at = time.perf_counter()
        if self._recorder.on:
            self._recorder.lags.append(self._sent_at - self._due)
        self.send(self._next_frame)


async def connect(task: Task, number: int, recorder: Recorder, gate: asyncio.Semaphore) -> Station:
    """Connect and boot one station. Where `task.returns`, try until it works."""
    loop = asyncio.get_running_loop()
    while True:
        station = Station(task, number, recorder)
        station.done.add_done_callback(lambda future: future.exception())  # somebody looked: asyncio does not complain
        try:
            async with gate:
                await loop.create_connection(lambda: station, "127.0.0.1", task.port)  # noqa: B023 - called at once
                await station.booted
        except (OSError, LinkError):
            if not task.returns:
                raise
            await asyncio.sleep(random.uniform(*_RETRY_S))
        else:
            return station


async def connect_all(task: Task, recorder: Recorder) -> list[Station]:
    """Connect and boot every station."""
    gate = asyncio.Semaphore(task.handshakes)
    numbers = range(task.first_station, task.first_station + task.stations)
    return list(await asyncio.gather(*(connect(task, number, recorder, gate) for number in numbers)))


async def measure(task: Task) -> Measurement:
    """Run sessions: warm up, measure, let every station finish its session."""
    recorder = Recorder()
    stations = await connect_all(task, recorder)
    period_s = task.stations / task.rate if task.pace == "paced" else 0.0
    phases = random.Random(1)
    for station in stations:
        station.begin(period_s, phases.random())
    done = asyncio.gather(*(station.done for station in stations))
    await _wait(done, task.warm_up_s)
    server_before = cpu_s(task.server_pid) if task.server_pid else 0.0
    driver_before, began = time.process_time(), time.perf_counter()
    recorder.on = True
    await _wait(done, task.seconds)
    recorder.on = False
    seconds, driver_cpu_s = time.perf_counter() - began, time.process_time() - driver_before
    server_cpu_s = cpu_s(task.server_pid) - server_before if task.server_pid else 0.0
    recorder.going_on = False
    await asyncio.wait_for(done, _DRAIN_S + 20 * period_s)
    for station in stations:
        station.close()
    return Measurement(
        seconds=seconds,
        latency=recorder.latency(),
        by_action=recorder.by_action(),
        driver_cpu_s=driver_cpu_s,
        server_cpu_s=server_cpu_s,
        sessions=recorder.sessions,
        lag_p99_ms=summarize(recorder.lags).p99_ms,
    )


async def _wait(done: "asyncio.Future[list[None]]", seconds: float) -> None:
    """Sleep, unless a station fails."""
    await asyncio.wait([done], timeout=seconds)
    if done.done():
        done.result()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Arrival(msgspec.Struct, frozen=True):
    """When, on the monotonic clock, the first handshake was done and the last boot accepted."""

    first_open_at: float
    last_accepted_at: float


async def hold(task: Task) -> None:
    """Connect and keep quiet; tell each time that all are there. The end of the standard input ends it."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin.fileno(), _resolve, end)
    recorder = Recorder()
    while not end.done():
        stations = await connect_all(task, recorder)
        arrival = Arrival(min(one.opened_at for one in stations), max(one.booted.result() for one in stations))
        sys.stdout.buffer.write(msgspec.json.encode(arrival) + b"\n")
        sys.stdout.buffer.flush()
        all_lost = asyncio.gather(*(station.done for station in stations), return_exceptions=True)
        either: set[asyncio.Future[Any]] = {all_lost, end}
        await asyncio.wait(either, return_when="FIRST_COMPLETED")
    loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """Do the task on the standard input."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            if task.pace == "idle":
                runner.run(hold(task))
                return
            measurement = runner.run(measure(task))
        except Exception as error:  # noqa: BLE001 - told in one sentence to the process that started this one
            sys.exit(f"the load generator gave up: {type(error).__name__}: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(measurement) + b"\n")


if __name__ == "__main__":
    main()
