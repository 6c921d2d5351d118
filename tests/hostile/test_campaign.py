"""Everybody hostile at once, and a good station beside them: it is served, and afterwards nothing is left of the rest.

Seeded and short; `./run.sh fuzz` is the same for longer.
"""

from bench.hostile.campaign import Findings, run
from bench.hostile.target import target

_SEED = 16
_SECONDS = 8.0
_SLOWEST_MS = 30_000  # a test machine does other things beside; a station waits so long at least


def test_a_good_station_is_served_amid_all_attacks_and_nothing_of_them_is_left() -> None:
    with target() as attacked, attacked.running():
        found = run(attacked, seconds=_SECONDS, seed=_SEED, slowest_ms=_SLOWEST_MS)
    assert found.wrong == ()
    assert _happened(found) == []


def _happened(found: Findings) -> list[str]:
    """Name the attacks that did not do anything, for a campaign that attacks nothing finds nothing."""
    wanted = (
        "mutated frames",
        "calls of a flood",
        "unasked answers",
        "broken rules",
        "replaced connections",
        "handshakes",
        "slow senders",
        "connections of a flood",
        "requests to pages",
        "slow requests to pages",
        "huge heads",
    )
    return [what for what in wanted if not found.seen.get(what)]
