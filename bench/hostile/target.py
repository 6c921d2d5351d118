"""The server under attack: a process of its own on a database of its own, what it holds, and what it complained of."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import world
from bench.hostile.watched import Word
from bench.postgres import own_cluster
from bench.processes import BenchError, ended, free_port, wait_for_port

STATIONS = 40
_WORD_S = 30.0
# Whatever these say in the log is a defect of ours, whoever caused it.
_DEFECTS = (
    "handler failed",
    "decision failed",
    "input cannot be stored",
    "engine defect",
    "defect",
    "frame cannot be logged",
    "messages cannot be logged",
    "the database does not answer",
    "storage failed",
)


class Target:
    """A running server."""

    def __init__(self, folder: Path, url: str) -> None:
        """Prepare an empty database with stations and cards; ports are free ones."""
        self.port, self.portal_port = free_port(), free_port()
        self.url = url
        self.pid = 0
        self._folder = folder
        self._word, self._log = folder / "word.json", folder / "log.jsonl"
        self._words = 0
        world.prepare(self.url, STATIONS, STATIONS)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the process while inside; BenchError where it does not end as it should."""
        command = (sys.executable, "-m", "bench.hostile.watched", str(self._word))
        with self._log.open("wb") as log:
            process = subprocess.Popen(command, env=self._environment(), stdout=subprocess.DEVNULL, stderr=log)
            with ended(process):
                self.pid = process.pid
                wait_for_port(self.port, process)
                wait_for_port(self.portal_port, process)
                yield
                if process.poll() is not None:
                    raise BenchError(f"the server ended with status {process.returncode} while it was attacked.")
        if process.returncode not in {0, -signal.SIGTERM}:
            raise BenchError(f"the server ended with status {process.returncode}.")

    def word(self) -> Word:
        """Ask the process what it holds."""
        self._words += 1
        os.kill(self.pid, signal.SIGUSR2)
        end = time.monotonic() + _WORD_S
        while time.monotonic() < end:
            if self._word.exists():
                word = msgspec.json.decode(self._word.read_bytes(), type=Word)
                if word.number >= self._words:
                    return word
            time.sleep(0.02)
        raise BenchError("the server says nothing about itself.")

    def complaints(self) -> tuple[Counter[str], list[str]]:
        """Return how often each thing was logged, and the lines that tell of a defect of ours."""
        counted: Counter[str] = Counter()
        defects: list[str] = []
        for line in self._log.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                defects.append(line[:2000])  # a traceback or a warning that went around the log
                continue
            event = str(said.get("event", ""))
            counted[event] += 1
            if event.startswith(_DEFECTS) or said.get("level") in {"error", "critical"}:
                defects.append(line[:4000])
        return counted, defects

    def verify(self) -> str:
        """Run `csms ledger verify`; return what it says where something is wrong."""
        command = (sys.executable, "-m", "csms", "ledger", "verify")
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("CSMS_")}
        return others | {
            "CSMS_DATA_DIR": str(self._folder),
            "CSMS_DATABASE_URL": self.url,
            "CSMS_HOST": "127.0.0.1",
            "CSMS_OCPP_PORT": str(self.port),
            "CSMS_PORTAL_PORT": str(self.portal_port),
            "CSMS_LOG_LEVEL": "warning",
            "CSMS_LOG_FORMAT": "json",
            "CSMS_MINIMUM_SECURITY_PROFILE": "0",
            "CSMS_HANDSHAKE_TIMEOUT_S": "3",
            "CSMS_PING_INTERVAL_S": "3",
            "CSMS_PING_TIMEOUT_S": "3",
            "CSMS_SETTINGS_CHECK_INTERVAL_S": "0",  # the good station has no configuration
            "CSMS_MAXIMUM_POWER_KW": "1000000",  # its sessions of seconds draw what takes hours
            "PYTHONMALLOC": "malloc",  # so that what is freed can be given back, and a leak be told from a reserve
        }


@contextlib.contextmanager
def target(*, postgresql: bool = False) -> Iterator[Target]:
    """Make a server on SQLite, or on a PostgreSQL of its own, and throw it away afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        url = f"sqlite:///{folder / 'csms.sqlite3'}"
        if postgresql:
            url = stack.enter_context(own_cluster(None)).replace("postgresql:", "postgresql+psycopg:")
        yield Target(folder, url)
