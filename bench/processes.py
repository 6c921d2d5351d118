"""Processes of the benchmark's own: ports for them, waiting until they listen, ending them and nothing else."""

import itertools
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_POLL_S = 0.02
_LOWEST_PORT, _PORTS = 10_000, 20_000
_ports = itertools.count()


class BenchError(Exception):
    """A run that gives no figure; the argument says why in one sentence."""


def free_port() -> int:
    """Return a port of this machine on which nobody listens, for a server that is started a moment later, or again.

    It is none of those that the system gives to connections by itself: one of these may be taken whenever the server is
    not there, even by somebody who tries to reach it. Processes that run at the same time look in places of their own.
    """
    for _ in range(_PORTS):
        port = _LOWEST_PORT + (os.getpid() * 10 + next(_ports)) % _PORTS
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError("no port of this machine is free.")


def wait_for_port(port: int, process: subprocess.Popen[bytes], timeout_s: float = 120) -> None:
    """Return when `process` listens on `port`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"a server ended with status {process.returncode} before it listened.")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_POLL_S)
        else:
            return
    raise BenchError(f"a server did not listen within {timeout_s:.0f} s.")


@contextmanager
def ended(process: subprocess.Popen[bytes], timeout_s: float = 30) -> Iterator[None]:
    """End the process on the way out, gently at first."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def allow_files(count: int) -> None:
    """Raise the limit of open files of this process and its children; BenchError where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
    except (ValueError, OSError):
        raise BenchError(f"{count} open files are needed, and this machine allows {hard}.") from None
