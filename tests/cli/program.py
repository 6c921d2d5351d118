"""Starts `csms` as a process of its own, as a person does, and reads what it prints."""

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[2]


class Program:
    """A running `csms`; what it prints, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Read in the background, so that the program never waits for us."""
        self.process = process
        self.lines: list[str] = []
        self._arriving: queue.Queue[str | None] = queue.Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line.rstrip())
        self._arriving.put(None)

    def wait_for(self, is_meant: Callable[[str], bool], timeout_s: float = 60) -> str:
        """Return the next line that is meant."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                line = self._arriving.get(timeout=left_s)
            except queue.Empty:
                break
            if line is None:
                raise AssertionError(f"it ended with {self.process.wait()}: {self.lines}")
            self.lines.append(line)
            if is_meant(line):
                return line
        raise AssertionError(f"it did not come within {timeout_s} s: {self.lines}")

    def end(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(timeout_s)
        self._reader.join(60)
        while (line := self._arriving.get(timeout=60)) is not None:
            self.lines.append(line)
        return status


@contextmanager
def running(folder: Path, *words: str, **environment: str) -> Iterator[Program]:
    """Run `csms` with these words in `folder`; it ends with the block, by force if it must be."""
    settings = {"PYTHONPATH": str(ROOT), "CSMS_DATA_DIR": str(folder / "data"), "CSMS_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [sys.executable, "-m", "csms", *words],
        cwd=folder,
        env=os.environ | settings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Program(process)
        finally:
            if process.poll() is None:
                process.kill()
