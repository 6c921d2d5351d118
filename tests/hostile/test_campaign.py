"""Everybody hostile at once, and a good station beside them: it is served, and afterwards nothing is left of the rest.

Seeded and short; `./run.sh fuzz` is the same for longer.
"""

from bench.hostile.campaign import Findings, run
from bench.hostile.target import target

_SEED = 16
_SECONDS = 8.0
_SLOWEST_MS = 15_000  # a test machine does other things beside; a station waits 30 s and more


def test_a_good_station_is_served_amid_all_attacks_and_nothing_of_them_is_left() -> None:
    with target() as attacked, attacked.running():
        found = run(attacked, seconds=_SECONDS, seed=_SEED, slowest_ms=_SLOWEST_MS)
    assert found.wrong == ()
    assert _happened(found) == []


def _happened(found: Findings) -> list[str]:
    """Name the attacks that did not do anything, for a campaign that attacks nothing finds nothing."""
    wanted = {
        "mutated frames": 100,
        "calls of a flood": 1000,
        "unasked answers": 400,
        "broken rules": 20,
        "replaced connections": 3,
        "handshakes": 20,
        "slow senders": 50,
        "connections of a flood": 300,
        "requests to pages": 20,
        "slow requests to pages": 30,
        "huge heads": 3,
    }
    return [what for what, least in wanted.items() if found.seen.get(what, 0) < least]
