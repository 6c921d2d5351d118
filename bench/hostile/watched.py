"""`csms serve`, and on SIGUSR2 a word about itself: the tasks it has and the memory it holds once garbage is collected.

What it holds is what it allocated and did not free, as the C library counts it. What the process has of the system is
more: the library keeps pages on which something is left, the more of them the more was going on at once.

Run as `python -m bench.hostile.watched FILE`; the word goes to FILE. Everything else is the command's own doing.
"""

import asyncio
import ctypes
import gc
import signal
import sys
from pathlib import Path

import msgspec

from csms.cli import program


class Word(msgspec.Struct, frozen=True):
    """What a process holds: `held_kib` is allocated, `rss_kib` is what the system gave for it."""

    number: int
    tasks: int
    open_files: int
    held_kib: int
    rss_kib: int
    objects: int


def main() -> None:
    """Serve."""
    file, number = Path(sys.argv[1]), 0

    def tell(*_: object) -> None:
        nonlocal number
        number += 1
        for _generation in range(3):
            gc.collect()
        _trim()
        word = Word(
            number,
            len(asyncio.all_tasks()),
            len(list(Path("/proc/self/fd").iterdir())) - 1,
            _held_kib(),
            _rss_kib(),
            len(gc.get_objects()),
        )
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(word))
        new.replace(file)

    signal.signal(signal.SIGUSR2, tell)
    sys.exit(program.run(["serve"]))


def _trim() -> None:
    """Give back what was freed: what the C library keeps for later is not a leak."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library


_COUNTED = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class _Counts(ctypes.Structure):
    """What `mallinfo2` of the GNU C library returns, 2.33 and later."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _COUNTED)
    hblkhd: int
    uordblks: int


def _held_kib() -> int:
    try:
        tell = ctypes.CDLL("libc.so.6").mallinfo2
    except (OSError, AttributeError):
        return _rss_kib()  # another C library
    tell.restype = _Counts
    counts = tell()
    return int(counts.uordblks + counts.hblkhd) // 1024


def _rss_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
