"""A PostgreSQL cluster of our own on a free loopback port, for the tests and for nothing else."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from bench.processes import free_port

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


class Cluster:
    """Starts with the object, ends with `stop`. Nothing guards from power cuts: the data are lost anyway."""

    def __init__(self, folder: Path, *, survives_halt: bool = False) -> None:
        """Create a cluster in `folder` and start it. `survives_halt`: a commit is kept by `halt`, as it costs more."""
        self._synchronous_commit = "on" if survives_halt else "off"
        assert _BINARIES, "PostgreSQL is missing: ./run.sh test installs it"
        self._bin = _BINARIES[-1]
        self._folder = folder
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and str(parent) not in {"/", "/tmp"}:
                    parent.chmod(parent.stat().st_mode | 0o011)
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        self._run("initdb", "-D", str(data), "-U", "csms", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def start(self) -> None:
        """Start the server, again if it was halted."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off "
            f"-c synchronous_commit={self._synchronous_commit} -c full_page_writes=off "
            "-c dynamic_shared_memory_type=mmap "
            "-c max_connections=200"
        )
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", log, "-o", options, "start")

    def url(self, name: str) -> str:
        """Return SQLAlchemy's URL of a database of this cluster."""
        return f"postgresql+psycopg://csms@127.0.0.1:{self.port}/{name}"

    def halt(self) -> None:
        """End the server at once, as if it had been killed; `start` recovers it."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def freeze(self) -> None:
        """Stop all its processes where they are; connections stay open and nothing is answered until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the server and delete its files."""
        self.halt()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        leader = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        for process in (leader, *map(int, children)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            log = self._folder / "log"
            raise RuntimeError(f"{program} failed: {done.stdout or ''}{log.read_text() if log.exists() else ''}")


def new_folder() -> Path:
    """Return a new folder, in memory if possible, that PostgreSQL's own user can reach: pytest closes its own."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="csms-postgresql-", dir=parent))
