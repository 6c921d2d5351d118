"""A campaign: every attack at once, a good station beside them, and what has to hold afterwards.

First a short round, so that caches and pools are as large as they become; what it held then is what it must hold again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from bench.driver import Measurement, Task
from bench.driving import drive
from bench.frames import identity
from bench.hostile import pages, stations, strangers
from bench.hostile.stations import Field
from bench.hostile.target import Target
from bench.hostile.watched import Word
from bench.processes import BenchError, allow_files

Tell = Callable[[str], None]

_RATE_PER_S = 20.0  # calls of the good station
_QUIET_S = 40.0  # at most, until nothing of the attacks is left
_FEW_FILES = 6  # connections of pools, and the log's
_FEW_TASKS = 4
_MEMORY = 1.10


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign saw. `wrong` is empty where everything held."""

    seed: int
    seconds: float
    seen: dict[str, int]
    logged: dict[str, int]
    good: Measurement
    before: Word
    after: Word
    wrong: tuple[str, ...]


def run(target: Target, *, seconds: float, seed: int, slowest_ms: float, tell: Tell = lambda _: None) -> Findings:
    """Attack a running server for about so long, and look at it afterwards."""
    allow_files(4096)
    warm_up_s = min(8.0, seconds / 2)
    tell(f"a first round of {warm_up_s:.0f} s, seed {seed}")
    asyncio.run(_attack(target, warm_up_s, seed))
    before = _quiet(target, None)
    tell(f"held before: {_held(before)}")
    tell(f"all attacks for {seconds:.0f} s, seed {seed + 1}")
    seen, good = asyncio.run(_attack(target, seconds, seed + 1))
    after = _quiet(target, before)
    tell(f"held after: {_held(after)}")
    logged, defects = target.complaints()
    wrong = [f"logged: {line}" for line in defects[:20]]
    wrong += _compare(before, after) + _judge(seen, good, slowest_ms)
    again = drive(_good_task(target, 1.0, 0.2))
    if not again.sessions and not again.latency.calls:
        wrong.append("afterwards the good station is not served")
    violations = target.verify()
    if violations:
        wrong.append(f"the ledger does not verify: {violations[:2000]}")
    return Findings(
        seed=seed,
        seconds=seconds,
        seen=dict(sorted(seen.items())),
        logged=dict(logged.most_common()),
        good=good,
        before=before,
        after=after,
        wrong=tuple(wrong),
    )


async def _attack(target: Target, seconds: float, seed: int) -> tuple[Counter[str], Measurement]:
    loop = asyncio.get_running_loop()
    there = Field(target.port, target.portal_port, seed, loop.time() + seconds)
    good = asyncio.create_task(asyncio.to_thread(drive, _good_task(target, seconds, 0.5)))
    attacks = []
    number = 2  # the first one is good
    for name, attack, times in stations.ATTACKS:
        for _ in range(times):
            attacks.append(_survive(there, name, attack(there, identity(number))))
            number += 1
    for name, of_stranger in (*strangers.ATTACKS, *pages.ATTACKS):
        attacks.append(_survive(there, name, of_stranger(there)))
    await asyncio.gather(*attacks)
    return there.seen, await good


async def _survive(there: Field, name: str, attack: object) -> None:
    """A defect of an attack is ours, and shall not look like one of the server."""
    try:
        await attack  # type: ignore[misc]
    except Exception as error:
        raise BenchError(f"the attack {name!r} has a defect: {error!r}") from error
    there.seen[f"attack: {name}"] += 1


def _good_task(target: Target, seconds: float, warm_up_s: float) -> Task:
    return Task(
        pace="paced",
        port=target.port,
        server_pid=target.pid,
        stations=1,
        seconds=seconds,
        warm_up_s=warm_up_s,
        rate=_RATE_PER_S,
    )


def _quiet(target: Target, wanted: Word | None) -> Word:
    """Wait until nothing of the attacks is left (or as much as there was before), and return what is held then."""
    end = time.monotonic() + _QUIET_S
    last = target.word()
    while time.monotonic() < end:
        time.sleep(1)
        word = target.word()
        settled = abs(word.tasks - last.tasks) + abs(word.open_files - last.open_files) == 0
        if settled and (wanted is None or not _compare(wanted, word)) and word.tasks < 40:  # noqa: PLR2004 - its own
            return word
        last = word
    return last


def _compare(before: Word, after: Word) -> list[str]:
    wrong = []
    if after.tasks > before.tasks + _FEW_TASKS:
        wrong.append(f"tasks are left: {before.tasks} before, {after.tasks} after")
    if after.open_files > before.open_files + _FEW_FILES:
        wrong.append(f"files or sockets are left open: {before.open_files} before, {after.open_files} after")
    if after.held_kib > before.held_kib * _MEMORY:
        wrong.append(f"memory is not back: {before.held_kib} KiB before, {after.held_kib} KiB after")
    return wrong


def _judge(seen: Counter[str], good: Measurement, slowest_ms: float) -> list[str]:
    wrong = []
    if seen["InternalError"]:
        wrong.append(f"{seen['InternalError']} calls were answered InternalError")
    wrong += [
        f"{what.lower()}: {count}"
        for what, count in seen.items()
        if what.isupper() and not what.startswith("HTTP") and count
    ]
    wrong += [f"{what}: {count}" for what, count in seen.items() if what in {"page 500", "HTTP 500"} and count]
    if not good.sessions:
        wrong.append("the good station could not complete one session")
    if good.latency.max_ms > slowest_ms:
        wrong.append(f"the good station waited {good.latency.max_ms:.0f} ms for an answer")
    return wrong


def _held(word: Word) -> str:
    memory = f"{word.held_kib // 1024} MiB allocated, {word.rss_kib // 1024} of the system"
    return f"{memory}, {word.tasks} tasks, {word.open_files} files, {word.objects} objects"
