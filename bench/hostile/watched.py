"""`csms serve`, and on SIGUSR2 a word about itself: the tasks it has and the memory it holds once garbage is collected.

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
    """What a process holds."""

    number: int
    tasks: int
    open_files: int
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


def _rss_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
