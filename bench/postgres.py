"""A PostgreSQL of the benchmark's own: made in a temporary folder, on a free port, and gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import BenchError, free_port

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@contextmanager
def own_cluster(folder: Path | None) -> Iterator[str]:
    """Run a cluster while inside, its files under `folder`; yields the URL of an empty database."""
    binaries = _binaries()
    where = Path(tempfile.mkdtemp(prefix="bench-postgresql-", dir=folder))
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    if user is not None:
        shutil.chown(where, user)
    port = free_port()
    data = where / "data"
    try:
        _run(user, binaries / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C")
        options = f"-p {port} -k {where} -c listen_addresses=127.0.0.1 -c shared_buffers=256MB"
        _run(user, binaries / "pg_ctl", "-D", data, "-w", "-l", where / "log", "-o", options, "start")
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            _run(user, binaries / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(where, ignore_errors=True)


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    for place in _PLACES:
        if (place / "initdb").exists():
            return place
    raise BenchError("PostgreSQL's initdb is not on this machine; install the package postgresql.")


def _run(user: str | None, *command: str | Path) -> None:
    group = None if user is None else pwd.getpwnam(user).pw_gid
    done = subprocess.run(
        [str(part) for part in command],
        user=user,
        group=group,
        extra_groups=None if user is None else [],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{Path(command[0]).name} failed: {done.stderr.decode(errors='replace').strip()}")
