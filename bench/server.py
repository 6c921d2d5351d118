"""The server under test: `csms serve` as a process of its own on free ports, on a database of its own."""

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import world
from bench.machine import memory_kib
from bench.postgres import own_cluster
from bench.processes import BenchError, ended, free_port, wait_for_port

KEY = bytes.fromhex("4f8c1e6b2d9a37505fe1c8b4a6d20e93")  # of the benchmark's stations, where they need one
_READY_S = 30.0
_HTTP_OK = 200


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has to serve, and from where."""

    stations: int
    cards: int
    security_profile: int = 0
    postgresql: bool = False
    message_log: bool = True
    folder: Path | None = None  # where databases lie; None: the system's temporary folder


class Server:
    """A prepared installation whose process may be started several times."""

    def __init__(self, data: Path, url: str, setup: Setup) -> None:
        """Ports are chosen once: stations come back to the same."""
        self.port = free_port()
        self.url = url
        self.password = KEY.hex() if setup.security_profile else ""
        self.pid = 0
        self._portal_port = free_port()
        self._data = data
        self._message_log = setup.message_log

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the process while inside; ready when it says so."""
        command = (sys.executable, "-m", "csms", "serve")
        process = subprocess.Popen(command, env=self._environment(), stdout=subprocess.DEVNULL)
        with ended(process):
            self.pid = process.pid
            wait_for_port(self.port, process)
            self._wait_until_ready(process)
            yield
        if process.returncode not in {0, -15}:
            raise BenchError(f"the server ended with status {process.returncode}.")

    def memory_kib(self) -> int:
        """Return what the running process needs."""
        return memory_kib(self.pid)

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("CSMS_")}
        return mine | {
            "CSMS_DATA_DIR": str(self._data),
            "CSMS_DATABASE_URL": self.url,
            "CSMS_HOST": "127.0.0.1",
            "CSMS_OCPP_PORT": str(self.port),
            "CSMS_PORTAL_PORT": str(self._portal_port),
            "CSMS_LOG_LEVEL": "warning",
            "CSMS_MESSAGE_LOG_DAYS": "14" if self._message_log else "0",
            "CSMS_MINIMUM_SECURITY_PROFILE": "0",
            "CSMS_MAX_CALLS_PER_S": "1000000",
            "CSMS_SETTINGS_CHECK_INTERVAL_S": "0",  # the played stations have no configuration
            "CSMS_MAXIMUM_POWER_KW": "1000000",  # sessions of seconds draw what takes hours
            "CSMS_MAX_FAILED_HANDSHAKES_PER_MIN": "1000000",
        }

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self._portal_port, timeout=5)
                try:
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status == _HTTP_OK:
                        return
                finally:
                    connection.close()
            time.sleep(0.02)
        raise BenchError(f"the server was not ready within {_READY_S:.0f} s.")


@contextmanager
def installation(setup: Setup) -> Iterator[Server]:
    """Make an installation and throw it away afterwards."""
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=setup.folder)))
        url = f"sqlite:///{data / 'csms.sqlite3'}"
        if setup.postgresql:
            url = stack.enter_context(own_cluster(setup.folder)).replace("postgresql:", "postgresql+psycopg:")
        world.prepare(url, setup.stations, setup.cards, KEY if setup.security_profile else b"")
        yield Server(data, url, setup)
