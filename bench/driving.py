"""Starts load generators and reads what they measured; the near end of `driver`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from bench.driver import Arrival, Measurement, Task
from bench.processes import BenchError, ended

_COMMAND = (sys.executable, "-m", "bench.driver")


def drive(task: Task) -> Measurement:
    """Run one task to its end."""
    line = msgspec.json.encode(task) + b"\n"
    limit_s = 180 + task.seconds + task.warm_up_s
    done = subprocess.run(_COMMAND, input=line, capture_output=True, timeout=limit_s, check=False)
    if done.returncode:
        raise BenchError(done.stderr.decode(errors="replace").strip() or "the load generator ended without a word.")
    return msgspec.json.decode(done.stdout, type=Measurement)


class IdleStations:
    """Stations that are connected and say nothing."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Take the driver's process."""
        self._process = process

    def wait(self) -> Arrival:
        """Return when every station is connected and accepted."""
        assert self._process.stdout is not None, "it was opened with a pipe"
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the idle stations could not connect.")
        return msgspec.json.decode(line, type=Arrival)


@contextmanager
def idle_stations(task: Task) -> Iterator[IdleStations]:
    """Keep idle stations connected while inside."""
    process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with ended(process), process:
        assert process.stdin is not None, "it was opened with a pipe"
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.flush()
        yield IdleStations(process)
        process.stdin.close()
