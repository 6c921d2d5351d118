"""`csms ledger verify` on a long ledger: how long it takes, and how much memory, in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.processes import BenchError


class Verified(msgspec.Struct, frozen=True):
    """What a verification took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def verify(url: str) -> Verified:
    """Run the command; BenchError unless everything fits."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("CSMS_")}
    command = (sys.executable, "-m", "csms", "ledger", "verify", "--json")
    with tempfile.TemporaryDirectory() as empty, (Path(empty) / "said").open("w+b") as said:
        environment = mine | {"CSMS_DATABASE_URL": url, "CSMS_DATA_DIR": empty}
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise BenchError(f"the long ledger does not verify: {said.read(2000).decode(errors='replace')}")
    return Verified(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
