"""What this machine is, and what a process costs on it. Linux only: it reads /proc.

Names no host and no path, so that a report can be published as it is.
"""

import os
import platform
import re
import sqlite3
from importlib.metadata import version
from pathlib import Path

import msgspec

_LIBRARIES = ("websockets", "uvloop", "msgspec", "SQLAlchemy", "psycopg")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Machine(msgspec.Struct, frozen=True):
    """What a figure has to be read with."""

    cores: int
    processor: str
    memory_gib: int
    kernel: str
    python: str
    sqlite: str
    file_system: str
    libraries: dict[str, str]
    load_before: float  # runnable processes, averaged over a minute: other people's work spoils figures


def describe(folder: Path) -> Machine:
    """Describe the machine, and the file system of `folder`, where the databases lie."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=_field("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        file_system=_file_system(folder.resolve()),
        libraries={name: version(name) for name in _LIBRARIES},
        load_before=round(os.getloadavg()[0], 2),
    )


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, all threads, user and system, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_kib(pid: int) -> int:
    """Return the memory that is a process's own part (Pss)."""
    return int(_field(f"/proc/{pid}/smaps_rollup", "Pss").split()[0])


def _field(file: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", Path(file).read_text(), re.MULTILINE)
    return found[1].strip() if found else "0"


def _file_system(folder: Path) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    around = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(around, default=(0, "unknown"))[1]
